"""The staging stack on EKS, from nothing to nothing, on the stand-ins and the embedded cluster. Each test goes on where
the one before it ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.conftest import pods_of
from tests.engine.stands import Stand
from toolchain.cluster import Cluster
from toolchain.kube import Kube, Manifest

pytestmark = pytest.mark.engine

GROUP, TEMPLATE = "aws:eks/nodeGroup:NodeGroup", "aws:ec2/launchTemplate:LaunchTemplate"
ADDON, CLUSTER, KEY = "aws:eks/addon:Addon", "aws:eks/cluster:Cluster", "aws:kms/key:Key"
BUCKET = "aws:s3/bucket:Bucket"
NAMESPACE = "models"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("staging"), "staging", cluster.kubeconfig)

    def quick(keys: dict[str, Any]) -> None:
        keys["target"]["pod_annotations"] = {"modelberth.dev/simulated-load": "1s"}

    made.change(quick)
    yield made
    if nodes(Kube(cluster.kubeconfig)):  # a test failed half way
        let_go(made)


def let_go(stand: Stand) -> None:
    """As docs/targets/eks.md says it."""
    stand.change(lambda keys: keys["target"]["eks"].update(deletion_protection=False))
    stand.up()
    stand.destroy("--exclude-protected")


def serving(kube: Kube) -> list[Manifest]:
    return [each for each in pods_of(kube, NAMESPACE, "chat") if each["status"].get("phase") == "Running"]


def nodes(kube: Kube) -> dict[str, Manifest]:
    found = kube.list("/api/v1/nodes", labels="modelberth.dev/pool=l40s")
    return {each["metadata"]["name"]: each for each in found}


def ready(kube: Kube) -> int:
    found = kube.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{server(kube)}")
    return found["status"].get("readyReplicas", 0)


def server(kube: Kube) -> str:
    (found,) = kube.list(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
    return found["metadata"]["name"]


def pool(**fields: Any) -> Any:
    return lambda keys: keys["pools"]["l40s"].update(fields)


def test_up_ends_with_pods_on_both_nodes_and_the_pack_has_nothing_to_say(stand: Stand, kube: Kube) -> None:
    said = stand.up(judged=True)
    assert "[advisory]" not in said
    assert "[mandatory]" not in said
    assert ready(kube) == 2
    assert {each["spec"]["nodeName"] for each in serving(kube)} == set(nodes(kube))


def test_machines_join_before_anything_needs_them_and_administrators_before_any_object(stand: Stand) -> None:
    made = [each for each in stand.cloud.calls() if each["method"] == "create" and each["type"] in (ADDON, GROUP)]
    order = [each["urn"].rpartition("::")[2] for each in made]
    early = ("target-vpc-cni", "target-kube-proxy", "target-eks-pod-identity-agent")
    assert max(map(order.index, early)) < order.index("target-system")
    assert order.index("target-system") < min(order.index("target-coredns"), order.index("target-pool-l40s"))
    provider = next(each for each in stand.held() if each["urn"].endswith("kubernetes::target-kubernetes"))
    after = {urn.rpartition("::")[2] for urn in provider["dependencies"]}
    assert {"target-admin-role-deployer", "target-aws-ebs-csi-driver", "target-system"} <= after


def test_nodes_offer_gpus_because_the_device_plugin_runs_on_each_of_them(stand: Stand, kube: Kube) -> None:
    plugins = kube.list("/api/v1/namespaces/nvidia-device-plugin/pods")
    assert {each["spec"]["nodeName"] for each in plugins} == set(nodes(kube))
    assert {each["status"]["allocatable"]["nvidia.com/gpu"] for each in nodes(kube).values()} == {"1"}
    assert {each["spec"]["taints"][0]["key"] for each in nodes(kube).values()} == {"nvidia.com/gpu"}


def test_a_second_up_changes_nothing(stand: Stand) -> None:
    since = len(stand.cloud.calls())
    stand.up("--expect-no-changes")
    assert stand.changing(since) == []


def test_a_larger_boot_disk_renews_the_nodes_of_the_same_group(stand: Stand, kube: Kube) -> None:
    before, since = stand.only(GROUP, "-l40s").id, len(stand.cloud.calls())
    machines = {each["metadata"]["uid"] for each in nodes(kube).values()}
    stand.change(pool(boot_disk_gib=200))
    (change,) = stand.lock()
    assert "nodes are replaced one at a time" in change
    stand.up()
    assert stand.changing(since) == [("update", TEMPLATE), ("update", GROUP)]
    assert stand.only(GROUP, "-l40s").id == before
    assert machines.isdisjoint(each["metadata"]["uid"] for each in nodes(kube).values())
    kube.wait(lambda: ready(kube) == 2, what="both pods ready on new nodes")


def test_another_way_to_get_machines_replaces_the_group_and_the_new_one_comes_first(stand: Stand, kube: Kube) -> None:
    before, since = stand.only(GROUP, "-l40s").id, len(stand.cloud.calls())
    stand.change(pool(capacity=["spot"]))
    (change,) = stand.lock()
    assert "a new node group is made, pods move, the old one goes" in change
    stand.up()
    assert [each for each in stand.changing(since) if each[1] == GROUP] == [("create", GROUP), ("delete", GROUP)]
    assert stand.only(GROUP, "-l40s").id != before
    labels = {each["metadata"]["labels"]["eks.amazonaws.com/capacityType"] for each in nodes(kube).values()}
    assert labels == {"SPOT"}
    kube.wait(lambda: ready(kube) == 2, what="both pods ready on spot nodes")


def test_a_protected_cluster_survives_destroy_and_the_message_names_it(stand: Stand) -> None:
    assert "target-cluster" in stand.destroy(refused=True)
    assert stand.only(CLUSTER)


def test_destroy_keeps_the_key_and_the_bucket_with_its_weights_alone(stand: Stand, kube: Kube) -> None:
    let_go(stand)
    assert {each.type for each in stand.cloud.objects() if not each.type.startswith("aws:s3/bucket")} == {KEY}
    assert stand.only(BUCKET)
    assert nodes(kube) == {}
    assert kube.find(f"/api/v1/namespaces/{NAMESPACE}") is None
