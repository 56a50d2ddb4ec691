"""Objects that change the number of replicas: a ScaledObject of KEDA, or a HorizontalPodAutoscaler."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from modelberth.names import Scaler
from modelberth.scaling import UP_WINDOW_S, Scaling

from .options import child
from .targets.base import Target

meta, scale = k8s.meta.v1, k8s.autoscaling.v2

POLL_S = 15
"""Between two looks at the signal; the horizontal autoscaler's own period."""
FAILED_POLLS = 3
"""Failed looks in a row after which replicas are kept rather than scaled on no data."""
ONLY_WAKES = "1000000000"
"""Threshold of a trigger that wakes from zero and never asks for a second replica."""


def autoscaler(
    name: str,
    parent: pulumi.Resource,
    target: Target,
    scaling: Scaling,
    labels: dict[str, str],
    workload: pulumi.CustomResource,
    workload_ref: dict[str, pulumi.Input[str]],
) -> pulumi.CustomResource:
    """``workload_ref`` holds apiVersion, kind and name of what has the ``scale`` subresource."""
    metadata = meta.ObjectMetaArgs(namespace=target.namespace, labels=labels)
    options = child(parent, provider=target.provider, depends_on=[workload])
    if scaling.scaler is Scaler.HPA:
        return _horizontal(name, scaling, metadata, workload_ref, options)
    fallback = {"failureThreshold": FAILED_POLLS, "replicas": scaling.min, "behavior": "currentReplicasIfHigher"}
    return k8s.apiextensions.CustomResource(
        f"{name}-autoscaler",
        api_version="keda.sh/v1alpha1",
        kind="ScaledObject",
        metadata=metadata,
        spec={
            "scaleTargetRef": workload_ref,
            "minReplicaCount": scaling.min,
            "maxReplicaCount": scaling.max,
            "pollingInterval": POLL_S,
            "cooldownPeriod": scaling.cooldown_s,
            "initialCooldownPeriod": scaling.cooldown_s,
            **({"fallback": fallback} if scaling.min else {}),  # KEDA would keep a service awake with it
            "advanced": {
                "restoreToOriginalReplicaCount": False,
                "horizontalPodAutoscalerConfig": {"behavior": behavior(scaling)},
            },
            "triggers": target.namespace.apply(lambda namespace: triggers(scaling, name, namespace)),
        },
        opts=options,
    )


def triggers(scaling: Scaling, service: str, namespace: str) -> list[dict[str, Any]]:
    """The signal, and for a service that sleeps what wakes it.

    No data is an error, never zero load, except where the pods that report may all sleep, and of what wakes them: a
    gateway without traffic may have no series at all.
    """
    sleeps = scaling.min == 0
    found = [_trigger("load", scaling, scaling.promql(namespace, service), f"{scaling.threshold:g}", sleeps)]
    if scaling.wake_query:
        found.append(_trigger("wake", scaling, scaling.wake_query, ONLY_WAKES, no_data_is_zero=True))
    return found


def _trigger(name: str, scaling: Scaling, query: str, threshold: str, no_data_is_zero: bool) -> dict[str, Any]:
    return {
        "type": "prometheus",
        "name": name,
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": scaling.prometheus,
            "query": query,
            "threshold": threshold,
            "activationThreshold": "0",
            "ignoreNullValues": "true" if no_data_is_zero else "false",
        },
    }


def behavior(scaling: Scaling) -> dict[str, Any]:
    """How fast: up at most to the double while the last new ones load, down one by one after a long calm."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": UP_WINDOW_S,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 1, "periodSeconds": scaling.step_s},
                {"type": "Percent", "value": 100, "periodSeconds": scaling.step_s},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": scaling.down_window_s,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": UP_WINDOW_S}],
        },
    }


def _horizontal(
    name: str,
    scaling: Scaling,
    metadata: k8s.meta.v1.ObjectMetaArgs,
    workload_ref: dict[str, pulumi.Input[str]],
    options: pulumi.ResourceOptions,
) -> k8s.autoscaling.v2.HorizontalPodAutoscaler:
    """On a metric per pod that an adapter serves: never on CPU."""
    return scale.HorizontalPodAutoscaler(
        f"{name}-autoscaler",
        metadata=metadata,
        spec=scale.HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=scale.CrossVersionObjectReferenceArgs(
                api_version=workload_ref["apiVersion"], kind=workload_ref["kind"], name=workload_ref["name"]
            ),
            min_replicas=scaling.min,
            max_replicas=scaling.max,
            behavior=behavior(scaling),  # type: ignore[reportArgumentType]
            metrics=[
                scale.MetricSpecArgs(
                    type="Pods",
                    pods=scale.PodsMetricSourceArgs(
                        metric=scale.MetricIdentifierArgs(name=scaling.pods_metric),
                        target=scale.MetricTargetArgs(
                            type="AverageValue", average_value=f"{round(scaling.threshold * 1000)}m"
                        ),
                    ),
                )
            ],
        ),
        opts=options,
    )
