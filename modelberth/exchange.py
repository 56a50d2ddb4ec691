"""A report as programs read it: JSON, SARIF 2.1.0 for code scanning, JUnit for test reports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from modelberth.checked import Report, Told, as_posix
from modelberth.policyfile import Exemption
from modelberth.resources import Resource
from modelberth.rules import ALL, Rule
from modelberth.rules.base import Enforcement
from modelberth.sources import Problem
from modelberth.told import counted, explained

SCHEMA_VERSION = 1
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(report: Report) -> str:
    """Everything, in the form that docs/check.schema.json describes."""
    inputs = report.inputs
    document = {
        "schema_version": SCHEMA_VERSION,
        "profile": report.policy.profile.value,
        "exit_code": report.exit_code,
        "counts": {
            "objects": len(inputs.resources),
            "findings": len(report.open),
            "stopping": report.stopping,
            "exempt": len(report.let_through),
            "problems": len(inputs.problems),
            "skipped_files": len(inputs.skipped),
        },
        "findings": [_finding(told) for told in report.told],
        "expired_exemptions": [_exemption(each) for each in report.expired],
        "problems": [_problem(problem) for problem in inputs.problems],
        "skipped": [as_posix(place) for place in inputs.skipped],
        "unjudged": report.unjudged,
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def _finding(told: Told) -> dict[str, Any]:
    verdict, finding = told.verdict, told.verdict.finding
    return {
        "rule": verdict.rule.id,
        "name": verdict.rule.name,
        "title": verdict.rule.title,
        "severity": verdict.rule.severity.value,
        "enforcement": verdict.enforcement.value,
        "stops": verdict.stops,
        "nature": finding.nature.value,
        "file": told.file or None,
        "line": told.spot.line if told.file else None,
        "column": told.spot.column if told.file else None,
        "object": _object(verdict.resource) if verdict.resource else None,
        "path": finding.path,
        "message": finding.message,
        "remedy": finding.remedy,
        "exemption": _exemption(verdict.exemption) if verdict.exemption else None,
        "fingerprint": told.fingerprint,
    }


def _object(resource: Resource) -> dict[str, Any]:
    return {"type": resource.type, "kind": resource.kind, "name": resource.shown_name, "urn": resource.urn or None}


def _exemption(exemption: Exemption) -> dict[str, Any]:
    return {"rules": exemption.rules, "reason": exemption.reason, "expires": exemption.expires.isoformat()}


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": as_posix(problem.place),
        "line": problem.spot.line if problem.spot else None,
        "column": problem.spot.column if problem.spot else None,
        "message": problem.why,
        "remedy": problem.remedy,
    }


def as_sarif(report: Report, version: str, docs_url: str = "") -> str:
    """A SARIF log of one run: every rule with its help, what was found, what was exempt, what could not be read."""
    driver = {"name": "modelberth", "version": version, "rules": [_rule(rule, docs_url) for rule in ALL]}
    notes = [_notification(problem) for problem in report.inputs.problems]
    invocation = {"executionSuccessful": not notes, "exitCode": report.exit_code, "toolExecutionNotifications": notes}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "modelberth-check/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "properties": {"profile": report.policy.profile.value},
        "results": [_result(told) for told in report.told],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False)


def _rule(rule: Rule, docs_url: str) -> dict[str, Any]:
    told = {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": explained(rule),
            "markdown": f"{rule.why}\n\n**Way out.** {rule.remediation}\n\n**Source.** {rule.source}",
        },
        "defaultConfiguration": {"level": _level(rule.levels.prod)},
        "properties": {
            "tags": ["modelberth", rule.id.partition("-")[0], f"severity-{rule.severity}"],
            "problem.severity": _level(rule.levels.prod),
        },
    }
    return {**told, "helpUri": f"{docs_url}#{rule.id.lower()}"} if docs_url else told


def _result(told: Told) -> dict[str, Any]:
    verdict, finding = told.verdict, told.verdict.finding
    found: dict[str, Any] = {
        "ruleId": verdict.rule.id,
        "ruleIndex": ALL.index(verdict.rule),
        "level": _level(verdict.enforcement),
        "message": {"text": str(finding)},
        "partialFingerprints": {
            "primaryLocationLineHash": told.fingerprint,
            "modelberthFinding/v1": told.fingerprint,
        },
        "properties": {"nature": finding.nature.value, "stops": verdict.stops},
    }
    location: dict[str, Any] = {}
    if told.file:
        region = {"startLine": told.spot.line, "startColumn": told.spot.column}
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(told.file)}, "region": region}
    if verdict.resource:
        name = "/".join(filter(None, (verdict.resource.subject, finding.path)))
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "resource"}]
    if location:
        found["locations"] = [location]
    if verdict.exemption:
        until = f"until {verdict.exemption.expires.isoformat()}: {verdict.exemption.reason}"
        found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": until}]
    return found


def _notification(problem: Problem) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(as_posix(problem.place))}}
    if problem.spot:
        place["region"] = {"startLine": problem.spot.line, "startColumn": problem.spot.column}
    text = f"{problem.why}. {problem.remedy}".rstrip(" .")
    return {"level": "error", "message": {"text": text}, "locations": [{"physicalLocation": place}]}


def _level(enforcement: Enforcement) -> str:
    return {Enforcement.MANDATORY: "error", Enforcement.ADVISORY: "warning"}.get(enforcement, "none")


def _uri(file: str) -> str:
    """A file relative to where the command runs, as code scanning wants it; anything else by its whole name."""
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return path.as_uri() if path.is_absolute() else Path("/", path).as_uri().removeprefix("file:///")


def as_junit(report: Report) -> str:
    """One test case per object and rule that was asked about it, grouped by file; what stops is a failure."""
    suites = "\n".join(_suites(report))
    counts = " ".join(f'{what}="{suites.count(f"<{tag} message")}"' for what, tag in _KINDS.items())
    head = f'<testsuites name="modelberth check" {counts}>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{suites}\n</testsuites>'


def _suites(report: Report) -> Iterator[str]:
    by_resource: dict[Resource | None, list[Told]] = {}
    for told in report.told:
        by_resource.setdefault(told.verdict.resource, []).append(told)
    for source in report.inputs.sources:
        cases = [
            case
            for resource in source.resources
            for case in _cases(report, resource, by_resource.get(resource, []), as_posix(source.place))
        ]
        if cases:
            yield _suite(as_posix(source.place), cases)
    if alone := by_resource.get(None):
        yield _suite(
            "all files together", [_case("all files together", rule, found) for rule, found in _by_rule(alone)]
        )
    if report.inputs.problems:
        errors = [
            f'<testcase classname="{_xml(as_posix(problem.place))}" name="can be read">'
            f'<error message="{_xml(problem.why)}">{_xml(str(problem))}</error></testcase>'
            for problem in report.inputs.problems
        ]
        yield _suite("what could not be read", errors)


def _suite(name: str, cases: list[str]) -> str:
    counts = {what: sum(f"<{tag}" in case for case in cases) for what, tag in _KINDS.items()}
    told = " ".join(f'{what}="{count}"' for what, count in counts.items())
    body = "\n".join(f"  {case}" for case in cases)
    return f'<testsuite name="{_xml(name)}" tests="{len(cases)}" {told}>\n{body}\n</testsuite>'


_KINDS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def _cases(report: Report, resource: Resource, told: list[Told], file: str) -> Iterator[str]:
    found = dict(_by_rule(told))
    asked = [rule for rule in ALL if report.policy.level(rule, resource) is not Enforcement.DISABLED or rule in found]
    return (_case(f"{file}.{resource.subject}", rule, found.get(rule, [])) for rule in asked)


def _by_rule(told: Iterable[Told]) -> Iterator[tuple[Rule, list[Told]]]:
    ordered = sorted(told, key=lambda each: each.verdict.rule.id)
    return ((rule, list(found)) for rule, found in groupby(ordered, key=lambda each: each.verdict.rule))


def _case(classname: str, rule: Rule, found: list[Told]) -> str:
    name = f'classname="{_xml(classname)}" name="{rule.id} {_xml(rule.title)}"'
    if not found:
        return f"<testcase {name}/>"
    stopping = [told for told in found if told.verdict.stops]
    exempt = [told for told in found if told.verdict.exemption]
    text = _xml("\n".join(f"{told.file}:{told.spot.line}:{told.spot.column} {told.verdict.finding}" for told in found))
    if stopping:
        return f'<testcase {name}><failure message="{_xml(_first(stopping))}">{text}</failure></testcase>'
    if exempt and exempt[0].verdict.exemption:
        why = f"until {exempt[0].verdict.exemption.expires.isoformat()}: {exempt[0].verdict.exemption.reason}"
        return f'<testcase {name}><skipped message="{_xml(why)}"/></testcase>'
    return f"<testcase {name}><system-out>{text}</system-out></testcase>"


def _first(found: list[Told]) -> str:
    head = found[0].verdict.finding.message.split("\n")[0]
    return head if len(found) == 1 else f"{head} (and {counted(len(found) - 1, 'more finding')})"


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))
