"""The command ``modelberth preflight``: what a cluster or an account lacks for a stack, before anything is created."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from modelberth import cluster, quotas, stackfiles
from modelberth.asked import Unanswered, answer
from modelberth.clouds.accounts import Ask, Limit, Unread, asks, limits
from modelberth.errors import ModelberthError
from modelberth.findings import Finding, errors
from modelberth.lock import Settled, settle
from modelberth.preflight import judge, questions
from modelberth.spec import StackSpec

UNASKED = 3
"""Exit code where nothing stops that was asked, and not all could be."""


def preflight_command(
    file: Annotated[str, typer.Argument(help="A stack file, the name of a stack, or a bare spec.")],
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: the target's, then the usual places.")] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig; default: the target's.")] = None,
    printed: Annotated[
        list[Path] | None,
        typer.Option("--quotas", help="What the cloud's commands printed, instead of running them; may be repeated."),
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="The stack exists: what is in use of quotas may be its own.")
    ] = False,
) -> None:
    """Ask what is lacking for a stack. An existing cluster: APIs, GPUs, storage, Secrets, access. A cloud's account:
    quotas, by the cloud's own command and login; its cluster too where that exists and --context names it. Nothing is
    created. The exit code is 1 where something would stop, 3 where quotas could not be asked.
    """
    stack = stackfiles.read(stackfiles.find(file, Path.cwd()))
    spec = stack.spec
    settled = settle(spec, stack.locked, stack_name=stack.name)
    managed = spec.target.managed
    if managed is None:
        if printed or running:
            raise typer.BadParameter("--quotas and --running are for a cloud's account")
        fine = _cluster(spec, settled, kubeconfig, context)
    else:
        if (kubeconfig or context) and managed.cluster is None:
            raise typer.BadParameter("--kubeconfig and --context are for a cluster that exists")
        fine = _cluster(spec, settled, kubeconfig, context) if kubeconfig or context else True
        enough, asked = _account(spec, settled, file, printed or (), running)
        fine = enough and fine
        if fine and not asked:
            raise typer.Exit(UNASKED)
    if not fine:
        raise typer.Exit(1)


def _cluster(spec: StackSpec, settled: Settled, kubeconfig: Path | None, context: str | None) -> bool:
    """Judge a cluster that exists by what its API server shows."""
    target = spec.target
    if kubeconfig is None and target.kubeconfig:
        kubeconfig = Path.cwd() / Path(target.kubeconfig).expanduser()
    seen = cluster.look(questions(spec, settled.plans), kubeconfig, context or target.context)
    return _tell(judge(spec, settled.plans, seen), seen.server)


def _tell(found: Sequence[Finding], of: str) -> bool:
    """Print findings; whether nothing of them stops."""
    for finding in found:
        typer.echo(f"{finding.level}: {finding}")
    wrong = errors(found)
    if wrong:
        typer.echo(f"{len(wrong)} of {len(found)} findings would stop pulumi up", err=True)
        return False
    typer.echo(f"{of}: nothing is missing" if not found else f"{of}: nothing that would stop")
    return True


def _account(spec: StackSpec, settled: Settled, file: str, printed: Sequence[Path], running: bool) -> tuple[bool, bool]:
    """Judge quotas by what commands print: now, or before and into files. Whether nothing stops, and all was asked."""
    commands = asks(spec.target, [each.need for each in settled.quotas.wanted])
    silent: list[str] = []
    seen = tuple(_in_files(spec, printed) if printed else _by_commands(spec, commands, silent))
    if silent:
        typer.echo(f"quotas could not be asked: {'; '.join(silent)}", err=True)
        typer.echo("log in, or run these where you are logged in, each into a file:", err=True)
        for place, command in enumerate(commands, 1):
            typer.echo(f"  {command} > quotas-{place}.json", err=True)
        files = " ".join(f"--quotas quotas-{place}.json" for place in range(1, len(commands) + 1))
        typer.echo(f"  modelberth preflight {file} {files}", err=True)
    fine = True
    if seen or not silent:
        fine = _tell(quotas.judge(spec, settled.quotas, seen, running=running), "the account's quotas")
    return fine, not silent


def _by_commands(spec: StackSpec, commands: Sequence[Ask], silent: list[str]) -> Iterator[Limit]:
    for command in commands:
        typer.echo(f"asking: {command}", err=True)
        try:
            yield from limits(spec.target, answer(command.words))
        except (Unanswered, Unread) as error:
            silent.append(str(error) if isinstance(error, Unanswered) else f"{command}: {error}")


def _in_files(spec: StackSpec, printed: Sequence[Path]) -> Iterator[Limit]:
    for path in printed:
        try:
            yield from limits(spec.target, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, Unread) as error:
            why = str(error) if isinstance(error, Unread) else f"it cannot be read ({type(error).__name__})"
            raise ModelberthError(f"--quotas {path}: {why}") from None
