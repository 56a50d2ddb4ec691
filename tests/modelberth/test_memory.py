"""Bytes of weights and KV cache, held against public figures and against files whose size is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelberth.catalog import Checkpoint, Format, Model, catalog
from modelberth.engines import ENGINES, Accelerator
from modelberth.memory import Ranks, Shape, Unsized, gguf_bytes, kv_bytes_per_token, safetensors_bytes, shape_of
from modelberth.memory.families import stored_as
from modelberth.memory.shapes import Role
from modelberth.memory.weights import bytes_per_parameter, file_bytes
from modelberth.units import GIB
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, QWEN_7B, sizing_on


def shape(model: str) -> Shape:
    return shape_of(catalog().model(model))


def sized_models() -> list[Model]:
    def is_sized(model: Model) -> bool:
        try:
            shape_of(model)
        except Unsized:
            return False
        return True

    return [model for model in catalog().models() if is_sized(model)]


SIZED = sized_models()
GGUF_FILES = [
    row
    for model in SIZED
    for row in catalog().checkpoints(model.id)
    if row.format is Format.GGUF and row.bytes is not None
]
SIXTEEN_BIT = [
    model
    for model in SIZED
    if model.weights_bytes and (model.quantization is None or model.quantization.value in ("bf16", "fp16"))
]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [(LLAMA_8B, 8_030_261_248), (LLAMA_70B, 70_553_706_496), ("meta-llama/Llama-2-13b-hf", 13_015_864_320)],
)
def test_parameters_are_counted_to_the_last_one(model: str, parameters: int) -> None:
    assert shape(model).parameters == parameters


def test_seventy_billion_parameters_in_16_bit_are_141_gb() -> None:
    assert safetensors_bytes(shape(LLAMA_70B), "bf16") / 1e9 == pytest.approx(141.1, abs=0.05)


def test_a_token_of_a_70b_llama_takes_320_kib_of_kv_cache() -> None:
    assert kv_bytes_per_token(shape(LLAMA_70B)) == 327_680


@pytest.mark.parametrize(("ranks", "heads_per_rank"), [(1, 8), (2, 4), (4, 2), (8, 1), (16, 1)])
def test_the_kv_cache_is_split_over_ranks_down_to_one_head_each(ranks: int, heads_per_rank: int) -> None:
    assert kv_bytes_per_token(shape(LLAMA_70B), tensor_parallel=ranks) == 327_680 * heads_per_rank // 8


@pytest.mark.parametrize(("dtype", "share"), [("fp8", 0.5), ("bf16", 1), ("q8_0", 34 / 64), ("q4_0", 18 / 64)])
def test_a_smaller_kv_type_takes_its_share_of_16_bit(dtype: str, share: float) -> None:
    assert kv_bytes_per_token(shape(LLAMA_70B), dtype) == 327_680 * share


@pytest.mark.parametrize(("model", "size_gib"), [(LLAMA_70B, 39.59), (QWEN_7B, 4.36)])
def test_q4_k_m_is_as_large_as_published_files(model: str, size_gib: float) -> None:
    assert gguf_bytes(shape(model), "q4_k_m") / GIB == pytest.approx(size_gib, rel=0.001)


def test_there_are_known_files_to_compare_with() -> None:
    assert len(GGUF_FILES) >= 40
    assert len(SIXTEEN_BIT) >= 5


@pytest.mark.parametrize("row", GGUF_FILES, ids=lambda row: f"{row.file}")
def test_a_gguf_file_is_its_tensors_and_a_small_header(row: Checkpoint) -> None:
    model = catalog().model(row.model)
    untied = model.model_copy(update={"tie_embeddings": False})
    # Some converters write the tied output layer a second time; the larger sum is the truth for their files.
    shapes = [shape_of(model), shape_of(untied)]
    headers = [(row.bytes or 0) - gguf_bytes(each, row.quantization.value) for each in shapes]
    assert any(0 < header < 20e6 for header in headers), headers


@pytest.mark.parametrize("model", SIXTEEN_BIT, ids=lambda model: model.id)
def test_16_bit_weights_are_as_large_as_the_files_of_the_repository(model: Model) -> None:
    files = file_bytes(shape_of(model), stored_as(model, "bf16", None, None))
    assert files == pytest.approx(model.weights_bytes, rel=0.015 if model.mtp_layers else 0.002)


@pytest.mark.parametrize(
    ("smaller", "larger"), [("awq", "fp8"), ("gptq", "int8"), ("awq", "nvfp4"), ("mxfp4", "nvfp4"), ("fp8", "bf16")]
)
def test_fewer_bits_are_fewer_bytes(smaller: str, larger: str) -> None:
    sizes = [safetensors_bytes(shape(LLAMA_70B), kind) for kind in (smaller, larger)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1]


def elements(ours: Shape, *roles: Role) -> int:
    return sum(part.elements for part in ours.of(*roles))


def test_awq_keeps_embeddings_in_16_bit_and_packs_the_rest_in_about_four() -> None:
    ours = shape(LLAMA_8B)
    rest = safetensors_bytes(ours, "awq") - 2 * elements(ours, Role.EMBEDDING, Role.OUTPUT, Role.NORM)
    assert rest / elements(ours, Role.ATTENTION, Role.MLP) == pytest.approx(0.52, abs=0.001)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_ranks_together_hold_the_model_and_what_is_replicated(ranks: int) -> None:
    ours = shape(LLAMA_70B)
    whole, part = safetensors_bytes(ours, "bf16"), safetensors_bytes(ours, "bf16", Ranks(ranks))
    assert 0 <= ranks * part - whole == 2 * elements(ours, Role.NORM) * (ranks - 1)


def test_kv_projections_are_replicated_when_there_are_more_ranks_than_kv_heads() -> None:
    ours = shape(QWEN_7B)
    assert ours.kv_heads == 4
    projections = [part for part in ours.parts if part.name in ("attn_k", "attn_v", "attn_kv.bias")]
    extra = 8 * safetensors_bytes(ours, "bf16", Ranks(8)) - 8 * safetensors_bytes(ours, "bf16", Ranks(4)) // 2
    replicated = sum(part.elements for part in projections) + 4 * elements(ours, Role.NORM)
    assert extra == 2 * replicated


def test_stages_hold_their_layers_and_one_end_of_the_model() -> None:
    ours = shape(LLAMA_70B)
    layers = elements(ours, Role.ATTENTION, Role.MLP, Role.NORM)
    half = safetensors_bytes(ours, "bf16", Ranks(pipeline=2))
    assert half == pytest.approx(layers + 2 * elements(ours, Role.EMBEDDING), rel=1e-6)


@pytest.mark.parametrize(
    ("model", "total_b", "active_b"),
    [
        ("deepseek-ai/DeepSeek-V3", 671, 37),
        ("moonshotai/Kimi-K2-Instruct", 1026, 32),
        ("mistralai/Mixtral-8x7B-v0.1", 46.7, 12.9),
        ("Qwen/Qwen3-235B-A22B", 235, 22),
        ("openai/gpt-oss-120b", 116.8, 5.1),
        ("zai-org/GLM-5", 744, 40),
    ],
)
def test_a_mixture_of_experts_holds_all_and_touches_few(model: str, total_b: float, active_b: float) -> None:
    ours = shape(model)
    assert ours.parameters / 1e9 == pytest.approx(total_b, rel=0.01)
    touched = ours.active_parameters - elements(ours, Role.EMBEDDING)
    assert touched / 1e9 == pytest.approx(active_b, rel=0.05)


def test_latent_attention_keeps_one_head_whole_on_every_rank() -> None:
    ours = shape("deepseek-ai/DeepSeek-V3")
    assert {kv_bytes_per_token(ours, tensor_parallel=ranks) for ranks in (1, 2, 8)} == {(512 + 64) * 61 * 2}


def test_an_architecture_nobody_described_is_unsized_by_its_name() -> None:
    row = catalog().model(LLAMA_8B).model_copy(update={"architecture": "NovelForCausalLM"})
    with pytest.raises(Unsized, match="architecture NovelForCausalLM"):
        shape_of(row)


def test_a_model_whose_row_lacks_a_figure_is_unsized_by_its_name() -> None:
    row = catalog().model(LLAMA_8B).model_copy(update={"intermediate_size": None, "vocab_size": None})
    with pytest.raises(Unsized, match=f"the catalog lacks vocab_size, intermediate_size of {LLAMA_8B}"):
        shape_of(row)


@pytest.mark.parametrize("gpu", ["nvidia-l4", "nvidia-a100-80gb", "nvidia-h100-80gb"])
@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_terms_and_kv_cache_add_up_to_the_budget(gpu: str, ranks: int) -> None:
    memory = ENGINES["vllm"].memory(sizing_on(gpu, tensor_parallel=ranks))
    assert sum(term.amount_bytes for term in memory.terms) + memory.kv_budget_bytes == memory.budget_bytes
    assert memory.budget_bytes <= memory.capacity_bytes
    assert all(term.amount_bytes > 0 and term.why for term in memory.terms)


def test_the_kv_cache_is_counted_in_whole_blocks() -> None:
    memory = ENGINES["vllm"].memory(sizing_on("nvidia-l4"))
    block = memory.block_tokens * memory.kv_bytes_per_token
    assert [memory.kv_bytes_for(count) // block for count in (1, 16, 17)] == [1, 1, 2]


def test_nothing_is_left_for_tokens_when_the_weights_alone_exceed_the_budget() -> None:
    memory = ENGINES["vllm"].memory(sizing_on("nvidia-l4", LLAMA_70B))
    assert memory.kv_budget_bytes < 0
    assert memory.kv_tokens == 0


def test_vllm_takes_a_larger_share_of_the_gpu_and_counts_its_graphs_since_0_20() -> None:
    old = ENGINES["vllm"].memory(sizing_on("nvidia-l4", engine_version="0.19.1"))
    new = ENGINES["vllm"].memory(sizing_on("nvidia-l4", engine_version="0.33.0"))
    assert old.budget_bytes / old.capacity_bytes == pytest.approx(0.90)
    assert new.budget_bytes / new.capacity_bytes == pytest.approx(0.92)
    assert "CUDA graphs" not in {term.name for term in old.terms}
    assert "CUDA graphs" in {term.name for term in new.terms}


def test_eager_mode_needs_no_graphs() -> None:
    memory = ENGINES["vllm"].memory(sizing_on("nvidia-l4", enforce_eager=True))
    assert "CUDA graphs" not in {term.name for term in memory.terms}


def test_more_sequences_cost_more_at_the_sampler() -> None:
    few, many = (
        ENGINES["vllm"].memory(sizing_on("nvidia-h100-80gb", concurrency=count)).kv_budget_bytes
        for count in (256, 1024)
    )
    assert few - many > 0.9 * GIB


def test_a_cpu_node_holds_the_file_itself() -> None:
    sizing = sizing_on("nvidia-l4", quantization="q4_k_m", stored_bytes=4_920_739_232)
    memory = ENGINES["llamacpp"].memory(replace(sizing, accelerator=Accelerator(None, 32 * GIB)))
    terms = {term.name: term for term in memory.terms}
    assert terms["weights"].amount_bytes == 4_920_739_232
    assert memory.budget_bytes == memory.capacity_bytes == 32 * GIB
    assert memory.used_bytes + memory.kv_budget_bytes == memory.budget_bytes


def test_integers_in_groups_carry_a_scale_and_unless_symmetric_a_zero_point() -> None:
    assert bytes_per_parameter("gptq", 128) == bytes_per_parameter("gptq") == 0.5 + (2 + 0.5) / 128
    assert bytes_per_parameter("gptq", 32, symmetric=True) == 0.5 + 2 / 32
