"""What runs in the embedded cluster, seen through the real API server."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from toolchain.cluster import Cluster, status, up
from toolchain.kube import Kube, Manifest

pytestmark = pytest.mark.engine

NODES = Path(__file__).resolve().parents[2] / "toolchain" / "clusters" / "local.yaml"
GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists"}


def pod_spec(gpus: int = 0, **extra: Any) -> Manifest:
    resources = {"limits": {"cpu": "100m", "memory": "64Mi"} | ({"nvidia.com/gpu": gpus} if gpus else {})}
    container = {"name": "server", "image": "example.invalid/server:1", "resources": resources}
    return {"containers": [container], "tolerations": [GPU_TOLERATION], **extra}


def pod(name: str, namespace: str, spec: Manifest, **annotations: str) -> Manifest:
    keys = {f"modelberth.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    metadata = {"name": name, "namespace": namespace, "annotations": keys}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def conditions(thing: Manifest) -> dict[str, Manifest]:
    return {condition["type"]: condition for condition in thing["status"].get("conditions", [])}


def in_phase(thing: Manifest, phase: str) -> Manifest | None:
    return thing if thing["status"]["phase"] == phase else None


def is_ready(thing: Manifest) -> bool:
    return conditions(thing).get("Ready", {}).get("status") == "True"


def claim(name: str, namespace: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "30Gi"}}, **spec},
    }


def test_a_gpu_pod_lands_on_the_l4_node_and_is_ready_only_after_its_load_time(kube: Kube, namespace: str) -> None:
    selector = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    server = pod("server", namespace, pod_spec(gpus=1, nodeSelector=selector), simulated_load="3s")
    kube.apply(server)

    loading = kube.wait(lambda: in_phase(kube.get(kube.path(server)), "Running"))
    assert not is_ready(loading)
    assert loading["spec"]["nodeName"].startswith("simulated-g2-standard-8-")

    kube.wait(lambda: is_ready(kube.get(kube.path(server))))
    loaded = kube.get(kube.path(server))
    began = datetime.fromisoformat(loaded["status"]["startTime"])
    ready = datetime.fromisoformat(conditions(loaded)["Ready"]["lastTransitionTime"])
    assert ready - began >= timedelta(seconds=3)


def test_a_pod_that_asks_more_gpus_than_any_node_has_stays_pending_and_says_so(kube: Kube, namespace: str) -> None:
    server = pod("too-large", namespace, pod_spec(gpus=4))
    kube.apply(server)

    verdict = kube.wait(lambda: conditions(kube.get(kube.path(server))).get("PodScheduled"))
    assert verdict["status"] == "False"
    assert "Insufficient nvidia.com/gpu" in verdict["message"]


def test_a_gpu_node_refuses_a_pod_that_does_not_tolerate_its_taint(kube: Kube, namespace: str) -> None:
    server = pod("intolerant", namespace, pod_spec(gpus=1, tolerations=[]))
    kube.apply(server)

    verdict = kube.wait(lambda: conditions(kube.get(kube.path(server))).get("PodScheduled"))
    assert "untolerated taint" in verdict["message"]


def test_a_load_time_that_is_no_duration_is_told_in_an_event(kube: Kube, namespace: str) -> None:
    server = pod("unreadable", namespace, pod_spec(), simulated_load="90")
    kube.apply(server)

    events = f"/api/v1/namespaces/{namespace}/events"
    event = kube.wait(lambda: next(iter(kube.list(events, fields="reason=SimulatedLoadUnreadable")), None))
    assert "never becomes ready" in event["message"]
    assert not is_ready(kube.get(kube.path(server)))


def test_a_deployment_becomes_available_and_its_deleted_pods_go_away(kube: Kube, namespace: str) -> None:
    labels = {"app": "server"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec()}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "server", "namespace": namespace}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    kube.apply(deployment)
    kube.wait(lambda: kube.get(kube.path(deployment))["status"].get("availableReplicas") == 2)

    kube.delete(deployment)
    kube.wait(lambda: not kube.list(f"/api/v1/namespaces/{namespace}/pods"), what="no pods left")


def test_a_job_completes(kube: Kube, namespace: str) -> None:
    spec = {"template": {"spec": pod_spec(restartPolicy="Never")}}
    metadata = {"name": "download", "namespace": namespace}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    kube.apply(job)

    kube.wait(lambda: conditions(kube.get(kube.path(job))).get("Complete", {}).get("status") == "True")


def test_a_running_pod_of_a_job_can_be_deleted(kube: Kube, namespace: str) -> None:
    template = {
        "metadata": {"annotations": {"modelberth.dev/simulated-run": "1h"}},
        "spec": pod_spec(restartPolicy="Never"),
    }
    metadata = {"name": "endless", "namespace": namespace}
    kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    first = kube.wait(lambda: next(iter(kube.list(pods, fields="status.phase=Running")), None))["metadata"]["name"]

    kube.delete(f"{pods}/{first}")
    kube.wait(lambda: kube.find(f"{pods}/{first}") is None, what=f"pod {first} gone")


def test_a_claim_binds_once_a_pod_uses_it_and_its_volume_goes_with_it(kube: Kube, namespace: str) -> None:
    weights = claim("weights", namespace)
    kube.apply(weights)
    events = f"/api/v1/namespaces/{namespace}/events"
    kube.wait(lambda: kube.list(events, fields="reason=WaitForFirstConsumer"), what="the claim waits for a pod")
    assert kube.get(kube.path(weights))["status"]["phase"] == "Pending"

    volumes = [{"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}}]
    server = pod("server", namespace, pod_spec(volumes=volumes))
    kube.apply(server)
    kube.wait(lambda: is_ready(kube.get(kube.path(server))), what="the pod with the claim is ready")
    bound = kube.get(kube.path(weights))
    assert bound["status"]["phase"] == "Bound"
    assert bound["spec"]["storageClassName"] == "simulated"
    assert bound["status"]["capacity"] == {"storage": "30Gi"}

    kube.delete(server)
    kube.delete(weights)
    volume = f"/api/v1/persistentvolumes/{bound['spec']['volumeName']}"
    kube.wait(lambda: kube.find(volume) is None, what="the volume gone")


def test_a_claim_of_a_storage_class_that_does_not_exist_stays_pending(kube: Kube, namespace: str) -> None:
    weights = claim("weights", namespace, storageClassName="premium")
    kube.apply(weights)

    events = f"/api/v1/namespaces/{namespace}/events"
    event = kube.wait(lambda: next(iter(kube.list(events, fields="reason=ProvisioningFailed")), None))
    assert '"premium" not found' in event["message"]
    assert kube.get(kube.path(weights))["status"]["phase"] == "Pending"


def test_nodes_carry_the_labels_of_their_machine_and_say_that_they_are_simulated(kube: Kube) -> None:
    labels = kube.get("/api/v1/nodes/simulated-g2-standard-8-1")["metadata"]["labels"]
    assert labels["node.kubernetes.io/instance-type"] == "g2-standard-8"
    assert labels["topology.kubernetes.io/zone"] == "us-central1-a"
    assert labels["topology.kubernetes.io/region"] == "us-central1"
    assert labels["modelberth.dev/simulated"] == "true"


def test_nodes_come_and_go_with_the_nodes_file(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    more = tmp_path / "nodes.yaml"
    more.write_text(NODES.read_text() + "- {machine: g2-standard-12, count: 1, zone: us-central1-b, pool: spare}\n")
    path = "/api/v1/nodes/simulated-g2-standard-12-1"

    up(cluster.kubeconfig.parent, more)
    assert kube.get(path)["metadata"]["labels"]["cloud.google.com/gke-nodepool"] == "spare"

    up(cluster.kubeconfig.parent, NODES)
    assert kube.find(path) is None


def test_status_counts_gpus_and_says_that_nodes_and_pods_are_simulated(
    cluster: Cluster, kube: Kube, namespace: str
) -> None:
    server = pod("server", namespace, pod_spec(gpus=2))
    kube.apply(server)
    kube.wait(lambda: is_ready(kube.get(kube.path(server))))

    found = status(cluster.kubeconfig.parent)
    (large,) = (node for node in found.nodes if node.machine == "a2-ultragpu-2g")
    assert (large.gpus_allocated, large.gpus_allocatable) == (2, 2)
    assert "2 of 2" in found.text()
    assert "nothing computes" in found.text()
    assert str(cluster.kubeconfig) in found.text()
