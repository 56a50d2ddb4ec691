"""How many replicas there are, and what makes them more."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.catalog import catalog
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.manifests import Workload
from modelberth.names import Measure
from modelberth.node import Node
from modelberth.queries import metrics_of
from modelberth.resources import Pod, Resource
from modelberth.rules.autoscalers import (
    LONGEST_PERIOD_S,
    LONGEST_WINDOW_S,
    WINDOW_S,
    Autoscaler,
    Signal,
    autoscaler,
    autoscalers,
    engine_prefix,
    governing,
    known_as,
    legible_query,
    open_target,
    target_of,
)
from modelberth.rules.base import ADVICE, ALWAYS, PROD_ONLY, Rule, Settings, Severity, Threshold, planned, undecided
from modelberth.rules.bounds import without_a_place
from modelberth.rules.capacity import gpu_capacity, room_for
from modelberth.rules.relations import SERVES_ON, cause, resembles
from modelberth.rules.startup import RATES, Loading, loading
from modelberth.units import duration

_BOUNDS = "whether the bounds of the replicas can be met"
_TWO = "whether two replicas serve"
_ENOUGH = 2


def _bounds(resource: Resource, settings: Settings) -> Iterator[Finding]:
    """What the API or KEDA refuses, and what never wakes."""
    scaler = autoscaler(resource)
    if scaler is None:
        return
    for bound in (scaler.least, scaler.most, *([scaler.spec["idleReplicaCount"]] if scaler.is_keda else [])):
        if bound.unknown:
            yield undecided("SZ-15", _BOUNDS, bound)
            return
    least, most = scaler.least_replicas, scaler.most_replicas
    if most is not None and most < 1:
        yield Finding("SZ-15", scaler.most.path, f"at most {most} replicas are none at all", "at least 1")
    elif least is not None and most is not None and least > most:
        default = "" if scaler.most.stated else " (the default)"
        message = f"at least {least} replicas are more than at most {most}{default}"
        yield Finding("SZ-15", scaler.least.path, message, f"at most {most}, or a maximum of at least {least}")
    yield from _idle(scaler)
    if scaler.is_keda and 0 in (least, scaler.spec["idleReplicaCount"].whole()):
        yield from _never_wakes(scaler)
    elif least == 0:
        yield from _asleep(scaler, settings)
    yield from _windows(scaler)


def _idle(scaler: Autoscaler) -> Iterator[Finding]:
    idle, least = scaler.spec["idleReplicaCount"].whole(), scaler.least_replicas
    if scaler.is_keda and idle is not None and least is not None and idle >= least:
        message = f"idleReplicaCount {idle} is not less than minReplicaCount {least}: KEDA refuses it"
        yield Finding("SZ-15", scaler.spec["idleReplicaCount"].path, message, "leave it out, or 0 with a minimum of 1")


def _asleep(scaler: Autoscaler, settings: Settings) -> Iterator[Finding]:
    if settings["hpa_scales_to_zero"]:
        return
    message = "a HorizontalPodAutoscaler with minReplicas 0 is refused unless the cluster has the gate HPAScaleToZero"
    yield Finding("SZ-15", scaler.least.path, message, "minReplicas: 1, or a ScaledObject of KEDA, which can wake pods")


def _never_wakes(scaler: Autoscaler) -> Iterator[Finding]:
    signals = scaler.signals()
    if signals is None:
        triggers = scaler.spec["triggers"]
        yield undecided("SZ-15", "whether anything wakes the service from 0 replicas", cause(triggers) or triggers)
        return
    if not signals or not all(signal.sleeps_with_pods for signal in signals):
        return
    idles = scaler.spec["idleReplicaCount"]
    bound = scaler.least if scaler.least_replicas == 0 else idles
    default = "" if bound.stated else " (the default)"
    name = bound.path.rpartition(".")[2]
    message = f"with {name} 0{default} nothing wakes it: every trigger reads what only running pods tell"
    remedy = "minReplicaCount: 1 without idleReplicaCount, or a trigger on the requests that wait at the gateway"
    yield Finding("SZ-15", bound.path, message, remedy)


def _windows(scaler: Autoscaler) -> Iterator[Finding]:
    for way in ("scaleUp", "scaleDown"):
        rules = scaler.behavior[way]
        stated = [(rules["stabilizationWindowSeconds"], LONGEST_WINDOW_S)]
        stated += [(policy["periodSeconds"], LONGEST_PERIOD_S) for policy in rules["policies"].elements()]
        for length, longest in stated:
            if length.unknown:
                yield undecided("SZ-15", _BOUNDS, length)
                return
            if (length.whole() or 0) > longest:
                message = f"{length.whole()} s are more than the {longest} s that autoscaling/v2 takes"
                yield Finding("SZ-15", length.path, message, f"at most {longest}")


def _together(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    yield from without_a_place(inventory)
    for scaler in autoscalers(inventory):
        target, name = target_of(scaler, inventory), scaler.target["name"]
        bounded = scaler.resource.ours or bool(gpu_capacity(inventory))
        if target is None and name.unknown and bounded and inventory.serving:
            yield scaler.resource, undecided("SZ-15", _BOUNDS, name)
        for pod, workload in _serving(target):
            yield from ((scaler.resource, each) for each in _beyond_pools(scaler, workload, inventory))
            found = loading(pod, workload, settings["mib_per_s"], settings["volume_mib_per_s"])
            if found:
                yield from ((scaler.resource, each) for each in _cooldown(scaler, found))


def _serving(target: Resource | None) -> Iterator[tuple[Pod, Workload]]:
    return ((pod, workload) for pod in (target.pods if target else ()) for workload in pod.serving)


def _beyond_pools(scaler: Autoscaler, workload: Workload, inventory: Inventory) -> Iterator[Finding]:
    most, room = scaler.most_replicas, room_for(workload, inventory)
    if most is None or room is None or most <= room.replicas:
        return
    default = "" if scaler.most.stated else " (the default)"
    gpus = most * (workload.replica_gpus or workload.gpus or 0)
    held = f"the pools {', '.join(room.pools)} have at most {room.gpus}, for {room.replicas} replicas"
    message = f"{most} replicas{default} need {gpus} GPUs, {held}"
    remedy = f"at most {room.replicas} replicas, or more nodes in a pool"
    yield Finding("SZ-15", scaler.most.path, message, remedy)


def _cooldown(scaler: Autoscaler, found: Loading) -> Iterator[Finding]:
    """Replicas that are stopped while they load never served anyone."""
    down = scaler.behavior["scaleDown"]
    ready_s = found.ready_s(ours=scaler.resource.ours)
    needed_s = min(ready_s, LONGEST_WINDOW_S)
    calms: list[Node] = []
    cooldown = scaler.spec["cooldownPeriod"]
    if down["selectPolicy"].text() != "Disabled":
        calms.append(down["stabilizationWindowSeconds"])
    if scaler.is_keda and scaler.least_replicas == 0:
        calms.append(cooldown)
        if cooldown.unknown and scaler.resource.ours:
            yield undecided("SZ-15", _BOUNDS, cooldown)
    for calm in calms:
        given_s = calm.whole() if calm.stated else WINDOW_S
        if given_s is None or given_s >= needed_s:
            continue
        default = "" if calm.stated else ", the default"
        message = (
            f"replicas are stopped after {given_s} s of low load{default}, a new one is ready after about "
            f"{duration(ready_s)}: it may be stopped while it loads"
        )
        yield Finding("SZ-15", calm.path, message, f"at least {needed_s} s", planned(scaler.resource))


def _signal(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    for scaler in autoscalers(inventory):
        target = target_of(scaler, inventory)
        for _, workload in _serving(target):
            yield from ((scaler.resource, each) for each in _followed(scaler, workload))


def _followed(scaler: Autoscaler, workload: Workload) -> Iterator[Finding]:
    signals = scaler.signals()
    if not signals or workload.observed is None:
        return
    engine, version = workload.observed.engine, workload.observed.engine_version
    told = metrics_of(engine, version)
    queue = told.get(Measure.QUEUE) or told.get(Measure.RUNNING)
    instead = f"{queue.name}, the requests that wait" if queue else "the requests that wait at the gateway"
    if all(signal.is_use for signal in signals):
        message = "replicas follow how busy the hardware is, which tells nothing of requests that wait"
        yield Finding("SZ-16", signals[0].node.path, message, f"follow {instead}", Level.WARNING)
    for signal in signals:
        yield from _query(signal)
        for name in signal.of_engine:
            problem = _not_told(name, engine, version)
            if problem:
                yield Finding("SZ-16", signal.node.path, problem, f"follow {instead}", Level.WARNING)


def _query(signal: Signal) -> Iterator[Finding]:
    """A trigger without a query is refused by KEDA, an illegible one answers nothing."""
    kind = signal.node["type"]
    if kind.text() != "prometheus":
        if resembles(kind.text(), "prometheus"):
            yield Finding("SZ-16", kind.path, "is no trigger that KEDA has: it refuses the object", "prometheus")
        return
    query = signal.node.at("metadata", "query")
    if not query.text():
        message = "a trigger of Prometheus without a query: KEDA refuses it"
        yield Finding("SZ-16", query.path, message, "metadata.query")
    elif not legible_query(query.text()):
        message = "Prometheus does not take this query: replicas never change"
        yield Finding("SZ-16", query.path, message, "balanced brackets, and operators between its parts", Level.WARNING)


def _not_told(name: str, engine: str, version: str) -> str:
    """Why an engine of this version does not tell a metric; empty when it does, or nobody knows the metric."""
    facts = catalog().engine(engine)
    owner = engine_prefix(name)
    if owner != engine:
        return f"the metric is one of {catalog().engine(owner).name}, the pods run {facts.name}: it is never told"
    rows = [row for row in known_as(name) if row.engine == engine]
    held = {row.name for row in metrics_of(engine, version).values()}
    near = next((each for each in sorted(held) if resembles(name, each) and not rows), None)
    if near and not near.startswith(name):
        return f"{facts.name} {version} is not known to tell this metric, and one that is called almost so: {near}"
    if not rows or any(row.name in held for row in rows):
        return ""
    ends = next((row.until for row in rows if row.until), None)
    when = f"until {ends}" if ends else f"since {rows[0].since}"
    return f"{facts.name} {version} has no metric {rows[0].name}: it is told {when}"


def _replicated(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """Replicas as stated; where an autoscaler governs them, its minimum."""
    for resource in inventory.of_kind(*SERVES_ON):
        if not resource.workloads:
            continue
        scaler = governing(resource, inventory)
        open_ended = open_target(inventory) if scaler is None else None
        stated = scaler.least if scaler else resource.node.at("spec", "replicas")
        if stated.unknown or open_ended is not None:
            yield resource, undecided("SZ-18", _TWO, open_ended if open_ended is not None else stated)
            continue
        least = (
            scaler.least_replicas if scaler else resource.node.at("spec", "replicas").whole() if stated.stated else 1
        )
        if least is None or least >= _ENOUGH:
            continue
        yield (scaler.resource if scaler else resource), _alone(stated, least, by_autoscaler=scaler is not None)


def _alone(stated: Node, least: int, *, by_autoscaler: bool) -> Finding:
    count = "no replica" if least == 0 else "1 replica"
    who = "the autoscaler may leave" if by_autoscaler else "there is"
    default = "" if stated.stated else " (the default)"
    message = f"{who} {count}{default}: a node that fails, an update or an eviction ends the service for a whole start"
    return Finding("SZ-18", stated.path, message, f"{stated.path.rpartition('.')[2]}: {_ENOUGH}")


BOUNDS = Rule(
    id="SZ-15",
    name="autoscaling-bounds",
    title="The bounds of the replicas can be met",
    question=_BOUNDS,
    why="Bounds that contradict each other are refused; replicas beyond the pools wait forever; a service that nothing "
    "wakes never serves again; replicas that are stopped while they load cost their GPUs and answer nobody.",
    remediation="1 <= minimum <= maximum, a maximum that the pools hold, a wake-up that needs no pod where the minimum "
    "is 0, and at least the time to load between low load and a stop.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="Kubernetes, autoscaling/v2 (HorizontalPodAutoscalerSpec, HPAScalingRules, gate HPAScaleToZero); KEDA, "
    "ScaledObject specification and verifyReplicaCount of its admission webhook; "
    "KServe's own check of minReplicas and maxReplicas",
    check=_bounds,
    across=_together,
    thresholds=(
        *RATES,
        Threshold("hpa_scales_to_zero", False, "Whether the cluster has the feature gate HPAScaleToZero."),
    ),
)
SIGNAL = Rule(
    id="SZ-16",
    name="scaling-signal",
    title="Replicas follow requests, not how busy the hardware is",
    question="whether replicas follow requests",
    why="A batching engine keeps its GPU busy with one request as with a hundred, and the CPU idle with both: only the "
    "queue, the KV cache and the tokens tell when another replica helps. A metric that the engine's version does not "
    "have scales nothing.",
    remediation="Follow the queue, the use of the KV cache or the tokens, under the name that this version has.",
    severity=Severity.MEDIUM,
    levels=ADVICE,
    source="EKS best practices for AI/ML, autoscaling on model performance; catalog/metrics.yaml, recorded pages",
    across=_signal,
)
REPLICAS = Rule(
    id="SZ-18",
    name="two-replicas",
    title="At least two replicas serve",
    question=_TWO,
    why="One replica is down for a whole start, minutes of loading, whenever its node, its pod or its image changes.",
    remediation="replicas: 2, or the minimum of the autoscaler that governs them.",
    severity=Severity.MEDIUM,
    levels=PROD_ONLY,
    foreign=ADVICE,
    source="Kyverno require-deployments-have-multiple-replicas, kube-linter minimum-three-replicas, Polaris "
    "deploymentMissingReplicas",
    across=_replicated,
)
RULES = (BOUNDS, SIGNAL, REPLICAS)
