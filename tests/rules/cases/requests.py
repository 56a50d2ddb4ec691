"""Requests and limits."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case
from tests.rules.pods import STATED, bare, ours, resources, server, workload
from tests.rules.samples import llamacpp, vllm

GPU = "nvidia.com/gpu"


def limited(limits: Any = None, requests: Any = None) -> dict[str, Any]:
    """A server of someone else's with these limits and requests."""
    stated = {"limits": limits, "requests": requests}
    return bare(vllm(resources={key: value for key, value in stated.items() if value is not None}))


def of_ours(**changed: Any) -> dict[str, Any]:
    """A server of ours with some limits changed, None takes one away; requests follow the limits."""
    limits = {key: value for key, value in {**STATED, GPU: 1, **changed}.items() if value is not None}
    return ours(server(resources={"limits": limits}))


CASES: tuple[Case, ...] = (
    Case("WH-02", "a server with everything stated passes", (workload(),)),
    Case("WH-02", "a server of ours with everything stated passes", (ours(),)),
    Case("WH-02", "requests follow from limits", (of_ours(),)),
    Case(
        "WH-02", "as many GPUs requested as the limit pass", (limited({**STATED, GPU: "2"}, {GPU: 2}),), boundary=True
    ),
    Case(
        "WH-02",
        "one GPU less requested than the limit is refused",
        (limited({**STATED, GPU: "2"}, {GPU: 1}),),
        "1 devices are requested, the limit is 2: the API server refuses it",
        boundary=True,
    ),
    Case(
        "WH-02",
        "GPUs requested without a limit are refused",
        (limited(STATED, {GPU: 1}),),
        "devices are requested without a limit",
    ),
    Case("WH-02", "half a GPU is refused", (limited({**STATED, GPU: "0.5"}),), "0.5 is no whole number of devices"),
    Case("WH-02", "thousandths of a GPU are refused", (limited({**STATED, GPU: "500m"}),), "500m is no whole number"),
    Case("WH-02", "a whole GPU in thousandths passes", (limited({**STATED, GPU: "1000m"}),)),
    Case(
        "WH-02",
        "other vendors' devices are counted the same",
        (limited({**STATED, "amd.com/gpu": 1}, {"amd.com/gpu": 2}),),
        "2 devices are requested, the limit is 1",
    ),
    Case("WH-02", "a slice of a GPU passes", (limited({**STATED, "nvidia.com/mig-1g.10gb": 1}),)),
    Case(
        "WH-02",
        "a resource without a domain is refused",
        (limited({**STATED, "gpu": 1}),),
        "is no resource of containers",
    ),
    Case(
        "WH-02",
        "gigabytes with a B are refused",
        (limited({**STATED, "memory": "16GB", GPU: 1}),),
        "is no quantity of Kubernetes",
    ),
    Case("WH-02", "a quantity with a blank is refused", (limited({"memory": "16 Gi", GPU: 1}),), "is no quantity"),
    Case("WH-02", "a switch is no quantity", (limited({"cpu": True, GPU: 1}),), "is no quantity"),
    Case("WH-02", "less than nothing is refused", (limited({**STATED, GPU: -1}),), "is negative"),
    Case(
        "WH-02",
        "quantities of every suffix pass",
        (limited({"cpu": 0.5, "memory": "1e10", "ephemeral-storage": "1E"}),),
    ),
    Case(
        "WH-02",
        "as much memory requested as the limit passes",
        (limited({**STATED, "memory": "16Gi"}, {"memory": "16384Mi"}),),
        boundary=True,
    ),
    Case(
        "WH-02",
        "more memory requested than the limit is refused",
        (limited({**STATED, "memory": "16Gi"}, {"memory": "16385Mi"}),),
        "the request of 16385Mi is more than the limit of 16Gi",
        boundary=True,
    ),
    Case(
        "WH-02",
        "less memory requested than the limit is advised against",
        (limited({**STATED, "memory": "16Gi"}, {"memory": "16383Mi"}),),
        "16383Mi of memory are kept for it, it may take 16Gi",
        advice=True,
        boundary=True,
    ),
    Case(
        "WH-02",
        "less memory requested than the limit stops what our components wrote",
        (ours(server(resources={"limits": STATED, "requests": {**STATED, "memory": "13Gi"}})),),
        "a request of 14Gi, the limit",
    ),
    Case(
        "WH-02",
        "nothing stated is advised against",
        (bare(vllm()),),
        "no cpu request and limit, no memory",
        advice=True,
    ),
    Case("WH-02", "what is only requested has no limit", (limited({GPU: 1}, STATED),), "no cpu limit, no", advice=True),
    Case(
        "WH-02",
        "memory left out stops what our components wrote",
        (of_ours(memory=None),),
        "no memory request and limit",
    ),
    Case(
        "WH-02",
        "memory left out is advised against in profile dev",
        (of_ours(memory=None),),
        "no memory request and limit",
        advice=True,
        profile=Profile.DEV,
    ),
    Case(
        "WH-02",
        "an init container counts too",
        (ours(server(), initContainers=[{"name": "wait", "image": "busybox:1.37"}]),),
        "spec.template.spec.initContainers[0].resources: no cpu request and limit",
    ),
    Case(
        "WH-02",
        "what the pod states for all its containers is stated",
        (ours(server(resources={"limits": {"ephemeral-storage": "1Gi", GPU: 1}}), resources={"limits": STATED}),),
    ),
    Case(
        "WH-02",
        "half a GPU of an init container is refused",
        (workload(server(), initContainers=[{"name": "warm", "resources": {"limits": {GPU: 0.5}}}]),),
        "initContainers[0]",
    ),
    *(
        Case(
            "WH-02",
            f"half a GPU of a {kind} is refused",
            (workload(server(resources={"limits": {**STATED, GPU: 0.5}}), kind=kind),),
            "is no whole number of devices",
        )
        for kind in ("StatefulSet", "LeaderWorkerSet", "Job", "CronJob", "Pod")
    ),
    Case(
        "WH-02",
        "devices of a pod that serves nothing are counted too",
        (workload({"name": "train", "image": "example/train:1", "resources": {"requests": {GPU: 1}}}),),
        "devices are requested without a limit",
    ),
    Case(
        "WH-02",
        "a pod that serves nothing may state nothing",
        (workload({"name": "web", "image": "nginx:1.29"}),),
    ),
    Case("WH-02", "a server on CPUs passes with everything stated", (bare(llamacpp(resources={"limits": STATED})),)),
    Case(
        "WH-02",
        "an unknown request beside a limit is a doubt",
        (limited({**STATED, GPU: 1}, {GPU: UNKNOWN}),),
        "cannot decide whether requests and limits are stated",
        undecided=True,
    ),
    Case(
        "WH-02",
        "an unknown limit beside a request is a doubt",
        (limited({**STATED, GPU: UNKNOWN}, {GPU: 1}),),
        "cannot decide whether requests and limits are stated",
        undecided=True,
    ),
    Case(
        "WH-02",
        "unknown limits are a doubt about what our components wrote",
        (ours(server(resources={"limits": UNKNOWN})),),
        "cannot decide whether requests and limits are stated",
        undecided=True,
    ),
    Case(
        "WH-02",
        "an unknown memory request beside a limit is a doubt about what our components wrote",
        (ours(server(resources={"limits": STATED, "requests": {"memory": UNKNOWN}})),),
        "cannot decide whether requests and limits are stated",
        undecided=True,
    ),
    Case(
        "WH-02",
        "an unknown figure may be refused",
        (limited({**STATED, "memory": UNKNOWN, GPU: 1}),),
        "limits.memory: cannot decide whether requests and limits are stated, and such that the API server takes them",
        undecided=True,
    ),
    Case(
        "WH-02",
        "an unknown figure of a pod that serves nothing is left alone",
        (workload({"name": "web", "image": "nginx:1.29", "resources": {"limits": {"memory": UNKNOWN}}}),),
    ),
    Case("WH-02", "words where figures belong raise nothing", (bare(vllm(resources="much")),), "no cpu", advice=True),
    Case("WH-02", "the same figures in both places pass", (workload(server(**resources())),)),
)
