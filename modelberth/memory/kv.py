"""Bytes of KV cache and state, on one tensor parallel rank."""

from __future__ import annotations

from fractions import Fraction

from modelberth.memory.shapes import Cache, Keeps, Shape

BYTES_PER_ELEMENT = {
    "auto": Fraction(2),
    "bf16": Fraction(2),
    "fp16": Fraction(2),
    "fp8": Fraction(1),
    "int8": Fraction(1),
    "q8_0": Fraction(34, 32),
    "q4_0": Fraction(18, 32),
}
"""Bytes per element; the q types are ggml blocks of 32 with a 16-bit scale (llama.cpp, ggml/src/ggml-common.h)."""

COMPRESSED_ENTRY_BYTES = 584
"""One entry of DeepSeek V4: 448 values in fp8 with 8 bytes of scales, 64 rotary values in 16 bit.
Source: vLLM 0.26.0, models/deepseek_v4/attention.py; SGLang 0.5.22, mem_cache/deepseek_v4_memory_pool.py."""


def token_bytes(cache: Cache, kv_cache_dtype: str = "auto", tensor_parallel: int = 1) -> Fraction:
    """Bytes that one token takes in one layer of this kind: ``KV heads per rank x elements x bytes per element``.

    Source: vLLM 0.33.0, v1/kv_cache_interface.py (page size). 0 for a state.
    """
    elements = cache.heads_on_rank(tensor_parallel) * cache.elements
    return Fraction(elements * BYTES_PER_ELEMENT[kv_cache_dtype] + cache.extra_bytes, cache.every)


def state_bytes(cache: Cache, tensor_parallel: int = 1) -> int:
    """Bytes of one request's state in one layer, on one rank; 0 for an attention layer."""
    total = cache.conv_elements * 2 + cache.state_elements * cache.state_bytes
    return -(-total // tensor_parallel)


def kv_bytes_per_token(shape: Shape, kv_cache_dtype: str = "auto", tensor_parallel: int = 1, stages: int = 1) -> int:
    """What the cache grows by with every token: layers that keep everything, in bytes per token and accelerator."""
    growing = (cache for cache in shape.caches if cache.keeps is Keeps.EVERYTHING)
    exact = sum(
        (-(-cache.layers // stages) * token_bytes(cache, kv_cache_dtype, tensor_parallel) for cache in growing),
        Fraction(0),
    )
    return -(-exact.numerator // exact.denominator)


def kv_arithmetic(shape: Shape, kv_cache_dtype: str, tensor_parallel: int) -> str:
    """The same in words, with its numbers."""
    return " + ".join(
        cache_arithmetic(cache, kv_cache_dtype, tensor_parallel)
        for cache in shape.caches
        if cache.keeps is Keeps.EVERYTHING and cache.layers
    )


def cache_arithmetic(cache: Cache, kv_cache_dtype: str, tensor_parallel: int) -> str:
    """Layers of one kind that keep everything, in words with their numbers."""
    size = f"{float(BYTES_PER_ELEMENT[kv_cache_dtype]):g} B"
    if cache.latent:
        index = f" + {cache.extra_bytes} B of index" if cache.extra_bytes else ""
        whole = ", whole on every rank" if tensor_parallel > 1 else ""
        return f"{cache.layers} layers x ({cache.elements} latent elements{whole} x {size}{index})"
    heads = cache.heads_on_rank(tensor_parallel)
    replicated = " (replicated: fewer KV heads than ranks)" if cache.heads < tensor_parallel else ""
    return f"{cache.layers} layers x {heads} KV heads{replicated} x {cache.elements} key and value elements x {size}"
