"""Manifests after the shapes that public charts use: what is wrong with each, which rule says so, and who agrees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.policyfile import PolicyFile
from modelberth.resources import Resource
from modelberth.rules.base import Enforcement, Profile
from modelberth.sources import resources
from modelberth.verdicts import Verdict, judge_all
from tests.mutants.mutate import CLOUD, names, stack
from toolchain import judges

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GUIDE = ROOT / "examples" / "guide" / "deployment.yaml"
FILES = [*sorted((HERE / "manifests").glob("*.yaml")), GUIDE]
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "expected.yaml").read_text())

SAME = {
    "WH-01": {"CKV_K8S_8", "CKV_K8S_9"},
    "WH-02": {"CKV_K8S_10", "CKV_K8S_11", "CKV_K8S_12", "CKV_K8S_13"},
    "WH-03": {"CKV_K8S_16", "CKV_K8S_20", "CKV_K8S_23", "CKV_K8S_28", "CKV_K8S_31", "CKV_K8S_37", "CKV_K8S_40"},
    "WH-04": {"CKV_K8S_22"},
    "WH-05": {"CKV_K8S_17", "CKV_K8S_18", "CKV_K8S_19", "CKV_K8S_26", "CKV_K8S_27"},
    "WH-06": {"CKV_K8S_14", "CKV_K8S_43"},
    "WH-07": {"CKV_K8S_38"},
    "WH-11": {"CKV_K8S_21"},
}
"""Our rule -> checks of checkov that are about the same thing."""

_GROUPS = "checkov looks into no LeaderWorkerSet"
_DISK = "checkov has no check of ephemeral-storage, which alone is missing"
DIFFER = {
    **{("18-sglang-multi-node", f"WH-0{number}"): _GROUPS for number in (1, 2, 3, 4, 6, 7)},
    **{("19-vllm-multi-node-with-ray", f"WH-0{number}"): _GROUPS for number in (1, 2, 3, 4, 6, 7)},
    ("01-llama-8b-on-l4-full-context", "WH-02"): _DISK,
    ("21-llama-server-in-too-little-memory", "WH-02"): _DISK,
    ("22-llama-server-that-runs", "WH-02"): _DISK,
    (
        "06-host-path-and-privileged",
        "WH-05",
    ): "checkov objects to the socket of Docker, and to no other folder of a node",
    (
        "25-probe-that-kills",
        "WH-01",
    ): "checkov is content with any two probes: it asks for no start-up probe, and no path",
    (
        "deployment",
        "WH-11",
    ): "a file that states no namespace goes where kubectl is told, which checkov takes for default",
}
"""Manifest and our rule -> why one of the two is right to say nothing. Everywhere else they agree."""


def judged(file: Path) -> list[Verdict]:
    return judge_all(resources(file.read_text(), file.name), PolicyFile(Profile.PROD))


def said(verdicts: list[Verdict], enforcement: Enforcement) -> list[str]:
    return sorted({verdict.rule.id for verdict in verdicts if verdict.enforcement is enforcement})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_stops_a_manifest_and_what_is_advised_is_what_a_reviewer_says(file: Path) -> None:
    expected, found = EXPECTED[file.stem], judged(file)
    assert said(found, Enforcement.MANDATORY) == expected["stops"]
    assert said(found, Enforcement.ADVISORY) == expected["advised"]


def test_every_manifest_says_what_is_wrong_with_it() -> None:
    assert sorted(EXPECTED) == sorted(file.stem for file in FILES)
    assert len(FILES) >= 30
    assert all(each["about"] for each in EXPECTED.values())


def serving(known: list[Resource]) -> Iterator[Resource]:
    return (resource for resource in known if resource.workloads)


def named(resource: Resource) -> str:
    namespace = resource.namespace.text() or "default"
    return f"{resource.kind}.{namespace}.{resource.object_name.text() or resource.name}"


@pytest.mark.engine
def test_checkov_and_our_rules_agree_on_every_serving_workload(tmp_path: Path) -> None:
    known = {file.stem: list(resources(file.read_text(), file.name)) for file in FILES}
    known |= {name: stack(name) for name in names() if name not in CLOUD}
    files = [tmp_path / f"{name}.yaml" for name in known]
    for file, group in zip(files, known.values(), strict=True):
        objects = [dict(each.properties) for each in group if each.is_kubernetes]
        for each, registered in zip(objects, (r for r in group if r.is_kubernetes), strict=True):
            each["metadata"] = {"name": registered.name, **each.get("metadata", {})}
        file.write_text(yaml.safe_dump_all(objects))
    differ = set[tuple[str, str]]()
    for (name, group), failed in zip(known.items(), judges.checkov(*files), strict=True):
        ours = judge_all(group, PolicyFile(Profile.STRICT))
        for resource in serving(group):
            theirs = {each["id"] for each in failed if each["resource"] == named(resource)}
            told = {verdict.rule.id for verdict in ours if verdict.resource is resource}
            differ |= {(name, rule) for rule, checks in SAME.items() if bool(theirs & checks) != (rule in told)}
    assert differ == set(DIFFER)
