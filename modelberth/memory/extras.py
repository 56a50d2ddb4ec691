"""What a replica of vLLM holds beside its model: adapters, a draft model, a part of the KV cache on the host."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Part, Role, Split, elements_on_rank
from modelberth.memory.terms import Term
from modelberth.memory.vllm_terms import LoraTarget, lora_bytes
from modelberth.memory.weights import Stored, safetensors_bytes


def adapters(setup: Setup) -> Iterator[Term]:
    """LoRA slots, allocated with the weights whether used or not: attention and dense feed-forwards of every layer."""
    if not setup.lora_slots:
        return
    amount = lora_bytes(setup.lora_slots, setup.lora_rank, _targets(setup))
    why = f"{setup.lora_slots} slots of rank {setup.lora_rank} x (inputs + outputs) of every adapted layer x 2 B"
    yield Term("LoRA slots", amount, why, "vLLM 0.33.0, lora/layers/base_linear.py, create_lora_weights")


def _targets(setup: Setup) -> Iterator[LoraTarget]:
    adapted = (Role.ATTENTION, Role.MLP, Role.LINEAR_ATTENTION)
    for part in setup.shape.of(*adapted):
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
    """The weights of a draft model; its layers join the KV cache (see :mod:`modelberth.memory.vllm_cache`)."""
    if setup.draft is None:
        return
    amount = safetensors_bytes(setup.draft, Stored("bf16"), setup.ranks)
    why = f"{setup.draft.parameters / 1e9:.2f} billion parameters of {setup.draft.id} in 16 bit"
    yield Term("draft model", amount, why, "shapes of config.json; vLLM 0.33.0 loads it with the weights")


def on_host(setup: Setup) -> Iterator[Term]:
    """Memory of the node that a rank pins for KV cache moved off the GPU."""
    if setup.kv_offload_bytes:
        amount = -(-setup.kv_offload_bytes // setup.ranks.gpus)
        why = f"{setup.kv_offload_bytes} B over {setup.ranks.gpus} ranks"
        yield Term("KV offload", amount, why, "vLLM 0.33.0, --kv-offloading-size")
