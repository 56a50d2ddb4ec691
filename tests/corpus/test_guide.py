"""The page that maps what guides say to rules: every rule that it names exists, and every sentence has an answer."""

from __future__ import annotations

import re

import pytest

from modelberth.rules import ALL
from tests.corpus.test_corpus import ROOT

PAGE = (ROOT / "docs" / "policies" / "guide.md").read_text()
ROWS = [
    row
    for line in PAGE.splitlines()
    if line.startswith("| ") and len(row := [cell.strip() for cell in line.strip("|").split("|")]) == 3 and row[2]
][1:]
IDS = {rule.id for rule in ALL}


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_every_sentence_is_answered_by_rules_that_exist_or_by_a_reason(row: list[str]) -> None:
    named = re.findall(r"\b[A-Z]{2}-\d\d\b", row[1])
    assert set(named) <= IDS
    assert named or row[1] == "not a rule"


def test_every_rule_that_the_page_names_anywhere_exists() -> None:
    assert set(re.findall(r"\b(?:SZ|WH|CS)-\d+\b", PAGE)) <= IDS
