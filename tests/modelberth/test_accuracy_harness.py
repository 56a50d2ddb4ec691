"""The scorer and its page: told nothing that was measured, errors that are errors, pictures whose bytes stay."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from benchmarks.accuracy import report
from benchmarks.accuracy.bars import bars
from benchmarks.accuracy.leave_out import factors
from benchmarks.accuracy.picture import SIDE, Axis, Series, axis_of, scatter
from benchmarks.accuracy.score import Compared, Score, budget_errors, coverage, errors, figures, overhead_gib, score
from benchmarks.accuracy.told import TRUTH, deployment, deployments, number, read, serving, serving_row
from modelberth.catalog import catalog

MEASURED = (
    "weights_gib_per_gpu",
    "activation_gib",
    "non_torch_gib",
    "cudagraph_gib",
    "kv_avail_gib_per_gpu",
    "kv_tokens",
    "max_concurrency",
    "kv_needed_gib_per_gpu",
)
ROWS_IN = {"deployments": 305, "serving_speed": 2407, "throughput": 199, "reported": 14}
ESTIMATOR = """
import json, sys
answers = json.load(open(sys.argv[1]))
for line in sys.stdin:
    row = json.loads(line)
    nothing = {"id": row["id"], "verdict": "unknown", "reason": "nothing is known"}
    print(json.dumps({**nothing, **answers.get(row["id"], {})}))
"""

Asks = Callable[[Mapping[str, Mapping[str, Any]]], Score]


def oracle() -> dict[str, dict[str, Any]]:
    """What an estimator would answer that knows every measured figure."""
    known: dict[str, dict[str, Any]] = {}
    for r, _ in deployments():
        gib, tokens = number(r["kv_avail_gib_per_gpu"]), number(r["kv_tokens"])
        stated = {
            "weights_gib": number(r["weights_gib_per_gpu"]),
            "activation_gib": number(r["activation_gib"]),
            "overhead_gib": overhead_gib(r),
            "max_concurrency": number(r["max_concurrency"]),
            "kv_budget_gib": gib,
            "kv_tokens": tokens,
            "kv_bytes_per_token": gib * 2**30 / tokens if gib and tokens else None,
        }
        verdict = "does_not_fit" if r["outcome"].startswith("fails") else "fits"
        known[r["id"]] = {"verdict": verdict} | {name: value for name, value in stated.items() if value is not None}
    for place, (r, _) in enumerate(serving()):
        speeds = {name: float(r[name]) for name in ("tpot_ms", "ttft_ms")}
        low = 1.5 if place % 10 == 0 else 0.5  # one range in ten misses
        known[r["id"]] = {"verdict": "fits", **speeds, "range": {k: [low * v, 2 * v] for k, v in speeds.items()}}
    return known


@pytest.fixture
def scored(tmp_path: Path) -> Asks:
    """Scores an estimator that gives these answers by id, and knows nothing else."""

    def ask(known: Mapping[str, Mapping[str, Any]]) -> Score:
        answers, program = tmp_path / "answers.json", tmp_path / "estimator.py"
        answers.write_text(json.dumps(known), encoding="utf-8")
        program.write_text(ESTIMATOR, encoding="utf-8")
        return score(TRUTH, shlex.join([sys.executable, str(program), str(answers)]))

    return ask


def compared(predicted: float, measured: float, term: str = "weights_16bit_text", source: str = "a") -> Compared:
    """One comparison, with a range of one around the prediction."""
    row = {"id": "x", "source": source}
    return Compared(term, row, {}, predicted, measured, (predicted - 1, predicted + 1))


# --- the rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "count"), ROWS_IN.items())
def test_no_row_is_lost(table: str, count: int) -> None:
    assert len(read(table)) == count


@pytest.mark.parametrize("table", ["deployments", "throughput", "reported"])
def test_every_row_is_cited(table: str) -> None:
    assert [row for row in read(table) if not row["source"].strip()] == []


def test_rows_that_no_run_can_have_had_are_not_asked() -> None:
    asked = [told for _, told in serving()]
    assert (len(deployments()), len(asked)) == (136, 2193)
    assert {catalog().model(told["model"]).num_attention_heads % told["tensor_parallel"] for told in asked} == {0}


def test_the_estimator_is_told_nothing_that_was_measured() -> None:
    for r, told in deployments():
        assert deployment({**r, **dict.fromkeys(MEASURED, "123")}) == told
    for r, told in serving():
        assert serving_row({**r, "tpot_ms": "1", "ttft_ms": "2", "concurrency": "3"}) == told


def test_rows_are_told_as_their_sources_state_them() -> None:
    told = {row["id"]: row for _, row in deployments()}
    assert told["d025"] == {
        "id": "d025",
        "model": "deepseek-ai/DeepSeek-V4-Flash",
        "checkpoint": "deepseek-ai/DeepSeek-V4-Flash",
        "quantization": "fp8",
        "kv_cache_dtype": "fp8",
        "engine": "vllm",
        "engine_version": "0.22",
        "gpu": "nvidia-gh200-96gb",
        "tensor_parallel": 2,
        "pipeline_parallel": 1,
        "context": 30000,
        "gpu_memory_utilization": 0.95,
        "expert_parallel": 2,
    }
    assert told["d033"]["gpu_memory_gib"] == 21.48
    assert told["d033"]["max_num_batched_tokens"] == 8192
    assert told["d033"]["enforce_eager"] is True
    assert told["d034"]["engine_version"] == "0.6.6"
    assert "engine_version" not in told["d021"]


# --- the score --------------------------------------------------------------------------------------------------------


def test_errors_are_of_the_measured_figure() -> None:
    got = errors([compared(110, 100), compared(99, 100), compared(50, 100)])
    assert got == {
        "n": 3,
        "mean_pct": 20.333,
        "median_pct": 10.0,
        "worst_pct": 50.0,
        "within_2_pct": 33.3,
        "within_25_pct": 66.7,
        "bias_pct": -13.67,
    }
    assert errors([]) == {"n": 0}


def test_a_range_counts_when_it_holds_the_measured_figure() -> None:
    assert coverage([compared(10, 11), compared(10, 9), compared(10, 11.1)]) == {"n": 3, "inside_pct": 66.7}
    assert coverage([]) == {"n": 0}


def test_an_estimator_that_knows_everything_meets_every_bar(scored: Asks) -> None:
    found = scored(oracle())
    assert [bar for bar in bars(found) if not bar.met] == []
    assert found.silent == []
    got = figures(found)
    assert {got[term]["worst_pct"] for term in ("weights_16bit_text", "kv_budget", "tpot_ms", "ttft_ms")} == {0}
    assert got["tpot_ms"]["range"]["inside_pct"] == 90.0


def test_an_estimator_that_knows_nothing_meets_none_but_that_of_caution(scored: Asks) -> None:
    found = scored({})
    assert found.compared == []
    assert {bar.wanted for bar in bars(found) if bar.met} == {
        "no failing row called fits",
        "at most 5 % of running and documented rows called does_not_fit",
        "every unknown says why",
    }
    assert found.unanswered["tpot_ms"] == len(serving())
    assert {each.reason for each in found.silent} == {"nothing is known"}


def test_a_range_too_wide_to_say_anything_misses_the_bar(scored: Asks) -> None:
    known = oracle()
    for r, _ in serving():
        known[r["id"]]["range"] = {"tpot_ms": [0, 1e9], "ttft_ms": [0, 1e9]}
    assert [bar.what for bar in bars(scored(known)) if bar.met is False] == ["TPOT", "TTFT"]


def test_of_the_errors_of_the_budget_the_worst_is_left_out_once() -> None:
    got = budget_errors([compared(10, 11), compared(10, 9), compared(10, 5)])
    assert got == {"mae_gib": 2.333, "mae_gib_without_worst": 1.0, "over_promises_above_5_pct": 2}
    assert budget_errors([compared(1, 2)])["mae_gib_without_worst"] is None


def test_rows_that_nothing_tells_apart_are_not_judged(scored: Asks) -> None:
    assert not {each.row["id"] for each in scored({}).judged} & {"d068", "d095"}


def test_a_failing_row_called_fits_misses_the_bar(scored: Asks) -> None:
    found = scored(oracle() | {"d013": {"verdict": "fits"}})
    (lost,) = [bar for bar in bars(found) if bar.wanted == "no failing row called fits"]
    assert (lost.reached.split()[0], lost.met) == ("1", False)


def test_tokens_of_mixed_layers_are_judged_in_the_logged_budget_whatever_the_own_one_is(scored: Asks) -> None:
    known = oracle()
    for answer in known.values():
        if "kv_budget_gib" in answer and "kv_tokens" in answer:
            answer["kv_budget_gib"] /= 2
            answer["kv_tokens"] /= 2
    got = figures(scored(known))
    assert got["kv_tokens_hybrid"]["worst_pct"] == 0
    assert got["kv_budget"]["worst_pct"] == 50


def test_speed_without_a_range_misses_the_bar(scored: Asks) -> None:
    known = oracle()
    del known[next(r["id"] for r, _ in serving())]["range"]
    missed = [bar for bar in bars(scored(known)) if bar.met is False]
    assert [bar.what for bar in missed] == ["TPOT", "TTFT"]
    assert all("1 row without" in bar.reached for bar in missed)


@pytest.mark.parametrize(("program", "said"), [("import sys; sys.exit('broken')", "broken"), ("pass", "no answer for")])
def test_an_estimator_that_fails_or_leaves_rows_out_is_not_scored(program: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        score(TRUTH, shlex.join([sys.executable, "-c", program]))


def test_a_factor_is_that_of_all_other_sources() -> None:
    found = Score([compared(10, 20, source=name) for name in "abc"] + [compared(10, 10, source="odd")] * 3)
    lines = {line[1]: line[2:] for line in factors(found)}
    assert lines["odd"] == (3, "2.000", "0.0 %", "100.0 %")
    assert lines["a"] == (1, "1.000", "50.0 %", "50.0 %")


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_shows_every_bar_and_every_row_and_says_why_rows_miss(scored: Asks) -> None:
    known = oracle()
    known["d004"]["weights_gib"] *= 2
    found = scored(known)
    text = report.page(found, {"d004": "It was loaded | twice."})
    assert all(f"| {bar.what} | {bar.wanted} | {bar.reached} |" in text for bar in bars(found))
    assert "| +100.0 % |  | It was loaded \\| twice. |" in text
    assert all(f"\n| {each.id} |" in text for each in found.compared if each.term in report.TERMS)
    assert text == report.page(found, {"d004": "It was loaded | twice."})
    assert [each.id for each in report.misses(found)] == ["d004"]


def test_every_note_is_one_on_a_row() -> None:
    notes = yaml.safe_load(report.NOTES.read_text(encoding="utf-8"))
    assert set(notes) <= {r["id"] for r, _ in deployments()}
    assert all(isinstance(why, str) and "\n" not in why for why in notes.values())


def test_a_page_that_says_something_else_is_noticed(
    scored: Asks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scored(oracle())
    monkeypatch.setattr(report, "score", lambda: found)
    monkeypatch.setattr(report, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(report, "PAGE", tmp_path / "docs" / "accuracy.md")
    (tmp_path / "docs").mkdir()
    assert report.main([]) == 0
    assert report.main(["--check"]) == 0
    report.PAGE.write_text(report.PAGE.read_text(encoding="utf-8").replace("yes", "no", 1), encoding="utf-8")
    capsys.readouterr()
    assert report.main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/accuracy.md is stale: run make accuracy\n"


# --- the pictures -----------------------------------------------------------------------------------------------------

MANY = [(2.5 + 1.7 * place, 3.0 + (place * 37) % 400) for place in range(300)]
SERIES = [Series("vLLM <1>", MANY), Series("SGLang", [(150.0, 151.0), (3.0, 900.0)])]


def test_a_picture_is_xml_and_follows_from_its_points_alone() -> None:
    picture = scatter("Speed & time", "ms", SERIES)
    ElementTree.fromstring(picture)  # noqa: S314
    backwards = [Series(each.label, each.points[::-1]) for each in SERIES]
    assert scatter("Speed & time", "ms", backwards) == picture
    assert scatter("Speed & time", "ms", SERIES[:1]) != picture


def test_axes_span_what_was_measured_and_points_beyond_lie_on_the_edge() -> None:
    axis = axis_of([3.0, 150.0])
    assert (axis.low, axis.high) == (2.0, 200.0)
    assert (axis.at(2.0), axis.at(20.0), axis.at(200.0)) == pytest.approx((0, SIDE / 2, SIDE))
    assert (axis.at(900.0), axis.at(0.001)) == (SIDE, 0)
    assert axis.ticks() == [2, 5, 10, 20, 50, 100, 200]
    assert Axis(0.1, 1e6).ticks() == pytest.approx([0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6])


def test_a_perfect_prediction_lies_on_the_diagonal() -> None:
    picture = scatter("t", "ms", [Series("one", [(20.0, 20.0), (2.6, 9.9), (155.0, 9.0)])])
    assert f"M{SIDE / 2:g} {SIDE / 2:g}h0" in picture
