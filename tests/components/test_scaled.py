"""Objects of a service whose replicas follow the load, as the components register them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.test_rendering import objects

STACK = "autoscaled"


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects(STACK, f":{kind}") if each["name"] == name]
    return found


def scaled_object(name: str) -> dict[str, Any]:
    return one("ScaledObject", f"{name}-autoscaler")["inputs"]["spec"]


def budget_s(name: str) -> int:
    container = one("Deployment", f"{name}-server")["inputs"]["spec"]["template"]["spec"]["containers"][0]
    return container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]


@pytest.mark.parametrize(("name", "replicas"), [("chat", 2), ("draft", 1), ("night", 1)])
def test_the_number_of_replicas_is_set_once_and_then_left_to_the_autoscaler(name: str, replicas: int) -> None:
    server = one("Deployment", f"{name}-server")
    assert server["inputs"]["spec"]["replicas"] == replicas
    assert server["ignore_changes"] == ["spec.replicas"]


def test_a_service_with_fixed_replicas_keeps_them() -> None:
    assert all(each["ignore_changes"] == [] for each in objects("local", ":Deployment"))


@pytest.mark.parametrize("name", ["chat", "night"])
def test_low_load_must_outlast_the_start_up_budget_before_a_replica_is_stopped(name: str) -> None:
    spec = scaled_object(name)
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] > budget_s(name)
    assert spec["cooldownPeriod"] > budget_s(name)
    assert spec["initialCooldownPeriod"] > budget_s(name)


def test_an_autoscaler_that_sees_nothing_takes_no_replica_away() -> None:
    spec = scaled_object("chat")
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert [each["metadata"]["ignoreNullValues"] for each in spec["triggers"]] == ["false"]


def test_a_sleeping_service_is_woken_by_its_query_and_by_nothing_of_its_own() -> None:
    load, wake = scaled_object("night")["triggers"]
    assert load["metadata"]["ignoreNullValues"] == "true"
    assert "envoy_cluster_upstream_rq_active" in wake["metadata"]["query"]
    assert scaled_object("night")["minReplicaCount"] == 0


def test_the_horizontal_autoscaler_follows_a_metric_of_the_pods_never_a_resource() -> None:
    spec = one("HorizontalPodAutoscaler", "draft-autoscaler")["inputs"]["spec"]
    (metric,) = spec["metrics"]
    assert metric["type"] == "Pods"
    assert metric["pods"]["metric"]["name"] == "llamacpp_requests_processing"
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "1600m"}


def test_metrics_that_need_the_api_key_are_scraped_with_it_by_reference() -> None:
    (draft,) = one("PodMonitor", "draft-monitor")["inputs"]["spec"]["podMetricsEndpoints"]
    assert draft["authorization"]["credentials"] == {"name": "draft-key", "key": "key"}
    (chat,) = one("PodMonitor", "chat-monitor")["inputs"]["spec"]["podMetricsEndpoints"]
    assert "authorization" not in chat


def test_prometheus_may_scrape_and_only_from_its_namespace() -> None:
    rules = one("NetworkPolicy", "chat-network-policy")["inputs"]["spec"]["ingress"]
    peers = [
        peer["namespaceSelector"]["matchLabels"] for rule in rules for peer in rule["from"] if "podSelector" not in peer
    ]
    assert {"kubernetes.io/metadata.name": "monitoring"} in peers
    for each in objects("local", ":NetworkPolicy"):
        assert "kubernetes.io/metadata.name" not in str(each["inputs"]["spec"]["ingress"])


def test_the_operator_finds_its_objects_by_the_labels_that_the_stack_states() -> None:
    for kind in ("PodMonitor", "PrometheusRule"):
        for each in objects(STACK, f":{kind}"):
            assert each["inputs"]["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_there_is_one_dashboard_per_engine_for_the_sidecar_of_grafana() -> None:
    maps = [each["inputs"] for each in objects(STACK, ":ConfigMap")]
    assert sorted(each["metadata"]["name"] for each in maps) == [
        "modelberth-dashboard-llamacpp",
        "modelberth-dashboard-vllm",
    ]
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in maps)


def test_nothing_is_made_for_a_cluster_of_which_nothing_is_said() -> None:
    kinds = {each["type"].rpartition(":")[2] for each in objects("local")}
    assert not kinds & {"ScaledObject", "HorizontalPodAutoscaler", "PodMonitor", "PrometheusRule"}
