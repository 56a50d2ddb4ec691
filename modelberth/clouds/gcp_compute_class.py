"""ComputeClasses of GKE: ordered ways to a node, of which the cluster makes pools.

Fields: cloud.google.com/kubernetes-engine/docs/reference/crds/computeclass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from modelberth.catalog import Machine, catalog
from modelberth.clouds.base import DEFAULT_BOOT_DISK_GIB
from modelberth.clouds.gcp import ACCELERATOR, node_profile
from modelberth.clouds.gcp_pools import CLOUD, COMPUTE_CLASS_LABEL, gpu_of
from modelberth.clouds.pool_facts import (
    AnyResource,
    Capacity,
    Doubt,
    Labels,
    NodeKind,
    Pool,
    common_labels,
    machine_named,
    plain_labels,
)
from modelberth.node import Node

COMPUTE_CLASS = "kubernetes:cloud.google.com/v1:ComputeClass"
TYPES = frozenset({COMPUTE_CLASS})


def pools(resource: AnyResource, others: Sequence[AnyResource]) -> Iterator[Pool[AnyResource]]:
    """The pools that this resource states, as one."""
    yield _compute_class(resource)


def _compute_class(resource: AnyResource) -> Pool[AnyResource]:
    """The ways to a node that a ComputeClass lists; a way that names no machine type leaves it to the cloud."""
    spec = resource.node["spec"]
    name = resource.node["metadata"]["name"]
    label: Labels = {COMPUTE_CLASS_LABEL: (name.text(),) if name.text() else None}
    doubts: list[Doubt[AnyResource]] = []
    kinds: list[NodeKind] = []
    complete = spec["whenUnsatisfiable"].text() != "ScaleUpAnyway" and spec["priorities"].stated
    spots: list[bool | None] = []
    reserved: list[bool | None] = []
    for way in spec["priorities"].each():
        spot = None if way["spot"].unknown else bool(way["spot"].flag())
        spots.append(spot)
        reserved.append(None if way["reservations"].unknown else way["reservations"]["affinity"].text() == "Specific")
        doubts += [
            Doubt("machine type", each, resource) for each in (way["machineType"], way["gpu"]["type"]) if each.unknown
        ]
        found = [replace(kind, spot=spot, labels=kind.labels | label) for kind in _kinds_of_way(way)]
        complete = complete and bool(found)
        kinds += found
    return Pool(
        resource,
        Node(spec.value, "spec"),
        CLOUD,
        tuple(kinds),
        complete=bool(complete),
        scales=True,
        bounded=False,
        capacity=Capacity(
            spot=None if None in spots else any(spots),
            firm=None if None in spots else not spots or not all(spots),
            reserved=None if None in reserved else any(reserved),
            flex_start=any(way["flexStart"]["enabled"].flag() for way in spec["priorities"].each()),
        ),
        doubts=tuple(dict.fromkeys(doubts)),
    )


def _kinds_of_way(way: Node) -> Iterator[NodeKind]:
    name, gpu = way["machineType"].text(), way["gpu"]
    machines = [machine_named(name, CLOUD)] if name else []
    if gpu["type"].text() and not name:
        wanted, count = gpu_of(gpu["type"].text()), gpu["count"].whole()
        rows = catalog().machines(gpu=wanted, cloud=CLOUD) if wanted else ()
        machines = [row for row in rows if count in (None, row.gpu_count)]
    for machine in machines:
        kind = _bare_kind(name, way, machine)
        written = gpu["type"].text()
        if machine is None and written:
            kind = replace(kind, gpu=gpu_of(written), gpus=gpu["count"].whole())
        named: Labels = {ACCELERATOR: (written,)} if written else {}
        yield replace(kind, labels=kind.labels | named)


def _bare_kind(name: str, way: Node, machine: Machine | None) -> NodeKind:
    labels = common_labels(machine, name or (machine.id if machine else ""), None)
    kind = NodeKind(name or (machine.id if machine else ""), way, machine, label_domains=("cloud.google.com", "gke.io"))
    if machine is None:
        return replace(kind, labels=labels)
    profile = node_profile(machine, DEFAULT_BOOT_DISK_GIB)
    return replace(
        kind,
        gpu=machine.gpu,
        gpus=machine.gpu_count,
        labels=labels | plain_labels(profile.labels),
        cpu_millicores=profile.allocatable_cpu_millicores,
        memory_bytes=profile.allocatable_memory_bytes,
        most_memory_bytes=profile.allocatable_memory_bytes,
    )
