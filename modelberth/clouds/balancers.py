"""Load balancers in the words of no cloud: what they let in, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelberth.clouds import aws_balancers, gcp_balancers
from modelberth.clouds.facts import Fact, read
from modelberth.clouds.pool_facts import AnyResource
from modelberth.node import Node


def guarded(type_: str, node: Node) -> tuple[Fact, ...]:
    """What one part of a load balancer shows."""
    return read({**aws_balancers.GUARDED, **gcp_balancers.GUARDED}, type_, node)


def together(resources: Sequence[AnyResource]) -> Iterator[tuple[AnyResource, Fact]]:
    """What the parts of load balancers show together, each with the resource to change."""
    yield from aws_balancers.together(resources)
    yield from gcp_balancers.together(resources)
