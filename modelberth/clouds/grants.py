"""What every cloud's readers say about a grant: to whom, how much, and of how many buckets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from modelberth.node import Node


class Who(Enum):
    """Whom a grant is for."""

    PODS = auto()
    SERVICE = auto()
    """An account of a program: pods may act as one."""
    PERSON = auto()
    """People and their groups, and the cloud's own services."""
    UNKNOWN = auto()


class Breadth(Enum):
    """What a grant lets somebody do with what is stored."""

    NOTHING = auto()
    READS = auto()
    WRITES = auto()
    OWNS = auto()
    """Deletes buckets, or changes who may do what."""
    UNKNOWN = auto()


ANY = "*"
LATER = "?"
"""The name of an account that is only known after apply; no name of Kubernetes has such a character."""


@dataclass(frozen=True)
class Grant:
    """One grant. ``wide`` tells whether it is for more than one bucket, ``primitive`` whether it is for everything.

    ``accounts`` are (namespace, ServiceAccount) of the pods that it names, with :data:`ANY` for any and
    :data:`LATER` for what is not known yet; ``account`` is the cloud's name of an account that pods may act as, None
    where it is not known. A ``document`` is computed from the names of what it is about, so that a first preview rarely
    knows it.
    """

    node: Node
    who: Who
    breadth: Breadth
    wide: bool
    remedy: str
    primitive: bool = False
    document: bool = False
    accounts: tuple[tuple[str, str], ...] = ()
    account: str | None = None
