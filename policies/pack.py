"""The pack: one policy per rule, and one for its settings. Rules, wording and levels live in modelberth.rules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from pulumi.runtime.proto import analyzer_pb2 as proto

from modelberth.decision import Decision
from modelberth.documents import mapping
from modelberth.errors import ModelberthError
from modelberth.findings import Finding
from modelberth.policyfile import DEFAULT_PROFILE, EVERY_RULE, SETTINGS, PolicyFile, read, settings_schema
from modelberth.resources import Resource
from modelberth.rules import ALL, Rule
from modelberth.rules.base import Enforcement, Profile, Severity, Threshold
from modelberth.verdicts import Verdict, judge, judge_together, let_through, unused

NAME = "modelberth"
VERSION = "0.1.0"
PROJECT = Path(__file__).resolve().parents[1]
_LEVELS = {
    Enforcement.ADVISORY: proto.ADVISORY,
    Enforcement.MANDATORY: proto.MANDATORY,
    Enforcement.DISABLED: proto.DISABLED,
}
_SEVERITIES = {
    Severity.LOW: proto.POLICY_SEVERITY_LOW,
    Severity.MEDIUM: proto.POLICY_SEVERITY_MEDIUM,
    Severity.HIGH: proto.POLICY_SEVERITY_HIGH,
    Severity.CRITICAL: proto.POLICY_SEVERITY_CRITICAL,
}
_BY_KEY = {rule.policy_name: rule for rule in ALL} | {rule.id: rule for rule in ALL}
_ABOUT_SETTINGS = "Profile and exemptions of this run."
_MOST_PROBLEMS = 20
"""Told at once: they travel in the header of an answer."""


class Pack:
    """The pack of one run: it is configured once, then asked about resources, then about the stack."""

    def __init__(self, config: Mapping[str, str], stack: str, project: str) -> None:
        self._default = _profile_of(config)
        self._locks: Mapping[str, Decision] = {}
        self._unreadable: tuple[Finding, ...] = ()
        try:
            self._locks = _locks(stack, project)
        except ModelberthError as error:
            self._unreadable = (Finding("policy", "", str(error)),)
        self._policy = self._read({})
        self._told_of_problems = False
        self._exempted: list[Verdict] = []

    def info(self) -> proto.AnalyzerInfo:
        """Every policy, at the level that its rule has in the profile of this stack."""
        return proto.AnalyzerInfo(
            name=NAME,
            displayName=NAME,
            version=VERSION,
            supportsConfig=True,
            policies=[_of_settings(), *(_policy(rule, self._default) for rule in ALL)],
            initialConfig={key: proto.PolicyConfig(enforcementLevel=self._unsaid(key)) for key in _BY_KEY},
        )

    def configure(self, request: proto.ConfigureAnalyzerRequest) -> tuple[Finding, ...]:
        """Take levels, thresholds, profile and exemptions; answers what is wrong with them."""
        document = {key: self._said(key, config, request) for key, config in request.policyConfig.items()}
        self._policy = self._read({key: entry for key, entry in document.items() if entry})
        return self._policy.problems

    def about(self, resource: Resource) -> list[proto.AnalyzeDiagnostic]:
        """What is to be said before a resource is registered. With wrong settings, only that they are: half a pack must
        not look like a whole one.
        """
        if self._policy.problems:
            return self._about_problems()
        return self._told(judge(resource, self._policy))

    def together(self, resources: Iterable[Resource]) -> list[proto.AnalyzeDiagnostic]:
        """What is to be said about the whole stack, and every exemption with it."""
        if self._policy.problems:
            return self._about_problems()
        told = self._told(judge_together(resources, self._policy))
        summary = list(self._summary())
        if summary:
            told.append(_about_settings("\n".join(summary), proto.ADVISORY))
        self._exempted.clear()
        return told

    def _read(self, document: Mapping[str, Any]) -> PolicyFile:
        found = read(document, profile=self._default, today=datetime.now(tz=UTC).date())
        return replace(found, locks=self._locks, problems=(*found.problems, *self._unreadable))

    def _told(self, verdicts: list[Verdict]) -> list[proto.AnalyzeDiagnostic]:
        self._exempted += [verdict for verdict in verdicts if verdict.covered_by]
        return [_diagnostic(verdict) for verdict in verdicts if verdict.exemption is None]

    def _summary(self) -> Iterator[str]:
        if not self._policy.quiet:
            yield from let_through(self._exempted)
            yield from unused(self._exempted, self._policy)

    def _about_problems(self) -> list[proto.AnalyzeDiagnostic]:
        text = "\n".join(map(str, self._policy.problems))
        if self._told_of_problems:
            text = "nothing is judged with settings that are wrong: they are told at the first resource"
        self._told_of_problems = True
        return [_about_settings(text, proto.MANDATORY)]

    def _unsaid(self, key: str) -> proto.EnforcementLevel.ValueType:
        """The level that the engine sends for a policy that nobody gave one, as :meth:`info` asks it to.

        The engine fills in a level for every policy. ``remediate`` is one that nobody chooses here, so that "mandatory"
        beside a softer profile is seen to be a choice.
        """
        level = _LEVELS[_BY_KEY[key].levels.of(self._default)]
        return proto.REMEDIATE if level == proto.MANDATORY else level

    def _said(self, key: str, config: proto.PolicyConfig, request: proto.ConfigureAnalyzerRequest) -> dict[str, Any]:
        """One entry as it was written: without levels and thresholds that the engine filled in."""
        entry = dict(json_format.MessageToDict(config.properties))
        rule = _BY_KEY.get(key)
        if rule:
            defaults = {each.name: each.schema["default"] for each in rule.thresholds}
            entry = {name: value for name, value in entry.items() if name not in defaults or value != defaults[name]}
        if rule is None and key != SETTINGS:
            filled_in = None
        elif EVERY_RULE in request.policyConfig:
            filled_in = request.policyConfig[EVERY_RULE].enforcementLevel
        else:
            filled_in = self._unsaid(key) if rule else proto.MANDATORY
        if config.enforcementLevel != filled_in:
            entry = {"enforcementLevel": proto.EnforcementLevel.Name(config.enforcementLevel).lower()} | entry
        return entry


def wrong_settings(problems: Iterable[Finding]) -> str:
    """What the engine prints before anything runs."""
    lines = [str(problem) for problem in problems]
    more = [f"and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
    return "\n  ".join(["the settings of the pack are wrong, nothing was judged", *lines[:_MOST_PROBLEMS], *more])


def _policy(rule: Rule, profile: Profile) -> proto.PolicyInfo:
    of_stack = rule.check is None
    return proto.PolicyInfo(
        name=rule.policy_name,
        displayName=rule.title,
        description=f"{rule.id} {rule.title}.",
        enforcementLevel=_LEVELS[rule.levels.of(profile)],
        policy_type=proto.POLICY_TYPE_STACK if of_stack else proto.POLICY_TYPE_RESOURCE,
        severity=_SEVERITIES[rule.severity],
        remediation_steps=f"{rule.remediation} Why: {rule.why}",
        configSchema=_schema(rule.thresholds),
    )


def _of_settings() -> proto.PolicyInfo:
    return proto.PolicyInfo(
        name=SETTINGS,
        displayName="Settings of the pack",
        description=_ABOUT_SETTINGS,
        enforcementLevel=proto.MANDATORY,
        policy_type=proto.POLICY_TYPE_STACK,
        severity=proto.POLICY_SEVERITY_HIGH,
        configSchema=json_format.ParseDict({"properties": settings_schema()}, proto.PolicyConfigSchema()),
    )


def _schema(thresholds: Iterable[Threshold]) -> proto.PolicyConfigSchema:
    levels = {"type": "string", "enum": ["advisory", "mandatory", "remediate", "disabled"]}
    properties = {"level": levels} | {each.name: each.schema for each in thresholds}
    return json_format.ParseDict({"properties": properties}, proto.PolicyConfigSchema())


def _diagnostic(verdict: Verdict) -> proto.AnalyzeDiagnostic:
    rule = verdict.rule
    return proto.AnalyzeDiagnostic(
        policyName=rule.policy_name,
        policyPackName=NAME,
        description=f"{rule.id} {rule.title}.",
        message=f"{rule.id} {rule.title}.\n{verdict.finding}",
        enforcementLevel=_LEVELS[verdict.enforcement],
        severity=_SEVERITIES[rule.severity],
        urn=verdict.resource.urn if verdict.resource else "",
    )


def _about_settings(text: str, level: proto.EnforcementLevel.ValueType) -> proto.AnalyzeDiagnostic:
    return proto.AnalyzeDiagnostic(
        policyName=SETTINGS,
        policyPackName=NAME,
        description=_ABOUT_SETTINGS,
        message=f"{_ABOUT_SETTINGS}\n{text}",
        enforcementLevel=level,
        severity=proto.POLICY_SEVERITY_LOW if level == proto.ADVISORY else proto.POLICY_SEVERITY_HIGH,
    )


def internal_error(error: Exception, urn: str) -> proto.AnalyzeDiagnostic:
    """What is said about a resource that could not be read at all: one finding that stops, no trace."""
    finding = Finding(SETTINGS, "", f"internal error of the pack ({type(error).__name__})", "report this resource")
    told = _about_settings(str(finding), proto.MANDATORY)
    told.urn = urn
    return told


def _locks(stack: str, project: str) -> Mapping[str, Decision]:
    """The plan lock beside the stack file, when the pack lies in the project that it judges."""
    file = PROJECT / "Pulumi.yaml"
    if not stack or not file.is_file() or mapping(file.read_text(encoding="utf-8"), file.name).get("name") != project:
        return {}
    from modelberth.stackfiles import (
        lock_path_of,
        read_lock,
    )  # the planner with it: other projects need not wait for it

    return read_lock(lock_path_of(stack, PROJECT / "stacks"))


def _profile_of(config: Mapping[str, str]) -> Profile:
    """The profile of a stack of ours, as its own configuration names it; any other stack has the default one."""
    try:
        if "modelberth:services" not in config:
            return DEFAULT_PROFILE
        return Profile(json.loads(config.get("modelberth:defaults", "{}")).get("profile", Profile.DEV))
    except (ValueError, KeyError, TypeError, AttributeError):
        return DEFAULT_PROFILE
