"""How pods reach nodes: labels in the cluster's own dialect, the GPU taint tolerated everywhere, zones kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from modelberth import parse
from modelberth.components.node_pool import placed
from modelberth.decision import Decision
from modelberth.plan import plan
from modelberth.spec import StackSpec

DIALECTS = {
    "gcp": ("g2-standard-8", "cloud.google.com/gke-accelerator", "nvidia-l4"),
    "aws": ("g6.2xlarge", "karpenter.k8s.aws/instance-gpu-name", "l4"),
    "generic": ("g6.2xlarge", "nvidia.com/gpu.product", "NVIDIA-L4"),
}


def decision(machine: str, accelerator: str = "nvidia-l4") -> Decision:
    pool = {"accelerators": [accelerator], "machine_types": [machine], "max_nodes": 1}
    service = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 4096, "concurrency": 2}
    stack: StackSpec = parse.stack({"target": {"kind": "existing"}, "pools": {"p": pool}, "services": {"a": service}})
    return plan("a", stack).decision


def target(node_labels: str) -> Any:
    return SimpleNamespace(node_labels=node_labels)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_gpu_pods_select_their_accelerator_and_tolerate_its_taint_in_every_dialect(dialect: str) -> None:
    machine, label, value = DIALECTS[dialect]
    found = placed(target(dialect), decision(machine))
    assert found.node_selector[label] == value
    assert found.node_selector["node.kubernetes.io/instance-type"] == machine
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in found.tolerations


def test_cpu_pods_tolerate_no_gpu_taint() -> None:
    assert placed(target("gcp"), decision("c3-standard-8", "cpu")).tolerations == ()


def test_labels_of_a_pool_of_ones_own_replace_the_implied_ones_and_zones_are_kept() -> None:
    found = placed(target("gcp"), decision("g2-standard-8"), {"pool": "mine"}, ("us-central1-a",))
    assert found.node_selector == {"pool": "mine"}
    assert found.zones == ("us-central1-a",)
