"""The commands ``modelberth recover``: what an update that was cut off has left, from files that a person makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from modelberth import recovery
from modelberth.errors import ModelberthError
from modelberth.interrupted import Left, left

recover_commands = typer.Typer(no_args_is_help=True)

State = Annotated[Path, typer.Option(help="What `pulumi stack export` prints, before any refresh.")]
Preview = Annotated[Path, typer.Option(help="What `pulumi preview --json` prints, before any refresh.")]
Lists = Annotated[Path, typer.Option(help="The folder with what the commands list.")]


@recover_commands.callback()
def _root() -> None:
    """Take over what an update that was cut off has made and nobody recorded (docs/recovery.md)."""


@recover_commands.command("questions")
def questions_command(state: State, preview: Preview, lists: Lists) -> None:
    """Print the commands, for a shell, that list what exists of what may have been made."""
    for number, command in enumerate(recovery.questions(_left(state, preview))):
        typer.echo(f"{command} > {lists / f'{number}.json'}")


@recover_commands.command("match")
def match_command(
    state: State,
    preview: Preview,
    lists: Lists,
    to: Annotated[Path, typer.Option(help="The file to write, for `pulumi import --file`.")],
) -> None:
    """Write what can be taken over; print what to delete and what to look at. Exit code 1 when something is open."""
    what = _left(state, preview)
    answers = {
        command: listed
        for number, command in enumerate(recovery.questions(what))
        if (listed := _listed(lists / f"{number}.json")) is not None
    }
    found = recovery.recovery(what, answers)
    to.write_text(recovery.import_file(found.takeovers), encoding="utf-8")
    for line in recovery.told(found):
        typer.echo(line)
    if found.deletions or found.stopping:
        raise typer.Exit(1)


def _left(state: Path, preview: Path) -> Left:
    return left(_text(state), _text(preview))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelberthError(f"{path}: cannot be read: {error}") from None


def _listed(path: Path) -> list[Mapping[str, Any]] | None:
    """A listing; None where the command printed nothing, which it does when it fails."""
    if not path.is_file() or not (text := _text(path)).strip():
        return None
    try:
        return recovery.listed(text)
    except ValueError:
        raise ModelberthError(f"{path}: not the JSON that the command prints") from None
