"""Managed control planes in the words of no cloud: who reaches them and nodes, what they encrypt and log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from modelberth.clouds import aws_clusters, gcp_clusters
from modelberth.clouds.facts import Fact, read
from modelberth.node import Node

CLUSTERS = gcp_clusters.CLUSTERS
"""Types of clusters whose node pools may say for themselves whether their nodes are private."""
POOLS = gcp_clusters.POOLS


def network(type_: str, node: Node) -> tuple[Fact, ...]:
    """How closed the network of a cluster is, as far as the cluster alone shows it."""
    return read(gcp_clusters.NETWORK, type_, node)


def private_nodes(type_: str, node: Node) -> tuple[Fact, ...]:
    """Whether nodes have no public address where a pool says nothing of its own."""
    return read(gcp_clusters.PRIVATE_NODES, type_, node)


def own_private_nodes(type_: str, node: Node) -> Node | None:
    """Where a pool says for itself whether its nodes are private; None for anything but a pool."""
    return gcp_clusters.own_private_nodes(node) if type_ in POOLS else None


def control_plane(type_: str, node: Node, today: date) -> Iterator[Fact]:
    """Who reaches the control plane, what it encrypts and logs, and whether its version is still maintained."""
    if type_ in aws_clusters.CLUSTERS:
        yield from aws_clusters.control_plane(node, today)
