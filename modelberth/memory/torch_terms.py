"""Terms that the PyTorch engines share: weights of one rank, one batch through a layer, what lies outside torch."""

from __future__ import annotations

from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Role, Shape
from modelberth.memory.terms import Term, Unsized, about
from modelberth.memory.weights import safetensors_bytes
from modelberth.units import GIB

CONTEXT_GIB = (0.35, 0.55, 0.9)
"""CUDA context, cuBLAS and the kernels' modules of one process on one GPU (low, amount, high): an allowance."""

NCCL_GIB = (0.3, 0.8, 2.0)
"""NCCL channels and all-reduce buffers of one rank (low, amount, high): an allowance. ai-dynamo/aiconfigurator@095f58a
(aic-core, sdk/backends) counts 0.33 to 0.38 GiB for NCCL alone."""


def weights(setup: Setup, engine: str) -> Term:
    """The parts of one rank. Raises :class:`Unsized` for a format that has no layout."""
    try:
        amount = safetensors_bytes(setup.shape, setup.stored, setup.ranks)
    except KeyError:
        raise Unsized(f"{engine} loads no {setup.quantization} weights") from None
    gpus = setup.ranks.gpus
    split = f", 1/{gpus} of the model and what is replicated" if gpus > 1 else ""
    why = f"{setup.shape.parameters / 1e9:.2f} billion parameters as {setup.quantization}{split}"
    return Term("weights", amount, why, "shapes of config.json and the format's layout")


def outside_torch(setup: Setup, share: float = 1.0) -> Term:
    """CUDA context and, with several ranks, NCCL; ``share`` of it when the engine's budget is taken of what is left."""
    several = setup.ranks.gpus > 1
    low, amount, high = (
        int((context + (nccl if several else 0)) * share * GIB)
        for context, nccl in zip(CONTEXT_GIB, NCCL_GIB, strict=True)
    )
    why = "CUDA context and libraries" + (", NCCL buffers" if several else "") + ": an allowance"
    return Term("non-torch", amount, why, "no formula: differs by GPU, driver and link", low, high)


def batch_activation(shape: Shape, tokens: int, tensor_parallel: int, logits_rows: int) -> Term:
    """One batch through the widest layer, or the logits of its last tokens, in 16 bit and float32 for the logits.

    Alive at once: residual, normed input and output of the layer (3 hidden) and gate, up and their product (3 MLP),
    each active expert's row once (the engines' modeling files; vLLM's fused_moe cache1 and cache3 in all of them).
    """
    wide = shape.intermediate // tensor_parallel if _has_dense(shape) else 0
    experts = shape.active_experts * (3 * shape.expert_intermediate // tensor_parallel + shape.hidden)
    width = 3 * shape.hidden + max(3 * wide, experts)
    forward, logits = tokens * width * 2, logits_rows * shape.vocab * (2 + 4)
    if forward >= logits:
        why = f"one batch: {tokens} tokens x {width} elements x 2 B"
    else:
        why = f"logits: {logits_rows} rows x {shape.vocab} vocabulary x 6 B"
    return about("activation", max(forward, logits), why, "widths of the model's layers", 0.6, 1.8)


def _has_dense(shape: Shape) -> bool:
    return any(part.role is Role.MLP for part in shape.parts)
