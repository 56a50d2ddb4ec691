"""Every example of every rule, asked of the rule itself."""

from __future__ import annotations

import pytest

from modelberth.findings import Finding, Level, Nature
from modelberth.inventory import Inventory
from modelberth.policyfile import PolicyFile, read
from modelberth.rules import ALL, Rule
from modelberth.rules.base import Enforcement, Profile
from tests.rules.cases import Case, every
from tests.rules.samples import rule

CASES = tuple(every())


def said(case: Case) -> list[Finding]:
    """What the rule of a case says about everything that is there."""
    policy = PolicyFile(case.profile, thresholds={case.rule: case.thresholds})
    asked, settings = rule(case.rule), policy.settings(rule(case.rule))
    about = [finding for resource in case.resources for finding in asked.about(resource, settings)]
    return about + [finding for _, finding in asked.over(Inventory(case.resources), settings)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_that(case: Case) -> None:
    found = said(case)
    if case.red is None:
        assert [str(finding) for finding in found] == []
        return
    assert any(case.red in str(finding) for finding in found), [str(finding) for finding in found]
    (finding,) = [finding for finding in found if case.red in str(finding)][:1]
    assert finding.code == case.rule
    assert finding.path
    assert finding.remedy
    assert (finding.nature is Nature.UNDECIDED) is case.undecided
    assert (finding.level is not Level.ERROR) is case.advice


def test_no_two_cases_share_a_name() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


def test_every_case_is_about_a_rule_that_exists() -> None:
    assert {case.rule for case in CASES} <= {each.id for each in ALL}


TOLD_BY_SZ_21 = "an unknown value that it needs is told by SZ-21, for all rules about sizing at once"
NEVER_IN_DOUBT = {
    **dict.fromkeys(("SZ-01", "SZ-03", "SZ-04", "SZ-09", "SZ-10", "SZ-24"), TOLD_BY_SZ_21),
    "CS-22": "the engine always tells which provider a resource has",
    "WH-19": "the type of a resource is never computed",
}
"""Mandatory rules without a case of their own about a value that is only known later, and why."""


@pytest.mark.parametrize("asked", ALL, ids=lambda each: each.id)
def test_every_rule_has_cases_on_both_sides_and_one_of_doubt(asked: Rule) -> None:
    of_rule = [case for case in CASES if case.rule == asked.id]
    doubtful = asked.levels.of(Profile.PROD) is not Enforcement.MANDATORY or asked.id in NEVER_IN_DOUBT
    assert {
        "red": any(case.red is not None and not case.undecided for case in of_rule) or asked.id == "SZ-21",
        "green": any(case.red is None for case in of_rule),
        "undecided": any(case.undecided for case in of_rule) or doubtful,
    } == {"red": True, "green": True, "undecided": True}


@pytest.mark.parametrize("asked", ALL, ids=lambda each: each.id)
def test_a_rule_with_a_figure_has_a_case_on_each_side_of_it(asked: Rule) -> None:
    pairs = [case for case in CASES if case.rule == asked.id and case.boundary]
    figure = any(type(each.default) in (int, float) for each in asked.thresholds)
    if figure or pairs:
        assert any(case.red is None or case.advice for case in pairs)
        assert any(case.red is not None for case in pairs)


def test_no_exception_outlives_its_rule() -> None:
    assert set(NEVER_IN_DOUBT) <= {each.id for each in ALL}
    assert {case.rule for case in CASES if case.undecided and not case.advice}.isdisjoint(NEVER_IN_DOUBT)


@pytest.mark.parametrize("case", [case for case in CASES if case.thresholds], ids=str)
def test_thresholds_of_cases_are_such_as_configuration_takes(case: Case) -> None:
    given = {name: list(each) if isinstance(each, tuple) else each for name, each in case.thresholds.items()}
    found = read({case.rule: given})
    assert [str(problem) for problem in found.problems] == []
    assert found.thresholds[case.rule] == case.thresholds
