"""Every figure of an estimate taken apart: each term with its amount, arithmetic, constants, source, version and range.

Nothing is computed a second time: figures come from :func:`modelberth.estimate.figures_of`, terms from the memory and
the speed behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from modelberth.catalog import catalog
from modelberth.engines.base import setup_of
from modelberth.estimate import Answer, Case, Outcome, beside, figures_of, printed_terms
from modelberth.memory import Memory, Setup, Term, Unsized, weights_of
from modelberth.memory.gguf import BYTES_PER_BLOCK, Tensor, tensors
from modelberth.memory.kv import cache_arithmetic, state_bytes, token_bytes
from modelberth.memory.shapes import Cache, Keeps, Part, Role
from modelberth.memory.vllm_cache import PagedKv
from modelberth.memory.weights import bytes_per_parameter, part_bytes, stage_parts
from modelberth.names import Quantization
from modelberth.plan import Plan, sizing_of
from modelberth.rows import Row
from modelberth.speed import Speed
from modelberth.speed import Term as SpeedTerm
from modelberth.speed.constants import constants
from modelberth.units import gib, tokens
from modelberth.versions import entry


@dataclass(frozen=True)
class Line:
    """One term. ``since`` is the engine version from which it holds (empty: no version is known to differ)."""

    term: str
    amount: float
    unit: str
    formula: str
    source: str
    since: str = ""
    low: float | None = None
    high: float | None = None
    constants: tuple[tuple[str, float], ...] = ()

    @property
    def range(self) -> tuple[float, float]:
        """(low, high), both the amount where the term is exact."""
        return (self.amount if self.low is None else self.low), (self.amount if self.high is None else self.high)


@dataclass(frozen=True)
class Figure:
    """One figure of an answer. Its lines add up to ``amount`` (``adds_up``), or are the steps that end in it."""

    name: str
    amount: float
    unit: str
    low: float
    high: float
    lines: tuple[Line, ...]
    adds_up: bool = True


@dataclass(frozen=True)
class Explanation:
    """A row, its answer and what every figure is made of."""

    title: str
    answer: Answer
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


def explain(found: Outcome) -> Explanation:
    """The same figures as :func:`modelberth.estimate.estimate`, with every term behind them."""
    answer = figures_of(found)
    lines = dict(_lines(found))
    figures = tuple(_figure(name, answer, lines[name]) for name in lines if name in answer)
    return Explanation(_title(found.case), answer, figures, tuple(_notes(found)))


def _figure(name: str, answer: Answer, lines: tuple[Line, ...]) -> Figure:
    low, high = answer["range"][name]
    return Figure(name, answer[name], _unit(name), low, high, lines, name not in IN_STEPS)


def explain_plan(plan: Plan) -> Explanation:
    """The memory of a planned service, as its plan found it."""
    decision = plan.decision
    setup = setup_of(sizing_of(decision, plan.model))
    named = {"model": plan.model.id, "engine": decision.engine, "engine_version": decision.engine_version}
    row = Row.model_validate(named)
    verdict = plan.fit.verdict.value.replace(" ", "_")
    return explain(Outcome(Case(row, plan.model, setup), verdict, plan.fit.why, plan.fit.memory, None))


IN_STEPS = frozenset({"kv_tokens", "max_concurrency", "output_tokens_per_s"})
"""Figures that are no sums."""

UNITS = {
    "_gib": "GiB",
    "_ms": "ms",
    "kv_bytes_per_token": "B",
    "kv_tokens": "tokens",
    "max_concurrency": "requests",
} | {"output_tokens_per_s": "tokens/s"}


def _unit(figure: str) -> str:
    return next(unit for end, unit in UNITS.items() if figure.endswith(end))


def _title(case: Case) -> str:
    setup, ranks = case.setup, case.setup.ranks
    card = setup.gpu.name if setup.gpu else "accelerator" if setup.on_gpu else "CPU node"
    parts = [f"{case.model.id} as {setup.quantization}", f"{case.row.engine} {setup.engine_version}"]
    split = [(ranks.tensor, "tensor"), (ranks.pipeline, "pipeline"), (ranks.data, "data")]
    how = ", ".join(f"{name} parallel {size}" for size, name in split if size > 1)
    parts.append(f"{ranks.gpus} x {card}" + (f" ({how})" if how else ""))
    if setup.context:
        parts.append(f"context {tokens(setup.context)}")
    return ", ".join(parts)


def _notes(found: Outcome) -> Iterator[str]:
    if found.memory and found.memory.assumes:
        yield f"assumes {found.memory.assumes}"
    if found.memory:
        if found.case.row.engine_version is None:
            yield f"no engine version is stated: {found.case.setup.engine_version} leaves the least of those sized"
        for term in found.memory.outside:
            yield f"beside the budget: {term.name} {gib(term.amount_bytes)}, {term.why} ({term.source})"
    if found.speed:
        yield from found.speed.notes
        if found.speed.reason:
            yield f"speed: {found.speed.reason}"


def _lines(found: Outcome) -> Iterator[tuple[str, tuple[Line, ...]]]:
    setup, memory = found.case.setup, found.memory
    terms = (*memory.terms, *beside(memory)) if memory else _weights(found)
    for figure, group in printed_terms(terms).items():
        yield figure, tuple(line for term in group for line in _term_lines(term, setup)) or (_nothing(found),)
    if memory:
        yield "kv_budget_gib", tuple(_budget_lines(memory, setup))
    yield "kv_bytes_per_token", tuple(_token_lines(setup, memory))
    if memory:
        yield "kv_tokens", (*_steps(memory, setup.context), _tokens_step(memory))
        if setup.context:
            yield "max_concurrency", (_concurrency_step(memory, setup.context),)
    if found.speed and found.speed.tpot_ms is not None:
        engine = found.case.row.engine
        yield "tpot_ms", _speed_lines(found.speed.tpot_terms, TPOT_CONSTANTS, engine)
        yield "ttft_ms", _speed_lines(found.speed.ttft_terms, TTFT_CONSTANTS, engine)
        yield "output_tokens_per_s", (_throughput_line(found.speed, found.case.row),)


def _throughput_line(found: Speed, row: Row) -> Line:
    running = f"{found.running or 0:,.0f} requests at once on each data parallel rank"
    whose = "as many as the KV cache holds: " if row.batch is None else ""
    formula = f"{whose}{running}, {row.output_tokens} tokens each in TTFT + {(row.output_tokens or 1) - 1} x TPOT"
    amount, bounds = found.output_tokens_per_s or 0.0, found.output_tokens_per_s_range or (None, None)
    low, high = bounds
    return Line("throughput", amount, "tokens/s", formula, "the closed loop of TPOT and TTFT", low=low, high=high)


def _nothing(found: Outcome) -> Line:
    engine = found.case.row.engine
    formula = "this engine charges nothing of the kind to its budget"
    return Line("nothing", 0, "bytes", formula, f"modelberth.memory.{engine}")


def _weights(found: Outcome) -> tuple[Term, ...]:
    try:
        return weights_of(found.case.row.engine, found.case.setup)
    except Unsized:
        return ()


# --- memory -----------------------------------------------------------------------------------------------------------


def _term_lines(term: Term, setup: Setup) -> Iterator[Line]:
    """A term as one line; the weights part by part."""
    if term.name != "weights":
        yield _line(term)
        return
    parts = tuple(_gguf_lines(setup) if Quantization(setup.quantization).is_gguf else _part_lines(setup, term))
    yield from parts
    summed = sum(line.amount for line in parts)
    rest, (low, high) = term.amount_bytes - summed, term.range_bytes
    if abs(rest) >= 1 or low < high:
        formula = f"what the engine's layout and the stored files change: {term.why}"
        yield Line("as loaded", rest, "bytes", formula, term.source, term.since, low - summed, high - summed)


def _line(term: Term, sign: int = 1) -> Line:
    low, high = sorted(sign * bound for bound in term.range_bytes)
    return Line(term.name, sign * term.amount_bytes, "bytes", term.why, term.source, term.since, low, high)


def _part_lines(setup: Setup, term: Term) -> Iterator[Line]:
    shape, stored, ranks = setup.shape, setup.stored, setup.ranks
    held = stage_parts(shape, part_bytes(shape, stored, ranks), ranks.pipeline)
    for part, amount in held.items():
        kind = stored.kind_of(part, experts=bool(shape.experts))
        size = bytes_per_parameter(kind, stored.group_size, symmetric=stored.symmetric)
        formula = f"{_part_in_words(part)}{_share(part, amount / size)} x {size:.6g} B ({kind})"
        constant = (f"bytes per element in {kind}", size)
        yield Line(f"{part.role}: {part.name}", amount, "bytes", formula, term.source, constants=(constant,))


def _part_in_words(part: Part) -> str:
    size = f"{part.rows:,} x {part.columns:,}" if part.rows > 1 else f"{part.columns:,}"
    return size if part.count == 1 else f"{part.count:,} x {size}"


def _share(part: Part, held: float) -> str:
    """How much of a part a rank holds: one rank's share, or with padding more than the part."""
    ratio = part.elements / held
    if abs(ratio - round(ratio)) < 1e-6:
        return f" / {round(ratio)}" if ratio > 1.5 else ""
    return f", with padding and replicas {held:,.0f} elements on this rank,"


def _gguf_lines(setup: Setup) -> Iterator[Line]:
    """By part and type; the input embedding stays in host memory unless the output layer is the same tensor."""
    kinds: dict[tuple[Part, str], list[Tensor]] = {}
    for tensor in tensors(setup.shape, setup.quantization):
        if tensor.part.role is not Role.EMBEDDING or setup.shape.tied or not setup.on_gpu:
            kinds.setdefault((tensor.part, tensor.kind), []).append(tensor)
    for (part, kind), held in kinds.items():
        size, block = BYTES_PER_BLOCK[kind]
        elements, layers = sum(tensor.elements for tensor in held), {tensor.layer for tensor in held}
        where = f" in {len(layers)} layers" if None not in layers else ""
        formula = f"{elements:,} elements{where} x {size}/{block} B ({kind})"
        amount, each = sum(tensor.bytes for tensor in held), (f"bytes per element in {kind}", size / block)
        yield Line(f"{part.role}: {part.name}", amount, "bytes", formula, GGUF_SOURCE, constants=(each,))


GGUF_SOURCE = "ggml-org/llama.cpp@b11434:src/llama-quant.cpp, ggml/src/ggml-common.h"


def _budget_lines(memory: Memory, setup: Setup) -> Iterator[Line]:
    seen = setup.gpu.visible_memory_source if setup.gpu else "stated"
    yield Line("visible memory", memory.capacity_bytes, "bytes", "what the card shows to the engine", seen)
    beside = memory.budget_bytes - memory.capacity_bytes
    share = memory.budget_bytes / memory.capacity_bytes
    source, since = _share_source(memory, setup)
    formula = (
        f"the engine takes {share:.4g} of it and leaves the rest alone" if beside else "the engine takes all of it"
    )
    yield Line("outside the budget", beside, "bytes", formula, source, since, constants=(("memory fraction", share),))
    for term in memory.terms:
        yield _line(term, sign=-1)


def _share_source(memory: Memory, setup: Setup) -> tuple[str, str]:
    """Where the memory fraction comes from, and from which version it is the default."""
    facts = catalog().engine(memory.engine).gpu_memory_utilization_default
    if setup.utilization is not None or not facts:
        return "stated" if setup.utilization is not None else _model(memory), ""
    known = entry(facts, setup.engine_version)
    return known.source, "" if known.since == "0.0.0" else known.since


def _token_lines(setup: Setup, memory: Memory | None) -> Iterator[Line]:
    """What every token takes, by kind of layer; kinds that do not grow with it take nothing per token."""
    tensor, stages = setup.ranks.tensor, setup.ranks.pipeline
    lines = [_cache_line(cache, setup, tensor, stages) for cache in setup.shape.caches if cache.layers]
    total = memory.kv_bytes_per_token if memory else sum(line.amount for line in lines)
    if memory and abs(sum(line.amount for line in lines) - total) >= 1:
        yield Line("KV cache", total, "bytes", memory.kv_why, KV_SOURCE)
        return
    yield from lines


KV_SOURCE = "config.json and vLLM 0.33.0, v1/kv_cache_interface.py (page size); the same sum in every engine"


def _cache_line(cache: Cache, setup: Setup, tensor: int, stages: int) -> Line:
    dtype, layers = setup.kv_cache_dtype, -(-cache.layers // stages)
    if cache.keeps is Keeps.STATE:
        formula = f"{layers} layers keep {state_bytes(cache, tensor):,} B per request, whatever its length"
        return Line(cache.name, 0, "bytes", formula, KV_SOURCE)
    per_token = layers * token_bytes(cache, dtype, tensor)
    if cache.keeps is Keeps.WINDOW:
        size, window = float(token_bytes(cache, dtype, tensor)), tokens(cache.window)
        formula = f"{layers} layers keep the last {window} tokens of {size:,.0f} B each, then no more"
        return Line(cache.name, 0, "bytes", formula, KV_SOURCE)
    stage = f", {layers} of them on this stage" if stages > 1 else ""
    return Line(cache.name, float(per_token), "bytes", cache_arithmetic(cache, dtype, tensor) + stage, KV_SOURCE)


def _steps(memory: Memory, context: int | None) -> Iterator[Line]:
    """From the budget to blocks and what one request takes of them."""
    budget, low, high = (max(0, bound) for bound in (memory.kv_budget_bytes, *memory.kv_budget_range_bytes))
    yield Line("KV budget", budget, "bytes", "what the other terms leave", "kv_budget_gib", "", low, high)
    if isinstance(memory.kv, PagedKv):
        yield from _paged_steps(memory.kv, budget)
    if context:
        blocks = f", in whole blocks of {memory.block_tokens} tokens" if memory.block_tokens > 1 else ""
        formula = f"one request of {tokens(context)} tokens{blocks}"
        yield Line("one request", memory.kv_bytes_for(context), "bytes", formula, _model(memory))


PAGES_SOURCE = "v1/core/kv_cache_planning.py (before 0.33: v1/core/kv_cache_utils.py)"


def _paged_steps(kv: PagedKv, budget: int) -> Iterator[Line]:
    pages, context = kv.pages, kv.pages.settings.max_model_len
    width = (
        f"pages of {len(pages.groups)} groups of layers share one pool" if len(pages.groups) > 1 else "one page each"
    )
    yield Line("block", pages.block_bytes, "bytes", f"one block of every layer: {width}", PAGES_SOURCE)
    blocks = budget // pages.block_bytes
    yield Line("blocks", blocks, "blocks", "KV budget / block, whole ones", PAGES_SOURCE)
    for group in pages.groups:
        names = " + ".join(f"{layers} {paged.spec.name}" for paged, layers in group.members)
        formula = f"blocks of {group.block_tokens} tokens that a request of {tokens(context)} tokens holds"
        yield Line(f"group {names}", group.pages(context, pages.settings), "blocks", formula, PAGES_SOURCE)


def _model(memory: Memory) -> str:
    return f"modelberth.memory.{memory.engine}"


def _tokens_step(memory: Memory) -> Line:
    low, high = (memory.kv.tokens(max(0, bound)) for bound in memory.kv_budget_range_bytes)
    if isinstance(memory.kv, PagedKv):
        newer = memory.kv.pages.settings.since("0.20.1")
        formula = "concurrency x context, as the engine prints it" if newer else "blocks / groups x tokens of a block"
        return Line("tokens", memory.kv_tokens, "tokens", formula, PAGES_SOURCE, "0.20.1" if newer else "", low, high)
    formula = "KV budget / bytes per token, whole blocks"
    return Line("tokens", memory.kv_tokens, "tokens", formula, _model(memory), "", low, high)


def _concurrency_step(memory: Memory, context: int) -> Line:
    amount, low, high = (
        memory.kv.concurrency(max(0, budget), context)
        for budget in (memory.kv_budget_bytes, *memory.kv_budget_range_bytes)
    )
    formula, source = f"KV budget / what one request of {tokens(context)} tokens takes", _model(memory)
    if isinstance(memory.kv, PagedKv):
        pages, budget = memory.kv.pages, max(0, memory.kv_budget_bytes)
        formula = f"{budget // pages.block_bytes:,} blocks / {pages.blocks_per_request(context):,} of one request"
        source = PAGES_SOURCE
    return Line("requests", amount, "requests", formula, source, "", low, high)


# --- speed ------------------------------------------------------------------------------------------------------------

_EXPERTS = ("expert_read", "expert_compute", "hopper_experts")
_PREFILL = ("prompt_compute", *_EXPERTS, "prompt_exchange")
_LAYERS = ("attention_layer_ms", "latent_layer_ms", "state_layer_ms", "index_layer_ms", "expert_layer_ms")
TPOT_CONSTANTS: Mapping[str, tuple[str, ...]] = {
    "weights": ("weight_read", "four_bit_read", "compute"),
    "experts": _EXPERTS,
    "cache": ("cache_read", "compute"),
    "kernels": (*_LAYERS, "routing_ms", "quantize_ms", "hopper_experts", "hopper_kernels", "kernels_{engine}"),
    "exchange": ("all_reduce_ms", "exchange"),
    "prompts": (*_PREFILL, "prompt_launch_ms"),
    "requests": ("request_ms",),
}
"""Fitted figures of every term of a decode step, but for those that enter through other terms (speed.formulas)."""
TTFT_CONSTANTS: Mapping[str, tuple[str, ...]] = {
    "prompt": (*_PREFILL, "first_prompt", "own_prompt", "first_launch_ms_{engine}"),
    "queue": (*_PREFILL, "first_prompt", "queue", "queue_launch", "first_launch_ms_{engine}"),
    "steps": ("first_steps",),
    "frontend": ("frontend_ms",),
    "cache_full": (),
}
"""The same of a first token."""


def _speed_lines(terms: Iterable[SpeedTerm], names: Mapping[str, tuple[str, ...]], engine: str) -> tuple[Line, ...]:
    fit = constants()
    lines: list[Line] = []
    for term in terms:
        used = (name.format(engine=engine) for name in names.get(term.name, ()))
        values = tuple((name, fit[name]) for name in used)
        lines.append(Line(term.name, term.amount_ms, "ms", term.why, term.source, constants=values))
    return tuple(lines)
