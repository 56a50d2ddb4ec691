"""What vLLM takes of a GPU beside the KV cache, as formulas of plain numbers, version by version.

Read from the releases 0.6.6 to 0.33.0. KV cache = budget - weights - peak of the profile run - memory outside torch's
allocator - CUDA graphs (since 0.20). The profile run is one batch of ``max_num_batched_tokens`` and then one sampler
call; its peak is the larger of the two, plus what stays allocated in both. All sizes are bytes on one GPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from modelberth.memory.page_groups import ceil_div
from modelberth.units import KIB, MIB, ceil_to
from modelberth.versions import key

FP32_BYTES = 4
BF16_BYTES = 2

MLA_CONTEXT_TOKENS = 64 * 1024
"""Upper bound of the up-projected context of chunked prefill
(layers/attention/mla_attention.py, ``determine_chunked_prefill_workspace_size``)."""


def budget_bytes(version: str, total_bytes: int, gpu_memory_utilization: float) -> int:
    """What vLLM may take of a GPU that shows ``total_bytes``; rounded up since 0.14 (v1/worker/utils.py)."""
    share = total_bytes * gpu_memory_utilization
    return ceil(share) if key(version) >= key("0.14") else int(share)


def cublas_workspace_bytes(compute_capability: float) -> int:
    """The cuBLAS workspace inside torch's allocator, allocated by the first product of the profile run.

    Source: pytorch, aten/src/ATen/cuda/CublasHandlePool.cpp: 32 MiB on 9.0 and 10.x, else ``:4096:2:16:8``.
    """
    return 32 * MIB if 9 <= compute_capability < 11 else (2 * 4096 + 8 * 16) * KIB


def sampled_sequences(max_num_seqs: int, max_num_batched_tokens: int) -> int:
    """Sequences whose logits the profile run samples (``num_reqs`` in ``_dummy_run``; as many in V0)."""
    return min(max_num_seqs, max_num_batched_tokens)


def second_runner(version: str, *, moe: bool, hybrid: bool, named: bool = False) -> bool:
    """Whether the V2 model runner serves this model, whose sampler and buffers differ.

    Source: config/vllm.py, ``use_v2_model_runner``: everything since 0.29; dense models that are no hybrids since 0.26;
    before that, and for others, only the architectures that the release lists (``named``).
    """
    if key(version) >= key("0.29"):
        return True
    return key(version) >= key("0.22") and (named or (key(version) >= key("0.26") and not (moe or hybrid)))


def sampler_copies(version: str, sequences: int, *, v2_runner: bool = False) -> Fraction:
    """Peak of the sampler's profile run, in copies of the fp32 logits (sequences x vocabulary x 4 B).

    Up to 0.16 top-k and top-p sort the logits: 1/2 (16-bit logits) + 1 (fp32) + 1 + 2 (sorted values, 64-bit indices)
    + torch.sort's own 5 (from 128 rows: 64-bit indices and the buffers of a segmented radix sort; 8 below, where one
    sort of all rows carries pairs). Since 0.17 a kernel masks in place (1/2 + 1 + probabilities + noise), since 0.21
    FlashInfer (1/2 + 1 + masked logits + probabilities): 3 1/2 each. The V2 runner keeps the 16-bit logits alone, until
    0.33 profiles all sampling parameters.
    Source: v1/sample/ops/topk_topp_sampler.py, v1/worker/gpu/model_runner.py (``_dummy_sampler_run``); pytorch,
    aten/src/ATen/native/cuda/SortStable.cu. Up to 0.11.0 FlashInfer also sampled where it
    was installed: in the images, not by the package's own requirements.
    """
    if v2_runner and key(version) < key("0.33"):
        return Fraction(1, 2)
    sorts = key(version) < key("0.17") or (sequences < 8 and key(version) < key("0.21"))
    if not sorts:
        return Fraction(7, 2)
    return Fraction(9, 2) + (8 if 1 < sequences < 128 else 5)


def sampler_since(version: str, *, v2_runner: bool = False) -> str:
    """The release from which :func:`sampler_copies` holds as it does at ``version``; empty for the oldest."""
    changes = ("0.22", "0.33") if v2_runner else ("0.17", "0.21")
    return next((since for since in reversed(changes) if key(version) >= key(since)), "")


def sampler_buffer_bytes(version: str, sequences: int, vocabulary: int, multiprocessors: int) -> int:
    """Rows that the masking kernel of 0.17 to 0.20 keeps, one per multiprocessor (sample/ops/topk_topp_triton.py)."""
    if not key("0.17") <= key(version) < key("0.21") or sequences < 8:
        return 0
    return min(sequences, multiprocessors) * vocabulary * FP32_BYTES


def penalty_bytes(version: str, max_num_seqs: int, vocabulary: int, *, v2_runner: bool) -> int:
    """Token counts that the V2 runner keeps for penalties: one int32 per sequence and token, and a mask of bits.

    Source: v1/worker/gpu/sample/penalties.py. Counted against the budget since 0.27, which measures all consumption;
    before, it is allocated outside the profile run and eats what the utilization leaves free.
    """
    if not v2_runner or key(version) < key("0.27"):
        return 0
    return max_num_seqs * (vocabulary + ceil_div(vocabulary, 32)) * FP32_BYTES


def sampler_peak_bytes(
    version: str, sequences: int, vocabulary: int, tokens: int, hidden: int, *, v2_runner: bool = False
) -> int:
    """Logits copies, and the hidden states kept meanwhile: of all ``tokens``, and twice of the sampled sequences."""
    logits = sampler_copies(version, sequences, v2_runner=v2_runner) * sequences * vocabulary * FP32_BYTES
    kept = (tokens + (1 if v2_runner else 2) * sequences) * hidden * BF16_BYTES
    return int(logits) + kept


def dense_peak_bytes(tokens: int, hidden: int, intermediate: int, tensor_parallel: int = 1) -> int:
    """One batch in a gated MLP at its down projection: gate and up (2), their product (1), input, residual and output.

    The MLP is split by tensor parallel ranks, the hidden states are not. Source: models/llama.py, ``LlamaMLP.forward``:
    the local ``gate_up`` lives until the function returns.
    """
    return tokens * (3 * ceil_div(intermediate, tensor_parallel) + 3 * hidden) * BF16_BYTES


def moe_workspace_bytes(version: str, tokens: int, hidden: int, expert_intermediate: int, active_experts: int) -> int:
    """Rows of the experts' products, one per token and active expert; ``expert_intermediate`` on this rank.

    Up to 0.13 (fused_moe/fused_moe.py) one cache holds gate and up or the outputs, another the product, 32,768 tokens
    at a time, freed after each layer. Since 0.14 (modular kernel, ``workspace_shapes`` of the Triton experts) both are
    as wide as the hidden states at least and are kept: they are there while the sampler runs (v1/worker/workspace.py).
    """
    gate_up, product = 2 * expert_intermediate, expert_intermediate
    if key(version) < key("0.14"):
        rows = min(tokens, 32_768) * active_experts * (max(gate_up, hidden) + product)
    else:
        rows = tokens * active_experts * (max(gate_up, hidden) + max(product, hidden))
    return rows * BF16_BYTES


def moe_peak_bytes(tokens: int, hidden: int, experts: int) -> int:
    """One batch in a layer of experts beside its workspace: input, residual, output, the router's fp32 logits."""
    return tokens * (3 * hidden * BF16_BYTES + experts * FP32_BYTES)


def mla_context_bytes(
    version: str, max_model_len: int, max_num_seqs: int, block_tokens: int, heads: int, head_width: int
) -> int:
    """The up-projected context that the profile run of latent attention allocates in its stead, since 0.11.

    ``heads`` on this rank, ``head_width``: key dimension without position plus value dimension.
    """
    if key(version) < key("0.11"):
        return 0
    tokens = min(max(8 * max_model_len, 4 * max_num_seqs * block_tokens), MLA_CONTEXT_TOKENS)
    return max(tokens, max_num_seqs * block_tokens) * heads * head_width * BF16_BYTES


@dataclass(frozen=True)
class LoraTarget:
    """``count`` equal layers that adapters change; sizes on one rank. ``slices``: projections fused in one (QKV: 3)."""

    inputs: int
    outputs: tuple[int, ...]
    count: int


def lora_bytes(
    max_loras: int, max_lora_rank: int, targets: Iterable[LoraTarget], element_bytes: int = BF16_BYTES
) -> int:
    """Adapter slots, allocated with the weights: per fused projection an A of rank x inputs and a B of outputs x rank.

    Source: lora/layers/base_linear.py and column_parallel_linear.py, ``create_lora_weights``.
    """
    elements = sum(t.count * (len(t.outputs) * t.inputs + sum(t.outputs)) for t in targets)
    return max_loras * max_lora_rank * elements * element_bytes


def latent_copies_bytes(
    layers: int, heads: int, head_width: int, kv_lora_rank: int, *, quantized: bool, element_bytes: int = BF16_BYTES
) -> int:
    """16-bit W_UK and W_UV beside a quantized ``kv_b_proj``; without quantization they are views of it.

    ``heads`` on this rank, ``head_width``: key dimension without position plus value dimension. Since 0.8.
    Source: layers/attention/mla_attention.py, ``process_weights_after_loading`` (0.8: backends/mla/common.py).
    """
    return layers * heads * head_width * kv_lora_rank * element_bytes if quantized else 0


def absorbed_latent_elements(layers: int, heads: int, kv_lora_rank: int, query_inputs: int, hidden: int) -> int:
    """Elements of the absorbed products W_Q x W_UK and W_UV x W_O that 0.7 keeps beside the weights, on one rank.

    ``query_inputs``: the query's low rank, or the hidden size without one. In fp8 for fp8 weights, else 16 bit.
    Source: 0.7.3, attention/backends/mla/utils.py (VLLM_MLA_PERFORM_MATRIX_ABSORPTION is on).
    """
    return layers * heads * kv_lora_rank * (query_inputs + hidden)


MXFP4_STEPS = {
    "triton": (64, 1),
    "marlin": (128, 256),
    "flashinfer_cutlass": (128, 128),
    "flashinfer_trtllm": (256, 256),
}
"""(expert width, hidden size) are padded to multiples of these by kernel (quantization/mxfp4.py of 0.11; since 0.19
fused_moe/oracle/mxfp4.py). Since 0.27 flashinfer_trtllm pads the width to 128."""

TRITON_PACKED_STEP = 256
"""Elements to which the Triton kernel's layout pads the packed inputs of a matrix on Hopper. Not read: the one size
with which a start-up log of gpt-oss-120b (64.38 GiB) closes."""


def mxfp4_expert_bytes(version: str, kernel: str, hidden: int, expert_intermediate: int) -> int:
    """One expert of one layer on one rank: 4-bit weights and a scale byte per 32 of gate, up and down, padded.

    Raises KeyError for a kernel that is not in :data:`MXFP4_STEPS`.
    """
    width_step, hidden_step = MXFP4_STEPS[kernel]
    if kernel == "flashinfer_trtllm" and key(version) >= key("0.27"):
        width_step = 128
    width, hidden = ceil_to(expert_intermediate, width_step), ceil_to(hidden, hidden_step)
    step = TRITON_PACKED_STEP if kernel == "triton" else 1
    values = 2 * width * ceil_to(hidden, step) + hidden * ceil_to(width, step)
    return values // 2 + 3 * width * hidden // 32
