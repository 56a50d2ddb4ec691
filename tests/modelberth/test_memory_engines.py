"""Memory of llama.cpp, Ollama, SGLang, TGI and TensorRT-LLM: sums that add up, defaults, and what changes them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.memory import (
    Memory,
    Ranks,
    Setup,
    Stored,
    Unsized,
    llamacpp,
    ollama,
    sglang,
    shape_of,
    tensorrt_llm,
    tgi,
    torch_terms,
)
from modelberth.memory.llama_graph import compute_bytes
from modelberth.units import GIB, MIB
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B

LLAMA_13B = "meta-llama/Llama-2-13b-hf"
DEEPSEEK = "deepseek-ai/DeepSeek-V3"
GPT_OSS = "openai/gpt-oss-120b"
HYBRID = "Qwen/Qwen3-Next-80B-A3B-Instruct"
COMPRESSED = "deepseek-ai/DeepSeek-V4-Pro"

ENGINES = {
    "sglang": (sglang.memory, "0.5.23"),
    "tgi": (tgi.memory, "3.3.7"),
    "tensorrt_llm": (tensorrt_llm.memory, "1.2.1"),
}


def setup(model: str, quantization: str, gpu: str, version: str = "", **facts: Any) -> Setup:
    card = catalog().gpu(gpu)
    return Setup(
        shape=shape_of(catalog().model(model)),
        stored=Stored(quantization),
        engine_version=version,
        capacity_bytes=card.visible_memory_bytes,
        gpu=card,
        **{"context": 8192, **facts},
    )


def gguf(model: str, quantization: str, gpu: str, **facts: Any) -> Setup:
    return setup(model, quantization, gpu, "b11434", **facts)


def served(engine: str, model: str, quantization: str, gpu: str, **facts: Any) -> Memory:
    memory, version = ENGINES[engine]
    return memory(setup(model, quantization, gpu, facts.pop("version", version), **facts))


# llama.cpp


@pytest.mark.parametrize(
    ("gpu", "model", "quantization", "starts"),
    [
        ("apple-m1-pro-16gb", LLAMA_8B, "q4_k_m", True),
        ("apple-m1-pro-16gb", LLAMA_13B, "q4_k_m", True),
        ("apple-m1-pro-16gb", LLAMA_70B, "q4_k_m", False),
        ("apple-m2-max-32gb", LLAMA_8B, "q4_k_m", True),
        ("apple-m2-max-32gb", LLAMA_13B, "q4_k_m", True),
        ("apple-m2-max-32gb", LLAMA_70B, "q4_k_m", False),
        ("apple-m3-max-48gb", LLAMA_70B, "q4_k_m", False),
        ("apple-m3-max-48gb", LLAMA_70B, "q3_k_m", True),
    ],
)
def test_apple_machines_hold_what_the_guide_says(gpu: str, model: str, quantization: str, starts: bool) -> None:
    left = llamacpp.left_bytes(gguf(model, quantization, gpu, context=2048, max_num_seqs=1))
    assert (left > 0) is starts


def test_13b_on_16_gb_of_unified_memory_stops_short_of_its_whole_context() -> None:
    longest = llamacpp.memory(gguf(LLAMA_13B, "q4_k_m", "apple-m1-pro-16gb", max_num_seqs=1)).largest_request(4096)
    assert 2048 < longest < 4096


@pytest.mark.parametrize("layers", [0, 1, 10, 32, 33])
def test_gpu_and_host_hold_the_file_between_them(layers: int) -> None:
    ours = gguf(LLAMA_8B, "q4_k_m", "nvidia-l4", max_num_seqs=1, gpu_layers=layers)
    file = llamacpp.stored_bytes(ours.shape, ours.stored)
    on_gpu = llamacpp.device_bytes(file, llamacpp.layers_on(0, 1, 32, layers))
    in_host = file.embedding + llamacpp.device_bytes(file, range(33 - layers))
    assert on_gpu + in_host == file.total
    weights = llamacpp.memory(ours).term("weights")
    assert weights
    assert weights.amount_bytes == on_gpu


def test_a_tied_output_layer_is_held_a_second_time_on_the_gpu() -> None:
    ours = gguf("Qwen/Qwen2.5-1.5B-Instruct", "q4_k_m", "nvidia-l4", max_num_seqs=1)
    file = llamacpp.stored_bytes(ours.shape, ours.stored)
    weights = llamacpp.memory(ours).term("weights")
    assert weights
    assert weights.amount_bytes == file.total


@pytest.mark.parametrize("gpus", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("offloaded", [5, 40, 81])
def test_every_offloaded_layer_is_on_one_gpu(gpus: int, offloaded: int) -> None:
    held = [layer for gpu in range(gpus) for layer in llamacpp.layers_on(gpu, gpus, 80, offloaded)]
    assert held == list(range(81 - offloaded, 81))


def test_slots_cost_a_context_each_unless_they_share_one() -> None:
    one, four = (llamacpp.memory(gguf(LLAMA_8B, "q4_k_m", "nvidia-l4", max_num_seqs=slots)).kv for slots in (1, 4))
    shared = llamacpp.memory(gguf(LLAMA_8B, "q4_k_m", "nvidia-l4")).kv
    assert isinstance(one, llamacpp.Cells)
    assert isinstance(four, llamacpp.Cells)
    assert isinstance(shared, llamacpp.Cells)
    assert one.allocated_bytes == 8192 * 131_072
    assert four.allocated_bytes == 4 * one.allocated_bytes
    assert shared.allocated_bytes == one.allocated_bytes


def test_a_context_is_padded_to_256_cells() -> None:
    kv = llamacpp.memory(gguf(LLAMA_8B, "q4_k_m", "nvidia-l4")).kv
    assert kv.request_bytes(1) == kv.request_bytes(256) < kv.request_bytes(257) == kv.request_bytes(512)


def test_what_fits_is_counted_in_tokens_of_all_slots() -> None:
    memory = llamacpp.memory(gguf(LLAMA_8B, "q4_k_m", "nvidia-l4", max_num_seqs=1))
    assert memory.kv.request_bytes(memory.kv_tokens) <= memory.kv_budget_bytes
    assert memory.kv.request_bytes(memory.kv_tokens + 256) > memory.kv_budget_bytes


def test_states_are_float32_and_do_not_grow_with_the_context() -> None:
    ours = gguf(HYBRID, "q4_k_m", "nvidia-h100-80gb", max_num_seqs=1)
    kv = llamacpp.memory(ours).kv
    (state,) = (cache for cache in ours.shape.caches if cache.state_elements)
    (full,) = (cache for cache in ours.shape.caches if not cache.state_elements)
    assert kv.request_bytes(512) - kv.request_bytes(256) == 256 * full.layers * full.heads * full.elements * 2
    assert kv.request_bytes(0) == state.layers * 4 * (state.conv_elements + state.state_elements)


def test_latent_attention_keeps_keys_only() -> None:
    kv = llamacpp.memory(gguf(DEEPSEEK, "q4_k_m", "nvidia-h200-141gb", max_num_seqs=1)).kv
    assert kv.bytes_per_token == 61 * 576 * 2


@pytest.mark.parametrize(("build", "rows"), [("b9000", 512), ("b10434", 4), ("b11434", 4)])
def test_old_builds_compute_the_logits_of_a_whole_batch(build: str, rows: int) -> None:
    ours = gguf(LLAMA_8B, "q4_k_m", "nvidia-l4", max_num_seqs=4)
    step = llamacpp.step_of(ours.shape, llamacpp.slots_of(ours), build)
    assert step.outputs == rows
    logits = rows * ours.shape.vocab * 4
    assert logits <= compute_bytes(ours.shape, step) < logits + 200 * MIB


def test_without_flash_attention_scores_grow_with_the_context() -> None:
    ours = gguf(LLAMA_8B, "q4_k_m", "nvidia-l4", max_num_seqs=1, context=32768)
    slots = llamacpp.slots_of(ours)
    step = llamacpp.step_of(ours.shape, slots, "b11434", flash_attention=False)
    scores = 32 * 32768 * 512 * 4
    assert scores < compute_bytes(ours.shape, step) < 1.1 * scores


@pytest.mark.parametrize(
    ("card", "kept", "copied"),
    [
        ("nvidia-l4", "q8_0", True),
        ("nvidia-l4", "bf16", True),
        ("nvidia-l4", "auto", False),
        ("nvidia-l4", "fp16", False),
        ("amd-mi300x", "q8_0", True),
    ],
)
def test_flash_attention_keeps_a_layer_of_every_slot_in_f16_unless_the_cache_is(
    card: str, kept: str, copied: bool
) -> None:
    def activation(slots: int) -> int:
        term = llamacpp.memory(
            gguf(LLAMA_8B, "q4_k_m", card, max_num_seqs=slots, context=32768, kv_cache_dtype=kept)
        ).term("activation")
        assert term
        return term.amount_bytes

    more = activation(8) - activation(4)
    assert more == (4 * 32768 * 8 * 256 * 2 if copied else 0)


def test_cpu_nodes_hold_file_cache_and_process() -> None:
    ours = replace(gguf(LLAMA_8B, "q4_k_m", "nvidia-l4", max_num_seqs=1), on_gpu=False, capacity_bytes=16 * GIB)
    memory = llamacpp.memory(ours)
    weights = memory.term("weights")
    assert weights
    assert weights.amount_bytes == llamacpp.stored_bytes(ours.shape, ours.stored).total
    assert memory.used_bytes + memory.kv_budget_bytes == 16 * GIB


# Ollama


@pytest.mark.parametrize(
    ("gib", "gpus", "context"), [(22.5, 1, 4096), (24, 1, 32768), (24, 2, 262144), (80, 1, 262144)]
)
def test_ollama_chooses_its_context_by_the_memory_of_all_gpus(gib: float, gpus: int, context: int) -> None:
    assert ollama.default_context(int(gib * GIB), gpus) == context


def test_ollama_offloads_every_layer_that_fits_with_a_gib_to_spare() -> None:
    fits = ollama.placement(setup(LLAMA_8B, "q4_k_m", "nvidia-l4"))
    assert fits.layers == fits.all_layers == 33
    ours = ollama.settled(setup(LLAMA_70B, "q4_k_m", "nvidia-rtx-4090", context=4096))
    partial = ollama.placement(ours)
    assert 0 < partial.layers < partial.all_layers == 81
    left = [llamacpp.left_bytes(replace(ours, gpu_layers=partial.layers + more)) for more in (0, 1)]
    assert left[0] >= GIB > left[1]


def test_ollama_spreads_a_model_only_when_one_gpu_is_too_small() -> None:
    pair = Ranks(2)
    assert ollama.placement(setup(LLAMA_8B, "q4_k_m", "nvidia-a100-40gb", ranks=pair)).gpus == 1
    assert ollama.placement(setup(LLAMA_70B, "q4_k_m", "nvidia-a100-40gb", ranks=pair)).gpus == 2


@pytest.mark.parametrize(("context", "batch"), [(4096, 512), (8192, 1024), (65536, 2048)])
def test_ollama_takes_larger_batches_for_longer_contexts(context: int, batch: int) -> None:
    ours = ollama.settled(setup(LLAMA_8B, "q4_k_m", "nvidia-h100-80gb", context=context))
    assert ours.max_num_batched_tokens == batch


def test_ollama_serves_hybrids_one_request_at_a_time() -> None:
    assert ollama.settled(setup(HYBRID, "q4_k_m", "nvidia-h200-141gb", max_num_seqs=8)).max_num_seqs == 1


def test_ollama_refuses_cache_types_it_does_not_have() -> None:
    with pytest.raises(Unsized, match="Ollama has no fp8 KV cache"):
        ollama.memory(setup(LLAMA_8B, "q4_k_m", "nvidia-l4", kv_cache_dtype="fp8"))
    with pytest.raises(Unsized, match="has no int8 KV cache"):
        llamacpp.memory(gguf(LLAMA_8B, "q4_k_m", "nvidia-l4", kv_cache_dtype="int8"))


def test_ollama_hands_a_16_bit_cache_of_either_kind_to_llama_server() -> None:
    sixteen = {kind: setup(LLAMA_8B, "q4_k_m", "nvidia-l4", kv_cache_dtype=kind) for kind in ("auto", "fp16", "bf16")}
    assert len({ollama.memory(each).kv_bytes_per_token for each in sixteen.values()}) == 1


# SGLang


@pytest.mark.parametrize(
    ("version", "gpu", "tensor_parallel", "chunk", "batch"),
    [
        ("0.5.5", "nvidia-t4", 1, 2048, 8),
        ("0.5.17", "nvidia-l4", 1, 2048, 24),
        ("0.5.23", "nvidia-l4", 1, 4096, 48),
        ("0.5.23", "nvidia-l4", 4, 4096, 160),
        ("0.5.23", "nvidia-l40s", 1, 4096, 32),
        ("0.5.23", "nvidia-h100-80gb", 1, 8192, 256),
        ("0.5.23", "nvidia-h100-80gb", 8, 8192, 512),
        ("0.5.23", "nvidia-b200", 1, 16384, 512),
    ],
)
def test_sglang_chooses_chunk_and_graphs_by_gpu_and_ranks(
    version: str, gpu: str, tensor_parallel: int, chunk: int, batch: int
) -> None:
    chosen = sglang.settled(setup(LLAMA_8B, "bf16", gpu, version, ranks=Ranks(tensor_parallel)))
    assert (chosen.chunked_prefill_size, chosen.graph_batch) == (chunk, batch)


@pytest.mark.parametrize(("version", "fraction"), [("0.5.5", 0.835), ("0.5.12", 0.830), ("0.5.23", 0.830)])
def test_sglang_leaves_activations_and_graphs_outside_its_fraction(version: str, fraction: float) -> None:
    ours = setup(LLAMA_8B, "bf16", "nvidia-h100-80gb", version)
    # (81559 MiB - 512 - 8192 x 1.5 - 256 x 2 - 1024 / 8 [- 58 prefill graphs x 8]) / 81559 MiB
    assert sglang.settled(ours).mem_fraction_static == pytest.approx(fraction, abs=0.001)


def test_sglang_keeps_ten_gib_free_of_large_gpus_at_least() -> None:
    ours = setup(LLAMA_8B, "bf16", "nvidia-h100-80gb", "0.5.23", max_num_batched_tokens=2048)
    assert sglang.settled(ours).mem_fraction_static == pytest.approx(1 - 10 / (79.18 + 470 / 1024), abs=0.001)


def test_sglang_reserves_more_for_attention_data_parallel_and_vision() -> None:
    alone = sglang.settled(setup(DEEPSEEK, "fp8", "nvidia-h200-141gb", "0.5.23", ranks=Ranks(8)))
    spread = sglang.settled(setup(DEEPSEEK, "fp8", "nvidia-h200-141gb", "0.5.23", ranks=Ranks(1, 1, 8)))
    assert spread.tp_size == alone.tp_size == 8
    assert spread.mem_fraction_static < alone.mem_fraction_static - 0.05
    seeing = sglang.settled(setup("Qwen/Qwen3.5-27B", "bf16", "nvidia-h100-80gb", "0.5.23"))
    text = sglang.settled(setup(LLAMA_8B, "bf16", "nvidia-h100-80gb", "0.5.23"))
    assert seeing.mem_fraction_static < text.mem_fraction_static


def test_a_stated_fraction_is_kept() -> None:
    ours = setup(LLAMA_8B, "bf16", "nvidia-h100-80gb", "0.5.23", utilization=0.7)
    assert sglang.settled(ours).mem_fraction_static == 0.7


def test_windows_have_a_smaller_pool_since_sglang_0_5_6() -> None:
    old, new = (sglang.pool(setup(GPT_OSS, "mxfp4", "nvidia-h100-80gb", version)) for version in ("0.5.5", "0.5.23"))
    layer = 8 * 128 * 2
    assert old.per_token == 36 * layer
    assert new.per_token == pytest.approx((18 + 0.8 * 18) * layer)
    assert new.bytes_per_token == 18 * layer


@pytest.mark.parametrize("kind", ["auto", "fp8", "bf16"])
def test_sglang_keeps_compressed_entries_in_fp8_and_windows_for_a_tenth_of_the_tokens(kind: str) -> None:
    facts = {"gpu": "nvidia-b200", "ranks": Ranks(8), "kv_cache_dtype": kind, "version": "0.5.17"}
    kv = served("sglang", COMPRESSED, "fp8", **facts).kv
    growing = 30 * (584 + 132) / 4 + 31 * 584 / 128
    windows = 61 * 584 + 30 * 8 * (512 + 128) * 16 / 256
    assert kv.bytes_per_token == ceil(growing)
    assert kv.tokens(GIB) == int(GIB / (growing + windows / 10)) // 256 * 256


def test_states_take_nine_parts_of_nineteen_of_sglangs_pool() -> None:
    pool = sglang.pool(setup(HYBRID, "bf16", "nvidia-h200-141gb", "0.5.23"))
    assert pool.per_token == pytest.approx(1.9 * pool.bytes_per_token)


def test_latent_caches_are_whole_on_every_rank() -> None:
    for engine in ("sglang", "tensorrt_llm"):
        one, eight = (
            served(engine, DEEPSEEK, "fp8", "nvidia-h200-141gb", ranks=Ranks(ranks)).kv_bytes_per_token
            for ranks in (1, 8)
        )
        assert one == eight == 61 * 576 * 2


@pytest.mark.parametrize(
    ("tokens", "context", "requests"), [(400_000, 8192, 4096), (400_000, 131_072, 2048), (3000, 8192, 1500)]
)
def test_sglang_derives_its_running_requests_from_the_pool(tokens: int, context: int, requests: int) -> None:
    ours = setup(LLAMA_8B, "bf16", "nvidia-h100-80gb", "0.5.23", context=context)
    assert sglang.max_running_requests(ours, tokens) == requests


# TGI and TensorRT-LLM


def test_tgi_takes_nine_tenths_of_the_card_and_keeps_its_graphs_outside() -> None:
    memory = served("tgi", LLAMA_8B, "bf16", "nvidia-l4")
    assert memory.budget_bytes == int(memory.capacity_bytes * 0.9)
    assert {term.name for term in memory.outside} == {"CUDA graphs"}
    assert memory.spare_outside_bytes > 0


@pytest.mark.parametrize("engine", list(ENGINES))
def test_a_stated_memory_fraction_is_the_share_that_the_engine_takes(engine: str) -> None:
    half, most = (served(engine, LLAMA_8B, "bf16", "nvidia-h100-80gb", utilization=share) for share in (0.5, 0.8))
    free = most.capacity_bytes
    if engine == "tensorrt_llm":
        free -= sum(term.amount_bytes for term in most.terms if term.name != "kept free")
    room = {"tgi": tgi.WIGGLE_ROOM}.get(engine, 1.0)
    outside_torch = {"sglang": int(torch_terms.CONTEXT_GIB[1] * GIB)}.get(engine, 0)
    gained = most.kv_budget_bytes - half.kv_budget_bytes
    assert gained == pytest.approx(0.3 * room * (free - outside_torch), rel=1e-6)


def test_tgi_sizes_its_prefill_by_the_speed_of_the_gpus() -> None:
    small, large = (
        tgi.prefill_tokens(setup(LLAMA_8B, "bf16", gpu, "3.3.7", context=131_072))
        for gpu in ("nvidia-l4", "nvidia-h100-80gb")
    )
    assert 1000 < small < large
    assert tgi.prefill_tokens(setup(LLAMA_8B, "bf16", "nvidia-b200", "3.3.7")) == tgi.PREFILL_TOKENS


def test_tgi_passes_a_whole_prompt_at_once_where_it_cannot_cut_it() -> None:
    sizes = {
        gpu: [tgi.prefill_tokens(setup(LLAMA_8B, "bf16", gpu, "3.3.7", context=tokens)) for tokens in (2048, 65_536)]
        for gpu in ("nvidia-t4", "nvidia-l4")
    }
    assert sizes["nvidia-t4"] == [2048, 65_536]
    assert sizes["nvidia-l4"][0] == 2048
    assert sizes["nvidia-l4"][1] < 65_536


@pytest.mark.parametrize(("gpu", "block"), [("nvidia-t4", 16), ("nvidia-l4", 1), ("nvidia-h100-80gb", 1)])
def test_tgi_pages_have_one_token_where_flashinfer_runs(gpu: str, block: int) -> None:
    assert tgi.block_tokens(setup(LLAMA_8B, "bf16", gpu, "3.3.7")) == block


def test_tgi_has_no_latent_cache() -> None:
    latent = served("sglang", DEEPSEEK, "fp8", "nvidia-h200-141gb", ranks=Ranks(8)).kv_bytes_per_token
    whole = served("tgi", DEEPSEEK, "fp8", "nvidia-h200-141gb", ranks=Ranks(8)).kv_bytes_per_token
    assert whole == 61 * 16 * 2 * 192 * 2
    assert whole > 10 * latent


def test_tensorrt_llm_takes_nine_tenths_of_what_is_left() -> None:
    memory = served("tensorrt_llm", LLAMA_8B, "bf16", "nvidia-h100-80gb")
    taken = sum(term.amount_bytes for term in memory.terms if term.name != "kept free")
    assert memory.kv_budget_bytes == pytest.approx(0.9 * (memory.capacity_bytes - taken), abs=2)


@pytest.mark.parametrize(
    ("model", "gpu", "block"),
    [(LLAMA_8B, "nvidia-h100-80gb", 32), (DEEPSEEK, "nvidia-h200-141gb", 64), (DEEPSEEK, "nvidia-b200", 32)],
)
def test_tensorrt_llm_blocks_are_64_tokens_for_latent_attention_on_hopper(model: str, gpu: str, block: int) -> None:
    assert tensorrt_llm.block_tokens(setup(model, "fp8", gpu, "1.2.1")) == block


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_terms_and_kv_cache_add_up_to_the_budget(engine: str, ranks: int) -> None:
    memory = served(engine, LLAMA_70B, "fp8", "nvidia-h200-141gb", ranks=Ranks(ranks))
    assert sum(term.amount_bytes for term in memory.terms) + memory.kv_budget_bytes == memory.budget_bytes
    assert memory.budget_bytes <= memory.capacity_bytes
    for term in (*memory.terms, *memory.outside):
        low, high = term.range_bytes
        assert term.why
        assert term.source
        assert 0 <= low <= term.amount_bytes <= high


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gguf_type_is_unsized_on_engines_that_load_safetensors(engine: str) -> None:
    with pytest.raises(Unsized, match="loads no q4_k_m weights"):
        served(engine, LLAMA_8B, "q4_k_m", "nvidia-h100-80gb")


def test_tgi_does_not_know_states() -> None:
    with pytest.raises(Unsized, match="states is not known"):
        served("tgi", HYBRID, "bf16", "nvidia-h200-141gb", ranks=Ranks(2))


def test_tensorrt_llm_keeps_a_state_per_request_and_one_every_256_tokens() -> None:
    blocks = tensorrt_llm.cache(setup(HYBRID, "bf16", "nvidia-h200-141gb", "1.3.0"))
    kept = blocks.request_bytes(256) - blocks.request_bytes(0) - 256 * blocks.bytes_per_token
    assert kept == pytest.approx(blocks.per_request, rel=1e-4)
    assert blocks.request_bytes(0) == blocks.per_request > 0
    assert blocks.request_bytes(blocks.tokens(10 * GIB)) <= 10 * GIB


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cpu_node_is_unsized_on_gpu_engines(engine: str) -> None:
    with pytest.raises(Unsized, match="on GPUs only"):
        served(engine, LLAMA_8B, "bf16", "nvidia-l4", on_gpu=False)
