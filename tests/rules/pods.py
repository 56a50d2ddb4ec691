"""Pods that rules about pods have nothing to say about, with everything about them replaceable."""

from __future__ import annotations

from typing import Any

from tests.rules.samples import deployment, vllm

OURS = {"app.kubernetes.io/part-of": "modelberth"}
LABELS = {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": "chat", "app.kubernetes.io/version": "0.33.0"}
STATED = {"cpu": "4", "memory": "14Gi", "ephemeral-storage": "10Gi"}
VERSIONS = {"Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1", "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1"}


def resources(**more: Any) -> dict[str, Any]:
    """Everything stated, one GPU."""
    return {
        "resources": {"limits": {**STATED, "nvidia.com/gpu": 1}, "requests": {**STATED, "nvidia.com/gpu": 1}}
    } | more


def probe(port: Any = 8000, path: Any = "/health", **more: Any) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}} | more


def probes(port: Any = 8000, path: Any = "/health") -> dict[str, Any]:
    return {
        "startupProbe": probe(port, path, periodSeconds=10, failureThreshold=120),
        "readinessProbe": probe(port, path, periodSeconds=5, failureThreshold=2, timeoutSeconds=5),
        "livenessProbe": probe(port, path, periodSeconds=30, failureThreshold=5, timeoutSeconds=10),
    }


def hardened(**more: Any) -> dict[str, Any]:
    """The security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    } | more


def server(*args: Any, **more: Any) -> dict[str, Any]:
    """A vLLM container with everything that rules about pods ask for."""
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    whole = resources() | probes() | {"securityContext": hardened(), "volumeMounts": mounts}
    return vllm(*args) | {"ports": [{"name": "http", "containerPort": 8000}]} | whole | more


def pod(**more: Any) -> dict[str, Any]:
    """The rest of its pod."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 20000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "serviceAccountName": "chat",
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
    } | more


def workload(
    *containers: Any, kind: str = "Deployment", labels: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """An object of someone else's that makes such pods; ``more`` is of the pod."""
    worn = LABELS if labels is None else labels
    spec = pod(**more) | {"containers": list(containers) or [server()]}
    template = {"metadata": {"labels": worn}, "spec": spec}
    whole = {"apiVersion": VERSIONS.get(kind, "apps/v1"), "kind": kind, "metadata": {"name": "chat", "labels": worn}}
    if kind == "Pod":
        return whole | {"spec": spec}
    if kind == "LeaderWorkerSet":
        group = {"size": 2, "leaderTemplate": template, "workerTemplate": template}
        return whole | {"spec": {"replicas": 1, "leaderWorkerTemplate": group}}
    if kind == "CronJob":
        return whole | {"spec": {"jobTemplate": {"spec": {"template": template}}}}
    selector = {} if kind == "Job" else {"selector": {"matchLabels": {"app.kubernetes.io/instance": "chat"}}}
    return whole | {"spec": selector | {"template": template}}


def ours(*containers: Any, kind: str = "Deployment", **more: Any) -> dict[str, Any]:
    """The same as our components label it."""
    return workload(*containers, kind=kind, labels=LABELS | OURS, **more)


def bare(*containers: Any, kind: str = "Deployment", **more: Any) -> dict[str, Any]:
    """The least that serves, as deployment guides have it."""
    return {"apiVersion": "apps/v1"} | deployment(*containers, kind=kind, pod=more or None)
