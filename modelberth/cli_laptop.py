"""The command ``modelberth laptop``: a service of a stack on one's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelberth import laptop, stackfiles
from modelberth.errors import ModelberthError, UnknownName, suggest
from modelberth.lock import settle


def laptop_command(
    file: Annotated[str, typer.Argument(help="A stack file, the name of a stack, or a bare spec.")],
    service: Annotated[str | None, typer.Option(help="The service; default: the only one.")] = None,
    compose: Annotated[bool, typer.Option("--compose", help="Print a Compose file instead of commands.")] = False,
) -> None:
    """Print how to run a service on this machine, for an installed Ollama or llama.cpp, or by Docker Compose."""
    stack = stackfiles.read(stackfiles.find(file, Path.cwd()))
    names = list(stack.spec.services)
    if service is None and len(names) > 1:
        raise ModelberthError(f"--service: state which one: {', '.join(sorted(names))}")
    wanted = service or names[0]
    if wanted not in names:
        raise UnknownName("service", wanted, suggest(wanted, names) or names)
    plans = {plan.service: plan for plan in settle(stack.spec, stack.locked, stack_name=stack.name).plans}
    text = laptop.compose(plans[wanted]) if compose else laptop.commands(plans[wanted], stack.spec)
    typer.echo(text, nl=False)
