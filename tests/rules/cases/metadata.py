"""What pods say about themselves, and what their neighbours' names say to them."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.pods import bare, ours, server, workload
from tests.rules.samples import llamacpp, sglang, vllm

LINKED = "Kubernetes sets VLLM_PORT to the address of that, the engine reads it as a number, and it does not start"


def service(name: Any = "vllm", namespace: Any = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def batch(priority: Any) -> dict[str, Any]:
    return workload({"name": "batch", "image": "x:1"}, priorityClassName=priority)


def priority_class(default: Any) -> dict[str, Any]:
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "globalDefault": default, "value": 5}


def job(
    words: Any = "hf download org/model", kind: str = "Job", pod_deadline: Any = None, **spec: Any
) -> dict[str, Any]:
    container = {"name": "get", "image": "python:3.13", "command": ["sh", "-c", words]}
    made = workload(container, kind=kind, activeDeadlineSeconds=pod_deadline)
    inner = made["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else made["spec"]
    inner |= {"activeDeadlineSeconds": 7200, "backoffLimit": 4} | spec
    for name in [name for name, value in inner.items() if value is None]:
        del inner[name]
    return made


CASES: tuple[Case, ...] = (
    Case("WH-17", "without any priority none is asked for", (workload(), bare(vllm()), ours())),
    Case(
        "WH-17",
        "the priority of the cluster's own parts is advised against",
        (workload(priorityClassName="system-node-critical"),),
        "claims the priority of the cluster's own parts",
        advice=True,
    ),
    Case(
        "WH-17",
        "a server without a priority beside pods that have one is told so",
        (workload(), batch("batch")),
        "other pods of the stack have a priority and this one has none",
        advice=True,
    ),
    Case(
        "WH-17", "a server with a priority beside them passes", (workload(priorityClassName="serving"), batch("batch"))
    ),
    Case("WH-17", "a default for everyone is a priority", (workload(), batch("batch"), priority_class(default=True))),
    Case("WH-17", "a priority that is not known yet is one", (workload(priorityClassName=UNKNOWN), batch("batch"))),
    Case("WH-17", "parts of the cluster have its priority by right", (workload(), batch("system-node-critical"))),
    Case("WH-17", "a pod of the system that serves nothing is left alone", (batch("system-cluster-critical"),)),
    Case("WH-18", "a labelled server passes", (workload(), ours())),
    Case(
        "WH-18",
        "labels of the object are none of its pods",
        (bare(vllm()) | {"metadata": {"name": "chat", "labels": workload()["metadata"]["labels"]}},),
        "no label app.kubernetes.io/name",
        advice=True,
    ),
    Case(
        "WH-18",
        "a server without labels is told so",
        (bare(vllm()),),
        "no label app.kubernetes.io/name, app.kubernetes.io/instance, app.kubernetes.io/version",
        advice=True,
    ),
    Case(
        "WH-18", "an unknown label is one", (workload(labels=dict.fromkeys(workload()["metadata"]["labels"], UNKNOWN)),)
    ),
    Case(
        "WH-18",
        "a pod that serves nothing is left alone",
        (workload({"name": "web", "image": "nginx:1.29"}, labels={}),),
    ),
    Case(
        "WH-18",
        "weights at a path that nothing names are told so",
        (workload(vllm("--model", "/models/current", "--max-model-len", "8192")),),
        "nothing says which model lies at the path that is served",
        advice=True,
    ),
    Case("WH-18", "weights at a path that names them pass", (workload(vllm("--model", "/models/org--name/abc")),)),
    Case("WH-20", "a download with an end passes", (job(), job(kind="CronJob"))),
    Case("WH-20", "the deadline may be the pod's", (job(pod_deadline=7200, activeDeadlineSeconds=None),)),
    Case(
        "WH-20",
        "a download without a deadline is told so",
        (job(activeDeadlineSeconds=None),),
        "activeDeadlineSeconds: a download without a deadline",
        advice=True,
    ),
    Case(
        "WH-20",
        "a download every night without a deadline is told so",
        (job(kind="CronJob", activeDeadlineSeconds=None),),
        "spec.jobTemplate.spec.activeDeadlineSeconds",
        advice=True,
    ),
    Case("WH-20", "a download without a limit of tries is told so", (job(backoffLimit=None),), "6 times", advice=True),
    Case("WH-20", "a deadline that is not known yet is one", (job(activeDeadlineSeconds=UNKNOWN),)),
    Case("WH-20", "a Job that downloads nothing is left alone", (job("python -m train", backoffLimit=None),)),
    Case("WH-20", "words that are not known yet are left alone", (job(UNKNOWN, backoffLimit=None),)),
    Case("WH-22", "a server without links passes beside any Service", (workload(), service())),
    Case(
        "WH-22",
        "links are advised against",
        (bare(vllm()), service("chat")),
        "one called after the engine",
        advice=True,
    ),
    Case("WH-22", "vLLM does not start beside a Service of its name", (bare(vllm()), service()), LINKED),
    Case("WH-22", "links turned on are links", (workload(enableServiceLinks=True), service()), LINKED),
    Case(
        "WH-22",
        "a Service of another namespace sets nothing",
        (bare(vllm()), service(namespace="other")),
        "one called after the engine",
        advice=True,
    ),
    Case(
        "WH-22",
        "a Service without an address sets nothing",
        (bare(vllm()), service(clusterIP="None")),
        "one called after the engine",
        advice=True,
    ),
    Case(
        "WH-22",
        "a variable that the container sets itself is its own",
        (bare(vllm(env=[{"name": "VLLM_PORT", "value": "9000"}])), service()),
        "one called after the engine",
        advice=True,
    ),
    Case(
        "WH-22",
        "SGLang may not start beside a Service of its name",
        (bare(sglang()), service("sglang")),
        "it may not start",
        advice=True,
    ),
    Case(
        "WH-22",
        "llama-server is not called so",
        (bare(llamacpp()), service("llamacpp")),
        "one called after the engine",
        advice=True,
    ),
    *(
        Case("WH-22", f"a {kind} is looked at", (workload(kind=kind, enableServiceLinks=None), service()), LINKED)
        for kind in ("StatefulSet", "LeaderWorkerSet", "Pod")
    ),
    Case(
        "WH-22",
        "a Service with an unknown name is a doubt",
        (bare(vllm()), service(UNKNOWN)),
        "cannot decide whether a Service's name becomes a variable that the engine reads",
        undecided=True,
    ),
    Case(
        "WH-22",
        "unknown links are a doubt",
        (workload(enableServiceLinks=UNKNOWN), service()),
        "cannot decide",
        undecided=True,
    ),
    Case("WH-22", "an unknown name does not matter without links", (workload(server()), service(UNKNOWN))),
)
