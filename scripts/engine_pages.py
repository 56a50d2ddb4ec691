"""The tables of the pages in docs/engines: one engine's facts, container, probes, metrics, abilities and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from compatibility_tables import ENGINES, GUIDE, Table
from engine_tables import CASES, OURS, facts_of, known, plans, said

from modelberth import compatibility
from modelberth.catalog import catalog
from modelberth.engines import ENGINES as CODECS
from modelberth.engines import Accelerator, Launch, Probe, Sizing, lifecycle
from modelberth.findings import Level
from modelberth.names import Measure
from modelberth.plan import Plan


def facts(engine: str) -> str:
    """The data of an engine."""
    row, status = facts_of(engine), compatibility.feature(engine, "status")
    table = Table("what", "as in the catalog")
    table.row("Versions", f"{', '.join(row.versions)}; {row.default_version} unless pinned")
    for variant, image in row.images.items():
        table.row(f"Image, {variant}", f"`{image}`")
    if row.triton_image:
        carried = ", ".join(f"{release} carries {version}" for version, release in row.triton_releases.items())
        table.row("Image, packaging triton", f"`{row.triton_image}`, {carried}")
    table.row("Port", str(row.port))
    table.row("Licence", row.license)
    table.row("Upstream", f"{status.value}{f': {status.note}' if status.note else ''}" if status else "?")
    if row.successors:
        table.row("Successors", ", ".join(f"[{facts_of(each).name}]({each}.md)" for each in row.successors))
    if row.root_only:
        table.row("Needs root", f"{row.root_only}; a service names an image of its own: {row.own_image}")
    table.row("Weights", "GGUF files" if CODECS[engine].reads_gguf else "safetensors")
    table.row("Planned on", "GPUs only" if CODECS[engine].needs_gpu else "GPUs and CPU nodes")
    table.row("Source", row.source)
    return str(table)


def container(engine: str) -> str:
    """What is started for the golden cases."""
    return "\n\n".join(_container(case, plan) for case, plan in zip(CASES[engine], plans(engine), strict=True))


def _container(case: str, plan: Plan) -> str:
    decision, started = plan.decision, plan.launch
    head = f"[tests/golden/{case}](../../tests/golden/{case}/spec.yaml): {decision.model} on {decision.machine_type}"
    lines = [f"{head}.", "", "```", f"image    {started.image}"]
    if started.command:
        lines.append(f"command  {' '.join(started.command)}")
    lines += [f"args     {line}" if at == 0 else f"         {line}" for at, line in enumerate(_pairs(started.args))]
    lines += [f"env      {name}={value}" for name, value in started.env if "\n" not in value]
    lines += [f"env      {each.name} from Secret {each.ref.secret}, key {each.ref.key}" for each in started.secret_env]
    lines.append("```")
    for file in started.files:
        lines += ["", f"`{file.path}`, from a ConfigMap:", "", "```yaml", file.content.strip(), "```"]
    return "\n".join(lines)


def _pairs(args: tuple[str, ...]) -> Iterator[str]:
    """One flag with its value per line."""
    line: list[str] = []
    for word in args:
        if line and (word.startswith("--") or len(line) == 2 or not line[0].startswith("-")):
            yield " ".join(line)
            line = []
        line.append(word)
    if line:
        yield " ".join(line)


def life(engine: str) -> str:
    """Probes and leaving of the golden cases."""
    table = Table("probe", "asks", "every", "fails after")
    for plan in plans(engine):
        started = plan.launch
        kind = f" ({plan.spec.packaging})" if len(plans(engine)) > 1 else ""
        for name in ("startup", "readiness", "liveness"):
            probe: Probe = getattr(started.probes, name)
            table.row(f"{name}{kind}", _asks(probe, started), f"{probe.period_s} s", _patience(probe))
    return f"{table}\n\n{_leaving(engine)}"


def _asks(probe: Probe, started: Launch) -> str:
    return f"`GET :{started.port}{probe.path}`" if probe.path else "a command, below"


def _patience(probe: Probe) -> str:
    return f"{probe.failures} failures, each after at most {probe.timeout_s} s"


def _leaving(engine: str) -> str:
    table = Table("leaving", "sleep before the signal", "killed after", "requests finish")
    for plan in plans(engine):
        started = plan.launch
        outlasts = started.leave_s > lifecycle.LEAVE_ENDPOINTS_S
        kind = plan.spec.packaging.value if len(plans(engine)) > 1 else "pod"
        finish = "before the signal, within the sleep" if outlasts else "after the signal"
        table.row(kind, f"{started.leave_s} s", f"{started.grace_s} s", finish)
    probes = [each for plan in plans(engine) for each in (plan.launch.probes.startup, plan.launch.probes.readiness)]
    commands = dict.fromkeys(probe.command[-1] for probe in probes if probe.command)
    shown = [f"```sh\n{command}\n```" for command in commands]
    return "\n\n".join([str(table), *shown])


def metrics(engine: str) -> str:
    """What it tells about itself, by version."""
    rows = [row for row in catalog().metrics if row.engine == engine]
    if not rows:
        return "It has none."
    table = Table("signal", "metric", "versions")
    for measure in Measure:
        for row in rows:
            if row.measure == measure:
                own = ",".join(f'{label}="{value}"' for label, value in row.match.items())
                until = f", below {row.until}" if row.until else ""
                name = f"{row.name}{{{own}}}" if own else row.name
                table.row(str(measure), f"`{name}`", f"from {row.since}{until}")
    started = [plan.launch for plan in plans(engine)]
    paths = dict.fromkeys(f"`:{each.metrics_port or each.port}{each.metrics_path}`" for each in started)
    with_key = ", with the API key where one is set" if facts_of(engine).metrics_need_api_key else ""
    return f"{table}\n\nAsked at {', '.join(paths)}{with_key}."


def abilities(engine: str) -> str:
    """Every feature of an engine with source and version."""
    table = Table("feature", "answer", "checked on", "source")
    labels = {name: words["label"] for name, words in GUIDE["features"].items()} | OURS
    for feature, label in labels.items():
        if row := known(feature, engine):
            since = f", since {row.since}" if row.since and not row.note else ""
            table.row(label, f"{said(row)}{since}", row.checked, row.source)
    return str(table)


QUESTIONS: dict[str, dict[str, Any]] = {
    "a CPU node": {"gpu": None},
    "AMD Instinct MI300X": {"gpu": "amd-mi300x"},
    "NVIDIA T4": {"gpu": "nvidia-t4"},
    "a GGUF file": {"quantization": "q4_k_m"},
    "AWQ": {"quantization": "awq"},
    "FP8": {"quantization": "fp8"},
    "FP8 on A100": {"quantization": "fp8", "gpu": "nvidia-a100-80gb"},
    "bitsandbytes NF4": {"quantization": "nf4"},
    "an fp8 KV cache": {"kv_cache_dtype": "fp8"},
    "an fp8 KV cache on A100": {"kv_cache_dtype": "fp8", "gpu": "nvidia-a100-80gb"},
    "a q8_0 KV cache": {"kv_cache_dtype": "q8_0"},
    "two GPUs": {"tensor_parallel": 2},
    "three GPUs": {"tensor_parallel": 3},
    "two nodes": {"pipeline_parallel": 2},
    "a context of 1,000,000": {"context": 1_000_000},
}
"""What an engine is asked, beside Llama 3.1 8B in its usual format on one L4."""


def refuses(engine: str) -> str:
    """What the codec objects to."""
    table = Table("asked for", "refused because", "way out")
    told: set[str] = set()
    for words, fields in QUESTIONS.items():
        for finding in CODECS[engine].objections(_sizing(engine, **fields)):
            if finding.level is Level.ERROR and finding.message not in told:
                told.add(finding.message)
                table.row(words, finding.message, finding.remedy or "-")
    return str(table)


def _sizing(engine: str, gpu: str | None = "nvidia-l4", **fields: Any) -> Sizing:
    held = catalog().gpu(gpu) if gpu else None
    usual = "q4_k_m" if CODECS[engine].reads_gguf else "fp16" if gpu == "nvidia-t4" else "bf16"
    return Sizing(
        model=catalog().model("meta-llama/Llama-3.1-8B-Instruct"),
        engine_version=facts_of(engine).default_version,
        accelerator=Accelerator(held, held.visible_memory_bytes if held else 2**36),
        **{"quantization": usual, "context": 8192, "concurrency": 8, **fields},
    )


def _tables() -> Iterator[tuple[str, Callable[[], str]]]:
    for write in (facts, container, life, metrics, abilities, refuses):
        for engine in ENGINES:
            yield f"{write.__name__} {engine}", lambda write=write, engine=engine: write(engine)


TABLES: dict[str, Callable[[], str]] = dict(_tables())
"""What stands between ``<!-- table: NAME ENGINE -->`` and ``<!-- end -->``."""
