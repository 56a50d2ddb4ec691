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
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    found: Recorded = record(tmp_path_factory.mktemp("stacks"), "karpenter")["karpenter"]
    return [each["inputs"] for kind in KINDS for each in found.all(kind).values()]


def test_every_object_is_accepted(kube: Kube, objects: list[dict[str, Any]]) -> None:
    crds.install(kube, "karpenter")
    assert [each["kind"] for each in objects] == ["EC2NodeClass", "EC2NodeClass", "NodePool", "NodePool"]
    for each in objects:
        kube.create(each)
        kube.delete(each)


def test_a_misspelt_policy_would_not_be(kube: Kube, objects: list[dict[str, Any]]) -> None:
    crds.install(kube, "karpenter")
    pool = objects[-1]
    spec = pool["spec"]
    wrong = {**pool, "spec": {**spec, "disruption": {**spec["disruption"], "consolidationPolicy": "Never"}}}
    with pytest.raises(KubeError, match="consolidationPolicy"):
        kube.create(wrong)
