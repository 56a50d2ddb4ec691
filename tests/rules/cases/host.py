"""Memory of the node, and shared memory for ranks."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import L4, LLAMA_8B, llamacpp, sglang, vllm

OURS = {"app.kubernetes.io/part-of": "modelberth"}
MOUNT = {"volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}
TWO_RANKS = ("--model", LLAMA_8B, "--max-model-len", "8192", "--tensor-parallel-size", "2")


def served(container: Any, *, ours: bool = False, kind: str = "Deployment", **pod: Any) -> dict[str, Any]:
    spec = {"containers": [container], **L4, **pod}
    template = {"spec": spec}
    body: dict[str, Any] = {"selector": {"matchLabels": {"app": "server"}}, "template": template}
    version = "apps/v1"
    if kind == "LeaderWorkerSet":
        version, body = "leaderworkerset.x-k8s.io/v1", {"leaderWorkerTemplate": {"size": 2, "workerTemplate": template}}
    if kind == "Pod":
        version, body = "v1", spec
    metadata = {"name": "server", "labels": OURS if ours else {}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": body}


def limited(memory: Any, *args: str, gpus: int = 1, **more: Any) -> dict[str, Any]:
    limits = {"memory": memory, "nvidia.com/gpu": gpus}
    return vllm(*args) | {"resources": {"limits": limits}} | more


def ranks(memory: Any = "16Gi", **more: Any) -> dict[str, Any]:
    return limited(memory, *TWO_RANKS, gpus=2, **more)


def shm(size: Any = "4Gi", medium: Any = "Memory") -> list[dict[str, Any]]:
    return [{"name": "shm", "emptyDir": {"medium": medium, "sizeLimit": size}}]


def case(says: str, there: dict[str, Any], red: str | None = None, **more: Any) -> Case:
    return Case("SZ-12", says, (there,), red, **more)


CASES = (
    case("an engine with memory to spare starts", served(limited("16Gi"))),
    case("a pod without a limit may take the node's memory", served(vllm())),
    case("our own have what is planned with", served(limited("4Gi"), ours=True), boundary=True),
    case("our own have less", served(limited("4095Mi"), ours=True), "4.00 GiB of memory are too little", boundary=True),
    case(
        "files in shared memory count too", served(ranks("8Gi", **MOUNT), ours=True, volumes=shm("4Gi")), boundary=True
    ),
    case(
        "files in shared memory are more than what is left",
        served(ranks("8191Mi", **MOUNT), ours=True, volumes=shm("4Gi")),
        "4.00 GiB of files in /dev/shm count too, 8.00 GiB together",
        boundary=True,
    ),
    case("others may run with less than planned", served(limited("3Gi")), "at least 4Gi", advice=True),
    case("nobody's engine starts in half a GiB", served(limited("512Mi")), "0.50 GiB of memory are too little"),
    case("a number is a quantity", served(limited(536870912)), "0.50 GiB of memory are too little"),
    case("an unknown limit is open", served(limited(UNKNOWN)), "only known after apply", undecided=True),
    case("a limit of the wrong type is none", served(limited(["a"]))),
    case(
        "cache that is kept in the node's memory is held there",
        served(limited("16Gi", "--model", LLAMA_8B, "--max-model-len", "8192", "--kv-offloading-size", "16")),
        "16.00 GiB are held beside the GPUs",
    ),
    case(
        "SGLang starts no sooner",
        served(sglang() | {"resources": {"limits": {"memory": "512Mi", "nvidia.com/gpu": 1}}}),
        "too little",
    ),
    case("a server on CPUs is sized with its limit", served(llamacpp())),
    case("llama-server needs little beside a GPU", served(llamacpp(memory="512Mi", gpus=1))),
    case("a team knows its engines", served(limited("3Gi"), ours=True), thresholds={"engine_memory_gib": 2}),
    case("a bare pod is judged too", served(limited("512Mi"), kind="Pod"), "0.50 GiB of memory are too little"),
    case("pods of a group are judged too", served(limited("512Mi"), kind="LeaderWorkerSet"), "too little"),
    case("two ranks have shared memory", served(ranks(**MOUNT), ours=True, volumes=shm())),
    case("two ranks of ours have none", served(ranks(), ours=True), "where a container has 64 MiB"),
    case("two ranks of others have none", served(ranks()), "where a container has 64 MiB", advice=True),
    case("one rank needs none", served(limited("16Gi"), ours=True)),
    case("the node's own shared memory will do", served(ranks(), ours=True, hostIPC=True)),
    case("two ranks have what they need", served(ranks(**MOUNT), ours=True, volumes=shm("256Mi")), boundary=True),
    case(
        "two ranks have less",
        served(ranks(**MOUNT), ours=True, volumes=shm("255Mi")),
        "too little for 2 ranks",
        boundary=True,
    ),
    case("shared memory has no bound", served(ranks(**MOUNT), ours=True, volumes=shm(None)), "may take all memory"),
    case(
        "shared memory on a disk is none",
        served(ranks(**MOUNT), ours=True, volumes=shm("4Gi", None)),
        "the node's disk",
    ),
    case(
        "the node's folder is shared memory",
        served(ranks(**MOUNT), ours=True, volumes=[{"name": "shm", "hostPath": {"path": "/dev/shm"}}]),
    ),
    case(
        "an unknown size is open", served(ranks(**MOUNT), ours=True, volumes=shm(UNKNOWN)), "only known", undecided=True
    ),
    case("unknown mounts are open", served(ranks(volumeMounts=UNKNOWN), ours=True), "only known", undecided=True),
    case("unknown mounts of others are no advice", served(ranks(volumeMounts=UNKNOWN))),
)
