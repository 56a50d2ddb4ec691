"""What all rules say together, under one configuration: verdicts, and the summary of what was let through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelberth.findings import Finding, Level, Nature
from modelberth.inventory import Inventory
from modelberth.policyfile import Exemption, PolicyFile
from modelberth.resources import Resource
from modelberth.rules import ALL
from modelberth.rules.base import Enforcement, Profile, Rule


@dataclass(frozen=True)
class Verdict:
    """A finding, what it does, and the exemption that lets it through (then it does nothing).

    ``covered_by`` are all exemptions that are about it, also those that have ended.
    """

    rule: Rule
    resource: Resource | None
    finding: Finding
    enforcement: Enforcement
    exemption: Exemption | None = None
    covered_by: tuple[Exemption, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether a deployment may not go on."""
        return self.exemption is None and self.enforcement is Enforcement.MANDATORY


def judge(resource: Resource, policy: PolicyFile, rules: Iterable[Rule] | None = None) -> list[Verdict]:
    """What the rules about single resources say about one."""
    return [
        _verdict(rule, resource, finding, policy)
        for rule in _enabled(rules, policy, resource)
        for finding in rule.about(resource, policy.settings(rule))
    ]


def judge_together(
    resources: Iterable[Resource], policy: PolicyFile, rules: Iterable[Rule] | None = None
) -> list[Verdict]:
    """What the rules across resources say about a whole stack."""
    inventory = Inventory(tuple(resources))
    return [
        _verdict(rule, resource, finding, policy)
        for rule in _enabled(rules, policy)
        for resource, finding in rule.over(inventory, policy.settings(rule))
        if policy.level(rule, resource) is not Enforcement.DISABLED
    ]


def judge_all(resources: Iterable[Resource], policy: PolicyFile, rules: Iterable[Rule] | None = None) -> list[Verdict]:
    """Both."""
    known, asked = tuple(resources), None if rules is None else tuple(rules)
    alone = [verdict for resource in known for verdict in judge(resource, policy, asked)]
    return alone + judge_together(known, policy, asked)


def let_through(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """A line for each exemption that was used, and what for."""
    lines: dict[str, None] = {}
    for verdict in verdicts:
        exemption = verdict.exemption
        if exemption and verdict.resource:
            what = f"{verdict.rule.id} does not apply to {verdict.resource.subject}"
            lines[f"{what} until {exemption.expires.isoformat()}: {exemption.reason}"] = None
    yield from lines


def unused(verdicts: Iterable[Verdict], policy: PolicyFile) -> Iterator[str]:
    """A line for each exemption that was about nothing that was found."""
    needed = {id(exemption) for verdict in verdicts for exemption in verdict.covered_by}
    for exemption in policy.exemptions:
        if id(exemption) not in needed:
            ended = f", and it ended on {exemption.expires.isoformat()}" if exemption.expires < policy.today else ""
            yield f"the exemption ({exemption}) was not needed{ended}: {exemption.reason}"


def _enabled(rules: Iterable[Rule] | None, policy: PolicyFile, resource: Resource | None = None) -> Iterator[Rule]:
    return (
        rule for rule in (ALL if rules is None else rules) if policy.level(rule, resource) is not Enforcement.DISABLED
    )


def _verdict(rule: Rule, resource: Resource | None, finding: Finding, policy: PolicyFile) -> Verdict:
    covering = tuple(each for each in policy.exemptions if each.covers(rule, resource))
    valid = next((each for each in covering if policy.today <= each.expires), None)
    if covering and valid is None:
        finding = _fires_again(finding, covering[0])
    return Verdict(rule, resource, finding, _enforcement(rule, resource, finding, policy), valid, covering)


def _enforcement(rule: Rule, resource: Resource | None, finding: Finding, policy: PolicyFile) -> Enforcement:
    """What a finding does: a level that somebody chose counts; else advice stays advice, and doubt is only told in
    profile dev. A failed rule always stops.
    """
    level = policy.level(rule, resource)
    if finding.nature is Nature.INTERNAL:
        return Enforcement.MANDATORY
    if rule.id in policy.levels:
        return level
    lenient = finding.level is not Level.ERROR and policy.profile is not Profile.STRICT
    doubtful = finding.nature is Nature.UNDECIDED and policy.profile is Profile.DEV
    return Enforcement.ADVISORY if lenient or doubtful else level


def _fires_again(finding: Finding, exemption: Exemption) -> Finding:
    ended = f"the exemption from this rule ended on {exemption.expires.isoformat()} ({exemption.reason})"
    return Finding(
        finding.code, finding.path, f"{finding.message}\n    {ended}", finding.remedy, finding.level, finding.nature
    )
