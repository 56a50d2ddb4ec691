"""How strict a run is: profile, levels, thresholds and exemptions, from the file that configures pack and check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, cast

from pydantic import Field

from modelberth import parse
from modelberth.decision import Decision
from modelberth.errors import suggest
from modelberth.findings import Finding, Refused
from modelberth.parts import Part
from modelberth.resources import Resource
from modelberth.rules import ALL
from modelberth.rules.base import Enforcement, Profile, Rule, Settings, Threshold

SETTINGS = "settings"
"""The key beside the rules' names that holds the profile and the exemptions."""
EVERY_RULE = "all"
DEFAULT_PROFILE = Profile.PROD
"""Where nothing says otherwise: what nobody configured fails closed."""
_LEVELS = {**{each.value: each for each in Enforcement}, "remediate": Enforcement.MANDATORY}
_KEYS = {rule.policy_name: rule for rule in ALL} | {rule.id: rule for rule in ALL}


class Exemption(Part):
    """What a rule does not apply to, why, and until when. Patterns are shell-like; all that are given must match."""

    rules: list[str]
    """Ids of the rules, or ["*"]."""
    urn: str | None = None
    """Pattern of the resource's URN."""
    name: str | None = None
    """Pattern of "namespace/name" of a Kubernetes object, of the logical name of anything else."""
    labels: dict[str, str] | None = None
    """Labels of a Kubernetes object, with patterns as values."""
    reason: str = Field(min_length=1)
    """Why this is right; printed in every run."""
    expires: date
    """The last day on which it holds."""

    def covers(self, rule: Rule, resource: Resource | None) -> bool:
        """Whether it is about this finding, expired or not."""
        if resource is None or not {"*", rule.id, rule.policy_name}.intersection(self.rules):
            return False
        if self.urn and not fnmatchcase(resource.urn, self.urn):
            return False
        if self.name and not fnmatchcase(shown_name(resource), self.name):
            return False
        wanted = self.labels or {}
        return all(fnmatchcase(resource.labels[key].text(), pattern) for key, pattern in wanted.items())


class _Settings(Part):
    profile: Profile | None = None
    """Preset of the levels: dev, prod or strict."""
    exemptions: list[Exemption] = Field(default_factory=list["Exemption"])
    """What rules do not apply to."""


@dataclass(frozen=True)
class PolicyFile:
    """Everything that configuration says. ``problems`` are what is wrong with it: nothing wrong is ever ignored."""

    profile: Profile = DEFAULT_PROFILE
    levels: Mapping[str, Enforcement] = field(default_factory=dict[str, Enforcement])
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    exemptions: tuple[Exemption, ...] = ()
    problems: tuple[Finding, ...] = ()
    locks: Mapping[str, Decision] = field(default_factory=dict[str, Decision])
    today: date = date.min

    def settings(self, rule: Rule) -> Settings:
        """What a rule's check may depend on."""
        values = rule.defaults | dict(self.thresholds.get(rule.id, {}))
        return Settings(self.profile, values, self.locks, self.today)

    def level(self, rule: Rule, resource: Resource | None) -> Enforcement:
        """The level of a rule for a resource: what is configured for it, else what the profile says."""
        configured = self.levels.get(rule.id)
        return configured or rule.level(self.profile, ours=resource is None or resource.ours)


def shown_name(resource: Resource) -> str:
    """The name by which a person knows a resource: "namespace/name" of a Kubernetes object, else its logical name."""
    if not resource.is_kubernetes:
        return resource.name
    return f"{resource.namespace.text() or 'default'}/{resource.object_name.text() or resource.name}"


def read(document: Mapping[str, Any], *, profile: Profile = DEFAULT_PROFILE, today: date = date.min) -> PolicyFile:
    """Configuration as Pulumi's ``--policy-pack-config`` has it: a level or a mapping by policy name, rule id or "all".

    ``profile`` is the one that holds where the document names none. What is wrong is in ``problems``.
    """
    problems: list[Finding] = []
    general = _part(_Settings, document.get(SETTINGS, {}), SETTINGS, problems)
    levels: dict[str, Enforcement] = {}
    thresholds: dict[str, Mapping[str, Any]] = {}
    if EVERY_RULE in document:
        level, rest = _entry(document[EVERY_RULE], EVERY_RULE, problems)
        problems.extend(
            Finding("policy", f"{EVERY_RULE}.{key}", "only a level can be set for all rules") for key in rest
        )
        levels = {rule.id: level for rule in ALL} if level else {}
    for key, value in document.items():
        if key in (SETTINGS, EVERY_RULE):
            continue
        rule = _KEYS.get(key)
        if rule is None:
            problems.append(
                Finding("policy", key, "is no rule of this pack", _meant(key, [*_KEYS, SETTINGS, EVERY_RULE]))
            )
            continue
        level, rest = _entry(value, key, problems)
        if level:
            levels[rule.id] = level
        thresholds[rule.id] = {**thresholds.get(rule.id, {}), **_thresholds(rule, rest, key, problems)}
    exemptions = tuple(general.exemptions) if general else ()
    problems.extend(_unknown_rules(exemptions))
    chosen = general.profile if general and general.profile else profile
    return PolicyFile(chosen, levels, thresholds, exemptions, tuple(problems), today=today)


def settings_schema() -> dict[str, Any]:
    """JSON schema of what :data:`SETTINGS` holds, by property."""
    fields = ", ".join(Exemption.model_fields)
    return {
        "profile": {"type": "string", "enum": [profile.value for profile in Profile]},
        "exemptions": {"type": "array", "items": {"type": "object"}, "description": f"Mappings of {fields}."},
    }


def with_locks(policy: PolicyFile, locks: Mapping[str, Decision]) -> PolicyFile:
    """The same, with the plan locks of the stack that is judged."""
    return replace(policy, locks=locks)


def _part(kind: type[_Settings], value: Any, where: str, problems: list[Finding]) -> _Settings | None:
    try:
        return parse.part(kind, value, where)
    except Refused as refused:
        problems.extend(refused.findings)
        return None


def _entry(value: Any, key: str, problems: list[Finding]) -> tuple[Enforcement | None, dict[str, Any]]:
    """(level, everything else) of one entry: "advisory", or a mapping with ``enforcementLevel`` or ``level``."""
    if isinstance(value, str):
        return _level(value, key, problems), {}
    if not isinstance(value, Mapping):
        problems.append(Finding("policy", key, "must be a level or a mapping", f"one of {', '.join(_LEVELS)}"))
        return None, {}
    rest = dict(cast("Mapping[str, Any]", value))
    said = [(name, rest.pop(name)) for name in ("enforcementLevel", "level") if name in rest]
    found = [_level(level, f"{key}.{name}", problems) for name, level in said]
    return (found[-1] if found else None), rest


def _level(value: Any, where: str, problems: list[Finding]) -> Enforcement | None:
    if isinstance(value, str) and value in _LEVELS:
        return _LEVELS[value]
    problems.append(Finding("policy", where, "is no level", f"one of {', '.join(_LEVELS)}"))
    return None


def _thresholds(rule: Rule, given: Mapping[str, Any], where: str, problems: list[Finding]) -> dict[str, Any]:
    known = {each.name: each for each in rule.thresholds}
    found: dict[str, Any] = {}
    for name, value in given.items():
        threshold = known.get(name)
        if threshold is None:
            names = [*known, "enforcementLevel", "level"]
            problems.append(Finding("policy", f"{where}.{name}", "is no setting of this rule", _meant(name, names)))
        elif problem := _objection(threshold, value):
            problems.append(Finding("policy", f"{where}.{name}", problem))
        else:
            found[name] = tuple(cast("list[str]", value)) if isinstance(value, list) else value
    return found


def _objection(threshold: Threshold, value: Any) -> str:
    if isinstance(threshold.default, bool):
        return "" if isinstance(value, bool) else "must be true or false"
    if isinstance(threshold.default, tuple):
        texts = isinstance(value, list) and all(isinstance(each, str) for each in cast("list[Any]", value))
        return "" if texts else "must be a list of texts"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if threshold.least is not None and value < threshold.least:
        return f"must be at least {threshold.least:g}"
    if threshold.most is not None and value > threshold.most:
        return f"must be at most {threshold.most:g}"
    return ""


def _unknown_rules(exemptions: tuple[Exemption, ...]) -> Iterator[Finding]:
    for index, exemption in enumerate(exemptions):
        where = f"{SETTINGS}.exemptions[{index}]"
        if not (exemption.urn or exemption.name or exemption.labels):
            yield Finding("policy", where, "names nothing that it is about", "urn, name or labels")
        for rule in exemption.rules:
            if rule != "*" and rule not in _KEYS:
                yield Finding("policy", f"{where}.rules", "holds what is no rule of this pack", _meant(rule, _KEYS))


def _meant(name: str, known: Any) -> str:
    close = suggest(str(name), known, limit=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)[:8])}, ..."
