"""What SGLang takes of one GPU, and the KV cache (and states) it allocates.

KV cache = free memory after start x mem_fraction_static - weights: activations and CUDA graphs live in the rest
(sgl-project/sglang 0.5.23: mem_cache/kv_cache_configurator.py, _profile_available_bytes; the same up from 0.5.5,
model_executor/model_runner.py). Defaults: 0.5.23 arg_groups/memory_hook.py; before 0.5.18 server_args.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from modelberth.memory.kv import COMPRESSED_ENTRY_BYTES, kv_arithmetic, state_bytes, token_bytes
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Cache, Keeps, Role, Shape
from modelberth.memory.terms import Memory, Unsized, about
from modelberth.memory.torch_terms import batch_activation, outside_torch, weights
from modelberth.units import GIB, MIB
from modelberth.versions import key

SWA_FULL_TOKENS_RATIO = Fraction(8, 10)
"""Tokens of a sliding window layer per token of a full one (swa_full_tokens_ratio, 0.5.5 to 0.5.23)."""

MAMBA_FULL_MEMORY_RATIO = Fraction(9, 10)
"""Memory of states per memory of KV cache (mamba_full_memory_ratio, 0.5.5 to 0.5.23)."""

DRIVER_MIB = 470
"""What nvidia-smi counts (memory.total, which the defaults are computed from) and CUDA does not show: an allowance."""

HYBRID_WINDOWS_SINCE = "0.5.6"
"""Models with sliding windows have a pool of their own for them (configs/model_config.py, is_hybrid_swa_model): so in
0.5.9; 0.5.5 stores every token of every layer; the releases between were not read."""

HYBRID_WINDOWS = ("Llama4", "GptOss", "MiMoV2", "Step3p", "Gemma4", "DeepseekV4")
"""Beginnings of the architectures that do (the same list)."""

PREFILL_GRAPHS_SINCE = "0.5.10"
"""CUDA graphs of prefill are on by default (off in 0.5.9, on in 0.5.12: server_args.py)."""

INDEX_PAGE_TOKENS = 64
"""Page of a sparse attention index (DSA; model_executor/pool_configurator.py); 1 token for everything else."""

COMPRESSED_WINDOW_RATIO = Fraction(1, 10)
"""The same of DeepSeek V4 (arg_groups/deepseek_v4_hook.py of 0.5.12, overrides.py of 0.5.15)."""

COMPRESSED_PAGE_TOKENS, COMPRESSION_RING = 256, 8
"""DeepSeek V4: tokens of a page, tokens whose compression into one of four is under way (0.5.15 and 0.5.22,
mem_cache/deepseek_v4_memory_pool.py)."""

COMPRESSION_STATE_BYTES = 2 * 2 * 4
"""Keys and gates of two overlapping groups in float32, per element (the same file)."""


@dataclass(frozen=True)
class Tier:
    """Defaults by GPU memory: tokens of a prefill chunk, largest batch of the decode graphs with few and many ranks."""

    below_gib: float
    chunked_prefill_size: int
    graph_batch: int
    graph_batch_from_4_ranks: int


_SMALL_SINCE_0_5_18 = Tier(35, 4096, 48, 160)

_TIERS = (
    Tier(20, 2048, 8, 8),
    Tier(35, 2048, 24, 80),
    Tier(60, 4096, 32, 160),
    Tier(160, 8192, 256, 512),
    Tier(float("inf"), 16384, 512, 512),
)


def tier(capacity_bytes: int, version: str) -> Tier:
    """The defaults of this GPU. The tier up to 35 GiB grew between 0.5.17 and 0.5.20."""
    found = next(each for each in _TIERS if capacity_bytes < each.below_gib * GIB)
    grown = found.below_gib == 35 and key(version) >= key("0.5.18")
    return _SMALL_SINCE_0_5_18 if grown else found


@dataclass(frozen=True)
class Settled:
    """What SGLang starts with. ``tp_size`` is its own flag: all ranks of a stage, attention data parallel included.

    ``stated_fraction`` is what --mem-fraction-static says or comes to, ``mem_fraction_static`` what is made of it.
    """

    tp_size: int
    chunked_prefill_size: int
    graph_batch: int
    stated_fraction: float
    mem_fraction_static: float


def graph_batch(capacity_bytes: int, version: str, tp_size: int, max_num_seqs: int | None) -> int:
    """Largest batch whose decode is captured where --cuda-graph-max-bs-decode does not say."""
    defaults = tier(capacity_bytes, version)
    batch = defaults.graph_batch if tp_size < 4 else defaults.graph_batch_from_4_ranks
    if max_num_seqs is not None and key(version) >= key("0.5.22"):
        batch = min(batch, max_num_seqs)
    return batch


def settled(setup: Setup) -> Settled:
    """Every default that memory depends on, stated."""
    if not setup.on_gpu:
        raise Unsized("SGLang is sized on GPUs only")
    version = setup.engine_version
    defaults = tier(setup.capacity_bytes, version)
    tp_size = setup.ranks.tensor * setup.ranks.data
    chunk = setup.max_num_batched_tokens or defaults.chunked_prefill_size
    batch = setup.graph_batch or graph_batch(setup.capacity_bytes, version, tp_size, setup.max_num_seqs)
    stated = setup.utilization
    if stated is None:
        stated = _default_fraction(setup, tp_size, chunk, batch)
    fraction = stated
    if setup.gpu is not None and setup.gpu.vendor == "amd" and (setup.context or 0) > 8192:
        fraction *= 0.85  # aiter's workspace (arg_groups/attention_hook.py)
    return Settled(
        tp_size, chunk, batch, stated, max(0.0, fraction)
    )  # a negative one leaves nothing: it does not start


def reserved_mib(setup: Setup, tp_size: int, chunk: int, batch: int) -> float:
    """MiB kept for activations and CUDA graphs when mem_fraction_static is not set (handle_gpu_memory_settings)."""
    reserved = 512 + max(chunk, 2048) * 1.5 + tp_size * setup.ranks.pipeline / 8 * 1024
    if not setup.enforce_eager:
        reserved += batch * 2 + _prefill_graphs_mib(setup, chunk)
    if setup.ranks.data > 1:
        reserved += batch * setup.ranks.data * (4.5 if batch > 300 else 3)
    return max(reserved, 10 * 1024) if setup.capacity_bytes > 60 * GIB else reserved


def _prefill_graphs_mib(setup: Setup, chunk: int) -> float:
    """8 MiB per captured size, 1.5 GiB for latent attention; none with pipeline or attention data parallel."""
    on = key(setup.engine_version) >= key(PREFILL_GRAPHS_SINCE)
    if not on or setup.ranks.pipeline > 1 or setup.ranks.data > 1 or _vision_parameters(setup.shape):
        return 0
    return 1.5 * 1024 if setup.shape.latent else 8 * len(prefill_graph_sizes(chunk))


def prefill_graph_sizes(largest: int) -> list[int]:
    """Token counts whose prefill is captured (arg_groups/cuda_graph_hook.py)."""
    steps = ((4, 33, 4), (48, 257, 16), (288, 513, 32), (576, 1025, 64), (1280, 4097, 256), (4608, largest + 1, 512))
    return [size for step in steps for size in range(*step) if size <= largest]


def _default_fraction(setup: Setup, tp_size: int, chunk: int, batch: int) -> float:
    total = setup.capacity_bytes / MIB + DRIVER_MIB
    fraction = round((total - reserved_mib(setup, tp_size, chunk, batch)) / total, 3)
    vision = _vision_parameters(setup.shape)
    if not vision:
        return fraction
    # By the tower's size in units of ViT-L/14 (adjust_mem_fraction_for_vlm): layers x hidden^2, 12 parameters each.
    complexity = vision / (12 * 24 * 1024**2)
    return fraction * 0.95 * max(0.8, min(1.05, 1 - 0.1 * (complexity - 1)))


def _vision_parameters(shape: Shape) -> int:
    return sum(part.elements for part in shape.of(Role.VISION))


@dataclass(frozen=True)
class Pool:
    """One pool of tokens: ``growing`` bytes per token of layers that keep everything, ``per_token`` with all shares."""

    growing: int
    per_token: Fraction
    block_tokens: int
    why: str

    @property
    def bytes_per_token(self) -> int:
        """What a longer request takes per token."""
        return self.growing

    def tokens(self, available_bytes: int) -> int:
        """``max_total_num_tokens``, whole pages."""
        return int(max(0, available_bytes) / self.per_token) // self.block_tokens * self.block_tokens

    def request_bytes(self, tokens: int) -> int:
        """Whole pages of one request, with the share of its window and state pools."""
        pages = -(-tokens // self.block_tokens)
        return -int(-pages * self.block_tokens * self.per_token // 1)

    def concurrency(self, available_bytes: int, tokens: int) -> float:
        """Requests of this many tokens that fill the pool."""
        return self.tokens(available_bytes) / (-(-tokens // self.block_tokens) * self.block_tokens)


def pool(setup: Setup) -> Pool:
    """The token pool of one rank (model_executor/pool_configurator.py; handle_max_mamba_cache for states)."""
    shape, ranks = setup.shape, setup.ranks
    if not shape.caches:
        raise Unsized("a model without layers that cache anything has no pool")
    if any(cache.every > 1 for cache in shape.caches):
        return _compressed_pool(setup)
    ratio = SWA_FULL_TOKENS_RATIO if _hybrid_windows(setup) else Fraction(1)
    full, windows = (
        sum(
            (
                -(-cache.layers // ranks.pipeline) * _cell(cache, setup)
                for cache in shape.caches
                if cache.keeps is keeps
            ),
            Fraction(0),
        )
        for keeps in (Keeps.EVERYTHING, Keeps.WINDOW)
    )
    states = sum(state_bytes(cache, ranks.tensor) for cache in shape.caches if cache.keeps is Keeps.STATE)
    per_token = (full + ratio * windows) * (1 + MAMBA_FULL_MEMORY_RATIO if states else 1)
    growing = full if ratio != 1 or not windows else full + windows
    why = kv_arithmetic(shape, setup.kv_cache_dtype, ranks.tensor)
    if windows:
        why += f", sliding window layers {float(ratio):g} of the tokens"
    if states:
        why += f", states {float(MAMBA_FULL_MEMORY_RATIO):g} of the KV cache's memory"
    indexed = any(cache.extra_bytes for cache in shape.caches)
    return Pool(-int(-growing // 1), per_token, INDEX_PAGE_TOKENS if indexed else 1, why)


def _compressed_pool(setup: Setup) -> Pool:
    """DeepSeek V4: entries and their index per token, windows and compressions under way for a share of the tokens
    (model_executor/pool_configurator.py, DSV4PoolConfigurator). The entries are in fp8 whatever is asked for.
    """
    growing, windows = Fraction(0), Fraction(0)
    for cache in setup.shape.caches:
        layers = -(-cache.layers // setup.ranks.pipeline)
        if cache.keeps is Keeps.WINDOW:
            windows += layers * COMPRESSED_ENTRY_BYTES
            continue
        growing += layers * Fraction(COMPRESSED_ENTRY_BYTES + cache.extra_bytes, cache.every)
        if cache.extra_bytes:
            index = cache.extra_bytes - cache.extra_bytes % 128
            state = (cache.elements + index) * COMPRESSION_STATE_BYTES
            windows += layers * Fraction(COMPRESSION_RING * state, COMPRESSED_PAGE_TOKENS)
    per_token = growing + COMPRESSED_WINDOW_RATIO * windows
    share = f"windows {float(COMPRESSED_WINDOW_RATIO):g} of the tokens"
    why = f"compressed entries of {COMPRESSED_ENTRY_BYTES} B and their index, {share}"
    return Pool(-int(-growing // 1), per_token, COMPRESSED_PAGE_TOKENS, why)


def _cell(cache: Cache, setup: Setup) -> Fraction:
    """A sparse attention model's latent entry in fp8 holds scales and a 16-bit rotary part too (656 B of 512 + 64)."""
    if cache.latent and cache.extra_bytes and setup.kv_cache_dtype == "fp8":
        rope = 64
        rank = cache.elements - rope
        return Fraction(rank + rank // 128 * 4 + 2 * rope + cache.extra_bytes)
    return token_bytes(cache, setup.kv_cache_dtype, setup.ranks.tensor)


def _hybrid_windows(setup: Setup) -> bool:
    new = key(setup.engine_version) >= key(HYBRID_WINDOWS_SINCE)
    return new and setup.shape.architecture.startswith(HYBRID_WINDOWS)


def max_running_requests(setup: Setup, pool_tokens: int) -> int:
    """Requests decoding at once when --max-running-requests is not set (resolve_max_num_reqs)."""
    if setup.max_num_seqs is not None:
        return min(setup.max_num_seqs, pool_tokens // 2)
    estimated = int(pool_tokens / (setup.context or pool_tokens or 1) * 512)
    return min(max(min(estimated, 4096), 2048), pool_tokens // 2)


def memory(setup: Setup) -> Memory:
    """The sum for one GPU. Raises :class:`Unsized` for a format that has no layout."""
    setup.carries_nothing_else("SGLang")
    chosen = settled(setup)
    fraction = chosen.mem_fraction_static
    activation = batch_activation(setup.shape, chosen.chunked_prefill_size, setup.ranks.tensor, chosen.graph_batch)
    graphs = (
        0 if setup.enforce_eager else chosen.graph_batch * 2 + _prefill_graphs_mib(setup, chosen.chunked_prefill_size)
    )
    why = f"2 MiB per request of a decode graph of {chosen.graph_batch}, and prefill graphs"
    source = "arg_groups/memory_hook.py's own estimate"
    return Memory(
        engine="sglang",
        capacity_bytes=setup.capacity_bytes,
        budget_bytes=int(setup.capacity_bytes * fraction),
        terms=(weights(setup, "SGLang"), outside_torch(setup, fraction)),
        kv=pool(setup),
        outside=(activation, about("CUDA graphs", graphs * MIB, why, source, 0.3, 2)),
    )
