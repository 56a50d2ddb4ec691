"""What the Prometheus operator and Grafana read: a PodMonitor and alert rules per service, a dashboard per engine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from modelberth.alerts import alerts
from modelberth.catalog import catalog
from modelberth.dashboards import dashboard
from modelberth.plan import Plan
from modelberth.queries import metrics_of

from .options import child
from .targets.base import Target

meta = k8s.meta.v1
SCRAPE_S = 15
DASHBOARD_LABEL = {"grafana_dashboard": "1"}
"""What Grafana's sidecar looks for, as the charts of Grafana set it up."""


def watch(
    plan: Plan, parent: pulumi.Resource, target: Target, selector: dict[str, str], labels: dict[str, str]
) -> None:
    """PodMonitor and PrometheusRule of one service."""
    metadata = meta.ObjectMetaArgs(namespace=target.namespace, labels={**labels, **target.monitoring.labels})
    if plan.launch.metrics_path:
        k8s.apiextensions.CustomResource(
            f"{plan.spec.called(plan.service)}-monitor",
            api_version="monitoring.coreos.com/v1",
            kind="PodMonitor",
            metadata=metadata,
            spec={"selector": {"matchLabels": selector}, "podMetricsEndpoints": [_endpoint(plan)]},
            opts=child(parent, provider=target.provider),
        )
    k8s.apiextensions.CustomResource(
        f"{plan.spec.called(plan.service)}-alerts",
        api_version="monitoring.coreos.com/v1",
        kind="PrometheusRule",
        metadata=metadata,
        spec={"groups": target.namespace.apply(lambda namespace: [rules(plan, namespace)])},
        opts=child(parent, provider=target.provider),
    )


def _endpoint(plan: Plan) -> dict[str, Any]:
    port = "metrics" if plan.launch.metrics_port not in (None, plan.launch.port) else "http"
    found: dict[str, Any] = {"port": port, "path": plan.launch.metrics_path, "interval": f"{SCRAPE_S}s"}
    key = plan.spec.api_key
    if key and catalog().engine(plan.decision.engine).metrics_need_api_key:
        found["authorization"] = {"type": "Bearer", "credentials": {"name": key.secret, "key": key.key}}
    return found


def rules(plan: Plan, namespace: str) -> dict[str, Any]:
    """The alert rules of a service, one group."""
    return {
        "name": f"modelberth-{plan.service}",
        "rules": [
            {
                "alert": alert.name,
                "expr": alert.expr,
                "for": f"{alert.for_s}s",
                "labels": {"severity": alert.severity, "service": plan.service},
                "annotations": {"summary": alert.summary, "action": alert.action},
            }
            for alert in alerts(plan, namespace)
        ],
    }


def dashboards(plans: Iterable[Plan], target: Target) -> None:
    """One ConfigMap per engine of the stack, which Grafana's sidecar loads."""
    used: dict[str, set[str]] = {}
    for plan in plans:
        used.setdefault(plan.decision.engine, set()).add(plan.decision.engine_version)
    for engine, versions in sorted(used.items()):
        if not any(metrics_of(engine, version) for version in versions):
            continue
        name = f"dashboard-{engine.replace('_', '-')}"
        content = json.dumps(dashboard(engine, sorted(versions)), indent=1, sort_keys=True)
        k8s.core.v1.ConfigMap(
            name,
            metadata=meta.ObjectMetaArgs(
                name=f"modelberth-{name}",
                namespace=target.namespace,
                labels={**target.labels, **DASHBOARD_LABEL, "app.kubernetes.io/part-of": "modelberth"},
            ),
            data={f"modelberth-{engine}.json": content},
            opts=child(target, provider=target.provider),
        )
