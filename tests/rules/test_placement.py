"""Our own pods on pools of the machine types that they were planned for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.catalog import catalog
from modelberth.clouds import node_profile
from modelberth.clouds.gcp import ACCELERATOR
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.resources import Resource
from modelberth.rules.base import Profile, Settings
from tests.rules.samples import rule

GOLDENS = sorted((Path(__file__).resolve().parents[1] / "golden").glob("*/resources.yaml"))
INSTANCE_TYPE = "node.kubernetes.io/instance-type"


def resources(path: Path) -> tuple[Resource, ...]:
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return tuple(
        Resource(each["type"], each["name"], each.get("inputs") or {}, each["name"]) for each in documents if each
    )


def pool(machine_id: str, name: str) -> Resource:
    machine = catalog().machine(machine_id)
    if machine.cloud == "aws":
        requirement = {"key": INSTANCE_TYPE, "operator": "In", "values": [machine_id]}
        spec = {"requirements": [requirement], "nodeClassRef": {"group": "karpenter.k8s.aws"}}
        properties: dict[str, Any] = {"spec": {"template": {"spec": spec}}}
        return Resource("kubernetes:karpenter.sh/v1:NodePool", name, properties, name)
    accelerator = node_profile(machine_id).labels.get(ACCELERATOR)
    attached = [{"type": accelerator, "count": machine.gpu_count}] if accelerator else []
    config = {"machineType": machine_id, "guestAccelerators": attached, "diskSizeGb": 2000}
    return Resource("gcp:container/nodePool:NodePool", name, {"nodeConfig": config}, name)


def said(rule_id: str, there: tuple[Resource, ...]) -> list[Finding]:
    asked = rule(rule_id)
    settings = Settings(Profile.PROD, asked.defaults)
    about = [finding for each in there for finding in asked.about(each, settings)]
    return about + [finding for _, finding in asked.over(Inventory(there), settings)]


def machines_of(there: tuple[Resource, ...]) -> list[str]:
    selectors = (pod.spec["nodeSelector"][INSTANCE_TYPE].text() for each in there for pod in each.pods if pod.serves)
    return sorted({selector for selector in selectors if selector})


@pytest.mark.parametrize("path", GOLDENS, ids=lambda each: each.parent.name)
def test_pods_of_a_plan_fit_the_machine_types_that_it_chose(path: Path) -> None:
    there = resources(path)
    made = tuple(pool(machine, f"pool-{machine}") for machine in machines_of(there))
    for rule_id in ("SZ-06", "SZ-07"):
        assert [str(finding) for finding in said(rule_id, (*there, *made))] == []


def test_and_no_others() -> None:
    there = next(found for found in map(resources, GOLDENS) if "g2-standard" in "".join(machines_of(found)))
    found = said("SZ-06", (*there, pool("a2-highgpu-1g", "a100")))
    assert any("NVIDIA A100" in str(finding) or "another machine type" in str(finding) for finding in found)
