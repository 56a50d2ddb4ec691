"""What pods write to, share with their node and may ask of the cluster."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case
from tests.rules.pods import bare, hardened, ours, server, workload
from tests.rules.samples import llamacpp, sglang, vllm

LOCKED = {"readOnlyRootFilesystem": True}


def volume(**source: Any) -> dict[str, Any]:
    return workload(volumes=[{"name": "tmp", **source}])


def folder(path: Any) -> dict[str, Any]:
    return volume(hostPath={"path": path})


def account(token: Any = None, name: Any = "chat") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name},
        "automountServiceAccountToken": token,
    }


CASES: tuple[Case, ...] = (
    Case("WH-04", "a read-only server with an emptyDir of a stated size passes", (workload(), ours())),
    Case("WH-04", "a writable root is advice to others", (bare(vllm()),), "can be written to", advice=True),
    Case(
        "WH-04",
        "a writable root stops what our components wrote",
        (ours(server(securityContext=hardened(readOnlyRootFilesystem=False))),),
        "the root file system can be written to",
    ),
    Case(
        "WH-04",
        "a writable init container counts",
        (ours(server(), initContainers=[{"name": "get", "image": "x:1"}]),),
        "initContainers[0]",
    ),
    Case(
        "WH-04",
        "an unknown root is a doubt",
        (ours(server(securityContext=hardened(readOnlyRootFilesystem=UNKNOWN))),),
        "cannot decide whether the root file system is read-only",
        undecided=True,
    ),
    Case("WH-04", "an emptyDir needs a size", (volume(emptyDir={}),), "fills its node", advice=True),
    Case(
        "WH-04",
        "an emptyDir in memory needs a size",
        (volume(emptyDir={"medium": "Memory"}),),
        "fills the memory",
        advice=True,
    ),
    Case("WH-04", "an emptyDir of an unknown size has one", (volume(emptyDir={"sizeLimit": UNKNOWN}),)),
    Case(
        "WH-04",
        "an emptyDir without a size stops what our components wrote",
        (ours(volumes=[{"name": "tmp", "emptyDir": {}}]),),
        "sizeLimit: 1Gi",
    ),
    Case(
        "WH-04",
        "vLLM does not start without a folder for temporary files",
        (bare(vllm(securityContext=LOCKED)),),
        "no folder for temporary files can be written to: the engine does not start",
    ),
    Case(
        "WH-04",
        "SGLang does not start without a folder for temporary files",
        (bare(sglang(securityContext=LOCKED, volumeMounts=[{"name": "w", "mountPath": "/weights"}])),),
        "the engine does not start",
    ),
    Case(
        "WH-04",
        "a folder that is mounted read-only is none",
        (bare(vllm(securityContext=LOCKED, volumeMounts=[{"name": "t", "mountPath": "/tmp", "readOnly": True}])),),
        "the engine does not start",
    ),
    Case(
        "WH-04",
        "llama-server without a folder for temporary files is advice",
        (bare(llamacpp(securityContext=LOCKED)),),
        "no folder for temporary files can be written to",
        advice=True,
    ),
    *(
        Case("WH-04", f"a folder {what} will do", (bare(vllm(securityContext=LOCKED, **more)),))
        for what, more in {
            "at /tmp": {"volumeMounts": [{"name": "t", "mountPath": "/tmp/"}]},
            "at /": {"volumeMounts": [{"name": "t", "mountPath": "/"}]},
            "that TMPDIR names": {
                "env": [{"name": "TMPDIR", "value": "/cache/tmp"}],
                "volumeMounts": [{"name": "t", "mountPath": "/cache"}],
            },
            "that is the working one": {"workingDir": "/work", "volumeMounts": [{"name": "t", "mountPath": "/work"}]},
        }.items()
    ),
    *(
        Case(
            "WH-04",
            f"{what} may hold a folder for temporary files",
            (bare(vllm(securityContext=LOCKED, volumeMounts=mounts)),),
            "cannot decide whether a folder for temporary files can be written to",
            undecided=True,
        )
        for what, mounts in {
            "unknown mounts": UNKNOWN,
            "an unknown path": [{"name": "t", "mountPath": UNKNOWN}],
        }.items()
    ),
    Case(
        "WH-04",
        "unknown mounts beside one at /tmp are no matter",
        (
            bare(
                vllm(securityContext=LOCKED, volumeMounts=[{"name": "t", "mountPath": "/tmp"}, {"mountPath": UNKNOWN}])
            ),
        ),
    ),
    Case(
        "WH-04",
        "an unknown emptyDir is a doubt about what our components wrote",
        (ours(volumes=[{"name": "tmp", "emptyDir": UNKNOWN}]),),
        "cannot decide whether what is written has a limit",
        undecided=True,
    ),
    Case("WH-05", "a server that shares nothing passes", (workload(), ours(), bare(vllm()))),
    *(
        Case("WH-05", f"{name} is advised against", (workload(**{name: True}),), said, advice=True)
        for name, said in {
            "hostNetwork": "listens on its node's addresses",
            "hostPID": "sees every process of its node",
            "hostIPC": "an emptyDir with medium: Memory and a sizeLimit, mounted at /dev/shm",
        }.items()
    ),
    Case("WH-05", "what is turned off passes", (workload(hostNetwork=False, hostPID="false"),)),
    Case("WH-05", "hostIPC stops what our components wrote", (ours(hostIPC=True),), "shares the memory segments"),
    Case("WH-05", "it is advice in profile dev", (ours(hostIPC=True),), "shares the", advice=True, profile=Profile.DEV),
    Case(
        "WH-05",
        "unknown hostNetwork is a doubt about what our components wrote",
        (ours(hostNetwork=UNKNOWN),),
        "cannot decide whether the pod shares nothing with its node",
        undecided=True,
    ),
    Case(
        "WH-05",
        "a port of the node is advised against",
        (workload(server(ports=[{"name": "http", "containerPort": 8000, "hostPort": 8000}])),),
        "takes a port of its node",
        advice=True,
    ),
    Case("WH-05", "port 0 of the node is none", (workload(server(ports=[{"containerPort": 8000, "hostPort": 0}])),)),
    Case("WH-05", "a folder of the node is advised against", (folder("/data/models"),), "mounts a folder", advice=True),
    *(
        Case("WH-05", f"{path} hands the node over", (folder(path),), "hands the node over")
        for path in ("/var/run/docker.sock", "/run/containerd/containerd.sock", "/", "/var/run/")
    ),
    Case(
        "WH-05",
        "an unknown folder is a doubt",
        (folder(UNKNOWN),),
        "cannot decide whether the container",
        undecided=True,
    ),
    *(
        Case("WH-05", f"a {kind} is looked at", (workload(kind=kind, hostPID=True),), "sees every process", advice=True)
        for kind in ("StatefulSet", "LeaderWorkerSet", "Pod")
    ),
    Case("WH-07", "an account without a token passes", (workload(), ours())),
    Case(
        "WH-07",
        "a token that is mounted is found",
        (ours(automountServiceAccountToken=True),),
        "a token for the cluster",
    ),
    Case("WH-07", "a token that nothing leaves out is found", (ours(automountServiceAccountToken=None),), "a token"),
    Case("WH-07", "the account may leave it out", (ours(automountServiceAccountToken=None), account(token=False))),
    Case(
        "WH-07",
        "another account leaves out nothing",
        (ours(automountServiceAccountToken=None), account(token=False, name="other")),
        "a token for the cluster is mounted",
    ),
    Case(
        "WH-07",
        "the account must say so",
        (ours(automountServiceAccountToken=None), account()),
        "a token for the cluster is mounted",
    ),
    Case(
        "WH-07",
        "the pod goes before its account",
        (ours(automountServiceAccountToken=True), account(token=False)),
        "a token for the cluster is mounted",
    ),
    Case(
        "WH-07",
        "an unknown setting is a doubt",
        (ours(automountServiceAccountToken=UNKNOWN),),
        "cannot decide whether a token for the cluster is mounted",
        undecided=True,
    ),
    Case(
        "WH-07",
        "the default account is advised against",
        (ours(serviceAccountName=None),),
        "default account",
        advice=True,
    ),
    Case("WH-07", "an account that is not known yet passes", (ours(serviceAccountName=UNKNOWN),)),
    Case("WH-07", "a pod that serves nothing is left alone", (workload({"name": "web"}, serviceAccountName=None),)),
    Case(
        "WH-05",
        "volumes that are computed may hold the socket",
        (workload(volumes=UNKNOWN),),
        "the container runtime's socket",
        undecided=True,
    ),
)
