"""The command ``modelberth check``: what would not run, in files that anyone wrote, without an engine or a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from modelberth import exchange, told
from modelberth.checked import Report, report
from modelberth.documents import mapping
from modelberth.errors import ModelberthError, UnknownName, suggest
from modelberth.findings import refuse
from modelberth.inputs import gather
from modelberth.policyfile import DEFAULT_PROFILE, SETTINGS, PolicyFile, read
from modelberth.rules import ALL
from modelberth.rules.base import Profile


class Format(StrEnum):
    """How a report is written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    MARKDOWN = "markdown"


def check_command(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders; - is the standard input.")] = None,
    profile: Annotated[Profile | None, typer.Option(help="Default: the policy file's, or prod.")] = None,
    policy: Annotated[Path | None, typer.Option(help="YAML or JSON: the file that also configures the pack.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How the report is written.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option(help="Write the report there; the text is still printed.")] = None,
    docs_url: Annotated[str, typer.Option(help="Where the rules' page is published, for links in SARIF.")] = "",
    explain: Annotated[str | None, typer.Option(help="Print what a rule is about, and nothing else.")] = None,
) -> None:
    """Judge rendered manifests, Helm output, exported stacks and previews by the rules of the policy pack.

    Ends with 1 when a finding stops, with 2 when something cannot be read, else with 0.
    """
    try:
        if explain:
            typer.echo(_explained(explain))
            return
        if not paths:
            raise ModelberthError("nothing to check: name files or folders, or - for the standard input")
        found = report(gather(paths), _policy(policy, profile))
        _tell(found, form, output, docs_url)
    except ModelberthError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(found.exit_code)


def _policy(path: Path | None, profile: Profile | None) -> PolicyFile:
    document = mapping(_text(path), path.name) if path else {}
    general = document.get(SETTINGS)
    if profile and (general is None or isinstance(general, dict)):
        document[SETTINGS] = {**(general or {}), "profile": profile.value}
    settings = read(document, profile=DEFAULT_PROFILE, today=datetime.now(tz=UTC).date())
    refuse(settings.problems)
    return settings


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "cannot be read") if isinstance(error, OSError) else "not UTF-8 text"
        raise ModelberthError(f"{path}: {reason}") from None


def _tell(found: Report, form: Format, output: Path | None, docs_url: str) -> None:
    match form:
        case Format.TEXT:
            text = told.as_text(found)
        case Format.JSON:
            text = exchange.as_json(found)
        case Format.SARIF:
            text = exchange.as_sarif(found, version("modelberth"), docs_url)
        case Format.JUNIT:
            text = exchange.as_junit(found)
        case Format.MARKDOWN:
            text = told.as_markdown(found)
    if output:
        try:
            output.write_text(text.rstrip("\n") + "\n", encoding="utf-8", errors="replace")
        except OSError as error:
            raise ModelberthError(f"{output}: {error.strerror}") from None
        text = told.as_text(found)
    typer.echo(text.encode("utf-8", "replace").rstrip(b"\n"))


def _explained(name: str) -> str:
    wanted = name.lower()
    rule = next((each for each in ALL if wanted in (each.id.lower(), each.name, each.policy_name)), None)
    if rule is None:
        raise UnknownName("rule", name, suggest(name, [each.id for each in ALL]))
    return told.explained(rule)
