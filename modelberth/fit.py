"""Does it fit: one model on one kind of accelerator, with how much context, how many requests, and what is left.

Figures are planned on the low end of what the engine may leave for the KV cache (nine starts in ten leave more): what
only fits when the engine is lucky is "too close to call", not "fits".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from modelberth.engines import ENGINES, Sizing
from modelberth.findings import Finding, errors
from modelberth.memory import Memory, Unsized
from modelberth.units import gib, tokens

TOO_CLOSE = "too close to call"


class Verdict(StrEnum):
    """The three answers; what cannot be computed is unknown, never fits."""

    FITS = "fits"
    DOES_NOT_FIT = "does not fit"
    UNKNOWN = "unknown"


class Sizer(Protocol):
    """What sizing needs of an engine; every :class:`~modelberth.engines.Engine` is one."""

    @property
    def name(self) -> str:
        """Catalog id."""
        ...

    @property
    def reads_gguf(self) -> bool:
        """Whether weights are GGUF files."""
        ...

    @property
    def reserves_context(self) -> bool:
        """Whether every request holds a full context (slots) rather than the tokens it uses (pages)."""
        ...

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What it cannot do."""
        ...

    def memory(self, sizing: Sizing) -> Memory:
        """The sum for one accelerator. Raises :class:`~modelberth.memory.Unsized`."""
        ...


def sizer(engine: str) -> Sizer:
    """The engine of this id. Raises KeyError."""
    return ENGINES[engine]


def sized_engines() -> tuple[str, ...]:
    """Ids of the engines that :func:`sizer` knows."""
    return tuple(sorted(ENGINES))


@dataclass(frozen=True)
class Fit:
    """The answer for one sizing.

    ``largest_context`` is how many tokens one request can surely hold at the stated concurrency (slots) or alone
    (pages); ``requests`` how many requests of ``request_tokens`` are surely held at once; ``spare_bytes`` what is left
    per accelerator, by the estimate itself, when ``concurrency`` requests are held. All None when nothing could be
    computed; with a ``memory`` an unknown verdict means too close to call.
    """

    verdict: Verdict
    why: str
    memory: Memory | None = None
    largest_context: int | None = None
    requests: int | None = None
    request_tokens: int | None = None
    spare_bytes: int | None = None
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Need:
    """What the KV cache must hold: one request of ``context`` tokens, and ``requests`` of ``request_tokens`` at once.

    An engine that ``reserves`` its context must hold ``requests`` of ``context`` tokens.
    """

    context: int
    requests: int
    request_tokens: int
    reserves: bool

    def held_by(self, memory: Memory, available_bytes: int) -> bool:
        """Whether this much KV cache holds all of it."""
        return self.one_held_by(memory, available_bytes) and self.most_held_by(memory, available_bytes) >= self.requests

    def one_held_by(self, memory: Memory, available_bytes: int) -> bool:
        """Whether the engine would start: one request, or all slots."""
        slots = self.requests if self.reserves else 1
        enough = memory.least_kv is None or memory.least_kv.amount_bytes <= available_bytes
        return enough and memory.kv_bytes_for(self.context) * slots <= available_bytes

    def most_held_by(self, memory: Memory, available_bytes: int) -> int:
        """Requests held at once."""
        return int(memory.kv.concurrency(max(0, available_bytes), self.request_tokens))

    def bytes_in(self, memory: Memory) -> int:
        """KV cache that it takes, per accelerator."""
        return max(memory.kv_bytes_for(self.context), self.requests * memory.kv_bytes_for(self.request_tokens))


def fit(engine: Sizer, sizing: Sizing, typical_tokens: int | None = None) -> Fit:
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
    need = _need(engine, sizing, typical_tokens)
    sure = memory.kv_budget_range_bytes[0]
    largest = largest_context(engine, sizing, memory)
    verdict, why = _verdict(need, sizing, memory, largest)
    return Fit(
        verdict,
        why,
        memory,
        largest_context=largest,
        requests=need.most_held_by(memory, sure),
        request_tokens=need.request_tokens,
        spare_bytes=memory.kv_budget_bytes - need.bytes_in(memory),
        notes=tuple(objections),
    )


def largest_context(engine: Sizer, sizing: Sizing, memory: Memory) -> int:
    """Tokens that one request (every slot, for an engine that reserves them) surely has; 0 when not even one."""
    slots = (sizing.concurrency or 1) if engine.reserves_context else 1
    available = memory.kv_budget_range_bytes[0] // slots
    low, high = 0, sizing.model.max_position or memory.kv_tokens
    if available <= 0 or memory.kv_bytes_for(high) <= available:
        return high if available > 0 else 0
    while low < high:
        middle = -(-(low + high) // 2)
        if memory.kv_bytes_for(middle) <= available:
            low = middle
        else:
            high = middle - 1
    return low


def starts(engine: Sizer, sizing: Sizing, memory: Memory) -> Verdict:
    """Whether the engine starts at all: one request of ``context`` (all slots), however many more are wished for."""
    need = _need(engine, sizing, None)
    low, high = memory.kv_budget_range_bytes
    if memory.overflows or not need.one_held_by(memory, high):
        return Verdict.DOES_NOT_FIT
    sure = memory.spare_outside_bytes >= 0 and need.one_held_by(memory, low)
    return Verdict.FITS if sure else Verdict.UNKNOWN


def beside_budget(memory: Memory) -> str:
    """What lies beside the budget, and what the card has left for it."""
    amount, left = sum(term.amount_bytes for term in memory.outside), memory.capacity_bytes - memory.budget_bytes
    return f"about {gib(amount)} beside its budget, {gib(left)} of the card are left for that"


def _need(engine: Sizer, sizing: Sizing, typical_tokens: int | None) -> Need:
    reserves = engine.reserves_context
    each = sizing.context if reserves else min(typical_tokens or sizing.context, sizing.context)
    return Need(sizing.context, sizing.concurrency or 1, each, reserves)


def _verdict(need: Need, sizing: Sizing, memory: Memory, largest: int) -> tuple[Verdict, str]:
    low, high = memory.kv_budget_range_bytes
    if high <= 0:
        before = f"needs {gib(memory.used_bytes)} before any KV cache"
        return Verdict.DOES_NOT_FIT, f"{before}, may take {gib(memory.budget_bytes)}"
    if not need.held_by(memory, high):
        return Verdict.DOES_NOT_FIT, _lacks(need, sizing, memory, high, largest)
    if memory.spare_outside_bytes < 0:
        why = f"takes {beside_budget(memory)}"
        return (Verdict.DOES_NOT_FIT, why) if memory.overflows else (Verdict.UNKNOWN, f"{TOO_CLOSE}: {why}")
    if need.held_by(memory, low):
        held = f"holds {tokens(need.most_held_by(memory, low))} requests of {tokens(need.request_tokens)} tokens"
        return Verdict.FITS, f"{held}; largest context {tokens(largest)}"
    lacks = _lacks(need, sizing, memory, low, largest)
    return Verdict.UNKNOWN, f"{TOO_CLOSE}, the KV cache gets {gib(low)} to {gib(high)}: {lacks}"


def _lacks(need: Need, sizing: Sizing, memory: Memory, available_bytes: int, largest: int) -> str:
    if need.one_held_by(memory, available_bytes):
        held = need.most_held_by(memory, available_bytes)
        return f"holds {held} of {need.requests} requests of {tokens(need.request_tokens)} tokens at once"
    where = "per GPU" if sizing.accelerator.gpu else "of memory"
    least = memory.least_kv
    if least and not need.reserves and memory.kv_bytes_for(need.context) <= available_bytes < least.amount_bytes:
        return f"{least.why} needs {gib(least.amount_bytes)} {where}, {gib(memory.kv_budget_bytes)} are left"
    count = need.requests if need.reserves else 1
    who = f"{count} requests of {tokens(need.context)} tokens need"
    if count == 1:
        who = f"one request of {tokens(need.context)} tokens needs"
    taken = memory.kv_bytes_for(need.context) * count
    left = f"{gib(memory.kv_budget_bytes)} are left"
    return f"{who} {gib(taken)} of KV cache {where}, {left}; largest context that fits: {tokens(largest)}"
