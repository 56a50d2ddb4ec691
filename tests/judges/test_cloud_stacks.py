"""checkov over the cloud half of every stack of ours: what fails is left out on purpose, and nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.judges.cloud_checks import SUPPRESSED, Judged, checkov_cloud
from tests.judges.terraform_plan import CLOUDS, terraform_type, written

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
MADE = ("gke", "eks")
"""Targets whose stacks register resources of a cloud."""
STACKS = [
    path
    for path in sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))
    if yaml.safe_load(path.read_text())["config"]["modelberth:target"]["kind"] in MADE
]
GOLDEN = [
    path
    for path in sorted((ROOT / "tests" / "golden").glob("*/resources.yaml"))
    if any(f"type: {cloud}" in path.read_text() for cloud in CLOUDS)
]


@pytest.fixture(scope="module")
def registrations() -> dict[str, list[dict[str, Any]]]:
    """What each stack registers: those in stacks/ as they are now, the golden ones as they were reviewed."""
    script = ROOT / "tests" / "components" / "record.py"
    done = subprocess.run([sys.executable, str(script), *map(str, STACKS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(zip((path.name for path in STACKS), json.loads(done.stdout), strict=True))
    return found | {path.parent.name: list(yaml.safe_load_all(path.read_text())) for path in GOLDEN}


@pytest.fixture(scope="module")
def judged(
    registrations: dict[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Judged]:
    """What checkov says of each."""
    stacks = [written(each) for each in registrations.values()]
    return dict(zip(registrations, checkov_cloud(tmp_path_factory.mktemp("plans"), *stacks), strict=True))


@pytest.mark.parametrize("name", [*(path.name for path in STACKS), *(path.parent.name for path in GOLDEN)])
def test_nothing_fails_but_what_is_left_out_on_purpose(name: str, judged: dict[str, Judged]) -> None:
    assert judged[name].passed
    assert sorted(each for each in judged[name].failed if (each.check, each.type) not in SUPPRESSED) == []


def test_everything_that_is_left_out_on_purpose_fails_somewhere(
    judged: dict[str, Judged], registrations: dict[str, list[dict[str, Any]]]
) -> None:
    registered = {each["type"] for stack in registrations.values() for each in stack if each["type"].startswith(CLOUDS)}
    types = {terraform_type(each) for each in registered}
    failing = {kind for each in judged.values() for kind in each.kinds}
    assert {kind for kind in SUPPRESSED if kind[1] in types} == failing
