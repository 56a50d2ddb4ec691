"""Writes docs/accuracy.md and its pictures: what the estimator says about every measured row, and how far off it is.

    python -m benchmarks.accuracy.report [--check]

``--check`` only compares: the page is stale when a formula, a constant, the catalog or a row has changed what it says.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.accuracy.bars import bars, rows
from benchmarks.accuracy.leave_out import factors, held_out
from benchmarks.accuracy.picture import Series, scatter
from benchmarks.accuracy.score import KINDS, SPEED_TERMS, VERDICTS, Compared, Judged, Score, coverage, errors, score
from benchmarks.accuracy.told import Row

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "accuracy.md"
NOTES = Path(__file__).with_name("notes.yaml")
ENGINE_NAMES = {"vllm": "vLLM", "sglang": "SGLang", "tensorrt_llm": "TensorRT-LLM"}

Cells = Iterable[object]

HEAD = """# Accuracy

What the estimator says about engines that were measured, and how far off it is. Written by `make accuracy` from the
rows in [benchmarks/accuracy/truth](../benchmarks/accuracy/truth/README.md); each row is asked as anybody would ask it,
through `modelberth estimate --jsonl`, and told nothing that was measured except the memory that its card shows.

These rows were at hand while the formulas were written. What follows from an engine's source cannot be fitted to them;
where a constant was, its error on rows that it was not fitted to stands under [Left out](#left-out)."""


@dataclass(frozen=True)
class Heading:
    """Title and unit of a term. A row misses when it is off by more than ``percent``, or than ``gib`` where set."""

    title: str
    unit: str
    percent: float = 0
    gib: float | None = None

    @property
    def miss(self) -> str:
        """The limit in words."""
        return f"{self.percent:g} %" if self.gib is None else f"{self.gib:g} GiB"

    def missed(self, each: Compared) -> bool:
        """Whether this row is a miss."""
        off = abs(each.predicted - each.measured)
        return 100 * abs(each.error) > self.percent if self.gib is None else off > self.gib


TERMS = {
    "weights_16bit_text": Heading("Weights, 16-bit text models", "GiB per GPU", 1),
    "weights_quantized_text": Heading("Weights, quantized text models", "GiB per GPU", 1.5),
    "weights_multimodal": Heading("Weights, multimodal models", "GiB per GPU", 1.5),
    "kv_bytes_per_token_uniform": Heading("KV bytes per token, layers alike", "bytes per GPU", 1),
    "kv_tokens_hybrid": Heading(
        "KV tokens, layers that differ", "tokens, given the KV budget that the engine printed", 10
    ),
    "activation": Heading("Activation", "GiB, the peak of the profile run", gib=0.5),
    "overhead": Heading("Overhead", "GiB outside torch, with CUDA graphs from vLLM 0.20", gib=0.5),
    "kv_budget": Heading("KV budget", "GiB per GPU left for the KV cache", 5),
    "max_concurrency": Heading("Concurrency", "requests of full length held at once", 10),
}


def main(words: Sequence[str]) -> int:
    """Write or compare."""
    found, notes = score(), yaml.safe_load(NOTES.read_text(encoding="utf-8"))
    wanted = {DOCS / "images" / f"accuracy-{name}.svg": svg for name, svg in pictures(found).items()}
    wanted[PAGE] = page(found, notes)
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in words:
        for path in stale:
            print(f"{path.relative_to(DOCS.parent)} is stale: run make accuracy")
        return 1 if stale else 0
    (DOCS / "images").mkdir(exist_ok=True)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
        print(f"written: {path.relative_to(DOCS.parent)}")
    if unexplained := sorted({each.id for each in misses(found)} - set(notes)):
        print(f"missed, and no line in {NOTES.name} says why: {', '.join(unexplained)}")
    return 0


def page(found: Score, notes: Mapping[str, str]) -> str:
    """The document."""
    sections = [
        HEAD,
        *_bars(found),
        *_pictures(),
        *_terms(found, notes),
        *_verdicts(found),
        *_speed(found),
        *_left_out(found),
    ]
    return "\n\n".join(sections) + "\n"


def misses(found: Score) -> list[Compared]:
    """Figures of memory that are further off than their term allows."""
    return [each for each in found.compared if each.term in TERMS and TERMS[each.term].missed(each)]


def table(head: Sequence[str], lines: Iterable[Cells]) -> str:
    """A Markdown table; columns of figures (heads that end in a colon) are set right."""
    rule = "|".join("--:" if name.endswith(":") else "---" for name in head)
    titles = " | ".join(name.removesuffix(":") for name in head)
    return "\n".join([f"| {titles} |", f"|{rule}|", *(f"| {' | '.join(map(_cell, cells))} |" for cells in lines)])


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _bars(found: Score) -> Iterator[str]:
    yield "## What is asked for, and what is reached"
    marks = {True: "yes", False: "**no**", None: "not decided"}
    yield table(
        ("figure", "wanted", "reached", "met"), ((b.what, b.wanted, b.reached, marks[b.met]) for b in bars(found))
    )


def pictures(found: Score) -> dict[str, str]:
    """SVG by name."""
    weights = [
        Series(label, _points(found.of(f"weights_{name}")))
        for label, name in (
            ("16-bit text", "16bit_text"),
            ("quantized text", "quantized_text"),
            ("multimodal", "multimodal"),
        )
    ]
    return {
        "weights": scatter("Weights per GPU", "GiB", weights),
        "kv-budget": scatter("KV budget per GPU", "GiB", _by_engine(found.of("kv_budget"))),
        "tpot": scatter("Time per output token", "ms", _by_engine(found.of("tpot_ms"))),
        "ttft": scatter("Time to first token", "ms", _by_engine(found.of("ttft_ms"))),
    }


def _points(compared: Iterable[Compared]) -> list[tuple[float, float]]:
    return [(each.measured, each.predicted) for each in compared]


def _by_engine(compared: Sequence[Compared]) -> list[Series]:
    engines = sorted({each.told["engine"] for each in compared}, reverse=True)
    return [Series(ENGINE_NAMES[e], _points(each for each in compared if each.told["engine"] == e)) for e in engines]


def _pictures() -> Iterator[str]:
    yield (
        "Predicted against measured, on logarithmic axes. The line is a perfect prediction, the band 25 % either side,"
        "\na dot one row (beyond the axes: on the edge)."
    )
    names = {
        "weights": "Weights per GPU",
        "kv-budget": "KV budget per GPU",
        "tpot": "Time per output token",
        "ttft": "Time to first token",
    }
    yield "\n".join(
        f"![{title}, predicted against measured](images/accuracy-{name}.svg)" for name, title in names.items()
    )


def _terms(found: Score, notes: Mapping[str, str]) -> Iterator[str]:
    yield "## Memory, row by row"
    for term, heading in TERMS.items():
        compared = found.of(term)
        yield f"### {heading.title}"
        unanswered = found.unanswered[term]
        if not compared:
            yield f"No row compared, {rows(unanswered)} not answered."
            continue
        got, inside = errors(compared), coverage([each for each in compared if not each.exact])
        ranged = f"; {inside['inside_pct']:g} % in the stated range" if inside["n"] else ""
        missing = f"; {rows(unanswered)} not answered" if unanswered else ""
        yield (
            f"In {heading.unit}. {rows(got['n'])}: mean error {got['mean_pct']:.2f} %,"
            f" median {got['median_pct']:.2f} %, worst {got['worst_pct']:.1f} %, bias {got['bias_pct']:+.2f} %"
            f"{ranged}{missing}.\nA miss is more than {heading.miss} off."
        )
        head = ("row", "model", "engine", "GPUs", "predicted:", "measured:", "error:", "in range", "why it misses")
        yield table(head, (_term_row(each, notes) for each in compared))


def _term_row(each: Compared, notes: Mapping[str, str]) -> Cells:
    r = each.row
    engine = f"{r['engine']} {r['engine_version'].removeprefix('~')}".strip()
    inside = "" if each.bounds is None else "exact" if each.exact else "yes" if each.covered else "no"
    why = notes.get(each.id, "not known") if TERMS[each.term].missed(each) else ""
    figures = (_figure(each.predicted), _figure(each.measured), _signed(100 * each.error))
    return each.id, r["model_id"], engine, _gpus(r), *figures, inside, why


def _gpus(r: Row) -> str:
    """Count and name of the cards; the name may end in a count of its own."""
    return f"{int(r['tp']) * int(r['pp'] or 1)} x {re.sub(r' x[0-9]+$', '', r['gpu'])}"


def _signed(percent: float) -> str:
    return f"{percent:+.1f} %".replace("-0.0", "0.0").replace("+0.0", "0.0")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


def _verdicts(found: Score) -> Iterator[str]:
    yield "## Verdicts"
    yield (
        "Running and failing rows come from logs, documented ones from the engines' recipes, benchmarks and tests;"
        "\nodd rows need facts that a row cannot carry (adapters, draft heads, unified memory)."
    )
    count = Counter((each.kind, each.verdict) for each in found.judged)
    yield table(("kind", *(f"{v}:" for v in VERDICTS)), ((kind, *(count[kind, v] for v in VERDICTS)) for kind in KINDS))
    wrong = [each for each in found.judged if _wrong(each)]
    if wrong:
        yield "Those that are wrong:"
        head = ("row", "kind", "model", "GPUs", "verdict", "reason given", "note")
        yield table(head, (_verdict_row(each) for each in wrong))
    unknown = Counter((each.kind, each.answer["reason"]) for each in found.judged if each.verdict == "unknown")
    if unknown:
        yield "Those that are unknown, by what is missing:"
        lines = sorted(((kind, reason, times) for (kind, reason), times in unknown.items()), key=lambda x: (-x[2], x))
        yield table(("kind", "reason given", "rows:"), lines)


def _wrong(each: Judged) -> bool:
    return each.verdict == ("fits" if each.kind == "failing" else "does_not_fit")


def _verdict_row(each: Judged) -> Cells:
    r = each.row
    return r["id"], each.kind, r["model_id"], _gpus(r), each.verdict, each.answer["reason"], r["note"]


def _speed(found: Score) -> Iterator[str]:
    yield "## Speed"
    yield (
        "TPOT is the time per output token, TTFT the time to the first. Errors are absolute; the bias is the median of"
        "\npredicted over measured, less one."
    )
    silent = Counter(each.reason for each in found.silent if each.term == "tpot_ms")
    if silent:
        yield "Not answered:"
        yield table(("reason given", "rows:"), silent.most_common())
    for title, key in (("engine", "engine"), ("GPU", "gpu"), ("model", "model")):
        yield f"### By {title}"
        yield _speed_table(found, (title,), (key,))
    yield "### By engine, GPU and model"
    yield _speed_table(found, ("engine", "GPU", "model"), ("engine", "gpu", "model"))


SPEED_HEAD = (
    "rows:",
    "TPOT median:",
    "mean:",
    "within 25 %:",
    "bias:",
    "in range:",
    "TTFT median:",
    "bias:",
    "in range:",
)


def _speed_table(found: Score, titles: tuple[str, ...], keys: tuple[str, ...]) -> str:
    groups: dict[tuple[str, ...], dict[str, list[Compared]]] = {}
    for each in found.compared:
        if each.term in SPEED_TERMS:
            name = tuple(each.told[key] for key in keys)
            groups.setdefault(name, {"tpot_ms": [], "ttft_ms": []})[each.term].append(each)
    return table((*titles, *SPEED_HEAD), ((*name, *_speed_cells(groups[name])) for name in sorted(groups)))


def _speed_cells(group: Mapping[str, Sequence[Compared]]) -> Cells:
    tpot, ttft = group["tpot_ms"], group["ttft_ms"]
    got = errors(tpot)
    yield got["n"]
    if tpot:
        yield from (f"{got['median_pct']:.1f} %", f"{got['mean_pct']:.1f} %", f"{got['within_25_pct']:.0f} %")
        yield from (_bias(tpot), _inside(tpot))
    else:
        yield from [""] * 5
    yield from (f"{errors(ttft)['median_pct']:.1f} %", _bias(ttft), _inside(ttft)) if ttft else [""] * 3


def _bias(compared: Sequence[Compared]) -> str:
    return _signed(100 * statistics.median(each.error for each in compared))


def _inside(compared: Sequence[Compared]) -> str:
    got = coverage(compared)
    return f"{got['inside_pct']:.0f} %" if got["n"] else ""


def _left_out(found: Score) -> Iterator[str]:
    yield "## Left out"
    yield "### Speed constants"
    yield (
        "The constants of the speed model (modelberth/catalog/speed.yaml) were fitted to the speed rows. Here every row"
        "\nis predicted with constants and ranges that were fitted without its model, its GPU or its engine"
        "\n(benchmarks/accuracy/leave_out.py). Constants of an engine left out keep their starting values."
    )
    head = ("left out", "which", *SPEED_HEAD)
    yield table(head, held_out())
    yield "### Memory terms"
    yield (
        "No memory constant is fitted by a program; formulas come from the engine's source, allowances from its logs."
        "\nThe test: multiply a term by the one factor that suits the rows of all *other* sources best (the median of"
        "\nmeasured over predicted). Where the formula stands by itself it is near 1 and the error does not fall."
    )
    head = ("term", "source left out", "rows:", "factor from the others:", "error as it is:", "with that factor:")
    yield table(head, factors(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
