"""How a model is served: everything that memory and speed depend on, whatever the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelberth.catalog import Gpu
from modelberth.memory.shapes import Cache, Shape
from modelberth.memory.terms import Unsized
from modelberth.memory.weights import ONE, Ranks, Stored

SIXTEEN_BIT_DRAFT = Stored("bf16")
"""Draft models are small, and stored as they were trained."""


@dataclass(frozen=True)
class Setup:
    """One replica. None means the engine's own default for this version and accelerator.

    ``capacity_bytes`` is what one accelerator shows, or the memory of a CPU node that pods may use (not ``on_gpu``);
    ``gpu`` is None where only the memory is known.
    ``context`` counts tokens of one request, ``max_num_seqs`` requests at once (slots of llama.cpp and Ollama),
    ``max_num_batched_tokens`` tokens of one step. ``utilization`` is the engine's memory fraction
    (gpu_memory_utilization, mem_fraction_static, cuda_memory_fraction, free_gpu_memory_fraction).
    ``graph_batch`` is the largest batch whose decode SGLang captures.
    ``gpu_layers`` are the layers that llama.cpp offloads (None: all).
    """

    shape: Shape
    stored: Stored
    engine_version: str
    capacity_bytes: int
    gpu: Gpu | None
    on_gpu: bool = True
    ranks: Ranks = ONE
    expert_parallel: bool = False
    context: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_dtype: str = "auto"
    utilization: float | None = None
    graph_batch: int | None = None
    enforce_eager: bool = False
    prefix_caching: bool | None = None
    gpu_layers: int | None = None
    lora_slots: int = 0
    lora_rank: int = 16
    draft: Shape | None = None
    draft_stored: Stored = SIXTEEN_BIT_DRAFT
    draft_tokens: int = 0
    mtp_layers: int = 0
    """Layers of the model's own that draft (multi-token prediction); 0 where it does not draft by itself."""
    kv_offload_bytes: int = 0

    @property
    def quantization(self) -> str:
        """Format of the weights."""
        return self.stored.quantization

    @property
    def draft_caches(self) -> tuple[Cache, ...]:
        """What the drafting layers keep per request: those of the draft model, or more layers like the model's own."""
        if self.draft is not None:
            return self.draft.caches
        return tuple(replace(cache, layers=self.mtp_layers) for cache in self.shape.caches if self.mtp_layers)

    def carries_nothing_else(self, engine: str) -> None:
        """Raises :class:`Unsized` for adapters, drafts and KV cache on the host, which this engine's sum leaves out."""
        for has, what in (
            (self.lora_slots, "adapters"),
            (self.draft or self.draft_tokens, "speculative decoding"),
            (self.kv_offload_bytes, "KV cache in the node's memory"),
        ):
            if has:
                raise Unsized(f"the memory that {engine} takes for {what} is not known")
