"""The node pools of a stack, whatever cloud they are of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import cast

from modelberth.clouds import aws_karpenter, aws_pools, gcp_compute_class, gcp_pools
from modelberth.clouds.pool_facts import (
    AnyResource,
    Attached,
    Capacity,
    Doubt,
    NodeKind,
    Pool,
    Registered,
    Taint,
)
from modelberth.node import Node

__all__ = [
    "Attached",
    "Capacity",
    "Doubt",
    "NodeKind",
    "Pool",
    "Registered",
    "Taint",
    "asks_for_spot",
    "is_pool",
    "is_zonal",
    "names_spot",
    "pools",
    "states_cluster",
]

_CLOUDS = (gcp_pools, gcp_compute_class, aws_pools, aws_karpenter)
_ELSEWHERE = frozenset({"AgentPool", "KubernetesClusterNodePool", "KubernetesNodePool", "NodePool", "FargateProfile"})
"""Kinds of node pools that cannot be read: nodes are there, and nothing is known about them."""
_SPOT = gcp_pools.SPOT_LABELS | aws_pools.SPOT_LABELS
_CHARTS = ("kubernetes:helm.sh/v3:", "kubernetes:helm.sh/v4:")
_SELF_MANAGED = "aws:autoscaling/group:Group"


def pools(resources: Iterable[AnyResource]) -> tuple[Pool[AnyResource], ...]:
    """Every pool that these resources state, in their order."""
    return cast("tuple[Pool[AnyResource], ...]", _read(tuple(resources)))


@lru_cache(maxsize=64)
def _read(resources: tuple[Registered, ...]) -> tuple[Pool[Registered], ...]:
    """The same for all rules that ask about the same resources."""
    return tuple(pool for resource in resources for pool in _of(resource, resources))


def is_pool(resource: Registered) -> bool:
    """Whether this resource states pools that can be read."""
    return any(resource.type in cloud.TYPES for cloud in _CLOUDS)


def states_cluster(resources: Iterable[Registered]) -> bool:
    """Whether a cluster is among these resources: then its pools are too, most likely."""
    return any(resource.type == cloud.CLUSTER for resource in resources for cloud in (gcp_pools, aws_pools))


def asks_for_spot(label: str, values: Iterable[str]) -> bool:
    """Whether a node label with only these values is one of nodes that may be taken away."""
    given = set(values)
    return bool(given) and given <= _SPOT.get(label, set())


def names_spot(label: str) -> bool:
    """Whether a node label tells if nodes may be taken away."""
    return label in _SPOT


def is_zonal(storage_class: Registered | None) -> bool | None:
    """Whether volumes of a StorageClass live in one zone; None where the class is not there or of a maker unknown."""
    if storage_class is None:
        return None
    provisioner = storage_class.node["provisioner"].text()
    if provisioner not in (*gcp_pools.DISKS, *aws_pools.DISKS):
        return False if provisioner else None
    values = {each.text() for _, each in storage_class.node["parameters"].items()}
    return not values.intersection(gcp_pools.REGIONAL_DISKS)


def _installs_provisioner(resource: Registered) -> bool:
    """A chart that makes nodes by definitions of its own, which nobody sees here."""
    return resource.type.startswith(_CHARTS) and resource.node["chart"].text().endswith("karpenter")


def _of(resource: AnyResource, others: tuple[AnyResource, ...]) -> Iterable[Pool[AnyResource]]:
    for cloud in _CLOUDS:
        if resource.type in cloud.TYPES:
            return cloud.pools(resource, others)
    if _installs_provisioner(resource):
        return (Pool(resource, Node(resource.node.value, ""), "", (), complete=False, scales=True),)
    kind = resource.type.rpartition(":")[2]
    if kind in _ELSEWHERE or resource.type == _SELF_MANAGED:
        return (Pool(resource, Node(resource.node.value, ""), "", (), complete=False),)
    return ()
