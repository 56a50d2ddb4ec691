"""One property of a cloud resource that rules ask for: whether it holds, where, and in the cloud's own words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from modelberth.node import Node

_NARROWEST_OPEN = {4: 7, 6: 15}
"""Prefix length from which on downwards a block is the internet by another name: two halves of it are all of it."""


@dataclass(frozen=True)
class Fact:
    """One property. ``topic`` completes "whether ..." and is the same for the resources that may state it.

    ``holds`` is None where it is only known after apply; ``node`` is where it is stated, or would be. ``lacks`` says
    what is wrong when it does not hold, ``remedy`` the change in the cloud's words. A ``minor`` one is advice.
    """

    topic: str
    holds: bool | None
    node: Node
    lacks: str
    remedy: str
    minor: bool = False


Reader = Callable[[Node], Iterable[Fact]]
Readers = Mapping[str, Reader]
"""What is read of a resource, by its type token."""


def read(readers: Readers, type_: str, node: Node) -> tuple[Fact, ...]:
    """The facts of one resource; none where its type has no reader."""
    reader = readers.get(type_)
    return tuple(reader(node)) if reader else ()


def flag(node: Node, default: bool) -> bool | None:
    """A boolean, or what holds where none is stated; None where it is only known after apply."""
    if node.unknown:
        return None
    said = node.flag()
    return default if said is None else said


def equals(node: Node, *wanted: str, default: bool = False) -> bool | None:
    """Whether the text is one of these; ``default`` where nothing is stated, None where it is only known later."""
    if node.unknown:
        return None
    return node.text() in wanted if node.text() else default


def either(*answers: bool | None) -> bool | None:
    """Whether one of these holds, as far as it is known."""
    if True in answers:
        return True
    return None if None in answers else False


def both(*answers: bool | None) -> bool | None:
    """Whether all of these hold, as far as it is known."""
    if False in answers:
        return False
    return None if None in answers else True


def opposite(answer: bool | None) -> bool | None:
    """Whether it does not hold."""
    return None if answer is None else not answer


def holds(node: Node, *wanted: str) -> bool | None:
    """Whether a list of texts has all of these, whatever else it has."""
    elements = list(node.each())
    missing = set(wanted) - {each.text() for each in elements}
    if not missing:
        return True
    return None if any(each.unknown for each in elements) else False


def network_of(block: Node) -> IPv4Network | IPv6Network | None:
    """The network that an address block is, None for anything else."""
    try:
        return ip_network(block.text(), strict=False)
    except ValueError:
        return None


def open_to_all(block: Node) -> bool | None:
    """Whether an address block is (nearly) the whole internet: fewer than 8 bits of an IPv4 network, 16 of IPv6.

    Blocks that are never routed there are not, however large (fc00::/7).
    """
    if block.unknown:
        return None
    network = network_of(block)
    return network is not None and not network.is_private and network.prefixlen <= _NARROWEST_OPEN[network.version]


def narrow(blocks: Node) -> bool | None:
    """Whether no block of a list is open to all."""
    return both(*(opposite(open_to_all(each)) for each in blocks.each()))
