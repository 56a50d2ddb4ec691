"""Does it fit: one model on one kind of accelerator, with how much context, how many requests, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from modelberth.engines import Engine, Sizing
from modelberth.findings import Finding, errors
from modelberth.memory import Memory, Unsized
from modelberth.units import gib, tokens


class Verdict(StrEnum):
    """The three answers; what cannot be computed is unknown, never fits."""

    FITS = "fits"
    DOES_NOT_FIT = "does not fit"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Fit:
    """The answer for one sizing.

    ``largest_context`` is how many tokens one request could hold at the stated concurrency (slots) or alone (pages);
    ``requests`` how many requests of ``request_tokens`` are held at once; ``spare_bytes`` what is left per accelerator
    when ``concurrency`` requests are held. All None when the verdict is unknown.
    """

    verdict: Verdict
    why: str
    memory: Memory | None = None
    largest_context: int | None = None
    requests: int | None = None
    request_tokens: int | None = None
    spare_bytes: int | None = None
    notes: tuple[Finding, ...] = ()


def fit(engine: Engine, sizing: Sizing, typical_tokens: int | None = None) -> Fit:
    """Whether ``sizing`` starts on its engine and holds its concurrency.

    An engine with pages must hold one request of ``context`` tokens (it refuses to start otherwise) and ``concurrency``
    requests of ``typical_tokens``; an engine with slots must hold ``concurrency`` requests of ``context`` tokens.
    """
    objections = engine.objections(sizing)
    stops = errors(objections)
    if stops:
        return Fit(Verdict.DOES_NOT_FIT, "; ".join(finding.message for finding in stops), notes=tuple(objections))
    try:
        memory = engine.memory(sizing)
    except Unsized as reason:
        return Fit(Verdict.UNKNOWN, str(reason), notes=tuple(objections))
    slots = sizing.concurrency or 1
    request_tokens = (
        sizing.context if engine.reserves_context else min(typical_tokens or sizing.context, sizing.context)
    )
    requests = memory.requests_of(request_tokens)
    limit = sizing.model.max_position or memory.kv_tokens
    largest = memory.largest_request(limit, slots if engine.reserves_context else 1)
    needed = max(memory.kv_bytes_for(sizing.context), slots * memory.kv_bytes_for(request_tokens))
    answer = Verdict.FITS
    why = f"holds {tokens(requests)} requests of {tokens(request_tokens)} tokens; largest context {tokens(largest)}"
    if memory.kv_budget_bytes <= 0:
        answer = Verdict.DOES_NOT_FIT
        why = f"needs {gib(memory.used_bytes)} before any KV cache, may take {gib(memory.budget_bytes)}"
    elif largest < sizing.context:
        answer = Verdict.DOES_NOT_FIT
        why = _one_request(engine, sizing, memory, largest)
    elif requests < slots:
        answer = Verdict.DOES_NOT_FIT
        why = f"holds {requests} of {slots} requests of {tokens(request_tokens)} tokens at once"
    spare = memory.kv_budget_bytes - needed
    return Fit(answer, why, memory, largest, requests, request_tokens, spare, tuple(objections))


def _one_request(engine: Engine, sizing: Sizing, memory: Memory, largest: int) -> str:
    where = "per GPU" if sizing.accelerator.gpu else "of memory"
    count = sizing.concurrency or 1
    held = (
        f"{count} requests of {tokens(sizing.context)} tokens need"
        if engine.reserves_context and count > 1
        else (f"one request of {tokens(sizing.context)} tokens needs")
    )
    need = memory.kv_bytes_for(sizing.context) * (count if engine.reserves_context else 1)
    return (
        f"{held} {gib(need)} of KV cache {where}, {gib(memory.kv_budget_bytes)} are left; "
        f"largest context that fits: {tokens(largest)}"
    )
