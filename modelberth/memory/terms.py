"""Named terms in bytes: every figure carries the arithmetic it came from, its source and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot
from typing import Protocol

from modelberth.errors import ModelberthError


class Unsized(ModelberthError):
    """The memory of this model cannot be computed; the verdict is "unknown", never "fits". ``str`` says why."""


@dataclass(frozen=True)
class Term:
    """One part of the sum, per accelerator. ``why`` is the arithmetic in words, ``source`` the formula's origin.

    ``low_bytes`` and ``high_bytes`` hold nine measured engines in ten; equal to the amount where the sum is exact.
    ``since`` is the engine version from which the formula holds, empty where no version is known to differ.
    """

    name: str
    amount_bytes: int
    why: str
    source: str
    low_bytes: int | None = None
    high_bytes: int | None = None
    since: str = ""

    @property
    def range_bytes(self) -> tuple[int, int]:
        """(low, high)."""
        low = self.amount_bytes if self.low_bytes is None else self.low_bytes
        return low, self.amount_bytes if self.high_bytes is None else self.high_bytes


def about(
    name: str, amount_bytes: float, why: str, source: str, low: float = 1.0, high: float = 1.0, since: str = ""
) -> Term:
    """A term whose range is given as factors of its amount."""
    amount = ceil(amount_bytes)
    return Term(name, amount, why, source, int(amount * low), ceil(amount * high), since)


class KvPlan(Protocol):
    """How an engine lays out the KV cache (and states) of one accelerator."""

    @property
    def bytes_per_token(self) -> int:
        """What the cache grows by with every token of a long request."""
        ...

    @property
    def block_tokens(self) -> int:
        """Granularity in tokens."""
        ...

    @property
    def why(self) -> str:
        """The arithmetic of a token in words."""
        ...

    def request_bytes(self, tokens: int) -> int:
        """Bytes that one request of this many tokens takes, rounded up to blocks."""
        ...

    def concurrency(self, available_bytes: int, tokens: int) -> float:
        """Requests of this many tokens that are held at once."""
        ...

    def tokens(self, available_bytes: int) -> int:
        """Tokens held, counted as the engine prints them."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Blocks of ``block_tokens`` tokens, every token alike."""

    bytes_per_token: int
    block_tokens: int
    why: str

    def blocks(self, available_bytes: int) -> int:
        """Whole blocks that fit."""
        return max(0, available_bytes) // (self.bytes_per_token * self.block_tokens)

    def request_bytes(self, tokens: int) -> int:
        """Whole blocks of one request."""
        return -(-tokens // self.block_tokens) * self.block_tokens * self.bytes_per_token

    def concurrency(self, available_bytes: int, tokens: int) -> float:
        """Blocks over blocks of one request."""
        return self.blocks(available_bytes) / -(-tokens // self.block_tokens)

    def tokens(self, available_bytes: int) -> int:
        """Blocks times their tokens."""
        return self.blocks(available_bytes) * self.block_tokens


@dataclass(frozen=True)
class Least:
    """KV cache without which the engine does not start, whatever a request asks, and why."""

    amount_bytes: int
    why: str
    source: str


@dataclass(frozen=True)
class Memory:
    """What one accelerator (or one CPU node's memory) holds when the engine has started.

    ``capacity_bytes`` is what the engine sees, ``budget_bytes`` what it may take, ``terms`` all but the KV cache,
    ``outside`` what it takes beside its budget: with it, the card itself must not overflow. ``host`` is memory of the
    node, per rank.
    ``kv_budget_bytes`` is what remains for the KV cache (negative: the rest alone does not fit).
    """

    engine: str
    capacity_bytes: int
    budget_bytes: int
    terms: tuple[Term, ...]
    kv: KvPlan
    outside: tuple[Term, ...] = ()
    host: tuple[Term, ...] = ()
    least_kv: Least | None = None
    assumes: str = ""
    """Arguments that the figures hold for; an engine left to its own choices may take others."""

    @property
    def kv_bytes_per_token(self) -> int:
        """What the KV cache grows by with every token, per accelerator."""
        return self.kv.bytes_per_token

    @property
    def block_tokens(self) -> int:
        """Granularity of the KV cache in tokens."""
        return self.kv.block_tokens

    @property
    def kv_why(self) -> str:
        """The arithmetic of one token in words."""
        return self.kv.why

    @property
    def used_bytes(self) -> int:
        """All terms but the KV cache."""
        return sum(term.amount_bytes for term in self.terms)

    @property
    def held_bytes(self) -> int:
        """Memory of the node that one rank takes."""
        return sum(term.amount_bytes for term in self.host)

    @property
    def kv_budget_bytes(self) -> int:
        """What remains of the budget for the KV cache; negative when the terms alone exceed it."""
        return self.budget_bytes - self.used_bytes

    @property
    def kv_budget_range_bytes(self) -> tuple[int, int]:
        """(low, high) of what remains: the terms' deviations are independent and added as squares."""
        more = hypot(*(high - term.amount_bytes for term in self.terms for high in term.range_bytes[1:]))
        less = hypot(*(term.amount_bytes - term.range_bytes[0] for term in self.terms))
        return self.kv_budget_bytes - ceil(more), self.kv_budget_bytes + ceil(less)

    @property
    def spare_outside_bytes(self) -> int:
        """What is left of the card beside the budget when everything has started; negative: it would overflow."""
        return self.capacity_bytes - self.budget_bytes - sum(term.amount_bytes for term in self.outside)

    @property
    def overflows(self) -> bool:
        """Whether what lies beside the budget surely overflows the card: even its least is more than is left."""
        least = sum(term.range_bytes[0] for term in self.outside)
        return self.capacity_bytes - self.budget_bytes < least

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache that fit, as the engine counts them."""
        return self.kv.tokens(max(0, self.kv_budget_bytes))

    def term(self, name: str) -> Term | None:
        """The term of this name."""
        return next((term for term in self.terms if term.name == name), None)

    def holds(self, request_tokens: int) -> bool:
        """Whether one request of this many tokens fits the KV cache, and the engine starts."""
        return self.needed_bytes(request_tokens) <= self.kv_budget_bytes

    def needed_bytes(self, request_tokens: int) -> int:
        """KV cache that the engine must have to start with one request of this many tokens."""
        least = self.least_kv.amount_bytes if self.least_kv else 0
        return max(least, self.kv_bytes_for(request_tokens))

    def kv_bytes_for(self, request_tokens: int) -> int:
        """KV cache bytes of one request of this many tokens, per accelerator, rounded up to blocks."""
        return self.kv.request_bytes(request_tokens)

    def largest_request(self, limit_tokens: int, slots: int = 1) -> int:
        """The most tokens, at most ``limit_tokens``, that each of ``slots`` requests can have; 0 when not even one."""
        low, high = 0, limit_tokens
        available = self.kv_budget_bytes // slots
        while low < high:
            middle = -(-(low + high) // 2)
            if self.kv.request_bytes(middle) <= available:
                low = middle
            else:
                high = middle - 1
        return low
