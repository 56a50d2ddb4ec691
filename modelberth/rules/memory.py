"""Shares of GPU memory: utilization, adapters, slices, and cards that are far too large."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.catalog import catalog
from modelberth.findings import Finding, Level
from modelberth.manifests import Workload
from modelberth.memory.vllm import default_utilization
from modelberth.node import Node
from modelberth.observed import Observed
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, Threshold, undecided

_FRACTIONS = {"sglang": "mem_fraction_static", "vllm": "gpu_memory_utilization"}
"""Engines that take their share of a card when they start, by the flag that states it. TGI takes a tenth less than it
is told, TensorRT-LLM a share of what is free after loading."""
_STATES = _FRACTIONS | {"tensorrt_llm": "kv_cache_free_gpu_memory_fraction", "tgi": "cuda_memory_fraction"}
_VISIBLE = "NVIDIA_VISIBLE_DEVICES"


def _share(resource: Resource, settings: Settings) -> Iterator[Finding]:
    most = float(settings["most"])
    for workload in resource.workloads:
        if workload.observed and workload.observed.gpu_memory_utilization is not None:
            yield from _within(workload, workload.observed, workload.observed.gpu_memory_utilization, most)
    for pod in resource.pods:
        yield from _together(pod)


def _within(workload: Workload, observed: Observed, share: float, most: float) -> Iterator[Finding]:
    flag = f"--{_STATES.get(observed.engine, 'gpu_memory_utilization').replace('_', '-')}"
    path, shown = workload.arguments_path, f"{flag} {share:g}"
    if not 0 < share <= 1:
        percent = 1 < share <= 100
        remedy = (
            f"{flag} {min(share / 100, most):g}: it is a share of the card, no percentage" if percent else f"{flag} 0.9"
        )
        yield Finding("SZ-11", path, f"does not start: {shown} is not a share between 0 and 1", remedy)
    elif share == 1 and observed.engine == "vllm":
        message = f"does not start: {shown} asks for the whole card, of which the driver keeps a part for itself"
        yield Finding("SZ-11", path, message, f"{flag} {most:g} at most")
    elif share > most and observed.engine in _FRACTIONS:
        message = f"{shown} is more than {most:g}: what lies beside the share, and varies, has no room left"
        yield Finding("SZ-11", path, message, f"{flag} {most:g} at most", Level.WARNING)


def _together(pod: Pod) -> Iterator[Finding]:
    """Engines of one pod that see the same GPUs: each takes its share of the whole card when it starts."""
    shared: dict[str, list[tuple[Workload, Observed]]] = {}
    for workload in pod.serving:
        observed, container = workload.observed, pod.container_at(workload)
        if observed is None or observed.engine not in _FRACTIONS:
            continue
        for device in _devices(container):
            if device.unknown and len(pod.serving) > 1:
                yield undecided("SZ-11", SHARE.question, device)
            elif device.text():
                shared.setdefault(device.text(), []).append((workload, observed))
    told: set[tuple[str, ...]] = set()
    for users in shared.values():
        names = tuple(workload.path for workload, _ in users)
        shares = [_taken(observed) for _, observed in users]
        known = [share for share in shares if share is not None]
        if len(users) < 2 or len(known) < len(users) or sum(known) <= 1 or names in told:
            continue
        told.add(names)
        added = " + ".join(f"{share:g}" for share in known)
        message = f"{len(users)} engines share their GPUs and take {added} = {sum(known):g} of each card"
        remedy = f"shares that sum to at most 1: {0.95 / len(users):.2g} each"
        yield Finding("SZ-11", users[-1][0].arguments_path, f"does not start: {message}", remedy)


def _devices(container: Node) -> Iterator[Node]:
    """What says that a container uses GPUs which others may use too: claims, or all that the node has."""
    claims = container.at("resources", "claims")
    yield from ([claims] if claims.unknown else (claim["name"] for claim in claims.elements()))
    for variable in container["env"].elements():
        if variable["name"].text() == _VISIBLE and variable["value"].text() not in ("", "none", "void"):
            yield variable["value"]


def _taken(observed: Observed) -> float | None:
    """The share that an engine takes; None where it hangs on the GPU or cannot be known."""
    if observed.gpu_memory_utilization is not None:
        return observed.gpu_memory_utilization
    stated = {fact for fact, _ in observed.undecided}
    if observed.engine != "vllm" or _FRACTIONS[observed.engine] in stated:
        return None
    return default_utilization(catalog().engine("vllm"), observed.engine_version)


SHARE = Rule(
    id="SZ-11",
    name="gpu-memory-share",
    title="The share of GPU memory leaves room beside it",
    question="whether the share of GPU memory leaves room beside it",
    why="A share outside 0 to 1 is refused; one close to 1 leaves nothing for the driver, and two add up.",
    remediation="State a share such as 0.9; engines that use the same GPU share it between them.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="vLLM's own refusals: config/cache.py (0 < share <= 1), v1/worker/utils.py (free memory on start-up)",
    check=_share,
    thresholds=(Threshold("most", 0.97, "Largest share of the card that is not advised against.", 0.5, 1.0),),
)
RULES = (SHARE,)
