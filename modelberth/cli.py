"""The command ``modelberth``: the pure half on the command line. Exit codes: 0 good, 1 refused, 2 bad usage."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from modelberth import report, stackfiles
from modelberth.cli_catalog import catalog_commands, models_command
from modelberth.cli_collect import collect_command
from modelberth.cli_explain import explain_command
from modelberth.cli_fit import fit_command
from modelberth.cli_laptop import laptop_command
from modelberth.cli_preflight import preflight_command
from modelberth.cli_promote import promote_command
from modelberth.cli_recover import recover_commands
from modelberth.clouds.targets import maintained
from modelberth.errors import ModelberthError
from modelberth.estimate import answers
from modelberth.findings import Refused
from modelberth.lock import Settled, changes, settle
from modelberth.upgrade import consequences

WITHOUT_RULES = frozenset({"estimate", "fit", "plan"})
"""Commands that need no rule of the policy pack: reading all rules takes longer than a plan."""

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
    unmaintained = maintained(stack.spec.target, datetime.now(tz=UTC).date())
    try:
        settled = settle(
            stack.spec, stack.locked, stack_name=stack.name, update=update, only=only or (), found=unmaintained
        )
    except Refused as refused:
        if as_json or update:
            raise
        typer.echo(f"error: {refused}", err=True)
        _say_what_an_update_changes(stack, refused)
        raise typer.Exit(1) from None
    if update:
        if stack.lock_path is None:
            raise ModelberthError("a bare spec has no plan lock; --update needs a stack file")
        _say_changes(stack, settled)
        stackfiles.write_lock(stack.lock_path, settled.lock)
        typer.echo(f"written: {stack.lock_path}")
        return
    if as_json:
        typer.echo(json.dumps(report.as_json(settled), indent=1))
    else:
        typer.echo(report.as_markdown(settled) if markdown else report.as_text(settled))


def _say_changes(stack: stackfiles.StackFile, settled: Settled, *, err: bool = False) -> None:
    for change in changes(stack.locked, settled.lock):
        typer.echo(("replaces machines: " if change.replaces_machines else "") + str(change), err=err)
    for change in settled.pool_changes:
        typer.echo(str(change), err=err)
    for line in consequences(stack.spec, stack.locked, settled.plans):
        typer.echo(f"  {line}", err=err)


def _say_what_an_update_changes(stack: stackfiles.StackFile, refused: Refused) -> None:
    """For a lock that the spec has outgrown: what follows from the update that is asked for, before it is made."""
    outgrown = [finding.path for finding in refused.findings if finding.code == "outgrown"]
    only = [path.removeprefix("services.") for path in outgrown if path.startswith("services.")]
    if not only:
        return
    try:
        settled = settle(stack.spec, stack.locked, stack_name=stack.name, update=True, only=only)
    except Refused:
        return
    typer.echo(f"modelberth plan --update {stack.name} would change, and has not:", err=True)
    _say_changes(stack, settled, err=True)


app.command("fit")(fit_command)


@app.command()
def estimate(
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Rows and answers as JSON lines.")] = False,
) -> None:
    """What an engine would print when it starts, for every row of the standard input."""
    for answer in answers(sys.stdin.buffer):
        print(json.dumps(answer))


app.command("explain")(explain_command)
app.command("preflight")(preflight_command)
app.command("promote")(promote_command)
app.command("collect")(collect_command)
app.command("laptop")(laptop_command)


app.command("models")(models_command)
app.add_typer(catalog_commands, name="catalog")
app.add_typer(recover_commands, name="recover")


@cache
def _add_check() -> None:
    from modelberth.cli_check import check_command

    app.command("check")(check_command)


def main() -> None:
    """Entry point: errors on purpose are printed plainly, without a trace."""
    if not WITHOUT_RULES & set(sys.argv[1:2]):
        _add_check()
    try:
        app(prog_name="modelberth")
    except ModelberthError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
