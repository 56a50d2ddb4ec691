"""Bytes of KV cache per token, on one tensor parallel rank."""

from __future__ import annotations

from fractions import Fraction

from modelberth.memory.shapes import Shape, kv_heads_per_rank

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


def kv_bytes_per_token(shape: Shape, kv_cache_dtype: str = "auto", tensor_parallel: int = 1) -> int:
    """``2 x layers x KV heads per rank x head dim x bytes per element``, in bytes per token and accelerator.

    Source: vLLM 0.33.0, v1/kv_cache_interface.py (page size); KV heads fewer than ranks are replicated.
    """
    heads = kv_heads_per_rank(shape.kv_heads, tensor_parallel)
    exact = 2 * shape.layers * heads * shape.head_dim * BYTES_PER_ELEMENT[kv_cache_dtype]
    return -(-exact.numerator // exact.denominator)


def kv_arithmetic(shape: Shape, kv_cache_dtype: str, tensor_parallel: int) -> str:
    """The same in words, with its numbers."""
    heads = kv_heads_per_rank(shape.kv_heads, tensor_parallel)
    size = float(BYTES_PER_ELEMENT[kv_cache_dtype])
    replicated = " (replicated: fewer KV heads than ranks)" if shape.kv_heads < tensor_parallel else ""
    return f"2 x {shape.layers} layers x {heads} KV heads{replicated} x {shape.head_dim} head dim x {size:g} B"
