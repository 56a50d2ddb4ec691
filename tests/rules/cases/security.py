"""Security contexts."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case
from tests.rules.pods import bare, hardened, ours, pod, server, workload
from tests.rules.samples import tgi, vllm

RUNS_AS = {"runAsNonRoot": True, "runAsUser": 20000, "seccompProfile": {"type": "RuntimeDefault"}}


def context(**more: Any) -> dict[str, Any]:
    """A server of ours whose container has another security context; None takes a field away."""
    return ours(server(securityContext={k: v for k, v in hardened(**more).items() if v is not None}))


def user(number: Any, **more: Any) -> dict[str, Any]:
    return ours(server(), securityContext=RUNS_AS | {"runAsUser": number} | more)


def namespace(standard: Any) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": standard}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models", "labels": labels}}


def inside(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest | {"metadata": manifest["metadata"] | {"namespace": "models"}}


CASES: tuple[Case, ...] = (
    Case("WH-03", "a hardened server passes", (workload(), ours())),
    Case("WH-03", "user 10001 passes", (user(10001),), boundary=True),
    Case("WH-03", "user 10000 may be someone's", (user(10000),), "user 10000 is below 10001", boundary=True),
    Case("WH-03", "a team may set the least user lower", (user(1000),), thresholds={"least_user": 1000}),
    Case("WH-03", "a server without a user is told so", (user(None),), "no user is stated"),
    Case(
        "WH-03",
        "privilege escalation must be forbidden",
        (context(allowPrivilegeEscalation=None),),
        "allowPrivilegeEscalation is not false",
    ),
    Case("WH-03", "capabilities must be dropped", (context(capabilities=None),), "not all capabilities are dropped"),
    Case(
        "WH-03",
        "a capability for low ports passes",
        (context(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),),
    ),
    Case(
        "WH-03",
        "any other capability is found",
        (context(capabilities={"drop": ["ALL"], "add": ["IPC_LOCK"]}),),
        "a capability is added",
    ),
    Case(
        "WH-03",
        "a seccomp profile must hold",
        (user(20000, seccompProfile={"type": "Unconfined"}),),
        "no seccomp profile holds",
    ),
    Case(
        "WH-03",
        "a container's own context goes before its pod's",
        (context(seccompProfile={"type": "Unconfined"}),),
        "no seccomp profile holds",
    ),
    Case(
        "WH-03",
        "everything may be said at the container",
        (ours(server(securityContext=hardened(**RUNS_AS)), securityContext={}),),
    ),
    Case("WH-03", "nothing said is advice to others", (bare(vllm()),), "more rights than a server needs", advice=True),
    Case("WH-03", "it is advice in profile dev", (user(None),), "no user", advice=True, profile=Profile.DEV),
    Case(
        "WH-03",
        "a privileged pod is told so",
        (workload(server(securityContext={"privileged": True})),),
        "privileged is true",
        advice=True,
    ),
    Case(
        "WH-03",
        "an init container is looked at",
        (ours(server(), initContainers=[{"name": "get", "image": "x:1"}]),),
        "initContainers[0].securityContext",
    ),
    Case(
        "WH-03",
        "a sidecar is looked at",
        (ours(server(), {"name": "proxy", "image": "x:1"}),),
        "containers[1].securityContext",
    ),
    *(
        Case(
            "WH-03",
            f"a {kind} is looked at",
            (ours(server(securityContext={}), kind=kind),),
            "allowPrivilegeEscalation is not false",
        )
        for kind in ("StatefulSet", "LeaderWorkerSet", "Pod", "Job")
    ),
    Case("WH-03", "a pod for Windows is left alone", (workload(server(securityContext={}), os={"name": "windows"}),)),
    Case("WH-03", "a pod that serves nothing is left alone", (workload({"name": "web", "image": "nginx:1.29"}),)),
    Case(
        "WH-03",
        "privileged without escalation is refused",
        (workload(server(securityContext=hardened(privileged=True))),),
        "privileged and allowPrivilegeEscalation: false contradict each other: the API server refuses it",
    ),
    Case(
        "WH-03",
        "CAP_SYS_ADMIN without escalation is refused",
        (workload(server(securityContext=hardened(capabilities={"add": ["CAP_SYS_ADMIN"], "drop": ["ALL"]}))),),
        "CAP_SYS_ADMIN and allowPrivilegeEscalation: false contradict each other",
    ),
    Case(
        "WH-03",
        "root that may not be root does not start",
        (workload(server(), securityContext=RUNS_AS | {"runAsUser": 0}),),
        "the kubelet does not start the container",
    ),
    Case(
        "WH-03",
        "an image that runs as root is told so",
        (workload(server(), securityContext={"runAsNonRoot": True}),),
        "the image of vLLM runs as root, and runAsNonRoot forbids it",
        advice=True,
    ),
    Case(
        "WH-03",
        "an image that only root may run does not start as anyone else",
        (bare(tgi(), securityContext={"runAsUser": 20000}),),
        "does not start without root rights",
    ),
    Case(
        "WH-03",
        "advice about an image that only root may run names another image",
        (bare(tgi()),),
        "one of two lines",
        advice=True,
    ),
    Case(
        "WH-03",
        "unknown privilege escalation is a doubt",
        (context(allowPrivilegeEscalation=UNKNOWN),),
        "cannot decide whether containers have no more rights than they need",
        undecided=True,
    ),
    Case("WH-03", "an unknown user is a doubt", (user(UNKNOWN),), "cannot decide", undecided=True),
    Case(
        "WH-03",
        "an unknown security context is a doubt",
        (ours(server(securityContext=UNKNOWN)),),
        "cannot decide",
        undecided=True,
    ),
    Case("WH-03", "words where fields belong raise nothing", (context(capabilities="all"),), "not all capabilities"),
    Case("WH-03", "a hardened pod enters a restricted namespace", (namespace("restricted"), inside(workload()))),
    Case(
        "WH-03",
        "a pod without a context does not enter a restricted namespace",
        (namespace("restricted"), inside(bare(vllm()))),
        "its namespace enforces restricted, and runAsNonRoot is not true: its pods are refused",
    ),
    Case(
        "WH-03",
        "it enters a baseline namespace",
        (
            namespace("baseline"),
            inside(workload(server(securityContext={"allowPrivilegeEscalation": True}), initContainers=[])),
        ),
        "allowPrivilegeEscalation is not false",
        advice=True,
    ),
    Case(
        "WH-03",
        "a pod that serves nothing enters a baseline namespace without a context",
        (namespace("baseline"), inside(workload({"name": "web", "image": "nginx:1.29"}, securityContext={}))),
    ),
    Case(
        "WH-03",
        "an unknown context in a restricted namespace is a doubt",
        (
            namespace("restricted"),
            inside(workload({"name": "web", "image": "nginx:1.29", "securityContext": UNKNOWN})),
        ),
        "cannot decide whether the namespace lets its pods in",
        undecided=True,
    ),
    Case(
        "WH-03",
        "a pod with a folder of its node does not enter a baseline namespace",
        (namespace("baseline"), inside(workload(volumes=[{"name": "tmp", "hostPath": {"path": "/data"}}]))),
        "its namespace enforces baseline, and a folder of the node is mounted",
    ),
    Case(
        "WH-03",
        "a namespace that only warns lets everything in",
        (namespace("privileged"), inside(workload(**pod(volumes=[{"name": "tmp", "hostPath": {"path": "/data"}}])))),
    ),
    Case(
        "WH-03",
        "rights that are computed are open",
        (workload(server(securityContext=UNKNOWN)),),
        "cannot decide",
        undecided=True,
    ),
    Case(
        "WH-03",
        "whether privileged rights are refused is open",
        (workload(server(securityContext=hardened(privileged=True, allowPrivilegeEscalation=UNKNOWN))),),
        "cannot decide",
        undecided=True,
    ),
)
