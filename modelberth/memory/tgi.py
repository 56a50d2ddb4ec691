"""What Text Generation Inference takes of one GPU, and the KV cache that its warm-up leaves.

KV cache = total x cuda_memory_fraction x TGI_WIGGLE_ROOM - weights - peak of one real prefill - what is outside torch
(huggingface/text-generation-inference@v3.3.7: server/.../models/flash_causal_lm.py, warmup; utils/import_utils.py,
get_cuda_free_memory). CUDA graphs are captured afterwards, in the rest. Every layer stores every token.
"""

from __future__ import annotations

from fractions import Fraction

from modelberth.memory.kv import BYTES_PER_ELEMENT, kv_arithmetic, token_bytes
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Keeps, Role, Shape
from modelberth.memory.terms import Memory, Uniform, Unsized, about
from modelberth.memory.torch_terms import batch_activation, outside_torch, weights
from modelberth.units import GIB

WIGGLE_ROOM = 0.90
"""TGI_WIGGLE_ROOM of the server (models/globals.py); the launcher counts with 0.95 (launcher/src/main.rs)."""

PREFILL_TOKENS = 4096
"""max_batch_prefill_tokens where the launcher cannot compute one (launcher/src/main.rs)."""

PREFILL_TOKENS_OF = {"Qwen2_5_VL": 10_000, "Gemma3ForConditional": 8_000}
"""The same for architectures that begin so."""

PEAK_FLOPS = {
    "nvidia-rtx-4090": 82e12,
    "nvidia-t4": 65e12,
    "nvidia-l4": 121e12,
    "nvidia-l40s": 363e12,
    "nvidia-a10g": 125e12,
    "nvidia-a100-40gb": 312e12,
    "nvidia-a100-80gb": 312e12,
    "nvidia-h100-80gb": 900e12,
    "nvidia-h200-141gb": 989e12,
}
"""The launcher's own table, which gives the prefill its size (launcher/src/main.rs, f16_flop)."""

GRAPH_BATCHES = (1, 2, 4, 8, 16, 32)
"""Batches whose decode is captured (launcher/src/main.rs, cuda_graphs)."""

GRAPHS_GIB = (0.1, 0.4, 1.2)
"""All of them together (low, amount, high): an allowance."""


def block_tokens(setup: Setup) -> int:
    """Pages of one token with flashinfer; paged attention of 16 before compute capability 8.0 (models/globals.py)."""
    capability = setup.gpu.compute_capability if setup.gpu else None
    return 16 if capability is not None and float(capability) < 8 else 1


def prefill_tokens(setup: Setup) -> int:
    """max_batch_prefill_tokens: as stated, or one that keeps the GPUs busy for about a second, within their memory.

    Paged attention has no chunked prefill: there a whole prompt must pass (backends/v3/src/main.rs).
    """
    if setup.max_num_batched_tokens is not None:
        return setup.max_num_batched_tokens
    shape = setup.shape
    fallback = next((n for name, n in PREFILL_TOKENS_OF.items() if shape.architecture.startswith(name)), PREFILL_TOKENS)
    if shape.of(Role.VISION):
        return fallback
    peak = PEAK_FLOPS.get(setup.gpu.id) if setup.gpu else None
    optimal = int(peak * setup.ranks.tensor / _flops_per_token(shape)) if peak else 0
    tokens = optimal if optimal > 100 else fallback
    if setup.context is not None:
        tokens = min(tokens, setup.context)
    if setup.quantization in ("bf16", "fp16"):
        tokens = min(tokens, max(1, _tokens_in_memory(setup)))
    return tokens if block_tokens(setup) == 1 else max(tokens, setup.context or 0)


def _flops_per_token(shape: Shape) -> int:
    """The launcher's count (Config::flop): projections, an attention term as wide as the output's, and the MLP."""
    heads, kv, head_dim, hidden = shape.heads, shape.kv_heads, shape.head_dim, shape.hidden
    attention = 2 * hidden * head_dim * (3 * heads + 2 * kv)
    width = shape.active_experts * shape.expert_intermediate if shape.experts else shape.intermediate
    return shape.layers * (attention + 6 * hidden * width)


def _tokens_in_memory(setup: Setup) -> int:
    """The launcher's bound for 16-bit models (vram_maximum)."""
    shape, count = setup.shape, setup.ranks.tensor
    available = int(setup.capacity_bytes * count * (setup.utilization or 1) * 0.95)
    width = shape.expert_intermediate if shape.experts else shape.intermediate
    experts = shape.experts or 1
    mlp = 3 * width * experts * shape.hidden
    layer = mlp + (shape.heads + 2 * shape.kv_heads) * shape.head_dim + shape.heads * shape.head_dim * shape.hidden
    model = 2 * (layer * shape.layers + 2 * shape.hidden * shape.vocab)
    token = shape.kv_heads * shape.head_dim * 4 * shape.layers + (width + width // 2) * experts * 6
    return (available - model) // token


def cache(setup: Setup) -> Uniform:
    """The KV cache of one rank. Raises :class:`Unsized` for a model with states, or too few KV heads to share."""
    shape, tp = setup.shape, setup.ranks.tensor
    if any(each.keeps is Keeps.STATE for each in shape.caches):
        raise Unsized("TGI's memory of a model with states is not known")
    if not shape.latent and 1 < shape.kv_heads < tp:
        raise Unsized(f"TGI does not share {shape.kv_heads} KV heads among {tp} GPUs")
    block = block_tokens(setup)
    if shape.latent:
        # Keys and values of every head, both padded to the wider one (custom_modeling/flash_deepseek_v3_modeling.py).
        width = max(part.rows for part in shape.parts if part.name in ("attn_q_b", "attn_q")) // shape.heads
        heads = shape.heads // tp
        size = BYTES_PER_ELEMENT[setup.kv_cache_dtype]
        exact = 2 * shape.layers * heads * width * size
        why = f"{shape.layers} layers x {heads} heads x 2 x {width} elements x {float(size):g} B: no latent cache"
        return Uniform(int(exact), block, why)
    exact = sum((each.layers * token_bytes(each, setup.kv_cache_dtype, tp) for each in shape.caches), Fraction(0))
    why = kv_arithmetic(shape, setup.kv_cache_dtype, tp)
    if any(each.keeps is Keeps.WINDOW for each in shape.caches):
        why += ", sliding window layers store every token"
    return Uniform(-int(-exact // 1), block, why)


def memory(setup: Setup) -> Memory:
    """The sum for one GPU. Raises :class:`Unsized` for what TGI does not serve."""
    setup.carries_nothing_else("TGI")
    if not setup.on_gpu:
        raise Unsized("TGI is sized on GPUs only")
    if setup.ranks.pipeline > 1 or setup.ranks.data > 1:
        raise Unsized("TGI has tensor parallelism only")
    tokens = prefill_tokens(setup)
    activation = batch_activation(setup.shape, tokens, setup.ranks.tensor, min(tokens, 128))
    low, amount, high = GRAPHS_GIB
    graphs = 0 if setup.enforce_eager else amount
    why = f"decode of batches {', '.join(map(str, GRAPH_BATCHES))}: an allowance"
    return Memory(
        engine="tgi",
        capacity_bytes=setup.capacity_bytes,
        budget_bytes=int(setup.capacity_bytes * (setup.utilization or 1) * WIGGLE_ROOM),
        terms=(weights(setup, "TGI"), activation, outside_torch(setup)),
        kv=cache(setup),
        outside=(about("CUDA graphs", graphs * GIB, why, "launcher/src/main.rs", low / amount, high / amount),),
    )
