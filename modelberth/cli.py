"""The command ``modelberth``: the pure half on the command line. Exit codes: 0 good, 1 refused, 2 bad usage."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from modelberth import report, stackfiles
from modelberth.catalog import Quantization, catalog
from modelberth.cli_explain import explain_command
from modelberth.engines import ENGINES, Accelerator, Sizing
from modelberth.engines.choice import DEFAULT
from modelberth.errors import ModelberthError, UnknownName, suggest
from modelberth.estimate import answers
from modelberth.fit import Fit, Verdict, fit
from modelberth.lock import changes, settle
from modelberth.placement import TENSOR_PARALLEL_SIZES

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _root() -> None:
    """Right-sized infrastructure for language models."""


@app.command()
def plan(
    file: Annotated[str, typer.Argument(help="A stack file, the name of a stack, or a bare spec.")],
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Plan anew, print what changes, write the plan lock.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--service", help="With --update: this service only; may be repeated.")
    ] = None,
) -> None:
    """Plan every service: what is needed, what is chosen, what it costs, and why."""
    stack = stackfiles.read(stackfiles.find(file, Path.cwd()))
    settled = settle(stack.spec, stack.locked, stack_name=stack.name, update=update, only=only or ())
    if update:
        if stack.lock_path is None:
            raise ModelberthError("a bare spec has no plan lock; --update needs a stack file")
        for change in changes(stack.locked, settled.lock):
            typer.echo(("replaces machines: " if change.replaces_machines else "") + str(change))
        stackfiles.write_lock(stack.lock_path, settled.lock)
        typer.echo(f"written: {stack.lock_path}")
        return
    if as_json:
        typer.echo(json.dumps(report.as_json(settled), indent=1))
    else:
        typer.echo(report.as_markdown(settled) if markdown else report.as_text(settled))


@app.command("fit")
def fit_command(
    model: Annotated[str, typer.Argument(help="Model id.")],
    gpu: Annotated[str, typer.Option("--gpu", help="GPU id.")],
    tensor_parallel: Annotated[
        int | None,
        typer.Option("--tensor-parallel", "--tp", min=1, help="GPUs per replica; default: the fewest that fit."),
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens one request may hold; default: the model's maximum.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests held at once.")] = 1,
    quantization: Annotated[str | None, typer.Option(help="Format of the weights; default: as stored.")] = None,
    as_json: Json = False,
) -> None:
    """Does a model fit a GPU with vLLM: with how much context, how many requests, and what is left."""
    row, card = catalog().model(model), catalog().gpu(gpu)
    wanted = context or row.max_position
    if wanted is None:
        raise ModelberthError(f"the catalog states no maximum context of {row.id}; state one with --context")
    if quantization is not None and quantization not in list(Quantization):
        raise UnknownName("quantization", quantization, suggest(quantization, [kind.value for kind in Quantization]))
    sizing = Sizing(
        model=row,
        engine_version=catalog().engine(DEFAULT).default_version,
        quantization=quantization or (row.quantization.value if row.quantization else "bf16"),
        accelerator=Accelerator(card, card.visible_memory_bytes),
        context=wanted,
        concurrency=concurrency,
    )
    sizes = (tensor_parallel,) if tensor_parallel else TENSOR_PARALLEL_SIZES
    answers: list[tuple[int, Fit]] = []
    for size in sizes:
        answers.append((size, fit(ENGINES[DEFAULT], replace(sizing, tensor_parallel=size))))
        if answers[-1][1].verdict is not Verdict.DOES_NOT_FIT:
            break
    size, answer = answers[-1]
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "tensor_parallel": size, **report.fit_json(answer)}, indent=1))
    else:
        for tried, outcome in answers:
            typer.echo(f"{tried} x {card.name}: {outcome.verdict}, {outcome.why}")
        typer.echo("\n".join(report.table(("memory of one GPU", "GiB", "arithmetic"), report.memory_rows(answer))))
    if answer.verdict is not Verdict.FITS:
        raise typer.Exit(1)


@app.command()
def estimate(
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Rows and answers as JSON lines.")] = False,
) -> None:
    """What an engine would print when it starts, for every row of the standard input."""
    for answer in answers(sys.stdin.buffer):
        print(json.dumps(answer))


app.command("explain")(explain_command)


@app.command()
def models(search: Annotated[str, typer.Argument(help="Part of an id.")] = "") -> None:
    """List the models of the catalog."""
    for row in catalog().models():
        if search.lower() in row.id.lower():
            typer.echo(row.id)


def main() -> None:
    """Entry point: errors on purpose are printed plainly, without a trace."""
    try:
        app()
    except ModelberthError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
