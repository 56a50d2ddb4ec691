"""Machines and what guards them, in the words of no cloud: metadata, addresses, disks, who may log in."""

from __future__ import annotations

from modelberth.clouds import aws_machines, gcp_machines
from modelberth.clouds.facts import Fact, read
from modelberth.node import Node

_HARDENED = aws_machines.HARDENED | gcp_machines.HARDENED


def hardened(type_: str, node: Node) -> tuple[Fact, ...]:
    """What one resource shows about how machines are reached, and what they give away."""
    return read(_HARDENED, type_, node)


def disks(type_: str, node: Node) -> tuple[Fact, ...]:
    """Disks of machines that do not say whether they are encrypted: the account may."""
    return read(aws_machines.DISKS, type_, node)


def start_scripts(type_: str, node: Node) -> tuple[tuple[Node, str], ...]:
    """The texts that machines run when they start, each with the place it is stated at."""
    return tuple(aws_machines.start_scripts(type_, node))


def encrypts_unasked(type_: str, node: Node) -> bool:
    """Whether this resource makes the account encrypt every disk."""
    return aws_machines.encrypts_unasked(type_, node)
