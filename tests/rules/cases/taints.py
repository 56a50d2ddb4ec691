"""Examples of WH-16."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import llamacpp, vllm
from tests.rules.stacks import GPU_TAINT, server

ANY = "may land on any GPU"
PENDING = "it stays pending"
TAKES = "it takes their CPUs"


def _web(kind: str = "Deployment", **pod: Any) -> dict[str, Any]:
    return server({"name": "web", "image": "nginx:1.29"}, kind=kind, name="web", labels={"app": "web"}, **pod)


def _device(name: str) -> dict[str, Any]:
    return vllm() | {"resources": {"limits": {name: 1}}}


_AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["l4"]}]}]
        }
    }
}
_EVERYTHING = {"operator": "Exists"}
_UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
CASES = (
    Case("WH-16", "a selector and a toleration pass", (server(ours=True),)),
    Case("WH-16", "no selector meets any GPU", (server(ours=True, nodeSelector={}),), ANY),
    Case("WH-16", "an affinity is a selector", (server(ours=True, nodeSelector={}, affinity=_AFFINITY),)),
    Case("WH-16", "a node by name is one too", (server(ours=True, nodeSelector={}, nodeName="gpu-1"),)),
    Case("WH-16", "no toleration waits", (server(ours=True, tolerations=[]),), PENDING),
    Case(
        "WH-16",
        "a toleration of lost nodes is none",
        (server(nodeSelector={"gpu": "l4"}, tolerations=[_UNREACHABLE]),),
        PENDING,
    ),
    Case(
        "WH-16",
        "managed clusters add the toleration of what is requested",
        (server(nodeSelector={"cloud.google.com/gke-accelerator": "nvidia-l4"}, tolerations=[]),),
    ),
    Case(
        "WH-16",
        "nodes of one's own add no toleration",
        (server(nodeSelector={"nvidia.com/gpu.product": "NVIDIA-L40S"}, tolerations=[]),),
        PENDING,
    ),
    Case(
        "WH-16",
        "a taint of one's own is tolerated by its own name",
        (server(tolerations=[{"key": "gpu", "operator": "Exists"}]),),
    ),
    Case("WH-16", "a model on CPUs needs neither", (server(llamacpp(), nodeSelector={}, tolerations=[]),)),
    Case(
        "WH-16",
        "AMD's GPUs have a taint of their own",
        (server(_device("amd.com/gpu"), nodeSelector={"gpu": "mi300x"}, tolerations=[]),),
        "key: amd.com/gpu",
    ),
    Case(
        "WH-16",
        "a slice is on nodes with the taint of GPUs",
        (server(_device("nvidia.com/mig-1g.10gb"), nodeSelector={"gpu": "h100"}, tolerations=[]),),
        "key: nvidia.com/gpu",
    ),
    Case(
        "WH-16",
        "groups are read by both templates",
        (server(kind="LeaderWorkerSet", nodeSelector={"gpu": "h100"}, tolerations=[]),),
        "workerTemplate",
    ),
    Case(
        "WH-16",
        "a selector that will be is open",
        (server(ours=True, nodeSelector=UNKNOWN),),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-16",
        "tolerations that will be are open",
        (server(ours=True, tolerations=UNKNOWN),),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-16",
        "one toleration that will be is open",
        (server(tolerations=[{"key": UNKNOWN, "operator": "Exists"}]),),
        "whether",
        undecided=True,
    ),
    Case("WH-16", "another workload stays off GPU nodes", (server(), _web(tolerations=[GPU_TAINT])), TAKES),
    Case("WH-16", "tolerating everything is tolerating GPUs", (server(), _web(tolerations=[_EVERYTHING])), TAKES),
    Case("WH-16", "other tolerations pass", (server(), _web(tolerations=[_UNREACHABLE]))),
    Case(
        "WH-16",
        "what works for nodes themselves may run there",
        (server(), _web("DaemonSet", tolerations=[_EVERYTHING])),
    ),
    Case("WH-16", "downloads run where weights are read", (server(), _web("Job", tolerations=[GPU_TAINT]))),
    Case(
        "WH-16",
        "without a GPU in the stack nothing is kept",
        (server(llamacpp(), tolerations=[]), _web(tolerations=[GPU_TAINT])),
    ),
)
