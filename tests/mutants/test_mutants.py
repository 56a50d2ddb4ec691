"""The pack is silent on every golden stack, and loud on each mutation of the table."""

from __future__ import annotations

import pytest

from modelberth.rules import ALL
from tests.mutants.mutate import Change, judged, names, stack, table


@pytest.mark.parametrize("name", names())
def test_every_golden_stack_is_met_with_silence_in_its_own_profile(name: str) -> None:
    assert [f"{verdict.rule.id} {verdict.finding}" for verdict in judged(name, stack(name))] == []


@pytest.mark.parametrize("change", table(), ids=str)
def test_the_rule_that_the_table_names_catches(change: Change) -> None:
    assert change.rule in {verdict.rule.id for verdict in judged(change.stack, change.applied())}


def test_the_table_has_sixty_mutations_and_every_rule_that_stops() -> None:
    assert len(table()) >= 60
    assert {change.rule for change in table()} <= {rule.id for rule in ALL}
