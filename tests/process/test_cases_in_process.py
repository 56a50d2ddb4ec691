"""Every example of every rule, asked of the pack as a process; then what is red is made unknown, and made secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from modelberth.policyfile import PolicyFile
from modelberth.resources import Resource
from modelberth.rules.base import Enforcement, Profile
from modelberth.verdicts import Verdict, judge_all
from tests.policies.servicer import (
    UNKNOWN_ARRAY,
    UNKNOWN_BOOLEAN,
    UNKNOWN_NUMBER,
    UNKNOWN_OBJECT,
    UNKNOWN_STRING,
    asked,
    asked_together,
    configuration,
    secret,
)
from tests.rules.cases import Case, every
from tests.rules.places import at, replaced, stated, steps, texts
from tests.rules.samples import CANARY, rule


def disabled(case: Case) -> bool:
    """Whether nobody is told in this profile."""
    levels = {rule(case.rule).level(case.profile, ours=each.ours) for each in case.resources}
    return levels == {Enforcement.DISABLED}


CASES = tuple(case for case in every() if case.options.retain_on_delete is None)
"""All but those about an option that the engine does not tell a pack."""
BY_NAME = {str(case): case for case in CASES}
RED = tuple(case for case in CASES if case.red is not None and not case.undecided and not disabled(case))
TODAY = datetime.now(tz=UTC).date()
MOST_TEXTS = 12
"""Texts of one place that are replaced, one at a time."""
SILENT_WHEN_UNKNOWN = {
    "CS-06-a-credential-in-a-script-is-refused": "a script that is computed is no literal in the code",
    "CS-07": "members and policies name other resources in nearly every program; what shuts the public out is plain",
    "CS-09": "policies name other resources in nearly every program",
    "CS-21-Ollama-leaks-memory-before-0.17.1": "an unknown image that asks for no GPU and has no flags may be anything",
    "WH-11": "a namespace is an output of the Namespace that the program makes",
    "WH-13-of-ours-it-stops-too": "nobody knows where an Ingress leads of which nothing is known",
    "WH-15": "what is computed is no literal in the code, and often the secret that it should be",
    "WH-21": "a variable whose name is computed has another name than its neighbours",
}
"""Rules and cases that may be silent when the value they point at is only known later, and why."""


@dataclass(frozen=True)
class Told:
    """One diagnostic."""

    rule: str
    level: str
    message: str
    urn: str


class Pack:
    """The process, configured for a case."""

    def __init__(self, stub: analyzer_pb2_grpc.AnalyzerStub) -> None:
        self._stub = stub
        self._configured: dict[str, Any] | None = None
        self._said: dict[str, list[Told]] = {}

    def says_of(self, case: Case) -> list[Told]:
        """What it says about a case as it is."""
        if str(case) not in self._said:
            self._said[str(case)] = self.says(case, case.resources)
        return self._said[str(case)]

    def says(self, case: Case, resources: Iterable[Resource]) -> list[Told]:
        """What it says before each is registered, then about all of them, in the settings of a case."""
        known = tuple(resources)
        thresholds = {name: list(each) if isinstance(each, tuple) else each for name, each in case.thresholds.items()}
        document = {"settings": {"profile": case.profile.value}, rule(case.rule).policy_name: thresholds}
        if document != self._configured:
            self._stub.Configure(configuration(document))
            self._configured = document
        waiting = [self._stub.Analyze.future(asked(each)) for each in known]
        responses = [each.result() for each in waiting] + [self._stub.AnalyzeStack(asked_together(known))]
        return [
            Told(each.policyName, analyzer_pb2.EnforcementLevel.Name(each.enforcementLevel), each.message, each.urn)
            for response in responses
            for each in response.diagnostics
        ]


@pytest.fixture(scope="module")
def process(pack: analyzer_pb2_grpc.AnalyzerStub) -> Pack:
    return Pack(pack)


@cache
def pure(case: str) -> list[Verdict]:
    """What the rule of a case itself says."""
    known = BY_NAME[case]
    policy = PolicyFile(known.profile, thresholds={known.rule: known.thresholds}, today=TODAY)
    return judge_all(known.resources, policy, (rule(known.rule),))


def about(case: Case, told: Iterable[Told]) -> list[Told]:
    """What the rule of a case says."""
    return [each for each in told if each.rule == rule(case.rule).policy_name]


def red(case: Case) -> Verdict:
    """The finding that a red case is about."""
    return next(verdict for verdict in pure(str(case)) if (case.red or "") in str(verdict.finding))


def place(case: Case) -> tuple[int, tuple[str | int, ...]]:
    """(resource, path) of the value that it points at, or of the nearest around it where there is none."""
    verdict = red(case)
    resource = next(index for index, each in enumerate(case.resources) if each.urn == verdict.resource.urn)
    return resource, stated(case.resources[resource].properties, steps(verdict.finding.path))


def with_there(case: Case, value: Any, path: tuple[str | int, ...] | None = None) -> list[Resource]:
    """The resources of a case with another value at that place."""
    index, found = place(case)
    resources = list(case.resources)
    changed = replaced(resources[index].properties, found if path is None else path, value)
    resources[index] = replace(resources[index], properties=changed)
    return resources


def unknown_for(value: Any) -> str:
    """The marker of the engine for a value of this kind."""
    kinds = {bool: UNKNOWN_BOOLEAN, int: UNKNOWN_NUMBER, float: UNKNOWN_NUMBER, list: UNKNOWN_ARRAY}
    return UNKNOWN_OBJECT if isinstance(value, Mapping) else kinds.get(type(value), UNKNOWN_STRING)


Differences = list[tuple[str, Any, Any]]
"""(case, what it should be or where, what it is)."""


def listed(differences: Differences) -> str:
    """All of them, in full: pytest shortens what it compares."""
    return "\n".join(f"\n{case}\n  {expected}\n  {found}" for case, expected, found in differences)


def by_rule(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """One test for each rule, about all of these cases of it: a test for each would cost more than what it asks."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.rule, []).append(case)
    return pytest.mark.parametrize("cases", found.values(), ids=found.keys())


@by_rule(CASES)
def test_the_process_says_the_same_as_the_rule(process: Pack, cases: list[Case]) -> None:
    differences: Differences = []
    for case in cases:
        expected = [
            Told(
                verdict.rule.policy_name,
                verdict.enforcement.name,
                f"{verdict.rule.id} {verdict.rule.title}.\n{verdict.finding}",
                verdict.resource.urn,
            )
            for verdict in pure(str(case))
            if verdict.resource
        ]
        told = about(case, process.says_of(case))
        if told != expected:
            differences.append((str(case), expected, told))
        if not disabled(case) and (case.red is None) is bool(expected):
            differences.append((str(case), case.red, expected))
    assert not differences, listed(differences)


STOPS = tuple(
    case
    for case in RED
    if case.profile is Profile.PROD and not {case.rule, str(case)} & SILENT_WHEN_UNKNOWN.keys() and red(case).stops
)


@by_rule(case for case in STOPS if place(case)[1])
def test_a_rule_that_stops_is_not_turned_quiet_by_an_unknown_value(process: Pack, cases: list[Case]) -> None:
    quiet: Differences = []
    for case in cases:
        index, path = place(case)
        value = at(case.resources[index].properties, path)
        told = process.says(case, with_there(case, unknown_for(value)))
        spoken = {each.rule for each in told if each.level == "MANDATORY"}
        if not spoken & {rule(case.rule).policy_name, rule("SZ-21").policy_name}:
            quiet.append((str(case), path, told))
    assert not quiet, listed(quiet)


@by_rule(case for case in RED if place(case)[1])
def test_a_secret_value_is_judged_like_any_other(process: Pack, cases: list[Case]) -> None:
    differences: Differences = []
    for case in cases:
        index, path = place(case)
        value = at(case.resources[index].properties, path)
        told = about(case, process.says(case, with_there(case, secret(value))))
        plain = about(case, process.says_of(case))
        if told != plain:
            differences.append((str(case), plain, told))
    assert not differences, listed(differences)


@by_rule(RED)
def test_no_message_of_any_rule_holds_a_secret(process: Pack, cases: list[Case]) -> None:
    leaks: Differences = []
    for case in cases:
        index, path = place(case)
        properties = case.resources[index].properties
        for inside in list(texts(at(properties, path)))[:MOST_TEXTS]:
            word = at(properties, (*path, *inside))
            flag = f"{word.partition('=')[0]}=" if word.startswith("-") and "=" in word else ""
            told = process.says(case, with_there(case, secret(flag + CANARY), (*path, *inside)))
            leaks.extend((str(case), inside, each) for each in told if CANARY in str(each))
    assert not leaks, listed(leaks)


def test_the_places_of_findings_are_read_as_they_are_written() -> None:
    assert steps('spec.a[0].b["c.d/e"][12]') == ("spec", "a", 0, "b", "c.d/e", 12)
    assert steps("data") == ("data",)
    assert stated({"a": [{"b": 1}]}, ("a", 0, "c")) == ("a", 0)
    assert replaced({"a": [1, {"b": 2}]}, ("a", 1, "b"), 3) == {"a": [1, {"b": 3}]}
    assert list(texts({"a": ["x", 1], "b": "y"})) == [("a", 0), ("b",)]


def test_no_exception_is_about_a_case_that_is_gone() -> None:
    gone = set(SILENT_WHEN_UNKNOWN) - {str(case) for case in RED} - {case.rule for case in RED}
    assert gone == set()
