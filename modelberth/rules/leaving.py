"""Pods leave after their requests, and a rollout never takes all of them."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor

from modelberth.engines.base import image_parts
from modelberth.engines.lifecycle import EXIT_S, LEAVE_ENDPOINTS_S
from modelberth.findings import Finding
from modelberth.manifests import Workload
from modelberth.node import Node
from modelberth.observed import UNKNOWN
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, IN_PROD, Rule, Settings, Severity, Threshold, undecided
from modelberth.rules.commands import arguments, unknown_words
from modelberth.rules.relations import SERVES_ON, cause

DEFAULT_GRACE_S = 30
"""terminationGracePeriodSeconds where nothing is stated (Kubernetes, Pod Lifecycle)."""
_FINISH = frozenset({"sglang", "tgi"})
"""Engines that finish their requests after the signal by themselves: docs/adr/0012."""
_ROLLS = {
    "Deployment": ("spec", "strategy", "rollingUpdate"),
    "LeaderWorkerSet": ("spec", "rolloutStrategy", "rollingUpdateConfiguration"),
}


def _orderly(resource: Resource, settings: Settings) -> Iterator[Finding]:
    if resource.kind not in SERVES_ON or not resource.workloads:
        return
    yield from _rollout(resource)
    for pod in resource.pods:
        for workload in pod.serving[:1]:
            yield from _leaves(pod, workload, int(settings["drain_s"]))


def _rollout(resource: Resource) -> Iterator[Finding]:
    """A share of the replicas is rounded down (Kubernetes, Deployments, Max Unavailable)."""
    replicas, strategy = resource.node.at("spec", "replicas"), resource.node.at("spec", "strategy", "type")
    count = replicas.whole() if replicas.stated else 1
    if strategy.unknown and count != 1:
        yield undecided("WH-10", "whether an update leaves replicas", strategy)
    if strategy.text() == "Recreate" and count != 1:
        message = f"an update stops all {count or ''} replicas before it starts new ones".replace("  ", " ")
        yield Finding("WH-10", strategy.path, message, "type: RollingUpdate")
    steps = _ROLLS.get(resource.kind)
    if steps is None or strategy.text() == "Recreate":
        return
    away = resource.node.at(*steps)["maxUnavailable"]
    if away.unknown:
        yield undecided("WH-10", "whether an update leaves replicas", away)
    elif replicas.unknown and away.stated and away.whole() != 0:
        yield undecided("WH-10", "whether an update leaves replicas", replicas)
    elif away.stated and count is not None and count > 1:
        taken = floor(away.share(count) or 0)
        if taken >= count:
            message = f"an update may take {taken} of {count} replicas away at once: none is left"
            yield Finding("WH-10", away.path, message, f"maxUnavailable: 0, or at most {count - 1}")


def _leaves(pod: Pod, workload: Workload, drain_s: int) -> Iterator[Finding]:
    container, grace = pod.container_at(workload), pod.spec["terminationGracePeriodSeconds"]
    hook = container.at("lifecycle", "preStop")
    before = _sleep(hook)
    if isinstance(before, Node):
        yield undecided("WH-10", ORDERLY.question, before)
        return
    if before is None:
        return
    needed = LEAVE_ENDPOINTS_S + drain_s + EXIT_S
    if not hook.value and not grace.stated:
        message = (
            f"it stops at once, while requests still arrive for about {LEAVE_ENDPOINTS_S} s, "
            f"and is killed after {DEFAULT_GRACE_S} s"
        )
        finishes = workload.engine in (*_FINISH, "vllm", None)
        sleep_s = LEAVE_ENDPOINTS_S if finishes else LEAVE_ENDPOINTS_S + drain_s
        told = f", and --shutdown-timeout {drain_s}" if workload.engine == "vllm" else ""
        remedy = f"a preStop sleep of {sleep_s} s and terminationGracePeriodSeconds: {needed}{told}"
        yield Finding("WH-10", hook.path, message, remedy)
        return
    if before < LEAVE_ENDPOINTS_S:
        said = f"it sleeps {before} s before the signal to stop" if before else "nothing keeps it from stopping at once"
        message = f"{said}, and requests still arrive for about {LEAVE_ENDPOINTS_S} s"
        yield Finding("WH-10", hook.path, message, f"preStop: {{sleep: {{seconds: {LEAVE_ENDPOINTS_S}}}}}")
    grace_s = grace.whole() if grace.stated else DEFAULT_GRACE_S
    if grace.unknown:
        yield undecided("WH-10", ORDERLY.question, grace)
    elif grace_s is not None and grace_s < max(needed, before + EXIT_S):
        needed = max(needed, before + EXIT_S)
        message = (
            f"it is killed after {grace_s} s; to leave, to finish requests of {drain_s} s and to end takes {needed} s"
        )
        yield Finding("WH-10", grace.path, message, f"terminationGracePeriodSeconds: {needed}")
    yield from _finishes(workload, container, hook, before, drain_s)


def _finishes(workload: Workload, container: Node, hook: Node, before: int, drain_s: int) -> Iterator[Finding]:
    """Requests get their time before the signal where the engine gives them none after it."""
    if workload.engine is None or workload.engine in _FINISH or before >= LEAVE_ENDPOINTS_S + drain_s:
        return
    repository, _, _ = image_parts(container["image"].text())
    if repository.rsplit("/", 1)[-1] == "tritonserver":
        return
    parsed = arguments(workload, container)
    if workload.engine == "vllm" and parsed is not None:
        stated = parsed.values.get("shutdown_timeout")
        node = next(unknown_words(container), None) if stated is UNKNOWN else None
        if node:
            yield undecided("WH-10", ORDERLY.question, node)
        given = Node(stated, "").whole() if isinstance(stated, str) else None
        if parsed.opaque or (given is not None and given >= drain_s) or (stated is not None and given is None):
            return
        message = f"vLLM cuts requests off after {given or 0} s when it is told to stop"
        remedy = f"--shutdown-timeout {drain_s}, or a preStop sleep of {LEAVE_ENDPOINTS_S + drain_s} s"
        yield Finding("WH-10", workload.arguments_path, message, remedy)
        return
    if workload.observed is None:
        return
    message = f"the server ends requests when it is told to stop, and they have {before} s before"
    remedy = f"preStop: {{sleep: {{seconds: {LEAVE_ENDPOINTS_S + drain_s}}}}}"
    yield Finding("WH-10", hook.path, message, remedy)


def _sleep(hook: Node) -> int | Node | None:
    """Seconds that a pod sleeps before the signal; the value that is not known, None for a hook that does else."""
    open_ended = cause(hook)
    if open_ended:
        return open_ended
    if not hook.value:
        return 0
    seconds, command = hook.at("sleep", "seconds"), hook.at("exec", "command")
    if hook["sleep"].value:
        return seconds.whole() or 0
    words = " ".join(word.text() for word in command.elements()).split()
    if len(words) >= 2 and words[-2].rsplit("/", 1)[-1] == "sleep":
        return Node(words[-1].removesuffix("s"), "").whole()
    return None


ORDERLY = Rule(
    id="WH-10",
    name="orderly-leave",
    title="Pods finish their requests before they leave, and never all at once",
    question="whether pods have time to finish their requests",
    why="Every rollout and every drain stops pods; requests in flight are cut off, and new ones meet closed ports.",
    remediation="A preStop sleep, a grace period that requests fit into, and a rolling update that leaves replicas.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    foreign=ADVICE,
    source="docs/adr/0012-requests-get-their-time-before-the-signal.md; KServe, test_prestop_hook (15 s)",
    check=_orderly,
    thresholds=(
        Threshold("drain_s", 90, "Seconds that a request in flight has when its pod leaves.", least=0, most=3600),
    ),
)
RULES = (ORDERLY,)
