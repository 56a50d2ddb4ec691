"""Scores an estimator on measured rows.

    python -m benchmarks.accuracy.score [TRUTH] [--command CMD] [--json] [--rows]

Asks CMD (JSON lines in, JSON lines out) about every row of deployments.csv and serving_speed.csv in TRUTH, compares the
answers with what was measured and prints the errors. Models, their heads and kinds of layers come from the catalog.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accuracy.told import (
    GPUS,
    KV_CACHE_DTYPES,
    TRUTH,
    Row,
    deployments,
    model_named,
    number,
    serving,
    version,
)
from modelberth.units import GIB
from modelberth.versions import key

COMMAND = shlex.join([str(Path(sys.executable).with_name("modelberth")), "estimate", "--jsonl"])
UNDECIDABLE = {"d068", "d095"}
"""The same card, model and flags with opposite ends: what differs is not in the row."""
ODD = ("LoRA", "DFlash", "drafter", "draft head", "MTP", "EAGLE", "connector", "unified", "DCP")
"""Words of deployments that need facts which a row cannot carry."""
SIXTEEN_BIT = ("bf16", "fp16")
VERDICTS = ("fits", "does_not_fit", "unknown")
KINDS = ("running", "failing", "documented", "odd")
SMALLEST_BUDGET_GIB = 0.5
GRAPHS_INSIDE_SINCE = "0.20"
"""vLLM's CUDA graphs are counted inside its budget from here on."""

MEMORY_TERMS = (
    "weights_16bit_text",
    "weights_quantized_text",
    "weights_multimodal",
    "kv_bytes_per_token_uniform",
    "kv_tokens_hybrid",
    "kv_budget",
    "activation",
    "overhead",
    "max_concurrency",
)
SPEED_TERMS = ("tpot_ms", "ttft_ms")

Answers = Mapping[str, Mapping[str, Any]]
Measure = Callable[[Row], float | None]


@dataclass(frozen=True)
class Compared:
    """One figure of one row: ``bounds`` is the range that came with the prediction."""

    term: str
    row: Row
    told: Mapping[str, Any]
    predicted: float
    measured: float
    bounds: tuple[float, float] | None

    @property
    def id(self) -> str:
        """Of the row."""
        return self.row["id"]

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return (self.predicted - self.measured) / abs(self.measured)

    @property
    def exact(self) -> bool:
        """Whether the prediction claims to be exact."""
        return self.bounds is not None and self.bounds[0] == self.bounds[1]

    @property
    def covered(self) -> bool:
        """Whether the measured figure lies in the range."""
        return self.bounds is not None and self.bounds[0] <= self.measured <= self.bounds[1]


@dataclass(frozen=True)
class Judged:
    """The verdict on one deployment, and the kind of evidence for how it ended."""

    kind: str
    row: Row
    answer: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """fits, does_not_fit or unknown."""
        return self.answer["verdict"]


@dataclass(frozen=True)
class Silent:
    """A figure that was measured and not predicted, and why not."""

    term: str
    row: Row
    reason: str


@dataclass
class Score:
    """Everything compared, and what was not answered."""

    compared: list[Compared] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    silent: list[Silent] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def unanswered(self) -> Counter[str]:
        """How many figures were not answered, by term."""
        return Counter(each.term for each in self.silent)

    def of(self, term: str) -> list[Compared]:
        """The comparisons of one term."""
        return [each for each in self.compared if each.term == term]


def ask(command: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Answers, float]:
    """(answers by id, wall-clock seconds of the process). Exits with a message when the command fails."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    started = time.perf_counter()
    done = subprocess.run(shlex.split(command), input=text, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{command}: exit {done.returncode}\n{done.stderr[-2000:]}")
    answers = {
        answer["id"]: answer for line in done.stdout.splitlines() if line.strip() for answer in [json.loads(line)]
    }
    if missing := [row["id"] for row in rows if row["id"] not in answers]:
        sys.exit(f"no answer for {len(missing)} rows, first {missing[:3]}")
    return answers, seconds


def score(truth: Path = TRUTH, command: str = COMMAND) -> Score:
    """Asks about every row and compares."""
    found = Score()
    _memory(found, truth, command)
    _speed(found, truth, command)
    return found


def plain(r: Row) -> bool:
    """Whether the row carries all that its memory depends on."""
    return not any(word in r["other_flags"] + r["model_id"] + r["note"] + r["gpu"] for word in ODD)


def has_vision(r: Row) -> bool:
    """Whether its model has a vision tower."""
    model = model_named(r["arch_key"])
    return model is not None and bool(model.has_vision)


def uniform(r: Row) -> bool:
    """Whether every layer of its model keeps the same cache."""
    model = model_named(r["arch_key"])
    mixed = model is None or model.linear_layers or model.sliding_layers
    return not mixed and "V4" not in r["arch_key"] and "gemma-4" not in r["arch_key"].lower()


def bytes_per_token(r: Row) -> float | None:
    """KV cache bytes over the tokens that they hold."""
    gib, tokens = number(r["kv_avail_gib_per_gpu"]), number(r["kv_tokens"])
    return gib * GIB / tokens if gib and tokens and r["kv_dtype"] in KV_CACHE_DTYPES else None


def budget_gib(r: Row) -> float | None:
    """What was left for the KV cache, None where next to nothing was."""
    gib = number(r["kv_avail_gib_per_gpu"])
    return gib if gib is not None and gib >= SMALLEST_BUDGET_GIB else None


def overhead_gib(r: Row) -> float | None:
    """Memory outside torch, and CUDA graphs where the engine counts them inside its budget."""
    outside, graphs, stated = number(r["non_torch_gib"]), number(r["cudagraph_gib"]), version(r["engine_version"])
    if outside is None:
        return None
    inside = stated is None or key(stated) >= key(GRAPHS_INSIDE_SINCE)
    return outside + (graphs or 0 if inside else 0)


def _memory(found: Score, truth: Path, command: str) -> None:
    rows = deployments(truth)
    answers, found.seconds["deployments"] = ask(command, [told for _, told in rows])
    logs = [(r, told) for r, told in rows if r["evidence"] == "measured-log" and plain(r)]

    def collect(term: str, name: str, chosen: Callable[[Row], bool], measure: Measure) -> None:
        for r, told in logs:
            measured = measure(r) if chosen(r) and told.get("quantization") else None
            if measured is None:
                continue
            _compare(found, term, name, r, told, answers[r["id"]], measured)

    def weights(r: Row) -> float | None:
        return number(r["weights_gib_per_gpu"])

    collect(
        "weights_16bit_text", "weights_gib", lambda r: not has_vision(r) and r["weights_quant"] in SIXTEEN_BIT, weights
    )
    collect(
        "weights_quantized_text",
        "weights_gib",
        lambda r: not has_vision(r) and r["weights_quant"] not in SIXTEEN_BIT,
        weights,
    )
    collect("weights_multimodal", "weights_gib", has_vision, weights)
    collect("kv_bytes_per_token_uniform", "kv_bytes_per_token", uniform, bytes_per_token)
    _hybrid_tokens(found, logs, answers)
    stated = lambda r: bool(number(r["gpu_mem_util"]) and (number(r["total_gpu_gib"]) or GPUS.get(r["gpu"])))  # noqa: E731
    collect("kv_budget", "kv_budget_gib", stated, budget_gib)
    collect("activation", "activation_gib", lambda _: True, lambda r: number(r["activation_gib"]))
    collect("overhead", "overhead_gib", lambda _: True, overhead_gib)
    collect("max_concurrency", "max_concurrency", lambda _: True, lambda r: number(r["max_concurrency"]))
    found.judged = [
        Judged(kind, r, answers[r["id"]]) for r, told in rows for kind in [_kind(r, told)] if kind is not None
    ]


def _compare(
    found: Score, term: str, name: str, r: Row, told: Mapping[str, Any], answer: Mapping[str, Any], measured: float
) -> None:
    predicted, bounds = answer.get(name), (answer.get("range") or {}).get(name)
    if predicted is None:
        reason = answer.get("speed_reason") if term in SPEED_TERMS else None
        found.silent.append(Silent(term, r, reason or answer["reason"]))
    else:
        found.compared.append(Compared(term, r, told, predicted, measured, tuple(bounds) if bounds else None))


def _hybrid_tokens(found: Score, logs: Iterable[tuple[Row, Mapping[str, Any]]], answers: Answers) -> None:
    """Tokens of models whose layers differ, given the KV budget that the log states: its own is judged elsewhere."""
    for r, told in logs:
        gib, tokens, answer = number(r["kv_avail_gib_per_gpu"]), number(r["kv_tokens"]), answers[r["id"]]
        if uniform(r) or not (gib and tokens and number(r["max_model_len"])):
            continue
        if answer.get("kv_tokens") and answer.get("kv_budget_gib"):
            predicted = answer["kv_tokens"] * gib / answer["kv_budget_gib"]
            found.compared.append(Compared("kv_tokens_hybrid", r, told, predicted, tokens, None))


def _kind(r: Row, told: Mapping[str, Any]) -> str | None:
    """What the row is evidence of, None when it is none."""
    has_card = told.get("gpu") or told.get("gpu_memory_gib")
    if r["id"] in UNDECIDABLE or not told.get("quantization") or "<" in r["gpu_count"] or not has_card:
        return None
    if r["evidence"] == "measured-log":
        if not plain(r):
            return "odd"
        return "failing" if r["outcome"].startswith("fails") else "running"
    documented = r["evidence"] in ("ci-benchmark", "perf-table", "documented-verified") and r["outcome"] == "runs"
    return "documented" if documented else None


def _speed(found: Score, truth: Path, command: str) -> None:
    rows = serving(truth)
    answers, found.seconds["speed_rows"] = ask(command, [told for _, told in rows])
    for term in SPEED_TERMS:
        for r, told in rows:
            measured = number(r[term])
            if not measured:
                continue
            _compare(found, term, term, r, told, answers[r["id"]], measured)


def errors(compared: Sequence[Compared]) -> dict[str, Any]:
    """Mean, median and worst error in percent, shares within 2 and 25 percent, and the mean with its sign."""
    if not compared:
        return {"n": 0}
    sizes = [abs(each.error) * 100 for each in compared]
    return {
        "n": len(sizes),
        "mean_pct": round(statistics.mean(sizes), 3),
        "median_pct": round(statistics.median(sizes), 3),
        "worst_pct": round(max(sizes), 2),
        "within_2_pct": round(100 * sum(size <= 2 for size in sizes) / len(sizes), 1),
        "within_25_pct": round(100 * sum(size <= 25 for size in sizes) / len(sizes), 1),
        "bias_pct": round(statistics.mean(each.error * 100 for each in compared), 2),
    }


def coverage(compared: Sequence[Compared]) -> dict[str, Any]:
    """How many of the rows that came with a range lie in it."""
    ranged = [each for each in compared if each.bounds]
    inside = sum(each.covered for each in ranged)
    return {"n": len(ranged), "inside_pct": round(100 * inside / len(ranged), 1)} if ranged else {"n": 0}


def budget_errors(compared: Sequence[Compared]) -> dict[str, Any]:
    """Errors of the KV budget in GiB, and how often it promised 5 percent too much."""
    sizes = sorted(abs(each.predicted - each.measured) for each in compared)
    if not sizes:
        return {}
    return {
        "mae_gib": round(statistics.mean(sizes), 3),
        "mae_gib_without_worst": round(statistics.mean(sizes[:-1]), 3) if sizes[:-1] else None,
        "over_promises_above_5_pct": sum(each.predicted > 1.05 * each.measured for each in compared),
    }


def figures(found: Score) -> dict[str, Any]:
    """The errors of every term, verdicts by kind of evidence, and how long the two runs took."""
    out: dict[str, Any] = {term: errors(found.of(term)) for term in MEMORY_TERMS}
    out["kv_budget"] |= budget_errors(found.of("kv_budget"))
    missing = {term: count for term, count in found.unanswered.items() if term not in SPEED_TERMS}
    if missing:
        out["unanswered"] = missing
    out["verdicts"] = {
        kind: {v: sum(j.kind == kind and j.verdict == v for j in found.judged) for v in VERDICTS} for kind in KINDS
    }
    for term in SPEED_TERMS:
        compared = found.of(term)
        out[term] = errors(compared) | {
            "unanswered": found.unanswered[term],
            "without_range": sum(each.bounds is None for each in compared),
            "range": coverage(compared),
        }
    return out | {f"{name}_seconds": round(took, 2) for name, took in found.seconds.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Scores an estimator on measured rows.")
    parser.add_argument("truth", nargs="?", type=Path, default=TRUTH)
    parser.add_argument("--command", default=COMMAND)
    parser.add_argument("--json", action="store_true", help="one line")
    parser.add_argument("--rows", action="store_true", help="print each compared row")
    asked = parser.parse_args()
    found = score(asked.truth, asked.command)
    if asked.rows:
        for each in found.compared:
            print(each.term, each.id, each.told["model"], round(each.predicted, 3), round(each.measured, 3), sep="\t")
        for each in found.judged:
            print(
                f"verdict_{each.kind}",
                each.row["id"],
                each.row["model_id"],
                each.verdict,
                each.row["outcome"],
                sep="\t",
            )
    print(json.dumps(figures(found), indent=None if asked.json else 1))


if __name__ == "__main__":
    main()
