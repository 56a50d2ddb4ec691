"""Examples of names that objects of one stack have for each other."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.stacks import made, policy, server, service

ALMOST = "called almost so"
ELSEWHERE = "is in another namespace"


def _account(name: Any = "chat", **metadata: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "models"} | metadata
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def _as(name: Any, ours: bool = False) -> dict[str, Any]:
    return server(ours=ours, serviceAccountName=name)


def _route(**parent: Any) -> dict[str, Any]:
    return made(
        "HTTPRoute", {"parentRefs": [{"name": "door"} | parent], "rules": [{"backendRefs": [{"name": "chat"}]}]}
    )


_GATEWAY = made(
    "Gateway", {"gatewayClassName": "any", "listeners": [{"name": "https", "port": 443, "protocol": "HTTPS"}]}, "door"
)
CASES = (
    Case("WH-14", "an account of its own name passes", (_as("chat"), _account())),
    Case("WH-14", "an account that is misspelt is told", (_as("chatt"), _account()), ALMOST, advice=True),
    Case("WH-14", "in ours it stops", (_as("chatt", ours=True), _account()), ALMOST),
    Case("WH-14", "an account of another name may be in the cluster", (_as("reader"), _account())),
    Case("WH-14", "a name that will be may be right", (_as(UNKNOWN), _account())),
    Case("WH-14", "an account elsewhere is not found", (_as("chat"), _account(namespace="other")), ELSEWHERE),
    Case("WH-14", "a Service of ours lies with its pods", (server(ours=True), service(ours=True))),
    Case(
        "WH-14",
        "a policy of ours elsewhere is for nobody",
        (server(ours=True), policy(ours=True) | {"metadata": policy(ours=True)["metadata"] | {"namespace": "modles"}}),
        "no pod that serves is in this namespace",
    ),
    Case("WH-14", "a listener that is there passes", (server(), service(), _GATEWAY, _route(sectionName="https"))),
    Case(
        "WH-14",
        "a listener that is not is told",
        (server(), service(), _GATEWAY, _route(sectionName="http")),
        "no listener of this name",
    ),
    Case(
        "WH-14",
        "a pool of a cluster that is misspelt is told",
        (
            ("gcp:container/cluster:Cluster", {"name": "models"}),
            ("gcp:container/nodePool:NodePool", {"name": "l4", "cluster": "model"}),
        ),
        ALMOST,
    ),
    Case(
        "WH-14",
        "a pool of a cluster elsewhere passes",
        (
            ("gcp:container/cluster:Cluster", {"name": "models"}),
            ("gcp:container/nodePool:NodePool", {"name": "l4", "cluster": "training"}),
        ),
    ),
    Case(
        "WH-12",
        "names are asked for by UDP",
        (server(), policy(egress=[{"ports": [{"port": 53, "protocol": "TCP"}]}])),
        "DNS is let out by TCP only",
        advice=True,
    ),
    Case("WH-12", "DNS by both passes", (server(), policy())),
)
