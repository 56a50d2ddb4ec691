"""docs/engines/verified.yaml and the tests that it speaks for agree."""

from __future__ import annotations

import yaml

from modelberth.catalog import catalog
from tests.proofs import DUMP, FILE, GPU, PARSER, SERVER, claimed, rows


def test_what_is_said_to_be_proven_is_what_tests_claim() -> None:
    """When this fails: `pytest -m "proves or inference" --verified` on what changed, then `make generate`."""
    assert {(row["test"], row["what"]) for row in rows()} == set(claimed())


def test_every_row_says_of_which_version_how_and_when() -> None:
    for row in rows():
        assert catalog().engine(row["engine"])
        assert row["how"] in (DUMP, PARSER, SERVER, GPU)
        assert row["version"]
        assert row["date"]


def test_every_engine_says_what_of_it_was_never_seen() -> None:
    unseen = yaml.safe_load(FILE.read_text(encoding="utf-8"))["unseen"]
    assert {row["engine"] for row in unseen} == {engine.id for engine in catalog().engines()}
