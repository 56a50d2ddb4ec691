"""A model as a list of equal parts and of what its layers keep per request: all that sizing needs, all known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from modelberth.memory.terms import Unsized


class Role(StrEnum):
    """What a part is for; formats and engines treat parts by role."""

    EMBEDDING = "embedding"
    OUTPUT = "output"
    NORM = "norm"
    ATTENTION = "attention"
    INDEXER = "indexer"
    LINEAR_ATTENTION = "linear_attention"
    MLP = "mlp"
    SHARED_EXPERTS = "shared_experts"
    EXPERTS = "experts"
    ROUTER = "router"
    VISION = "vision"


class Split(StrEnum):
    """How tensor parallel ranks share a part."""

    VOCABULARY = "vocabulary"
    EVEN = "even"
    KV_HEADS = "kv_heads"
    EXPERTS = "experts"
    REPLICATED = "replicated"


@dataclass(frozen=True)
class Part:
    """``count`` equal tensors of ``rows`` (outputs) x ``columns`` (inputs), named as in GGUF files.

    ``per_layer`` is how many of them one layer holds (the experts), ``heads`` the KV heads among the rows. A part of
    one row (norms, biases) is never quantized, nor is one with ``linear=False`` (convolutions).
    """

    name: str
    role: Role
    rows: int
    columns: int
    count: int
    split: Split
    heads: int = 0
    per_layer: int = 1
    linear: bool = True

    @property
    def elements(self) -> int:
        """Elements of all of them."""
        return self.rows * self.columns * self.count

    @property
    def layers(self) -> int:
        """Layers that hold it."""
        return self.count // self.per_layer


class Keeps(StrEnum):
    """What a layer keeps of a request."""

    EVERYTHING = "full"
    WINDOW = "sliding"
    STATE = "state"


@dataclass(frozen=True)
class Cache:
    """What ``layers`` equal layers keep per request. Sizes are element counts of one layer, on all ranks together.

    ``heads`` KV heads of ``elements`` (keys and values) per token; ``latent`` caches hold one head that every tensor
    parallel rank keeps in full. ``extra_bytes`` per token and layer are kept in their own type whatever the KV cache's
    (a sparse attention index). ``every`` tokens share one entry (compressed attention). A state has ``conv_elements``
    in 16 bit and ``state_elements`` of ``state_bytes`` each, both shared evenly by the ranks.
    """

    name: str
    keeps: Keeps
    layers: int
    heads: int = 0
    elements: int = 0
    latent: bool = False
    window: int = 0
    extra_bytes: int = 0
    every: int = 1
    conv_elements: int = 0
    state_elements: int = 0
    state_bytes: int = 4

    def heads_on_rank(self, tensor_parallel: int) -> int:
        """KV heads of one rank."""
        return self.heads if self.latent else kv_heads_per_rank(self.heads, tensor_parallel)


@dataclass(frozen=True)
class Shape:
    """A decoder: ``layers`` counts all blocks, ``heads`` query heads; a token visits ``active_experts``."""

    id: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """Widest dense feed-forward part of a layer, in elements per token."""
    vocab: int
    tied: bool
    parts: tuple[Part, ...]
    caches: tuple[Cache, ...]
    experts: int = 0
    active_experts: int = 0
    expert_intermediate: int = 0
    moe_layers: int = 0
    rotary_elements: int = 0
    """Elements of the table of cosines and sines: positions x rotary width."""

    def __hash__(self) -> int:
        return hash((self.id, self.architecture, self.layers, self.hidden, self.vocab))

    @cached_property
    def parameters(self) -> int:
        """All parameters, every expert counted."""
        return sum(part.elements for part in self.parts)

    @cached_property
    def active_parameters(self) -> int:
        """Parameters that one token touches."""
        share = self.active_experts / self.experts if self.experts else 1
        return sum(int(p.elements * share) if p.role is Role.EXPERTS else p.elements for p in self.parts)

    def of(self, *roles: Role) -> tuple[Part, ...]:
        """The parts of these roles."""
        return tuple(part for part in self.parts if part.role in roles)

    @property
    def latent(self) -> bool:
        """Whether attention is multi-head latent attention."""
        return any(cache.latent for cache in self.caches)

    @property
    def uniform(self) -> bool:
        """Whether every layer that keeps something keeps every token, all alike."""
        return len(self.caches) == 1 and self.caches[0].keeps is Keeps.EVERYTHING


def kv_heads_per_rank(kv_heads: int, tensor_parallel: int) -> int:
    """KV heads that one tensor parallel rank holds: at least one, replicated when there are fewer heads than ranks.

    Source: vLLM 0.33.0, model_executor/layers/linear.py, QKVParallelLinear: ``max(1, total_kv_heads // tp)``.
    """
    return max(1, kv_heads // tensor_parallel)


def elements_on_rank(part: Part, tensor_parallel: int, expert_ranks: int) -> int:
    """Elements of a part on one rank of a stage; experts are shared by ``expert_ranks`` (tensor x data parallel)."""
    match part.split:
        case Split.REPLICATED:
            return part.elements
        case Split.EVEN | Split.VOCABULARY:
            return -(-part.elements // tensor_parallel)
        case Split.KV_HEADS:
            return part.elements * kv_heads_per_rank(part.heads, tensor_parallel) // part.heads
        case Split.EXPERTS:
            return -(-part.elements // expert_ranks)
    raise Unsized(f"no rule for {part.split}")
