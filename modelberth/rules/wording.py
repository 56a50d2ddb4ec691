"""How a sizing finding states its arithmetic and the ways out, in numbers and catalog names only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import floor

from modelberth.catalog import Gpu, catalog
from modelberth.engines import Accelerator, Engine, Sizing
from modelberth.fit import Verdict, beside_budget, fit, largest_context, starts
from modelberth.manifests import Workload
from modelberth.memory import Memory
from modelberth.parallel import TENSOR_PARALLEL_SIZES
from modelberth.rules.evaluation import context_argument
from modelberth.units import GIB, gib, tokens


def headline(engine: Engine, sizing: Sizing, memory: Memory) -> str:
    """What is needed, what there is, and the largest context that would do."""
    where = "per GPU" if sizing.accelerator.gpu else "of memory"
    ranks = sizing.tensor_parallel * sizing.pipeline_parallel
    if memory.overflows:
        return f"the engine takes {beside_budget(memory)}"
    if memory.kv_budget_bytes <= 0:
        before = f"before any KV cache {gib(memory.used_bytes)} {where} are needed"
        return f"{before}, {gib(memory.budget_bytes)} may be used"
    slots = _held(engine, sizing)
    each = memory.kv_bytes_for(sizing.context) * slots
    who = f"one request of {tokens(sizing.context)} tokens needs"
    if slots > 1:
        who = f"{slots} slots of {tokens(sizing.context)} tokens need"
    split = f" ({gib(each)} on each of {ranks} GPUs)" if ranks > 1 else ""
    left = f"{gib(memory.kv_budget_bytes)} {where} are left"
    held = f"in {slots} slots" if slots > 1 else "one request at a time"
    largest = f"the largest context that fits is {tokens(largest_sure(engine, sizing, memory))} tokens, {held}"
    return f"{who} {gib(each * ranks)} of KV cache{split}, {left}; {largest}"


def arithmetic(sizing: Sizing, memory: Memory) -> list[str]:
    """The sum, one term to a line."""
    gpu = sizing.accelerator.gpu
    where = f"on each {gpu.name}" if gpu else "memory"
    share = memory.budget_bytes / memory.capacity_bytes
    spent = f" x {share:.2f} = {gib(memory.budget_bytes)}" if memory.budget_bytes != memory.capacity_bytes else ""
    per_token = f"{memory.kv_bytes_per_token / 1024:g} KiB per token: {memory.kv_why}"
    return [
        f"{where}: {gib(memory.capacity_bytes)}{spent}",
        *(f"- {term.name} {gib(term.amount_bytes)} ({term.why})" for term in memory.terms),
        f"= {gib(memory.kv_budget_bytes)} for the KV cache ({per_token})",
    ]


def assumed(workload: Workload) -> list[str]:
    """Which engine version the figures are for, when the image does not say."""
    observed = workload.observed
    if observed is None or not observed.version_assumed:
        return []
    name = catalog().engine(observed.engine).name
    return [f"the image names no version; the figures assume {name} {observed.engine_version}"]


def ways_out(engine: Engine, sizing: Sizing, memory: Memory) -> str:
    """The nearest changes that would do: memory fraction, context, slots, tensor parallel size, GPU."""
    held = memory.kv_bytes_for(sizing.context) * _held(engine, sizing)
    if memory.spare_outside_bytes < 0 and held <= memory.kv_budget_range_bytes[0]:
        return f"a memory fraction of at most {_largest_fraction(memory):g}"
    ways: list[str] = []
    if largest := largest_sure(engine, sizing, memory):
        ways.append(context_argument(engine, sizing, largest))
    slots = int(memory.kv.concurrency(max(0, memory.kv_budget_range_bytes[0]), sizing.context))
    if 0 < slots < _held(engine, sizing):
        ways.append(f"{slots} {'slot' if slots == 1 else 'slots'} of {tokens(sizing.context)} tokens")
    if sizing.accelerator.gpu:
        ways.extend(_larger(engine, sizing, sizing.accelerator.gpu))
    else:
        most_used = memory.budget_bytes - memory.kv_budget_range_bytes[0]
        needed = most_used + memory.kv_bytes_for(sizing.context) * _held(engine, sizing)
        ways.append(f"a memory limit of {-(-needed // GIB)}Gi")
    return "; or ".join(ways) if ways else "quantize the model, or choose a smaller one"


def _largest_fraction(memory: Memory) -> float:
    """The largest share of the card, in hundredths, that leaves room for what lies beside it."""
    beside = sum(term.amount_bytes for term in memory.outside)
    return floor(100 * (memory.capacity_bytes - beside) / memory.capacity_bytes) / 100


def _larger(engine: Engine, sizing: Sizing, gpu: Gpu) -> Iterator[str]:
    """The smallest tensor parallel size on the same GPU, and the smallest other GPU at the same size."""
    sizes = [n for n in TENSOR_PARALLEL_SIZES if n > sizing.tensor_parallel and _offered(gpu, n)]
    size = next((n for n in sizes if _would_fit(engine, replace(sizing, tensor_parallel=n))), None)
    if size:
        yield f"tensor parallel size {size} on {size} x {gpu.name}"
    ranks = sizing.tensor_parallel
    others = sorted(catalog().gpus(), key=lambda other: (other.visible_memory_gib, other.id))
    for other in others:
        accelerator = Accelerator(other, other.visible_memory_bytes)
        if _offered(other, ranks) and _would_fit(engine, replace(sizing, accelerator=accelerator)):
            yield f"{ranks} x {other.name}"
            return


def _offered(gpu: Gpu, count: int) -> bool:
    """Whether a machine type of the catalog has this many of the GPU."""
    return any(machine.gpu_count >= count for machine in catalog().machines(gpu=gpu.id))


def _would_fit(engine: Engine, sizing: Sizing) -> bool:
    memory = fit(engine, sizing).memory
    return memory is not None and starts(engine, sizing, memory) is Verdict.FITS


def largest_sure(engine: Engine, sizing: Sizing, memory: Memory) -> int:
    """Tokens that every request surely could hold, shared evenly where slots reserve them."""
    return largest_context(engine, sizing, memory) if sizing.model.max_position else 0


def _held(engine: Engine, sizing: Sizing) -> int:
    return sizing.concurrency or 1 if engine.reserves_context else 1
