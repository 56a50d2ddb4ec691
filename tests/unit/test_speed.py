"""The speed model: what it counts, what it promises about its figures, and what it refuses."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from benchmarks.accuracy.speed_rows import Row, requests_with_room, rows
from modelberth.catalog import catalog
from modelberth.memory import shape_of, stored_as
from modelberth.memory.shapes import Role
from modelberth.memory.weights import Ranks, Stored
from modelberth.parallel import exchanged_bytes
from modelberth.speed import Server, Speed, Traffic, estimate, saturated
from modelberth.speed.constants import constants
from modelberth.speed.estimate import as_measured, running_requests, work_at
from modelberth.speed.work import stored_kind

SERVERS = {
    "dense": ("Qwen/Qwen3-32B", "fp8", "vllm", "nvidia-h100-80gb", Ranks(2)),
    "dense in four bits": ("Qwen/Qwen3-32B", "nvfp4", "tensorrt_llm", "nvidia-b200", Ranks(1)),
    "experts": ("Qwen/Qwen3-235B-A22B", "fp8", "sglang", "nvidia-h200-141gb", Ranks(8)),
    "latent attention": ("deepseek-ai/DeepSeek-R1", "nvfp4", "tensorrt_llm", "nvidia-b200", Ranks(1, 1, 4)),
    "sliding window": ("openai/gpt-oss-120b", "mxfp4", "vllm", "nvidia-b200", Ranks(2)),
    "linear attention": ("Qwen/Qwen3.5-397B-A17B", "bf16", "sglang", "nvidia-b300", Ranks(4)),
}
CHAT = Traffic(32, 1024, 1024)


def server(model_id: str, quantization: str, engine: str, gpu: str, ranks: Ranks) -> Server:
    model = catalog().model(model_id)
    stored = stored_as(model, quantization, None, None)
    return Server(engine, catalog().gpu(gpu), shape_of(model), stored, ranks, 1, model.index_topk)


@pytest.fixture(params=SERVERS, ids=str)
def any_server(request: pytest.FixtureRequest) -> Server:
    return server(*SERVERS[request.param])


@pytest.fixture
def dense() -> Server:
    return server(*SERVERS["dense"])


def tpot(of: Server, traffic: Traffic = CHAT) -> float:
    found = estimate(of, traffic).tpot_ms
    assert found is not None
    return found


def part(of: Server, name: str, traffic: Traffic = CHAT) -> float:
    """One term of a decode step in ms."""
    return {term.name: term.amount_ms for term in estimate(of, traffic).tpot_terms}[name]


def ttft(of: Server, traffic: Traffic = CHAT, most_requests: float | None = None) -> float:
    found = estimate(of, traffic, most_requests).ttft_ms
    assert found is not None
    return found


def faster(of: Server, **factors: float) -> Server:
    changes = {name: getattr(of.gpu, name) * factor for name, factor in factors.items()}
    return replace(of, gpu=of.gpu.model_copy(update=changes))


def test_more_memory_bandwidth_makes_tokens_faster(any_server: Server) -> None:
    assert tpot(faster(any_server, memory_bandwidth_gb_per_s=1.5)) < tpot(any_server)


def test_a_faster_link_helps_several_gpus_and_leaves_one_alone(any_server: Server) -> None:
    quicker = faster(any_server, link_gb_per_s=2)
    alone = any_server.ranks.gpus == 1
    for name in ("exchange", "prompts"):
        before, after = (part(of, name) for of in (any_server, quicker))
        assert before == after if alone else before > after, name


def test_more_flops_make_the_first_token_faster(any_server: Server) -> None:
    rates = {kind: 2 * rate for kind, rate in any_server.gpu.dense_tflops.items()}
    quicker = replace(any_server, gpu=any_server.gpu.model_copy(update={"dense_tflops": rates}))
    long = Traffic(8, 8192, 1024)
    assert ttft(quicker, long) < ttft(any_server, long)


def test_more_requests_at_once_make_each_slower(any_server: Server) -> None:
    found = [tpot(any_server, Traffic(batch, 1024, 1024)) for batch in (1, 2, 4, 16, 64, 256, 500)]
    assert found == sorted(set(found))


def test_more_requests_at_once_give_more_tokens_in_all(any_server: Server) -> None:
    found = [estimate(any_server, Traffic(batch, 1024, 1024)).output_tokens_per_s or 0 for batch in (1, 8, 64, 256)]
    assert found == sorted(set(found))


def test_every_request_costs_the_host_the_same(dense: Server) -> None:
    one, many = (part(dense, "requests", Traffic(count, 1024, 1024)) for count in (1, 100))
    assert many == pytest.approx(100 * one) == pytest.approx(100 * constants()["request_ms"])


def test_longer_prompts_make_both_figures_larger(any_server: Server) -> None:
    short, long = Traffic(32, 1024, 1024), Traffic(32, 8192, 1024)
    assert tpot(any_server, short) < tpot(any_server, long)
    assert ttft(any_server, short) < ttft(any_server, long)


def test_terms_add_up_to_the_figures(any_server: Server) -> None:
    found = estimate(any_server, CHAT)
    assert sum(term.amount_ms for term in found.tpot_terms) == pytest.approx(found.tpot_ms)
    assert sum(term.amount_ms for term in found.ttft_terms) == pytest.approx(found.ttft_ms)


def test_no_term_is_negative_and_each_says_why_and_whence(any_server: Server) -> None:
    found = estimate(any_server, CHAT)
    for term in (*found.tpot_terms, *found.ttft_terms):
        assert term.amount_ms >= 0, term.name
        assert term.why
        assert "serving_speed.csv" in term.source


def test_ranges_hold_the_estimate(any_server: Server) -> None:
    found = estimate(any_server, CHAT)
    figures = (found.tpot_ms, found.ttft_ms, found.output_tokens_per_s)
    ranges = (found.tpot_range_ms, found.ttft_range_ms, found.output_tokens_per_s_range)
    for figure, bounds in zip(figures, ranges, strict=True):
        assert figure is not None
        assert bounds is not None
        assert bounds[0] < figure < bounds[1]


def test_throughput_is_requests_over_the_time_of_one(dense: Server) -> None:
    found = estimate(dense, Traffic(32, 1024, 512))
    assert found.ttft_ms is not None
    assert found.tpot_ms is not None
    seconds = (found.ttft_ms + 511 * found.tpot_ms) / 1e3
    assert found.output_tokens_per_s == pytest.approx(32 * 512 / seconds)


@pytest.mark.parametrize(
    ("changes", "traffic", "words"),
    [
        ({"engine": "ollama"}, CHAT, "no measured row of ollama"),
        ({"gpu": catalog().gpu("nvidia-rtx-4090")}, CHAT, "RTX 4090"),
        ({"gpu": catalog().gpu("amd-mi300x")}, CHAT, "MI300X"),
        ({"stored": Stored("q4_k_m")}, CHAT, "q4_k_m"),
        ({"ranks": Ranks(2, 2)}, CHAT, "pipeline stages"),
        ({"ranks": Ranks(3)}, CHAT, "not divisible by tensor parallel 3"),
        ({"ranks": Ranks(16)}, CHAT, "more than the 8 that NVLink joins"),
        ({}, Traffic(5000, 1024, 1024), "more than 2,048 requests"),
        ({}, Traffic(4, 1_000_000, 1024), "1,001,024 tokens"),
        ({}, Traffic(0, 1024, 1024), "positive numbers"),
    ],
)
def test_what_no_row_covers_is_not_known_and_says_so(
    dense: Server, changes: dict[str, object], traffic: Traffic, words: str
) -> None:
    found = estimate(replace(dense, **changes), traffic)  # type: ignore[arg-type]
    assert (found.tpot_ms, found.ttft_ms, found.output_tokens_per_s) == (None, None, None)
    assert found.reason is not None
    assert found.reason.startswith("not known: ")
    assert words in found.reason


def test_every_gap_is_named_at_once(dense: Server) -> None:
    found = estimate(replace(dense, engine="tgi", ranks=Ranks(2, 2)), Traffic(5000, 1024, 1024))
    assert found.reason is not None
    assert found.reason.count(";") == 2


def test_grouped_heads_split_the_cache_over_ranks_and_a_latent_cache_is_whole_on_each() -> None:
    grouped, latent = server(*SERVERS["experts"]), server(*SERVERS["latent attention"])

    def bytes_at(of: Server, tensor: int) -> float:
        return work_at(replace(of, ranks=Ranks(tensor)), CHAT).cache_bytes

    assert bytes_at(grouped, 4) == bytes_at(grouped, 1) / 4
    assert bytes_at(grouped, 8) == bytes_at(grouped, 4)  # four KV heads: replicated beyond
    assert bytes_at(latent, 8) == bytes_at(latent, 1)


def test_a_sliding_layer_reads_its_window_only() -> None:
    windowed = server(*SERVERS["sliding window"])
    step = [work_at(windowed, Traffic(1, tokens, 2)).cache_bytes for tokens in (1024, 2048)]
    full = next(cache for cache in windowed.shape.caches if not cache.window)
    assert step[1] - step[0] == full.layers * full.heads_on_rank(2) * full.elements * 1024 * 2


def test_sparse_attention_reads_the_selected_tokens_and_the_index() -> None:
    sparse = server("zai-org/GLM-5", "fp8", "sglang", "nvidia-b200", Ranks(8))
    assert sparse.selected_tokens == 2048
    chosen = work_at(sparse, Traffic(1, 100_000, 2)).cache_bytes
    every = work_at(replace(sparse, selected_tokens=None), Traffic(1, 100_000, 2)).cache_bytes
    index = sum(cache.layers * cache.extra_bytes for cache in sparse.shape.caches) * 100_001
    assert index < chosen < every / 5


def test_one_token_reads_its_own_experts_and_many_read_them_all() -> None:
    experts = server(*SERVERS["experts"])
    one, many = (work_at(experts, Traffic(requests, 1024, 1024)) for requests in (1, 2000))
    every = one.expert_bytes + one.other_expert_bytes
    assert one.expert_bytes / every == pytest.approx(8 / 128)
    assert many.expert_bytes / every > 0.999


def test_four_bit_experts_come_with_attention_in_16_bit_and_four_bit_dense_models_do_not() -> None:
    latent, dense = server(*SERVERS["latent attention"]), server(*SERVERS["dense in four bits"])
    kinds = {part.name: stored_kind(part, latent.stored, latent.shape) for part in latent.shape.parts}
    assert kinds["ffn_exps_up"] == "nvfp4"
    assert kinds["attn_q_b"] == "bf16"
    assert {stored_kind(part, dense.stored, dense.shape) for part in dense.shape.of(Role.ATTENTION, Role.MLP)} >= {
        "nvfp4"
    }


def test_gpt_oss_is_served_in_mxfp4_whatever_its_rows_call_it() -> None:
    windowed = server(*SERVERS["sliding window"])
    renamed = replace(windowed, stored=Stored("nvfp4"), kv_cache_dtype="bf16")
    assert tpot(renamed) == tpot(replace(windowed, kv_cache_dtype="bf16"))


def test_an_fp8_cache_is_read_in_half_the_bytes(dense: Server) -> None:
    full, half = (work_at(replace(dense, kv_cache_dtype=kind), CHAT).cache_bytes for kind in ("bf16", "fp8"))
    assert half == full / 2


def test_multiplied_ranks_of_the_corpus_are_read_as_one_nvlink_domain() -> None:
    stated = replace(server(*SERVERS["experts"]), ranks=Ranks(64), expert_ranks=8)
    plain = replace(stated, ranks=Ranks(8))
    read, traffic, notes = as_measured(stated, CHAT)
    assert (read, traffic) == (plain, CHAT)
    assert "read as 8 GPUs" in notes[0]
    assert as_measured(plain, CHAT) == (plain, CHAT, ())
    assert estimate(stated, CHAT).tpot_ms is None


def test_reading_multiplied_ranks_keeps_the_requests_in_all() -> None:
    stated = replace(server(*SERVERS["latent attention"]), ranks=Ranks(1, 1, 64), expert_ranks=8)
    read, traffic, _ = as_measured(stated, Traffic(2, 1024, 1024))
    assert read.ranks == Ranks(1, 1, 8)
    assert traffic.requests * read.ranks.data == 2 * 64


@pytest.mark.parametrize(("ranks", "expert_ranks"), [(Ranks(16), 16), (Ranks(32), 8), (Ranks(64), 1)])
def test_ranks_beyond_a_domain_without_that_pattern_stay_unknown(ranks: Ranks, expert_ranks: int) -> None:
    stated = replace(server(*SERVERS["experts"]), ranks=ranks, expert_ranks=expert_ranks)
    found = estimate(stated, CHAT)
    assert found.tpot_ms is None
    assert "NVLink" in (found.reason or "")


def test_a_full_cache_runs_fewer_requests_and_the_others_wait(dense: Server) -> None:
    traffic = Traffic(256, 1024, 1024)
    free, full = estimate(dense, traffic), estimate(dense, traffic, 64)
    assert free.running == 256
    assert full.running == pytest.approx(64, rel=0.02)
    assert full.tpot_ms == pytest.approx(tpot(dense, replace(traffic, requests=full.running or 0)))
    waits = {term.name: term.amount_ms for term in full.ttft_terms}["cache_full"]
    assert waits == pytest.approx(3 * 1024 * (full.tpot_ms or 0), rel=0.05)


@pytest.mark.parametrize("most", [10.0, 100.0, 1000.0])
def test_running_requests_never_exceed_what_was_asked_nor_what_fits(most: float) -> None:
    for asked in (1.0, 9.0, 99.0, 101.0, 999.0):
        assert 0.9 * min(asked, most) < running_requests(asked, most) <= min(asked, most)


def test_saturation_lets_in_what_fits_and_no_more_than_the_engine_takes(dense: Server) -> None:
    few, many, limited = (saturated(dense, Traffic(1, 1024, 1024), fit, 256) for fit in (50, 200, 5000))
    assert (few.running, many.running, limited.running) == (50, 200, 256)
    tokens = [found.output_tokens_per_s or 0 for found in (few, many, limited)]
    assert tokens == sorted(set(tokens))


def test_all_constants_are_positive_and_ranges_surround_the_estimate() -> None:
    fit = constants()
    assert all(value > 0 for value in fit.value.values())
    for spread in (fit.tpot, fit.ttft):
        assert 0 < spread.low < 1 < spread.high


@pytest.fixture(scope="module")
def measured() -> list[tuple[Row, Speed]]:
    return [(row, _answer(row)) for row in rows()]


def _answer(row: Row) -> Speed:
    server, traffic, _ = as_measured(*row.stated)
    return estimate(server, traffic, requests_with_room(server, traffic))


def test_nearly_every_measured_row_is_answered(measured: list[tuple[Row, Speed]]) -> None:
    assert sum(found.tpot_ms is not None for _, found in measured) > 0.99 * len(measured) > 2000


def test_measured_tokens_are_met_within_the_bars(measured: list[tuple[Row, Speed]]) -> None:
    errors = [abs(found.tpot_ms / row.tpot_ms - 1) for row, found in measured if found.tpot_ms]
    assert statistics.median(errors) < 0.12
    assert statistics.mean(errors) < 0.20
    assert sum(error <= 0.25 for error in errors) > 0.78 * len(errors)


def test_measured_first_tokens_are_met_within_the_bar(measured: list[tuple[Row, Speed]]) -> None:
    errors = [abs(found.ttft_ms / row.ttft_ms - 1) for row, found in measured if found.ttft_ms and row.ttft_ms]
    assert statistics.median(errors) < 0.35


def test_ranges_hold_nine_measured_rows_in_ten(measured: list[tuple[Row, Speed]]) -> None:
    pairs = [(row.tpot_ms, found.tpot_range_ms) for row, found in measured if found.tpot_range_ms]
    firsts = [(row.ttft_ms, found.ttft_range_ms) for row, found in measured if found.ttft_range_ms and row.ttft_ms]
    for found in (pairs, firsts):
        inside = statistics.mean(low <= amount <= high for amount, (low, high) in found)
        assert 0.85 < inside < 0.95


def test_data_parallel_ranks_of_a_dense_model_are_replicas_of_their_own(dense: Server) -> None:
    alone, many = estimate(dense, CHAT), estimate(replace(dense, ranks=Ranks(2, 1, 4)), CHAT)
    assert (many.tpot_ms, many.ttft_ms) == (alone.tpot_ms, alone.ttft_ms)
    assert many.output_tokens_per_s == pytest.approx(4 * (alone.output_tokens_per_s or 0))


def test_ranks_exchange_what_the_planner_says_that_they_do(dense: Server) -> None:
    many = replace(dense, ranks=Ranks(8))
    link = (dense.gpu.link_gb_per_s or 0) * 1e9
    assert work_at(many, CHAT).exchange_s * link == pytest.approx(exchanged_bytes(dense.shape, 8, 1))
