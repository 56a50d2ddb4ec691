"""The command ``modelberth explain``: a model on a GPU, a row of ``estimate``, or a service of a stack, taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from modelberth import stackfiles
from modelberth.catalog import catalog
from modelberth.catalog.headers import gguf_header, index_bytes, safetensors_tensors
from modelberth.engines.choice import DEFAULT
from modelberth.errors import ModelberthError, UnknownName, suggest
from modelberth.estimate import outcome
from modelberth.explain import Explanation, Figure, Line, explain, explain_plan
from modelberth.lock import settle
from modelberth.rows import row_of
from modelberth.units import GIB, MIB

SCHEMA_VERSION = 1


def explain_command(
    target: Annotated[str | None, typer.Argument(help="A model id; with --service a stack file or stack.")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine id; default: vllm.")] = None,
    engine_version: Annotated[str | None, typer.Option(help="Default: the catalog's.")] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU id.")] = None,
    gpu_memory_gib: Annotated[float | None, typer.Option(help="What the card shows, instead of the catalog's.")] = None,
    tensor_parallel: Annotated[int | None, typer.Option("--tensor-parallel", "--tp")] = None,
    pipeline_parallel: Annotated[int | None, typer.Option("--pipeline-parallel", "--pp")] = None,
    data_parallel: Annotated[int | None, typer.Option("--data-parallel", "--dp")] = None,
    expert_parallel: Annotated[int | None, typer.Option("--expert-parallel", "--ep")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens one request may hold; default: the model's.")] = None,
    quantization: Annotated[str | None, typer.Option(help="Format of the weights; default: as stored.")] = None,
    kv_cache_dtype: Annotated[str | None, typer.Option(help="Type of the KV cache.")] = None,
    gpu_memory_utilization: Annotated[float | None, typer.Option(help="The engine's memory fraction.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Requests at once (slots).")] = None,
    max_num_batched_tokens: Annotated[int | None, typer.Option(help="Tokens of one step.")] = None,
    lora_slots: Annotated[int | None, typer.Option(help="Adapters held at once.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Rank of the adapters.")] = None,
    draft_model: Annotated[str | None, typer.Option(help="Draft model for speculative decoding.")] = None,
    kv_offload_gib: Annotated[float | None, typer.Option(help="KV cache kept on the host.")] = None,
    batch: Annotated[int | None, typer.Option(help="For speed: requests that decode at once.")] = None,
    input_tokens: Annotated[int | None, typer.Option(help="For speed: tokens of a prompt.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="For speed: tokens of an answer.")] = None,
    config: Annotated[Path | None, typer.Option(help="A config.json instead of a model of the catalog.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Its model.safetensors.index.json, or a *.safetensors or *.gguf file.")
    ] = None,
    row: Annotated[str | None, typer.Option(help="A row of estimate as JSON, instead of all of these.")] = None,
    service: Annotated[str | None, typer.Option(help="The service of a stack.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="This figure only; may be repeated.")] = None,
    as_json_too: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take every figure of an estimate apart: terms, arithmetic, constants, sources, versions and ranges."""
    fields: dict[str, Any] = {
        "engine": engine,
        "engine_version": engine_version,
        "gpu": gpu,
        "gpu_memory_gib": gpu_memory_gib,
        "tensor_parallel": tensor_parallel,
        "pipeline_parallel": pipeline_parallel,
        "data_parallel": data_parallel,
        "expert_parallel": expert_parallel,
        "context": context,
        "quantization": quantization,
        "kv_cache_dtype": kv_cache_dtype,
        "gpu_memory_utilization": gpu_memory_utilization,
        "max_num_seqs": max_num_seqs,
        "max_num_batched_tokens": max_num_batched_tokens,
        "lora_slots": lora_slots,
        "lora_rank": lora_rank,
        "draft_model": draft_model,
        "kv_offload_gib": kv_offload_gib,
        "batch": batch,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
    stated = {name: value for name, value in fields.items() if value is not None}
    if weights is not None:
        stated["checkpoint_bytes"] = weights_bytes(weights)
    if service is not None:
        _only("--service", stated, config=config, row=row)
        found = _of_service(target, service)
    else:
        found = explain(outcome(row_of(_row(target, config, row, stated))))
    found = _chosen(found, only or ())
    typer.echo(json.dumps(as_json(found), indent=1) if as_json_too else as_text(found))
    if found.answer["verdict"] != "fits":
        raise typer.Exit(1)


def _chosen(found: Explanation, only: Sequence[str]) -> Explanation:
    known = [figure.name for figure in found.figures]
    for name in only:
        if name not in known:
            raise UnknownName("figure", name, suggest(name, known))
    return replace(found, figures=tuple(each for each in found.figures if not only or each.name in only))


def _row(target: str | None, config: Path | None, row: str | None, stated: dict[str, Any]) -> dict[str, Any]:
    if row is not None:
        _only("--row", stated, target=target)
        content = _object(row, "--row")
    else:
        defaults = {each.id: each.default_version for each in catalog().engines()}
        engine = stated.get("engine", DEFAULT)
        content = {"engine": engine, "engine_version": defaults.get(engine), "model": target} | stated
    return content | ({"config": _object(_text(config), config.name)} if config else {})


def _of_service(target: str | None, service: str) -> Explanation:
    if target is None:
        raise ModelberthError("--service: state the stack file, or the name of the stack, too")
    stack = stackfiles.read(stackfiles.find(target, Path.cwd()))
    if service not in stack.spec.services:
        raise UnknownName("service", service, suggest(service, stack.spec.services))
    plans = {plan.service: plan for plan in settle(stack.spec, stack.locked, stack_name=stack.name).plans}
    return explain_plan(plans[service])


def _only(flag: str, stated: dict[str, Any], **others: object) -> None:
    """Refuse what would silently not count."""
    extra = [*stated, *(name for name, value in others.items() if value is not None)]
    if extra:
        names = ", ".join("MODEL" if name == "target" else f"--{name.replace('_', '-')}" for name in extra)
        raise ModelberthError(f"{names}: not beside {flag}, which says all of it")


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelberthError(f"{name}: not JSON") from None
    if not isinstance(content, dict):
        raise ModelberthError(f"{name}: not a JSON object")
    return cast(dict[str, Any], content)


HEADER_BYTES = 64 * MIB
"""Of a weights file, what is read: headers of the largest published files take a quarter of it."""


def weights_bytes(path: Path) -> int:
    """Stored bytes that an index or a header states. Raises :class:`ModelberthError`."""
    if path.suffix == ".json":
        return index_bytes(_object(_text(path), path.name))
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except OSError as error:
        raise ModelberthError(f"{path}: {error.strerror}") from None
    if path.suffix == ".gguf":
        return gguf_header(head).bytes
    return sum(tensor.bytes for tensor in safetensors_tensors(head).values())


MOST_TEXT_BYTES = 16 * MIB


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_TEXT_BYTES + 1)
        if len(content) > MOST_TEXT_BYTES:
            raise ModelberthError(f"{path}: more than {MOST_TEXT_BYTES // MIB} MiB, which no config.json has")
        return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ModelberthError(f"{path}: {reason}") from None


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Everything, unrounded; the answer as ``estimate`` gives it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "title": explanation.title,
        "answer": explanation.answer,
        "figures": [_figure_json(figure) for figure in explanation.figures],
        "notes": list(explanation.notes),
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "amount": figure.amount,
        "unit": figure.unit,
        "range": [figure.low, figure.high],
        "adds_up": figure.adds_up,
        "lines": [
            {
                "term": line.term,
                "amount": line.amount,
                "unit": line.unit,
                "range": list(line.range),
                "formula": line.formula,
                "constants": dict(line.constants),
                "source": line.source,
                "since": line.since or None,
            }
            for line in figure.lines
        ],
    }


def as_text(explanation: Explanation) -> str:
    """The verdict, a table per figure, and the numbered sources that the tables refer to."""
    answer, sources = explanation.answer, dict[str, int]()
    verdict = f"{answer['verdict'].replace('_', ' ')}: {answer['reason']}"
    blocks = ["\n".join([explanation.title, verdict, *explanation.notes])]
    blocks += ["\n".join(_table(figure, sources)) for figure in explanation.figures]
    blocks.append("\n".join(["sources", *(f"  [{number}] {source}" for source, number in sources.items())]))
    return "\n\n".join(blocks)


def _table(figure: Figure, sources: dict[str, int]) -> Iterator[str]:
    yield f"{figure.name}: {_said(figure.amount, figure.unit)}{_between(figure.low, figure.high, figure.unit)}"
    rows = [_cells(line, sources) for line in figure.lines]
    first, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for term, amount, rest in rows:
        yield f"  {term.ljust(first)}  {amount.rjust(second)}  {rest}"


def _cells(line: Line, sources: dict[str, int]) -> tuple[str, str, str]:
    source = f"{line.source}; holds from {line.since}" if line.since else line.source
    number = sources.setdefault(source, len(sources) + 1)
    factors = [f"{name} {value:.6g}" for name, value in line.constants if line.unit == "ms"]
    constants_used = f"; constants: {', '.join(factors)}" if factors else ""
    between = _between(*line.range, line.unit)
    return line.term, _said(line.amount, line.unit), f"{line.formula}{constants_used}{between} [{number}]"


def _between(low: float, high: float, unit: str) -> str:
    first, last = _said(low, unit), _said(high, unit)
    if first == last:
        return ""
    same = first.rpartition(" ")[2] == last.rpartition(" ")[2]
    return f" ({first.rpartition(' ')[0] if same else first} to {last})"


def _said(amount: float, unit: str) -> str:
    if unit == "bytes" and abs(amount) >= MIB:
        return f"{amount / GIB:,.4f} GiB"
    if unit in ("bytes", "tokens", "blocks", "B"):
        return f"{amount:,.0f} {'B' if unit == 'bytes' else unit}"
    return f"{amount:,.{4 if unit == 'GiB' else 3}f} {unit}"
