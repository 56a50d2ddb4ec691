"""The policies of the pack: one per rule, each a thin wrapper. Rules, wording and levels live in modelberth.rules."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from pulumi_policy import EnforcementLevel, Policy, ReportViolation, ResourceValidationArgs, ResourceValidationPolicy
from pulumi_policy import Severity as PackSeverity

from modelberth.decision import Decision
from modelberth.documents import mapping
from modelberth.findings import Finding
from modelberth.manifests import Workload, workloads
from modelberth.rules import ALL, EVALUATED, Rule, internal_error
from modelberth.stackfiles import lock_path_of, read_lock
from policies import facts

NAME = "modelberth"
PROJECT = Path(__file__).resolve().parents[1]


def policy_name(rule: Rule) -> str:
    """Name of a rule's policy in configuration and diagnostics."""
    return f"{rule.id.lower()}-{rule.name}"


def _policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for finding in dict.fromkeys(_findings(rule, args)):
            report(str(finding), None)

    return ResourceValidationPolicy(
        name=policy_name(rule),
        description=f"{rule.id} {rule.title}.",
        validate=validate,
        enforcement_level=EnforcementLevel[rule.level.name],
        display_name=rule.title,
        severity=PackSeverity[rule.severity.name],
        remediation_steps=f"{rule.remediation} Why: {rule.why}",
    )


def _findings(rule: Rule, args: ResourceValidationArgs) -> Iterator[Finding]:
    for workload in _workloads(rule, args):
        if isinstance(workload, Finding):
            yield workload
        else:
            yield from rule.findings(workload)


def _workloads(rule: Rule, args: ResourceValidationArgs) -> tuple[Workload | Finding, ...]:
    """The serving containers of a resource. What cannot be read at all is reported once, by SZ-21."""
    try:
        manifest = facts.manifest(args)
        return tuple(_with_lock(workload) for workload in workloads(manifest)) if manifest else ()
    except Exception as error:
        return (internal_error(rule.id, error, "spec"),) if rule is EVALUATED else ()


def _with_lock(workload: Workload) -> Workload:
    return replace(workload, locked=_lock().get(workload.service)) if workload.sizing_record else workload


@cache
def _lock() -> Mapping[str, Decision]:
    """The plan lock beside the stack file, when the pack lies in the project that it judges."""
    stack, project = os.environ.get("PULUMI_STACK", ""), PROJECT / "Pulumi.yaml"
    ours = project.is_file() and mapping(project.read_text(encoding="utf-8"), project.name).get("name")
    if not stack or ours != os.environ.get("PULUMI_PROJECT"):
        return {}
    return read_lock(lock_path_of(stack, PROJECT / "stacks"))


POLICIES: list[Policy] = [_policy(rule) for rule in ALL]
