"""What vLLM takes of one GPU when it starts, term by term, and what it leaves for the KV cache.

KV cache = total x gpu_memory_utilization - weights - peak of the profile run - non-torch - CUDA graphs
(vLLM 0.33.0: v1/worker/gpu_worker.py, v1/worker/utils.py, config/cache.py). The formulas of the terms, by version:
:mod:`modelberth.memory.vllm_terms`; the pages of the KV cache: :mod:`modelberth.memory.vllm_cache`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelberth.catalog import Engine, catalog
from modelberth.memory import vllm_terms as formulas
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Part, Role
from modelberth.memory.terms import Memory, Term, Unsized, about
from modelberth.memory.vllm_cache import kv_plan
from modelberth.memory.weights import SIXTEEN_BIT, as_loaded, fullest_stage, part_bytes
from modelberth.units import GIB
from modelberth.versions import fact, key

NON_TORCH_GIB = {"alone": 0.15, "with NCCL": 0.6}
"""Memory outside torch's allocator on one GPU and with tensor parallel ranks.
Source: llm-d-incubation/llm-d-planner@e50305a, src/planner/capacity_planner.py."""

CUDA_GRAPHS_GIB = 0.75
"""CUDA graphs of dense models: 0.1 to 1.2 GiB in start-up logs."""


@dataclass(frozen=True)
class BatchDefaults:
    """What vLLM chooses when nothing is said."""

    max_num_seqs: int
    max_num_batched_tokens: int


def default_utilization(engine: Engine, version: str) -> float:
    """gpu_memory_utilization when nothing is said, for this version."""
    return float(fact(engine.gpu_memory_utilization_default, version))


def batch_defaults(engine: Engine, visible_memory_gib: float, gpu_id: str) -> BatchDefaults:
    """max_num_seqs and max_num_batched_tokens when nothing is said, for this GPU (vLLM 0.33.0, engine/arg_utils.py)."""
    for row in engine.batch_defaults:
        if visible_memory_gib >= row.min_visible_memory_gib and gpu_id not in row.except_gpus:
            return BatchDefaults(row.max_num_seqs, row.max_num_batched_tokens)
    raise LookupError(f"no batch defaults for {gpu_id}")


def settled(setup: Setup) -> Setup:
    """The setup with every default that memory depends on stated."""
    if not setup.on_gpu:
        raise Unsized("vLLM is sized on GPUs only")
    facts = catalog().engine("vllm")
    batch = batch_defaults(facts, setup.capacity_bytes / GIB, setup.gpu.id if setup.gpu else "")
    tokens = max(batch.max_num_batched_tokens, setup.max_num_seqs or 0)
    return replace(
        setup,
        max_num_seqs=setup.max_num_seqs or batch.max_num_seqs,
        max_num_batched_tokens=setup.max_num_batched_tokens or tokens,
        utilization=setup.utilization or default_utilization(facts, setup.engine_version),
    )


def memory(setup: Setup) -> Memory:
    """The sum for one GPU. Raises :class:`Unsized` for a quantization that has no layout."""
    setup = settled(setup)
    facts = catalog().engine("vllm")
    tp = setup.ranks.tensor
    terms = [
        *weights(setup),
        _activation(setup),
        Term(
            "non-torch",
            int(NON_TORCH_GIB["alone" if tp == 1 else "with NCCL"] * GIB),
            "CUDA context and libraries" + (", NCCL buffers" if tp > 1 else ""),
            "llm-d-planner@e50305a",
        ),
    ]
    if not setup.enforce_eager and bool(fact(facts.cudagraphs_in_budget, setup.engine_version)):
        graphs = int(CUDA_GRAPHS_GIB * GIB)
        terms.append(Term("CUDA graphs", graphs, "counted inside the budget since 0.21", "vLLM start-up logs"))
    return Memory(
        engine="vllm",
        capacity_bytes=setup.capacity_bytes,
        budget_bytes=formulas.budget_bytes(setup.engine_version, setup.capacity_bytes, setup.utilization or 0),
        terms=tuple(terms),
        kv=kv_plan(setup),
    )


def weights(setup: Setup) -> tuple[Term, ...]:
    """What vLLM prints as loaded: the parts of one rank, copies of latent projections, the table of positions."""
    shape, ranks = setup.shape, setup.ranks
    try:
        sizes = part_bytes(shape, setup.stored, ranks)
        factor = as_loaded(shape, setup.stored)
    except KeyError:
        raise Unsized(f"vLLM loads no {setup.quantization} weights") from None
    if setup.quantization == "mxfp4" and shape.experts:
        sizes |= _padded_experts(setup)
    split = f", 1/{ranks.gpus} of the model and what is replicated" if ranks.gpus > 1 else ""
    why = f"{shape.parameters / 1e9:.2f} billion parameters as {setup.quantization}{split}"
    if factor != 1.0:
        why += f", scaled by {factor:.3f} to the files of the checkpoint"
    amount = fullest_stage(shape, sizes, ranks.pipeline) * factor
    terms = [about("weights", amount, why, "shapes of config.json and the format's layout", 0.995, 1.01)]
    if copies := _latent_copies(setup):
        terms.append(copies)
    if shape.rotary_elements:
        table = shape.rotary_elements * 2
        terms.append(Term("rotary table", table, "positions x rotated width x 2 B", "layers/rotary_embedding.py"))
    return tuple(terms)


def _padded_experts(setup: Setup) -> dict[Part, float]:
    """Experts in mxfp4 as the kernel of this version and GPU wants them."""
    shape, ranks = setup.shape, setup.ranks
    whole = setup.expert_parallel
    width = shape.expert_intermediate if whole else -(-shape.expert_intermediate // ranks.expert)
    held = -(-shape.experts // ranks.expert) if whole else shape.experts
    kernel = _mxfp4_kernel(setup)
    each = formulas.mxfp4_expert_bytes(setup.engine_version, kernel, shape.hidden, width)
    matrices = [part for part in shape.of(Role.EXPERTS) if part.rows > 1]
    return {part: each * held * shape.moe_layers / len(matrices) for part in matrices}


def _mxfp4_kernel(setup: Setup) -> str:
    cc = setup.gpu.cc if setup.gpu else None
    if cc is None or cc < (9, 0) or key(setup.engine_version) < key("0.11"):
        return "marlin"
    return "triton" if cc < (10, 0) else "flashinfer_trtllm"


def _latent_copies(setup: Setup) -> Term | None:
    shape, tp = setup.shape, setup.ranks.tensor
    parts = {part.name: part for part in shape.parts}
    if "attn_kv_b" not in parts or key(setup.engine_version) < key("0.7"):
        return None
    up = parts["attn_kv_b"]
    heads, quantized = shape.heads // tp, setup.stored.kind_of(up, experts=bool(shape.experts)) not in SIXTEEN_BIT
    layers = -(-up.layers // setup.ranks.pipeline)
    source = "layers/attention/mla_attention.py"
    if key(setup.engine_version) < key("0.8"):
        low = parts["attn_q_b"].columns if "attn_q_b" in parts else shape.hidden
        elements = formulas.absorbed_latent_elements(layers, heads, up.columns, low, shape.hidden)
        why = f"{layers} layers x {heads} heads x {up.columns} latent x ({low} + {shape.hidden}), absorbed products"
        return Term("latent copies", elements * (1 if quantized else 2), why, source)
    width = up.rows // shape.heads
    amount = formulas.latent_copies_bytes(layers, heads, width, up.columns, quantized=quantized)
    why = f"{layers} layers x {heads} heads x {width} x {up.columns} latent x 2 B, 16-bit copies of kv_b_proj"
    return Term("latent copies", amount, why, source) if amount else None


def _activation(setup: Setup) -> Term:
    """The larger of the sampler's logits and one batch through one layer: the peak of vLLM's profile run."""
    shape, version = setup.shape, setup.engine_version
    tokens, asked = setup.max_num_batched_tokens or 0, setup.max_num_seqs or 0
    seqs = formulas.sampled_sequences(asked, tokens)
    hybrid = not shape.uniform
    second = formulas.second_runner(version, moe=bool(shape.experts), hybrid=hybrid)
    vocab = formulas.padded_vocabulary(shape.vocab)
    sampler = formulas.sampler_peak_bytes(version, seqs, vocab, tokens, shape.hidden, v2_runner=second)
    forward = _forward(setup, tokens)
    capability = setup.gpu.compute_capability if setup.gpu else None
    cublas = formulas.cublas_workspace_bytes(float(capability)) if capability else 0
    if sampler >= forward:
        copies = float(formulas.sampler_copies(version, seqs, v2_runner=second))
        why = f"sampler: {copies:g} x {seqs} sequences x {vocab} vocabulary x 4 B, and the batch's hidden states"
    else:
        why = f"one batch of {tokens} tokens through the widest layer"
    return about("activation", max(sampler, forward) + cublas, why, "vLLM profile run, gpu_model_runner.py", 0.8, 1.1)


def _forward(setup: Setup, tokens: int) -> int:
    shape, ranks = setup.shape, setup.ranks
    peaks = [formulas.dense_peak_bytes(tokens, shape.hidden, shape.intermediate, ranks.tensor)]
    if shape.experts:
        width = shape.expert_intermediate
        peaks.append(
            formulas.moe_peak_bytes(
                setup.engine_version,
                tokens * ranks.data,
                shape.hidden,
                width if setup.expert_parallel else -(-width // ranks.expert),
                shape.active_experts,
                shape.experts,
            )
        )
    if shape.latent and "attn_kv_b" in {part.name for part in shape.parts}:
        up = next(part for part in shape.parts if part.name == "attn_kv_b")
        peaks.append(
            formulas.mla_context_bytes(
                setup.engine_version,
                setup.context or 0,
                setup.max_num_seqs or 0,
                64,
                shape.heads // ranks.tensor,
                up.rows // shape.heads,
            )
        )
    return max(peaks)
