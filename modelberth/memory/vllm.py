"""What vLLM takes of one GPU when it starts, term by term, and what it leaves for the KV cache.

KV cache = ceil(total x gpu_memory_utilization) - weights - peak of the profile run - non-torch - CUDA graphs
(vLLM 0.33.0: v1/worker/gpu_worker.py, v1/worker/utils.py, config/cache.py). Sure for dense models on versions 0.21 and
later with 1 to 8 GPUs in one node; expect 2 to 5 percent of the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from modelberth.catalog import Engine, Gpu
from modelberth.memory.kv import kv_arithmetic, kv_bytes_per_token
from modelberth.memory.shapes import Shape
from modelberth.memory.terms import Memory, Term
from modelberth.memory.weights import safetensors_bytes
from modelberth.units import GIB
from modelberth.versions import fact

SAMPLER_COPIES = 9.65
"""Peak of the profile run's sampler in copies of fp32 logits (max_num_seqs x vocabulary x 4 bytes).
Source: vLLM start-up logs."""

NON_TORCH_GIB = {"alone": 0.15, "with NCCL": 0.6}
"""Memory outside torch's allocator on one GPU and with tensor parallel ranks.
Source: llm-d-incubation/llm-d-planner@e50305a, src/planner/capacity_planner.py."""

CUDA_GRAPHS_GIB = 0.75
"""CUDA graphs of dense models: 0.1 to 1.2 GiB in start-up logs."""


@dataclass(frozen=True)
class Settings:
    """The arguments of ``vllm serve`` that memory depends on, all stated."""

    version: str
    quantization: str
    tensor_parallel: int
    gpu_memory_utilization: float
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False


@dataclass(frozen=True)
class BatchDefaults:
    """What vLLM chooses when nothing is said."""

    max_num_seqs: int
    max_num_batched_tokens: int


def default_utilization(engine: Engine, version: str) -> float:
    """gpu_memory_utilization when nothing is said, for this version."""
    return float(fact(engine.gpu_memory_utilization_default, version))


def batch_defaults(engine: Engine, gpu: Gpu) -> BatchDefaults:
    """max_num_seqs and max_num_batched_tokens when nothing is said, for this GPU (vLLM 0.33.0, engine/arg_utils.py)."""
    for row in engine.batch_defaults:
        if gpu.visible_memory_gib >= row.min_visible_memory_gib and gpu.id not in row.except_gpus:
            return BatchDefaults(row.max_num_seqs, row.max_num_batched_tokens)
    raise LookupError(f"no batch defaults for {gpu.id}")


def memory(engine: Engine, shape: Shape, gpu: Gpu, settings: Settings) -> Memory:
    """The sum for one GPU. Raises KeyError for a quantization that vLLM does not load."""
    total = gpu.visible_memory_bytes
    tp = settings.tensor_parallel
    terms = [
        _weights(shape, settings),
        _activation(shape, settings),
        Term(
            "non-torch",
            int(NON_TORCH_GIB["alone" if tp == 1 else "with NCCL"] * GIB),
            "CUDA context and libraries" + (", NCCL buffers" if tp > 1 else ""),
            "llm-d-planner@e50305a",
        ),
    ]
    if not settings.enforce_eager and bool(fact(engine.cudagraphs_in_budget, settings.version)):
        graphs = int(CUDA_GRAPHS_GIB * GIB)
        terms.append(Term("CUDA graphs", graphs, "counted inside the budget since 0.21", "vLLM start-up logs"))
    return Memory(
        engine="vllm",
        capacity_bytes=total,
        budget_bytes=ceil(total * settings.gpu_memory_utilization),
        terms=tuple(terms),
        kv_bytes_per_token=kv_bytes_per_token(shape, settings.kv_cache_dtype, tp),
        block_tokens=engine.block_size or 16,
        kv_why=kv_arithmetic(shape, settings.kv_cache_dtype, tp),
    )


def _weights(shape: Shape, settings: Settings) -> Term:
    tp = settings.tensor_parallel
    amount = safetensors_bytes(shape, settings.quantization, tp)
    split = f", 1/{tp} of the model and what is replicated" if tp > 1 else ""
    return Term(
        "weights",
        amount,
        f"{shape.parameters / 1e9:.2f} billion parameters as {settings.quantization}{split}",
        "shapes of config.json and the format's layout",
    )


def _activation(shape: Shape, settings: Settings) -> Term:
    """The larger of the sampler's logits and one batch through one layer: the peak of vLLM's profile run."""
    sampler = SAMPLER_COPIES * settings.max_num_seqs * shape.vocab * 4
    width = 4 * shape.hidden + 2 * shape.intermediate // settings.tensor_parallel
    forward = settings.max_num_batched_tokens * width * 2
    if sampler >= forward:
        why = f"sampler: {SAMPLER_COPIES} x {settings.max_num_seqs} sequences x {shape.vocab} vocabulary x 4 B"
    else:
        why = f"one batch: {settings.max_num_batched_tokens} tokens x {width} elements x 2 B"
    return Term("activation", ceil(max(sampler, forward)), why, "vLLM profile run, gpu_model_runner.py")
