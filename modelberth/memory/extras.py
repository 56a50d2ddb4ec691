"""What a replica of vLLM holds beside its model: adapters, a draft model, a part of the KV cache on the host."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from modelberth.memory.adapters import ADAPTED
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Part, Role, Split, elements_on_rank
from modelberth.memory.terms import Term, Unsized
from modelberth.memory.vllm_terms import BF16_BYTES, FP32_BYTES, LoraTarget, lora_bytes
from modelberth.memory.weights import part_bytes, safetensors_bytes
from modelberth.units import GIB
from modelberth.versions import key

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank takes (vLLM 0.28.0 to 0.33.0, config/lora.py): slots are as large as the next of them."""


# fmt: off
VOCABULARY_ADAPTED = frozenset([
    "ApertusForCausalLM", "CohereForCausalLM", "DeciLMForCausalLM", "Ernie4_5ForCausalLM", "ExaoneForCausalLM",
    "Exaone4ForCausalLM", "ExaoneMoeForCausalLM", "FalconH1ForCausalLM", "GraniteForCausalLM",
    "GraniteMoeForCausalLM", "GraniteMoeHybridForCausalLM", "GraniteMoeSharedForCausalLM", "HyperCLOVAXForCausalLM",
    "JambaForCausalLM", "K2HorizonForCausalLM", "Lfm2ForCausalLM", "Lfm2MoeForCausalLM", "LlamaForCausalLM",
    "MiniCPMForCausalLM", "MixtralForCausalLM", "NemotronForCausalLM", "NemotronHForCausalLM", "Param2MoEForCausalLM",
    "Phi3ForCausalLM", "PhiMoEForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Qwen3_5ForCausalLM",
    "Qwen3_5MoeForCausalLM", "SolarForCausalLM", "TeleChat2ForCausalLM", "TeleFLMForCausalLM",
])
# fmt: on
"""Architectures whose embedding and output layer have slots too (``embedding_modules``, vLLM 0.32.0, models)."""


def slot_rank(rank: int) -> int:
    """The rank that a slot is made for. Raises :class:`Unsized` above the largest."""
    fitting = [each for each in LORA_RANKS if each >= rank]
    if not fitting:
        raise Unsized(f"vLLM has no adapter slots of rank {rank}, at most {LORA_RANKS[-1]}")
    return fitting[0]


def adapters(setup: Setup) -> Iterator[Term]:
    """LoRA slots, allocated with the weights whether used or not: attention and dense feed-forwards of every layer."""
    if not setup.lora_slots:
        return
    rank = slot_rank(setup.lora_rank)
    amount = lora_bytes(setup.lora_slots, rank, _targets(setup))
    why = f"{setup.lora_slots} slots of rank {rank} x (inputs + outputs) of every adapted layer x 2 B"
    yield Term("LoRA slots", amount, why, "vLLM 0.33.0, lora/layers/base_linear.py, create_lora_weights")
    if setup.shape.architecture in VOCABULARY_ADAPTED:
        shape = setup.shape
        ends = 2 * setup.lora_slots * rank * (shape.vocab + shape.hidden) * BF16_BYTES
        why = (
            f"{setup.lora_slots} slots of rank {rank} x 2 x ({shape.vocab} vocabulary + {shape.hidden}) x 2 B per rank"
        )
        source = "vLLM 0.32.0, lora/layers/logits_processor.py and vocab_parallel_embedding.py"
        yield Term("LoRA vocabulary", ends, why, source)


def _targets(setup: Setup) -> Iterator[LoraTarget]:
    for part in setup.shape.of(*ADAPTED):
        if part.rows > 1 and part.linear:
            yield _target(part, setup.ranks.tensor)


def _target(part: Part, tensor_parallel: int) -> LoraTarget:
    """Projections into a block have their outputs split, those out of it (named output, out, down) their inputs."""
    rows = elements_on_rank(part, tensor_parallel, tensor_parallel) // (part.columns * part.count)
    leaves = part.name.rsplit("_", 1)[-1] in ("output", "out", "down")
    if part.split is Split.EVEN and leaves:
        return LoraTarget(-(-part.columns // tensor_parallel), (part.rows,), part.count)
    return LoraTarget(part.columns, (rows,), part.count)


def draft(setup: Setup) -> Iterator[Term]:
    """The weights of what drafts; its layers join the KV cache (see :mod:`modelberth.memory.vllm_cache`)."""
    if setup.mtp_layers:
        yield _own_layers(setup)
    if setup.draft is None:
        return
    amount = safetensors_bytes(setup.draft, setup.draft_stored, setup.ranks)
    why = f"{setup.draft.parameters / 1e9:.2f} billion parameters of {setup.draft.id} in 16 bit"
    yield Term("draft model", amount, why, "shapes of config.json; vLLM 0.33.0 loads it with the weights")


def _own_layers(setup: Setup) -> Term:
    """Multi-token prediction: layers like the model's own, each with a projection of twice the hidden size.

    Some models bring an embedding and an output layer for it, others share those of the model.
    """
    shape, ends = setup.shape, {Role.EMBEDDING, Role.OUTPUT, Role.VISION}
    layered = sum(size for part, size in part_bytes(shape, setup.stored, setup.ranks).items() if part.role not in ends)
    amount = ceil(setup.mtp_layers * (layered / shape.layers + 2 * shape.hidden**2 * BF16_BYTES))
    own = 2 * -(-shape.vocab // setup.ranks.tensor) * shape.hidden * BF16_BYTES
    why = f"{setup.mtp_layers} of {shape.layers} layers' size and projections of 2 x {shape.hidden} x {shape.hidden}"
    return Term("draft layers", amount, why, "vLLM 0.33.0, models/deepseek_mtp.py", amount, amount + own)


CHUNKED_SINCE = "0.28"
"""Verification copies its logits to fp32 a gigabyte at a time (v1/worker/gpu/spec_decode/rejection_sampler.py)."""


def verification(setup: Setup, profiled_bytes: int) -> Iterator[Term]:
    """Logits of every drafted token, beyond what the profile run measured: it samples one token per sequence.

    16-bit logits of (1 + drafted tokens) x sequences, and their fp32 copy.
    """
    if not setup.draft_tokens:
        return
    vocab = setup.shape.vocab
    rows = min((setup.max_num_seqs or 0) * (1 + setup.draft_tokens), setup.max_num_batched_tokens or 0)
    copied = rows * vocab * FP32_BYTES
    if key(setup.engine_version) >= key(CHUNKED_SINCE):
        copied = min(copied, GIB)
    needed = rows * vocab * BF16_BYTES + copied
    why = f"logits of {rows} drafted and sampled tokens x {vocab} vocabulary, beyond the profile run's"
    source = "vLLM 0.33.0, v1/worker/gpu/spec_decode/rejection_sampler.py"
    yield Term("verification", max(0, needed - profiled_bytes), why, source, 0, max(0, needed - profiled_bytes))


def on_host(setup: Setup) -> Iterator[Term]:
    """Memory of the node that a rank takes: KV cache moved off the GPU, and a copy of every adapter."""
    if setup.lora_slots:
        amount = lora_bytes(setup.lora_slots, slot_rank(setup.lora_rank), _targets(setup))
        yield Term("adapters", amount, "a copy of every slot", "vLLM 0.33.0, config/lora.py (max_cpu_loras)")
    if setup.kv_offload_bytes:
        amount = -(-setup.kv_offload_bytes // setup.ranks.gpus)
        why = f"{setup.kv_offload_bytes} B over {setup.ranks.gpus} ranks"
        yield Term("KV offload", amount, why, "vLLM 0.33.0, --kv-offloading-size")
