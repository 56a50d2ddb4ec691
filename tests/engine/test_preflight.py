"""What a real API server is seen to lack, by `modelberth preflight` and by the engine before it creates anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.conftest import Project
from toolchain import crds
from toolchain.cluster import Cluster
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

CANARY = "sk-QwErTyUiOpAsDfGhJkLzXcVbNm12345678"
CHAT: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B-Instruct", "context": 8192, "concurrency": 3, "pool": "l4"}
DOOR = {
    "kind": "gateway",
    "controller": "other",
    "ranges_enforced_by": "the office's firewall",
    "class_name": "theirs",
    "host": "chat.example.com",
    "tls_secret": "chat-tls",
    "source_ranges": ["203.0.113.0/24"],
    "proxy_namespace": "kube-system",
}
KEY = {"secret": "api", "key": "key"}


def check(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelberth", "preflight", str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_cluster_that_has_everything_lacks_nothing(project: Project) -> None:
    done = check(project.write({"chat": CHAT}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is missing" in done.stdout


def test_missing_apis_classes_secrets_and_gpus_are_said_together_with_who_installs_them(project: Project) -> None:
    hungry = CHAT | {"replicas": 11, "weights": "hub", "api_key": KEY, "expose": DOOR}
    pools = {"l4": {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 20}}
    target = {"kind": "existing", "kubeconfig": str(project.kubeconfig), "namespace": project.namespace}
    named = target | {"node_labels": "gcp", "storage_class": "gold"}
    services = {"chat": hungry, "draft": CHAT}
    done = check(project.write(services, target=named, pools=pools, weights={"hub": {"kind": "hub"}}))
    assert done.returncode == 1
    assert "services need 12 GPUs, 8 nodes" in done.stdout
    assert "offer 8" in done.stdout
    assert "there is no storage class gold" in done.stdout
    assert "one of: simulated" in done.stdout
    assert f"Secret api in namespace {project.namespace} does not exist" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_engine_says_what_is_missing_before_anything_is_created(project: Project, kube: Kube) -> None:
    project.write({"chat": CHAT | {"api_key": KEY}})
    done = project.pulumi("up", "--yes", "--skip-preview")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"services.chat.api_key: Secret api in namespace {project.namespace} does not exist" in text
    assert "kubectl create secret generic api" in text
    assert "Traceback" not in text
    assert kube.find(f"/api/v1/namespaces/{project.namespace}") is None
    assert project.resources() == []


def test_a_preview_is_refused_for_an_api_that_nobody_installed_and_says_who_does(project: Project, kube: Kube) -> None:
    gke = DOOR | {"controller": "gke-gateway", "ranges_enforced_by": "office-only"}
    project.write({"chat": CHAT | {"api_key": KEY, "expose": gke}})
    done = project.pulumi("preview")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "services.chat.expose: the cluster has no " in text
    assert "GCPBackendPolicy (networking.gke.io/v1): GKE Gateway is installed by you, not by this stack" in text
    assert "gcloud container clusters update CLUSTER --gateway-api=standard" in text
    assert f"Secret api in namespace {project.namespace} does not exist" in text
    assert "Traceback" not in text
    assert kube.find(f"/api/v1/namespaces/{project.namespace}") is None
    assert project.resources() == []


def test_a_horizontal_autoscaler_without_an_adapter_is_refused(project: Project) -> None:
    scaled = CHAT | {"weights": "hub", "autoscaling": {"min": 1, "max": 2, "scaler": "hpa"}}
    watched = {"monitoring": {"prometheus": "http://prometheus.monitoring.svc:9090"}}
    done = check(project.write({"chat": scaled}, weights={"hub": {"kind": "hub"}}, defaults=watched))
    assert done.returncode == 1
    assert "the cluster has no custom.metrics.k8s.io/v1beta1: an adapter for custom metrics" in done.stdout
    assert "helm install prometheus-adapter" in done.stdout


def test_a_target_may_be_left_unasked(project: Project) -> None:
    path = project.write({"chat": CHAT | {"api_key": KEY}})
    content = yaml.safe_load(path.read_text())
    content["config"]["modelberth:target"]["preflight"] = False
    path.write_text(yaml.safe_dump(content))
    done = project.pulumi("preview")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_api_server_that_does_not_answer_is_named_without_a_trace(project: Project, tmp_path: Path) -> None:
    config = yaml.safe_load(project.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    silent = tmp_path / "kubeconfig"
    silent.write_text(yaml.safe_dump(config))
    path = project.write({"chat": CHAT})
    path.write_text(path.read_text().replace(str(project.kubeconfig), str(silent)))
    done = project.pulumi("preview")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "target.kubeconfig: https://127.0.0.1:1 does not answer" in text
    assert "Traceback" not in text


def test_a_kubeconfig_that_is_none_is_refused_and_nothing_of_it_is_shown(project: Project, tmp_path: Path) -> None:
    for content in (f"token: [{CANARY}", f"users: {CANARY}", CANARY, "{}"):
        broken = tmp_path / "kubeconfig"
        broken.write_text(content)
        done = check(project.write({"chat": CHAT}), "--kubeconfig", str(broken))
        assert done.returncode == 1
        assert "target.kubeconfig:" in done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def secret(namespace: str, **values: str) -> dict[str, Any]:
    metadata = {"name": "api", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def test_a_secret_without_the_key_is_found_and_its_values_are_not_shown(
    project: Project, kube: Kube, namespace: str
) -> None:
    kube.create(secret(namespace, token=CANARY))
    project.namespace = namespace
    done = check(project.write({"chat": CHAT | {"api_key": KEY}}))
    assert done.returncode == 1
    assert f"Secret api in namespace {namespace} has no key key" in done.stdout
    assert CANARY not in done.stdout + done.stderr


def test_a_namespace_of_another_level_is_taken_over_only_with_a_warning(
    project: Project, kube: Kube, namespace: str
) -> None:
    level = {"pod-security.kubernetes.io/enforce": "privileged"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": level}})
    project.namespace = namespace
    done = check(project.write({"chat": CHAT}))
    assert done.returncode == 0
    assert "becomes restricted (now privileged)" in done.stdout


def test_a_namespace_that_is_restricted_already_keeps_its_level(project: Project, kube: Kube, namespace: str) -> None:
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": level}})
    project.namespace = namespace
    done = check(project.write({"chat": CHAT}))
    assert done.returncode == 0
    assert "was not made by a stack: it is taken over" in done.stdout
    assert "becomes restricted" not in done.stdout


def test_a_namespace_that_runs_somebody_elses_pods_is_refused(project: Project, kube: Kube, namespace: str) -> None:
    spec = {"containers": [{"name": "shop", "image": "shop:1"}]}
    kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop", "namespace": namespace}, "spec": spec})
    project.namespace = namespace
    done = check(project.write({"chat": CHAT}))
    assert done.returncode == 1
    assert f"{namespace} exists and runs pod shop" in done.stdout


def test_credentials_that_may_do_nothing_are_told_what_they_may_not(
    project: Project, kube: Kube, namespace: str, tmp_path: Path
) -> None:
    config = yaml.safe_load(project.kubeconfig.read_text())
    token = kube.token(namespace)
    config["users"][0]["user"] = {"token": token}
    weak = tmp_path / "kubeconfig"
    weak.write_text(yaml.safe_dump(config))
    done = check(project.write({"chat": CHAT}), "--kubeconfig", str(weak))
    assert done.returncode == 1
    assert "create and patch Deployment" in done.stdout
    assert "create and patch Namespace" in done.stdout
    assert "nodes may not be listed" in done.stdout
    assert token not in done.stdout + done.stderr


def test_a_gateway_api_that_is_there_leaves_only_its_class_missing(
    cluster: Cluster, project: Project, kube: Kube
) -> None:
    crds.install(kube, "gateway-api")
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": project.namespace}})
    kube.create(secret(project.namespace, key=CANARY))
    try:
        path = project.write({"chat": CHAT | {"api_key": KEY, "expose": DOOR}})
        done = check(path)
        assert "GatewayClass theirs does not exist" in done.stdout
        assert "the cluster has no" not in done.stdout
        theirs = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "theirs"}}
        kube.create(theirs | {"spec": {"controllerName": "example.com/gateway"}})
        done = check(path)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        kube.delete("/apis/gateway.networking.k8s.io/v1/gatewayclasses/theirs")
        kube.delete(f"/api/v1/namespaces/{project.namespace}")
