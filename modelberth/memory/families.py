"""The parts of each decoder family: catalog row -> :class:`Shape`.

One function per kind of block; an architecture is a small record of what it adds to plain Llama. Parameter lists as in
the modeling files of Hugging Face transformers 4.57 (src/transformers/models) and vLLM 0.33.0 (model_executor/models).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from modelberth.catalog import Checkpoint, Model, catalog
from modelberth.memory.blocks import Blocks, Family
from modelberth.memory.shapes import Part, Shape
from modelberth.memory.terms import Unsized
from modelberth.memory.weights import FOUR_BIT, Stored

FAMILIES = {
    "ArceeForCausalLM": Family(gate=False),
    "BaiChuanForCausalLM": Family(),
    "BaichuanForCausalLM": Family(),
    "BailingMoeV2ForCausalLM": Family(qk_norm=True),
    "ChatGLMForConditionalGeneration": Family(qkv_bias=True, rotary_share=0.5),
    "ChatGLMModel": Family(qkv_bias=True, rotary_share=0.5),
    "Cohere2ForCausalLM": Family(norms=1),
    "CohereForCausalLM": Family(norms=1),
    "DbrxForCausalLM": Family(),
    "DeciLMForCausalLM": Family(irregular=True),
    "DeepseekForCausalLM": Family(),
    "DeepseekV2ForCausalLM": Family(),
    "DeepseekV32ForCausalLM": Family(),
    "DeepseekV3ForCausalLM": Family(),
    "DeepseekV4ForCausalLM": Family(compressed=True),
    "Dots1ForCausalLM": Family(qk_norm=True),
    "Ernie4_5ForCausalLM": Family(),
    "Ernie4_5_MoeForCausalLM": Family(),
    "Exaone4ForCausalLM": Family(qk_norm=True),
    "ExaoneForCausalLM": Family(),
    "Gemma2ForCausalLM": Family(norms=4),
    "Gemma3ForCausalLM": Family(norms=4, qk_norm=True),
    "Gemma3ForConditionalGeneration": Family(norms=4, qk_norm=True),
    "Gemma4ForCausalLM": Family(norms=4, qk_norm=True, dense_beside_experts=True),
    "Gemma4ForConditionalGeneration": Family(norms=4, qk_norm=True, dense_beside_experts=True),
    "Gemma4UnifiedForConditionalGeneration": Family(norms=4, qk_norm=True),
    "GemmaForCausalLM": Family(),
    "Glm4ForCausalLM": Family(qkv_bias=True, norms=4, rotary_share=0.5),
    "Glm4MoeForCausalLM": Family(qkv_bias=True, rotary_share=0.5),
    "Glm4MoeLiteForCausalLM": Family(),
    "Glm4vForConditionalGeneration": Family(qkv_bias=True, norms=4),
    "Glm4vMoeForConditionalGeneration": Family(qkv_bias=True),
    "GlmForCausalLM": Family(qkv_bias=True, rotary_share=0.5),
    "GlmMoeDsaForCausalLM": Family(),
    "GptOssForCausalLM": Family(qkv_bias=True, output_bias=True, mlp_bias=True, sinks=True),
    "GraniteForCausalLM": Family(),
    "GraniteMoeForCausalLM": Family(),
    "HYV3ForCausalLM": Family(qk_norm=True),
    "HunYuanDenseV1ForCausalLM": Family(qk_norm=True),
    "HunYuanMoEV1ForCausalLM": Family(qk_norm=True),
    "InternLM2ForCausalLM": Family(),
    "InternLM3ForCausalLM": Family(),
    "KimiK25ForConditionalGeneration": Family(),
    "KimiK3ForConditionalGeneration": Family(kda=True),
    "KimiLinearForCausalLM": Family(kda=True),
    "LagunaForCausalLM": Family(qk_norm=True),
    "Lfm2ForCausalLM": Family(qk_norm=True, short_conv=True),
    "Lfm2MoeForCausalLM": Family(qk_norm=True, short_conv=True),
    "Llama4ForCausalLM": Family(),
    "Llama4ForConditionalGeneration": Family(),
    "LlamaForCausalLM": Family(),
    "MellumForCausalLM": Family(qk_norm=True),
    "MiMoForCausalLM": Family(qkv_bias=True),
    "MiMoV2FlashForCausalLM": Family(sinks=True),
    "MiniCPM3ForCausalLM": Family(),
    "MiniCPMForCausalLM": Family(),
    "MiniMaxM2ForCausalLM": Family(qk_norm=True, rotary_share=0.5),
    "MiniMaxM3ForCausalLM": Family(qk_norm=True, rotary_share=0.5),
    "MiniMaxM3SparseForCausalLM": Family(qk_norm=True, rotary_share=0.5),
    "MiniMaxM3SparseForConditionalGeneration": Family(qk_norm=True, rotary_share=0.5),
    "Ministral3ForCausalLM": Family(),
    "Mistral3ForConditionalGeneration": Family(),
    "MistralForCausalLM": Family(),
    "MistralLarge3ForCausalLM": Family(),
    "MixtralForCausalLM": Family(),
    "MllamaForConditionalGeneration": Family(),
    "MuseGlimmerForCausalLM": Family(norms=4),
    "MuseGlimmerForConditionalGeneration": Family(norms=4),
    "NemotronHForCausalLM": Family(gate=False, mamba=True, norms=1, irregular=True),
    "NemotronH_Nano_VL_V2": Family(gate=False, mamba=True, norms=1, irregular=True),
    "Olmo2ForCausalLM": Family(qk_norm=True),
    "Olmo3ForCausalLM": Family(qk_norm=True),
    "OlmoForCausalLM": Family(norms=0),
    "OlmoeForCausalLM": Family(qk_norm=True),
    "Phi3ForCausalLM": Family(),
    "Phi3SmallForCausalLM": Family(qkv_bias=True, output_bias=True, mlp_bias=True),
    "PhiMoEForCausalLM": Family(qkv_bias=True, output_bias=True),
    "Qwen2ForCausalLM": Family(qkv_bias=True),
    "Qwen2MoeForCausalLM": Family(qkv_bias=True, shared_gate=True),
    "Qwen2VLForConditionalGeneration": Family(qkv_bias=True),
    "Qwen2_5_VLForConditionalGeneration": Family(qkv_bias=True),
    "Qwen3ForCausalLM": Family(qk_norm=True),
    "Qwen3MoeForCausalLM": Family(qk_norm=True),
    "Qwen3NextForCausalLM": Family(qk_norm=True, gdn=True, shared_gate=True, rotary_share=0.25),
    "Qwen3VLForConditionalGeneration": Family(qk_norm=True),
    "Qwen3VLMoeForConditionalGeneration": Family(qk_norm=True),
    "Qwen3_5ForCausalLM": Family(qk_norm=True, gdn=True, rotary_share=0.25),
    "Qwen3_5ForConditionalGeneration": Family(qk_norm=True, gdn=True, rotary_share=0.25),
    "Qwen3_5MoeForCausalLM": Family(qk_norm=True, gdn=True, shared_gate=True, rotary_share=0.25),
    "Qwen3_5MoeForConditionalGeneration": Family(qk_norm=True, gdn=True, shared_gate=True, rotary_share=0.25),
    "SeedOssForCausalLM": Family(qkv_bias=True),
    "SmolLM3ForCausalLM": Family(),
    "Step3p5ForCausalLM": Family(qk_norm=True),
    "Step3p7FlashForCausalLM": Family(qk_norm=True),
    "Step3p7ForConditionalGeneration": Family(qk_norm=True),
}


def stored_as(model: Model, quantization: str, checkpoint: Checkpoint | None, total_bytes: int | None) -> Stored:
    """How ``quantization`` of a model is stored: as its own repository or the named checkpoint says, else the rule.

    Where a repository of the same shape is known in this format, its choice of what to quantize stands for the rule.
    """
    row = checkpoint or (model if model.quantization == quantization else None)
    drafts = model.mtp_layers or 0
    if row is not None and row.quantization == quantization and _says_how(row):
        own = row.weights_bytes if isinstance(row, Model) else row.bytes
        return Stored(quantization, _formats(row), row.group_size, bool(row.symmetric), total_bytes or own, drafts)
    sibling = _sibling(model, quantization) if quantization in FOUR_BIT else None
    formats = _formats(sibling) if sibling else ()
    group = sibling.group_size if sibling else None
    return Stored(quantization, formats, group, False, total_bytes, drafts, assumed=True)


def _says_how(row: Model | Checkpoint) -> bool:
    """A repository that only names its format does not say which parts it quantizes."""
    return isinstance(row, Model) or bool(row.formats or row.bytes or row.group_size)


def _formats(row: Model | Checkpoint) -> tuple[tuple[str, str], ...]:
    return tuple((name, kind.value) for name, kind in row.formats.items())


@lru_cache(maxsize=2048)
def _sibling(model: Model, quantization: str) -> Model | None:
    """A model of the catalog with this one's layers and widths, stored in ``quantization``."""

    def dimensions(row: Model) -> tuple[int | None, ...]:
        sizes = row.num_layers, row.hidden_size, row.num_attention_heads, row.vocab_size
        return *sizes, row.num_experts, row.moe_intermediate_size

    alike = (row for row in catalog().models() if row.architecture == model.architecture)
    same = (row for row in alike if dimensions(row) == dimensions(model))
    return next((row for row in same if row.quantization == quantization), None)


@lru_cache(maxsize=2048)
def shape_of(model: Model) -> Shape:
    """The shape of a model that can be sized. Raises :class:`Unsized` for the others, naming what is missing."""
    family = FAMILIES.get(model.architecture)
    if family is None:
        raise Unsized(f"the parts of architecture {model.architecture} ({model.id}) are not known")
    missing = [name for name in _needed(model, family) if getattr(model, name) is None]
    if missing:
        raise Unsized(f"the catalog lacks {', '.join(missing)} of {model.id}")
    blocks = Blocks(model, family)
    return Shape(
        id=model.id,
        architecture=model.architecture,
        layers=blocks.layers,
        hidden=model.hidden_size,
        heads=model.num_attention_heads,
        kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        intermediate=blocks.dense_width,
        vocab=blocks.vocab,
        tied=bool(model.tie_embeddings),
        parts=_merged(blocks.parts()),
        caches=tuple(blocks.caches()),
        experts=model.num_experts or 0,
        active_experts=model.experts_per_token or 0,
        expert_intermediate=blocks.expert_width if model.num_experts else 0,
        moe_layers=blocks.moe_layers,
        rotary_elements=blocks.rotary_elements,
    )


def _merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Equal tensors of layers of different kinds are one part."""
    counts: dict[Part, int] = {}
    for part in parts:
        one = replace(part, count=0)
        counts[one] = counts.get(one, 0) + part.count
    return tuple(replace(part, count=count) for part, count in counts.items())


def _needed(model: Model, family: Family) -> Iterator[str]:
    yield from ("num_layers", "vocab_size", "tie_embeddings")
    if model.num_experts:
        yield from ("experts_per_token",)
        if model.intermediate_size is None:
            yield "moe_intermediate_size"
    elif not model.mlp_widths:
        yield "intermediate_size"
    if model.linear_layers:
        if family.gdn:
            yield from ("linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim")
            yield from ("linear_value_head_dim", "linear_conv_kernel")
        elif family.mamba:
            yield from ("mamba_num_heads", "mamba_head_dim", "mamba_state_size", "mamba_groups", "linear_conv_kernel")
    if family.mamba:
        yield "linear_layers"
    if model.kv_lora_rank:
        yield from ("qk_rope_dim", "qk_nope_dim", "v_head_dim")
    if model.sliding_layers:
        yield "sliding_window"
    if family.compressed:
        yield from ("compressed_layers", "q_lora_rank", "o_lora_rank", "o_groups", "sliding_window")
    if model.has_vision:
        yield "vision_parameters"
