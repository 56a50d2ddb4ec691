"""What our components write: nothing of it stops, but for the digests and commits that a specification leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from modelberth.policyfile import PolicyFile
from modelberth.resources import Resource
from modelberth.rules.base import Profile
from modelberth.verdicts import judge_all
from tests.rules.samples import ROOT

GOLDENS = sorted((ROOT / "tests" / "golden").glob("*/resources.yaml"))
LEFT_OUT = {"WH-06", "CS-19"}
"""What a specification says, and not the components: image_digest, revision."""
ALSO = {"eks-h100": {"WH-09"}}
"""What one specification asks for: two replicas that share the GPUs of one node."""
AROUND = frozenset(
    ["CS-19", "CS-20", "CS-21", "WH-06", "WH-08", "WH-09", "WH-10", "WH-11", "WH-12", "WH-13", "WH-14", "WH-16"]
) | {"WH-19", "WH-21"}


def registered(path: Path) -> tuple[Resource, ...]:
    """The resources of a golden case."""
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return tuple(
        Resource(
            each["type"], each["name"], each["inputs"], f"urn:pulumi:golden::modelberth::{each['type']}::{each['name']}"
        )
        for each in documents
    )


def told(path: Path, profile: Profile) -> list[str]:
    """Rules that say anything about a golden case beside its sizes."""
    verdicts = judge_all(registered(path), PolicyFile(profile))
    return [verdict.rule.id for verdict in verdicts if verdict.rule.id in AROUND]


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.parent.name)
def test_components_leave_nothing_to_say_but_digests_and_commits(path: Path) -> None:
    assert set(told(path, Profile.STRICT)) <= LEFT_OUT | ALSO.get(path.parent.name, set())


def test_a_specification_that_names_them_leaves_nothing_to_say() -> None:
    assert told(ROOT / "tests" / "golden" / "production" / "resources.yaml", Profile.STRICT) == []
