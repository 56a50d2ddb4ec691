"""Terms that the PyTorch engines share: weights of one rank, one batch through a layer, what lies outside torch."""

from __future__ import annotations

from collections.abc import Mapping

from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Part, Role, Shape
from modelberth.memory.terms import Term, Unsized, about
from modelberth.memory.weights import as_loaded, assumed_range, fullest_stage, part_bytes
from modelberth.units import GIB

CONTEXT_GIB = (0.35, 0.55, 0.9)
"""CUDA context, cuBLAS and the kernels' modules of one process on one GPU (low, amount, high): an allowance."""

NCCL_GIB = (0.3, 0.8, 2.0)
"""NCCL channels and all-reduce buffers of one rank (low, amount, high): an allowance. ai-dynamo/aiconfigurator@095f58a
(aic-core, sdk/backends) counts 0.33 to 0.38 GiB for NCCL alone."""


def weights(setup: Setup, engine: str, padded: Mapping[Part, float] | None = None) -> Term:
    """The parts of one rank; ``padded`` are bytes of those that the engine stores in another layout.

    Raises :class:`Unsized` for a format that has no layout, and for files that cannot be this model's.
    """
    shape, stored, ranks = setup.shape, setup.stored, setup.ranks
    try:
        sizes = {**part_bytes(shape, stored, ranks), **(padded or {})}
        factor = as_loaded(shape, stored)
    except KeyError:
        raise Unsized(f"{engine} loads no {setup.quantization} weights") from None
    split = f", 1/{ranks.gpus} of the model and what is replicated" if ranks.gpus > 1 else ""
    why = f"{shape.parameters / 1e9:.2f} billion parameters as {setup.quantization}{split}"
    if factor != 1.0:
        why += f", scaled by {factor:.3f} to the files of the checkpoint"
    low, high = assumed_range(shape, stored, ranks)
    amount = fullest_stage(shape, sizes, ranks.pipeline) * factor
    return about("weights", amount, why, "shapes of config.json and the format's layout", 0.995 * low, 1.01 * high)


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
