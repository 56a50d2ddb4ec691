"""What a rule is: what it asks, why, how strict it is in each profile, and the functions that answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

from modelberth.decision import Decision
from modelberth.findings import Finding, Level, Nature
from modelberth.inventory import Inventory
from modelberth.manifests import PLAIN_VALUE, Workload
from modelberth.node import Node
from modelberth.resources import Pod, Resource


class Profile(StrEnum):
    """How strict a whole run is."""

    DEV = "dev"
    PROD = "prod"
    STRICT = "strict"


class Enforcement(StrEnum):
    """What a finding does to a deployment: a mandatory one stops it, an advisory one is printed."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"
    DISABLED = "disabled"


class Severity(StrEnum):
    """How bad it is when nobody acts."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Levels(NamedTuple):
    """The level of a rule in each profile."""

    dev: Enforcement
    prod: Enforcement
    strict: Enforcement

    def of(self, profile: Profile) -> Enforcement:
        """The level in this profile."""
        return {Profile.DEV: self.dev, Profile.PROD: self.prod, Profile.STRICT: self.strict}[profile]


ALWAYS = Levels(Enforcement.MANDATORY, Enforcement.MANDATORY, Enforcement.MANDATORY)
"""Mandatory everywhere: without it nothing runs, or a secret leaks."""
IN_PROD = Levels(Enforcement.ADVISORY, Enforcement.MANDATORY, Enforcement.MANDATORY)
"""Mandatory where users depend on it."""
PROD_ONLY = Levels(Enforcement.DISABLED, Enforcement.MANDATORY, Enforcement.MANDATORY)
"""The same, of what a development stack rightly does without."""
ADVICE = Levels(Enforcement.ADVISORY, Enforcement.ADVISORY, Enforcement.MANDATORY)
"""Printed, and mandatory only for those who asked for everything."""


@dataclass(frozen=True)
class Threshold:
    """A figure of a rule that configuration may change: a number with bounds, a boolean, or a list of texts.

    ``default`` also says which of the three it is.
    """

    name: str
    default: float | int | bool | tuple[str, ...]
    description: str
    least: float | None = None
    most: float | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """Its JSON schema, as the pack presents it."""
        told: dict[str, Any] = {"description": self.description}
        if isinstance(self.default, tuple):
            return told | {"type": "array", "items": {"type": "string"}, "default": list(self.default)}
        if isinstance(self.default, bool):
            return told | {"type": "boolean", "default": self.default}
        bounds = {"minimum": self.least, "maximum": self.most}
        kept = {name: bound for name, bound in bounds.items() if bound is not None}
        return told | {"type": "number", "default": self.default} | kept


@dataclass(frozen=True)
class Settings:
    """What a check may depend on beside what it judges: the profile, the rule's thresholds, the plan locks, today."""

    profile: Profile = Profile.DEV
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    locks: Mapping[str, Decision] = field(default_factory=dict[str, Decision])
    today: date = date.min

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


Check = Callable[[Resource, Settings], Iterable[Finding]]
StackCheck = Callable[[Inventory, Settings], Iterable[tuple[Resource, Finding]]]


@dataclass(frozen=True)
class Rule:
    """One rule. ``question`` completes "cannot decide ...".

    ``check`` answers for one resource, before it is registered; ``across`` for all of a stack together. ``foreign`` are
    the levels for resources that our components did not write, where those differ. ``source`` says where the rule
    comes from.
    """

    id: str
    name: str
    title: str
    question: str
    why: str
    remediation: str
    severity: Severity
    levels: Levels
    source: str
    check: Check | None = None
    across: StackCheck | None = None
    foreign: Levels | None = None
    thresholds: tuple[Threshold, ...] = ()

    @property
    def policy_name(self) -> str:
        """Its name in configuration and diagnostics."""
        return f"{self.id.lower()}-{self.name}"

    @property
    def defaults(self) -> dict[str, Any]:
        """Its thresholds where nothing is configured."""
        return {each.name: each.default for each in self.thresholds}

    def level(self, profile: Profile, *, ours: bool) -> Enforcement:
        """Its level for a resource of ours or of someone else's."""
        return (self.levels if ours or self.foreign is None else self.foreign).of(profile)

    def about(self, resource: Resource, settings: Settings) -> list[Finding]:
        """What it says about one resource; an exception inside becomes one finding that stops, never a trace."""
        if self.check is None:
            return []
        try:
            return list(dict.fromkeys(self.check(resource, settings)))
        except Exception as error:
            return [internal_error(self.id, error)]

    def over(self, inventory: Inventory, settings: Settings) -> list[tuple[Resource | None, Finding]]:
        """What it says across a stack, each with the resource that is to change."""
        if self.across is None:
            return []
        try:
            return list(dict.fromkeys(self.across(inventory, settings)))
        except Exception as error:
            return [(None, internal_error(self.id, error))]


def internal_error(rule_id: str, error: Exception) -> Finding:
    """The finding that stands for an unexpected exception. Its text holds no value of what was judged."""
    message = f"internal error in rule {rule_id} ({type(error).__name__})"
    remedy = "report this manifest; until then the rule can be disabled by name"
    return Finding(rule_id, "", message, remedy, Level.ERROR, Nature.INTERNAL)


def undecided(rule_id: str, question: str, node: Node, remedy: str = PLAIN_VALUE) -> Finding:
    """The finding about a value that is only known after apply. ``question`` is the rule's: "whether ..."."""
    message = f"cannot decide {question} because it is only known after apply"
    return Finding(rule_id, node.path, message, remedy, Level.ERROR, Nature.UNDECIDED)


def good_practice(resource: Resource, settings: Settings) -> Level:
    """How a finding acts about a pod that would run anyway, where a rule also finds what would not.

    It stops what our components wrote, except in profile dev, and is advice about everything else.
    """
    stops = resource.ours and settings.profile is not Profile.DEV
    return Level.ERROR if stops else Level.WARNING


def advice(finding: Finding) -> Finding:
    """The same finding, only printed where nobody asked for everything."""
    return replace(finding, level=Level.WARNING)


def softened(resource: Resource, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Findings about what our components wrote as they are, about anything else as advice."""
    return (finding if resource.ours else advice(finding) for finding in findings)


def planned(resource: Resource, *, impossible: bool = False) -> Level:
    """How a finding acts about less than we plan with: what others wrote may run with less all the same."""
    return Level.ERROR if resource.ours or impossible else Level.WARNING


def per_workload(check: Callable[[Workload], Iterable[Finding]]) -> Check:
    """A check of each container that serves a model."""

    def every(resource: Resource, settings: Settings) -> Iterable[Finding]:
        return (finding for workload in resource.workloads for finding in check(workload))

    return every


def per_pod(check: Callable[[Pod, Settings], Iterable[Finding]]) -> Check:
    """A check of each pod that serves a model or works for one that does."""

    def every(resource: Resource, settings: Settings) -> Iterable[Finding]:
        return (finding for pod in resource.pods if pod.serves for finding in check(pod, settings))

    return every
