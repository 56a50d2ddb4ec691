"""What every cloud's readers say about buckets: the topics, the same for a bucket and for what is said about it."""

from __future__ import annotations

from dataclasses import dataclass

from modelberth.clouds.facts import Fact
from modelberth.node import Node

CLOSED = "the public is kept out of the bucket"
UNIFORM = "one set of permissions holds for the whole bucket"
RECOVERABLE = "what is deleted or overwritten can be had back"
TLS = "only encrypted connections are accepted"
OWN_KEY = "the bucket is encrypted with a key of yours"
KEPT = "a bucket is deleted only when it is empty"
TIDY = "parts of uploads that were broken off are removed"
PRIVATE = "nothing in the bucket is public"


@dataclass(frozen=True)
class Part:
    """What a resource says about a bucket that ``bucket`` names. ``members`` are those it lets in, ``role`` as what."""

    bucket: Node
    facts: tuple[Fact, ...] = ()
    role: Node | None = None
    members: tuple[Node, ...] = ()
