"""Examples of fields that must be there and words that are known: WH-21 for objects, other rules for clouds."""

from __future__ import annotations

from typing import Any

from tests.rules.cases import Case, Seen
from tests.rules.samples import vllm
from tests.rules.stacks import made, policy, server, service

NEEDED = "is needed here: the API server refuses the object"
WORDS = "is none of the words that the API server takes here"


def _pool(**node: Any) -> Seen:
    gpu = {"type": "nvidia-l4", "count": 1}
    whole = {"machineType": "g2-standard-8", "guestAccelerators": [gpu]} | node
    return "gcp:container/nodePool:NodePool", {"name": "l4", "cluster": "models", "nodeConfig": whole}


def _claim(**spec: Any) -> dict[str, Any]:
    whole = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "30Gi"}}} | spec
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "w"}, "spec": whole}


def _tolerating(**toleration: Any) -> dict[str, Any]:
    return server(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"} | toleration])


_SPREAD = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
_MOUNT = {"name": "cache", "mountPath": "/cache"}
CASES = (
    Case("WH-21", "a container needs a name", (server(vllm(name=None)),), f"name {NEEDED}"),
    Case("WH-21", "a mount needs a path", (server(vllm(volumeMounts=[{"name": "cache"}])),), f"mountPath {NEEDED}"),
    Case(
        "WH-21",
        "a volume's size is an amount",
        (server(vllm(volumeMounts=[_MOUNT]), volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "1Gix"}}]),),
        "is no amount of bytes",
    ),
    Case("WH-21", "a toleration has an operator that is known", (_tolerating(operator="Exist"),), WORDS),
    Case("WH-21", "a toleration of all effects passes", (_tolerating(),)),
    Case(
        "WH-21",
        "a spread of nothing is refused",
        (server(topologySpreadConstraints=[_SPREAD | {"maxSkew": 0}]),),
        "is no whole number above 0",
        boundary=True,
    ),
    Case("WH-21", "a spread of one passes", (server(topologySpreadConstraints=[_SPREAD]),), boundary=True),
    Case("WH-21", "an unknown kind of Service is refused", (service(type="ClusterIp"),), WORDS),
    Case("WH-21", "a Service of no kind has the default", (service(),)),
    Case(
        "WH-21",
        "a range without a length is none",
        (policy(egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]),),
        "is no range of addresses",
    ),
    Case("WH-21", "a claim needs a mode", (_claim(accessModes=[]),), f"accessModes {NEEDED}"),
    Case("WH-21", "a whole claim passes", (_claim(),)),
    Case(
        "WH-21",
        "an Ingress path has a type that is known",
        (
            made(
                "Ingress",
                {"rules": [{"http": {"paths": [{"pathType": "Prefixed", "backend": {"service": {"name": "chat"}}}]}}]},
            ),
        ),
        WORDS,
    ),
    Case(
        "SZ-07",
        "a driver's version is a word",
        (
            _pool(
                guestAccelerators=[
                    {"type": "nvidia-l4", "count": 1, "gpuDriverInstallationConfig": {"gpuDriverVersion": "NEWEST"}}
                ]
            ),
        ),
        "is none of the words that the cloud takes",
    ),
    Case("SZ-07", "a pool without such words passes", (_pool(),)),
    Case(
        "CS-09",
        "a role that is misspelt is refused",
        (
            (
                "gcp:storage/bucketIAMMember:BucketIAMMember",
                {"bucket": "w", "role": "roles/storage.objectViewers", "member": "user:one@example.com"},
            ),
        ),
        "is nothing that the cloud is known to take here",
    ),
    Case(
        "CS-09",
        "a role of one's own passes",
        (
            (
                "gcp:storage/bucketIAMMember:BucketIAMMember",
                {"bucket": "w", "role": "organizations/1/roles/readsWeights", "member": "user:one@example.com"},
            ),
        ),
    ),
)
