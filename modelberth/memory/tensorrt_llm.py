"""What TensorRT-LLM's PyTorch backend takes of one GPU, and the KV cache that it sizes by what is left.

KV cache = free_gpu_memory_fraction x (total - peak of a profiled forward pass); the peak holds weights, one batch of
max_num_tokens and what lies outside torch (NVIDIA/TensorRT-LLM 1.1 to 1.3: tensorrt_llm/_torch/pyexecutor/_util.py,
KvCacheCreator.configure_kv_cache_capacity and _cal_max_memory). The rest of the free memory is for CUDA graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from modelberth.memory.kv import kv_arithmetic, state_bytes, token_bytes
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Keeps
from modelberth.memory.terms import Memory, Term, Unsized
from modelberth.memory.torch_terms import batch_activation, outside_torch, weights

FREE_GPU_MEMORY_FRACTION = 0.9
"""KvCacheConfig.free_gpu_memory_fraction (llmapi/llm_args.py)."""

MAX_NUM_TOKENS = 8192
"""Tokens of one step when nothing is said (llmapi/llm_args.py, max_num_tokens)."""

BLOCK_TOKENS = 32
LATENT_BLOCK_TOKENS = 64
"""tokens_per_block (llmapi/llm_args.py, KvCacheConfig): 64 for latent attention on Hopper and with a sparse attention
index (_torch/model_config.py, enable_flash_mla; pyexecutor/py_executor_creator.py)."""


STATE_INTERVAL_TOKENS = 256
"""Tokens between two kept copies of a state, for prefix reuse (llmapi/llm_args.py, mamba_state_cache_interval)."""


def block_tokens(setup: Setup) -> int:
    """Tokens of one KV cache block."""
    indexed = any(cache.extra_bytes for cache in setup.shape.caches)
    hopper = setup.gpu is not None and setup.gpu.compute_capability == "9.0"
    return LATENT_BLOCK_TOKENS if setup.shape.latent and (hopper or indexed) else BLOCK_TOKENS


@dataclass(frozen=True)
class Blocks:
    """Blocks of tokens, and states in the same pool: one that lives per request, and one kept every so many tokens.

    NVIDIA/TensorRT-LLM 1.3: pyexecutor/kv_cache/mamba_cache_manager.py (CppMambaHybridCacheManager, cost per token).
    """

    growing: int
    per_token: int
    per_request: int
    block_tokens: int
    why: str

    @property
    def bytes_per_token(self) -> int:
        """What attention layers take per token."""
        return self.growing

    def tokens(self, available_bytes: int) -> int:
        """Tokens of one long request, whole blocks."""
        spare = max(0, available_bytes - self.per_request)
        return spare // (self.per_token * self.block_tokens) * self.block_tokens

    def request_bytes(self, tokens: int) -> int:
        """Whole blocks of one request, and its states."""
        return -(-tokens // self.block_tokens) * self.block_tokens * self.per_token + self.per_request

    def concurrency(self, available_bytes: int, tokens: int) -> float:
        """Requests of this many tokens at once."""
        return max(0, available_bytes) / self.request_bytes(tokens)


def cache(setup: Setup) -> Blocks:
    """The KV cache of one rank: every layer stores every token unless windows are asked for (max_attention_window)."""
    shape, ranks = setup.shape, setup.ranks
    exact = sum(
        (-(-each.layers // ranks.pipeline) * token_bytes(each, setup.kv_cache_dtype, ranks.tensor))
        for each in shape.caches
    )
    growing = -int(-Fraction(exact) // 1)
    state = sum(-(-each.layers // ranks.pipeline) * state_bytes(each, ranks.tensor) for each in shape.caches)
    why = kv_arithmetic(shape, setup.kv_cache_dtype, ranks.tensor)
    if any(each.keeps is Keeps.WINDOW for each in shape.caches):
        why += ", sliding window layers store every token"
    if state:
        why += f", {state} B of states per request and every {STATE_INTERVAL_TOKENS} tokens"
    return Blocks(growing, growing + -(-state // STATE_INTERVAL_TOKENS), state, block_tokens(setup), why)


def memory(setup: Setup) -> Memory:
    """The sum for one GPU. Raises :class:`Unsized` for a format that has no layout."""
    setup.carries_nothing_else("TensorRT-LLM")
    if not setup.on_gpu:
        raise Unsized("TensorRT-LLM is sized on GPUs only")
    tokens = setup.max_num_batched_tokens or MAX_NUM_TOKENS
    requests = -(-tokens // max(1, (setup.context or tokens) - 1))
    taken = (
        weights(setup, "TensorRT-LLM"),
        batch_activation(setup.shape, tokens, setup.ranks.tensor, requests),
        outside_torch(setup),
    )
    fraction = FREE_GPU_MEMORY_FRACTION if setup.utilization is None else setup.utilization
    free = max(0, setup.capacity_bytes - sum(term.amount_bytes for term in taken))
    why = f"{1 - fraction:.0%} of what the profiled pass leaves free, for CUDA graphs and buffers"
    kept = Term("kept free", round(free * (1 - fraction)), why, "free_gpu_memory_fraction")
    return Memory("tensorrt_llm", setup.capacity_bytes, setup.capacity_bytes, (*taken, kept), cache(setup))
