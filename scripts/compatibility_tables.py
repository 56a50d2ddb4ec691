"""The tables of docs/compatibility.md: the seed guide's cells beside what the catalog knows, with reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from modelberth import compatibility
from modelberth.catalog import Engine, Gpu, catalog
from modelberth.compatibility import GGUF, Kind, Rule, Subject
from modelberth.memory import gguf_bytes, safetensors_bytes, shape_of
from modelberth.memory.weights import bytes_per_parameter
from modelberth.names import Quantization
from modelberth.selection import Goal, quantization_for
from modelberth.units import gib

GUIDE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "docs" / "guide.yaml").read_text(encoding="utf-8"))
ENGINES = ("vllm", "sglang", "tgi", "tensorrt_llm", "llamacpp", "ollama")
GPUS = ("nvidia-t4", "nvidia-a100-80gb", "nvidia-a10g", "nvidia-l4", "nvidia-h100-80gb", "nvidia-b200")
MORE_GPUS = (*GPUS, "nvidia-rtx-5090", "amd-mi300x", "apple-m3-max-48gb", None)
FORMATS = {
    "bf16": "bf16",
    "fp16": "fp16",
    "fp8": "FP8",
    "int8": "INT8",
    "awq": "AWQ",
    "gptq": "GPTQ",
    "nvfp4": "NVFP4",
    "mxfp4": "MXFP4",
    "nf4": "bitsandbytes NF4",
    "q4_k_m": "GGUF",
}
KV_CACHES = ("fp8", "int8", "q8_0", "q4_0")
REFERENCE = "meta-llama/Llama-3.1-70B-Instruct"
FRONTIER = "meta-llama/Llama-3.1-405B-Instruct"
RUNS = (Kind.YES, Kind.WEIGHT_ONLY)
ROUNDING = 2.5
"""Percentage points of savings that "~75%" may be off."""


class Table:
    """Rows of a Markdown table, and the numbered reasons that its cells refer to."""

    def __init__(self, *heads: str) -> None:
        self._rows = [heads, tuple("---" for _ in heads)]
        self._reasons: list[str] = []

    def row(self, *cells: str) -> None:
        """One more row."""
        self._rows.append(cells)

    def marked(self, cell: str, reason: str) -> str:
        """The cell with the number of its reason."""
        if reason not in self._reasons:
            self._reasons.append(reason)
        return f"{cell} [{self._reasons.index(reason) + 1}]"

    def __str__(self) -> str:
        lines = [f"| {' | '.join(cells)} |" for cells in self._rows]
        lines[1] = lines[1].replace(" ", "")
        notes = [f"{number}. {reason}." for number, reason in enumerate(self._reasons, 1)]
        return "\n".join([*lines, "", *notes] if notes else lines)


def loads(engine: str) -> str:
    """The formats that an engine loads in its stock image, then those that need a plugin."""
    kinds = {name: _kinds(engine, name) for name in FORMATS if name not in ("bf16", "fp16")}
    runs = [FORMATS[name] for name, found in kinds.items() if found & set(RUNS)]
    plugins = [FORMATS[name] for name, found in kinds.items() if not found & set(RUNS) and Kind.PLUGIN in found]
    return ", ".join([*runs, *(f"{name} by a plugin" for name in plugins)])


def _kinds(engine: str, quantization: str) -> set[Kind]:
    """What the engine answers for a format on the machines of this page."""
    return {_answer(engine, quantization, gpu).kind for gpu in MORE_GPUS}


def quantization() -> str:
    """The guide's comparison of methods."""
    heads = ("method", "bits per weight, linear layers", "bits per weight, whole model", "saved of 16 bit")
    table = Table(*heads, "quality, guide", "speed, guide", "computed natively", "calibration, guide", "runs in")
    shape = shape_of(catalog().model(REFERENCE))
    plain = safetensors_bytes(shape, "bf16")
    for name, words in GUIDE["methods"].items():
        gguf = Quantization(name).is_gguf
        stored = gguf_bytes(shape, name) if gguf else safetensors_bytes(shape, name)
        saved = 100 * (1 - stored / plain)
        guide = float(words["savings"].strip("~%"))
        savings = f"{saved:.0f}%"
        if abs(saved - guide) > ROUNDING:
            why = "mixed types of the file" if gguf else "scales, and embeddings and an output layer that stay 16 bit"
            reason = f"{words['label']}: {words['savings']} counts the bits in the name; {why} take the rest"
            savings = table.marked(f"{savings}; guide: {words['savings']}", reason)
        linear = "mixed" if gguf else f"{8 * bytes_per_parameter(name):.2f}"
        whole = f"{8 * stored / shape.parameters:.2f}"
        table.row(
            words["label"],
            f"{linear} (guide: {words['bits']})",
            whole,
            savings,
            words["quality"],
            _speed(table, name, words),
            _natively(name),
            words["calibration"],
            _ecosystem(table, name, words),
        )
    return str(table)


def _speed(table: Table, name: str, words: dict[str, Any]) -> str:
    """The guide's word, marked when the default engine only stores the format on some GPU of the page."""
    stored = [gpu for gpu in GPUS if _answer("vllm", name, gpu).native_from]
    if not stored:
        return words["speed"]
    on = ", ".join(_short(gpu) for gpu in stored)
    given = _answer("vllm", name, stored[0])
    reason = f"{words['label']} in vLLM is weight-only on {on}: {given.reason}; it saves memory only"
    return table.marked(f"{words['speed']} from {given.native_from}", reason)


def _natively(name: str) -> str:
    found = {each: compatibility.computes_natively(each, _version(each), name) for each in ENGINES}
    if Quantization(name).is_gguf:
        return ", ".join(_engine(each).name for each, low in found.items() if low)
    return (
        ", ".join(f"{_engine(each).name} from {low}" for each, low in found.items() if low) or "never: 16 bit by design"
    )


def _ecosystem(table: Table, name: str, words: dict[str, Any]) -> str:
    cells: list[str] = []
    for engine in ENGINES:
        kinds, label = _kinds(engine, name), _engine(engine).name
        if kinds & set(RUNS):
            cells.append(label)
        elif Kind.PLUGIN in kinds:
            cells.append(f"{label} (plugin)")
        elif engine in words["ecosystem"]:
            given = _answer(engine, name, "nvidia-h100-80gb")
            cells.append(table.marked(f"~~{label}~~", f"{words['label']} does not run in {label}: {given.reason}"))
    return ", ".join(cells)


def use_cases() -> str:
    """The formats of the guide's use cases on the GPUs that it names for them."""
    table = Table("use case", "guide's GPUs", "guide's quantization", "what runs")
    for case in GUIDE["use_cases"]:
        found = [_runs(table, gpu, name) for gpu in case["gpus"] for name in case["formats"]]
        table.row(case["use_case"], " or ".join(case["gpus"].values()), case["quantization"], "; ".join(found))
    return f"{table}\n\n{_frontier()}"


def _runs(table: Table, gpu: str, name: str) -> str:
    engine = "llamacpp" if Quantization(name).is_gguf else "vllm"
    given, said = _answer(engine, name, gpu), f"{FORMATS.get(name, name)} on {_short(gpu)}"
    if given.kind is Kind.YES:
        return f"{said}: yes ({_engine(engine).name})"
    if given.native_from:
        reason = f"{said} is weight-only in {_engine(engine).name}: {given.reason}; it saves memory only"
        return table.marked(f"{said}: **{given.kind}**", reason)
    return f"{said}: {given.kind}, by design ({_engine(engine).name})"


def _frontier() -> str:
    """Whether 405 billion parameters need more than one node of eight 80 GB GPUs."""
    gpu, model = catalog().gpu("nvidia-h100-80gb"), catalog().model(FRONTIER)
    visible = 8 * gpu.visible_memory_bytes
    lines = [f'The guide sends "405B+ models" to several nodes. One node of 8 x {gpu.name} shows {gib(visible)}:', ""]
    for name in ("fp8", "bf16"):
        weights = safetensors_bytes(shape_of(model), name)
        left = visible - weights
        rest = (
            f"fit, with {gib(left)} left for everything else" if left > 0 else f"do not fit, {gib(-left)} are missing"
        )
        lines.append(f"- {model.id} in {FORMATS[name]}: {gib(weights)} of weights {rest}.")
    return "\n".join(lines)


def selection() -> str:
    """The guide's rule for choosing a format, where it holds and what takes its place."""
    table = Table("rule of the guide", "engine", *(_short(gpu) for gpu in GPUS))
    for goal in Goal:
        for engine in ("vllm", "tensorrt_llm", "llamacpp"):
            cells = (_chosen(table, goal, engine, gpu) for gpu in GPUS)
            table.row(GUIDE["selection"][goal.value], _engine(engine).name, *cells)
    return str(table)


def _chosen(table: Table, goal: Goal, engine: str, gpu: str) -> str:
    made = quantization_for(goal, catalog().gpu(gpu), engine)
    if made.quantization is None:
        return table.marked("none", f"{_engine(engine).name}: {made.reasons[0].partition(': ')[2]}")
    if len(made.reasons) == 1:
        return made.quantization
    return table.marked(made.quantization, f"{_engine(engine).name}, {made.reasons[0]}")


def matrix(engine: str) -> str:
    """Every format of one engine on the GPUs of the page, and every row behind it that is not a plain yes."""
    table = Table("", *(_heading(gpu) for gpu in MORE_GPUS))
    for name, label in FORMATS.items():
        table.row(label, *(_symbol(_answer(engine, name, gpu).kind) for gpu in MORE_GPUS))
    for name in KV_CACHES:
        cells = (_kv_answer(engine, name, gpu) for gpu in MORE_GPUS)
        table.row(f"KV cache {name}", *cells)
    behind = Table("what", "where", "answer", "why", "source")
    for rule in compatibility.rules(engine):
        if rule.kind is not Kind.YES and rule.covers_version(_version(engine)):
            behind.row(_what(rule), _where(rule), rule.kind.value, rule.reason, rule.source)
    return f"{table}\n\n{behind}"


def _kv_answer(engine: str, name: str, gpu: str | None) -> str:
    known = compatibility.answers(engine, _version(engine), "fp16", _gpu(gpu), name)
    about = next((each for each in known if each.subject is Subject.KV_CACHE_DTYPE), known[0])
    return _symbol(about.kind)


def _what(rule: Rule) -> str:
    if rule.subject is Subject.ACCELERATOR:
        return "starts"
    named = ", ".join("GGUF" if name == GGUF else name for name in rule.quantizations or rule.kv_cache_dtypes)
    said = named if rule.quantizations else f"KV cache {named}"
    return f"{said} of {', '.join(rule.architectures)}" if rule.architectures else said


def _where(rule: Rule) -> str:
    low, high = rule.compute_capability_from, rule.compute_capability_below
    if low and high:
        return f"{low} to below {high}"
    if low or high:
        return f"from {low}" if low else f"below {high}"
    return ", ".join(rule.hardware) or "everywhere"


def drivers() -> str:
    """Engine images against node images."""
    nodes = compatibility.node_images()
    table = Table("engine image", "CUDA", "driver", *(f"{row.image} ({row.driver or 'not stated'})" for row in nodes))
    for row in compatibility.image_cudas():
        version = _version(row.engine)
        found = (compatibility.driver(row.engine, version, node.driver).kind for node in nodes)
        cells = (_symbol(kind) for kind in found)
        name = f"{_engine(row.engine).name} {version}"
        image = table.marked(name, row.note) if row.note else name
        table.row(image, row.cuda, f"from {row.minimum_driver}", *cells)
    notes = [f"- {row.image}: {row.note}." for row in nodes if row.note]
    return "\n".join([str(table), "", *notes])


def _answer(engine: str, quantization: str, gpu: str | None) -> compatibility.Answer:
    return compatibility.answer(engine, _version(engine), quantization, _gpu(gpu))


def _gpu(name: str | None) -> Gpu | None:
    return catalog().gpu(name) if name else None


def _engine(name: str) -> Engine:
    return catalog().engine(name)


def _version(name: str) -> str:
    return _engine(name).default_version


def _short(name: str | None) -> str:
    gpu = _gpu(name)
    return gpu.name.removeprefix("NVIDIA ").removeprefix("AMD Instinct ") if gpu else "CPU"


def _heading(name: str | None) -> str:
    gpu = _gpu(name)
    return f"{_short(name)} ({gpu.compute_capability})" if gpu and gpu.compute_capability else _short(name)


def _symbol(kind: Kind) -> str:
    return "?" if kind is Kind.UNKNOWN else kind.value


def _matrices() -> Iterator[tuple[str, Callable[[], str]]]:
    for engine in ENGINES:
        yield f"matrix {engine}", lambda engine=engine: matrix(engine)


TABLES: dict[str, Callable[[], str]] = {
    "quantization": quantization,
    "use-cases": use_cases,
    "selection": selection,
    "drivers": drivers,
    **dict(_matrices()),
}
"""What stands between ``<!-- table: NAME -->`` and ``<!-- end -->``."""
