"""The pack is silent on every golden stack, and loud on the table's mutations and nearly all generated ones."""

from __future__ import annotations

import pytest

from modelberth.rules import ALL
from tests.mutants.fields import mutants
from tests.mutants.generated import fate
from tests.mutants.mutate import Change, judged, names, stack, table
from tests.mutants.report import EQUIVALENT, LEAST_KILLED, reason_key, report

WITHOUT_AN_ENTRY: dict[str, str] = {}
"""Rules that no change of one field of a silent stack trips, and why."""
SAMPLED = ("8b-three-times", "gke", "eks", "edge")
"""Stacks of which every fifth generated mutant is judged here; `make mutants` judges all of all stacks."""


@pytest.mark.parametrize("name", names())
def test_every_golden_stack_is_met_with_silence_in_its_own_profile(name: str) -> None:
    assert [f"{verdict.rule.id} {verdict.finding}" for verdict in judged(name, stack(name))] == []


@pytest.mark.parametrize("change", table(), ids=str)
def test_the_rule_that_the_table_names_catches(change: Change) -> None:
    assert change.rule in {verdict.rule.id for verdict in judged(change.stack, change.applied())}


def test_the_table_has_sixty_mutations_and_one_for_every_rule() -> None:
    assert len(table()) >= 60
    assert {change.rule for change in table()} | WITHOUT_AN_ENTRY.keys() == {rule.id for rule in ALL}


def test_nearly_all_of_a_fixed_sample_of_generated_mutants_are_caught() -> None:
    sample = [mutant for name in SAMPLED for mutant in mutants(name)][::5]
    found = report(fate(mutant) for mutant in sample)
    assert found.killed > 100
    assert found.share_killed >= LEAST_KILLED - 0.05, [str(each.mutant) for each in found.alive]


def test_every_reason_is_a_sentence_of_its_own() -> None:
    assert all(len(reason.split()) >= 4 for reason in EQUIVALENT.values())


def test_a_star_stands_for_no_dot_and_no_blank() -> None:
    assert reason_key("Job.metadata.labels.modelberth.dev/role dropped")
    assert not reason_key("Job.more.metadata.labels.modelberth.dev/role dropped")
