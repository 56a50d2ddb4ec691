"""How strict a run is: profile, levels, thresholds and exemptions, from the file that configures pack and check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from functools import cached_property
from math import isfinite
from typing import Any, cast

from pydantic import Field

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

    rules: list[str] = Field(min_length=1)
    """Ids or names of the rules, or ["*"]."""
    urn: str | None = None
    """Pattern of the resource's URN."""
    name: str | None = None
    """Pattern of "namespace/name" of a Kubernetes object (or logical name), of the logical name of anything else."""
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
        if self.name and not any(fnmatchcase(name, self.name) for name in _names_of(resource)):
            return False
        wanted = {key: resource.labels[key] for key in self.labels or {}}
        return all(
            label.stated and not label.unknown and fnmatchcase(str(label.value), (self.labels or {})[key])
            for key, label in wanted.items()
        )

    def __str__(self) -> str:
        """What it is about, as configuration says it."""
        labels = {f"label {key}": value for key, value in (self.labels or {}).items()}
        said = {"urn": self.urn, "name": self.name, **labels}
        return ", ".join([*self.rules, *(f"{key} {value}" for key, value in said.items() if value)])


class _Settings(Part):
    profile: Profile | None = None
    """Preset of the levels: dev, prod or strict."""
    exemptions: list[Exemption] = Field(default_factory=list["Exemption"])
    """What rules do not apply to."""


@dataclass(frozen=True)
class PolicyFile:
    """Everything that configuration says. ``problems`` are what is wrong with it: nothing wrong is ever ignored.

    ``levels`` are those that somebody chose, by rule id: they win over the profile and over what a finding says of
    itself. ``quiet`` is set where somebody disabled the summary of exemptions.
    """

    profile: Profile = DEFAULT_PROFILE
    levels: Mapping[str, Enforcement] = field(default_factory=dict[str, Enforcement])
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    exemptions: tuple[Exemption, ...] = ()
    problems: tuple[Finding, ...] = ()
    locks: Mapping[str, Decision] = field(default_factory=dict[str, Decision])
    today: date = date.min
    quiet: bool = False

    @cached_property
    def _settings(self) -> dict[str, Settings]:
        return {}

    def settings(self, rule: Rule) -> Settings:
        """What a rule's check may depend on."""
        found = self._settings.get(rule.id)
        if found is None:
            values = rule.defaults | dict(self.thresholds.get(rule.id, {}))
            found = self._settings[rule.id] = Settings(self.profile, values, self.locks, self.today)
        return found

    def level(self, rule: Rule, resource: Resource | None) -> Enforcement:
        """The level of a rule for a resource: what is configured for it, else what the profile says."""
        configured = self.levels.get(rule.id)
        return configured or rule.level(self.profile, ours=resource is None or resource.ours)


def _names_of(resource: Resource) -> set[str]:
    """What a pattern may match. A namespace that is not known yet is only matched by a pattern for every namespace."""
    if not resource.is_kubernetes:
        return {resource.name}
    namespace = "" if resource.namespace.unknown else resource.namespace.text() or "default"
    return {f"{namespace}/{name}" for name in (resource.object_name.text(), resource.name) if name}


def read(document: Mapping[str, Any], *, profile: Profile = DEFAULT_PROFILE, today: date = date.min) -> PolicyFile:
    """Configuration as Pulumi's ``--policy-pack-config`` has it: a level or a mapping by policy name, rule id or "all".

    ``profile`` is the one that holds where the document names none. What is wrong is in ``problems``.
    """
    problems: list[Finding] = []
    every = _of_every_rule(document.get(EVERY_RULE, {}), problems)
    of_summary, rest = _entry(document.get(SETTINGS, {}), SETTINGS, problems)
    general = _part(_Settings, rest, SETTINGS, problems) or _Settings()
    levels = {rule.id: every for rule in ALL} if every else {}
    thresholds: dict[str, Mapping[str, Any]] = {}
    for key, value in document.items():
        if key in (SETTINGS, EVERY_RULE):
            continue
        rule = _KEYS.get(str(key))
        if rule is None:
            known = [*_KEYS, SETTINGS, EVERY_RULE]
            problems.append(Finding("policy", str(key), "is no rule of this pack", _meant(key, known)))
            continue
        if rule.id in thresholds:
            problems.append(Finding("policy", key, f"{rule.id} has an entry already", "one entry for each rule"))
        level, rest = _entry(value, key, problems)
        if level:
            levels[rule.id] = level
        thresholds[rule.id] = _thresholds(rule, rest, key, problems)
    problems.extend(_of_exemptions(general.exemptions))
    return PolicyFile(
        profile=general.profile or profile,
        levels=levels,
        thresholds=thresholds,
        exemptions=tuple(general.exemptions),
        problems=tuple(problems),
        today=today,
        quiet=(of_summary or every) is Enforcement.DISABLED,
    )


def settings_schema() -> dict[str, Any]:
    """JSON schema of what :data:`SETTINGS` holds, by property."""
    fields = ", ".join(Exemption.model_fields)
    return {
        "profile": {"type": "string", "enum": [profile.value for profile in Profile]},
        "exemptions": {"type": "array", "items": {"type": "object"}, "description": f"Mappings of {fields}."},
    }


def _part(kind: type[_Settings], value: Any, where: str, problems: list[Finding]) -> _Settings | None:
    if not value and isinstance(value, Mapping):
        return None
    from modelberth import parse  # and the whole spec with it: most runs have no settings, and a preview waits for this

    try:
        return parse.part(kind, value, where)
    except Refused as refused:
        problems.extend(refused.findings)
        return None


def _of_every_rule(value: Any, problems: list[Finding]) -> Enforcement | None:
    level, rest = _entry(value, EVERY_RULE, problems)
    problems.extend(Finding("policy", f"{EVERY_RULE}.{key}", "only a level can be set for all rules") for key in rest)
    return level


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
            found[name] = _as_default(threshold, value)
    return found


def _as_default(threshold: Threshold, value: Any) -> Any:
    """A value of the type that the default has: a whole number is a float where it came as JSON through the engine."""
    if isinstance(value, list):
        return tuple(cast("list[str]", value))
    return int(value) if type(threshold.default) is int else value


def _objection(threshold: Threshold, value: Any) -> str:
    if isinstance(threshold.default, bool):
        return "" if isinstance(value, bool) else "must be true or false"
    if isinstance(threshold.default, tuple):
        texts = isinstance(value, list) and all(isinstance(each, str) for each in cast("list[Any]", value))
        return "" if texts else "must be a list of texts"
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return "must be a number"
    if type(threshold.default) is int and value != int(value):
        return "must be a whole number"
    if threshold.least is not None and value < threshold.least:
        return f"must be at least {threshold.least:g}"
    if threshold.most is not None and value > threshold.most:
        return f"must be at most {threshold.most:g}"
    return ""


def _of_exemptions(exemptions: Iterable[Exemption]) -> Iterator[Finding]:
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
