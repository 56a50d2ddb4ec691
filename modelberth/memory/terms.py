"""Named terms in bytes: every figure carries the arithmetic it came from."""

from __future__ import annotations

from dataclasses import dataclass

from modelberth.errors import ModelberthError


class Unsized(ModelberthError):
    """The memory of this model cannot be computed; the verdict is "unknown", never "fits". ``str`` says why."""


@dataclass(frozen=True)
class Term:
    """One part of the sum, per accelerator. ``why`` is the arithmetic in words, ``source`` the formula's origin."""

    name: str
    amount_bytes: int
    why: str
    source: str


@dataclass(frozen=True)
class Memory:
    """What one accelerator (or one CPU node's memory) holds when the engine has started.

    ``capacity_bytes`` is what the engine sees, ``budget_bytes`` what it may take, ``terms`` all but the KV cache.
    ``kv_budget_bytes`` is what remains for the KV cache (negative: the rest alone does not fit).
    ``block_tokens`` is the granularity of the KV cache in tokens, ``kv_bytes_per_token`` its size per accelerator.
    """

    engine: str
    capacity_bytes: int
    budget_bytes: int
    terms: tuple[Term, ...]
    kv_bytes_per_token: int
    block_tokens: int
    kv_why: str

    @property
    def used_bytes(self) -> int:
        """All terms but the KV cache."""
        return sum(term.amount_bytes for term in self.terms)

    @property
    def kv_budget_bytes(self) -> int:
        """What remains of the budget for the KV cache; negative when the terms alone exceed it."""
        return self.budget_bytes - self.used_bytes

    @property
    def kv_blocks(self) -> int:
        """Whole blocks of KV cache that fit; 0 when nothing is left."""
        return max(0, self.kv_budget_bytes) // (self.kv_bytes_per_token * self.block_tokens)

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache that fit."""
        return self.kv_blocks * self.block_tokens

    def blocks_for(self, request_tokens: int) -> int:
        """Blocks that one request of this many tokens takes."""
        return -(-request_tokens // self.block_tokens)

    def requests_of(self, request_tokens: int) -> int:
        """How many requests of this many tokens are held at once."""
        return self.kv_blocks // self.blocks_for(request_tokens)

    def kv_bytes_for(self, request_tokens: int) -> int:
        """KV cache bytes of one request of this many tokens, per accelerator, rounded up to blocks."""
        return self.blocks_for(request_tokens) * self.block_tokens * self.kv_bytes_per_token
