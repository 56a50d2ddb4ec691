"""Karpenter's NodePools, which choose among machine types by requirements.

Fields: aws/karpenter-provider-aws website/content/en/docs/concepts/nodepools.md and scheduling.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from modelberth.catalog import CatalogError, Machine, catalog
from modelberth.clouds.aws import PREFIX, node_profile
from modelberth.clouds.aws_pools import CAPACITY_TYPE, CLOUD, sized
from modelberth.clouds.pool_facts import (
    ZONE,
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
    plain_labels,
    taints_of,
)
from modelberth.node import Node

NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
TYPES = frozenset({NODE_POOL})
_DOMAINS = ("amazonaws.com", "karpenter.sh", "karpenter.k8s.aws")


def pools(resource: AnyResource, others: Sequence[AnyResource]) -> Iterator[Pool[AnyResource]]:
    """The pool that this resource states."""
    yield _node_pool(resource)


def _node_pool(resource: AnyResource) -> Pool[AnyResource]:
    """Every machine type of the catalog that the requirements admit; one that names its types or GPUs has no others."""
    template = resource.node["spec"]["template"]
    spec = template["spec"]
    listed = list(spec["requirements"].each())
    hidden = [part for each in listed if (part := _hidden_part(each))]
    doubts = [Doubt("machine type", part, resource) for part in hidden]
    requirements = [each for each in listed if not _hidden_part(each)]
    by_key = {each["key"].text(): _values(each) for each in requirements if each["operator"].text() == "In"}
    ours = spec["nodeClassRef"]["group"].text() in ("karpenter.k8s.aws", "eks.amazonaws.com", "")
    stated, taints_known = taints_of(spec["taints"])
    labels, labels_known = labels_of(template["metadata"]["labels"])
    doubts += [Doubt("taints", each, resource) for each in hidden_taints(spec["taints"])]
    doubts += [Doubt("labels", each, resource) for each in (template["metadata"]["labels"],) if each.unknown]
    ways = by_key.get(CAPACITY_TYPE)
    zones = by_key.get(ZONE)
    own: Labels = {
        **common_labels(None, "", zones),
        CAPACITY_TYPE: ways,
        "karpenter.sh/nodepool": _name(resource),
        "eks.amazonaws.com/nodegroup": (),
        **by_key,
    }
    kinds: list[NodeKind] = []
    for machine in catalog().machines(cloud=CLOUD) if ours else ():
        offered = _karpenter_labels(machine)
        if not all(_admits(requirement, offered) for requirement in requirements):
            continue
        kind = NodeKind(machine.id, spec["requirements"], label_domains=_DOMAINS)
        kind = sized(kind, machine, None)
        kinds.append(
            replace(
                kind,
                labels=own | kind.labels | plain_labels(offered) | labels,
                taints=stated,
                taints_known=taints_known,
                labels_known=labels_known,
                spot=None if ways is None else "spot" in ways,
            )
        )
    types = by_key.get("node.kubernetes.io/instance-type")
    known = {kind.machine_type for kind in kinds}
    complete = ours and not hidden and bool(by_key.get(f"{PREFIX}gpu-name") or (types and known.issuperset(types)))
    nodes = resource.node["spec"]["replicas"]
    limits = resource.node["spec"]["limits"]
    bounds = (nodes, limits, *(limit for _, limit in limits.items()))
    doubts += [Doubt("bounds", each, resource) for each in bounds if each.unknown]
    return Pool(
        resource,
        Node(resource.node["spec"].value, "spec"),
        CLOUD if ours else "",
        tuple(kinds),
        complete=complete,
        least_nodes=nodes.whole() if nodes.stated else 0,
        most_nodes=nodes.whole() if nodes.stated else _within(limits, kinds),
        bounded=None if limits.unknown else nodes.stated or any(limits.names()),
        scales=not nodes.stated,
        zones=zones,
        capacity=Capacity(
            spot=None if ways is None else "spot" in ways,
            firm=None if ways is None else any(way != "spot" for way in ways),
            reserved=None if ways is None else "reserved" in ways,
        ),
        doubts=tuple(dict.fromkeys(doubts)),
        stated_taints=stated,
        stated_labels=template["metadata"]["labels"],
        stated_taints_at=spec["taints"],
        bounds=limits,
    )


def _within(limits: Node, kinds: Sequence[NodeKind]) -> int | None:
    """Nodes that the limits allow of the smallest kind; None where there is no such limit or no kind is known."""
    gpus = [kind.gpus for kind in kinds]
    cores = [kind.machine.vcpu if kind.machine else None for kind in kinds]
    most: list[int] = []
    for name, sizes in (("nvidia.com/gpu", gpus), ("cpu", cores)):
        limit, known = limits[name].whole(), [size for size in sizes if size]
        if limit is not None and known and len(known) == len(sizes):
            most.append(limit // min(known))
    return min(most) if most else None


def _name(resource: Registered) -> tuple[str, ...] | None:
    name = resource.node["metadata"]["name"].text()
    return (name,) if name else None


def _hidden_part(requirement: Node) -> Node | None:
    parts = [requirement["key"], requirement["operator"], requirement["values"], *requirement["values"].elements()]
    return next((each for each in (requirement, *parts) if each.unknown), None)


def _values(requirement: Node) -> tuple[str, ...]:
    return tuple(str(each.value) for each in requirement["values"].elements())


def _karpenter_labels(machine: Machine) -> dict[str, str]:
    """What Karpenter says of a machine type; keys that it does not list here restrict nothing."""
    family, _, _ = machine.id.partition(".")
    match = re.match(r"([a-z]+)(\d+)", family)
    labels: dict[str, str] = {}
    try:
        labels.update(node_profile(machine).labels)
    except CatalogError:
        labels["node.kubernetes.io/instance-type"] = machine.id
    labels[f"{PREFIX}memory"] = str(int(machine.memory_gib * 1024))
    if match:
        labels |= {f"{PREFIX}category": match[1], f"{PREFIX}generation": match[2]}
    auto = {key.replace("karpenter.k8s.aws/", "eks.amazonaws.com/"): value for key, value in labels.items()}
    return labels | {key: value for key, value in auto.items() if key.startswith("eks.amazonaws.com/")}


def _admits(requirement: Node, labels: Mapping[str, str]) -> bool:
    key, operator, values = requirement["key"].text(), requirement["operator"].text(), _values(requirement)
    known = labels.get(key)
    if known is None:
        about_gpus = key.rpartition("/")[2].startswith("instance-gpu")
        return not about_gpus or operator in ("NotIn", "DoesNotExist")
    if operator == "In":
        return known in values
    if operator == "NotIn":
        return known not in values
    if operator in ("Gt", "Lt") and values and known.isdigit() and values[0].isdigit():
        return int(known) > int(values[0]) if operator == "Gt" else int(known) < int(values[0])
    return operator != "DoesNotExist"
