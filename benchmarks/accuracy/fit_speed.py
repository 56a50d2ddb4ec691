"""Fits the speed model to the measured rows and writes modelberth/catalog/speed.yaml.

    python -m benchmarks.accuracy.fit_speed [--write]

Needs numpy and scipy, which the package does not. Constants are found by robust least squares on the logarithm of
predicted over measured, pulled towards the starting values (physical guesses) as if twenty rows had said so. Models
count by the power 0.4 of their rows, repeated rows once. Rows with speculative decoding, which no column states, and
runs whose client was the limit stay in: the loss bends for them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

import numpy as np
import yaml
from scipy.optimize import least_squares

from benchmarks.accuracy.speed_rows import Row, groups, requests_with_room, rows
from modelberth.speed.estimate import ENGINES, as_measured, running_requests, unknown, work_at
from modelberth.speed.formulas import first_token_ms, step_ms
from modelberth.speed.work import Traffic, Work

TARGET = Path(__file__).resolve().parents[2] / "modelberth" / "catalog" / "speed.yaml"
AS_OF = date(2026, 11, 22)
TPOT_PULL, TTFT_PULL = 20.0, 10.0
BEND = 0.12
TAILS = {"tpot": (0.045, 0.955), "ttft": (0.04, 0.965)}


@dataclass(frozen=True)
class Constant:
    """``start`` and how far (standard deviation of the logarithm) it may go."""

    start: float
    loose: float
    unit: str
    meaning: str


TPOT = {
    "weight_read": Constant(1.1, 0.3, "1", "bytes of 8- and 16-bit weights over bandwidth: 1 is the data sheet's rate"),
    "four_bit_read": Constant(1.5, 0.3, "1", "the same for 4-bit weights of dense models"),
    "expert_read": Constant(1.2, 0.3, "1", "the same for the experts that the step's tokens reach"),
    "cache_read": Constant(1.0, 0.3, "1", "the same for KV cache and states, in their own type"),
    "compute": Constant(1.5, 0.4, "1", "decode matrix products over the dense peak"),
    "expert_compute": Constant(2.5, 0.4, "1", "the same in experts, decode and prompts"),
    "prompt_compute": Constant(1.5, 0.3, "1", "prompt matrix products and attention over the dense peak"),
    "attention_layer_ms": Constant(0.045, 0.3, "ms", "kernels of a layer with plain attention, whatever their size"),
    "latent_layer_ms": Constant(0.060, 0.3, "ms", "the same with multi-head latent attention"),
    "state_layer_ms": Constant(0.060, 0.3, "ms", "the same with linear attention or a state space"),
    "index_layer_ms": Constant(0.070, 0.4, "ms", "more for a layer with a sparse attention index"),
    "expert_layer_ms": Constant(0.015, 0.4, "ms", "more for a layer with experts"),
    "routing_ms": Constant(0.004, 0.7, "ms", "more per layer with experts and doubling of experts per token"),
    "quantize_ms": Constant(0.003, 0.7, "ms", "quantizing one activation before a matrix product"),
    "all_reduce_ms": Constant(0.007, 0.5, "ms", "latency of a layer's two all-reduces per doubling of the GPUs"),
    "exchange": Constant(1.5, 0.5, "1", "all-reduced bytes (ring) over the link's rate, decode"),
    "prompt_exchange": Constant(1.0, 0.4, "1", "the same, prompts: large messages"),
    "hopper_kernels": Constant(1.1, 0.15, "1", "kernels on compute capability 9.0 against 10.x"),
    "hopper_experts": Constant(1.2, 0.2, "1", "expert kernels and products on compute capability 9.0, in addition"),
    "prompt_launch_ms": Constant(
        0.12, 0.5, "ms", "least time per layer of a step that carries a prompt (no CUDA graph)"
    ),
    "request_ms": Constant(0.008, 0.5, "ms", "sampling and scheduling per request and step"),
    "kernels_vllm": Constant(1.0, 0.1, "1", "kernels whatever their size, vLLM"),
    "kernels_sglang": Constant(1.0, 0.1, "1", "the same, SGLang"),
    "kernels_tensorrt_llm": Constant(1.0, 0.1, "1", "the same, TensorRT-LLM"),
}
TTFT = {
    "first_prompt": Constant(1.2, 0.4, "1", "a request's own prompt over the same work inside steps"),
    "own_prompt": Constant(1.2, 0.3, "1", "passes that the own prompt takes part in"),
    "queue": Constant(0.07, 0.5, "1", "prompts ahead, per request at once"),
    "queue_launch": Constant(1.0, 0.5, "1", "least time of a queued prompt, per full chunk of 8,192 tokens"),
    "first_steps": Constant(1.0, 0.5, "1", "decode steps before the first token"),
    "frontend_ms": Constant(10.0, 0.7, "ms", "tokenization and transport"),
    "first_launch_ms_vllm": Constant(0.7, 0.5, "ms", "least time per layer of a prompt's pass, vLLM"),
    "first_launch_ms_sglang": Constant(2.5, 0.5, "ms", "the same, SGLang"),
    "first_launch_ms_tensorrt_llm": Constant(1.2, 0.5, "ms", "the same, TensorRT-LLM"),
}


@dataclass(frozen=True)
class Table:
    """Rows as arrays: ``work`` holds one array per field."""

    rows: list[Row]
    work: Work
    engine: np.ndarray
    waiting: np.ndarray
    tpot: np.ndarray
    ttft: np.ndarray
    answered: np.ndarray

    def of(self, mask: np.ndarray) -> Table:
        """Some of the rows."""
        work = Work(**{f.name: getattr(self.work, f.name)[mask] for f in fields(Work)})
        arrays = [getattr(self, f.name)[mask] for f in fields(Table)[2:]]
        return Table([row for row, kept in zip(self.rows, mask, strict=True) if kept], work, *arrays)


def table(found: list[Row], *, as_run: bool) -> Table:
    """What the rows do, on the ranks that they ran on or on those that they state (as the estimator reads them)."""
    works, waiting, answered = [], [], []
    for row in found:
        server, traffic = row.run if as_run else as_measured(*row.stated)[:2]
        running = running_requests(traffic.requests, requests_with_room(server, traffic))
        works.append(work_at(server, Traffic(running, traffic.input_tokens, traffic.output_tokens)))
        waiting.append(traffic.requests / running - 1)
        answered.append(not list(unknown(server, traffic)))
    columns = {f.name: np.array([float(getattr(work, f.name)) for work in works]) for f in fields(Work)}
    return Table(
        found,
        Work(**columns),
        np.array([row.run[0].engine for row in found]),
        np.array(waiting),
        np.array([row.tpot_ms for row in found]),
        np.array([row.ttft_ms or np.nan for row in found]),
        np.array(answered),
    )


def by_engine(table: Table, c: Mapping[str, float], prefix: str) -> np.ndarray:
    """The engine's own constant of each row."""
    return sum((table.engine == engine) * c[prefix + engine] for engine in ENGINES)


def tpot_of(table: Table, c: Mapping[str, float]) -> np.ndarray:
    """Predicted ms per output token."""
    return sum(step_ms(table.work, c, by_engine(table, c, "kernels_")).values())


def ttft_of(table: Table, c: Mapping[str, float]) -> np.ndarray:
    """Predicted ms to the first token."""
    launch = by_engine(table, c, "first_launch_ms_")
    return sum(first_token_ms(table.work, c, launch, tpot_of(table, c), table.waiting).values())


def weights_of(table: Table, chosen: np.ndarray) -> np.ndarray:
    """Repeated rows count once, models by the power 0.4 of their rows."""
    weights = chosen.astype(float)
    family = np.array([row.family for row in table.rows])
    for name in set(family):
        members = (family == name) & chosen
        weights[members] = (members.sum() / 150) ** -0.6 if members.any() else 0
    return weights


def fit(
    table: Table,
    prior: Mapping[str, Constant],
    predict: Callable[[Table, Mapping[str, float]], np.ndarray],
    measured: np.ndarray,
    weights: np.ndarray,
    pull: float,
    known: Mapping[str, float],
) -> dict[str, float]:
    """Constants of ``prior`` that fit best, others being ``known``."""
    used = weights > 0
    some, logs, root = table.of(used), np.log(measured[used]), np.sqrt(weights[used])
    start = np.log([constant.start for constant in prior.values()])
    loose = np.array([constant.loose for constant in prior.values()])

    def residuals(x: np.ndarray) -> np.ndarray:
        c = dict(known) | dict(zip(prior, np.exp(x), strict=True))
        error = np.log(predict(some, c)) - logs
        bent = np.sign(error) * np.sqrt(2 * BEND * (np.sqrt(BEND**2 + error**2) - BEND))
        return np.concatenate([root * bent, np.sqrt(pull) * BEND * (x - start) / loose])

    found = least_squares(residuals, start)
    return dict(zip(prior, map(float, np.exp(found.x)), strict=True))


def fit_all(table: Table, chosen: np.ndarray) -> dict[str, float]:
    """All constants from the chosen rows."""
    steady = chosen & (table.ttft < 20_000) & (table.work.requests * table.work.data_ranks <= 1024)
    c = fit(table, TPOT, tpot_of, table.tpot, weights_of(table, steady), TPOT_PULL, {})
    first = chosen & np.isfinite(table.ttft)
    return c | fit(table, TTFT, ttft_of, table.ttft, weights_of(table, first), TTFT_PULL, c)


def held_out(run: Table, stated: Table, group: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(TPOT, TTFT) of every row from a fit without its group, told what the row states."""
    names, usable = np.array(group), usable_rows(run)
    tpot, ttft = np.full(len(names), np.nan), np.full(len(names), np.nan)
    for name in sorted(set(group)):
        c = fit_all(run, usable & (names != name))
        mask = names == name
        tpot[mask], ttft[mask] = tpot_of(stated.of(mask), c), ttft_of(stated.of(mask), c)
    return tpot, ttft


def usable_rows(table: Table) -> np.ndarray:
    """Rows to fit: not repeated, on ranks that one domain joins."""
    return np.array([not row.repeated for row in table.rows]) & table.answered


def line(label: str, predicted: np.ndarray, measured: np.ndarray) -> str:
    """Errors in percent."""
    error = predicted / measured - 1
    size = np.abs(error)
    return (
        f"{label:42s} n {len(size):5d}  median {100 * np.median(size):5.1f}  mean {100 * size.mean():6.1f}"
        f"  within 25 % {100 * (size <= 0.25).mean():5.1f}  bias {100 * np.median(error):+6.1f}"
    )


def spread(
    table: Table, predicted: np.ndarray, measured: np.ndarray, mask: np.ndarray, tails: tuple[float, float]
) -> dict[str, float]:
    """Measured over predicted: quantiles of the held-out rows, models counted by the square root of their rows.

    Slightly wider than 90 %: the next model differs more from these than these do from each other.
    """
    ratio, family = (measured / predicted)[mask], np.array([row.family for row in table.rows])[mask]
    counts = {name: (family == name).sum() for name in set(family)}
    low, high = _quantiles(ratio, np.array([counts[name] ** -0.5 for name in family]), tails)
    return {"low": round(float(low), 3), "high": round(float(high), 3)}


def _quantiles(values: np.ndarray, weight: np.ndarray, at: tuple[float, float]) -> tuple[float, float]:
    order = np.argsort(values)
    total = np.cumsum(weight[order]) / weight.sum()
    low, high = (values[order][min(np.searchsorted(total, share), len(values) - 1)] for share in at)
    return low, high


def main() -> None:
    """Fits, prints the cross validation, writes the constants when asked to."""
    found = rows()
    run, stated = table(found, as_run=True), table(found, as_run=False)
    c = fit_all(run, usable_rows(run))
    mask = stated.answered
    first = mask & np.isfinite(stated.ttft)
    print(f"{len(found)} rows, {100 * mask.mean():.1f} % answered")
    print(line("in sample, TPOT", tpot_of(stated, c)[mask], stated.tpot[mask]))
    print(line("in sample, TTFT", ttft_of(stated, c)[first], stated.ttft[first]))
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for name, group in groups(found):
        tpot, ttft = held_out(run, stated, group)
        kept.append((tpot, ttft))
        print(line(f"leave one {name} out, TPOT", tpot[mask], stated.tpot[mask]))
        print(line(f"leave one {name} out, TTFT", ttft[first], stated.ttft[first]))
        for value in sorted(set(group)):
            members = mask & (np.array(group) == value)
            if members.any():
                print(line(f"  {value}, TPOT", tpot[members], stated.tpot[members]))
                members = first & members
                print(line(f"  {value}, TTFT", ttft[members], stated.ttft[members]))
    tpot, ttft = kept[0]
    ranges = {
        "tpot": spread(stated, tpot, stated.tpot, mask & usable_rows(run), TAILS["tpot"]),
        "ttft": spread(stated, ttft, stated.ttft, first & usable_rows(run), TAILS["ttft"]),
    }
    errors = {
        field: 100 * np.median(np.abs(p[m] / t[m] - 1))
        for field, p, t, m in (("TPOT", tpot, stated.tpot, mask), ("TTFT", ttft, stated.ttft, first))
    }
    for name, constant in (TPOT | TTFT).items():
        print(f"{name:30s} {c[name]:10.5f} {constant.unit:3s} {constant.meaning}")
    if "--write" in sys.argv[1:]:
        write(c, ranges, errors, int(mask.sum()))


def write(c: Mapping[str, float], ranges: dict[str, dict[str, float]], errors: Mapping[str, float], count: int) -> None:
    """The data file."""
    source = (
        f"least squares on {count:,} rows of benchmarks/accuracy/truth/serving_speed.csv"
        f" (benchmarks/accuracy/fit_speed.py); leave-one-model-out median error {errors['TPOT']:.0f} % of TPOT,"
        f" {errors['TTFT']:.0f} % of TTFT"
    )
    document = {
        "shared": {"source": source, "as_of": AS_OF},
        "constants": {
            name: {"value": float(f"{c[name]:.4g}"), "unit": constant.unit, "meaning": constant.meaning}
            for name, constant in (TPOT | TTFT).items()
        },
        "spreads": ranges,
    }
    head = "# Fitted figures of modelberth.speed; written by benchmarks/accuracy/fit_speed.py, not by hand.\n"
    TARGET.write_text(head + yaml.safe_dump(document, sort_keys=False, width=120), encoding="utf-8")


if __name__ == "__main__":
    main()
