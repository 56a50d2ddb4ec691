"""What llama-server takes of a GPU or of a node's memory: the model, every slot's KV cache, the compute buffer."""

from __future__ import annotations

from dataclasses import dataclass

from modelberth.memory.kv import kv_arithmetic, kv_bytes_per_token
from modelberth.memory.shapes import Shape
from modelberth.memory.terms import Memory, Term
from modelberth.memory.weights import gguf_bytes
from modelberth.units import MIB

BATCH_TOKENS = 512
"""llama-server's --ubatch-size default (build b11434)."""

RESERVED_BYTES = 457 * MIB
"""Kept free on each GPU. Source: ollama/ollama@fb30760, ml/device.go (minimum memory of a CUDA device)."""

PROCESS_BYTES = 512 * MIB
"""Server process, tokenizer and HTTP threads beside the tensors: a rounded-up allowance."""

KV_CELLS = 256
"""The KV cache is padded to this many cells (llama.cpp, src/llama-kv-cache.cpp)."""


@dataclass(frozen=True)
class Settings:
    """The arguments of ``llama-server`` that memory depends on, all stated."""

    quantization: str
    stored_bytes: int | None = None
    kv_cache_dtype: str = "auto"


def memory(shape: Shape, capacity_bytes: int, settings: Settings, *, on_gpu: bool) -> Memory:
    """The sum for one GPU (all layers offloaded) or for the memory of one CPU node.

    Every slot holds a full context, so requests are counted at ``context`` tokens, never at an average.
    """
    weights = settings.stored_bytes or gguf_bytes(shape, settings.quantization)
    compute = BATCH_TOKENS * (shape.vocab + 2 * shape.intermediate + 4 * shape.hidden) * 4
    where = "sum of the file" if settings.stored_bytes else "shapes and the file type's mixture"
    terms = (
        Term("weights", weights, f"{shape.parameters / 1e9:.2f} billion parameters as {settings.quantization}", where),
        Term(
            "compute buffer",
            compute,
            f"{BATCH_TOKENS} tokens x (vocabulary + 2 MLP + 4 hidden) x 4 B",
            "llama.cpp graph",
        ),
        Term("reserve", RESERVED_BYTES if on_gpu else PROCESS_BYTES, "kept free" if on_gpu else "server process", ""),
    )
    return Memory(
        engine="llamacpp",
        capacity_bytes=capacity_bytes,
        budget_bytes=capacity_bytes,
        terms=terms,
        kv_bytes_per_token=kv_bytes_per_token(shape, settings.kv_cache_dtype),
        block_tokens=KV_CELLS,
        kv_why=kv_arithmetic(shape, settings.kv_cache_dtype, 1),
    )
