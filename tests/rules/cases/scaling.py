"""Bounds and signals of autoscalers, and how many replicas there are at least."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case
from tests.rules.samples import L4, llamacpp, vllm

OURS = {"app.kubernetes.io/part-of": "modelberth"}
QUEUE = 'sum(vllm:num_requests_waiting{namespace="models"})'
GATEWAY = 'sum(envoy_cluster_upstream_rq_active{envoy_cluster_name="night"})'
SLOW = {"scaleDown": {"stabilizationWindowSeconds": 3600}}


def served(container: Any = None, *, kind: str = "Deployment", name: Any = "server", **spec: Any) -> dict[str, Any]:
    labels = OURS if spec.pop("ours", False) else {}
    template = {"spec": {"containers": [container or vllm()], **L4}}
    version = "leaderworkerset.x-k8s.io/v1" if kind == "LeaderWorkerSet" else "apps/v1"
    body: dict[str, Any] = {"selector": {"matchLabels": {"app": "server"}}, "template": template}
    if kind == "LeaderWorkerSet":
        body = {"leaderWorkerTemplate": {"size": 1, "leaderTemplate": template, "workerTemplate": template}}
    metadata = {"name": name, "namespace": "models", "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": body | spec}


def hpa(*metrics: Any, least: Any = 2, most: Any = 4, name: Any = "server", **more: Any) -> dict[str, Any]:
    """On the queue unless something else is said, with an hour of calm before a stop."""
    ours, version = more.pop("ours", False), more.pop("version", "autoscaling/v2")
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": list(metrics) or [pods_metric("vllm_num_requests_waiting")],
        "behavior": SLOW,
    }
    metadata = {"name": "scaler", "namespace": "models", "labels": OURS if ours else {}}
    return {"apiVersion": version, "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec | more}


def keda(*queries: Any, least: Any = 2, most: Any = 4, **more: Any) -> dict[str, Any]:
    triggers = [{"type": "prometheus", "metadata": {"query": query}} for query in queries or (QUEUE,)]
    spec = {
        "scaleTargetRef": {"name": "server"},
        "minReplicaCount": least,
        "maxReplicaCount": most,
        "cooldownPeriod": 3600,
        "triggers": triggers,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": SLOW}},
    }
    labels = OURS if more.pop("ours", False) else {}
    metadata = {"name": "scaler", "namespace": "models", "labels": labels}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec | more}


def pods_metric(name: Any) -> dict[str, Any]:
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": "3"}}}


def resource_metric(name: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization"}}}


def bounds(says: str, *there: dict[str, Any], red: str | None = None, **more: Any) -> Case:
    return Case("SZ-15", says, there, red, **more)


def signal(says: str, *there: dict[str, Any], red: str | None = None) -> Case:
    return Case("SZ-16", says, there, red, advice=red is not None)


def replicas(says: str, *there: dict[str, Any], red: str | None = None, **more: Any) -> Case:
    return Case("SZ-18", says, there, red, **more)


CASES = (
    bounds("a minimum below the maximum is met", hpa()),
    bounds("a minimum may be the maximum", hpa(least=4, most=4), boundary=True),
    bounds(
        "a minimum above the maximum is refused",
        hpa(least=5, most=4),
        red="at least 5 replicas are more than at most 4",
        boundary=True,
    ),
    bounds("a maximum of none is refused", hpa(least=None, most=0), red="none at all"),
    bounds("an unknown minimum is open", hpa(least=UNKNOWN), red="only known after apply", undecided=True),
    bounds("an unknown maximum is open", keda(most=UNKNOWN), red="only known after apply", undecided=True),
    bounds("numbers may be texts", hpa(least="5", most="4"), red="at least 5 replicas"),
    bounds("the default maximum of KEDA is a hundred", keda(least=101, most=None), red="at most 100 (the default)"),
    bounds("a horizontal autoscaler does not scale to nothing", hpa(least=0), red="gate HPAScaleToZero"),
    bounds("it does where the gate is on", hpa(least=0), thresholds={"hpa_scales_to_zero": True}),
    bounds("an idle count below the minimum is taken", keda(GATEWAY, least=1, idleReplicaCount=0)),
    bounds(
        "an idle count that is no less than the minimum is refused",
        keda(GATEWAY, least=1, idleReplicaCount=1),
        red="idleReplicaCount 1 is not less than minReplicaCount 1",
    ),
    bounds("a gateway's requests wake a service", keda(QUEUE, GATEWAY, least=0)),
    bounds("the queue of pods that do not run wakes nothing", keda(least=0), red="nothing wakes it"),
    bounds("the default minimum of KEDA is none", keda(least=None), red="minReplicaCount 0 (the default)"),
    bounds("a service that idles at nothing sleeps too", keda(least=1, idleReplicaCount=0), red="idleReplicaCount 0"),
    bounds("cron triggers wake", keda(least=0, triggers=[{"type": "cron", "metadata": {}}])),
    bounds(
        "an unknown trigger leaves open what wakes a service",
        keda(least=0, triggers=UNKNOWN),
        red="only known after apply",
        undecided=True,
    ),
    bounds(
        "an unknown query leaves open what wakes a service",
        keda(UNKNOWN, least=0),
        red="only known after apply",
        undecided=True,
    ),
    bounds("an unknown query does not matter where one replica stays", keda(UNKNOWN)),
    bounds("a window of an hour is taken", hpa(behavior=SLOW), boundary=True),
    bounds(
        "a longer window is refused",
        hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 3601}}),
        red="3601 s are more than the 3600 s",
        boundary=True,
    ),
    bounds(
        "a new replica of others may be stopped while it loads",
        served(),
        hpa(behavior={}),
        red="after 300 s of low load, the default",
        advice=True,
    ),
    bounds(
        "our own wait until a new replica is ready",
        served(ours=True),
        hpa(ours=True, behavior={"scaleDown": {"stabilizationWindowSeconds": 616}}),
        boundary=True,
    ),
    bounds(
        "our own wait a second less",
        served(ours=True),
        hpa(ours=True, behavior={"scaleDown": {"stabilizationWindowSeconds": 615}}),
        red="after 615 s of low load, a new one is ready after about 10 min 16 s",
        boundary=True,
    ),
    bounds(
        "an unknown window of ours is open",
        served(ours=True),
        hpa(ours=True, behavior={"scaleDown": {"stabilizationWindowSeconds": UNKNOWN}}),
        red="only known after apply",
        undecided=True,
    ),
    bounds(
        "an unknown cooldown of ours is open",
        served(ours=True),
        keda(GATEWAY, ours=True, least=0, cooldownPeriod=UNKNOWN),
        red="only known after apply",
        undecided=True,
    ),
    bounds(
        "our own target that is unknown is open",
        served(ours=True),
        hpa(ours=True, name=UNKNOWN),
        red="only known after apply",
        undecided=True,
    ),
    bounds("an unknown target of others is none of pools that are not there", served(), hpa(name=UNKNOWN)),
    bounds(
        "replicas that are never stopped need no calm",
        served(),
        hpa(behavior={"scaleDown": {"selectPolicy": "Disabled"}}),
    ),
    bounds("a web server's autoscaler needs no calm", served({"name": "web", "image": "nginx:1.29"}), hpa(behavior={})),
    bounds("an object of another group is no autoscaler", hpa(least=5, most=4, version="example.com/v1")),
    bounds("values of the wrong type bound nothing", hpa(least=["a"], most={"b": 1}, behavior=3)),
    signal("the queue of this version is followed", served(), hpa()),
    signal("a query over the queue is followed", served(), keda()),
    signal("the use of the CPU tells nothing", served(), hpa(resource_metric("cpu")), red="how busy the hardware is"),
    signal("the use of memory tells nothing", served(), hpa(resource_metric("memory")), red="how busy the hardware is"),
    signal("the default of no metric is the CPU", served(), hpa(metrics=[]), red="how busy the hardware is"),
    signal(
        "the first version follows the CPU only",
        served(),
        hpa(version="autoscaling/v1", metrics=None),
        red="how busy the hardware is",
    ),
    signal(
        "the use of the GPU tells nothing",
        served(),
        keda('avg(DCGM_FI_DEV_GPU_UTIL{exported_pod=~"server-.*"})'),
        red="follow vllm:num_requests_waiting",
    ),
    signal(
        "the CPU beside the queue is no harm",
        served(),
        hpa(resource_metric("cpu"), pods_metric("vllm_num_requests_waiting")),
    ),
    signal(
        "a web server may follow the CPU", served({"name": "web", "image": "nginx:1.29"}), hpa(resource_metric("cpu"))
    ),
    signal(
        "a metric of older versions is never told",
        served(),
        keda("max(vllm:gpu_cache_usage_perc)"),
        red="vLLM 0.33.0 has no metric vllm:gpu_cache_usage_perc: it is told until 0.9.0",
    ),
    signal(
        "the same metric is told by an old version",
        served(vllm(image="vllm/vllm-openai:v0.8.5")),
        keda("max(vllm:gpu_cache_usage_perc)"),
    ),
    signal(
        "a metric of another engine is never told",
        served(llamacpp()),
        hpa(pods_metric("vllm_num_requests_waiting")),
        red="the metric is one of vLLM, the pods run llama.cpp",
    ),
    signal(
        "a name of Cloud Monitoring is read",
        served(),
        hpa(
            {
                "type": "External",
                "external": {"metric": {"name": "prometheus.googleapis.com|vllm:gpu_cache_usage_perc|gauge"}},
            }
        ),
        red="told until 0.9.0",
    ),
    signal("a metric that nobody knows may be there", served(), keda("sum(vllm:made_by_a_plugin)")),
    signal("an unknown metric is no advice", served(), hpa(UNKNOWN)),
    replicas("two replicas serve", served(replicas=2), boundary=True),
    replicas(
        "one replica of ours is one too few", served(ours=True, replicas=1), red="there is 1 replica", boundary=True
    ),
    replicas("no number means one", served(), red="there is 1 replica (the default)"),
    replicas("an unknown number is open", served(replicas=UNKNOWN), red="only known after apply", undecided=True),
    replicas("an autoscaler's minimum is what counts", served(replicas=1), hpa(least=2)),
    replicas(
        "an autoscaler's minimum of one is one too few",
        served(replicas=3),
        hpa(least=1),
        red="spec.minReplicas: the autoscaler may leave 1 replica",
    ),
    replicas(
        "a service that may sleep serves nobody meanwhile",
        served(replicas=3),
        keda(least=0),
        red="may leave no replica",
    ),
    replicas(
        "an unknown minimum is open",
        served(replicas=3),
        hpa(least=UNKNOWN),
        red="only known after apply",
        undecided=True,
    ),
    replicas(
        "an autoscaler of something unknown may be the one",
        served(replicas=1),
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": UNKNOWN}, "maxReplicas": 3},
        },
        red="only known after apply",
        undecided=True,
    ),
    replicas(
        "an autoscaler of another object does not count",
        served(replicas=1),
        hpa(name="other"),
        red="there is 1 replica",
    ),
    replicas("a StatefulSet of one is one too few", served(kind="StatefulSet", replicas=1), red="there is 1 replica"),
    replicas("a group of its own is one replica", served(kind="LeaderWorkerSet", replicas=1), red="there is 1 replica"),
    replicas("a web server of one is not our matter", served({"name": "web", "image": "nginx:1.29"}, replicas=1)),
    replicas(
        "one replica is told in development",
        served(ours=True, replicas=1),
        red="there is 1 replica",
        profile=Profile.DEV,
    ),
)
