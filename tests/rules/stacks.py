"""Small stacks for rules that look across objects: a server and what belongs to it, each part replaceable."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.rules.samples import L4, vllm

DIGEST = "@sha256:" + "0" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"
APP = {"app": "chat"}
OURS = {"app.kubernetes.io/part-of": "modelberth"}
GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
VERSIONS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
    "Job": "batch/v1",
    "Pod": "v1",
    "Service": "v1",
    "Namespace": "v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "ScaledObject": "keda.sh/v1alpha1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}


def made(kind: str, spec: Any, name: Any = "chat", ours: bool = False, **metadata: Any) -> dict[str, Any]:
    """An object of this kind in namespace models; ``ours``: as our components label it."""
    meta = {"name": name, "namespace": "models"} | ({"labels": dict(OURS)} if ours else {}) | metadata
    meta = {key: value for key, value in meta.items() if value is not None}
    return {"apiVersion": VERSIONS[kind], "kind": kind, "metadata": meta, "spec": spec}


def server(
    *containers: Any, kind: str = "Deployment", name: Any = "chat", labels: Any = None, ours: bool = False, **more: Any
) -> dict[str, Any]:
    """A workload that serves a model on L4 nodes; ``more`` are fields of its pods, or of its spec (``spec_``)."""
    selected = APP if labels is None else labels
    spec = {key.removeprefix("spec_"): value for key, value in more.items() if key.startswith("spec_")}
    pod = {key: value for key, value in more.items() if not key.startswith("spec_")}
    template = {
        "metadata": {"labels": deepcopy(selected)},
        "spec": {"containers": list(containers) or [vllm()], **deepcopy(L4), "tolerations": [GPU_TAINT], **pod},
    }
    if kind == "Pod":
        meta = {"name": name, "namespace": "models", "labels": selected}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": template["spec"]}
    if kind == "LeaderWorkerSet":
        groups = {"size": 2, "leaderTemplate": template, "workerTemplate": deepcopy(template)}
        return made(kind, {"replicas": 2, "leaderWorkerTemplate": groups, **spec}, name, ours)
    return made(kind, {"selector": {"matchLabels": deepcopy(selected)}, "template": template, **spec}, name, ours)


def service(
    selector: Any = None, name: Any = "chat", ours: bool = False, notes: Any = None, **spec: Any
) -> dict[str, Any]:
    """A Service for port 8000 of the server's pods."""
    ports = [{"port": 8000, "targetPort": 8000}]
    selected = deepcopy(APP) if selector is None else selector
    return made("Service", {"selector": selected, "ports": ports} | spec, name, ours, annotations=notes)


def budget(selector: Any = None, ours: bool = False, **spec: Any) -> dict[str, Any]:
    """A budget of one disruption at a time; fields that are None are left out."""
    whole = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": deepcopy(APP)} if selector is None else selector,
    } | spec
    return made("PodDisruptionBudget", {k: v for k, v in whole.items() if v is not None}, ours=ours)


def policy(selector: Any = None, ours: bool = False, **spec: Any) -> dict[str, Any]:
    """A policy that lets the namespace in, and pods reach DNS only."""
    whole = {
        "podSelector": {"matchLabels": deepcopy(APP)} if selector is None else selector,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 8000}]}],
        "egress": [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}],
    } | spec
    return made("NetworkPolicy", {k: v for k, v in whole.items() if v is not None}, ours=ours)


def autoscaler(
    name: Any = "chat", kind: str = "HorizontalPodAutoscaler", target: str = "Deployment", **spec: Any
) -> Any:
    """An autoscaler of the server."""
    return made(kind, {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": target, "name": name}, **spec})
