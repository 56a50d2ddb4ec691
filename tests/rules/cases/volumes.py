"""Places of weights: Llama 3.1 8B takes 14.96 GiB, 15.71 GiB with what is beside it."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.cases.rollout import TWO_GPUS
from tests.rules.cases.scaling import hpa
from tests.rules.samples import GKE, LLAMA_8B, vllm

APART = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}}
CACHE = {"volumeMounts": [{"name": "cache", "mountPath": "/root/.cache/huggingface"}]}
LOCAL = ("--model", "/models/meta-llama--Llama-3.1-8B-Instruct", "--max-model-len", "8192")
ON_CLAIM = {"volumeMounts": [{"name": "models", "mountPath": "/models"}]}


def served(
    container: Any = None, *volumes: Any, kind: str = "Deployment", replicas: Any = 1, **more: Any
) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [container or vllm()], "nodeSelector": {GKE: "nvidia-l4"}}
    spec |= {"volumes": list(volumes)} | more.pop("pod", {})
    body = {"replicas": replicas, "template": {"spec": spec}} | more
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "server", "namespace": "models"}, "spec": body}


def limited(ephemeral: Any, **more: Any) -> dict[str, Any]:
    return vllm(**more) | {"resources": {"limits": {"ephemeral-storage": ephemeral, "nvidia.com/gpu": 1}}}


def folder(size: Any, medium: Any = None) -> dict[str, Any]:
    return {"name": "cache", "emptyDir": {"sizeLimit": size, "medium": medium}}


def mounted(name: Any = "weights") -> dict[str, Any]:
    return {"name": "models", "persistentVolumeClaim": {"claimName": name}}


def claim(size: Any = "40Gi", *modes: Any, **more: Any) -> dict[str, Any]:
    spec = {"accessModes": list(modes) or ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | more
    metadata = {"name": "weights", "namespace": "models"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def storage_class(provisioner: str) -> dict[str, Any]:
    metadata = {"name": "shared"}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata, "provisioner": provisioner}


def case(says: str, *there: dict[str, Any], red: str | None = None, **more: Any) -> Case:
    return Case("SZ-13", says, there, red, **more)


STREAMED = [
    "--model",
    "gs://$(BUCKET)/meta-llama--Llama-3.1-8B-Instruct/0e9e39f249a16976918f6564b8830bc894c89659",
    "--load-format",
    "runai_streamer",
    "--max-model-len",
    "8192",
]
ON = vllm(*LOCAL, **ON_CLAIM)
ALONE = "2 pods share a volume of mode ReadWriteOnce"
EXACT = 16063177687
"""Bytes of the safetensors files."""

CASES = (
    case("a bucket that the server reads itself takes no disk", served(limited("10Gi", args=STREAMED))),
    case("a download without bounds has the node's disk", served()),
    case("a download fits the pod's local storage", served(limited("16Gi"))),
    case(
        "a download fits to the byte, and nothing beside it",
        served(limited(EXACT)),
        red="15.71 GiB with what a file system",
        advice=True,
        boundary=True,
    ),
    case(
        "a download is a byte too large",
        served(limited(EXACT - 1)),
        red="14.96 GiB are too little: the weights take 14.96 GiB",
        boundary=True,
    ),
    case("an unknown local storage is open", served(limited(UNKNOWN)), red="only known after apply", undecided=True),
    case("a cache volume is large enough", served(vllm(**CACHE), folder("20Gi"))),
    case(
        "a cache volume is too small",
        served(vllm(**CACHE), folder("10Gi")),
        red="10.00 GiB are too little",
    ),
    case(
        "a cache in memory is too small",
        served(vllm(**CACHE), folder("10Gi", "Memory")),
        red="10.00 GiB are too little",
    ),
    case(
        "a cache volume counts in the pod's local storage",
        served(limited("10Gi", **CACHE), folder("20Gi")),
        red='limits["ephemeral-storage"]: 10.00 GiB',
    ),
    case("a cache in memory does not", served(limited("10Gi", **CACHE), folder("20Gi", "Memory"))),
    case(
        "a cache volume of unknown size is open",
        served(vllm(**CACHE), folder(UNKNOWN)),
        red="only known after apply",
        undecided=True,
    ),
    case("unknown mounts are open", served(vllm(volumeMounts=UNKNOWN)), red="only known after apply", undecided=True),
    case(
        "another volume is not where weights go",
        served(vllm(volumeMounts=[{"name": "cache", "mountPath": "/tmp"}]), folder("1Gi")),
    ),
    case(
        "a variable says where weights go",
        served(
            vllm(env=[{"name": "HF_HOME", "value": "/tmp/hub"}], volumeMounts=[{"name": "cache", "mountPath": "/tmp"}]),
            folder("1Gi"),
        ),
        red="1.00 GiB are too little",
    ),
    case(
        "a variable that is unknown may lead to the small volume",
        served(
            vllm(
                env=[{"name": "HF_HOME", "value": UNKNOWN}],
                volumeMounts=[{"name": "cache", "mountPath": "/tmp"}],
            ),
            folder("1Gi"),
        ),
        red="only known after apply",
        undecided=True,
    ),
    case(
        "a variable that is unknown leads to no small volume",
        served(
            vllm(
                env=[{"name": "HF_HOME", "value": UNKNOWN}],
                volumeMounts=[{"name": "cache", "mountPath": "/tmp"}],
            ),
            folder("99Gi"),
        ),
    ),
    case(
        "an argument says where weights go",
        served(
            vllm(
                "--model",
                LLAMA_8B,
                "--download-dir",
                "/tmp/hub",
                "--max-model-len",
                "8192",
                volumeMounts=[{"name": "cache", "mountPath": "/tmp"}],
            ),
            folder("1Gi"),
        ),
        red="1.00 GiB are too little",
    ),
    case(
        "a user other than root has a home that is not known",
        served(limited("10Gi"), pod={"securityContext": {"runAsUser": 1000}}),
    ),
    case(
        "a claim per pod is large enough",
        served(
            ON, kind="StatefulSet", replicas=3, volumeClaimTemplates=[claim("20Gi") | {"metadata": {"name": "models"}}]
        ),
    ),
    case(
        "a claim per pod is too small",
        served(ON, kind="StatefulSet", volumeClaimTemplates=[claim("10Gi") | {"metadata": {"name": "models"}}]),
        red="spec.volumeClaimTemplates[0].spec.resources.requests.storage: 10.00 GiB are too little",
    ),
    case("a claim is large enough", served(ON, mounted()), claim("20Gi")),
    case(
        "a claim is too small",
        served(ON, mounted()),
        claim("10Gi"),
        red="spec.resources.requests.storage: 10.00 GiB are too little",
    ),
    case(
        "a claim of unknown size is open",
        served(ON, mounted()),
        claim(UNKNOWN),
        red="only known after apply",
        undecided=True,
    ),
    case("a claim that is not there is not judged", served(ON, mounted("other")), claim("10Gi")),
    case(
        "an unknown claim may be the small one",
        served(ON, mounted(UNKNOWN)),
        claim("10Gi"),
        red="only known after apply",
        undecided=True,
    ),
    case(
        "a claim of a volume that exists says nothing of its size",
        served(ON, mounted()),
        claim("10Gi", volumeName="pv"),
        red="10.00 GiB are too little",
        advice=True,
    ),
    case(
        "a class that may ignore the size",
        served(ON, mounted()),
        claim("10Gi", "ReadWriteMany"),
        red="10.00 GiB are too little",
        advice=True,
    ),
    case(
        "a driver without sizes ignores it",
        served(ON, mounted()),
        claim("5Gi", "ReadWriteMany", storageClassName="shared"),
        storage_class("efs.csi.aws.com"),
    ),
    case(
        "a driver with sizes takes it",
        served(ON, mounted()),
        claim("5Gi", "ReadWriteMany", storageClassName="shared"),
        storage_class("filestore.csi.storage.gke.io"),
        red="5.00 GiB are too little",
    ),
    case("one pod may have a volume for itself", served(ON, mounted()), claim(), boundary=True),
    case("two pods may not", served(ON, mounted(), replicas=2), claim(), red=ALONE, boundary=True),
    case("many may read what many nodes attach", served(ON, mounted(), replicas=9), claim("40Gi", "ReadOnlyMany")),
    case("an autoscaler makes several pods of one", served(ON, mounted()), claim(), hpa(most=2), red=ALONE),
    case(
        "pods that stay on one node share its volume",
        served(ON, mounted(), replicas=2, pod={"affinity": APART}),
        claim(),
    ),
    case(
        "a node with room for both may take both",
        served(ON, mounted(), replicas=2, pod=TWO_GPUS),
        claim(),
        red=ALONE,
        advice=True,
    ),
    case(
        "a folder of the node keeps its pods there",
        served(ON, mounted(), replicas=2),
        claim(storageClassName="local-path"),
    ),
    case(
        "a volume of one pod is of one even there",
        served(ON, mounted(), replicas=2),
        claim("40Gi", "ReadWriteOncePod", storageClassName="local-path"),
        red="mode ReadWriteOncePod",
    ),
    case(
        "an unknown number of pods is open",
        served(ON, mounted(), replicas=UNKNOWN),
        claim(),
        red="only known after apply",
        undecided=True,
    ),
    case(
        "an unknown mode is open",
        served(ON, mounted(), replicas=2),
        claim("40Gi", UNKNOWN),
        red="only known after apply",
        undecided=True,
    ),
    case(
        "a StatefulSet shares a claim like a Deployment",
        served(ON, mounted(), kind="StatefulSet", replicas=2),
        claim(),
        red=ALONE,
    ),
    case(
        "values of the wrong type are none",
        served(vllm(volumeMounts=3, env="a"), "b", replicas=["c"]),
        claim({"d": 1}, 5),
    ),
)
