"""Every example of every rule, asked of the rule itself."""

from __future__ import annotations

import pytest

from modelberth.findings import Finding, Level, Nature
from modelberth.inventory import Inventory
from modelberth.policyfile import PolicyFile
from modelberth.rules import ALL
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
