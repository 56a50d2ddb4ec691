"""Node groups of EKS.

Fields: hashicorp/terraform-provider-aws eks_node_group and launch_template, which the Pulumi provider bridges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from modelberth.catalog import CatalogError, Machine
from modelberth.clouds.aws import PREFIX, VM_OVERHEAD_SHARE, node_profile
from modelberth.clouds.base import DEFAULT_BOOT_DISK_GIB, gib
from modelberth.clouds.pool_facts import (
    NOTHING,
    AnyResource,
    Capacity,
    Doubt,
    Labels,
    NodeKind,
    Pool,
    Registered,
    common_labels,
    hidden_taints,
    labels_of,
    linked,
    machine_named,
    plain_labels,
    taints_of,
)
from modelberth.node import Node

CLOUD = "aws"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
SUBNET = "aws:ec2/subnet:Subnet"
CLUSTER = "aws:eks/cluster:Cluster"
TYPES = frozenset({NODE_GROUP, CLUSTER})
CAPACITY_TYPE = "karpenter.sh/capacity-type"

SPOT_LABELS = {CAPACITY_TYPE: {"spot"}, "eks.amazonaws.com/capacityType": {"SPOT"}}
"""Labels of nodes that may be taken away."""
DISKS = ("ebs.csi.aws.com", "kubernetes.io/aws-ebs", "ebs.csi.eks.amazonaws.com")

DEFAULT_DISK_GIB = 20
"""Root disk of a managed node group that states none (docs.aws.amazon.com/eks/latest/APIReference, diskSize)."""

_ACCELERATED = re.compile(r"(p|g|gr|trn|inf|dl|vt)[0-9].*")
_OWN_PROVIDERS = ("karpenter.k8s.aws", "eks.amazonaws.com")


def pools(resource: AnyResource, others: Sequence[AnyResource]) -> Iterator[Pool[AnyResource]]:
    """The pools that this resource states."""
    if resource.type == NODE_GROUP:
        yield _node_group(resource, others)
    elif resource.type == CLUSTER:
        chooses = resource.node["computeConfig"]["enabled"]
        if chooses.unknown or chooses.flag():
            doubts = (Doubt("machine type", chooses, resource),) if chooses.unknown else ()
            node = resource.node["computeConfig"]
            yield Pool(resource, node, CLOUD, (), complete=False, scales=True, doubts=doubts)


def _node_group(resource: AnyResource, others: Sequence[AnyResource]) -> Pool[AnyResource]:
    root = resource.node
    doubts: list[Doubt[AnyResource]] = []
    reference = root["launchTemplate"]
    template = linked(resource, "launchTemplate", _first(reference, "id", "name"), others, LAUNCH_TEMPLATE)
    machine_types, source = root["instanceTypes"], resource
    if template and not machine_types.stated:
        machine_types, source = template.node["instanceType"], template
    for each in (machine_types, *machine_types.elements()):
        if each.unknown:
            doubts.append(Doubt("machine type", each, source))
    elsewhere = reference.stated and template is None and not root["instanceTypes"].stated
    if elsewhere and reference.unknown:
        doubts.append(Doubt("machine type", reference, resource))
    zones = _zones(resource, others)
    boot = _boot_disk_gib(root, template)
    stated, taints_known = taints_of(root["taints"])
    labels, labels_known = labels_of(root["labels"])
    doubts += [Doubt("taints", each, resource) for each in hidden_taints(root["taints"])]
    doubts += [Doubt("boot disk", each, resource) for each in (root["diskSize"],) if each.unknown]
    doubts += [Doubt("labels", each, resource) for each in (root["labels"],) if each.unknown]
    capacity = _capacity(root, template)
    doubts += [Doubt("capacity", each, resource) for each in (root["capacityType"],) if each.unknown]
    scaling = root["scalingConfig"]
    bounds = (scaling, scaling["minSize"], scaling["maxSize"])
    doubts += [Doubt("bounds", each, resource) for each in bounds if each.unknown]
    written = list(machine_types.elements()) or [machine_types]
    own: Labels = common_labels(None, "", zones) | {
        "eks.amazonaws.com/nodegroup": (root["nodeGroupName"].text(),) if root["nodeGroupName"].text() else None,
        "eks.amazonaws.com/capacityType": _stated_values(root["capacityType"], "ON_DEMAND"),
        **dict.fromkeys((CAPACITY_TYPE, "karpenter.sh/nodepool"), ()),
    }
    kinds = [
        replace(
            kind,
            labels=own | kind.labels | labels,
            taints=stated,
            taints_known=taints_known,
            labels_known=labels_known,
            spot=capacity.spot,
        )
        for each in written
        for kind in [_kind(each, boot, zones, elsewhere=elsewhere or _by_requirements(template))]
    ]
    return Pool(
        resource,
        Node(root.value, ""),
        CLOUD,
        tuple(kinds),
        complete=not elsewhere and not _by_requirements(template),
        least_nodes=scaling["minSize"].whole(),
        most_nodes=scaling["maxSize"].whole(),
        bounded=None if scaling.unknown else scaling["maxSize"].stated,
        scales=None if scaling.unknown else scaling["minSize"].whole() != scaling["maxSize"].whole(),
        zones=zones,
        capacity=capacity,
        boot_disk_gib=boot,
        doubts=tuple(dict.fromkeys(doubts)),
        stated_taints=stated,
        stated_labels=root["labels"],
        stated_taints_at=root["taints"],
        no_schedule="NO_SCHEDULE",
        bounds=scaling,
    )


def _kind(written: Node, boot_disk_gib: int | None, zones: tuple[str, ...] | None, *, elsewhere: bool) -> NodeKind:
    name = written.text()
    machine = machine_named(name, CLOUD)
    closed: Labels = dict.fromkeys((f"{PREFIX}gpu-name", f"{PREFIX}gpu-count", f"{PREFIX}gpu-memory"), ())
    kind = NodeKind(name, written, machine, label_domains=("amazonaws.com",), labels=dict(closed))
    if machine is None:
        plain = not written.unknown and not elsewhere and not _ACCELERATED.fullmatch(name)
        return replace(kind, gpus=0 if plain else None)
    kind = sized(kind, machine, boot_disk_gib)
    labels = {key: value for key, value in kind.labels.items() if not key.startswith(_OWN_PROVIDERS)}
    return replace(kind, labels=common_labels(machine, name, zones) | labels | dict(closed))


def sized(kind: NodeKind, machine: Machine, boot_disk_gib: int | None) -> NodeKind:
    """The kind with what its machine type has. Memory may be more than Karpenter expects: up to all that is sold."""
    slice_ = machine.gpu_slice
    gpu, gpus = (slice_.gpu, 1) if slice_ else (machine.gpu, machine.gpu_count)
    kind = replace(kind, machine=machine, gpu=gpu, gpus=gpus)
    try:
        profile = node_profile(machine, boot_disk_gib or DEFAULT_BOOT_DISK_GIB)
    except CatalogError:
        return kind
    local = int((machine.local_nvme_gb or 0) * 1e9)
    overhead = math.ceil(gib(machine.memory_gib) * VM_OVERHEAD_SHARE)
    return replace(
        kind,
        labels=plain_labels(profile.labels) | kind.labels,
        cpu_millicores=profile.allocatable_cpu_millicores,
        memory_bytes=profile.allocatable_memory_bytes,
        most_memory_bytes=profile.allocatable_memory_bytes + overhead,
        most_ephemeral_bytes=max(profile.allocatable_ephemeral_bytes, local) if boot_disk_gib else None,
    )


def _by_requirements(template: Registered | None) -> bool:
    return template is not None and template.node["instanceRequirements"].stated


def _first(node: Node, *keys: str) -> Node:
    return next((node[key] for key in keys if node[key].stated), node)


def _stated_values(node: Node, default: str) -> tuple[str, ...] | None:
    return None if node.unknown else (node.text() or default,)


def _capacity(root: Node, template: Registered | None) -> Capacity:
    kind = root["capacityType"]
    options = template.node if template else NOTHING
    market = options["instanceMarketOptions"]["marketType"]
    target = options["capacityReservationSpecification"]
    named = target["capacityReservationTarget"]
    preference = target["capacityReservationPreference"].text()
    spot = None if kind.unknown or market.unknown else kind.text() == "SPOT" or market.text() == "spot"
    block = (
        None if kind.unknown or market.unknown else "CAPACITY_BLOCK" in kind.text() or market.text() == "capacity-block"
    )
    unknown = target.unknown
    return Capacity(
        spot=spot,
        firm=None if spot is None else not spot,
        reserved=None if unknown else named.stated or preference == "capacity-reservations-only",
        block=block,
    )


def _boot_disk_gib(root: Node, template: Registered | None) -> int | None:
    """What is stated, EKS's default without a template; with one that says nothing the image decides."""
    if root["diskSize"].stated:
        return root["diskSize"].whole()
    if not root["launchTemplate"].stated:
        return DEFAULT_DISK_GIB
    devices = template.node["blockDeviceMappings"].each() if template else ()
    sizes = [device["ebs"]["volumeSize"].whole() for device in devices]
    known = [size for size in sizes if size is not None]
    return max(known) if known and len(known) == len(sizes) else None


def _zones(resource: AnyResource, others: Sequence[AnyResource]) -> tuple[str, ...] | None:
    """Zones of its subnets, where the stack has all of them."""
    subnets = [other for other in others if other.type == SUBNET]
    urns = resource.property_dependencies.get("subnetIds", ())
    zones = [other.node["availabilityZone"].text() for other in subnets if other.urn and other.urn in urns]
    ids = [each.text() for each in resource.node["subnetIds"].each()]
    if not zones:
        by_id = {other.node["id"].text(): other.node["availabilityZone"].text() for other in subnets}
        zones = [by_id.get(each, "") for each in ids if each or not by_id]
    complete = bool(zones) and all(zones) and len(zones) >= len(ids)
    return tuple(dict.fromkeys(zones)) if complete else None


__all__ = ["CLOUD", "CLUSTER", "LAUNCH_TEMPLATE", "NODE_GROUP", "TYPES", "pools", "sized"]
