"""One model asked of the whole catalog: machines ranked, GPUs counted, how far each one goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.errors import ModelberthError, UnknownName
from modelberth.estimate import estimate
from modelberth.fit import Verdict, fit, sized_engines
from modelberth.names import Objective
from modelberth.objective import Goal
from modelberth.placement import Demand
from modelberth.search import Cards, Question, fewest, longest_context, most_requests, question, search, tried
from modelberth.speed import Traffic
from modelberth.units import GIB
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, QWEN_7B


def asked(model: str = LLAMA_8B, engine: str = "vllm", context: int | None = 8192, **fields: Any) -> Question:
    return question(model, engine, Demand(), context=context, **fields)


def on(gpu: str, of: Question) -> Cards:
    return fewest(of, catalog().gpu(gpu))


def test_every_gpu_of_the_catalog_is_answered() -> None:
    found = search(asked())
    assert [each.gpu.id for each in found.cards] == [gpu.id for gpu in catalog().gpus()]
    assert all(each.fit.why for each in found.cards)


def test_the_smallest_is_the_fewest_gpus_with_the_least_memory() -> None:
    found = search(asked())
    assert found.smallest is not None
    assert found.smallest.count == 1
    single = [each for each in found.cards if each.count == 1 and each.fit.verdict is Verdict.FITS]
    assert found.smallest.gpu.visible_memory_gib == min(each.gpu.visible_memory_gib for each in single)


def test_machines_are_ranked_by_price_and_the_cheapest_single_gpu_is_one_of_them() -> None:
    found = search(asked())
    prices = [each.usd_per_hour for each in found.ranked if each.usd_per_hour is not None]
    assert prices == sorted(prices)
    assert found.cheapest_single is not None
    assert found.cheapest_single.gpus == 1
    assert found.cheapest_single.usd_per_hour == prices[0]


def test_the_cheapest_single_gpu_may_cost_more_than_two_smaller_ones() -> None:
    found = search(asked(LLAMA_70B))
    single, best = found.cheapest_single, found.ranked[0]
    assert single is not None
    assert single.gpus == 1 < best.gpus
    assert (single.usd_per_hour or 0) > (best.usd_per_hour or 0)


def test_every_machine_is_ranked_or_loses_with_a_reason() -> None:
    found = search(asked(LLAMA_70B))
    labels = {each.label for each in found.ranked} | {loser.label for loser in found.losers}
    assert {label.split()[0] for label in labels} == {machine.id for machine in catalog().machines()}
    (why,) = {loser.why for loser in found.losers if loser.label.startswith("c3-")}
    assert why == "vLLM is planned on GPUs only"


def test_an_engine_for_cpus_is_asked_of_machines_without_gpus_too() -> None:
    found = search(asked(QWEN_7B, "llamacpp"))
    assert found.question.sizing.quantization == "q4_k_m"
    assert found.question.sizing.stored_bytes == 4_683_074_240
    assert found.ranked[0].sizing.accelerator.gpu is None


def test_what_nothing_holds_has_no_smallest() -> None:
    found = search(asked(concurrency=10_000_000))
    assert (found.ranked, found.smallest, found.cheapest_single) == ((), None, None)


def test_several_nodes_are_ranked_after_single_ones() -> None:
    ranked = search(asked("meta-llama/Llama-3.1-405B-Instruct")).ranked
    stages = [each.stages for each in ranked]
    assert stages[0] == 1 < stages[-1]
    assert stages == sorted(stages, key=lambda count: count > 1)


def test_speed_ranks_when_traffic_is_stated() -> None:
    goal = Goal(Objective.LATENCY, Traffic(4, 1000, 200))
    found = search(question(LLAMA_8B, "vllm", Demand(goal=goal), context=8192, concurrency=4))
    times = [round(each.speed.tpot_ms, 1) for each in found.ranked if each.speed and each.speed.tpot_ms]
    assert times == sorted(times)
    assert len(times) > 5


@pytest.mark.parametrize("gpu", ["nvidia-l4", "nvidia-h100-80gb"])
def test_the_most_requests_fit_and_one_more_does_not(gpu: str) -> None:
    of = asked(context=2048)
    cards = on(gpu, of)
    most = most_requests(of, cards)
    placed = cards.placed(of.sizing)
    assert fit(of.engine, replace(placed, concurrency=most)).verdict is Verdict.FITS
    assert fit(of.engine, replace(placed, concurrency=most + 1)).verdict is not Verdict.FITS


def test_the_longest_context_fits_and_one_token_more_does_not() -> None:
    of = asked(concurrency=4)
    cards = on("nvidia-l40s", of)
    longest = longest_context(of, cards)
    placed = cards.placed(of.sizing)
    assert fit(of.engine, replace(placed, context=longest)).verdict is Verdict.FITS
    assert fit(of.engine, replace(placed, context=longest + 1)).verdict is not Verdict.FITS


def test_no_context_is_longer_than_the_models_own() -> None:
    of = asked()
    assert longest_context(of, on("nvidia-b200", of)) == 131_072


def test_what_does_not_fit_at_all_holds_nothing() -> None:
    of = asked(LLAMA_70B)
    cards = on("nvidia-t4", of)
    assert cards.fit.verdict is Verdict.DOES_NOT_FIT
    assert (most_requests(of, cards), longest_context(of, cards)) == (0, 0)


def test_numbers_of_gpus_are_tried_until_one_fits() -> None:
    counts = [(each.count, each.fit.verdict) for each in tried(asked(LLAMA_70B), catalog().gpu("nvidia-l40s"))]
    assert [count for count, _ in counts] == [1, 2, 4]
    assert counts[-1][1] is Verdict.FITS


def test_one_memory_shared_with_the_cpu_is_one_gpu() -> None:
    assert len(tried(asked(QWEN_7B, "llamacpp"), catalog().gpu("apple-m1-pro-16gb"))) == 1


def test_a_repository_of_another_format_is_asked_in_that_format() -> None:
    of = asked("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4")
    assert (of.sizing.model.id, of.sizing.quantization) == (LLAMA_8B, "awq")


def test_the_whole_context_of_the_model_is_asked_by_default() -> None:
    assert asked(context=None).sizing.context == 131_072


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"model": "meta-llama/Llama-3.1-8B-Instrct"}, "did you mean 'meta-llama/Llama-3.1-8B-Instruct'"),
        ({"engine": "vlm"}, "did you mean 'vllm'"),
        ({"quantization": "q4km"}, "did you mean 'q4_k_m'"),
        ({"quantization": "auto"}, "unknown quantization 'auto'"),
    ],
)
def test_a_name_that_is_not_known_is_told_what_comes_close(words: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        asked(**words)


def test_an_engine_whose_memory_is_not_modelled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelberth.search.sized_engines", lambda: ("vllm",))
    with pytest.raises(ModelberthError, match="the memory of SGLang is not modelled; sized are vllm"):
        asked(engine="sglang")


@pytest.mark.parametrize("engine", sized_engines())
def test_every_engine_with_a_memory_model_is_searched_whether_or_not_anything_starts_it(engine: str) -> None:
    found = search(asked(engine=engine))
    assert found.ranked
    assert all(each.fit.memory and each.fit.memory.engine == engine for each in found.ranked)
    assert found.question.sizing.quantization == ("q4_k_m" if engine in ("llamacpp", "ollama") else "bf16")


def test_a_named_repository_is_sized_as_it_is_stored_like_a_row_that_names_it() -> None:
    stored = "Inferact/Qwen3.8-27B-NVFP4"
    memory = on("nvidia-h200-141gb", asked(stored)).fit.memory
    row = {"model": stored, "engine": "vllm", "gpu": "nvidia-h200-141gb", "context": 8192, "max_num_seqs": 1}
    answer = estimate(row | {"engine_version": catalog().engine("vllm").default_version})
    assert memory is not None
    assert memory.kv_budget_bytes / GIB == pytest.approx(answer["kv_budget_gib"], abs=1e-3)
