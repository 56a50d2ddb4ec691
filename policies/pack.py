"""The pack: one policy per rule, and one for its settings. Rules, wording and levels live in modelberth.rules."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from pulumi.runtime.proto import analyzer_pb2 as proto

from modelberth.decision import Decision
from modelberth.documents import mapping
from modelberth.findings import Finding
from modelberth.policyfile import DEFAULT_PROFILE, SETTINGS, read, settings_schema, with_locks
from modelberth.resources import Resource
from modelberth.rules import ALL, Rule
from modelberth.rules.base import Enforcement, Profile, Severity, Threshold
from modelberth.stackfiles import lock_path_of, read_lock
from modelberth.verdicts import Verdict, judge, judge_together, let_through

NAME = "modelberth"
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
_BY_NAME = {rule.policy_name: rule for rule in ALL}


class Pack:
    """The pack of one run: it is configured once, then asked about resources, then about the stack."""

    def __init__(self) -> None:
        self._default = _profile_of_stack()
        self._policy = read({}, profile=self._default, today=date.today())
        self._settings_level = Enforcement.MANDATORY
        self._let_through: list[str] = []

    def info(self) -> proto.AnalyzerInfo:
        """Every policy, at the level that its rule has in the profile of this stack."""
        policies = [_of_settings(), *(_policy(rule, self._default) for rule in ALL)]
        return proto.AnalyzerInfo(name=NAME, displayName=NAME, version="0.0.1", supportsConfig=True, policies=policies)

    def configure(self, request: proto.ConfigureAnalyzerRequest) -> None:
        """Take levels, thresholds, profile and exemptions. The engine sends a level for every policy: one that is as
        :meth:`info` said is not a choice, and the profile decides.
        """
        document: dict[str, Any] = {}
        for name, config in request.policyConfig.items():
            entry = dict(json_format.MessageToDict(config.properties))
            rule = _BY_NAME.get(name)
            if name == SETTINGS:
                document[name] = entry
                continue
            if rule is None or config.enforcementLevel != _LEVELS[rule.levels.of(self._default)]:
                entry["enforcementLevel"] = proto.EnforcementLevel.Name(config.enforcementLevel).lower()
            if entry:
                document[name] = entry
        self._policy = with_locks(read(document, profile=self._default, today=date.today()), _locks())

    def about(self, resource: Resource) -> list[proto.AnalyzeDiagnostic]:
        """What is to be said before a resource is registered."""
        return self._told(judge(resource, self._policy))

    def together(self, resources: Iterable[Resource]) -> list[proto.AnalyzeDiagnostic]:
        """What is to be said about the whole stack, wrong configuration and used exemptions with it."""
        verdicts = judge_together(resources, self._policy)
        told = [_about_settings(str(problem), proto.MANDATORY) for problem in self._policy.problems]
        told += self._told(verdicts)
        told += [_about_settings(line, proto.ADVISORY) for line in dict.fromkeys(self._let_through)]
        self._let_through.clear()
        return told

    def _told(self, verdicts: list[Verdict]) -> list[proto.AnalyzeDiagnostic]:
        self._let_through += let_through(verdicts)
        return [_diagnostic(verdict) for verdict in verdicts if verdict.exemption is None]


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
        description="Profile and exemptions of this run.",
        enforcementLevel=proto.MANDATORY,
        policy_type=proto.POLICY_TYPE_STACK,
        severity=proto.POLICY_SEVERITY_HIGH,
        configSchema=json_format.ParseDict({"properties": settings_schema()}, proto.PolicyConfigSchema()),
    )


def _schema(thresholds: Iterable[Threshold]) -> proto.PolicyConfigSchema:
    levels = {"type": "string", "enum": [level.value for level in Enforcement]}
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
    description = "Profile and exemptions of this run."
    return proto.AnalyzeDiagnostic(
        policyName=SETTINGS,
        policyPackName=NAME,
        description=description,
        message=f"{description}\n{text}",
        enforcementLevel=level,
    )


def internal_error(error: Exception, urn: str) -> proto.AnalyzeDiagnostic:
    """What is said about a resource that could not be read at all: one finding that stops, no trace."""
    finding = Finding(SETTINGS, "", f"internal error of the pack ({type(error).__name__})", "report this resource")
    told = _about_settings(str(finding), proto.MANDATORY)
    told.urn = urn
    return told


@cache
def _locks() -> Mapping[str, Decision]:
    """The plan lock beside the stack file, when the pack lies in the project that it judges."""
    stack, project = os.environ.get("PULUMI_STACK", ""), PROJECT / "Pulumi.yaml"
    ours = project.is_file() and mapping(project.read_text(encoding="utf-8"), project.name).get("name")
    if not stack or ours != os.environ.get("PULUMI_PROJECT"):
        return {}
    return read_lock(lock_path_of(stack, PROJECT / "stacks"))


def _profile_of_stack() -> Profile:
    """The profile of a stack of ours, as its own configuration names it; any other stack has the default one."""
    try:
        config = json.loads(os.environ.get("PULUMI_CONFIG", "{}"))
        if "modelberth:services" not in config:
            return DEFAULT_PROFILE
        return Profile(json.loads(config.get("modelberth:defaults", "{}")).get("profile", Profile.DEV))
    except (ValueError, KeyError, TypeError, AttributeError):
        return DEFAULT_PROFILE
