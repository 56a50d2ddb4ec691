"""The whole sum of one GPU under vLLM, held against start-up logs and against what its source says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelberth.catalog import catalog
from modelberth.memory import Memory, Ranks, Setup, Stored, Unsized, memory_of, shape_of, stored_as, vllm
from modelberth.units import GIB


def setup(model: str, quantization: str = "bf16", gpu: str = "nvidia-h100-80gb", **fields: object) -> Setup:
    row, card = catalog().model(model), catalog().gpu(gpu)
    stated = {"engine_version": "0.33.0", "context": 16_384} | fields
    return Setup(
        shape=shape_of(row),
        stored=stored_as(row, quantization, None, None),
        capacity_bytes=card.visible_memory_bytes,
        gpu=card,
        **stated,  # type: ignore[arg-type]
    )


def sized(model: str, quantization: str = "bf16", gpu: str = "nvidia-h100-80gb", **fields: object) -> Memory:
    return memory_of("vllm", setup(model, quantization, gpu, **fields))


def gib(memory: Memory, *names: str) -> float:
    return sum(term.amount_bytes for term in memory.terms if term.name in names) / GIB


LLAMA, SMALL, GPT_OSS = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-0.6B", "openai/gpt-oss-120b"


@pytest.mark.parametrize(
    ("model", "quantization", "utilization", "weights", "activation", "left"),
    [
        (LLAMA, "bf16", 0.9, 14.99, 4.76, 51.38),
        (SMALL, "bf16", 0.9, 1.12, 5.56, 64.45),
        (GPT_OSS, "mxfp4", 0.95, 64.38, 7.38, 3.33),
    ],
)
def test_every_term_is_what_the_log_of_an_h100_prints(
    model: str, quantization: str, utilization: float, weights: float, activation: float, left: float
) -> None:
    memory = sized(model, quantization, engine_version="0.11", max_num_seqs=1024, utilization=utilization)
    assert gib(memory, "weights", "rotary table") == pytest.approx(weights, rel=0.001)
    assert gib(memory, "activation") == pytest.approx(activation, rel=0.002)
    assert memory.kv_budget_bytes / GIB == pytest.approx(left, abs=0.06)


@pytest.mark.parametrize(("context", "left"), [(20_000, 3.81), (29_000, 2.89)])
def test_the_first_engine_profiles_a_whole_context_so_that_a_shorter_one_may_fail(context: int, left: float) -> None:
    memory = sized(LLAMA, gpu="nvidia-rtx-3090", engine_version="0.6.4", context=context)
    assert memory.kv_budget_bytes / GIB == pytest.approx(left, abs=0.15)
    chunked = sized(LLAMA, gpu="nvidia-rtx-3090", engine_version="0.6.4", context=35_000)
    assert chunked.kv_budget_bytes > memory.kv_budget_bytes


def test_marlin_pads_the_experts_more_than_triton_does() -> None:
    triton, marlin = (
        gib(sized(GPT_OSS, "mxfp4", engine_version=version), "weights", "rotary table")
        for version in ("0.11", "0.10.2")
    )
    assert triton == pytest.approx(64.38, rel=0.001)
    assert marlin == pytest.approx(65.97, rel=0.002)


def test_latent_projections_are_copied_in_16_bit_and_were_absorbed_before() -> None:
    ranks = Ranks(8)
    old, new, plain = (
        gib(sized("deepseek-ai/DeepSeek-R1", kind, engine_version=version, ranks=ranks), "latent copies")
        for kind, version in (("fp8", "0.7.3"), ("fp8", "0.9.2"), ("bf16", "0.9.2"))
    )
    assert new == pytest.approx(61 * 16 * 256 * 512 * 2 / GIB, rel=1e-6)
    assert old == pytest.approx(61 * 16 * 512 * (1536 + 7168) / GIB, rel=1e-6)
    assert plain == 0


def test_data_parallel_ranks_each_hold_the_attention_and_share_the_experts() -> None:
    tensor = gib(sized("Qwen/Qwen3-235B-A22B", ranks=Ranks(8)), "weights")
    data = gib(sized("Qwen/Qwen3-235B-A22B", ranks=Ranks(1, 1, 8)), "weights")
    shape = shape_of(catalog().model("Qwen/Qwen3-235B-A22B"))
    dense = sum(part.elements for part in shape.parts if part.role.value not in ("experts", "norm", "router"))
    assert data - tensor == pytest.approx(dense * 2 * 7 / 8 / GIB, rel=0.02)


def test_a_checkpoint_that_weighs_more_than_its_formats_say_is_believed() -> None:
    known = setup("Qwen/Qwen3.5-27B", "nvfp4")
    files = replace(known, stored=replace(known.stored, total_bytes=int(24.04 * GIB)))
    assert gib(memory_of("vllm", files), "weights") == pytest.approx(24.04, rel=0.03)


def test_what_nobody_says_about_a_checkpoint_widens_its_range() -> None:
    assumed = sized("Qwen/Qwen3.5-27B", "nvfp4").term("weights")
    stated = sized("nvidia/Qwen3.6-27B-NVFP4", "nvfp4").term("weights")
    assert assumed is not None
    assert stated is not None
    low, high = assumed.range_bytes
    assert low < 19.75 * GIB < 24.04 * GIB < high
    assert high - low > 5 * (stated.range_bytes[1] - stated.range_bytes[0])


def test_the_range_of_the_budget_surrounds_it() -> None:
    memory = sized(LLAMA)
    low, high = memory.kv_budget_range_bytes
    assert low < memory.kv_budget_bytes < high
    assert high - low < 2 * GIB


def test_adapters_and_a_draft_are_paid_from_the_kv_cache() -> None:
    plain, adapted = sized(LLAMA), sized(LLAMA, lora_slots=8, lora_rank=16)
    slots = [adapted.term(name).amount_bytes for name in ("LoRA slots", "LoRA vocabulary")]  # type: ignore[union-attr]
    assert plain.kv_budget_bytes - adapted.kv_budget_bytes == sum(slots)
    draft = shape_of(catalog().model("meta-llama/Llama-3.2-1B"))
    drafted = sized(LLAMA, draft=draft)
    assert gib(drafted, "draft model") == pytest.approx(2.30, abs=0.01)
    assert drafted.kv_bytes_for(16_384) == plain.kv_bytes_for(16_384) + 16_384 * 16 * 2 * 8 * 64 * 2


def test_a_rank_16_adapter_of_llama_8b_takes_42_million_parameters() -> None:
    slot = sized(LLAMA, lora_slots=1, lora_rank=16).term("LoRA slots")
    assert slot is not None
    assert slot.amount_bytes == pytest.approx(41_943_040 * 2, rel=1e-6)


def test_kv_cache_kept_on_the_host_is_no_memory_of_the_gpu() -> None:
    plain, offloading = sized(LLAMA), sized(LLAMA, kv_offload_bytes=64 * GIB, ranks=Ranks(1))
    assert offloading.kv_budget_bytes == plain.kv_budget_bytes
    assert [term.amount_bytes for term in offloading.host] == [64 * GIB]
    split = sized(LLAMA, kv_offload_bytes=64 * GIB, ranks=Ranks(2))
    assert [term.amount_bytes for term in split.host] == [32 * GIB]


def test_gguf_is_nothing_that_vllm_loads() -> None:
    with pytest.raises(Unsized, match="vLLM loads no q4_k_m weights"):
        memory_of("vllm", replace(setup(LLAMA), stored=Stored("q4_k_m")))


@pytest.mark.parametrize(
    ("gpu", "version", "sequences", "tokens"),
    [
        ("nvidia-a100-80gb", "0.33.0", 256, 2048),
        ("nvidia-a100-80gb", "0.8.5", 1024, 8192),
        ("nvidia-h100-80gb", "0.33.0", 1024, 8192),
        ("nvidia-h200-141gb", "0.33.0", 1024, 8192),
        ("nvidia-b200", "0.33.0", 1024, 16_384),
        ("nvidia-b200", "0.27.1", 1024, 8192),
        ("nvidia-gb10", "0.32.0", 1024, 8192),
        ("nvidia-gb10", "0.33.0", 256, 2048),
        ("nvidia-l4", "0.33.0", 256, 2048),
    ],
)
def test_batches_are_as_large_as_the_version_chooses_for_the_card(
    gpu: str, version: str, sequences: int, tokens: int
) -> None:
    chosen = vllm.settled(setup(LLAMA, gpu=gpu, engine_version=version))
    assert (chosen.max_num_seqs, chosen.max_num_batched_tokens) == (sequences, tokens)


@pytest.mark.parametrize(
    ("version", "kv_cache_dtype", "per_layer"),
    [("0.6.6", "auto", 16 * 2 * 256 * 2), ("0.7.3", "auto", 1280), ("0.9.2", "auto", 1152), ("0.9.2", "fp8", 576)],
)
def test_a_latent_token_takes_what_the_version_lays_out(version: str, kv_cache_dtype: str, per_layer: int) -> None:
    memory = sized(
        "deepseek-ai/DeepSeek-R1", "fp8", engine_version=version, ranks=Ranks(8), kv_cache_dtype=kv_cache_dtype
    )
    assert memory.kv_bytes_per_token == 61 * per_layer


def test_sparse_attention_in_fp8_keeps_scales_and_an_index() -> None:
    memory = sized("deepseek-ai/DeepSeek-V3.2", "fp8", ranks=Ranks(8), kv_cache_dtype="fp8")
    assert memory.kv_bytes_per_token == 61 * (656 + 132)
    assert "656 B" in memory.kv_why
