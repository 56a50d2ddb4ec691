"""How much the fitted figures owe to the rows that they are judged on.

    python -m benchmarks.accuracy.leave_out

writes held_out.csv: the speed model fitted anew without each model, GPU and engine in turn. That needs numpy and scipy;
neither the package nor `make accuracy` does.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accuracy.score import Compared, Score

HELD_OUT = Path(__file__).with_name("held_out.csv")
COLUMNS = (
    "left_out",
    "which",
    "rows",
    "tpot_median_pct",
    "tpot_mean_pct",
    "tpot_within_25_pct",
    "tpot_bias_pct",
    "tpot_in_range_pct",
    "ttft_median_pct",
    "ttft_bias_pct",
    "ttft_in_range_pct",
)
FACTORED = ("weights_16bit_text", "weights_quantized_text", "weights_multimodal", "activation", "overhead")
LEAST_OTHERS = 3
"""Rows of other sources that a factor needs."""


def held_out() -> Iterator[tuple[str, ...]]:
    """The lines of held_out.csv, percents as text."""
    with HELD_OUT.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            yield tuple(_percent(name, line[name]) for name in COLUMNS)


def _percent(name: str, text: str) -> str:
    if not name.endswith("_pct") or not text:
        return text
    return f"{float(text):+.1f} %" if "bias" in name else f"{float(text):.1f} %"


def factors(found: Score) -> Iterator[tuple[object, ...]]:
    """(term, source left out, its rows, factor of the others, error as it is, error with the factor)."""
    for term in FACTORED:
        compared = [each for each in found.of(term) if each.predicted > 0]
        for source in sorted({_source(each) for each in compared}):
            own = [each for each in compared if _source(each) == source]
            others = [each for each in compared if _source(each) != source]
            if len(others) >= LEAST_OTHERS:
                factor = statistics.median(each.measured / each.predicted for each in others)
                yield term, source, len(own), f"{factor:.3f}", _mean_error(own, 1.0), _mean_error(own, factor)


def _source(each: Compared) -> str:
    return each.row["source"]


def _mean_error(compared: Sequence[Compared], factor: float) -> str:
    return f"{100 * statistics.mean(abs(factor * e.predicted / e.measured - 1) for e in compared):.1f} %"


def main() -> None:
    """Fits and writes. The ranges, too, come from the rows that were not left out."""
    import numpy as np

    from benchmarks.accuracy.fit_speed import TAILS, spread, table, usable_rows
    from benchmarks.accuracy.fit_speed import held_out as predict
    from benchmarks.accuracy.speed_rows import groups, rows

    found = rows()
    run, stated = table(found, as_run=True), table(found, as_run=False)
    timed = stated.answered & np.isfinite(stated.ttft)

    def inside(names: np.ndarray, predicted: np.ndarray, field: str, mask: np.ndarray) -> np.ndarray:
        measured = getattr(stated, field)
        ratio, within = measured / predicted, np.zeros(len(names), dtype=bool)
        for name in set(names):
            others = spread(stated, predicted, measured, mask & usable_rows(run) & (names != name), TAILS[field])
            within |= (names == name) & (others["low"] <= ratio) & (ratio <= others["high"])
        return within

    lines = []
    for kind, group in groups(found):
        names = np.array(group)
        tpot, ttft = predict(run, stated, group)
        slow, late = tpot / stated.tpot - 1, ttft / stated.ttft - 1
        slow_inside = inside(names, tpot, "tpot", stated.answered)
        late_inside = inside(names, ttft, "ttft", timed)
        for which in ["all", *sorted(set(group))]:
            mask = stated.answered & ((names == which) | (which == "all"))
            first = mask & timed
            if not mask.any():
                continue
            shares = (
                np.median(np.abs(slow[mask])),
                np.abs(slow[mask]).mean(),
                (np.abs(slow[mask]) <= 0.25).mean(),
                np.median(slow[mask]),
                slow_inside[mask].mean(),
                np.median(np.abs(late[first])),
                np.median(late[first]),
                late_inside[first].mean(),
            )
            lines.append([kind, which, int(mask.sum()), *(f"{100 * share:.1f}" for share in shares)])
    with HELD_OUT.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines])
    print(f"written: {HELD_OUT.name}")


if __name__ == "__main__":
    main()
