"""Outside judges over every committed stack: the cloud half as a Terraform plan, the Kubernetes half as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.judges import cloud_checks
from tests.judges.terraform_plan import terraform_type, written
from tests.judges.test_manifests import SUPPRESSED
from toolchain import judges

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
STACKS = sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))
NAMES = [path.name.split(".")[1] for path in STACKS]
CLOUDS = ("gcp:", "aws:")
ONLY_WITH = {"CKV_K8S_35": "secretKeyRef"}
"""Suppressed checks of objects that have something, as it is spelled; the others are of every workload."""


@dataclass(frozen=True)
class Rendered:
    """What one stack registers, and what checkov says of its halves."""

    registrations: list[dict[str, Any]]
    cloud: cloud_checks.Judged
    kubernetes: set[str]

    @property
    def cloud_types(self) -> set[str]:
        """Types of the cloud half, as Terraform calls them."""
        return {terraform_type(each["type"]) for each in self.registrations if each["type"].startswith(CLOUDS)}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    """Every stack, by name."""
    recorder = ROOT / "tests" / "components" / "record.py"
    done = subprocess.run([sys.executable, recorder, *STACKS], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    recorded = json.loads(done.stdout)
    folder = tmp_path_factory.mktemp("stacks")
    files = [folder / f"{name}.yaml" for name in NAMES]
    for file, registrations in zip(files, recorded, strict=True):
        file.write_text(yaml.safe_dump_all(manifests(registrations)))
    clouds = cloud_checks.checkov_cloud(folder, *map(written, recorded))
    objects = [{failed["id"] for failed in of_stack} for of_stack in judges.checkov(*files)]
    return {
        name: Rendered(*halves) for name, *halves in zip(NAMES, recorded, clouds, objects, strict=True)
    }  # fmt: skip


def manifests(registrations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kubernetes objects with the names that a cluster would give them."""
    found = [each for each in registrations if each["type"].startswith("kubernetes:")]
    for each in found:
        each["inputs"]["metadata"].setdefault("name", each["name"])
    return [each["inputs"] for each in found]


@pytest.mark.parametrize("stack", NAMES)
def test_the_cloud_half_fails_what_is_suppressed_for_its_types_and_nothing_else(
    stack: str, rendered: dict[str, Rendered]
) -> None:
    of = rendered[stack]
    expected = {(check, type_) for check, type_ in cloud_checks.SUPPRESSED if type_ in of.cloud_types}
    assert of.cloud.kinds == expected
    assert bool(of.cloud.passed) == bool(of.cloud_types)


@pytest.mark.parametrize("stack", NAMES)
def test_the_kubernetes_half_fails_what_is_suppressed_and_nothing_else(
    stack: str, rendered: dict[str, Rendered]
) -> None:
    text = json.dumps(rendered[stack].registrations)
    assert rendered[stack].kubernetes == {check for check in SUPPRESSED if ONLY_WITH.get(check, "") in text}


def test_every_suppression_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in (*SUPPRESSED.values(), *cloud_checks.SUPPRESSED.values()))
