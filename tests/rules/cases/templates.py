"""Examples of WH-21."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import vllm
from tests.rules.stacks import APP, server

REFUSED = "is refused by the API server"
OWN = "does not select"


def _env(*values: Any, ours: bool = False, **more: Any) -> dict[str, Any]:
    return server(vllm(env=[{"name": "HF_HOME", "value": value} for value in values]), ours=ours, **more)


def _selecting(selector: Any, **more: Any) -> dict[str, Any]:
    return server(spec_selector=selector, **more)


_PROXY = {"name": "proxy", "image": "envoyproxy/envoy:v1.31.0", "restartPolicy": "Always"}
_TWICE = [{"name": "MODE", "value": "a"}, {"name": "MODE", "value": "b"}]
_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
CASES = (
    *(Case("WH-21", f"a {kind} needs a selector", (_selecting(None, kind=kind),), REFUSED) for kind in _KINDS),
    Case("WH-21", "an empty selector is none", (_selecting({}),), REFUSED),
    Case("WH-21", "a selector of its own labels passes", (server(),)),
    Case("WH-21", "a group of pods needs none", (server(kind="LeaderWorkerSet"),)),
    Case("WH-21", "a Job needs none", (_selecting(None, kind="Job", restartPolicy="Never"),)),
    Case("WH-21", "a selector of other labels is refused", (_selecting({"matchLabels": {"app": "other"}}),), OWN),
    Case("WH-21", "one label too many is refused", (_selecting({"matchLabels": APP | {"tier": "gpu"}}),), OWN),
    Case("WH-21", "labels beside the selected ones pass", (server(labels=APP | {"tier": "gpu"}),)),
    Case(
        "WH-21",
        "an expression may select too",
        (_selecting({"matchExpressions": [{"key": "app", "operator": "In", "values": ["chat"]}]}),),
    ),
    Case(
        "WH-21",
        "an expression that leaves its own pods out is refused",
        (_selecting({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["chat"]}]}),),
        OWN,
    ),
    Case(
        "WH-21",
        "one unknown label is open",
        (_selecting({"matchLabels": {"app": UNKNOWN}}),),
        "whether",
        undecided=True,
    ),
    Case("WH-21", "one value used twice is not", (server(labels={"app": UNKNOWN}),)),
    Case("WH-21", "all of both may be one value", (server(spec_selector=UNKNOWN, labels=UNKNOWN),)),
    Case("WH-21", "a selector that will be is not", (_selecting(UNKNOWN),), "whether", undecided=True),
    Case(
        "WH-21",
        "an expression about an unknown label is open",
        (
            server(
                labels={"app": UNKNOWN},
                spec_selector={"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["chat"]}]},
            ),
        ),
        "whether",
        undecided=True,
    ),
    Case("WH-21", "two values of one variable are refused", (_env("/a", "/b"),), "HF_HOME is set 2 times"),
    Case("WH-21", "the same value twice is advised against", (_env("/a", "/a"),), "HF_HOME", advice=True),
    Case("WH-21", "one value passes", (_env("/a"),)),
    Case("WH-21", "an unknown second value counts as another", (_env("/a", UNKNOWN),), "HF_HOME"),
    Case(
        "WH-21",
        "sidecars are read too",
        (server(initContainers=[_PROXY | {"env": _TWICE}]),),
        "initContainers[0].env[1]",
    ),
    Case("WH-21", "a bare Pod is advised against", (server(kind="Pod"),), "nothing starts this Pod again", advice=True),
    Case(
        "WH-21",
        "one selector for two is advised against",
        (server(), server(name="other")),
        "same selector",
        advice=True,
    ),
    Case(
        "WH-21",
        "one selector for two of ours stops",
        (server(ours=True), server(name="other", ours=True)),
        "same selector",
    ),
    Case("WH-21", "selectors of their own pass", (server(), server(name="other", labels={"app": "other"}))),
    Case(
        "WH-21",
        "namespaces keep selectors apart",
        (server(), server(name="other") | {"metadata": {"name": "other", "namespace": "elsewhere"}}),
    ),
)
