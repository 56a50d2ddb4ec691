"""What an autoscaler decided survives every `up`: real engine, real API server. The tests build on each other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.conftest import Project
from toolchain import crds
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

CHAT: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "context": 4096,
    "concurrency": 2,
    "pool": "l4",
    "weights": "hub",
}
SCALED = CHAT | {"autoscaling": {"min": 1, "max": 2}}
SLEEPING = CHAT | {"autoscaling": {"min": 0, "max": 2, "wake": {"query": "sum(requests_at_the_door)"}}}
KEYS = {
    "weights": {"hub": {"kind": "hub"}},
    "defaults": {
        "monitoring": {
            "prometheus": "http://prometheus.monitoring.svc:9090",
            "operator": True,
            "labels": {"release": "monitoring"},
        }
    },
}


@pytest.fixture(scope="module")
def stack(make_project: Any, kube: Kube) -> Project:
    """The project that all tests of this module change in turn."""
    crds.install(kube, "keda", "prometheus-operator")
    return make_project()


def up(stack: Project, service: dict[str, Any], owner: str) -> None:
    """`up`; ``owner`` is a label on every object, so that every object changes with it."""
    defaults = KEYS["defaults"] | {"owner": owner}
    stack.write({"chat": service}, weights=KEYS["weights"], defaults=defaults)
    done = stack.pulumi("up", "--yes", "--skip-preview", policies=True)
    assert done.returncode == 0, done.stdout + done.stderr


def deployment(stack: Project, kube: Kube) -> dict[str, Any]:
    found = kube.list(f"/apis/apps/v1/namespaces/{stack.namespace}/deployments")
    assert len(found) == 1
    return found[0]


def scaled(stack: Project, kube: Kube, replicas: int) -> None:
    """An autoscaler's decision, carried out."""
    path = kube.path(deployment(stack, kube) | {"apiVersion": "apps/v1", "kind": "Deployment"})
    kube.scale(path, replicas, field_manager="keda-operator")
    kube.wait(lambda: kube.get(path)["status"].get("readyReplicas", 0) == replicas, 60, what=f"{replicas} replicas")


def test_a_service_that_is_scaled_starts_with_the_fewest_replicas(stack: Project, kube: Kube) -> None:
    up(stack, SCALED, "one")
    assert deployment(stack, kube)["spec"]["replicas"] == 1


def test_the_api_server_accepts_the_objects_of_keda_and_of_the_prometheus_operator(stack: Project, kube: Kube) -> None:
    for api, kind in (
        ("keda.sh/v1alpha1", "scaledobjects"),
        ("monitoring.coreos.com/v1", "podmonitors"),
        ("monitoring.coreos.com/v1", "prometheusrules"),
    ):
        assert len(kube.list(f"/apis/{api}/namespaces/{stack.namespace}/{kind}")) == 1
    (scaler,) = kube.list(f"/apis/keda.sh/v1alpha1/namespaces/{stack.namespace}/scaledobjects")
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment(stack, kube)["metadata"]["name"]


def test_the_name_of_the_workload_is_one_that_the_queries_select(stack: Project, kube: Kube) -> None:
    import re

    from modelberth.queries import pods

    found = kube.list(f"/api/v1/namespaces/{stack.namespace}/pods", labels="modelberth.dev/role=server")
    assert found
    assert all(re.fullmatch(pods("chat"), pod["metadata"]["name"]) for pod in found)


def test_replicas_of_the_autoscaler_stay_when_something_else_changes(stack: Project, kube: Kube) -> None:
    scaled(stack, kube, 2)
    before = deployment(stack, kube)["metadata"]["generation"]
    up(stack, SCALED, "two")
    after = deployment(stack, kube)
    assert after["metadata"]["labels"]["modelberth.dev/owner"] == "two"
    assert after["metadata"]["generation"] > before
    assert after["spec"]["replicas"] == 2


def test_they_stay_through_a_second_change_and_a_refresh(stack: Project, kube: Kube) -> None:
    refreshed = stack.pulumi("refresh", "--yes", "--skip-preview")
    assert refreshed.returncode == 0, refreshed.stdout + refreshed.stderr
    up(stack, SCALED | {"concurrency": 1}, "three")
    assert deployment(stack, kube)["spec"]["replicas"] == 2


def test_a_service_that_sleeps_is_changed_without_being_woken(stack: Project, kube: Kube) -> None:
    up(stack, SLEEPING | {"concurrency": 1}, "four")
    assert deployment(stack, kube)["spec"]["replicas"] == 2
    scaled(stack, kube, 0)
    up(stack, SLEEPING | {"concurrency": 1}, "five")
    assert deployment(stack, kube)["spec"]["replicas"] == 0


def test_an_up_without_changes_changes_nothing(stack: Project) -> None:
    done = stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert done.returncode == 0, done.stdout + done.stderr


def test_fixed_replicas_are_set_again_when_autoscaling_ends(stack: Project, kube: Kube) -> None:
    up(stack, CHAT | {"concurrency": 1, "replicas": 1}, "six")
    assert deployment(stack, kube)["spec"]["replicas"] == 1


def test_autoscaling_takes_over_from_fixed_replicas_without_stopping_any(stack: Project, kube: Kube) -> None:
    up(stack, CHAT | {"concurrency": 1, "replicas": 2}, "seven")
    assert deployment(stack, kube)["spec"]["replicas"] == 2
    up(stack, SCALED | {"concurrency": 1}, "eight")
    assert deployment(stack, kube)["spec"]["replicas"] == 2
