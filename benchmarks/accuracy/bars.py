"""What the figures have to reach, and what they reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.accuracy.score import Score, budget_errors, coverage, errors

ANSWERED_PCT = 90


@dataclass(frozen=True)
class Bar:
    """One requirement: ``reached`` in words with its count, ``met`` None where no row decides it."""

    what: str
    wanted: str
    reached: str
    met: bool | None


def bars(found: Score) -> list[Bar]:
    """Every requirement, on the rows that were compared."""
    return [*_weights(found), *_cache(found), *_budget(found), *_verdicts(found), *_speed(found)]


def _at_most(found: Score, term: str, figure: str, limit: float, what: str) -> Bar:
    got = errors(found.of(term))
    statistic = figure.removesuffix("_pct")
    wanted = f"{statistic} error at most {limit:g} %"
    if not got["n"]:
        return Bar(what, wanted, "no row", None)
    return Bar(what, wanted, f"{got[figure]:g} % of {rows(got['n'])}", got[figure] <= limit)


def _within(found: Score, term: str, percent: int, least: float, what: str) -> Bar:
    got, wanted = errors(found.of(term)), f"at least {least:g} % of rows within {percent} %"
    if not got["n"]:
        return Bar(what, wanted, "no row", None)
    share = got[f"within_{percent}_pct"]
    return Bar(what, wanted, f"{share:g} % of {rows(got['n'])}", share >= least)


def _answered(found: Score, terms: tuple[str, ...], what: str) -> Bar:
    answered = sum(len(found.of(term)) for term in terms)
    asked = answered + sum(found.unanswered[term] for term in terms)
    wanted = f"answered for at least {ANSWERED_PCT} %"
    if not asked:
        return Bar(what, wanted, "no row", None)
    return Bar(what, wanted, f"{answered:,} of {rows(asked)}", 100 * answered >= ANSWERED_PCT * asked)


def _weights(found: Score) -> Iterator[Bar]:
    yield _at_most(found, "weights_16bit_text", "mean_pct", 0.5, "Weights, 16-bit text")
    yield _at_most(found, "weights_quantized_text", "mean_pct", 1.5, "Weights, quantized text")
    yield _answered(found, ("weights_16bit_text", "weights_quantized_text", "weights_multimodal"), "Weights")


def _cache(found: Score) -> Iterator[Bar]:
    name, what = "kv_bytes_per_token_uniform", "KV bytes per token, layers alike"
    yield _at_most(found, name, "median_pct", 0.1, what)
    yield _within(found, name, 2, 80, what)
    yield _answered(found, (name,), what)
    yield _at_most(found, "kv_tokens_hybrid", "median_pct", 10, "KV tokens, layers that differ, in the logged budget")


def _budget(found: Score) -> Iterator[Bar]:
    compared = found.of("kv_budget")
    got = budget_errors(compared)
    yield _at_most(found, "kv_budget", "median_pct", 2, "KV budget")
    wanted = "mean error without the worst row at most 0.7 GiB"
    mean = got.get("mae_gib_without_worst")
    reached = "no row" if mean is None else f"{mean:g} GiB of {rows(len(compared) - 1)}"
    yield Bar("KV budget", wanted, reached, None if mean is None else mean <= 0.7)
    over = got.get("over_promises_above_5_pct")
    yield Bar(
        "KV budget",
        "at most 2 rows promised 5 % too much",
        "no row" if over is None else rows(over),
        None if over is None else over <= 2,
    )
    yield _answered(found, ("kv_budget",), "KV budget")


def _verdicts(found: Score) -> Iterator[Bar]:
    failing = [each for each in found.judged if each.kind == "failing"]
    good = [each for each in found.judged if each.kind in ("running", "documented")]
    every = failing + good
    lost = sum(each.verdict == "fits" for each in failing)
    yield Bar("Fit", "no failing row called fits", f"{lost} of {rows(len(failing))}", not lost if failing else None)
    refused = sum(each.verdict == "does_not_fit" for each in good)
    wanted = "at most 5 % of running and documented rows called does_not_fit"
    yield Bar("Fit", wanted, f"{refused} of {rows(len(good))}", 100 * refused <= 5 * len(good) if good else None)
    unknown = [each for each in every if each.verdict == "unknown"]
    share = 100 * len(unknown) / len(every) if every else 0
    reached = f"{len(unknown)} of {rows(len(every))} ({share:.1f} %)"
    yield Bar("Fit", "at most 15 % unknown", reached, share <= 15 if every else None)
    reasons = sum(bool(each.answer.get("reason")) for each in unknown)
    yield Bar(
        "Fit",
        "every unknown says why",
        f"{reasons} of {rows(len(unknown))}",
        reasons == len(unknown) if every else None,
    )


def _speed(found: Score) -> Iterator[Bar]:
    yield _at_most(found, "tpot_ms", "median_pct", 15, "TPOT")
    yield _at_most(found, "tpot_ms", "mean_pct", 22, "TPOT")
    yield _within(found, "tpot_ms", 25, 68, "TPOT")
    yield _answered(found, ("tpot_ms",), "TPOT")
    yield _range(found, "tpot_ms", "TPOT")
    yield _at_most(found, "ttft_ms", "median_pct", 45, "TTFT")
    yield _range(found, "ttft_ms", "TTFT")


def _range(found: Score, term: str, what: str) -> Bar:
    compared, wanted = found.of(term), "range with every figure, holding 85 to 95 %"
    if not compared:
        return Bar(what, wanted, "no row", None)
    got = coverage(compared)
    inside = got.get("inside_pct", 0)
    reached = f"{inside:g} % of {rows(got['n'])}, {rows(len(compared) - got['n'])} without"
    return Bar(what, wanted, reached, got["n"] == len(compared) and 85 <= inside <= 95)


def rows(count: int) -> str:
    """The count with its noun."""
    return f"{count:,} row" + ("" if count == 1 else "s")
