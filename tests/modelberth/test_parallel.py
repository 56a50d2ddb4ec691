"""How many ranks an engine accepts for a model, and why not another number."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth.catalog import Model, Quantization, catalog
from modelberth.memory import shape_of
from modelberth.memory.weights import Ranks
from modelberth.parallel import Served, exchanged_bytes, findings, no_nodes, refusals, tensor_sizes
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, QWEN_7B

GPT_OSS, MIXTRAL, QWEN_MOE = "openai/gpt-oss-120b", "mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen3-30B-A3B"
QWEN_NEXT, DEEPSEEK, PHI_4 = "Qwen/Qwen3.5-397B-A17B", "deepseek-ai/DeepSeek-V3", "microsoft/phi-4"
NEMOTRON_NVFP4, NEMOTRON = (
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4",
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8",
)


def served(model: str | Model, engine: str = "vllm", **fields: Any) -> Served:
    row = catalog().model(model) if isinstance(model, str) else model
    stored = row.quantization.value if row.quantization else "bf16"
    known: dict[str, Any] = {"version": catalog().engine(engine).default_version, "quantization": stored}
    return Served(engine=engine, model=row, **known | fields)


def why(asked: Served, tensor: int = 1, pipeline: int = 1, data: int = 1) -> list[str]:
    return [refusal.message for refusal in refusals(asked, Ranks(tensor, pipeline, data))]


def changed(model: str, **fields: Any) -> Model:
    return catalog().model(model).model_copy(update=fields)


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (LLAMA_8B, (1, 2, 4, 8, 16)),
        (QWEN_7B, (1, 2, 4)),
        (PHI_4, (1, 2)),
        (GPT_OSS, (1, 2, 4, 8, 16)),
        (QWEN_NEXT, (1, 2, 4, 8, 16)),
    ],
)
def test_vllm_accepts_the_sizes_that_divide_everything_it_splits(model: str, sizes: tuple[int, ...]) -> None:
    assert tensor_sizes(served(model)) == sizes


def test_attention_heads_must_divide_on_every_engine_that_splits_tensors() -> None:
    for engine in ("vllm", "sglang", "tensorrt_llm", "tgi"):
        assert why(served(QWEN_7B, engine), 8)[0] == f"8 does not divide the 28 attention heads of {QWEN_7B}"


def test_kv_heads_are_replicated_evenly_but_never_unevenly() -> None:
    assert why(served(LLAMA_8B), 16) == []
    assert why(served(PHI_4), 4) == [f"4 does not divide the 10 KV heads of {PHI_4}"]


def test_tgi_replicates_no_kv_heads() -> None:
    assert why(served(LLAMA_8B, "tgi"), 16) == [f"16 does not divide the 8 KV heads of {LLAMA_8B}"]


def test_latent_attention_has_no_kv_heads_to_divide() -> None:
    assert why(served(changed(DEEPSEEK, num_kv_heads=3)), 8) == []


def test_vllm_pads_the_vocabulary_to_64_and_must_then_divide_it_while_sglang_pads_as_it_needs() -> None:
    odd = changed(LLAMA_8B, num_attention_heads=24, num_kv_heads=6, intermediate_size=14_337, vocab_size=151_936)
    assert why(served(odd), 3) == [f"3 does not divide the vocabulary of 151936 of {LLAMA_8B}"]
    assert why(served(odd, "sglang"), 3) == []
    assert why(served(changed(LLAMA_8B, vocab_size=128_255)), 8) == []


def test_heads_of_linear_attention_and_mamba_are_split_too() -> None:
    assert why(served(changed(QWEN_NEXT, linear_num_key_heads=12)), 8) == [
        f"8 does not divide the 12 linear attention key heads of {QWEN_NEXT}"
    ]
    assert why(served(changed(NEMOTRON, mamba_num_heads=4)), 8) == [
        f"8 does not divide the 4 Mamba heads of {NEMOTRON}"
    ]


def test_a_single_group_of_mamba_is_replicated_but_sglang_does_so_only_in_16_bit() -> None:
    single = changed(NEMOTRON, mamba_groups=1)
    assert why(served(single), 8) == []
    assert why(served(single, "sglang"), 8) == [f"8 does not divide the 1 Mamba groups of {NEMOTRON}"]
    assert why(served(single, "sglang", quantization="bf16"), 8) == []
    assert why(served(changed(NEMOTRON, mamba_groups=3)), 8) == [f"8 does not divide the 3 Mamba groups of {NEMOTRON}"]


def test_slices_of_feed_forwards_are_equal() -> None:
    assert why(served(changed(LLAMA_8B, intermediate_size=14_340)), 8) == [
        f"8 does not divide the feed-forward width 14340 of {LLAMA_8B}"
    ]
    assert why(served(changed(QWEN_MOE, moe_intermediate_size=772)), 8) == [
        f"8 does not divide the expert width 772 of {QWEN_MOE}"
    ]


def test_a_rank_holds_whole_groups_of_integer_weights() -> None:
    awq = served(changed(LLAMA_8B, intermediate_size=8 * 192), quantization="awq")
    assert why(awq, 8) == [
        "192 of the feed-forward width 1536 on each of 8 ranks is no multiple of the 128 weights that share one awq "
        f"scale in {LLAMA_8B}"
    ]
    assert why(awq, 4) == []


def test_blocks_of_fp8_scales_are_whole_until_vllm_refines_those_of_experts() -> None:
    blocks = changed("Qwen/Qwen3-30B-A3B-FP8", group_size=128, intermediate_size=None)
    message = "192 of the expert width 768 on each of 4 ranks is no multiple of the 128 weights"
    assert why(served(blocks, version="0.28.0"), 4)[0].startswith(message)
    assert why(served(blocks, "sglang", version="1.0"), 4)[0].startswith(message)
    assert why(served(blocks, version="0.29.0"), 4) == []


def test_groups_of_integer_experts_are_halved_where_the_engine_can() -> None:
    message = "192 of the expert width 768 on each of 4 ranks is no multiple of the 128 weights"
    assert why(served(QWEN_MOE, quantization="gptq"), 4) == []
    assert why(served(QWEN_MOE, "sglang", quantization="awq"), 4) == []
    assert why(served(QWEN_MOE, quantization="gptq", version="0.6.6"), 4)[0].startswith(message)
    assert why(served(QWEN_MOE, "sglang", quantization="gptq"), 4)[0].startswith(message)
    packed = changed(QWEN_MOE, quantization=Quantization.GPTQ, group_size=128, symmetric=True)
    assert why(served(packed), 4)[0].startswith(message)
    assert (
        "the 32 weights that share"
        in why(served(changed(QWEN_MOE, moe_intermediate_size=400), quantization="awq"), 2)[0]
    )


def test_scales_of_whole_rows_are_no_reason_to_refuse() -> None:
    assert why(served(NEMOTRON), 8) == []


def test_parts_that_stay_16_bit_have_no_scales() -> None:
    narrow = changed("nvidia/MiniMax-M2.5-NVFP4", num_attention_heads=8, num_kv_heads=8, head_dim=72)
    assert why(served(narrow), 8) == []
    assert "attention width" in why(served(narrow.model_copy(update={"formats": {}})), 8)[0]


def test_experts_in_4_bit_are_padded_to_whole_blocks() -> None:
    assert why(served(GPT_OSS), 8) == []
    assert why(served(NEMOTRON_NVFP4), 8) == []


def test_expert_parallel_needs_experts_and_for_sglang_an_even_share_of_them() -> None:
    together: dict[str, Any] = {"expert_parallel": True}
    assert why(served(LLAMA_8B, **together), 2) == [f"{LLAMA_8B} has no experts"]
    uneven = changed(MIXTRAL, num_experts=9)
    assert why(served(uneven, **together), 2) == []
    assert why(served(uneven, "sglang", **together), 2) == [f"2 does not divide the 9 experts of {MIXTRAL}"]
    assert why(served(uneven, **together), 4, data=4) == [f"16 does not divide the 9 experts of {MIXTRAL}"]
    assert why(served(MIXTRAL, "tgi", **together), 2) == ["tgi has no expert parallel ranks"]


def test_expert_parallel_leaves_the_width_of_experts_whole() -> None:
    odd = changed(QWEN_MOE, moe_intermediate_size=772)
    assert why(served(odd, expert_parallel=True), 8) == []


def test_every_stage_has_a_layer_and_some_engines_have_no_stages() -> None:
    assert why(served(LLAMA_8B), pipeline=32) == []
    assert why(served(LLAMA_8B), pipeline=33) == [f"33 stages are more than the 32 layers of {LLAMA_8B}"]
    assert why(served(LLAMA_8B, "tgi"), pipeline=2) == ["it has no pipeline stages"]


def test_several_nodes_are_for_engines_with_a_mode_of_their_own_for_it() -> None:
    engines = ("vllm", "sglang", "tensorrt_llm", "tgi", "llamacpp", "ollama")
    assert [engine for engine in engines if not no_nodes(engine)] == ["vllm", "sglang"]
    assert "mpirun" in no_nodes("tensorrt_llm")
    assert no_nodes("ollama") == "it has no pipeline stages"


def test_tgi_has_no_data_parallel_ranks() -> None:
    assert why(served(LLAMA_8B, "tgi"), data=2) == ["tgi has no data parallel ranks: start more replicas"]
    assert why(served(LLAMA_8B), data=2) == []


def test_llama_cpp_deals_out_layers_whatever_the_heads() -> None:
    for engine in ("llamacpp", "ollama"):
        assert why(served(QWEN_7B, engine, quantization="q4_k_m"), 8) == []
        assert why(served(QWEN_7B, engine, quantization="q4_k_m"), 29) == ["29 GPUs are more than the 28 layers"]


def test_every_refusal_says_where_the_engine_checks_it() -> None:
    for engine in ("vllm", "sglang", "tensorrt_llm", "tgi"):
        (refusal, *_) = refusals(served(QWEN_7B, engine), Ranks(8))
        assert refusal.source


def test_one_finding_per_number_names_the_sizes_that_do() -> None:
    (finding,) = findings(served(LLAMA_8B), Ranks(3))
    assert finding.path == "tensor_parallel"
    assert finding.remedy == "one of 1, 2, 4, 8, 16"


def test_ranks_exchange_two_sums_per_layer() -> None:
    shape = shape_of(catalog().model(LLAMA_70B))
    one_token = 2 * 80 * 8192 * 2
    assert exchanged_bytes(shape, 1, 1000) == 0
    assert exchanged_bytes(shape, 2, 1) == one_token
    assert exchanged_bytes(shape, 4, 100) == 100 * one_token * 3 // 2
