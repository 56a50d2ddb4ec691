"""The time that loading a model is given before something kills it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from modelberth.catalog import catalog
from modelberth.findings import Finding
from modelberth.host import assumed_mib_per_s, engine_load_seconds, image_pull_seconds, least_load_seconds
from modelberth.manifests import Workload
from modelberth.node import Node
from modelberth.resources import Pod
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, Threshold, per_pod, planned, undecided
from modelberth.rules.loading import loads_at_start, weights_of
from modelberth.units import MIB, duration, gib

PROBE_DEFAULTS = {"initialDelaySeconds": 0, "periodSeconds": 10, "failureThreshold": 3}
"""What the API server fills in: pkg/apis/core/v1/defaults.go of Kubernetes."""
PROGRESS_DEADLINE_S = 600
"""Of a Deployment that states none: pkg/apis/apps/v1/defaults.go of Kubernetes."""
AWAIT_S = 600
"""How long the Kubernetes provider of Pulumi waits for a workload that states no timeout: provider/pkg/await."""
AWAITED = frozenset({"Deployment", "StatefulSet", "Pod"})
TIMEOUT, SKIPS, WAITS = "pulumi.com/timeoutSeconds", "pulumi.com/skipAwait", "pulumi.com/waitFor"
_QUESTION = "whether the model is given the time that it needs to load"


@dataclass(frozen=True)
class Loading:
    """How long a start takes. ``load_s`` is the estimate from the start of the container, ``pull_s`` what comes before
    it on a new node, ``least_s`` what no machine beats.
    """

    load_s: int
    pull_s: int
    least_s: int
    why: str

    def ready_s(self, *, ours: bool) -> int:
        """From the start of the pod to ready; for what others wrote on a node that has the image."""
        return self.load_s + self.pull_s if ours else self.load_s

    def arithmetic(self, *, ours: bool) -> str:
        """How that comes about."""
        pull = f"{duration(self.pull_s)} for the image, " if ours else ""
        return f"about {duration(self.ready_s(ours=ours))} ({pull}{self.why})"


def loading(pod: Pod, workload: Workload, download_mib_per_s: float, volume_mib_per_s: float) -> Loading | None:
    """How long a workload takes to start, None where that is not settled or its server answers before it loads."""
    if not loads_at_start(workload) or workload.gpus is None:
        return None
    weights = weights_of(pod, workload)
    if weights is None:
        return None
    on_gpu, stored = workload.gpus > 0, weights.stored_bytes
    rate = volume_mib_per_s if weights.from_volume else download_mib_per_s
    load_s = ceil(engine_load_seconds(stored, on_gpu=on_gpu, mib_per_s=rate))
    reading_s = ceil(stored / MIB / rate)
    kind = "from a volume" if weights.from_volume else "downloaded"
    why = (
        f"{gib(stored)} {kind} at {rate:g} MiB/s take {duration(reading_s)}, the engine {duration(load_s - reading_s)}"
    )
    pull_s = image_pull_seconds(catalog().engine(workload.engine or "").image_gib) if workload.engine else 0
    least = least_load_seconds(stored, on_gpu=on_gpu, from_volume=weights.from_volume)
    return Loading(load_s, pull_s, ceil(least), why)


def _starts(pod: Pod, settings: Settings) -> Iterator[Finding]:
    for workload in pod.serving:
        found = loading(pod, workload, settings["mib_per_s"], settings["volume_mib_per_s"])
        if found is None:
            continue
        yield from _killed(pod, pod.container_at(workload), found)
        if pod.resource.node.at("spec", "replicas").whole() != 0:
            yield from _deadline(pod, found)
            yield from _awaited(pod, found)


def _killed(pod: Pod, container: Node, found: Loading) -> Iterator[Finding]:
    """The probe that kills a container which does not answer yet: startup, else liveness; readiness kills nothing."""
    probe = container["startupProbe"]
    name = "startup probe"
    if not _is_probe(probe):
        probe, name = container["livenessProbe"], "liveness probe without a startup probe"
    if not _is_probe(probe) or (probe["exec"].stated and not probe.unknown):
        return
    sure_s, cause = _budget(probe)
    needed_s = found.load_s if pod.resource.ours else found.least_s
    if cause is not None:
        if sure_s < needed_s:
            yield undecided("SZ-14", _QUESTION, cause)
        return
    if sure_s >= found.load_s:
        return
    impossible = sure_s < found.least_s
    period = probe["periodSeconds"].whole() or PROBE_DEFAULTS["periodSeconds"]
    failures = -(-2 * found.load_s // period)
    even = f"; even on the fastest storage and with nothing to compile it takes {duration(found.least_s)}"
    message = (
        f"the {name} kills the container after {duration(sure_s)}, loading takes about {duration(found.load_s)} "
        f"({found.why}){even if impossible else ''}"
    )
    remedy = f"startupProbe with periodSeconds {period} and failureThreshold {failures}, and no initialDelaySeconds"
    yield Finding("SZ-14", probe.path, message, remedy, planned(pod.resource, impossible=impossible))


def _is_probe(probe: Node) -> bool:
    return probe.unknown or bool(probe.names())


def _budget(probe: Node) -> tuple[int, Node | None]:
    """(seconds until it kills, as far as known; the value that keeps it open)."""
    if probe.unknown:
        return 0, probe
    delay, period, failures = (probe[name] for name in PROBE_DEFAULTS)
    cause = next((each for each in (delay, period, failures) if each.unknown), None)
    delay_s = 0 if delay.unknown else delay.whole() or 0
    if period.unknown or failures.unknown:
        return delay_s, cause
    period_s = period.whole() or PROBE_DEFAULTS["periodSeconds"]
    return delay_s + period_s * (failures.whole() or PROBE_DEFAULTS["failureThreshold"]), cause


def _deadline(pod: Pod, found: Loading) -> Iterator[Finding]:
    """The time after which a Deployment counts as failed; its pods go on."""
    if pod.resource.kind != "Deployment":
        return
    deadline = pod.resource.node.at("spec", "progressDeadlineSeconds")
    if deadline.unknown:
        if pod.resource.ours:
            yield undecided("SZ-14", _QUESTION, deadline)
        return
    given_s, ours = deadline.whole() or PROGRESS_DEADLINE_S, pod.resource.ours
    if given_s >= found.ready_s(ours=ours):
        return
    stated = "" if deadline.stated else ", the default"
    message = (
        f"the rollout counts as failed after {given_s} s{stated}, a pod is ready after {found.arithmetic(ours=ours)}"
    )
    yield Finding("SZ-14", deadline.path, message, f"progressDeadlineSeconds: {_twice(found)}", planned(pod.resource))


def _awaited(pod: Pod, found: Loading) -> Iterator[Finding]:
    """How long the provider waits before it calls the deployment failed. An option wins over the annotation."""
    resource = pod.resource
    annotations = resource.node.at("metadata", "annotations")
    if not resource.from_program:
        return
    if annotations.unknown:
        if resource.ours and resource.kind in AWAITED:
            yield undecided("SZ-14", _QUESTION, annotations)
        return
    if resource.kind not in AWAITED and not annotations[WAITS].stated:
        return
    if annotations[SKIPS].flag() or annotations[SKIPS].unknown:
        return
    for option, stated in (
        ("create", resource.options.create_timeout_s),
        ("update", resource.options.update_timeout_s),
    ):
        annotation = annotations[TIMEOUT]
        if stated is None and annotation.unknown:
            if resource.ours:
                yield undecided("SZ-14", _QUESTION, annotation)
            return
        given_s = stated if stated is not None else annotation.whole() or AWAIT_S
        if given_s >= found.ready_s(ours=resource.ours):
            continue
        default = "" if stated is not None or annotation.stated else ", the default"
        told = found.arithmetic(ours=resource.ours)
        message = f"the {option} fails after {given_s:g} s{default}, a pod is ready after {told}"
        remedy = f"customTimeouts with create and update of {_twice(found)}s"
        yield Finding("SZ-14", "metadata.annotations", message, remedy, planned(pod.resource))
        return


def _twice(found: Loading) -> int:
    return -(-2 * found.ready_s(ours=True) // 60) * 60


RATES = (
    Threshold(
        "mib_per_s",
        assumed_mib_per_s(from_volume=False),
        "How fast weights arrive that are on no volume, MiB/s.",
        least=1,
    ),
    Threshold(
        "volume_mib_per_s",
        assumed_mib_per_s(from_volume=True),
        "How fast weights are read from a volume, MiB/s.",
        least=1,
    ),
)
"""What a team knows better than the assumptions of the catalog."""
BUDGET = Rule(
    id="SZ-14",
    name="startup-budget",
    title="The model is given the time that it needs to load",
    question=_QUESTION,
    why=(
        "Loading takes minutes. A liveness probe without a startup probe counts from the first second and kills the "
        "container while it loads, again and again; an initialDelaySeconds is a guess that every healthy restart waits "
        "for, and on a readiness probe it protects from nothing."
    ),
    remediation=(
        "Give the serving container a startupProbe whose periodSeconds x failureThreshold is twice the time to load, "
        "and raise progressDeadlineSeconds and the customTimeouts of the resource with it."
    ),
    severity=Severity.HIGH,
    levels=ALWAYS,
    source=(
        "Kubernetes: Configure Liveness, Readiness and Startup Probes; pulumi-kubernetes, provider/pkg/await (600 s); "
        "kserve/kserve#5062, vllm-project/vllm#17386, vllm-project/aibrix#772"
    ),
    check=per_pod(_starts),
    thresholds=RATES,
)
RULES = (BUDGET,)
