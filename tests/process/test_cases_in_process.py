"""Every example of every rule, asked of the pack as a process; then what is red is made unknown, and made secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
RED = tuple(case for case in CASES if case.red is not None and not case.undecided and not disabled(case))
TODAY = datetime.now(tz=UTC).date()
MOST_TEXTS = 12
"""Texts of one place that are replaced, one at a time."""
ADVISED_WHEN_UNKNOWN = {
    "CS-06-a-credential-in-a-script-is-refused": "scripts name the cluster that they join, which a first preview makes",
    "CS-07-everyone-who-has-an-account-is-everyone": "whether the bucket refuses everyone is told where it is made",
    "CS-07-one-member-among-others-is-enough": "whether the bucket refuses everyone is told where it is made",
    "CS-07-a-policy-as-text-lets-everyone-in": "whether the bucket refuses everyone is told where it is made",
    "CS-07-an-access-control-list-lets-everyone-in": "whether the bucket refuses everyone is told where it is made",
    "CS-07-a-bucket-without-its-block-is-refused": "without its name nothing says that the bucket holds weights",
    "CS-07-the-block-of-another-bucket-is-no-block": "without its name nothing says that the bucket holds weights",
    "CS-09": "documents and ARNs of policies name other resources, which a first preview makes",
    "WH-11-ours-say-where-they-are": "without labels it is an object of someone else's, who are only advised",
}
"""Rules and cases whose doubt about the value that they point at does not stop, and why."""
_CLOSED = "the bucket refuses everyone, whoever is named"
_NAME_ALONE = "a name that says nothing; what is computed is no literal in the code"
_ANY_VALUE = "that something is stated is enough, whatever it will be"
_ITS_OWN = "a name that is computed is most likely one of its own, and the API server tells at once where it is not"
SILENT_WHEN_UNKNOWN = {
    "CS-09-a-role-that-is-misspelt-is-refused": _ANY_VALUE,
    "SZ-07-a-driver's-version-is-a-word": _ANY_VALUE,
    "WH-04-in-ours-it-stops": _ANY_VALUE,
    "WH-14-a-listener-that-is-not-is-told": _ITS_OWN,
    "WH-14-a-policy-of-ours-elsewhere-is-for-nobody": _ITS_OWN,
    "WH-14-a-pool-of-a-cluster-that-is-misspelt-is-told": _ITS_OWN,
    "WH-14-an-account-elsewhere-is-not-found": _ITS_OWN,
    "WH-14-in-ours-it-stops": _ITS_OWN,
    "WH-21-a-claim-needs-a-mode": _ANY_VALUE,
    "WH-21-a-range-without-a-length-is-none": _ANY_VALUE,
    "WH-21-a-spread-of-nothing-is-refused": _ANY_VALUE,
    "WH-21-a-toleration-has-an-operator-that-is-known": _ANY_VALUE,
    "WH-21-a-volume's-size-is-an-amount": _ANY_VALUE,
    "WH-21-an-Ingress-path-has-a-type-that-is-known": _ANY_VALUE,
    "WH-21-an-unknown-kind-of-Service-is-refused": _ANY_VALUE,
    "CS-06-a-key-without-groups-opens-SSH": _ANY_VALUE,
    "CS-07-a-key-of-your-own-may-be-asked-for": _ANY_VALUE,
    "CS-07-everyone-is-refused": _CLOSED,
    "CS-07-a-policy-for-everyone-is-refused": _CLOSED,
    "CS-07-a-public-list-is-refused": _CLOSED,
    "CS-17-keys-of-your-own-may-be-asked-for": _ANY_VALUE,
    "CS-17-keys-of-the-other-cloud-may-be-asked-for": _ANY_VALUE,
    "CS-18-a-backend-without-a-firewall-is-refused": _ANY_VALUE,
    "CS-18-a-proxy-without-a-policy-is-refused": _ANY_VALUE,
    "CS-21-Ollama-leaks-memory-before-0.17.1": "an unknown image that asks for no GPU and has no flags may be anything",
    "WH-04-an-emptyDir-without-a-size-stops-what-our-components-wrote": _ANY_VALUE,
    "WH-15-a-literal-for-the-hub-under-any-name-is-found": _NAME_ALONE,
    "WH-15-a-literal-for-a-key-by-chance-is-found": "names of Secrets and of caches are called a key too",
    "WH-15-a-literal-for-an-address-is-found": _NAME_ALONE,
    "WH-15-a-literal-for-flags-in-a-variable-is-found": _NAME_ALONE,
    "WH-15-a-sidecar-and-an-init-container-are-read-too": _NAME_ALONE,
    "WH-15-a-probe's-command-is-read": _NAME_ALONE,
    "WH-15-a-file-in-a-ConfigMap-is-read": _NAME_ALONE,
    "WH-15-a-password-in-a-file-is-read": _NAME_ALONE,
    "WH-15-a-private-key-is-read": _NAME_ALONE,
    "WH-15-what-kubectl-left-of-a-Secret-is-read": "kubectl writes it, no program",
    "WH-15-an-access-key-of-AWS-is-read": _NAME_ALONE,
    "WH-15-a-token-of-GitHub-is-read": _NAME_ALONE,
    "WH-21-a-name-for-two-volumes-is-refused": _ITS_OWN,
    "WH-21-two-values-of-one-variable-are-refused": "a variable whose name is computed has a name of its own",
    "WH-21-an-unknown-second-value-counts-as-another": "a variable whose name is computed has a name of its own",
    "WH-21-sidecars-are-read-too": "a variable whose name is computed has a name of its own",
}
"""Cases whose rule is silent when the value that they point at is only known later, and why."""


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

    def configure(self, case: Case) -> None:
        thresholds = {name: list(each) if isinstance(each, tuple) else each for name, each in case.thresholds.items()}
        document: dict[str, Any] = {"settings": {"profile": case.profile.value}}
        if thresholds:
            document[rule(case.rule).policy_name] = thresholds
        if document != self._configured:
            self._stub.Configure(configuration(document))
            self._configured = document

    def says_of(self, case: Case) -> list[Told]:
        """What it says about a case as it is, asked once."""
        if str(case) not in self._said:
            self._said[str(case)] = self.says(case.resources)
        return self._said[str(case)]

    def says(self, resources: Iterable[Resource]) -> list[Told]:
        """What it says before each is registered, then about all of them."""
        known = tuple(resources)
        responses = [self._stub.Analyze(asked(each)) for each in known]
        responses.append(self._stub.AnalyzeStack(asked_together(known)))
        return [
            Told(each.policyName, analyzer_pb2.EnforcementLevel.Name(each.enforcementLevel), each.message, each.urn)
            for response in responses
            for each in response.diagnostics
        ]


@pytest.fixture(scope="module")
def process(pack: analyzer_pb2_grpc.AnalyzerStub) -> Pack:
    return Pack(pack)


_PURE: dict[str, list[Verdict]] = {}


def pure(case: Case) -> list[Verdict]:
    """What the rules themselves say."""
    if str(case) not in _PURE:
        policy = PolicyFile(case.profile, thresholds={case.rule: case.thresholds}, today=TODAY)
        _PURE[str(case)] = judge_all(case.resources, policy)
    return _PURE[str(case)]


def about(case: Case, told: Iterable[Told]) -> list[Told]:
    """What the rule of a case says."""
    return [each for each in told if each.rule == rule(case.rule).policy_name]


def red(case: Case) -> Verdict:
    """The finding that a red case is about."""
    found = [
        verdict for verdict in pure(case) if verdict.rule.id == case.rule and (case.red or "") in str(verdict.finding)
    ]
    return found[0]


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


def made_unknown(case: Case) -> Iterator[list[Resource]]:
    """The resources with that value only known later, and with one that was missing there."""
    index, path = place(case)
    inside = at(case.resources[index].properties, path)
    if path:
        yield with_there(case, unknown_for(inside))
    rest = steps(red(case).finding.path)[len(path) :]
    if rest and rest[0] != "options" and isinstance(inside, Mapping):
        yield with_there(case, {**inside, rest[0]: UNKNOWN_STRING})


def names_of(case: Case, *others: str) -> set[str]:
    """The policies that may speak about it."""
    return {rule(each).policy_name for each in (case.rule, *others)}


def unknown_for(value: Any) -> str:
    """The marker of the engine for a value of this kind."""
    kinds = {bool: UNKNOWN_BOOLEAN, int: UNKNOWN_NUMBER, float: UNKNOWN_NUMBER, list: UNKNOWN_ARRAY}
    return UNKNOWN_OBJECT if isinstance(value, Mapping) else kinds.get(type(value), UNKNOWN_STRING)


def says_the_same(process: Pack, case: Case) -> None:
    process.configure(case)
    expected = [
        Told(
            verdict.rule.policy_name,
            verdict.enforcement.name,
            f"{verdict.rule.id} {verdict.rule.title}.\n{verdict.finding}",
            verdict.resource.urn,
        )
        for verdict in pure(case)
        if verdict.rule.id == case.rule and verdict.resource
    ]
    assert about(case, process.says_of(case)) == expected
    assert disabled(case) or (case.red is None) is (expected == [])


def still_speaks(process: Pack, case: Case) -> None:
    changed = list(made_unknown(case)) if red(case).stops else []
    if not changed:  # it only advises, or is about no value of the object
        return
    process.configure(case)
    told = [process.says(resources) for resources in changed]
    names = {str(case), case.rule}
    spoken = [{each.level for each in said if each.rule in names_of(case, "SZ-21")} for said in told]
    if names & SILENT_WHEN_UNKNOWN.keys():
        assert set() in spoken, "it speaks after all"
    elif names & ADVISED_WHEN_UNKNOWN.keys():
        assert all(spoken), told
        assert case.rule in ADVISED_WHEN_UNKNOWN or {"ADVISORY"} in spoken, "it stops after all"
    else:
        assert all("MANDATORY" in levels for levels in spoken), told


def judges_a_secret_alike(process: Pack, case: Case) -> None:
    process.configure(case)
    index, path = place(case)
    if not path:  # the finding is about the whole object
        return
    value = at(case.resources[index].properties, path)
    assert about(case, process.says(with_there(case, secret(value)))) == about(case, process.says_of(case))


def keeps_a_secret(process: Pack, case: Case) -> None:
    process.configure(case)
    index, path = place(case)
    properties = case.resources[index].properties
    for inside in list(texts(at(properties, path)))[:MOST_TEXTS]:
        word = at(properties, (*path, *inside))
        flag = f"{word.partition('=')[0]}=" if word.startswith("-") and "=" in word else ""
        told = process.says(with_there(case, secret(flag + CANARY), (*path, *inside)))
        assert CANARY not in str(told)


def by_rule(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """One test for each rule, about all of these cases of it: a test for each would cost more than what it asks."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.rule, []).append(case)
    return pytest.mark.parametrize("cases", found.values(), ids=found.keys())


def hold(check: Callable[[Pack, Case], None], process: Pack, cases: Iterable[Case]) -> None:
    """Make a check of every case, and tell of all that fail."""
    failed: list[str] = []
    for case in cases:
        try:
            check(process, case)
        except AssertionError as error:
            failed.append(f"{case}\n{error}")
    assert not failed, "\n\n".join(failed)


@by_rule(CASES)
def test_the_process_says_the_same_as_the_rule(process: Pack, cases: list[Case]) -> None:
    hold(says_the_same, process, cases)


@by_rule(case for case in RED if case.profile is Profile.PROD)
def test_a_rule_that_stops_is_not_turned_quiet_by_an_unknown_value(process: Pack, cases: list[Case]) -> None:
    hold(still_speaks, process, cases)


@by_rule(RED)
def test_a_secret_value_is_judged_like_any_other(process: Pack, cases: list[Case]) -> None:
    hold(judges_a_secret_alike, process, cases)


@by_rule(RED)
def test_no_message_of_any_rule_holds_a_secret(process: Pack, cases: list[Case]) -> None:
    hold(keeps_a_secret, process, cases)


def test_the_places_of_findings_are_read_as_they_are_written() -> None:
    assert steps('spec.a[0].b["c.d/e"][12]') == ("spec", "a", 0, "b", "c.d/e", 12)
    assert steps("data") == ("data",)
    assert stated({"a": [{"b": 1}]}, ("a", 0, "c")) == ("a", 0)
    assert replaced({"a": [1, {"b": 2}]}, ("a", 1, "b"), 3) == {"a": [1, {"b": 3}]}
    assert list(texts({"a": ["x", 1], "b": "y"})) == [("a", 0), ("b",)]


def test_no_exception_is_about_a_case_that_is_gone() -> None:
    assert SILENT_WHEN_UNKNOWN.keys() <= {str(case) for case in RED}
    assert ADVISED_WHEN_UNKNOWN.keys() <= {name for case in RED for name in (str(case), case.rule)}
