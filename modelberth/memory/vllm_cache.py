"""The KV cache of a model on one GPU of vLLM: its layers as pages, and the plan behind every figure about tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from modelberth.memory.kv import (
    BYTES_PER_ELEMENT,
    COMPRESSED_ENTRY_BYTES,
    kv_arithmetic,
    kv_bytes_per_token,
    state_bytes,
    token_bytes,
)
from modelberth.memory.pages import (
    Kind,
    Pages,
    PageSettings,
    PageSpec,
    in_flight_tokens,
    latent_bytes_per_token,
    plan,
    state_mode,
)
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Cache, Keeps
from modelberth.memory.terms import Unsized
from modelberth.versions import key

BLOCK_TOKENS = {"compressed": 256, "latent": 64, "other": 16}
"""Tokens of a block where nobody states them: DeepSeek V4 fixes 256 (models/deepseek_v4), kernels for latent attention
take 64, all others 16 (v1/attention/backends of 0.33.0)."""

PAGE_ALIGNMENT_BYTES = 576
"""Pages of DeepSeek V4 are padded to a multiple of this (vLLM 0.26.0, v1/kv_cache_interface.py)."""


WITHOUT_HYBRID_MANAGER = frozenset({"Llama4ForConditionalGeneration"})
"""Chunked attention keeps every token by default (config/vllm.py of 0.33.0, disable_hybrid_kv_cache_manager)."""


@dataclass(frozen=True)
class PagedKv:
    """A :class:`~modelberth.memory.terms.KvPlan` over vLLM's pages."""

    pages: Pages
    bytes_per_token: int
    why: str

    @property
    def block_tokens(self) -> int:
        """Tokens of one block of the layers that keep everything."""
        return self.pages.groups[0].block_tokens

    def request_bytes(self, tokens: int) -> int:
        """Whole blocks of all groups that one request takes."""
        return self.pages.bytes_per_request(tokens)

    def concurrency(self, available_bytes: int, tokens: int) -> float:
        """Blocks of the pool over blocks of one request."""
        return replace(self.pages, available_bytes=available_bytes).blocks / self.pages.blocks_per_request(tokens)

    def tokens(self, available_bytes: int) -> int:
        """What vLLM prints as "GPU KV cache size"."""
        return replace(self.pages, available_bytes=available_bytes).tokens


def kv_plan(setup: Setup) -> PagedKv:
    """How this version lays out the cache. Raises :class:`Unsized` without a context, or for a mix it refuses."""
    if setup.context is None:
        raise Unsized("context: neither the setup nor the model states the tokens that one request may hold")
    shape, stages = setup.shape, setup.ranks.pipeline
    compressed = any(cache.every > 1 for cache in shape.caches)
    block = BLOCK_TOKENS["compressed" if compressed else "latent" if shape.latent else "other"]
    settings = PageSettings(
        version=setup.engine_version,
        max_model_len=setup.context,
        in_flight_tokens=in_flight_tokens(setup.engine_version, setup.max_num_batched_tokens or 0, stages),
        block_tokens=block,
        kernel_block_tokens=min(block, BLOCK_TOKENS["latent"]),
        draft_tokens=setup.draft_tokens,
        state_mode=state_mode(setup.engine_version, setup.prefix_caching is not False),
        hybrid_manager=shape.architecture not in WITHOUT_HYBRID_MANAGER,
    )
    specs = [spec for cache in (*shape.caches, *setup.draft_caches) for spec in _specs(cache, setup)]
    growing = [spec for spec in specs if spec.keeps_everything]
    exact = sum((Fraction(spec.layers * spec.bytes_per_token, spec.tokens_per_entry) for spec in growing), Fraction(0))
    per_token = -(-exact.numerator // exact.denominator)
    usual = per_token == kv_bytes_per_token(shape, setup.kv_cache_dtype, setup.ranks.tensor, stages)
    why = (
        kv_arithmetic(shape, setup.kv_cache_dtype, setup.ranks.tensor) if usual else " + ".join(map(_laid_out, growing))
    )
    return PagedKv(plan(specs, settings, 0), per_token, why)


def _laid_out(spec: PageSpec) -> str:
    shared = f" for {spec.tokens_per_entry} tokens" if spec.tokens_per_entry > 1 else ""
    return f"{spec.layers} layers x {spec.bytes_per_token} B{shared} ({spec.name})"


def _specs(cache: Cache, setup: Setup) -> list[PageSpec]:
    tensor = setup.ranks.tensor
    layers = -(-cache.layers // setup.ranks.pipeline)
    if cache.keeps is Keeps.STATE:
        return [PageSpec(cache.name, Kind.STATE, layers, state_bytes=state_bytes(cache, tensor))]
    if any(other.every > 1 for other in setup.shape.caches):
        return _compressed_specs(cache, layers)
    if cache.latent:
        return _latent_specs(cache, layers, setup)
    exact = token_bytes(cache, setup.kv_cache_dtype, tensor)
    kind = Kind.SLIDING if cache.keeps is Keeps.WINDOW else Kind.FULL
    return [PageSpec(cache.name, kind, layers, -(-exact.numerator // exact.denominator), window=cache.window)]


def _latent_specs(cache: Cache, layers: int, setup: Setup) -> list[PageSpec]:
    """The latent, and the index beside it; sparse attention packs fp8 with scales (fp8_ds_mla).

    Before there were kernels for it, keys and values of every head were kept, padded to 256 (0.6.6, model_executor/
    models/deepseek_v3.py).
    """
    if key(setup.engine_version) < key(LATENT_SINCE):
        heads = setup.shape.heads // setup.ranks.tensor
        exact = heads * 2 * PADDED_HEAD * BYTES_PER_ELEMENT[setup.kv_cache_dtype]
        return [PageSpec("keys and values of every head", Kind.FULL, layers, int(exact))]
    fp8 = setup.kv_cache_dtype == "fp8"
    layout = "fp8_ds_mla" if fp8 and cache.extra_bytes else "auto"
    size = latent_bytes_per_token(setup.engine_version, cache.elements, 1 if fp8 else 2, layout)
    specs = [PageSpec(cache.name, Kind.LATENT, layers, size, window=cache.window)]
    if cache.extra_bytes:
        specs.append(PageSpec("index", Kind.LATENT, layers, cache.extra_bytes))
    return specs


def _compressed_specs(cache: Cache, layers: int) -> list[PageSpec]:
    """DeepSeek V4: compressed entries, their index, and the fp32 states (key and gate) of compressions under way."""

    def spec(name: str, size: int, window: int = 0, block: int = 0, every: int = 1) -> PageSpec:
        return PageSpec(name, Kind.LATENT, layers, size, 0, window, block, every, PAGE_ALIGNMENT_BYTES)

    if cache.keeps is Keeps.WINDOW:
        return [spec(cache.name, COMPRESSED_ENTRY_BYTES, cache.window, BLOCK_TOKENS["latent"])]
    overlap, block = (2, 4) if cache.extra_bytes else (1, 8)
    window = overlap * cache.every
    specs = [
        spec(cache.name, COMPRESSED_ENTRY_BYTES, every=cache.every),
        spec(f"{cache.name} state", 2 * overlap * cache.elements * STATE_BYTES, window, block),
    ]
    if cache.extra_bytes:
        index = cache.extra_bytes - cache.extra_bytes % 128
        specs.append(spec("index", cache.extra_bytes, every=cache.every))
        specs.append(spec("index state", 2 * overlap * index * STATE_BYTES, window, block))
    return specs


STATE_BYTES = 4

LATENT_SINCE = "0.7"
PADDED_HEAD = 256
