"""The command ``modelberth check``: what would not run, in files that anyone wrote, without an engine or a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from modelberth.documents import DocumentError, mapping
from modelberth.errors import ModelberthError
from modelberth.findings import refuse
from modelberth.policyfile import DEFAULT_PROFILE, PolicyFile, read, shown_name
from modelberth.resources import Resource
from modelberth.rules.base import Profile
from modelberth.sources import resources
from modelberth.verdicts import Verdict, judge_all, let_through

_ENDINGS = (".yaml", ".yml", ".json")


def check_command(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders; - is the standard input.")],
    profile: Annotated[Profile | None, typer.Option(help="Default: the policy file's, prod.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The file that also configures the pack.")] = None,
) -> None:
    """Judge rendered manifests, Helm output and exported stacks by the rules of the policy pack.

    Ends with 1 when a finding stops, with 2 when something cannot be read.
    """
    settings = _settings(policy, profile)
    try:
        found = tuple(each for path in paths for each in _read(path))
    except ModelberthError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    verdicts = judge_all(found, settings)
    _print(verdicts, found)
    raise typer.Exit(1 if any(verdict.stops for verdict in verdicts) else 0)


def _settings(path: Path | None, profile: Profile | None) -> PolicyFile:
    document = mapping(path.read_text(encoding="utf-8"), path.name) if path else {}
    if profile:
        document["settings"] = {**document.get("settings", {}), "profile": profile.value}
    settings = read(document, profile=DEFAULT_PROFILE, today=datetime.now(tz=UTC).date())
    refuse(settings.problems)
    return settings


def _read(path: Path) -> Iterator[Resource]:
    if str(path) == "-":
        yield from resources(sys.stdin.read(), "standard input")
    elif path.is_dir():
        for file in sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS and each.is_file()):
            yield from resources(file.read_text(encoding="utf-8"), str(file))
    elif path.is_file():
        yield from resources(path.read_text(encoding="utf-8"), str(path))
    else:
        raise DocumentError(f"{path} is not there")


def _print(verdicts: list[Verdict], judged: tuple[Resource, ...]) -> None:
    for verdict in verdicts:
        if verdict.exemption is None:
            where = f"{verdict.resource.place} {shown_name(verdict.resource)} " if verdict.resource else ""
            typer.echo(f"{verdict.enforcement} {verdict.rule.id} {where}{verdict.finding}")
    for line in let_through(verdicts):
        typer.echo(f"exempt: {line}")
    stopping = sum(verdict.stops for verdict in verdicts)
    typer.echo(f"{len(judged)} resources, {len(verdicts)} findings, {stopping} that stop")
