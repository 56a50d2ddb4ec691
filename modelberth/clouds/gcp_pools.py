"""Node pools of GKE: of their own and inside a cluster.

Fields: hashicorp/terraform-provider-google container_node_pool and node_config, which the Pulumi provider bridges;
counts are per zone unless they begin with "total"
(cloud.google.com/kubernetes-engine/docs/concepts/cluster-autoscaler).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from modelberth.catalog import Machine
from modelberth.clouds.base import DEFAULT_BOOT_DISK_GIB, accelerator_names, gib
from modelberth.clouds.gcp import ACCELERATOR, ACCELERATOR_COUNT, SPOT, node_profile, taints
from modelberth.clouds.pool_facts import (
    NOTHING,
    AnyResource,
    Attached,
    Capacity,
    Doubt,
    Labels,
    NodeKind,
    Pool,
    Registered,
    Taint,
    common_labels,
    hidden_taints,
    labels_of,
    linked,
    machine_named,
    plain_labels,
    taints_of,
)
from modelberth.node import Node

CLOUD = "gcp"
CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
TYPES = frozenset({CLUSTER, NODE_POOL})
COMPUTE_CLASS_LABEL = "cloud.google.com/compute-class"

SPOT_LABELS = {
    SPOT: {"true"},
    "cloud.google.com/gke-preemptible": {"true"},
    "cloud.google.com/gke-provisioning": {"spot"},
}
"""Labels of nodes that may be taken away."""
DISKS = ("pd.csi.storage.gke.io", "kubernetes.io/gce-pd")
REGIONAL_DISKS = ("regional-pd", "hyperdisk-balanced-high-availability")

_ACCELERATED = re.compile(r"(a[2-9]|g[2-9])[a-z]*-.*")
"""Families whose machine types come with GPUs."""
_ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]+-[a-z0-9]+")
_SCARCE_LABELS = (
    "cloud.google.com/gke-spot",
    "cloud.google.com/gke-flex-start",
    "cloud.google.com/gke-preemptible",
    "cloud.google.com/gke-gpu-partition-size",
    "cloud.google.com/gke-gpu-sharing-strategy",
    "cloud.google.com/gke-tpu-accelerator",
    "cloud.google.com/gke-tpu-topology",
    COMPUTE_CLASS_LABEL,
)
"""Labels that GKE adds for a setting of the pool only: without it they are not there."""
_FOREIGN = (
    "karpenter.sh/capacity-type",
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "eks.amazonaws.com/capacityType",
)


def pools(resource: AnyResource, others: Sequence[AnyResource]) -> Iterator[Pool[AnyResource]]:
    """The pools that this resource states."""
    if resource.type == NODE_POOL:
        cluster = linked(resource, "cluster", resource.node["cluster"], others, CLUSTER)
        yield pool_at(resource, resource.node, cluster)
    elif resource.type == CLUSTER:
        yield from _of_cluster(resource)


def _of_cluster(cluster: AnyResource) -> Iterator[Pool[AnyResource]]:
    root = cluster.node
    for entry in root["nodePools"].each():
        yield pool_at(cluster, entry, cluster)
    removed = root["removeDefaultNodePool"].flag()
    if not root["nodePools"].stated and not removed and (root["initialNodeCount"].stated or root["nodeConfig"].stated):
        yield pool_at(cluster, root, cluster)
    chooses = root["enableAutopilot"].flag() or root["clusterAutoscaling"]["enabled"].flag()
    unknown = next((n for n in (root["enableAutopilot"], root["clusterAutoscaling"]["enabled"]) if n.unknown), None)
    if chooses or unknown:
        doubts = (Doubt("machine type", unknown, cluster),) if unknown else ()
        yield Pool(cluster, root["clusterAutoscaling"], CLOUD, (), complete=False, scales=True, doubts=doubts)


def gpu_of(accelerator: str) -> str | None:
    """The GPU id of an accelerator type."""
    rows = accelerator_names().items()
    return next((gpu for gpu, row in rows if accelerator in row.gke or accelerator in row.gke_machines.values()), None)


def pool_at(resource: AnyResource, node: Node, cluster: AnyResource | None) -> Pool[AnyResource]:
    """The pool that is stated at this place, in this cluster where the stack has it."""
    config = node["nodeConfig"]
    doubts: list[Doubt[AnyResource]] = []

    def doubted(fact: str, *nodes: Node) -> bool:
        hidden = [each for each in nodes if each.unknown]
        doubts.extend(Doubt(fact, each, resource) for each in hidden)
        return bool(hidden)

    zones = _zones(node, cluster)
    doubted("zones", *node["nodeLocations"].each())
    shared = cluster.node["nodeLocations"] if cluster and not node["nodeLocations"].stated else NOTHING
    doubts += [Doubt("zones", each, cluster) for each in shared.each() if cluster and each.unknown]
    capacity = _capacity(node, config)
    doubted("capacity", config["spot"], config["preemptible"], config["flexStart"], config["reservationAffinity"])
    attached = tuple(_attached(each) for each in config["guestAccelerators"].each() if each.stated)
    doubted("accelerators", *(each[key] for each in config["guestAccelerators"].each() for key in ("type", "count")))
    doubted("machine type", config["machineType"])
    stated, taints_known = taints_of(config["taints"])
    doubted("taints", *hidden_taints(config["taints"]))
    labels, labels_known = labels_of(config["labels"])
    doubted("labels", config["labels"])
    size = config["bootDisk"]["sizeGb"]  # where it is stated, the older property is computed from it
    doubted("boot disk", *((size,) if size.stated else (config["diskSizeGb"],)))
    boot = _boot_disk_gib(config)
    kind = replace(
        _kind(config, attached, boot),
        spot=capacity.spot,
        labels_known=labels_known,
        taints_known=taints_known,
    )
    added = _added_labels(node, config, kind, zones, capacity)
    kind = replace(
        kind,
        labels=kind.labels | added | labels,
        taints=(*stated, *_added_taints(kind, stated, node["queuedProvisioning"])),
    )
    least, most, bounded, scales = _bounds(node, zones)
    doubted(
        "bounds",
        *(each for each in (node["autoscaling"], node["nodeCount"])),
        *(v for _, v in node["autoscaling"].items()),
    )
    return Pool(
        resource,
        Node(node.value, "") if node.path == resource.node.path else node,
        CLOUD,
        (kind,),
        least_nodes=least,
        most_nodes=most,
        bounded=bounded,
        scales=scales,
        zones=zones,
        capacity=capacity,
        attached=attached,
        boot_disk_gib=boot,
        doubts=tuple(dict.fromkeys(doubts)),
        stated_taints=stated,
        stated_labels=config["labels"],
        stated_taints_at=config["taints"],
        no_schedule="NO_SCHEDULE",
        bounds=node["autoscaling"],
    )


def _kind(config: Node, attached: tuple[Attached, ...], boot_disk_gib: int | None) -> NodeKind:
    written = config["machineType"]
    name = written.text()
    machine = machine_named(name, CLOUD)
    kind = NodeKind(name, written, machine, label_domains=("cloud.google.com", "gke.io"))
    gpu, gpus = _gpus(config, name, machine, attached)
    kind = replace(kind, gpu=gpu, gpus=gpus)
    if machine is None:
        return kind
    profile = node_profile(machine, boot_disk_gib or DEFAULT_BOOT_DISK_GIB)
    local = gib((machine.local_nvme_gb or 0) * 1e9 / 2**30)
    most_disk = max(profile.allocatable_ephemeral_bytes, local) if boot_disk_gib else None
    more_disks = any(config[each].stated for each in _LOCAL_DISKS)
    return replace(
        kind,
        labels=plain_labels(profile.labels),
        cpu_millicores=profile.allocatable_cpu_millicores,
        memory_bytes=profile.allocatable_memory_bytes,
        most_memory_bytes=profile.allocatable_memory_bytes,
        most_ephemeral_bytes=None if more_disks else most_disk,
    )


_LOCAL_DISKS = ("ephemeralStorageLocalSsdConfig", "localNvmeSsdBlockConfig", "localSsdCount", "ephemeralStorageConfig")


def _gpus(
    config: Node, name: str, machine: Machine | None, attached: tuple[Attached, ...]
) -> tuple[str | None, int | None]:
    """(GPU id, GPUs that a node offers to pods)."""
    listed = config["guestAccelerators"]
    if listed.unknown or any(each.node.unknown for each in attached):
        return (machine.gpu, machine.gpu_count) if machine and machine.gpu else (None, None)
    if attached:
        first = attached[0]
        whole = first.count
        if first.node["gpuPartitionSize"].stated:
            return gpu_of(first.type), None
        shared = first.node["gpuSharingConfig"]
        if shared.stated:
            times = shared["maxSharedClientsPerGpu"].whole()
            whole = whole * times if whole and times else None
        return gpu_of(first.type) or (machine.gpu if machine else None), whole
    if machine:
        slice_ = machine.gpu_slice
        return (slice_.gpu, 1) if slice_ else (machine.gpu, machine.gpu_count)
    return None, None if config["machineType"].unknown or _ACCELERATED.fullmatch(name) else 0


def _attached(entry: Node) -> Attached:
    return Attached(entry, entry["type"].text().rpartition("/")[2], entry["count"].whole())


def _zones(node: Node, cluster: Registered | None) -> tuple[str, ...] | None:
    """Zones that are stated for the pool, else for its cluster; a location that is one zone is the only one."""
    root = cluster.node if cluster else NOTHING
    own = [each.text() for each in node["nodeLocations"].each()]
    if own:
        return tuple(dict.fromkeys(own)) if all(own) else None
    shared = [each.text() for each in root["nodeLocations"].each()]
    if shared:
        home = root["location"].text()
        shared += [home] if _ZONE.fullmatch(home) else []
        return tuple(dict.fromkeys(shared)) if all(shared) else None
    for place in (node["location"], root["location"]):
        if place.unknown:
            return None
        if place.text():
            return (place.text(),) if _ZONE.fullmatch(place.text()) else None
    return None


def _bounds(node: Node, zones: tuple[str, ...] | None) -> tuple[int | None, int | None, bool | None, bool | None]:
    """(fewest nodes, most nodes, whether there is a bound, whether the number follows demand)."""
    scaling = node["autoscaling"]
    count = len(zones) if zones else None
    if scaling.unknown:
        return None, None, None, None
    if scaling.stated:
        least, most = _total(scaling, "Min", count), _total(scaling, "Max", count)
        bounded = any(scaling[each].stated for each in ("totalMaxNodeCount", "maxNodeCount"))
        return least, most, bounded, True
    fixed = node["nodeCount"] if node["nodeCount"].stated else node["initialNodeCount"]
    per_zone = fixed.whole()
    nodes = per_zone * count if per_zone is not None and count else None
    return nodes, nodes, True, False


def _total(scaling: Node, which: str, zones: int | None) -> int | None:
    total = scaling[f"total{which}NodeCount"]
    if total.stated:
        return total.whole()
    each = scaling[f"{which.lower()}NodeCount"]
    if not each.stated and which == "Min":
        return 0
    per_zone = each.whole()
    if per_zone == 0:
        return 0
    return per_zone * zones if per_zone is not None and zones else None


def _capacity(node: Node, config: Node) -> Capacity:
    spots = [config["spot"], config["preemptible"]]
    spot = None if any(each.unknown for each in spots) else any(each.flag() for each in spots)
    return Capacity(
        spot=spot,
        firm=None if spot is None else not spot,
        reserved=_reserved(config["reservationAffinity"]),
        flex_start=None if config["flexStart"].unknown else bool(config["flexStart"].flag()),
        queued=None if node["queuedProvisioning"].unknown else bool(node["queuedProvisioning"]["enabled"].flag()),
    )


def _reserved(affinity: Node) -> bool | None:
    kind = affinity["consumeReservationType"]
    return None if kind.unknown else kind.text() in ("SPECIFIC_RESERVATION", "ANY_RESERVATION_THEN_FAIL")


def _boot_disk_gib(config: Node) -> int | None:
    sizes = (config["bootDisk"]["sizeGb"], config["diskSizeGb"])
    stated = next((size for size in sizes if size.stated), None)
    return stated.whole() if stated else DEFAULT_BOOT_DISK_GIB


def _added_labels(
    node: Node, config: Node, kind: NodeKind, zones: tuple[str, ...] | None, capacity: Capacity
) -> Labels:
    labels = common_labels(kind.machine, kind.machine_type, zones)
    labels |= dict.fromkeys((*_SCARCE_LABELS, *_FOREIGN), ())
    labels["cloud.google.com/gke-nodepool"] = (node["name"].text(),) if node["name"].text() else None
    for label, holds in ((SPOT, capacity.spot), ("cloud.google.com/gke-flex-start", capacity.flex_start)):
        labels[label] = None if holds is None else ("true",) if holds else ()
    if config["preemptible"].stated:
        labels["cloud.google.com/gke-preemptible"] = labels[SPOT] = None
    entry = next(config["guestAccelerators"].each(), NOTHING)
    if entry["gpuPartitionSize"].stated or entry["gpuSharingConfig"].stated:
        labels |= dict.fromkeys(
            ("cloud.google.com/gke-gpu-partition-size", "cloud.google.com/gke-gpu-sharing-strategy")
        )
    written = entry["type"].text().rpartition("/")[2]
    if written:
        labels[ACCELERATOR] = (written,)
        labels[ACCELERATOR_COUNT] = (str(entry["count"].whole()),) if entry["count"].whole() else None
    elif kind.gpus == 0:
        labels |= {ACCELERATOR: (), ACCELERATOR_COUNT: ()}
    elif kind.machine is None or entry.unknown:
        labels |= {ACCELERATOR: None, ACCELERATOR_COUNT: None}
    return labels


def _added_taints(kind: NodeKind, stated: tuple[Taint, ...], queued: Node) -> Iterator[Taint]:
    """GKE's own: for GPUs only where the cluster already has other nodes when the pool is made."""
    keys = {taint.key for taint in stated}
    own = taints(kind.machine) if kind.machine else ()
    if kind.gpus and not any(taint["key"] == "nvidia.com/gpu" for taint in own):
        own = (*own, {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"})
    for taint in own:
        if taint["key"] not in keys:
            yield Taint(taint["key"], taint["value"], taint["effect"], certain=taint["key"] != "nvidia.com/gpu")
    if queued["enabled"].flag():
        yield Taint("cloud.google.com/gke-queued", "true", "NoSchedule")


__all__ = ["CLOUD", "CLUSTER", "NODE_POOL", "TYPES", "gpu_of", "pool_at", "pools"]
