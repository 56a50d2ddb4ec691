"""Every model of the catalog says all that its family needs, and what it says adds up to what others publish."""

from collections.abc import Callable

import pytest

from modelberth.catalog import Model, Quantization, catalog
from modelberth.memory.families import FAMILIES, shape_of

MODELS = catalog().models()
BILLION = 10**9

STATED = {
    "MiniMaxAI/MiniMax-M2.5": 230,
    "MiniMaxAI/MiniMax-M3": 427,
    "Qwen/Qwen2.5-32B": 32.8,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8.29,
    "Qwen/Qwen3-14B": 14.8,
    "Qwen/Qwen3-30B-A3B": 30.5,
    "Qwen/Qwen3-8B": 8.2,
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 480,
    "Qwen/Qwen3-Next-80B-A3B-Instruct": 80,
    "Qwen/Qwen3-VL-235B-A22B-Instruct": 236,
    "Qwen/Qwen3.5-122B-A10B": 122,
    "Qwen/Qwen3.5-397B-A17B": 397,
    "XiaomiMiMo/MiMo-V2-Flash": 309,
    "databricks/dbrx": 131.6,
    "deepseek-ai/DeepSeek-R1": 671,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1.78,
    "deepseek-ai/DeepSeek-V4-Flash": 284,
    "google/gemma-2-27b-it": 27.2,
    "google/gemma-3-12b-it": 12.2,
    "google/gemma-4-12B-it": 12,
    "google/gemma-4-E2B-it": 5.1,
    "google/gemma-4-E4B-it": 8,
    "meta-llama/Llama-3.1-405B-Instruct": 406,
    "meta-llama/Llama-3.3-70B-Instruct": 70.6,
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": 402,
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": 109,
    "microsoft/Phi-3.5-MoE-instruct": 41.9,
    "microsoft/phi-4": 14.7,
    "mistralai/Mistral-Large-3-675B-Instruct-2512": 675,
    "mistralai/Mistral-Medium-3.5-128B": 128,
    "mistralai/Mistral-Nemo-Instruct-2407": 12.25,
    "mistralai/Mistral-Small-4-119B-2603": 119,
    "mistralai/Mixtral-8x7B-v0.1": 46.7,
    "moonshotai/Kimi-K2-Instruct": 1026,
    "nvidia/Llama-3_3-Nemotron-Super-49B-v1": 49.9,
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": 120.6,
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": 550,
    "nvidia/NVIDIA-Nemotron-Nano-9B-v2": 8.89,
    "openai/gpt-oss-120b": 116.8,
    "openai/gpt-oss-20b": 20.9,
    "stepfun-ai/Step-3.7-Flash": 198,
    "zai-org/GLM-5": 744,
}
"""Billions of parameters without draft layers, as model cards and the recipes of vllm-project/recipes@8959cf6 say."""


def those(wrong: Callable[[Model], object]) -> list[str]:
    return [model.id for model in MODELS if wrong(model)]


def test_every_model_says_how_large_it_is() -> None:
    needed = ("num_layers", "vocab_size", "max_position", "tie_embeddings", "full_attention_layers", "has_vision")
    assert those(lambda m: [name for name in needed if getattr(m, name) is None]) == []


def test_every_mixture_says_which_layers_hold_how_many_experts_of_which_width() -> None:
    needed = ("experts_per_token", "moe_intermediate_size", "moe_layers")
    assert those(lambda m: m.num_experts and [name for name in needed if getattr(m, name) is None]) == []
    assert those(lambda m: m.num_experts is None and m.intermediate_size is None) == []


def test_layers_of_all_kinds_add_up() -> None:
    def counted(model: Model) -> int:
        kinds = ("full_attention_layers", "sliding_layers", "linear_layers", "cross_attention_layers")
        return sum(getattr(model, kind) or 0 for kind in kinds)

    mixed = ("NemotronHForCausalLM", "NemotronH_Nano_VL_V2")
    assert (
        those(lambda m: m.architecture in mixed and counted(m) + (m.moe_layers or 0) + m.mlp_layers != m.num_layers)
        == []
    )
    assert those(lambda m: m.architecture not in (*mixed, "DeciLMForCausalLM") and counted(m) != m.num_layers) == []
    assert those(lambda m: m.compressed_layers and sum(m.compressed_layers.values()) != m.num_layers) == []


def test_a_window_is_stated_exactly_where_layers_have_one() -> None:
    assert those(lambda m: bool(m.sliding_layers or m.compressed_layers) != (m.sliding_window is not None)) == []


def test_heads_divide_as_attention_needs_it() -> None:
    assert those(lambda m: m.num_attention_heads % (m.global_kv_heads or 1)) == []
    assert those(lambda m: (m.sliding_attention_heads or m.num_attention_heads) % m.num_kv_heads) == []


def test_latent_attention_is_stated_in_full() -> None:
    sizes = ("qk_rope_dim", "qk_nope_dim", "v_head_dim")
    assert those(lambda m: m.kv_lora_rank and not all(getattr(m, size) for size in sizes)) == []
    assert those(lambda m: m.kv_lora_rank and m.head_dim != m.qk_rope_dim + m.qk_nope_dim) == []


def test_layers_with_a_state_say_how_large_it_is() -> None:
    delta = ("linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim")
    mamba = ("mamba_num_heads", "mamba_head_dim", "mamba_state_size", "mamba_groups")

    def stated(model: Model, names: tuple[str, ...]) -> bool:
        return all(getattr(model, name) for name in (*names, "linear_conv_kernel"))

    convolutions = ("Lfm2ForCausalLM", "Lfm2MoeForCausalLM")
    assert those(lambda m: m.linear_layers and not m.linear_conv_kernel) == []
    stateful = [m for m in MODELS if m.linear_layers and m.architecture not in convolutions]
    assert [m.id for m in stateful if not (stated(m, delta) or stated(m, mamba))] == []


def test_whoever_sees_says_how_many_parameters_that_takes() -> None:
    assert those(lambda m: m.has_vision and not m.vision_parameters) == []


def test_formats_are_of_parts_that_exist() -> None:
    parts = {"attention", "attn_output", "indexer", "linear_attention", "mlp", "shared_experts", "experts", "output"}
    assert those(lambda m: set(m.formats) - parts) == []
    assert those(lambda m: m.formats.get("experts") and not m.num_experts) == []
    assert those(lambda m: m.formats.get("linear_attention") and not m.linear_layers) == []


def test_what_a_quantized_checkpoint_leaves_in_16_bits_is_told_apart() -> None:
    model = catalog().model("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4")
    assert model.unquantized == ("attention",)
    assert model.formats["shared_experts"] is Quantization.FP8


@pytest.mark.parametrize("id", STATED)
def test_the_parts_of_a_model_add_up_to_the_parameters_its_publisher_states(id: str) -> None:
    assert shape_of(catalog().model(id)).parameters / BILLION == pytest.approx(STATED[id], rel=0.015)


def test_the_parts_of_a_model_weigh_what_its_files_weigh() -> None:
    whole = [
        model
        for model in MODELS
        if model.weights_bytes
        and not model.mtp_layers
        and model.quantization in (Quantization.BF16, Quantization.FP16)
        and model.architecture in FAMILIES
    ]
    assert len(whole) > 25
    off = {model.id: 2 * shape_of(model).parameters / (model.weights_bytes or 1) for model in whole}
    assert {id: ratio for id, ratio in off.items() if abs(ratio - 1) > 0.001} == {}
