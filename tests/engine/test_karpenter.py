"""What Karpenter is given passes its own definitions, checked by a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.eks_cases import Recorded, record
from toolchain import crds
from toolchain.kube import Kube, KubeError

pytestmark = pytest.mark.engine

KINDS = ("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass", "kubernetes:karpenter.sh/v1:NodePool")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    return record(tmp_path_factory.mktemp("stacks"), "karpenter", "nodes-by-karpenter")


def of(found: Recorded) -> list[dict[str, Any]]:
    return [each["inputs"] for kind in KINDS for each in found.all(kind).values()]


@pytest.fixture(scope="module")
def objects(recorded: dict[str, Recorded]) -> list[dict[str, Any]]:
    return of(recorded["karpenter"])


def test_every_object_is_accepted(kube: Kube, objects: list[dict[str, Any]]) -> None:
    crds.install(kube, "karpenter")
    assert [each["kind"] for each in objects] == ["EC2NodeClass", "EC2NodeClass", "NodePool", "NodePool"]
    for each in objects:
        kube.create(each)
        kube.delete(each)


def test_nodes_that_share_a_copy_are_accepted_with_their_interfaces(kube: Kube, recorded: dict[str, Recorded]) -> None:
    crds.install(kube, "karpenter")
    nodes, pool = of(recorded["nodes-by-karpenter"])
    assert len(nodes["spec"]["networkInterfaces"]) == 33
    nodes["spec"]["securityGroupSelectorTerms"] = [{"id": "sg-0123456789abcdef0"}]  # the recorder's ids are names
    for each in (nodes, pool):
        kube.create(each)
        kube.delete(each)


def test_a_misspelt_policy_would_not_be(kube: Kube, objects: list[dict[str, Any]]) -> None:
    crds.install(kube, "karpenter")
    pool = objects[-1]
    spec = pool["spec"]
    wrong = {**pool, "spec": {**spec, "disruption": {**spec["disruption"], "consolidationPolicy": "Never"}}}
    with pytest.raises(KubeError, match="consolidationPolicy"):
        kube.create(wrong)
