"""What one decode step and one prompt token read, compute and exchange on one GPU: counts from the model's parts.

Nothing here is fitted. Weights and caches are bytes, matrix products seconds at the GPU's dense peak, exchanges seconds
at its link's rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log2

from modelberth.catalog import Gpu
from modelberth.catalog.schema import TensorDtype
from modelberth.memory.kv import BYTES_PER_ELEMENT
from modelberth.memory.shapes import Cache, Keeps, Part, Role, Shape, elements_on_rank
from modelberth.memory.weights import Ranks, Stored, bytes_per_parameter

FOUR_BIT = frozenset({"nvfp4", "mxfp4", "gptq", "awq", "nf4"})
KEPT_IN_16_BIT = frozenset({Role.ATTENTION, Role.LINEAR_ATTENTION, Role.INDEXER})
"""What four-bit checkpoints of mixtures of experts leave alone unless their catalog row says otherwise: self_attn is in
quantization_config.ignore of moonshotai/Kimi-K2.6, and the first part of it that NVIDIA quantized is the output
projection of a second edition (model card of nvidia/DeepSeek-R1-0528-FP4-v2)."""

ONLY_AS = {"GptOssForCausalLM": "mxfp4"}
"""Families published in one quantized format: whatever four or eight bits are asked for, this is what is served."""

READS_AND_WRITES = 2
SIXTEEN_BIT_BYTES = 2
LATENT_PASSES = 2
"""Absorbed latent attention reads each entry once and multiplies with it twice (as key and as value)."""


@dataclass(frozen=True)
class Traffic:
    """``requests`` decode at once on every data parallel rank; when one ends, the next prompt arrives (closed loop)."""

    requests: float
    input_tokens: int
    output_tokens: int

    @property
    def context(self) -> float:
        """Tokens that a decoding request has behind it, on average."""
        return self.input_tokens + self.output_tokens / 2


@dataclass(frozen=True)
class Work:
    """One GPU's share. ``step`` figures are per decode step, ``token`` figures per token of one data parallel rank."""

    requests: float
    data_ranks: float
    arrivals: float
    """Prompts per decode step on one data parallel rank."""
    input_tokens: float
    output_tokens: float
    layers: float
    attention_layers: float
    latent_layers: float
    index_layers: float
    state_layers: float
    expert_layers: float
    routing: float
    """Expert layers x log2 of the experts per token."""
    quantized_inputs: float
    """Activations quantized before a matrix product, per step."""
    weight_bytes: float
    four_bit_bytes: float
    output_bytes: float
    expert_bytes: float
    """Of the experts that a step touches."""
    other_expert_bytes: float
    """Of the experts that a decode step leaves out and a prompt reads too."""
    cache_bytes: float
    matmul_s: float
    """Per token."""
    expert_s: float
    """Per token of one data parallel rank."""
    output_s: float
    attention_s: float
    """Per step."""
    prompt_attention_s: float
    """Per prompt token."""
    hops: float
    """log2 of the GPUs x layers."""
    exchange_s: float
    """Per token, two all-reduces a layer."""
    memory_bytes_per_s: float
    hopper: float
    """1 on compute capability 9, else 0."""


def work_of(
    shape: Shape, stored: Stored, gpu: Gpu, ranks: Ranks, traffic: Traffic, selected: int | None, kv_cache_dtype: str
) -> Work:
    """Counts for one setup; ``selected`` tokens are what sparse attention reads.

    Experts are shared by all ranks alike, by whole experts or by slices: measured rows do not tell them apart. Without
    experts data parallel ranks share nothing: each is a replica of its own.
    """
    if not shape.experts:
        ranks = replace(ranks, data=1)
    tokens = traffic.requests * ranks.data
    kinds = {part.name: stored_kind(part, stored, shape) for part in shape.parts}
    sizes = dict(_elements(shape, ranks))
    peak = {part.name: _peak(gpu, kinds[part.name]) for part in shape.parts}
    dense = [part for part in shape.parts if part.role in _DENSE and part.rows > 1]
    experts = [part for part in shape.of(Role.EXPERTS) if part.rows > 1]
    output = [*shape.of(Role.OUTPUT), *shape.of(Role.ROUTER), *(shape.of(Role.EMBEDDING)[:1] if shape.tied else ())]
    size = {part: sizes[part] * bytes_per_parameter(kinds[part.name], stored.group_size) for part in dense + experts}
    touched = _touched(shape, tokens)
    share = shape.active_experts / shape.experts if shape.experts else 0.0
    every = sum(size[part] for part in experts)
    gpus = ranks.tensor * ranks.data
    ring = 2 * (gpus - 1) / gpus
    link = (gpu.link_gb_per_s or 0) * 1e9
    moved = 2 * shape.layers * shape.hidden * SIXTEEN_BIT_BYTES * ring
    return Work(
        requests=traffic.requests,
        data_ranks=ranks.data,
        arrivals=traffic.requests / traffic.output_tokens,
        input_tokens=traffic.input_tokens,
        output_tokens=traffic.output_tokens,
        layers=shape.layers,
        attention_layers=sum(c.layers for c in shape.caches if c.keeps is not Keeps.STATE and not c.latent),
        latent_layers=sum(c.layers for c in shape.caches if c.latent and c.keeps is Keeps.EVERYTHING),
        index_layers=sum(c.layers for c in shape.caches if c.extra_bytes),
        state_layers=sum(c.layers for c in shape.caches if c.keeps is Keeps.STATE),
        expert_layers=shape.moe_layers,
        routing=shape.moe_layers * log2(max(shape.active_experts, 1)),
        quantized_inputs=_quantized_inputs(shape, kinds, gpu),
        weight_bytes=sum(size[part] for part in dense if kinds[part.name] not in FOUR_BIT or shape.experts),
        four_bit_bytes=sum(size[part] for part in dense if kinds[part.name] in FOUR_BIT and not shape.experts),
        output_bytes=sum(sizes[part] * SIXTEEN_BIT_BYTES for part in output),
        expert_bytes=every * touched,
        other_expert_bytes=every * (1 - touched),
        cache_bytes=traffic.requests
        * sum(_read(cache, traffic, ranks, selected, kv_cache_dtype) for cache in shape.caches),
        matmul_s=sum(2 * sizes[part] / peak[part.name] for part in dense),
        expert_s=sum(2 * sizes[part] * share * ranks.data / peak[part.name] for part in experts),
        output_s=sum(2 * sizes[part] / _peak(gpu, "bf16") for part in output),
        attention_s=traffic.requests
        * _attention(shape, ranks, traffic.context, selected, decode=True)
        / _peak(gpu, "bf16"),
        prompt_attention_s=_attention(shape, ranks, traffic.input_tokens / 2, selected, decode=False)
        / _peak(gpu, "bf16"),
        hops=shape.layers * log2(gpus),
        exchange_s=moved / link if gpus > 1 else 0.0,
        memory_bytes_per_s=gpu.memory_bandwidth_gb_per_s * 1e9,
        hopper=1.0 if gpu.cc and gpu.cc[0] == 9 else 0.0,
    )


_DENSE = frozenset({Role.ATTENTION, Role.INDEXER, Role.LINEAR_ATTENTION, Role.MLP, Role.SHARED_EXPERTS})


def stored_kind(part: Part, stored: Stored, shape: Shape) -> str:
    """The format a part is served in."""
    only = ONLY_AS.get(shape.architecture)
    if only and stored.quantization not in ("bf16", "fp16"):
        stored = Stored(only, stored.exceptions)
    kept = stored.quantization in FOUR_BIT and shape.experts and not stored.exceptions
    if kept and part.role in KEPT_IN_16_BIT:
        return "bf16"
    return stored.kind_of(part, experts=bool(shape.experts))


def _elements(shape: Shape, ranks: Ranks) -> Iterator[tuple[Part, float]]:
    for part in shape.parts:
        yield part, elements_on_rank(part, ranks.tensor, ranks.expert)


def _peak(gpu: Gpu, kind: str) -> float:
    """Operations per second of a matrix product whose weights are stored so; formats without a unit run in 16 bit.

    mxfp4 counts at the 8-bit rate where the GPU multiplies four bits: with MXFP8 activations, which vLLM offers there
    (0.17.0, quantization/mxfp4.py, VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8). Rows do not say which they had.
    """
    rate = gpu.dense_tflops.get(_UNITS.get(kind, TensorDtype.BF16))
    if kind == "mxfp4":
        rate = gpu.dense_tflops.get(TensorDtype.FP8) if TensorDtype.FP4 in gpu.dense_tflops else None
    return (rate or gpu.half_precision_tflops or 0) * 1e12


_UNITS = {"fp8": TensorDtype.FP8, "nvfp4": TensorDtype.FP4, "int8": TensorDtype.INT8}


def _touched(shape: Shape, tokens: float) -> float:
    """Share of the experts that ``tokens`` reach: uniform routing misses one with probability (1 - k/E)^tokens."""
    if not shape.experts:
        return 0.0
    return 1 - (1 - shape.active_experts / shape.experts) ** tokens


def _quantized_inputs(shape: Shape, kinds: dict[str, str], gpu: Gpu) -> float:
    """Two per layer and block (into it and before its last product) where activations are quantized too."""
    blocks = {part.role: part for part in shape.parts if part.role in _DENSE | {Role.EXPERTS} and part.rows > 1}
    quantizes = {"fp8", "nvfp4", "int8"} | ({"mxfp4"} if TensorDtype.FP4 in gpu.dense_tflops else set())
    counted = (Role.ATTENTION, Role.LINEAR_ATTENTION, Role.MLP, Role.EXPERTS)
    return sum(2 * part.layers for role, part in blocks.items() if role in counted and kinds[part.name] in quantizes)


def _read(cache: Cache, traffic: Traffic, ranks: Ranks, selected: int | None, kv_cache_dtype: str) -> float:
    """Bytes of cache or state that one request's token moves."""
    if cache.keeps is Keeps.STATE:
        return READS_AND_WRITES * cache.layers * cache.state_elements * cache.state_bytes / ranks.tensor
    entry = cache.heads_on_rank(ranks.tensor) * cache.elements * float(BYTES_PER_ELEMENT[kv_cache_dtype])
    index = cache.extra_bytes * traffic.context / cache.every
    return cache.layers * (_entries(cache, traffic.context, selected) * entry + index)


def _entries(cache: Cache, context: float, selected: int | None) -> float:
    """Entries of one layer that a query of this context attends to."""
    if cache.keeps is Keeps.STATE:
        return 0.0
    if cache.keeps is Keeps.WINDOW:
        return min(context, cache.window)
    entries = context / cache.every
    return min(entries, selected) if selected and cache.extra_bytes else entries


def _attention(shape: Shape, ranks: Ranks, context: float, selected: int | None, *, decode: bool) -> float:
    """Operations of scores and values for one query token of this context, all layers, on one tensor parallel rank."""
    parts = {part.name: part for part in shape.parts}
    values = parts["attn_output"].columns if "attn_output" in parts else shape.heads * shape.head_dim
    queries = parts["attn_q_b"].rows if "attn_q_b" in parts else values
    total = 0.0
    for cache in shape.caches:
        absorbed = cache.latent and decode
        width = LATENT_PASSES * shape.heads * cache.elements if absorbed else queries + values
        total += cache.layers * _entries(cache, context, selected) * 2 * width
    return total / ranks.tensor
