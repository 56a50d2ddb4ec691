"""Node pools bring nodes into the embedded cluster, change them and drain them, as seen by a real scheduler."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.providers import nodes
from tests.providers.cloud import Fault
from tests.providers.process import Plugin, running
from toolchain.cluster import Cluster
from toolchain.kube import Kube, Manifest

pytestmark = pytest.mark.engine

GPU = "nvidia.com/gpu"
GKE_CLUSTER, GKE_POOL = "gcp:container/cluster:Cluster", "gcp:container/nodePool:NodePool"
EKS_CLUSTER, EKS_GROUP = "aws:eks/cluster:Cluster", "aws:eks/nodeGroup:NodeGroup"
L4 = {"type": "nvidia-l4", "count": 1}


@pytest.fixture(scope="module")
def google(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    with running("gcp", tmp_path_factory.mktemp("gcp"), cluster.kubeconfig) as plugin:
        yield plugin


@pytest.fixture(scope="module")
def amazon(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    with running("aws", tmp_path_factory.mktemp("aws"), cluster.kubeconfig) as plugin:
        yield plugin


@pytest.fixture(scope="module")
def gke(google: Plugin) -> str:
    given = {"location": "us-central1", "initialNodeCount": 1, "deletionProtection": False}
    return google.create(GKE_CLUSTER, name=f"test-{uuid.uuid4().hex[:6]}", **given)[0]


def of_pool(kube: Kube, name: str) -> list[Manifest]:
    return kube.list("/api/v1/nodes", labels=f"cloud.google.com/gke-nodepool={name}")


def pool(google: Plugin, gke: str, name: str, most: int = 2, **node: Any) -> tuple[str, dict[str, Any]]:
    """Make a GPU pool in two zones; its id and its inputs."""
    config = {"machineType": "g2-standard-8", "guestAccelerators": [L4], "spot": True, **node}
    given = {
        "cluster": gke,
        "name": name,
        "nodeLocations": ["us-central1-a", "us-central1-b"],
        "autoscaling": {"totalMinNodeCount": 0, "totalMaxNodeCount": most, "locationPolicy": "ANY"},
        "upgradeSettings": {"strategy": "SURGE", "maxSurge": 0, "maxUnavailable": 1},
        "nodeDrainConfigs": [{"respectPdbDuringNodePoolDeletion": True}],
        "nodeConfig": config,
    }
    return google.create(GKE_POOL, **given)[0], given


def deployment(kube: Kube, namespace: str, select: dict[str, str], replicas: int, gpus: int = 1) -> None:
    """Pods with a GPU each, on nodes with these labels, of which one may be missing at a time."""
    labels = {"app": "gpu"}
    container = {"name": "main", "image": "example.com/engine:1", "resources": {"limits": {GPU: str(gpus)}}}
    spec = {"nodeSelector": select, "containers": [container], "tolerations": [{"operator": "Exists"}]}
    named = {"name": "gpu", "namespace": namespace}
    template = {"metadata": {"labels": labels}, "spec": spec}
    selector = {"matchLabels": labels}
    kube.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named,
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        }
    )
    budget = {"selector": selector, "maxUnavailable": 1}
    kube.create({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": named, "spec": budget})


def ready(kube: Kube, namespace: str) -> int:
    return kube.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/gpu")["status"].get("readyReplicas", 0)


def places(kube: Kube, namespace: str) -> set[str]:
    return {each["spec"]["nodeName"] for each in kube.list(f"/api/v1/namespaces/{namespace}/pods")}


def test_a_pool_brings_the_nodes_that_its_cloud_would_make(google: Plugin, gke: str, kube: Kube) -> None:
    id_, given = pool(google, gke, "shape", most=3, labels={"team": "llm"}, bootDisk={"sizeGb": 200})
    found = of_pool(kube, "shape")
    zones = sorted(each["metadata"]["labels"]["topology.kubernetes.io/zone"] for each in found)
    assert zones == ["us-central1-a", "us-central1-a", "us-central1-b"]
    (node, *_) = found
    labels = node["metadata"]["labels"]
    assert (
        labels.items()
        >= {
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "cloud.google.com/gke-provisioning": "spot",
            "cloud.google.com/gke-spot": "true",
            "node.kubernetes.io/instance-type": "g2-standard-8",
            "team": "llm",
            "topology.kubernetes.io/region": "us-central1",
        }.items()
    )
    assert [taint["key"] for taint in node["spec"]["taints"]] == [GPU]  # as the cluster has plain nodes too
    assert node["status"]["allocatable"][GPU] == "1"
    assert int(node["status"]["capacity"]["ephemeral-storage"].removesuffix("Ki")) > 180 * 2**20
    google.delete(GKE_POOL, id_, given)
    assert of_pool(kube, "shape") == []


def test_labels_change_on_the_nodes_and_another_machine_type_renews_them_while_pods_stay(
    google: Plugin, gke: str, kube: Kube, namespace: str
) -> None:
    id_, given = pool(google, gke, "change", most=3)
    deployment(kube, namespace, {"cloud.google.com/gke-nodepool": "change"}, replicas=2)
    kube.wait(lambda: ready(kube, namespace) == 2, what="both pods ready")
    before = {each["metadata"]["uid"] for each in of_pool(kube, "change")}
    tainted = [{"key": "dedicated", "value": "llm", "effect": "NO_SCHEDULE"}]
    changed = given | {"nodeConfig": given["nodeConfig"] | {"labels": {"team": "llm"}, "taints": tainted}}
    google.update(GKE_POOL, id_, given, **changed)
    after = of_pool(kube, "change")
    assert {each["metadata"]["uid"] for each in after} == before
    assert {each["metadata"]["labels"]["team"] for each in after} == {"llm"}
    assert all("dedicated" in {taint["key"] for taint in each["spec"]["taints"]} for each in after)
    larger = changed | {
        "nodeConfig": changed["nodeConfig"] | {"machineType": "g2-standard-12", "labels": {"step": "2"}}
    }
    google.update(GKE_POOL, id_, changed, **larger)
    renewed = of_pool(kube, "change")
    assert {each["metadata"]["labels"]["node.kubernetes.io/instance-type"] for each in renewed} == {"g2-standard-12"}
    assert not {each["metadata"]["uid"] for each in renewed} & before
    assert all("team" not in each["metadata"]["labels"] for each in renewed)
    assert {each["metadata"]["labels"]["step"] for each in renewed} == {"2"}
    kube.wait(lambda: ready(kube, namespace) == 2, what="both pods ready on the new nodes")
    assert places(kube, namespace) <= {each["metadata"]["name"] for each in renewed}
    kube.delete(f"/api/v1/namespaces/{namespace}")
    google.delete(GKE_POOL, id_, larger)


def test_a_deleted_pool_is_drained_within_the_budget_onto_the_pool_that_stays(
    google: Plugin, gke: str, kube: Kube, namespace: str
) -> None:
    select = {"workload": namespace}
    old, given = pool(google, gke, "old", labels=select)
    deployment(kube, namespace, select, replicas=2)
    kube.wait(lambda: ready(kube, namespace) == 2, what="both pods ready")
    new, kept = pool(google, gke, "new", labels=select)
    google.delete(GKE_POOL, old, given)
    assert of_pool(kube, "old") == []
    kube.wait(lambda: ready(kube, namespace) == 2, what="both pods ready on the new pool")
    assert places(kube, namespace) <= {each["metadata"]["name"] for each in of_pool(kube, "new")}
    kube.delete(f"/api/v1/namespaces/{namespace}")
    google.delete(GKE_POOL, new, kept)


def test_a_drain_that_a_budget_never_allows_ends_says_so_and_the_nodes_go(
    google: Plugin, gke: str, kube: Kube, namespace: str
) -> None:
    _, given = pool(google, gke, "stuck", most=1)
    deployment(kube, namespace, {"cloud.google.com/gke-nodepool": "stuck"}, replicas=1)
    kube.wait(lambda: ready(kube, namespace) == 1, what="the pod ready")
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/gpu"
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "gpu"}}
    budget["metadata"]["namespace"] = namespace
    selector = {"matchLabels": {"app": "gpu"}}
    kube.apply({**budget, "spec": {"selector": selector, "maxUnavailable": 0}}, force=True)
    kube.wait(lambda: kube.get(path)["status"].get("disruptionsAllowed") == 0, what="a budget of none")
    (node,) = of_pool(kube, "stuck")
    owner = node["metadata"]["annotations"]["modelberth.dev/pool"]
    (remark,) = nodes.remove(kube, owner, respects_budgets=True, drained_within_s=1)
    assert f"{namespace}/gpu-" in remark
    assert of_pool(kube, "stuck") == []
    google.delete(GKE_POOL, f"{gke}/nodePools/stuck", given)


def test_a_pool_that_is_sold_out_exists_and_has_no_nodes_until_it_is_updated(
    google: Plugin, gke: str, kube: Kube
) -> None:
    google.cloud.plan(Fault("stock-out", method="create", type=GKE_POOL))
    with pytest.raises(grpc.RpcError, match="STOCKOUT"):
        pool(google, gke, "late")
    assert of_pool(kube, "late") == []
    (made,) = (each for each in google.cloud.objects(GKE_POOL) if each.id.endswith("/late"))
    google.update(GKE_POOL, made.id, made.inputs, **{k: v for k, v in made.inputs.items() if k != "__defaults"})
    assert len(of_pool(kube, "late")) == 2
    google.delete(GKE_POOL, made.id, made.inputs)


def test_a_pool_gets_no_more_nodes_than_the_bound(google: Plugin, gke: str, kube: Kube) -> None:
    id_, given = pool(google, gke, "many", most=20)
    assert len(of_pool(kube, "many")) == 8
    google.delete(GKE_POOL, id_, given)


def eks_group(amazon: Plugin, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """A node group of L40S machines in a cluster of its own."""
    trust = '{"Version": "2012-10-17", "Statement": []}'
    _, role = amazon.create("aws:iam/role:Role", f"role-{name}", assumeRolePolicy=trust)
    vpc, _ = amazon.create("aws:ec2/vpc:Vpc", f"vpc-{name}", cidrBlock="10.64.0.0/16")
    subnets = [
        amazon.create(
            "aws:ec2/subnet:Subnet",
            f"{name}-{zone}",
            vpcId=vpc,
            cidrBlock=f"10.64.{n}.0/24",
            availabilityZone=f"us-east-1{zone}",
        )[0]
        for n, zone in enumerate("ab")
    ]
    home, _ = amazon.create(EKS_CLUSTER, name, name=name, roleArn=role["arn"], vpcConfig={"subnetIds": subnets})
    script = "spec:\n  instance:\n    localStorage:\n      strategy: RAID0\n"
    template, _ = amazon.create(
        "aws:ec2/launchTemplate:LaunchTemplate", f"lt-{name}", userData=base64.b64encode(script.encode()).decode()
    )
    given = {
        "clusterName": home,
        "nodeGroupName": f"{name}-gpu",
        "nodeRoleArn": role["arn"],
        "subnetIds": [subnets[0]],
        "amiType": "AL2023_x86_64_NVIDIA",
        "instanceTypes": ["g6e.2xlarge"],
        "launchTemplate": {"id": template, "version": "1"},
        "scalingConfig": {"minSize": 0, "desiredSize": 1, "maxSize": 3},
        "labels": {"pool": name},
        **more,
    }
    return amazon.create(EKS_GROUP, **given)[0], given


def test_an_eks_node_has_gpus_once_a_device_plugin_runs_on_it(amazon: Plugin, kube: Kube, namespace: str) -> None:
    id_, given = eks_group(amazon, f"test-{uuid.uuid4().hex[:6]}")
    select = {"eks.amazonaws.com/nodegroup": given["nodeGroupName"]}

    def node() -> Manifest:
        (found,) = kube.list("/api/v1/nodes", labels=f"eks.amazonaws.com/nodegroup={given['nodeGroupName']}")
        return found

    assert node()["metadata"]["labels"]["eks.amazonaws.com/capacityType"] == "ON_DEMAND"
    assert not any(key.startswith("karpenter") for key in node()["metadata"]["labels"])
    assert node()["status"]["capacity"]["ephemeral-storage"] == "450G"  # the machine's own disk, by nodeadm
    assert GPU not in node()["status"]["allocatable"]
    container = {"name": "plugin", "image": "nvcr.io/nvidia/k8s-device-plugin:v0.20.0"}
    labels = {"app": "plugin"}
    plugin = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "plugin", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"nodeSelector": select, "containers": [container], "tolerations": [{"operator": "Exists"}]},
            },
        },
    }
    kube.create(plugin)
    kube.wait(lambda: node()["status"]["allocatable"].get(GPU) == "1", what="a GPU on the node")
    kube.delete(plugin)
    kube.wait(lambda: GPU not in node()["status"]["allocatable"], what="no GPU on the node")
    amazon.delete(EKS_GROUP, id_, given)
    assert kube.list("/api/v1/nodes", labels=f"pool={given['labels']['pool']}") == []
