"""Shares of GPU memory: utilization, adapters, slices, and cards that are far too large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelberth.catalog import Gpu, catalog
from modelberth.devices import VISIBLE
from modelberth.engines import Accelerator, Engine, Sizing
from modelberth.findings import Finding, Level
from modelberth.fit import Verdict, fit, starts
from modelberth.manifests import Workload, legible_record
from modelberth.memory.vllm import default_utilization
from modelberth.node import Node
from modelberth.observed import Observed
from modelberth.parallel import TENSOR_PARALLEL_SIZES
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, ALWAYS, Rule, Settings, Severity, Threshold, undecided
from modelberth.rules.evaluation import evaluate
from modelberth.units import gib, tokens

_FRACTIONS = {"sglang": "mem_fraction_static", "vllm": "gpu_memory_utilization"}
"""Engines that take their share of a card when they start, by the flag that states it. TGI takes a tenth less than it
is told, TensorRT-LLM a share of what is free after loading."""
_STATES = _FRACTIONS | {"tensorrt_llm": "kv_cache_free_gpu_memory_fraction", "tgi": "cuda_memory_fraction"}


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
    yield from (claim["name"] for claim in claims.each())
    for variable in container["env"].elements():
        if variable["name"].text() == VISIBLE and variable["value"].text() not in ("", "none", "void"):
            yield variable["value"]


def _taken(observed: Observed) -> float | None:
    """The share that an engine takes; None where it hangs on the GPU or cannot be known."""
    if observed.gpu_memory_utilization is not None:
        return observed.gpu_memory_utilization
    stated = {fact for fact, _ in observed.undecided}
    if observed.engine != "vllm" or _FRACTIONS[observed.engine] in stated:
        return None
    return default_utilization(catalog().engine("vllm"), observed.engine_version)


def _no_larger_than_needed(resource: Resource, settings: Settings) -> Iterator[Finding]:
    """Silent on what our plans decided: they take the least that holds a service unless its spec states more. A GPU
    that the record does not name is none of theirs.
    """
    for workload in resource.workloads:
        if resource.ours and _planned(workload):
            continue
        found = evaluate(workload)
        engine, sizing = found.engine, found.sizing
        if engine is None or sizing is None or found.answer is None or found.answer.memory is None:
            continue
        gpu = sizing.accelerator.gpu
        if gpu is None or workload.mig_profile or starts(engine, sizing, found.answer.memory) is not Verdict.FITS:
            continue
        load = _load(workload, engine, sizing, int(settings["requests"]))
        option = _fewer(engine, sizing, load) or _cheaper(
            workload, engine, sizing, load, gpu, float(settings["factor"])
        )
        if option:
            held = f"{load.requests} {'request' if load.requests == 1 else 'requests'} of {tokens(load.tokens)} tokens"
            message = f"more than {held} need: {option}"
            yield Finding(
                "SZ-19", workload.path, message, "take it, unless more requests or speed are wanted", Level.WARNING
            )


def _planned(workload: Workload) -> bool:
    record = legible_record(workload.sizing_record or "") or {}
    return record.get("accelerator") in (None, workload.gpu)


@dataclass(frozen=True)
class _Load:
    """Requests that are held at once, and tokens in each."""

    requests: int
    tokens: int


def _load(workload: Workload, engine: Engine, sizing: Sizing, otherwise: int) -> _Load:
    """What the sizing record states, or the slots that a server reserves; else so many of full length."""
    record = Node(legible_record(workload.sizing_record or "") or {}, "")
    requests, length = record["concurrency"].whole(), record["request_tokens"].whole()
    if engine.reserves_context:
        return _Load(sizing.concurrency or 1, sizing.context)
    return _Load(requests, length) if requests and length else _Load(otherwise, sizing.context)


def _needed_bytes(engine: Engine, sizing: Sizing, load: _Load) -> int | None:
    """Memory of one GPU that the load takes at most; None where it surely does not fit or cannot be computed."""
    memory = fit(engine, sizing).memory
    if memory is None or starts(engine, sizing, memory) is not Verdict.FITS:
        return None
    sure = memory.kv_budget_range_bytes[0]
    if memory.kv.concurrency(max(0, sure), load.tokens) < load.requests:
        return None
    held = max(memory.needed_bytes(sizing.context), load.requests * memory.kv_bytes_for(load.tokens))
    return memory.budget_bytes - sure + held + sum(term.amount_bytes for term in memory.outside)


def _fewer(engine: Engine, sizing: Sizing, load: _Load) -> str:
    """The smallest tensor parallel size on the same GPU that holds the load too; empty where this is the smallest."""
    if sizing.accelerator.gpu is None:
        return ""
    for size in TENSOR_PARALLEL_SIZES:
        if size >= sizing.tensor_parallel:
            return ""
        if _needed_bytes(engine, replace(sizing, tensor_parallel=size), load) is not None:
            return f"tensor parallel size {size} on {size} x {sizing.accelerator.gpu.name} holds them"
    return ""


def _cheaper(workload: Workload, engine: Engine, sizing: Sizing, load: _Load, gpu: Gpu, factor: float) -> str:
    """The cheapest smaller GPU of the same clouds that holds the load, where this one has far more than is needed."""
    needed = _needed_bytes(engine, sizing, load)
    if needed is None or gpu.visible_memory_bytes <= factor * needed:
        return ""
    clouds = _clouds(workload, gpu)
    here = _usd_per_hour(gpu, clouds, sizing.tensor_parallel)
    options: list[tuple[float, str]] = []
    for other in catalog().gpus():
        price = _usd_per_hour(other, clouds, sizing.tensor_parallel)
        if price is None or here is None or price >= here or other.visible_memory_gib >= gpu.visible_memory_gib:
            continue
        placed = replace(sizing, accelerator=Accelerator(other, other.visible_memory_bytes))
        if _needed_bytes(engine, placed, load) is not None:
            options.append((price, other.name))
    if not options or here is None:
        return ""
    price, name = min(options)
    spent = f"{gib(needed)} of {gib(gpu.visible_memory_bytes)} are needed"
    return f"{spent}, {sizing.tensor_parallel} x {name} holds them for {price:.2f} instead of {here:.2f} USD per hour"


def _clouds(workload: Workload, gpu: Gpu) -> frozenset[str]:
    if workload.machine:
        return frozenset({catalog().machine(workload.machine).cloud})
    return frozenset(machine.cloud for machine in catalog().machines(gpu=gpu.id))


def _usd_per_hour(gpu: Gpu, clouds: frozenset[str], count: int) -> float | None:
    """The cheapest machine with so many of the GPU; None where none is on offer or no price is known."""
    offers = [machine for machine in catalog().machines(gpu=gpu.id) if machine.cloud in clouds]
    prices = [catalog().price(machine.id) for machine in offers if machine.gpu_count >= count]
    return min((price.usd_per_hour for price in prices if price), default=None)


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
NO_LARGER = Rule(
    id="SZ-19",
    name="no-larger-than-needed",
    title="The GPUs are no larger than needed",
    question="whether the GPUs are no larger than needed",
    why="Memory that nothing fills is paid for by the hour.",
    remediation="Take the smaller option that the finding names, or state the concurrency that needs this one.",
    severity=Severity.LOW,
    levels=ADVICE,
    source="the same sum as SZ-01, with prices of modelberth/catalog/prices",
    check=_no_larger_than_needed,
    thresholds=(
        Threshold("factor", 3.0, "How many times the memory needed a GPU may have.", 1.0),
        Threshold("requests", 16, "Requests of full length that are counted where nothing states how many.", 1),
    ),
)
RULES = (SHARE, NO_LARGER)
