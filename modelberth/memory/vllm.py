"""What vLLM takes of one GPU when it starts, term by term, and what it leaves for the KV cache.

KV cache = total x gpu_memory_utilization - weights - peak of the profile run - non-torch - CUDA graphs
(vLLM 0.33.0: v1/worker/gpu_worker.py, v1/worker/utils.py, config/cache.py). The formulas of the terms, by version:
:mod:`modelberth.memory.vllm_terms`; the pages of the KV cache: :mod:`modelberth.memory.vllm_cache`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from modelberth.catalog import BatchDefault, Engine, catalog
from modelberth.memory import torch_terms
from modelberth.memory import vllm_terms as formulas
from modelberth.memory.extras import adapters, draft, on_host, verification
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Keeps, Part, Role
from modelberth.memory.terms import Least, Memory, Term, Unsized, about
from modelberth.memory.vllm_cache import BLOCK_TOKENS, PagedKv, kv_plan
from modelberth.memory.weights import SIXTEEN_BIT
from modelberth.units import GIB, MIB
from modelberth.versions import fact, key


@dataclass(frozen=True)
class Allowance:
    """An amount in GiB that no formula gives, with the range that start-up logs show."""

    since: str
    gib: float
    low_gib: float
    high_gib: float


NON_TORCH = {
    "alone": (
        Allowance("0", 0.3, 0.05, 0.5),
        Allowance("0.8", 0.3, 0.05, 0.8),
        Allowance("0.9", 0.6, 0.3, 0.8),
        Allowance("0.9.2", 0.13, 0.05, 0.35),
        Allowance("0.17", 0.3, 0.1, 0.5),
    ),
    "with NCCL": (
        Allowance("0", 0.3, 0.1, 0.8),
        Allowance("0.8", 0.5, 0.1, 1.5),
        Allowance("0.9", 1.1, 0.5, 1.6),
        Allowance("0.9.2", 0.6, 0.3, 1.0),
        Allowance("0.12", 0.45, 0.1, 0.9),
    ),
}
"""Memory outside torch's allocator that is charged to the budget: CUDA modules and cuBLAS; up to 0.9.1 the V1 engine
also charges the CUDA context (0.5 GiB), which V0, still there in 0.8, does not; NCCL's buffers while the snapshot is
taken before them, up to 0.10 (v1/worker/gpu_worker.py). Sources: llm-d-incubation/llm-d-planner@e50305a,
src/planner/capacity_planner.py (0.15 and 0.6 GiB), and vLLM start-up logs (0.05 to 0.47 GiB)."""

CUDA_GRAPHS = {"dense": Allowance("0", 0.35, 0.1, 0.9), "experts": Allowance("0", 0.9, 0.3, 1.6)}
"""CUDA graphs. vLLM measures a trial capture (v1/worker/gpu_model_runner.py, 0.20), there is no formula; start-up logs
show 0.1 to 0.7 GiB for dense models and 1.0 to 1.2 for experts."""

VISION_PROFILE = Allowance("0", 0.9, 0.3, 1.8)
"""Peak of the largest image in the encoder and its embeddings, kept while the batch runs (encoder_cache_manager.py)."""

EXPERT_PARALLEL = Allowance("0", 4.0, 0.5, 10.0)
"""Exchange buffers and DeepGEMM workspaces of expert parallel: 1 GiB of NVLink buffer by default
(VLLM_DEEPEP_BUFFER_SIZE_MB), 2.4 to 7 GiB in start-up logs."""

FLASHINFER_WORKSPACE_MIB = {"0": 256, "0.22": 394}
"""Workspace of the attention backend, allocated after the KV cache (v1/attention/backends/flashinfer.py); others have
none."""


def _allowed(name: str, allowances: tuple[Allowance, ...], version: str, why: str, source: str) -> Term:
    chosen = [each for each in allowances if key(version) >= key(each.since)][-1]
    bounds = (int(chosen.low_gib * GIB), ceil(chosen.high_gib * GIB))
    return Term(name, int(chosen.gib * GIB), why, source, *bounds, since="" if chosen.since == "0" else chosen.since)


@dataclass(frozen=True)
class BatchDefaults:
    """What vLLM chooses when nothing is said."""

    max_num_seqs: int
    max_num_batched_tokens: int


def default_utilization(engine: Engine, version: str) -> float:
    """gpu_memory_utilization when nothing is said, for this version."""
    return float(fact(engine.gpu_memory_utilization_default, version))


def batch_defaults(engine: Engine, version: str, visible_memory_gib: float, gpu_id: str) -> BatchDefaults:
    """max_num_seqs and max_num_batched_tokens when nothing is said, for this GPU and version."""
    tiers: dict[float, BatchDefault] = {}
    for row in sorted(engine.batch_defaults, key=lambda each: key(each.since)):
        if key(version) >= key(row.since):
            tiers[row.min_visible_memory_gib] = row
    for least_gib, row in sorted(tiers.items(), reverse=True):
        if visible_memory_gib >= least_gib and gpu_id not in row.except_gpus:
            return BatchDefaults(row.max_num_seqs, row.max_num_batched_tokens)
    raise LookupError(f"no batch defaults for {gpu_id}")


V0_CHUNKED_ABOVE_TOKENS = 32_768
"""Contexts that the first engine prefills in chunks; shorter ones whole (engine/arg_utils.py of 0.6.6)."""


def settled(setup: Setup) -> Setup:
    """The setup with every default that memory depends on stated."""
    if not setup.on_gpu:
        raise Unsized("vLLM is sized on GPUs only")
    facts, version = catalog().engine("vllm"), setup.engine_version
    batch = batch_defaults(facts, version, setup.capacity_bytes / GIB, setup.gpu.id if setup.gpu else "")
    tokens = max(batch.max_num_batched_tokens, setup.max_num_seqs or 0)
    context = setup.context or 0
    if key(version) < key("0.8") and context <= V0_CHUNKED_ABOVE_TOKENS:
        tokens = max(tokens, context)
    return replace(
        setup,
        max_num_seqs=setup.max_num_seqs or batch.max_num_seqs,
        max_num_batched_tokens=setup.max_num_batched_tokens or tokens,
        utilization=setup.utilization or default_utilization(facts, version),
    )


def memory(setup: Setup) -> Memory:
    """The sum for one GPU. Raises :class:`Unsized` for a quantization that has no layout."""
    setup = settled(setup)
    version = setup.engine_version
    graphs = None if setup.enforce_eager else _graphs(setup)
    inside = bool(fact(catalog().engine("vllm").cudagraphs_in_budget, version))
    overhead = [*_overhead(setup), *([graphs] if graphs and inside else [])]
    plan = kv_plan(setup)
    activation = _activation(setup)
    outside = [_workspace(version), *([graphs] if graphs and not inside else [])]
    outside += verification(setup, activation.amount_bytes)
    return Memory(
        engine="vllm",
        capacity_bytes=setup.capacity_bytes,
        budget_bytes=formulas.budget_bytes(version, setup.capacity_bytes, setup.utilization or 0),
        terms=(*weights(setup), *adapters(setup), *draft(setup), activation, *overhead),
        outside=tuple(outside),
        host=tuple(on_host(setup)),
        kv=plan,
        least_kv=_states(setup, plan),
        assumes=f"--max-num-seqs {setup.max_num_seqs} --max-num-batched-tokens {setup.max_num_batched_tokens} "
        f"--gpu-memory-utilization {setup.utilization:g}",
    )


STATES_SINCE = "0.20"


def _states(setup: Setup, plan: PagedKv) -> Least | None:
    """A state for every sequence that decode graphs are captured for; vLLM refuses to start with fewer blocks.

    Source: config/compilation.py of 0.20.0 to 0.33.0 ("exceeds available Mamba cache blocks"); 0.19 captures fewer.
    """
    recurrent = any(cache.keeps is Keeps.STATE for cache in setup.shape.caches)
    if setup.enforce_eager or not recurrent or key(setup.engine_version) < key(STATES_SINCE):
        return None
    amount = (setup.max_num_seqs or 0) * plan.pages.block_bytes
    why = f"a state for each of {setup.max_num_seqs} sequences that graphs are captured for"
    return Least(amount, why, "vLLM 0.20.0, config/compilation.py")


def _overhead(setup: Setup) -> Iterator[Term]:
    shape, version, many = setup.shape, setup.engine_version, setup.ranks.gpus > 1
    why = "CUDA modules and libraries" + (", NCCL and all-reduce buffers" if many else "")
    kind = "with NCCL" if many else "alone"
    yield _allowed("non-torch", NON_TORCH[kind], version, why, "vLLM start-up logs, llm-d-planner@e50305a")
    second = _second_runner(setup)
    counters = formulas.penalty_bytes(version, setup.max_num_seqs or 0, shape.vocab, v2_runner=second)
    if counters:
        why = f"{setup.max_num_seqs} sequences x {shape.vocab} vocabulary x 4 B, and a mask"
        yield Term("penalty counters", counters, why, "v1/worker/gpu/sample/penalties.py", since="0.27")
    if setup.expert_parallel and shape.experts:
        yield _allowed(
            "expert exchange", (EXPERT_PARALLEL,), version, "all-to-all buffers and workspaces", "vLLM start-up logs"
        )


def _graphs(setup: Setup) -> Term:
    kind = "experts" if setup.shape.experts else "dense"
    why = "graphs of a decode step, counted inside the budget since 0.20"
    return _allowed("CUDA graphs", (CUDA_GRAPHS[kind],), setup.engine_version, why, "vLLM start-up logs")


def _workspace(version: str) -> Term:
    mib = [size for since, size in FLASHINFER_WORKSPACE_MIB.items() if key(version) >= key(since)][-1]
    return Term("attention workspace", mib * MIB, f"{mib} MiB", "v1/attention/backends/flashinfer.py", low_bytes=0)


def _second_runner(setup: Setup) -> bool:
    return formulas.second_runner(setup.engine_version, moe=bool(setup.shape.experts), hybrid=not setup.shape.uniform)


def weights(setup: Setup) -> tuple[Term, ...]:
    """What vLLM prints as loaded: the parts of one rank, copies of latent projections, the table of positions."""
    shape = setup.shape
    padded = _padded_experts(setup) if setup.quantization == "mxfp4" and shape.experts else None
    terms = [torch_terms.weights(setup, "vLLM", padded)]
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
        return Term("latent copies", elements * (1 if quantized else 2), why, source, since="0.7")
    width = up.rows // shape.heads
    amount = formulas.latent_copies_bytes(layers, heads, width, up.columns, quantized=quantized)
    why = f"{layers} layers x {heads} heads x {width} x {up.columns} latent x 2 B, 16-bit copies of kv_b_proj"
    return Term("latent copies", amount, why, source, since="0.8") if amount else None


def _activation(setup: Setup) -> Term:
    """The larger of the sampler's logits and one batch through one layer: the peak of vLLM's profile run."""
    shape, version = setup.shape, setup.engine_version
    tokens, asked = setup.max_num_batched_tokens or 0, setup.max_num_seqs or 0
    seqs, second = formulas.sampled_sequences(asked, tokens), _second_runner(setup)
    sampler = formulas.sampler_peak_bytes(version, seqs, shape.vocab, tokens, shape.hidden, v2_runner=second)
    sampler += formulas.sampler_buffer_bytes(version, seqs, shape.vocab, MULTIPROCESSORS)
    workspace = _expert_workspace(setup, tokens)
    kept = workspace if key(version) >= key(WORKSPACE_KEPT_SINCE) else 0
    sampler += kept
    forward = _forward(setup, tokens) + workspace
    capability = setup.gpu.compute_capability if setup.gpu else None
    cublas = formulas.cublas_workspace_bytes(float(capability)) if capability else 0
    if sampler >= forward:
        copies = float(formulas.sampler_copies(version, seqs, v2_runner=second))
        why = f"sampler: {copies:g} x {seqs} sequences x {shape.vocab} vocabulary x 4 B, and the batch's hidden states"
        since = formulas.sampler_since(version, v2_runner=second)
    else:
        why, since = f"one batch of {tokens} tokens through the widest layer: {_widest(setup)}", ""
    amount, source = max(sampler, forward) + cublas, "profile run: v1/worker/gpu_model_runner.py"
    if not shape.of(Role.VISION):
        return about("activation", amount, why, source, 0.9, 1.1, since)
    vision = VISION_PROFILE
    bounds = (int(amount * 0.9 + vision.low_gib * GIB), ceil(amount * 1.1 + vision.high_gib * GIB))
    return Term(
        "activation", amount + int(vision.gib * GIB), f"{why}; an image of the largest size", source, *bounds, since
    )


def _widest(setup: Setup) -> str:
    """Elements per token of the layer that :func:`_forward` takes, in words."""
    shape, ranks = setup.shape, setup.ranks
    dense = f"3 x {-(-shape.intermediate // ranks.tensor)} + 3 x {shape.hidden} elements of 2 B each"
    if not shape.experts:
        return dense
    return f"{shape.active_experts} experts of {shape.expert_intermediate} and {shape.hidden} elements, or {dense}"


MULTIPROCESSORS = 132
"""Of a data centre GPU (H100); others differ by a few."""


WORKSPACE_KEPT_SINCE = "0.14"
"""The experts' workspace outlives the layer, so that the sampler runs beside it (v1/worker/workspace.py)."""


def _expert_workspace(setup: Setup, tokens: int) -> int:
    shape, ranks = setup.shape, setup.ranks
    if not shape.experts:
        return 0
    width = shape.expert_intermediate if setup.expert_parallel else -(-shape.expert_intermediate // ranks.expert)
    gathered = tokens * ranks.data
    return formulas.moe_workspace_bytes(setup.engine_version, gathered, shape.hidden, width, shape.active_experts)


def _forward(setup: Setup, tokens: int) -> int:
    shape, ranks = setup.shape, setup.ranks
    peaks = [formulas.dense_peak_bytes(tokens, shape.hidden, shape.intermediate, ranks.tensor)]
    if shape.experts:
        peaks.append(formulas.moe_peak_bytes(tokens * ranks.data, shape.hidden, shape.experts))
    up = next((part for part in shape.parts if part.name == "attn_kv_b"), None)
    if up:
        context, seqs, heads = setup.context or 0, setup.max_num_seqs or 0, shape.heads // ranks.tensor
        width, block = up.rows // shape.heads, BLOCK_TOKENS["latent"]
        peaks.append(formulas.mla_context_bytes(setup.engine_version, context, seqs, block, heads, width))
    return max(peaks)
