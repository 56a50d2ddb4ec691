"""Replicas that a stack states, and have no place: not in its pools, not apart from each other, not in its quota."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.findings import Finding
from modelberth.inventory import Inventory, selects
from modelberth.manifests import GPU_RESOURCE, Workload
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.autoscalers import governing, open_target
from modelberth.rules.base import undecided
from modelberth.rules.capacity import Room, room_for
from modelberth.rules.relations import SERVES_ON, cause, replicas, same_namespace

_HOST = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"
_QUOTA = f"requests.{GPU_RESOURCE}"
_NARROWS = ("matchLabelKeys", "mismatchLabelKeys", "namespaces", "namespaceSelector")
"""What lets a term mean other pods than those with these labels in its own namespace."""
_QUESTION = "whether the replicas have a place"
Told = Iterator[tuple[Resource, Finding]]


def without_a_place(inventory: Inventory) -> Told:
    """What never starts of the replicas that are surely wanted."""
    for pod, workload in inventory.serving:
        wanted = _stated(pod.resource, inventory)
        if wanted is not None:
            yield from ((pod.resource, finding) for finding in _beyond_pools(pod, workload, wanted, inventory))
    for quota in inventory.of_kind("ResourceQuota"):
        yield from ((quota, finding) for finding in _beyond_quota(quota, inventory))


def _stated(resource: Resource, inventory: Inventory) -> Node | None:
    """The replicas that a workload itself states; None where something else governs them, or may."""
    if resource.kind not in SERVES_ON or governing(resource, inventory) or open_target(inventory) is not None:
        return None
    return resource.node.at("spec", "replicas")


def _beyond_pools(pod: Pod, workload: Workload, stated: Node, inventory: Inventory) -> Iterator[Finding]:
    room = None if workload.shared_by or workload.mig_profile else room_for(workload, inventory)
    if room is None or not stated.stated:
        return
    if stated.unknown:
        yield undecided("SZ-15", _QUESTION, stated)
        return
    count = stated.whole() or 0
    if count > room.replicas:
        need = f"{count} replicas need {count * (workload.replica_gpus or workload.gpus or 0)} GPUs"
        message = f"{need}, the pools {', '.join(room.pools)} have at most {room.gpus}, for {room.replicas} replicas"
        remedy = f"replicas: {room.replicas}, or more nodes in a pool"
        yield Finding("SZ-15", stated.path, f"{message}: the others wait for ever", remedy)
        return
    hidden = cause(_required(pod))
    if hidden and count > min(room.nodes, room.zones or room.nodes):
        yield undecided("SZ-15", _QUESTION, hidden)
    for apart in _apart(pod, room):
        if workload.group_size == 1 and count > apart.places:
            message = (
                f"{count} replicas may not share a {apart.what}, and the pools {', '.join(room.pools)} have at most "
            )
            message += f"{apart.places}: the others wait for ever"
            remedy = f"preferredDuringSchedulingIgnoredDuringExecution, replicas: {apart.places}, or more {apart.what}s"
            yield Finding("SZ-15", apart.node.path, message, remedy)


@dataclass(frozen=True)
class _Apart:
    """That no two replicas share a place of some kind, and how many places there are."""

    node: Node
    what: str
    places: int


def _required(pod: Pod) -> Node:
    return pod.spec.at("affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")


def _apart(pod: Pod, room: Room) -> Iterator[_Apart]:
    """Required anti-affinity of a pod to its own kind."""
    terms = _required(pod)
    places = {_HOST: ("node", room.nodes), _ZONE: ("zone", room.zones)}
    for term in terms.elements():
        what, count = places.get(term["topologyKey"].text(), ("", None))
        own = bool(term["labelSelector"].value) and selects(term["labelSelector"], pod.labels)
        if own and count is not None and not any(term[name].stated for name in _NARROWS):
            yield _Apart(term, what, count)


def _beyond_quota(quota: Resource, inventory: Inventory) -> Iterator[Finding]:
    """GPUs that the serving pods of a namespace request together, and its quota does not give."""
    spec = quota.node["spec"]
    hard = spec.at("hard", _QUOTA)
    if spec["scopes"].value or spec["scopeSelector"].value or not hard.stated:
        return
    near = [(pod, each) for pod, each in inventory.serving if same_namespace(quota, pod.resource) is not False]
    needs = [(replicas(inventory, pod.resource).least, each.replica_gpus) for pod, each in near]
    wanted = sum((least or 0) * (gpus or 0) for least, gpus in needs)
    given = hard.whole()
    sure = all(same_namespace(quota, pod.resource) for pod, _ in near)
    hidden = (
        hard if hard.unknown else None if sure else cause(quota.namespace, *(p.resource.namespace for p, _ in near))
    )
    if hidden and wanted and (given is None or wanted > given):
        yield undecided("SZ-15", _QUESTION, hidden)
    elif sure and given is not None and wanted > given:
        message = f"the replicas of the namespace's model servers request {wanted} GPUs, the quota gives {given}: "
        yield Finding("SZ-15", hard.path, f"{message}the others are refused", f"{_QUOTA}: {wanted}, or fewer replicas")
