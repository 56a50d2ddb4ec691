"""The command ``modelberth promote``: what one stack serves, planned for the next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelberth import stackfiles
from modelberth.promote import Kept, Promotion, Side, promotion
from modelberth.upgrade import consequences


def promote_command(
    source: Annotated[str, typer.Argument(help="The stack whose locked plans are promoted.")],
    target: Annotated[str, typer.Argument(help="The stack that they are promoted to.")],
    services: Annotated[str, typer.Option(help="Names, separated by commas; default: all that both have.")] = "",
    keep: Annotated[list[Kept] | None, typer.Option(help="What stays as it is in the target; may be repeated.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the target's stack file and plan lock.")] = False,
) -> None:
    """What would change in a stack if it served what another does; its machines and its load stay its own."""
    comes, here = (stackfiles.read(stackfiles.find(each, Path.cwd())) for each in (source, target))
    named = tuple(filter(None, (each.strip() for each in services.split(","))))
    sides = [Side(each.name, each.spec, each.locked) for each in (comes, here)]
    found = promotion(*sides, only=named, kept=keep or ())
    _say(found, here)
    if not (found.edits or found.changes):
        typer.echo(f"{here.name} serves already what {comes.name} does")
    elif write:
        for path in stackfiles.write_promoted(here, found):
            typer.echo(f"written: {path}")
    else:
        typer.echo("nothing is written; --write does")


def _say(found: Promotion, here: stackfiles.StackFile) -> None:
    if found.edits:
        typer.echo(f"{here.path.name} states something else:")
        for edit in found.edits:
            typer.echo(f"  {edit}")
    if found.changes:
        typer.echo(f"the plan lock of {here.name} changes:")
        for change in found.changes:
            typer.echo(("  replaces machines: " if change.replaces_machines else "  ") + str(change))
        for line in consequences(here.spec, here.locked, found.settled.plans):
            typer.echo(f"    {line}")
    for name in found.absent:
        typer.echo(f"not in {here.name}: {name}")
