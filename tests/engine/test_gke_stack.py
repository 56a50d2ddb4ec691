"""A production stack on GKE from nothing to nothing, played by stand-ins. The tests build on each other."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.engine.conftest import pods_of
from tests.engine.gke_stands import Stand, cleared, findings, watched
from tests.modelberth.commands import ran
from tests.providers.cloud import Object
from toolchain.cluster import Cluster
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

CLUSTER = "gcp:container/cluster:Cluster"
NETWORK, SUBNETWORK = "gcp:compute/network:Network", "gcp:compute/subnetwork:Subnetwork"
CLASS = "cloud.google.com/compute-class"
POOL, KEY, RING = "gcp:container/nodePool:NodePool", "gcp:kms/cryptoKey:CryptoKey", "gcp:kms/keyRing:KeyRing"
NAMESPACE, TENANT = "gke-stack", "gke-tenant"
NODES = "modelberth.dev/pool=l4"
KEYS: dict[str, Any] = {
    "target": {
        "kind": "gke",
        "namespace": NAMESPACE,
        "pod_annotations": {"modelberth.dev/simulated-load": "1s"},
        "gke": {
            "project": "example-prod",
            "project_number": "123456789012",
            "region": "us-central1",
            "zones": ["us-central1-a", "us-central1-b"],
        },
    },
    "defaults": {"profile": "prod", "owner": "platform", "billing": {"cost-center": "research"}},
    "pools": {"l4": {"accelerators": ["nvidia-l4"], "max_nodes": 3}},
    "weights": {"shared": {"kind": "claim", "size_gib": 40, "access_mode": "ReadWriteMany"}},
    "services": {
        "chat": {
            "model": {"id": "Qwen/Qwen2.5-7B-Instruct", "revision": "a09a35458c702b33eeacc393d103063234e8bc28"},
            "image_digest": "sha256:" + "0" * 64,
            "context": 8192,
            "concurrency": 8,
            "typical_tokens": 3000,
            "replicas": 2,
            "pool": "l4",
            "weights": "shared",
        }
    },
}
"""Two replicas over two zones, everything pinned as profile prod asks for it. No image has that digest."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, kube: Kube) -> Iterator[Stand]:
    """The stack that the tests change in turn."""
    made = Stand(tmp_path_factory.mktemp("stand"), cluster.kubeconfig, "prod", deepcopy(KEYS))
    made.lock()
    yield made
    cleared(kube, NAMESPACE, TENANT)


@pytest.fixture(scope="module")
def tenant(stack: Stand) -> Stand:
    """A second stack of the same project, on the first one's cluster, with a pool that is got in three ways."""
    config = deepcopy(KEYS)
    config["target"]["namespace"] = TENANT
    config["target"]["gke"]["cluster"] = {"stack": "organization/modelberth/prod"}
    config["defaults"]["profile"] = "dev"
    config["weights"] = {"hub": {"kind": "hub"}}
    config["services"]["chat"] |= {"replicas": 1, "weights": "hub"}
    config["pools"]["l4"] |= {
        "capacity": ["reservation", "on-demand", "spot"],
        "reservation": {"name": "march", "machine_type": "g2-standard-4"},
        "max_nodes": 2,
    }
    return Stand(stack.root, stack.kubeconfig, "tenant", config)


def planned(stack: Stand) -> str:
    """What `modelberth plan` says."""
    done = ran("plan", str(stack.file))
    return done.stdout + done.stderr


def pool(stack: Stand) -> str:
    """The id of the pool with GPUs."""
    (found,) = (each.id for each in stack.cloud.objects(POOL) if "guestAccelerators" in each.inputs["nodeConfig"])
    return found


def test_a_preview_shows_every_resource_and_makes_none(stack: Stand, kube: Kube) -> None:
    text = stack.preview(policies=True)
    for shown in (
        "gcp:kms:CryptoKey target-key ",
        "gcp:compute:Network target-network ",
        "gcp:compute:RouterNat target-nat ",
        "gcp:container:Cluster target-cluster ",
        "gcp:container:NodePool target-system ",
        "gcp:container:NodePool target-pool-l4 ",
        "kubernetes:core/v1:Namespace target-namespace ",
        "kubernetes:batch/v1:Job chat-fetch ",
        "kubernetes:apps/v1:Deployment chat-server ",
        "kubernetes:core/v1:Service chat-service ",
    ):
        assert f" +  {shown}create" in text
    assert findings(text) == []
    assert stack.cloud.calls() == []
    assert kube.find(f"/api/v1/namespaces/{NAMESPACE}") is None


def test_up_is_silent_in_profile_prod_and_ends_with_a_ready_replica_in_each_zone(stack: Stand, kube: Kube) -> None:
    text = stack.up(policies=True)
    assert "✅ modelberth" in text
    assert findings(text) == []
    pods = pods_of(kube, NAMESPACE, "chat")
    nodes = [kube.get(f"/api/v1/nodes/{each['spec']['nodeName']}")["metadata"]["labels"] for each in pods]
    assert sorted(each["topology.kubernetes.io/zone"] for each in nodes) == ["us-central1-a", "us-central1-b"]
    assert {each["cloud.google.com/gke-nodepool"] for each in nodes} == {pool(stack).rpartition("/")[2]}


def test_a_second_up_changes_nothing(stack: Stand) -> None:
    since = len(stack.cloud.calls())
    stack.up("--expect-no-changes", policies=True)
    assert stack.cloud.calls()[since:] == []


def test_limits_disks_and_labels_change_in_place(stack: Stand) -> None:
    before, since = pool(stack), len(stack.cloud.calls())
    stack.config["pools"]["l4"] |= {"max_nodes": 4, "boot_disk_gib": 200}
    stack.config["defaults"]["billing"] = {"cost-center": "search"}
    stack.write()
    assert "boot_disk_gib 140 -> 200: nodes are replaced one at a time" in planned(stack)
    stack.lock()
    stack.up()
    assert {method for method, _ in stack.since(since)} == {"update"}
    assert sorted(type_ for _, type_ in stack.since(since)) == [CLUSTER, POOL, POOL]
    assert pool(stack) == before
    (changed,) = (each for each in stack.cloud.objects(POOL) if each.id == before)
    assert changed.inputs["autoscaling"]["totalMaxNodeCount"] == 4
    assert changed.inputs["nodeConfig"]["resourceLabels"]["cost-center"] == "search"


def test_a_plan_names_a_replacement_beforehand_and_so_does_the_preview(stack: Stand) -> None:
    stack.config["pools"]["l4"]["capacity"] = ["spot"]
    stack.write()
    assert "pool l4: capacity on-demand -> spot: replaces it: a new pool is made, pods move" in planned(stack)
    stack.lock()
    text = stack.preview(policies=True)
    assert "++ gcp:container:NodePool target-pool-l4 create replacement" in text
    assert "-- gcp:container:NodePool target-pool-l4 delete original" in text
    assert [each.partition("  (")[0].split()[-1] for each in findings(text)] == ["cs-12-spot-survived"]


def test_pods_are_ready_on_the_new_pool_before_a_node_of_the_old_one_goes(stack: Stand, kube: Kube) -> None:
    before, since = pool(stack), len(stack.cloud.calls())
    old = {each["metadata"]["name"] for each in kube.list("/api/v1/nodes", labels=NODES)}
    with watched(kube, NAMESPACE, "chat", NODES) as seen:
        stack.up()
    assert stack.since(since) == [("create", POOL), ("delete", POOL)]
    assert pool(stack) != before
    leaving = next(number for number, moment in enumerate(seen) if not old <= moment.nodes.keys())
    at_that_time = seen[leaving]
    assert all(ready for name, ready in at_that_time.nodes.items() if name not in old)
    assert at_that_time.ready == 2
    assert not {node for node, _ in at_that_time.pods.values()} & old
    assert min(moment.ready for moment in seen) >= 2 - allowed(kube)
    assert not old & seen[-1].nodes.keys()


def allowed(kube: Kube) -> int:
    """How many replicas may be missing, as the disruption budget has it."""
    (budget,) = kube.list(f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets")
    return budget["spec"]["maxUnavailable"]


def test_a_refresh_finds_no_drift(stack: Stand) -> None:
    stack.refresh("--expect-no-changes")


def test_what_somebody_changed_by_hand_is_shown_and_repaired(stack: Stand) -> None:
    labels = dict(stack.only(CLUSTER).inputs["resourceLabels"])
    stack.cloud.drift(stack.only(CLUSTER), resourceLabels={"cost-center": "somebody"})
    shown = stack.refresh("--diff")
    assert "gcp:container/cluster:Cluster: (update)" in shown
    assert 'cost-center: "search" => "somebody"' in shown
    since = len(stack.cloud.calls())
    stack.up()
    assert stack.since(since) == [("update", CLUSTER)]
    assert stack.only(CLUSTER).inputs["resourceLabels"] == labels


def test_a_service_gets_another_name_and_nothing_is_replaced(stack: Stand, kube: Kube) -> None:
    before = {each["metadata"]["uid"] for each in pods_of(kube, NAMESPACE, "chat")}
    stack.config["services"]["assistant"] = stack.config["services"].pop("chat") | {"renamed_from": "chat"}
    stack.write()
    since = len(stack.cloud.calls())
    text = stack.up()
    assert stack.since(since) == []
    assert not any(word in text for word in ("replaced", "created", "deleted", "updated"))
    assert {each["metadata"]["uid"] for each in pods_of(kube, NAMESPACE, "chat")} == before
    assert stack.outputs()["assistant"]["endpoint"] == f"http://chat.{NAMESPACE}.svc:8000/v1"


def test_destroy_leaves_what_is_protected_and_says_how_to_let_go(stack: Stand) -> None:
    text = stack.destroy(refused=True)
    assert "target-cluster" in text
    assert "cannot be deleted" in text
    assert "because it is protected" in text
    assert "remove the `protect` flag" in text
    assert {CLUSTER, KEY, RING} <= {each.type for each in stack.cloud.objects()}


def test_without_deletion_protection_destroy_takes_all_but_the_key(stack: Stand, kube: Kube) -> None:
    stack.config["target"]["gke"]["deletion_protection"] = False
    stack.write()
    stack.up()
    stack.destroy()
    assert stack.state() == []
    assert sorted(each.type for each in stack.cloud.objects()) == [KEY, RING]
    assert kube.find(f"/api/v1/namespaces/{NAMESPACE}") is None
    assert kube.list("/api/v1/nodes", labels=NODES) == []


def somebodys_network(stack: Stand) -> dict[str, str]:
    """A network that is there already."""
    network, nodes = (
        "projects/example-prod/global/networks/vpc",
        "projects/example-prod/regions/us-central1/subnetworks/n",
    )
    stack.cloud.put(Object(NETWORK, network, {"name": "vpc"}, {"name": "vpc", "selfLink": network}))
    stack.cloud.put(Object(SUBNETWORK, nodes, {"name": "n"}, {"name": "n", "selfLink": nodes}))
    return {"network": "vpc", "subnetwork": "n", "pods_range": "p", "services_range": "s"}


def test_a_stack_comes_back_with_the_key_that_stayed_in_a_network_of_ones_own(stack: Stand) -> None:
    assert "exists already" in stack.up(refused=True)
    stack.config["target"]["gke"] |= {"kms_key": stack.only(KEY).id, "network": somebodys_network(stack)}
    stack.write()
    stack.up()
    made = stack.only(CLUSTER).inputs
    assert made["databaseEncryption"]["keyName"] == stack.only(KEY).id
    assert (made["network"], made["subnetwork"]) == ("vpc", "n")
    assert made["ipAllocationPolicy"] == {"clusterSecondaryRangeName": "p", "servicesSecondaryRangeName": "s"}
    assert stack.only(NETWORK).outputs["name"] == "vpc"


def test_a_second_stack_uses_the_cluster_that_the_first_one_exports(stack: Stand, tenant: Stand, kube: Kube) -> None:
    elsewhere = tenant.config["target"]["gke"]["cluster"]
    tenant.config["target"]["gke"]["cluster"] = elsewhere | {"output": "clusters"}
    tenant.write()
    missing = "target.gke.cluster.output: stack organization/modelberth/prod has no output clusters; it has: "
    assert missing in tenant.preview(refused=True)
    tenant.config["target"]["gke"]["cluster"] = elsewhere
    tenant.write()
    shown = tenant.preview()
    assert "gcp:container:Cluster target-cluster create" not in shown
    assert "target-system" not in shown
    tenant.up()
    (pod,) = pods_of(kube, TENANT, "chat")
    assert stack.only(CLUSTER).outputs["name"] == tenant.outputs()["cluster_name"]
    assert kube.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")["metadata"]["labels"][CLASS] == "l4"


def priorities(kube: Kube) -> list[str]:
    """The node pools that the class of the pool names, in the order that they are tried, by their logical names."""
    found = kube.get("/apis/cloud.google.com/v1/computeclasses/l4")["spec"]["priorities"]
    return [each["nodepools"][0].rpartition("-")[0].removeprefix("target-pool-") for each in found]


def test_the_ways_of_a_pool_are_a_class_that_orders_its_node_pools(tenant: Stand, kube: Kube) -> None:
    assert priorities(kube) == ["l4-reservation", "l4-on-demand", "l4-spot"]
    pools = {each.urn.rpartition("::")[2]: each.inputs["nodeConfig"] for each in tenant.cloud.objects(POOL)}
    reserved = pools["target-pool-l4-reservation"]["reservationAffinity"]
    assert reserved["values"] == ["march"]
    assert pools["target-pool-l4-spot"]["spot"] is True
    assert "spot" not in pools["target-pool-l4-on-demand"]


def test_spot_with_a_floor_by_the_name_of_the_same_cluster(tenant: Stand, kube: Kube) -> None:
    pool = tenant.config["pools"]["l4"]
    del pool["reservation"]
    pool |= {"capacity": ["spot", "on-demand"], "floor": 1, "max_nodes": 2}
    tenant.config["target"]["gke"]["cluster"] = "modelberth-prod"
    tenant.lock()
    since = len(tenant.cloud.calls())
    tenant.up()
    assert ("delete", POOL) in tenant.since(since)
    assert not any(type_ == CLUSTER for _, type_ in tenant.since(since))
    assert priorities(kube) == ["l4-spot", "l4-on-demand"]
    limits = {each.urn.rpartition("::")[2]: each.inputs["autoscaling"] for each in tenant.cloud.objects(POOL)}
    assert limits["target-pool-l4-on-demand"] == {
        "totalMinNodeCount": 1,
        "totalMaxNodeCount": 1,
        "locationPolicy": "ANY",
    }
    assert limits["target-pool-l4-spot"]["totalMaxNodeCount"] == 1


def test_names_at_their_limits_are_cut_and_stay_apart(stack: Stand) -> None:
    longest = Stand(stack.root, stack.kubeconfig, "a-stage-" + "x" * 60, deepcopy(KEYS))
    long_pool, long_service = "p" * 50, "s" * 32
    longest.config["pools"] = {long_pool: KEYS["pools"]["l4"], f"{long_pool[:-1]}q": KEYS["pools"]["l4"]}
    service = KEYS["services"]["chat"]
    longest.config["services"] = {
        long_service: service | {"pool": long_pool},
        f"{long_service[:-1]}t": service | {"pool": f"{long_pool[:-1]}q"},
    }
    longest.config["weights"]["shared"]["size_gib"] = 60
    longest.lock()
    text = longest.preview()
    assert text.count("gcp:container:NodePool target-pool-pppp") == 2
