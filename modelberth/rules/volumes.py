"""Whether the weights have a place: large enough, and one that every replica can attach."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.autoscalers import most_replicas
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, Threshold, per_pod, undecided
from modelberth.rules.claims import (
    ONE_POD,
    Claimed,
    claimed,
    fits_on_one_node,
    has_a_size,
    kept_together,
    modes,
    of_one_node,
    on_its_node,
    open_modes,
)
from modelberth.rules.loading import Weights, mounted, told_already, weights_of
from modelberth.rules.relations import SERVES_ON
from modelberth.units import GIB, gib

_LARGE_ENOUGH = "whether the weights fit where they are stored"
_SHARED = "whether every replica can attach the volume"
_BOTH = f"{_LARGE_ENOUGH} and {_SHARED}"


def _fits(pod: Pod, settings: Settings) -> Iterator[Finding]:
    """Storage that the pod brings itself."""
    for workload in pod.serving:
        weights = weights_of(pod, workload)
        if weights is None:
            continue
        for size in _own_sizes(pod, pod.container_at(workload), weights):
            if not (size.unknown and told_already(workload, size)):
                yield from _too_small(size, weights, settings)


def _own_sizes(pod: Pod, container: Node, weights: Weights) -> Iterator[Node]:
    """Every figure that bounds them; the value that hides one where it is only known after apply."""
    place = weights.place
    if place.unknown is not None:
        if place.known or any(_is_short(size, weights) for size in _every_size(pod, container)):
            yield place.unknown
    elif place.volume is not None:
        yield from _sizes(place.volume, pod)
    elif place.known and place.mount is None and weights.downloads:
        yield container.at("resources", "limits", "ephemeral-storage")


def _every_size(pod: Pod, container: Node) -> Iterator[Node]:
    """The figures that bound any place where a container may write."""
    yield container.at("resources", "limits", "ephemeral-storage")
    for mount in container["volumeMounts"].elements():
        volume = mounted(pod, container, mount["mountPath"].text()).volume
        yield from _sizes(volume, pod) if volume is not None else ()


def _is_short(size: Node, weights: Weights) -> bool:
    amount = size.amount()
    return amount is not None and amount < weights.stored_bytes


def _sizes(volume: Node, pod: Pod) -> Iterator[Node]:
    """Every figure that bounds a volume of a pod's own."""
    directory, ephemeral = volume["emptyDir"], volume["ephemeral"]
    if directory.stated:
        yield directory["sizeLimit"]
        if directory["medium"].text() != "Memory":
            yield from _local_disk(pod)
    for claim in (ephemeral.at("volumeClaimTemplate", "spec"), volume["spec"]):
        unknown = claim if claim.unknown else open_modes(claim)
        if unknown is not None:
            yield unknown
        elif claim.stated and of_one_node(claim):
            yield claim.at("resources", "requests", "storage")


def _local_disk(pod: Pod) -> Iterator[Node]:
    """The limit of all containers together, which a pod is evicted beyond: where only one states a limit, that one."""
    limits = [each.at("resources", "limits", "ephemeral-storage") for each in pod.containers]
    stated = [limit for limit in limits if limit.stated]
    unknown = next((limit for limit in stated if limit.unknown), None)
    amounts = [amount for limit in stated if (amount := limit.amount()) is not None]
    if unknown is not None:
        yield unknown
    elif amounts:
        yield Node(int(sum(amounts)), max(stated, key=lambda limit: limit.amount() or 0).path)


def _too_small(size: Node, weights: Weights, settings: Settings, sure: bool = True) -> Iterator[Finding]:
    if size.unknown:
        yield undecided("SZ-13", _LARGE_ENOUGH, size)
        return
    given = size.amount()
    wanted = weights.stored_bytes * (1 + settings["temporary_share"])
    if given is None or given >= wanted:
        return
    short = given < weights.stored_bytes
    needs = f"the weights take {gib(weights.stored_bytes)}"
    tight = "" if short else f", {gib(wanted)} with what a file system and a download take beside them"
    message = f"{gib(float(given))} are too little: {needs}{tight}"
    remedy = f"at least {int(-(-wanted // GIB))}Gi"
    yield Finding("SZ-13", size.path, message, remedy, Level.ERROR if short and sure else Level.WARNING)


def _claims(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    for pod, workload in inventory.serving:
        weights = weights_of(pod, workload)
        if weights is None or weights.place.volume is None:
            continue
        found = claimed(weights.place.volume, pod, inventory)
        if found is not None:
            yield from _claim_too_small(found, pod, weights, inventory, settings)
    for pod in inventory.pods:
        if pod.serves and pod.resource.kind in SERVES_ON:
            yield from _shared(pod, inventory)


def _claim_too_small(
    found: Claimed, pod: Pod, weights: Weights, inventory: Inventory, settings: Settings
) -> Iterator[tuple[Resource, Finding]]:
    if found.unknown is not None:
        yield pod.resource, undecided("SZ-13", _BOTH, found.unknown)
    if found.resource is None:
        return
    claim = found.resource.node["spec"]
    real = has_a_size(claim, inventory)
    if real is False:
        return
    for finding in _too_small(claim.at("resources", "requests", "storage"), weights, settings, sure=real is True):
        yield found.resource, finding


def _shared(pod: Pod, inventory: Inventory) -> Iterator[tuple[Resource, Finding]]:
    """One volume under several pods, on as many nodes as the scheduler likes."""
    count = _pods(pod.resource, inventory)
    number = count.whole()
    if kept_together(pod) or (number is not None and number < 2) or not (count.unknown or number):
        return
    for volume in pod.spec["volumes"].elements():
        found = claimed(volume, pod, inventory)
        if found is not None and found.unknown is not None:
            yield pod.resource, undecided("SZ-13", _BOTH, found.unknown)
        if found is None or found.resource is None:
            continue
        claim = found.resource.node["spec"]
        unknown = open_modes(claim)
        if unknown is not None:
            yield found.resource, undecided("SZ-13", _SHARED, unknown)
        elif of_one_node(claim) and (ONE_POD in modes(claim) or not on_its_node(claim)):
            if count.unknown:
                yield pod.resource, undecided("SZ-13", _SHARED, count)
                return
            yield found.resource, _dead_end(pod, claim, number or 2)


def _pods(resource: Resource, inventory: Inventory) -> Node:
    """The most pods that there may be at once."""
    stated = most_replicas(resource, inventory)
    size = resource.node.at("spec", "leaderWorkerTemplate", "size")
    if size.unknown or stated.unknown or resource.kind != "LeaderWorkerSet":
        return size if size.unknown else stated
    return Node((stated.whole() or 0) * (size.whole() or 1), stated.path)


def _dead_end(pod: Pod, claim: Node, pods: int) -> Finding:
    alone = ONE_POD in modes(claim)
    together = not alone and all(fits_on_one_node(each, pods) for each in pod.serving) and bool(pod.serving)
    mode = ONE_POD if alone else "ReadWriteOnce"
    where = "one pod" if alone else "one node"
    others = ": those on other nodes never start" if not alone else ": the others never start"
    message = f"{pods} pods share a volume of mode {mode}, which is attached to {where} at a time{others}"
    remedy = (
        "accessModes ReadOnlyMany or ReadWriteMany with a class that has them, or volumeClaimTemplates of a StatefulSet"
    )
    return Finding("SZ-13", claim["accessModes"].path, message, remedy, Level.WARNING if together else Level.ERROR)


STORAGE = Rule(
    id="SZ-13",
    name="storage-fits",
    title="The weights fit where they are stored, and every replica reaches them",
    question=_BOTH,
    why="A download that fills its volume fails after minutes and starts again; a pod beyond its ephemeral storage is "
    "evicted; replicas of one ReadWriteOnce volume on several nodes wait for ever.",
    remediation="Make the volume at least as large as the weights and what is beside them, and shared or one per pod.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="Kubernetes: access modes of persistent volumes, local ephemeral storage, emptyDir sizeLimit; "
    "vllm-project/production-stack#107, vllm-project/vllm#17163",
    check=per_pod(_fits),
    across=_claims,
    thresholds=(
        Threshold(
            "temporary_share",
            0.05,
            "Room beside the weights for the file system and for files in transit, as a share of them.",
            least=0,
        ),
    ),
)
RULES = (STORAGE,)
