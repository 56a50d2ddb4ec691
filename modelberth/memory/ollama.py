"""What Ollama takes: a llama-server whose layers it fits into the free memory of the GPUs.

Source: ollama/ollama@v0.32.15, the same in v0.33.0 and v0.34.0 (llm/llama_server.go, server/sched.go,
server/routes.go, ml/device.go): Ollama starts ``llama-server`` with the context of all slots and leaves --n-gpu-layers
to its --fit, which keeps 1 GiB free on every GPU (ggml-org/llama.cpp@b10488, the build that Ollama 0.32 pins:
common/common.h, fit_params_target).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelberth.memory import llamacpp
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Shape
from modelberth.memory.terms import Memory, Unsized
from modelberth.units import GIB, MIB

LLAMA_CPP_BUILD = "b10488"

PARALLEL = 1
"""OLLAMA_NUM_PARALLEL when nothing is said (envconfig/config.go)."""

ONE_SLOT_ONLY = ("Mllama", "Qwen3VL", "Qwen3_5", "Qwen3Next", "NemotronH", "Lfm2")
"""Beginnings of architectures that get one slot whatever is asked for (server/sched.go, load)."""

CONTEXT_BY_GIB = ((47, 262_144), (23, 32_768), (0, 4096))
"""Default context by the memory of all GPUs together, never more than the model's own (server/routes.go)."""

BATCHES = ((32_768, 2048, 0.60, 2 * GIB), (4096, 1024, 0.75, 768 * MIB))
"""(context above, --ubatch-size, largest share of the free memory that the prediction may take, surcharge): the first
that applies, else 512 (server/sched.go, generationBatchForContext and generationBatchFits)."""


@dataclass(frozen=True)
class Placement:
    """How many GPUs and layers Ollama uses; ``layers`` counts the output layer as one."""

    gpus: int
    layers: int
    all_layers: int


def default_context(capacity_bytes: int, gpus: int = 1) -> int:
    """Tokens of context when neither OLLAMA_CONTEXT_LENGTH nor the request says."""
    return next(tokens for gib, tokens in CONTEXT_BY_GIB if capacity_bytes * gpus >= gib * GIB)


def predicted_bytes(setup: Setup) -> int:
    """Ollama's own guess: the file and a 16-bit cache of every layer, head_dim taken as hidden / heads
    (llm/llama_server.go, PredictServerVRAM). It decides on one GPU or all, and on the batch, not on the layers.
    """
    shape = setup.shape
    head_dim = shape.hidden // shape.heads
    tokens = (setup.context or 0) * (setup.max_num_seqs or 1)
    file = llamacpp.stored_bytes(shape, setup.stored).total
    return file + 4 * shape.layers * max(1, _kv_heads(shape)) * head_dim * tokens


def _kv_heads(shape: Shape) -> int:
    """Latent attention is one KV head in GGUF files (conversion/deepseek.py of llama.cpp)."""
    return 1 if shape.latent else shape.kv_heads


def batch_tokens(setup: Setup) -> int:
    """--ubatch-size when num_batch is not said, for GPUs with flash attention."""
    context = (setup.context or 0) * (setup.max_num_seqs or 1)
    predicted, available = predicted_bytes(setup), setup.capacity_bytes * setup.ranks.gpus
    for above, batch, share, surcharge in BATCHES:
        if context > above and predicted <= available * share and predicted + surcharge <= available * 0.8:
            return batch
    return llamacpp.BATCH_TOKENS


def settled(setup: Setup) -> Setup:
    """Every default that memory depends on, stated: slots, context, GPUs, batch, layers.

    Raises :class:`Unsized` for a KV cache type that Ollama does not have.
    """
    if setup.kv_cache_dtype not in llamacpp.KV_CACHE_TYPES:
        raise Unsized(f"Ollama has no {setup.kv_cache_dtype} KV cache: f16, bf16, q8_0 or q4_0")
    slots = setup.max_num_seqs or PARALLEL
    if setup.shape.architecture.startswith(ONE_SLOT_ONLY):
        slots = 1
    context = setup.context or default_context(setup.capacity_bytes, setup.ranks.gpus if setup.on_gpu else 0)
    setup = replace(setup, max_num_seqs=slots, context=context, engine_version=LLAMA_CPP_BUILD)
    if setup.on_gpu and predicted_bytes(setup) <= setup.capacity_bytes * 0.8:
        setup = replace(setup, ranks=replace(setup.ranks, tensor=1, pipeline=1, data=1))
    if setup.max_num_batched_tokens is None and setup.on_gpu:
        setup = replace(setup, max_num_batched_tokens=batch_tokens(setup))
    return setup


def placement(setup: Setup) -> Placement:
    """The most layers that fit with 1 GiB to spare on every GPU; one GPU when Ollama's guess fits 80 percent of it."""
    setup = settled(setup)
    every = setup.shape.layers + 1
    if not setup.on_gpu:
        return Placement(0, 0, every)
    if setup.gpu_layers is not None:
        return Placement(setup.ranks.gpus, setup.gpu_layers, every)
    low, high = 0, every
    while low < high:
        middle = -(-(low + high) // 2)
        if _fits(setup, middle):
            low = middle
        else:
            high = middle - 1
    return Placement(setup.ranks.gpus, low, every)


def _fits(setup: Setup, layers: int) -> bool:
    return llamacpp.left_bytes(replace(setup, gpu_layers=layers)) >= llamacpp.FIT_MARGIN_BYTES


def memory(setup: Setup) -> Memory:
    """The fullest GPU with every layer on it, or the memory of one CPU node.

    :func:`placement` says how many layers Ollama really offloads; the others stay in host memory.
    """
    setup.carries_nothing_else("Ollama")
    chosen = settled(setup)
    return replace(llamacpp.memory(chosen), engine="ollama")
