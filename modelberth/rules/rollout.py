"""Whether a rolling update has GPUs to surge to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor

from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.manifests import Workload
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.autoscalers import most_replicas
from modelberth.rules.base import IN_PROD, Rule, Settings, Severity, undecided
from modelberth.rules.capacity import room_for
from modelberth.rules.claims import (
    CLAIM,
    ONE_POD,
    claimed,
    fits_on_one_node,
    kept_together,
    modes,
    of_one_node,
    on_its_node,
    open_modes,
)
from modelberth.rules.loading import told_already

_QUESTION = "whether a rolling update can end"
_PLACES = {
    "Deployment": (("spec", "strategy"), "rollingUpdate", "25%", "25%"),
    "LeaderWorkerSet": (("spec", "rolloutStrategy"), "rollingUpdateConfiguration", 0, 1),
}
"""Kind -> where the strategy is, its field, and the defaults of maxSurge and maxUnavailable: apps/v1 defaults.go of
Kubernetes; kubernetes-sigs/lws, docs/concepts/rollout-strategy."""


@dataclass(frozen=True)
class Strategy:
    """How pods are replaced. ``unknown`` is the value that keeps open whether one stops before another starts."""

    surge: Node
    unavailable: Node
    default_surge: str | int
    default_unavailable: str | int
    unknown: Node | None = None

    @property
    def may_be_refused(self) -> bool:
        """Whether both figures are 0, or may be."""
        stated = ((self.surge, self.default_surge), (self.unavailable, self.default_unavailable))
        return all(node.unknown or _of(node, default, 100) == 0 for node, default in stated)

    @property
    def open(self) -> Node | None:
        """The value that keeps open whether the update ends, unless it is told already that it may be refused."""
        return None if self.may_be_refused else self.unknown

    def stops_first(self, replicas: int) -> bool:
        """Whether, as far as it is known, an old pod may stop before a new one is there; also for no legible figure."""
        added, missing = (
            None if node.unknown else _of(node, default, replicas)
            for node, default in ((self.surge, self.default_surge), (self.unavailable, self.default_unavailable))
        )
        if self.unavailable.unknown:
            return False
        nothing_added = added is not None and ceil(added) == 0
        illegible = missing is None or (added is None and not self.surge.unknown)
        return illegible or nothing_added or floor(missing or 0) > 0

    def steps(self, replicas: int) -> tuple[int, int] | None:
        """(pods that may be added, pods that may be missing): shares of the replicas are rounded up and down.

        None where a figure is not legible. Kubernetes lets one be missing where both come to nothing.
        """
        surge = _of(self.surge, self.default_surge, replicas)
        unavailable = _of(self.unavailable, self.default_unavailable, replicas)
        if surge is None or unavailable is None:
            return None
        added, missing = ceil(surge), floor(unavailable)
        return added, missing if added or missing else 1


def _of(stated: Node, default: str | int, replicas: int) -> float | None:
    return (stated if stated.stated else Node(default, "")).share(replicas)


def strategy_of(resource: Resource) -> Strategy | None:
    """The rolling update of a resource; None where all pods stop first, or one after the other."""
    if resource.kind not in _PLACES:
        return None
    steps, field, surge, unavailable = _PLACES[resource.kind]
    strategy = resource.node.at(*steps)
    kind, rolling = strategy["type"], strategy[field]
    if not kind.unknown and kind.text() not in ("", "RollingUpdate"):
        return None
    added, missing = rolling["maxSurge"], rolling["maxUnavailable"]
    unknown = next((each for each in (kind, added, missing) if each.unknown), None)
    return Strategy(added, missing, surge, unavailable, unknown)


def _refused(resource: Resource, settings: Settings) -> Iterator[Finding]:
    """Neither a pod more nor a pod less: nothing could ever be replaced."""
    strategy, stated = strategy_of(resource), resource.node.at("spec", "strategy")
    if resource.workloads and stated["type"].text() == "Recreate" and stated["rollingUpdate"].value:
        message = "type Recreate and rollingUpdate contradict each other: the API server refuses it"
        yield Finding("SZ-17", stated["rollingUpdate"].path, message, "leave rollingUpdate out, or type: RollingUpdate")
    if strategy is None or not resource.workloads:
        return
    gpus = any(workload.gpus for workload in resource.workloads)
    if resource.ours and resource.kind == "Deployment" and gpus and not strategy.surge.stated:
        message = "no maxSurge is stated: the default adds a pod, which needs one more GPU"
        yield Finding("SZ-17", strategy.surge.path, message, "maxSurge: 0, or 1 where there is a GPU for it")
    hidden = strategy.unknown
    if strategy.may_be_refused and hidden is not None:
        if not any(told_already(workload, hidden) for workload in resource.workloads):
            yield undecided("SZ-17", _QUESTION, hidden)
    elif strategy.may_be_refused:
        message = "maxSurge and maxUnavailable are both 0: the API refuses it"
        yield Finding("SZ-17", strategy.surge.path, message, "maxUnavailable: 1, or maxSurge: 1 with a spare GPU")


def _ends(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    for pod, workload in inventory.serving:
        strategy = strategy_of(pod.resource)
        if strategy is None:
            continue
        replicas = most_replicas(pod.resource, inventory)
        for finding in (
            *_no_gpu(strategy, workload, replicas, inventory),
            *_volume_held(strategy, pod, workload, replicas, inventory),
        ):
            yield pod.resource, finding


def _no_gpu(strategy: Strategy, workload: Workload, replicas: Node, inventory: Inventory) -> Iterator[Finding]:
    """A new pod waits for a GPU that only an old one can free."""
    room = room_for(workload, inventory)
    if room is None:
        return
    if replicas.unknown:
        yield undecided("SZ-17", _QUESTION, replicas)
        return
    count = replicas.whole()
    each = workload.replica_gpus or workload.gpus or 0
    taken = _gpus_of_others(workload, inventory)
    if not count or (count + 1 <= room.replicas and (count + 1) * each + taken <= room.gpus):
        return
    if strategy.open is not None:
        yield undecided("SZ-17", _QUESTION, strategy.open)
    steps = None if strategy.unknown is not None else strategy.steps(count)
    if steps is None or steps[1] > 0:
        return
    beside = f" beside {taken} of other services" if taken else ""
    need = f"{count} replicas and one more need {(count + 1) * each} GPUs{beside}"
    message = f"{need}, the pools {', '.join(room.pools)} have at most {room.gpus}: the new pod waits for ever"
    yield Finding("SZ-17", strategy.surge.path, message, _one_leaves(count))


def _gpus_of_others(workload: Workload, inventory: Inventory) -> int:
    """GPUs of the same kind that other services take, as far as it is known."""
    found = 0
    for pod, other in inventory.serving:
        if other is workload or other.gpu != workload.gpu or not other.replica_gpus:
            continue
        replicas = most_replicas(pod.resource, inventory).whole()
        found += other.replica_gpus * (1 if replicas is None else replicas)
    return found


def _volume_held(
    strategy: Strategy, pod: Pod, workload: Workload, replicas: Node, inventory: Inventory
) -> Iterator[Finding]:
    """A new pod waits for a volume that the old one holds. More than one replica on such a volume is another matter."""
    if pod.resource.kind != "Deployment" or not (replicas.unknown or replicas.whole() == 1) or kept_together(pod):
        return
    if strategy.stops_first(1):
        return
    for volume in pod.spec["volumes"].each():
        held = _held(volume, pod, workload, inventory)
        if held is None:
            continue
        hidden = next(
            (each for each in (held.unknown, strategy.unknown, replicas) if each is not None and each.unknown), None
        )
        if hidden is None:
            yield _waits(strategy, held, sure=held.alone or fits_on_one_node(workload, 2) is False)
        elif not strategy.may_be_refused or hidden is not strategy.unknown:
            yield undecided("SZ-17", _QUESTION, hidden)
        return


@dataclass(frozen=True)
class _Held:
    """A volume that one node, or one pod (``alone``), holds; ``unknown`` is the value that keeps that open."""

    alone: bool = False
    unknown: Node | None = None


def _held(volume: Node, pod: Pod, workload: Workload, inventory: Inventory) -> _Held | None:
    """What a pod holds alone, None for a volume that a second pod may have too."""
    source = volume if volume.unknown else volume["persistentVolumeClaim"]
    found = claimed(volume, pod, inventory)
    hidden = source if source.unknown else found.unknown if found else None
    if hidden is not None:
        claims = inventory.of_kind(CLAIM)
        return _Held(unknown=hidden) if any(of_one_node(each.node["spec"]) for each in claims) else None
    if found is None or found.resource is None:
        return None
    claim = found.resource.node["spec"]
    hidden = open_modes(claim)
    if hidden is not None:
        return _Held(unknown=hidden)
    alone = ONE_POD in modes(claim)
    shared = not of_one_node(claim) or (not alone and (on_its_node(claim) or fits_on_one_node(workload, 2) is True))
    planned = not alone and pod.resource.ours and fits_on_one_node(workload, 2) is None
    return None if shared or planned else _Held(alone)


def _waits(strategy: Strategy, held: _Held, *, sure: bool) -> Finding:
    where = "" if sure else " unless it starts on the same node"
    message = f"the new pod waits for a volume of mode {ONE_POD if held.alone else 'ReadWriteOnce'}, which the old pod "
    message += f"holds until the new one is ready: the update never ends{where}"
    return Finding("SZ-17", strategy.surge.path, message, _one_leaves(1), Level.ERROR if sure else Level.WARNING)


def _one_leaves(replicas: int) -> str:
    stops = "maxSurge: 0 and maxUnavailable: 1"
    return f"{stops}, with at least 2 replicas so that one serves meanwhile" if replicas < 2 else stops


SURGE = Rule(
    id="SZ-17",
    name="surge-capacity",
    title="A rolling update has a place for the new pods, or stops old ones first",
    question=_QUESTION,
    why="GPU pools are full by design. A new pod that waits for the GPU or the disk of the old one, which waits for "
    "the new one to be ready, never starts: the update hangs until somebody deletes a pod by hand.",
    remediation="Set maxSurge: 0 and maxUnavailable: 1 with at least two replicas, or give the pool room for one more.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="Kubernetes, DeploymentStrategy (25% of each, surge rounded up, unavailable down); defilantech/LLMKube#192, "
    "opendatahub-io/kserve#1822; production-stack#107 (ReadWriteOnce)",
    check=_refused,
    across=_ends,
)
RULES = (SURGE,)
