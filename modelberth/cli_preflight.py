"""The command ``modelberth preflight``: what an existing cluster lacks for a stack, before anything is created."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelberth import cluster, stackfiles
from modelberth.findings import errors
from modelberth.lock import settle
from modelberth.preflight import judge, questions


def preflight_command(
    file: Annotated[str, typer.Argument(help="A stack file, the name of a stack, or a bare spec.")],
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: the target's, then the usual places.")] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig; default: the target's.")] = None,
) -> None:
    """Ask a cluster what it lacks for a stack: APIs, GPUs, storage, Secrets, access. Nothing is created."""
    stack = stackfiles.read(stackfiles.find(file, Path.cwd()))
    plans = settle(stack.spec, stack.locked, stack_name=stack.name).plans
    target = stack.spec.target
    if kubeconfig is None and target.kubeconfig:
        kubeconfig = Path.cwd() / Path(target.kubeconfig).expanduser()
    seen = cluster.look(questions(stack.spec, plans), kubeconfig, context or target.context)
    found = judge(stack.spec, plans, seen)
    for finding in found:
        typer.echo(f"{finding.level}: {finding}")
    wrong = errors(found)
    if wrong:
        typer.echo(f"{len(wrong)} of {len(found)} findings would stop pulumi up", err=True)
        raise typer.Exit(1)
    typer.echo(f"{seen.server}: nothing is missing" if not found else f"{seen.server}: nothing that would stop")
