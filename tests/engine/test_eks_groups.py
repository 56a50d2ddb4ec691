"""A copy on two nodes that EFA joins, on the stand-in for EKS: under the real engine, scheduler and LeaderWorkerSet
controller. Each test goes on where the one before it ended.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import yaml

from modelberth.clouds import node_profile
from modelberth.units import GIB, quantity
from tests.components.eks_cases import BLOCK, H100, LARGE, stack
from tests.engine.conftest import cluster_with_groups, pods_of
from tests.engine.stands import Stand
from tests.providers import device_plugins
from toolchain.cluster import Cluster
from toolchain.kube import Kube, Manifest

pytestmark = [pytest.mark.engine, pytest.mark.stacks]

NAME, NAMESPACE = "groups", "models"
EFA, HUGE_PAGES, GPU = "vpc.amazonaws.com/efa", "hugepages-2Mi", "nvidia.com/gpu"
PLUGIN = "aws-efa-k8s-device-plugin"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
RESERVED = {"capacity": ["reservation"], "reservation": {**BLOCK, "block": False}}
PINNED = {"id": LARGE["model"], "revision": "0" * 40}
QUICK = {"modelberth.dev/simulated-load": "1s"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own, with the controller, whose webhooks see every pod of a group."""
    nodes = [{"machine": "m7i.xlarge", "count": 1, "zone": "us-east-1a"}]
    with cluster_with_groups(tmp_path_factory.mktemp("groups"), nodes) as made:
        yield made


@pytest.fixture(scope="module")
def kube(cluster: Cluster) -> Kube:
    return Kube(cluster.kubeconfig)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Stand]:
    """405B in 16 bit on two reserved machines."""
    source = tmp_path_factory.mktemp("source")
    keys = copy.deepcopy(stack({"h100": {**H100, **RESERVED}}, {"large": {**LARGE, "model": PINNED}}))
    keys["target"] |= {"pod_annotations": QUICK}
    keys["target"]["eks"]["deletion_protection"] = False
    document = {"config": {f"modelberth:{key}": value for key, value in keys.items()}}
    (source / f"Pulumi.{NAME}.yaml").write_text(yaml.safe_dump(document))
    made = Stand(tmp_path_factory.mktemp("stand"), NAME, cluster.kubeconfig, source)
    yield made
    made.destroy("--exclude-protected")


def nodes(kube: Kube) -> dict[str, dict[str, str]]:
    """Node of the pool -> what it offers."""
    found = kube.list("/api/v1/nodes", labels="modelberth.dev/pool=h100")
    return {each["metadata"]["name"]: each["status"]["allocatable"] for each in found}


def group(kube: Kube, phase: str = "Running") -> list[Manifest]:
    return [each for each in pods_of(kube, NAMESPACE, "large") if each["status"].get("phase") == phase]


def offers_interfaces(kube: Kube) -> bool:
    """Whether any node does, after the plugins that run have registered, as they do where nodes are real."""
    device_plugins.register(kube)
    return any(EFA in each for each in nodes(kube).values())


def unplaced(kube: Kube) -> str:
    """Why the scheduler places none of the group's pods; empty while it says nothing."""
    conditions = [each for pod in group(kube, "Pending") for each in pod["status"].get("conditions", [])]
    return " ".join(each["message"] for each in conditions if each.get("reason") == "Unschedulable")


def test_up_ends_with_a_pod_on_each_node_and_the_pack_has_nothing_to_say(stand: Stand, kube: Kube) -> None:
    said = stand.up(judged=True)
    assert "[advisory]" not in said
    assert "[mandatory]" not in said
    assert len(group(kube)) == 2
    assert {each["spec"]["nodeName"] for each in group(kube)} == set(nodes(kube))


def test_each_pod_has_all_that_joins_its_node(kube: Kube) -> None:
    for pod in group(kube):
        (container,) = pod["spec"]["containers"]
        asked, offered = container["resources"]["limits"], nodes(kube)[pod["spec"]["nodeName"]]
        assert {key: asked[key] for key in (EFA, GPU, HUGE_PAGES)} == {EFA: "32", GPU: "8", HUGE_PAGES: "5Gi"}
        assert {key: offered[key] for key in (EFA, GPU, HUGE_PAGES)} == {EFA: "32", GPU: "8", HUGE_PAGES: "5Gi"}


def test_huge_pages_are_no_memory_of_the_node_any_more(kube: Kube) -> None:
    without = quantity(node_profile("p5.48xlarge").allocatable["memory"])
    assert without
    assert {quantity(each["memory"]) for each in nodes(kube).values()} == {without - 5 * GIB}


def test_a_second_up_changes_nothing(stand: Stand) -> None:
    since = len(stand.cloud.calls())
    stand.up("--expect-no-changes")
    assert stand.changing(since) == []


def test_without_the_plugin_nodes_offer_no_interface_and_the_group_waits_until_it_is_back(
    stand: Stand, kube: Kube
) -> None:
    kube.delete(kube.get(f"/apis/apps/v1/namespaces/{PLUGIN}/daemonsets/{PLUGIN}"))
    kube.wait(lambda: not offers_interfaces(kube), 60.0, what="no interface offered")
    for pod in group(kube):
        kube.delete({"apiVersion": "v1", "kind": "Pod", **pod})
    kube.wait(lambda: f"Insufficient {EFA}" in unplaced(kube), 60.0, what="a pod that waits for interfaces")
    assert group(kube) == []
    stand.up("--refresh")
    kube.wait(lambda: len(group(kube)) == 2, 60.0, what="the group on its nodes again")
    assert {each["spec"]["nodeName"] for each in group(kube)} == set(nodes(kube))
