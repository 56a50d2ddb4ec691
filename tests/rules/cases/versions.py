"""Examples of WH-19."""

from __future__ import annotations

from typing import Any

from tests.rules.cases import Case
from tests.rules.stacks import budget, server


def _of(version: str, manifest: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return (manifest | {"apiVersion": version},)


_HPA = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "chat"}, "spec": {}}
_FLOW = {"kind": "FlowSchema", "metadata": {"name": "chat"}, "spec": {}}
_BETA3 = "flowcontrol.apiserver.k8s.io/v1beta3"
CASES = (
    Case("WH-19", "today's versions pass", (server(), budget())),
    Case("WH-19", "a budget of v1beta1 is refused", _of("policy/v1beta1", budget()), "apiVersion: policy/v1"),
    Case("WH-19", "an autoscaler of v2beta2 is refused", _of("autoscaling/v2beta2", _HPA), "since 1.26"),
    Case("WH-19", "a Deployment of extensions is refused", _of("extensions/v1beta1", server()), "apiVersion: apps/v1"),
    Case(
        "WH-19",
        "a kind that is gone is to be left out",
        _of("policy/v1beta1", _FLOW | {"kind": "PodSecurityPolicy"}),
        "leave the PodSecurityPolicy out",
    ),
    Case("WH-19", "another kind of a version that is gone is none of its business", _of("policy/v1beta1", _FLOW)),
    Case(
        "WH-19",
        "a version is refused from its minor on",
        _of(_BETA3, _FLOW),
        "since 1.32",
        boundary=True,
        thresholds={"kubernetes_minor": 32},
    ),
    Case(
        "WH-19",
        "the minor before only advises",
        _of(_BETA3, _FLOW),
        "gone from 1.32 on",
        advice=True,
        boundary=True,
        thresholds={"kubernetes_minor": 31},
    ),
    Case(
        "WH-19",
        "a version is advised against from the minor on that deprecates it",
        _of(_BETA3, _FLOW),
        "deprecated since 1.29",
        advice=True,
        boundary=True,
        thresholds={"kubernetes_minor": 29},
    ),
    Case(
        "WH-19",
        "the minor before that it is like any other",
        _of(_BETA3, _FLOW),
        boundary=True,
        thresholds={"kubernetes_minor": 28},
    ),
)
