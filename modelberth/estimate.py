"""One row in, one answer out: what an engine would print when it starts, as JSON lines.

A row says how a model is served (see :class:`Row`); the answer says whether the engine starts, what its memory holds
and how fast it is. A row that cannot be understood or sized is ``unknown`` with the reason; no row stops the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from modelberth import compatibility, speed
from modelberth.catalog import Checkpoint, Gpu, Model, catalog
from modelberth.catalog.configs import model_of
from modelberth.compatibility import Subject
from modelberth.errors import ModelberthError, UnknownName
from modelberth.memory import (
    Memory,
    Ranks,
    Setup,
    Term,
    Unsized,
    kv_bytes_per_token,
    memory_of,
    offloadable,
    shape_of,
    stored_as,
    weights_of,
)
from modelberth.names import Quantization
from modelberth.parallel import Served, refusals
from modelberth.rows import Row, row_of
from modelberth.speed import Server, Speed, Traffic, as_measured, saturated
from modelberth.units import GIB
from modelberth.versions import key

Answer = dict[str, Any]


def answers(lines: Iterable[str | bytes]) -> Iterator[Answer]:
    """One answer per line that is not blank, in order."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _answer_to_line(line, number)


def _answer_to_line(line: str | bytes, number: int) -> Answer:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
        return _unknown(None, f"line {number} is {why}")
    if not isinstance(content, dict):
        return _unknown(None, f"line {number} is no JSON object")
    row = cast("dict[str, Any]", content)
    return estimate(row | {"id": _printable(row.get("id"))})


def _printable(row_id: Any) -> Any:
    """The id as it came, None where JSON cannot carry it (NaN)."""
    try:
        json.dumps(row_id, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return row_id


def estimate(content: Mapping[str, Any]) -> Answer:
    """The answer to one row."""
    try:
        row = row_of(content)
        return {"id": row.id, **figures_of(outcome(row))}
    except ModelberthError as error:
        return _unknown(content.get("id"), str(error))
    except Exception as error:
        return _unknown(content.get("id"), f"internal error ({type(error).__name__}): report this row")


def _unknown(row_id: Any, reason: str) -> Answer:
    return {"id": row_id, "verdict": "unknown", "reason": reason}


@dataclass(frozen=True)
class Case:
    """A row with everything it names looked up."""

    row: Row
    model: Model
    setup: Setup


@dataclass(frozen=True)
class Outcome:
    """What a row comes to, with every term behind it. ``memory`` is None where it cannot be computed (``reason``)."""

    case: Case
    verdict: str
    reason: str
    memory: Memory | None
    speed: Speed | None


PRINTED_AS = {"weights": ("weights", "latent copies", "rotary table"), "activation": ("activation",)}
"""Terms that engines print as one figure; every other one is overhead."""


def outcome(row: Row) -> Outcome:
    """Memory, verdict and speed of one row. Raises :class:`ModelberthError` for what the catalog does not know."""
    stated = case_of(row)
    refused = _refused(stated)
    try:
        sized = _sized(stated)
    except Unsized as why:
        verdict, reason = refused or ("unknown", str(why))
        return Outcome(stated, verdict, reason, None, speed_of(stated, None))
    case, memory = min(sized, key=lambda each: each[1].kv_budget_bytes)
    memory = replace(memory, kv=sized[0][1].kv)
    verdict, reason = refused or _verdict(sized, case, memory)
    return Outcome(case, verdict, reason, memory, speed_of(case, memory))


def _refused(case: Case) -> tuple[str, str] | None:
    """Why the engine would not start whatever the memory; unknown where only some of the versions meant refuse."""
    why, *older = ("; ".join(_refusals(case, setup)) for setup in _versions(case))
    if not why:
        return None
    return ("does_not_fit", why) if all(older) else ("unknown", f"engine_version: not stated, and {why}")


def _refusals(case: Case, setup: Setup) -> Iterator[str]:
    """Numbers of ranks, formats and GPUs that this version does not run."""
    engine, version = case.row.engine, setup.engine_version
    served = Served(engine, version, case.model, setup.quantization, setup.expert_parallel)
    for refusal in refusals(served, setup.ranks):
        yield f"{refusal.field}: {refusal.message}"
    if setup.gpu:
        given = setup.quantization, setup.gpu, setup.kv_cache_dtype, case.model.architecture
        for answer in compatibility.answers(engine, version, *given):
            if answer.kind is compatibility.Kind.NO:
                yield f"{answer.subject}: {answer.reason}"


def _sized(case: Case) -> list[tuple[Case, Memory]]:
    """The case and its memory on every version that it may mean, the default one first."""
    if not case.setup.capacity_bytes:
        raise Unsized("gpu: a row names a GPU of the catalog, or its visible memory as gpu_memory_gib")
    return [(replace(case, setup=setup), memory_of(case.row.engine, setup)) for setup in _versions(case)]


def _versions(case: Case) -> Iterator[Setup]:
    """The setup, on every version it may mean: where none is stated, the one that leaves least counts.

    How tokens are counted is the default version's all the same.
    """
    yield case.setup
    facts = catalog().engine(case.row.engine)
    if case.row.engine_version is None:
        first = facts.architectures_since.get(case.setup.shape.architecture, "0")
        for version in facts.sized_versions:
            if key(version) >= key(first):
                yield replace(case.setup, engine_version=version)


def case_of(row: Row) -> Case:
    """The row with model, checkpoint, GPU and engine looked up. Raises :class:`ModelberthError`."""
    model = _model(row)
    gpu = _gpu(row)
    checkpoint = catalog().checkpoint(row.checkpoint or row.model or "")
    quantization = _quantization(row, model, checkpoint)
    known = catalog().file_bytes(model.id, quantization) if row.config is None else None
    setup = Setup(
        shape=shape_of(model),
        stored=stored_as(model, quantization, checkpoint, row.checkpoint_bytes or known),
        engine_version=_version(row),
        capacity_bytes=int((row.gpu_memory_gib or (gpu.visible_memory_gib if gpu else 0)) * GIB),
        gpu=gpu,
        ranks=Ranks(row.tensor_parallel, row.pipeline_parallel, row.data_parallel),
        expert_parallel=row.expert_parallel > 1,
        context=row.context or model.max_position,
        max_num_seqs=row.max_num_seqs,
        max_num_batched_tokens=row.max_num_batched_tokens,
        kv_cache_dtype=row.kv_cache_dtype,
        utilization=row.gpu_memory_utilization,
        enforce_eager=bool(row.enforce_eager),
        lora_slots=row.lora_slots,
        lora_rank=row.lora_rank,
        draft=shape_of(catalog().model(row.draft_model)) if row.draft_model else None,
        kv_offload_bytes=int(row.kv_offload_gib * GIB),
    )
    return Case(row, model, setup)


def _model(row: Row) -> Model:
    if row.config is not None:
        return model_of(row.config, row.model or row.checkpoint or "config")
    if row.model is None:
        raise ModelberthError("model: a row names a model of the catalog, or brings its config")
    try:
        return catalog().model(row.model)
    except UnknownName:
        checkpoint = catalog().checkpoint(row.model)
        if checkpoint is None:
            raise
        return catalog().model(checkpoint.model)


def _quantization(row: Row, model: Model, checkpoint: Checkpoint | None) -> str:
    """What the row states, or what the checkpoint stores. Raises :class:`ModelberthError` when neither is known."""
    if row.quantization:
        return row.quantization.value
    if checkpoint:
        return checkpoint.quantization.value
    if usual := catalog().engine(row.engine).default_quantization:
        return usual.value
    named = model
    if row.checkpoint and row.config is None and row.checkpoint not in (model.id, *model.aliases):
        try:
            named = catalog().model(row.checkpoint)
        except UnknownName:
            raise ModelberthError(f"quantization: checkpoint {row.checkpoint[:80]} is not in the catalog") from None
    return (named.quantization or Quantization.BF16).value


def _version(row: Row) -> str:
    """The version stated, or the catalog's. Raises :class:`ModelberthError` for one that nobody read."""
    facts = catalog().engine(row.engine)
    if row.engine_version is None:
        return facts.default_version
    stated, default = key(row.engine_version), key(facts.default_version)
    oldest = key(facts.oldest_version) if facts.oldest_version else stated
    if (stated[:1] != default[:1] and not facts.default_version.startswith("b")) or stated < oldest:
        read = f"{facts.oldest_version} to {facts.default_version}" if facts.oldest_version else facts.default_version
        raise ModelberthError(f"engine_version: {facts.name} {row.engine_version[:40]} was not read, only {read}")
    return row.engine_version


def _gpu(row: Row) -> Gpu | None:
    return None if row.gpu is None else catalog().gpu(row.gpu)


def _verdict(sized: list[tuple[Case, Memory]], case: Case, memory: Memory) -> tuple[str, str]:
    """Whether memory holds one request, the same on every version that is meant; else unknown."""
    if doubt := _doubt(sized[0][0]):
        return "unknown", doubt
    context, most = case.setup.context, case.model.max_position
    if context is None:
        return "unknown", f"context: {case.model.id} states no maximum, and the row none"
    own = case.row.checkpoint in (None, case.model.id, *case.model.aliases)
    if own and most and context > most:
        return "unknown", f"context: {context} is more than the {most} tokens that {case.model.id} was made for"
    verdict, reason = _held(memory, context)
    if {_held(each, context)[0] for _, each in sized} != {verdict}:
        return "unknown", f"engine_version: {reason} on {case.setup.engine_version}, not so on other versions"
    if verdict == "does_not_fit" and (layers := offloadable(case.row.engine, case.setup)):
        every = case.setup.shape.layers + 1
        return (
            "unknown",
            f"{reason}; it would start with {layers} of {every} layers on the GPU if the host held the rest",
        )
    return verdict, reason


def _doubt(case: Case) -> str:
    """What is not known of this engine on this accelerator; empty where something is."""
    setup = case.setup
    if setup.gpu is None:
        return ""
    given = setup.quantization, setup.gpu, setup.kv_cache_dtype, case.model.architecture
    found = compatibility.answers(case.row.engine, setup.engine_version, *given)
    unknown = (each for each in found if each.kind is compatibility.Kind.UNKNOWN)
    return next((f"{each.subject}: {each.reason}" for each in unknown if each.subject is Subject.ACCELERATOR), "")


def _held(memory: Memory, context: int) -> tuple[str, str]:
    need, least = memory.needed_bytes(context), memory.least_kv
    low, high = memory.kv_budget_range_bytes
    who = least.why if least and need == least.amount_bytes else f"one request of {context} tokens"
    held = f"{_gib(need)} GiB for {who}, {_gib(memory.kv_budget_bytes)} GiB are left"
    if need > high:
        return "does_not_fit", held
    if memory.spare_outside_bytes < 0:
        beside, left = sum(term.amount_bytes for term in memory.outside), memory.capacity_bytes - memory.budget_bytes
        why = f"about {_gib(beside)} GiB are taken beside the budget, {_gib(left)} GiB of the card are left for that"
        return ("does_not_fit", why) if memory.overflows else ("unknown", f"too close to call: {why}")
    if need <= low:
        return "fits", held
    return "unknown", f"too close to call: {held} ({_gib(low)} to {_gib(high)} on nine starts in ten)"


def speed_of(case: Case, memory: Memory | None) -> Speed | None:
    """Speed under the row's traffic, with as many requests as the cache holds where no batch is stated.

    None when the row states no lengths.

    Ranks are read as the measured corpus states them (:func:`modelberth.speed.as_measured`). Requests that the KV cache
    has no room for wait; where the memory is not known, or read for other ranks, all are taken to run.
    """
    row, gpu, setup = case.row, case.setup.gpu, case.setup
    if row.input_tokens is None or row.output_tokens is None:
        return None
    if gpu is None:
        return Speed(reason="not known: a GPU of the catalog is needed")
    stated = Server(
        engine=row.engine,
        gpu=gpu,
        shape=setup.shape,
        stored=setup.stored,
        ranks=setup.ranks,
        expert_ranks=row.expert_parallel,
        selected_tokens=case.model.index_topk,
        kv_cache_dtype=row.kv_cache_dtype,
    )
    traffic = Traffic(row.batch or 1, row.input_tokens, row.output_tokens)
    server, traffic, notes = as_measured(stated, traffic)
    held = memory.kv.concurrency(max(0, memory.kv_budget_bytes), int(traffic.context)) if memory and not notes else 0
    if row.batch is None:
        return saturated(server, traffic, held, setup.max_num_seqs) if held >= 1 else None
    return replace(speed.estimate(server, traffic, held if held >= 1 else None), notes=notes)


def figures_of(found: Outcome) -> Answer:
    """Verdict, figures and their ranges, as an answer carries them."""
    answer: Answer = {"verdict": found.verdict, "reason": found.reason}
    ranges: dict[str, list[float]] = {}
    if found.memory:
        answer |= _memory_figures(found.memory, found.case, ranges)
    else:
        answer |= _sizes(found.case, ranges)
    if found.speed:
        answer |= _speed_figures(found.speed, ranges)
    return answer | {"range": ranges}


def printed_terms(terms: Iterable[Term]) -> dict[str, tuple[Term, ...]]:
    """Terms by the figure of an answer that they are part of."""
    names = {term: figure for figure, terms in PRINTED_AS.items() for term in terms}
    groups: dict[str, list[Term]] = {f"{figure}_gib": [] for figure in (*PRINTED_AS, "overhead")}
    for term in terms:
        groups[f"{names.get(term.name, 'overhead')}_gib"].append(term)
    return {figure: tuple(group) for figure, group in groups.items()}


def _memory_figures(memory: Memory, case: Case, ranges: dict[str, list[float]]) -> Answer:
    figures: Answer = {}
    for name, terms in printed_terms((*memory.terms, *beside(memory))).items():
        figures[name] = _gib(sum(term.amount_bytes for term in terms))
        ranges[name] = [_gib(sum(term.range_bytes[end] for term in terms)) for end in (0, 1)]
    bounds = memory.kv_budget_range_bytes
    figures["kv_bytes_per_token"] = memory.kv_bytes_per_token
    figures["kv_budget_gib"] = _gib(memory.kv_budget_bytes)
    figures["kv_tokens"] = memory.kv_tokens
    ranges["kv_bytes_per_token"] = [memory.kv_bytes_per_token] * 2
    ranges["kv_budget_gib"] = [_gib(bound) for bound in bounds]
    ranges["kv_tokens"] = [memory.kv.tokens(max(0, bound)) for bound in bounds]
    if case.setup.context:
        held = [memory.kv.concurrency(max(0, b), case.setup.context) for b in (memory.kv_budget_bytes, *bounds)]
        figures["max_concurrency"] = round(held[0], 3)
        ranges["max_concurrency"] = [round(bound, 3) for bound in held[1:]]
    return figures


def beside(memory: Memory) -> Iterator[Term]:
    """The activation of engines that keep it beside their budget: it is reported all the same."""
    return (term for term in memory.outside if term.name in PRINTED_AS["activation"])


def _sizes(case: Case, ranges: dict[str, list[float]]) -> Answer:
    """What is known without knowing the card: the weights of a rank, and what a token takes."""
    setup = case.setup
    try:
        terms = weights_of(case.row.engine, setup)
    except Unsized:
        return {}
    ranges["weights_gib"] = [_gib(sum(term.range_bytes[end] for term in terms)) for end in (0, 1)]
    per_token = kv_bytes_per_token(setup.shape, setup.kv_cache_dtype, setup.ranks.tensor, setup.ranks.pipeline)
    ranges["kv_bytes_per_token"] = [per_token] * 2
    return {"weights_gib": _gib(sum(term.amount_bytes for term in terms)), "kv_bytes_per_token": per_token}


def _speed_figures(found: Speed, ranges: dict[str, list[float]]) -> Answer:
    if found.tpot_ms is None:
        return {"speed_reason": found.reason}
    figures: Answer = {
        "tpot_ms": found.tpot_ms,
        "ttft_ms": found.ttft_ms,
        "output_tokens_per_s": found.output_tokens_per_s,
    }
    if found.notes:
        figures["speed_note"] = "; ".join(found.notes)
    stated = (found.tpot_range_ms, found.ttft_range_ms, found.output_tokens_per_s_range)
    for name, bounds in zip(("tpot_ms", "ttft_ms", "output_tokens_per_s"), stated, strict=True):
        if bounds:
            ranges[name] = list(bounds)
    return figures


def _gib(amount_bytes: float) -> float:
    return round(amount_bytes / GIB, 4)
