"""Examples of the rule about parts of GPUs."""

from __future__ import annotations

from typing import Any

import yaml

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import GKE, LLAMA_8B, QWEN_7B, deployment, vllm

A100 = {GKE: "nvidia-tesla-a100"}
A100_80 = {GKE: "nvidia-a100-80gb"}
_PRODUCT = "nvidia.com/gpu.product"
SMALL = "Qwen/Qwen2.5-0.5B-Instruct"
PARTITION, SHARING = "cloud.google.com/gke-gpu-partition-size", "cloud.google.com/gke-gpu-sharing-strategy"


def slice_(profile: str, model: str, *args: str, count: Any = 1, labels: Any = A100, **more: Any) -> tuple[Any, ...]:
    limits = {"limits": {f"nvidia.com/mig-{profile}": count}}
    words = ("--model", model, "--max-model-len", "4096", *args)
    return (deployment(vllm(*words, resources=limits), pod={"nodeSelector": labels}, **more),)


def whole(labels: dict[str, str], model: str = LLAMA_8B) -> tuple[Any, ...]:
    return (deployment(vllm("--model", model, "--max-model-len", "4096"), pod={"nodeSelector": labels}),)


def plugin(sharing: Any) -> tuple[Any, ...]:
    config = sharing if isinstance(sharing, str) else yaml.safe_dump({"version": "v1", "sharing": sharing})
    return ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plugin"}, "data": {"any": config}},)


CASES = (
    Case(
        "SZ-24",
        "a small model in a slice",
        slice_("1g.5gb", SMALL, "--max-model-len", "2048", "--gpu-memory-utilization", "0.85"),
    ),
    Case(
        "SZ-24",
        "a model that is larger than its slice",
        slice_("1g.5gb", QWEN_7B),
        red="does not fit a slice 1g.5gb of NVIDIA A100 40GB: before any KV cache",
    ),
    Case("SZ-24", "the smallest slice that holds it", slice_("3g.20gb", QWEN_7B), boundary=True),
    Case("SZ-24", "one slice smaller", slice_("2g.10gb", QWEN_7B), red="a slice 3g.20gb", boundary=True),
    Case(
        "SZ-24",
        "a StatefulSet is judged alike",
        slice_("1g.5gb", QWEN_7B, kind="StatefulSet"),
        red="does not fit a slice",
    ),
    Case(
        "SZ-24",
        "a slice of which there is only one kind",
        slice_("1g.5gb", QWEN_7B, labels={}),
        red="does not fit a slice",
    ),
    Case("SZ-24", "a slice of several kinds is another rule's doubt", slice_("1g.10gb", QWEN_7B, labels={})),
    Case("SZ-24", "several ranks on a slice", slice_("3g.20gb", QWEN_7B, "-tp", "2"), red="holds one rank"),
    Case("SZ-24", "several slices are another rule's doubt", slice_("1g.5gb", QWEN_7B, count=2)),
    Case(
        "SZ-24",
        "slices that are only known after apply are another rule's doubt",
        slice_("1g.5gb", QWEN_7B, count=UNKNOWN),
    ),
    Case("SZ-24", "nodes whose GPUs are cut", whole(A100 | {PARTITION: "1g.5gb"}), red="does not fit a slice 1g.5gb"),
    Case("SZ-24", "whole GPUs", whole(A100)),
    Case(
        "SZ-24",
        "nodes that share their GPUs by time",
        whole(A100 | {SHARING: "time-sharing"}),
        red="pods that share a GPU by time slicing see all of its memory",
        advice=True,
    ),
    Case(
        "SZ-24",
        "nodes that share their GPUs by MPS",
        whole(A100 | {SHARING: "mps"}),
        red="pods that share a GPU by MPS stop together",
        advice=True,
    ),
    Case(
        "SZ-24",
        "a device plugin that shares by time",
        plugin({"timeSlicing": {"resources": [{"name": "nvidia.com/gpu", "replicas": 4}]}}),
        red="4 pods share a GPU by time slicing",
        advice=True,
    ),
    Case(
        "SZ-24",
        "a device plugin that shares by MPS",
        plugin({"mps": {"resources": [{"name": "nvidia.com/gpu", "replicas": 2}]}}),
        red="2 pods share a GPU by MPS",
        advice=True,
    ),
    Case(
        "SZ-24",
        "a device plugin with one pod for each GPU",
        plugin({"timeSlicing": {"resources": [{"name": "nvidia.com/gpu", "replicas": 1}]}}),
    ),
    Case("SZ-24", "a text that only mentions it", plugin("timeSlicing: [")),
    Case(
        "SZ-24",
        "a configuration that is only known after apply",
        (*plugin(""), {"kind": "ConfigMap", "data": UNKNOWN}),
    ),
    Case(
        "SZ-24",
        "ranks on several slices are advised against",
        slice_("1g.10gb", SMALL, "-tp", "2", count=2, labels=A100_80),
        "2 ranks on 2 slices 1g.10gb: before driver R570 a process sees one slice only",
        advice=True,
    ),
    Case(
        "SZ-24",
        "a share by another name is a share",
        (deployment(vllm(resources={"limits": {"nvidia.com/gpu.shared": 1}}), pod={"nodeSelector": A100_80}),),
        "share a GPU by time slicing",
        advice=True,
    ),
    Case(
        "SZ-24",
        "a product's name tells that it is shared",
        whole({_PRODUCT: "NVIDIA-A100-SXM4-80GB-SHARED"}),
        "time slicing",
        advice=True,
    ),
    Case(
        "SZ-24",
        "a node's label tells how it is shared",
        whole({_PRODUCT: "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.sharing-strategy": "mps"}),
        "by MPS",
        advice=True,
    ),
)
