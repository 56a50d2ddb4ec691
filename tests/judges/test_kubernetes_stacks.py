"""checkov over the Kubernetes half of every committed stack; test_cloud_stacks.py has the cloud half."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.judges.test_manifests import PLUGIN, SUPPRESSED
from toolchain import judges

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
STACKS = sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))
NAMES = [path.name.split(".")[1] for path in STACKS]
BY_TAG = r'"image": "[^"@]+"'
ONLY_WITH = {"CKV_K8S_15": BY_TAG, "CKV_K8S_35": "secretKeyRef", "CKV_K8S_43": BY_TAG}
"""Suppressed checks, and what a stack must have for them to fail."""
OF_PLUGIN = {
    "CKV_K8S_8": "it has no port that a probe could ask: it serves the kubelet through a socket",
    "CKV_K8S_9": "it has no port that a probe could ask: it serves the kubelet through a socket",
    "CKV_K8S_11": "a limit on CPU would delay what pods wait for when they start",
    "CKV_K8S_23": "the kubelet's socket belongs to root",
    "CKV_K8S_40": "the kubelet's socket belongs to root",
}
"""Checks that fail on purpose for the plugin that tells nodes of their GPUs, on clouds where it is ours to install."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, list[dict[str, str]]]]:
    """What each stack registers, as text, and the checks that fail."""
    recorder = ROOT / "tests" / "components" / "record.py"
    done = subprocess.run([sys.executable, recorder, *STACKS], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    recorded = json.loads(done.stdout)
    folder = tmp_path_factory.mktemp("stacks")
    files = [folder / f"{name}.yaml" for name in NAMES]
    for file, registrations in zip(files, recorded, strict=True):
        file.write_text(yaml.safe_dump_all(manifests(registrations)))
    texts = [json.dumps(each) for each in recorded]
    return dict(zip(NAMES, zip(texts, judges.checkov(*files), strict=True), strict=True))


def manifests(registrations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kubernetes objects with the names that a cluster would give them."""
    objects = [each for each in registrations if each["type"].startswith("kubernetes:")]
    for each in objects:
        each["inputs"]["metadata"].setdefault("name", each["name"])
    return [each["inputs"] for each in objects]


@pytest.mark.parametrize("stack", NAMES)
def test_what_fails_is_left_out_on_purpose_and_nothing_else(
    stack: str, found: dict[str, tuple[str, list[dict[str, str]]]]
) -> None:
    text, failed = found[stack]
    plugins = {each["id"] for each in failed if each["resource"] == PLUGIN} - SUPPRESSED.keys()
    others = {each["id"] for each in failed if each["resource"] != PLUGIN}
    assert others == {check for check in SUPPRESSED if re.search(ONLY_WITH[check], text)}
    assert plugins == (set(OF_PLUGIN) if "nvidia-device-plugin" in text else set())
