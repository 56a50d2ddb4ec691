"""Architectures that :func:`modelberth.catalog.configs.model_of` reads, and what their classes imply beyond the fields.

Class defaults: Hugging Face transformers 5.23.0, src/transformers/models/<name>/configuration_<name>.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Family:
    """What a class implies. ``tied``: embeddings are shared unless the configuration says otherwise.

    ``blocks``: how layers are described ("layers", or "full", "chunked", "nemotron_h", "deci"). ``period``: every so
    many-th layer sees everything, the others a window. ``defaults`` fill in what published configurations leave out.
    """

    tied: bool = False
    blocks: str = "layers"
    period: int | None = None
    tower: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    shared_experts: int | None = None
    dense_beside_experts: bool = False


_PLAIN = Family()
_TIED = Family(tied=True)
_FULL = Family(blocks="full")
_GEMMA3 = {"vocab_size": 262_208, "max_position_embeddings": 131_072, "head_dim": 256} | {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "sliding_window": 4096,
}
_GEMMA4 = {"vocab_size": 262_144, "max_position_embeddings": 131_072, "global_head_dim": 512, "head_dim": 256}
_GEMMA4_FAMILY = Family(tied=True, period=6, tower="gemma4", defaults=_GEMMA4, dense_beside_experts=True)
_QWEN3_5 = {"full_attention_interval": 4, "attn_output_gate": True} | {
    "linear_conv_kernel_dim": 4,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
}

FAMILIES: Mapping[str, Family] = {
    "ArceeForCausalLM": _PLAIN,
    "BailingMoeV2ForCausalLM": _PLAIN,
    "BaichuanForCausalLM": _PLAIN,
    "BaiChuanForCausalLM": _PLAIN,
    "ChatGLMForConditionalGeneration": _PLAIN,
    "ChatGLMModel": _PLAIN,
    "Cohere2ForCausalLM": Family(tied=True, period=4),
    "CohereForCausalLM": _TIED,
    "DbrxForCausalLM": _PLAIN,
    "DeciLMForCausalLM": Family(blocks="deci"),
    "DeepseekForCausalLM": _PLAIN,
    "DeepseekV2ForCausalLM": _PLAIN,
    "DeepseekV32ForCausalLM": _PLAIN,
    "DeepseekV3ForCausalLM": _PLAIN,
    "DeepseekV4ForCausalLM": Family(blocks="full"),
    "Dots1ForCausalLM": _PLAIN,
    "Ernie4_5ForCausalLM": _TIED,
    "Ernie4_5_MoeForCausalLM": _TIED,
    "Exaone4ForCausalLM": _PLAIN,
    "ExaoneForCausalLM": _PLAIN,
    "Gemma2ForCausalLM": Family(tied=True, period=2, defaults={"sliding_window": 4096, "head_dim": 256}),
    "Gemma3ForCausalLM": Family(tied=True, period=6, defaults=_GEMMA3),
    "Gemma3ForConditionalGeneration": Family(tied=True, period=6, tower="gemma3", defaults=_GEMMA3),
    "Gemma4ForCausalLM": _GEMMA4_FAMILY,
    "Gemma4ForConditionalGeneration": _GEMMA4_FAMILY,
    "Gemma4UnifiedForConditionalGeneration": Family(
        tied=True,
        period=6,
        tower="gemma4_unified",
        defaults=_GEMMA4 | {"max_position_embeddings": 262_144, "sliding_window": 1024},
    ),
    "GemmaForCausalLM": Family(tied=True, defaults={"head_dim": 256}),
    "Glm4ForCausalLM": _PLAIN,
    "Glm4MoeForCausalLM": _PLAIN,
    "Glm4MoeLiteForCausalLM": _PLAIN,
    "Glm4vForConditionalGeneration": Family(tower="glm4v"),
    "Glm4vMoeForConditionalGeneration": Family(tower="glm4v"),
    "GlmForCausalLM": _PLAIN,
    "GlmMoeDsaForCausalLM": _PLAIN,
    "GptOssForCausalLM": Family(period=2, defaults={"sliding_window": 128}),
    "GraniteForCausalLM": _PLAIN,
    "GraniteMoeForCausalLM": _PLAIN,
    "HYV3ForCausalLM": _PLAIN,
    "HunYuanDenseV1ForCausalLM": _TIED,
    "HunYuanMoEV1ForCausalLM": _TIED,
    "InternLM2ForCausalLM": _PLAIN,
    "InternLM3ForCausalLM": _PLAIN,
    "KimiK25ForConditionalGeneration": Family(tower="kimi_k25"),
    "KimiK3ForConditionalGeneration": Family(tower="kimi_k3"),
    "KimiLinearForCausalLM": _PLAIN,
    "LagunaForCausalLM": _PLAIN,
    "Lfm2ForCausalLM": _TIED,
    "Lfm2MoeForCausalLM": _TIED,
    "Llama4ForCausalLM": Family(blocks="chunked", shared_experts=1),
    "Llama4ForConditionalGeneration": Family(blocks="chunked", tower="llama4", shared_experts=1),
    "LlamaForCausalLM": _PLAIN,
    "MellumForCausalLM": _PLAIN,
    "MiMoForCausalLM": _PLAIN,
    "MiMoV2FlashForCausalLM": _PLAIN,
    "MiniCPM3ForCausalLM": _TIED,
    "MiniCPMForCausalLM": _TIED,
    "MiniMaxM2ForCausalLM": _PLAIN,
    "MiniMaxM3ForCausalLM": _PLAIN,
    "MiniMaxM3SparseForCausalLM": _PLAIN,
    "MiniMaxM3SparseForConditionalGeneration": Family(tower="minimax_m3"),
    "Mistral3ForConditionalGeneration": Family(tower="pixtral"),
    "MistralForCausalLM": _PLAIN,
    "MistralLarge3ForCausalLM": Family(tower="pixtral"),
    "Ministral3ForCausalLM": _PLAIN,
    "MixtralForCausalLM": _PLAIN,
    "MllamaForConditionalGeneration": Family(blocks="full", tower="mllama"),
    "MuseGlimmerForConditionalGeneration": Family(period=4, tower="muse_glimmer", defaults={"attn_output_gate": True}),
    "NemotronHForCausalLM": Family(blocks="nemotron_h"),
    "NemotronH_Nano_VL_V2": Family(blocks="nemotron_h"),
    "Olmo2ForCausalLM": _PLAIN,
    "Olmo3ForCausalLM": Family(period=4),
    "OlmoForCausalLM": _PLAIN,
    "OlmoeForCausalLM": _PLAIN,
    "Phi3ForCausalLM": _PLAIN,
    "Phi3SmallForCausalLM": Family(tied=True, blocks="full"),
    "PhiMoEForCausalLM": _PLAIN,
    "Qwen2ForCausalLM": _PLAIN,
    "Qwen2MoeForCausalLM": _PLAIN,
    "Qwen2VLForConditionalGeneration": Family(tower="qwen2"),
    "Qwen2_5_VLForConditionalGeneration": Family(tower="qwen2_5"),
    "Qwen3ForCausalLM": _PLAIN,
    "Qwen3MoeForCausalLM": _PLAIN,
    "Qwen3NextForCausalLM": Family(defaults=_QWEN3_5),
    "Qwen3VLForConditionalGeneration": Family(tower="qwen3"),
    "Qwen3VLMoeForConditionalGeneration": Family(tower="qwen3"),
    "Qwen3_5ForCausalLM": Family(defaults=_QWEN3_5),
    "Qwen3_5ForConditionalGeneration": Family(tower="qwen3", defaults=_QWEN3_5),
    "Qwen3_5MoeForCausalLM": Family(defaults=_QWEN3_5),
    "Qwen3_5MoeForConditionalGeneration": Family(tower="qwen3", defaults=_QWEN3_5),
    "SeedOssForCausalLM": _PLAIN,
    "SmolLM3ForCausalLM": _TIED,
    "Step3p5ForCausalLM": _PLAIN,
    "Step3p7FlashForCausalLM": Family(tower="step3p7"),
    "Step3p7ForConditionalGeneration": Family(tower="step3p7"),
}

WRAPPERS: Mapping[str, tuple[str, str]] = {"InternVLChatModel": ("llm_config", "internvl")}
"""Classes around a language model of another architecture, which they name in this section, with their towers."""

_PARALLEL = "its blocks run attention and feed-forward side by side with norms and biases of their own"
REFUSED: Mapping[str, str] = {
    "BloomForCausalLM": "position biases and an embedding norm of its own",
    "FalconForCausalLM": _PARALLEL,
    "FalconH1ForCausalLM": "attention and Mamba side by side in every block",
    "FalconMambaForCausalLM": "Mamba-1 mixers",
    "GPT2LMHeadModel": "learned positions and fused projections",
    "GPTBigCodeForCausalLM": "learned positions and fused projections",
    "GPTJForCausalLM": _PARALLEL,
    "GPTNeoXForCausalLM": _PARALLEL,
    "Gemma3nForConditionalGeneration": "alternating updates (AltUp) and low-rank shortcuts (LAuReL)",
    "JambaForCausalLM": "Mamba-1 mixers",
    "MambaForCausalLM": "Mamba-1 mixers",
    "OPTForCausalLM": "learned positions and fused projections",
    "PhiForCausalLM": _PARALLEL,
    "RWKV5ForCausalLM": "a recurrent network",
}
"""Architectures that are known and left out, with the reason."""
