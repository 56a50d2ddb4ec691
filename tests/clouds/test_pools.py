"""Pools as every cloud states them, read into the same facts."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelberth.clouds import gcp
from modelberth.clouds.base import INSTANCE_TYPE
from modelberth.clouds.pools import Pool, asks_for_spot, is_pool, pools
from modelberth.clouds.pools_remarks import About, linked_remarks, remarks
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.observed import UNKNOWN
from modelberth.resources import Resource
from modelberth.rules.base import Settings
from modelberth.rules.placement import RULES as PLACEMENT
from modelberth.rules.pools import RULES as POOLS
from modelberth.rules.supply import RULES as SUPPLY
from tests.rules.samples import deployment, vllm

ZONES = ["us-central1-a", "us-central1-b"]
GKE_POOL, GKE_CLUSTER = "gcp:container/nodePool:NodePool", "gcp:container/cluster:Cluster"
CLASS, KARPENTER = "kubernetes:cloud.google.com/v1:ComputeClass", "kubernetes:karpenter.sh/v1:NodePool"
GROUP, TEMPLATE = "aws:eks/nodeGroup:NodeGroup", "aws:ec2/launchTemplate:LaunchTemplate"
SUBNET = "aws:ec2/subnet:Subnet"


def made(type_: str, name: str, properties: dict[str, Any], **links: str) -> Resource:
    dependencies = {key: (urn,) for key, urn in links.items()}
    return Resource(type_, name, properties, name, property_dependencies=dependencies)


def gke(**more: Any) -> Resource:
    config = {"machineType": "g2-standard-24", "guestAccelerators": [{"type": "nvidia-l4", "count": 2.0}]}
    bounds = {"minNodeCount": 1.0, "maxNodeCount": 4.0}
    return made(GKE_POOL, "gpu", {"nodeConfig": config, "nodeLocations": ZONES, "autoscaling": bounds} | more)


def karpenter(*requirements: dict[str, Any], **spec: Any) -> Resource:
    inner = {"requirements": list(requirements), "nodeClassRef": {"group": "karpenter.k8s.aws"}}
    return made(KARPENTER, "k", {"metadata": {"name": "gpu"}, "spec": {"template": {"spec": inner}} | spec})


L4 = {"key": "karpenter.k8s.aws/instance-gpu-name", "operator": "In", "values": ["l4"]}
FEW = {"key": "karpenter.k8s.aws/instance-gpu-count", "operator": "Lt", "values": ["4"]}
ON_L4 = [
    gke(),
    made(GROUP, "g", {"instanceTypes": ["g6.12xlarge"], "scalingConfig": {"minSize": 1, "maxSize": 8}}),
    karpenter(L4),
    made(
        CLASS, "c", {"metadata": {"name": "l4"}, "spec": {"priorities": [{"gpu": {"type": "nvidia-l4", "count": 2}}]}}
    ),
    made(GKE_CLUSTER, "inline", {"nodePools": [gke().properties]}),
]


def only(*resources: Resource) -> Pool[Resource]:
    (pool,) = pools(resources)
    return pool


@pytest.mark.parametrize("resource", ON_L4, ids=lambda each: each.type)
def test_every_way_to_state_a_pool_gives_its_gpu(resource: Resource) -> None:
    pool = only(resource)
    assert pool.gpu_ids == {"nvidia-l4"}
    assert pool.has_gpus is True
    assert pool.resource is resource
    assert is_pool(resource)
    assert all(kind.machine for kind in pool.kinds)


def test_limits_per_zone_are_multiplied_and_totals_are_not() -> None:
    assert (only(gke()).least_nodes, only(gke()).most_nodes) == (2, 8)
    total = only(gke(autoscaling={"totalMinNodeCount": 1, "totalMaxNodeCount": 4}))
    assert (total.least_nodes, total.most_nodes) == (1, 4)
    fixed = only(gke(autoscaling=None, nodeCount=3))
    assert (fixed.least_nodes, fixed.most_nodes, fixed.scales) == (6, 6, False)


def test_a_pool_takes_the_zones_of_its_cluster() -> None:
    cluster = made(GKE_CLUSTER, "cluster", {"location": "us-central1-f", "nodeLocations": ZONES})
    pool = made(GKE_POOL, "gpu", {"cluster": UNKNOWN} | gke(nodeLocations=None).properties, cluster="cluster")
    found = next(each for each in pools((cluster, pool)) if each.resource is pool)
    assert found.zones == (*ZONES, "us-central1-f")
    assert found.most_nodes == 12


def test_a_location_that_is_a_zone_is_the_only_one_and_a_region_says_nothing() -> None:
    assert only(gke(nodeLocations=None, location="us-central1-a")).zones == ("us-central1-a",)
    region = only(gke(nodeLocations=None, location="us-central1"))
    assert region.zones is None
    assert region.most_nodes is None


def test_what_a_cloud_adds_to_its_nodes_is_among_their_labels_and_taints() -> None:
    (kind,) = only(gke()).kinds
    assert kind.values(gcp.ACCELERATOR) == ("nvidia-l4",)
    assert kind.values(INSTANCE_TYPE) == ("g2-standard-24",)
    assert kind.values("topology.kubernetes.io/zone") == tuple(ZONES)
    assert kind.values("example.com/mine") == ()
    assert kind.values("nvidia.com/gpu.product") is None
    assert [(taint.key, taint.certain) for taint in kind.taints] == [("nvidia.com/gpu", False)]


def test_a_stated_taint_is_spelled_as_kubernetes_does() -> None:
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "PREFER_NO_SCHEDULE"}
    (kind,) = only(gke(nodeConfig=gke().properties["nodeConfig"] | {"taints": [taint]})).kinds
    assert [(each.effect, each.certain) for each in kind.taints] == [("PreferNoSchedule", True)]


def test_a_gpu_that_is_shared_is_offered_as_often() -> None:
    shared = {"type": "nvidia-l4", "count": 2, "gpuSharingConfig": {"maxSharedClientsPerGpu": 4}}
    cut = {"type": "nvidia-tesla-a100", "count": 1, "gpuPartitionSize": "1g.5gb"}
    config = {"machineType": "g2-standard-24"}
    assert only(gke(nodeConfig=config | {"guestAccelerators": [shared]})).gpus_per_node == 8
    assert only(gke(nodeConfig=config | {"guestAccelerators": [cut]})).gpus_per_node is None


def test_gpus_are_attached_to_machines_that_come_without() -> None:
    config = {"machineType": "n1-standard-8", "guestAccelerators": [{"type": "nvidia-tesla-t4", "count": 1}]}
    pool = only(gke(nodeConfig=config))
    assert (pool.gpu_ids, pool.gpus_per_node) == ({"nvidia-t4"}, 1)
    assert pool.kinds[0].values(gcp.ACCELERATOR) == ("nvidia-tesla-t4",)


def test_an_unknown_machine_type_is_a_doubt_and_no_default() -> None:
    pool = only(gke(nodeConfig={"machineType": UNKNOWN}))
    doubt = pool.doubt("machine type")
    assert doubt
    assert doubt.node.path == "nodeConfig.machineType"
    assert pool.has_gpus is None
    assert pool.gpus_per_node is None


def test_a_machine_type_that_the_catalog_lacks_has_gpus_only_where_its_family_has() -> None:
    assert only(gke(nodeConfig={"machineType": "n2d-standard-8"})).has_gpus is False
    assert only(gke(nodeConfig={"machineType": "g9-standard-8"})).has_gpus is None


def test_a_launch_template_tells_the_machine_type_and_the_disk() -> None:
    disks = [{"ebs": {"volumeSize": 200}}]
    template = made(TEMPLATE, "template", {"instanceType": "g6.12xlarge", "blockDeviceMappings": disks})
    group = made(GROUP, "g", {"launchTemplate": {"id": UNKNOWN}}, launchTemplate="template")
    pool = only(template, group)
    assert (pool.machine_types, pool.gpus_per_node, pool.boot_disk_gib) == (("g6.12xlarge",), 4, 200)
    alone = only(group)
    assert (alone.gpus_per_node, alone.complete) == (None, False)


def test_subnets_tell_the_zones_of_a_node_group() -> None:
    subnet = made(SUBNET, "subnet", {"availabilityZone": "eu-west-1a"})
    group = made(GROUP, "g", {"instanceTypes": ["g6.xlarge"], "subnetIds": [UNKNOWN]}, subnetIds="subnet")
    assert only(subnet, group).zones == ("eu-west-1a",)
    assert only(group).zones is None


def test_memory_that_only_some_nodes_have_is_between_sure_and_most() -> None:
    (kind,) = only(made(GROUP, "g", {"instanceTypes": ["g6.xlarge"]})).kinds
    assert kind.memory_bytes
    assert kind.most_memory_bytes
    assert kind.memory_bytes < kind.most_memory_bytes < 16 * 2**30


def test_requirements_choose_among_machine_types() -> None:
    pool = only(karpenter(L4, FEW, limits={"nvidia.com/gpu": 8}))
    assert {machine.gpu for machine in pool.machines} == {"nvidia-l4"}
    assert max(machine.gpu_count for machine in pool.machines) < 4
    assert (pool.complete, pool.bounded, pool.most_nodes) == (True, True, 8)
    assert only(karpenter(FEW)).complete is False


def test_capacity_is_told_in_the_same_words() -> None:
    config = gke().properties["nodeConfig"]
    taken = only(gke(nodeConfig=config | {"spot": True})).capacity
    assert (taken.spot, taken.firm) == (True, False)
    named = {"consumeReservationType": "SPECIFIC_RESERVATION"}
    assert only(gke(nodeConfig=config | {"reservationAffinity": named})).capacity.reserved
    assert only(gke(nodeConfig=config | {"flexStart": True})).capacity.flex_start
    block = made(GROUP, "g", {"instanceTypes": ["p5.48xlarge"], "capacityType": "CAPACITY_BLOCK"})
    assert only(block).capacity.block
    either = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand"]}
    mixed = only(karpenter(L4, either)).capacity
    assert (mixed.spot, mixed.firm) == (True, True)
    assert asks_for_spot("karpenter.sh/capacity-type", ("spot",))
    assert not asks_for_spot("karpenter.sh/capacity-type", ("spot", "on-demand"))


def test_clusters_that_choose_nodes_themselves_are_pools_that_say_nothing() -> None:
    for type_, properties in (
        (GKE_CLUSTER, {"enableAutopilot": True}),
        ("aws:eks/cluster:Cluster", {"computeConfig": {"enabled": True}}),
        ("azure-native:containerservice:AgentPool", {}),
        ("kubernetes:helm.sh/v3:Release", {"chart": "oci://public.ecr.aws/karpenter/karpenter"}),
    ):
        pool = only(made(type_, "c", properties))
        assert (pool.kinds, pool.complete, pool.has_gpus) == ((), False, None)


def test_a_default_pool_that_is_removed_is_none() -> None:
    assert pools((made(GKE_CLUSTER, "c", {"initialNodeCount": 1, "removeDefaultNodePool": True}),)) == ()
    assert only(made(GKE_CLUSTER, "c", {"initialNodeCount": 1})).has_gpus is False


WILD = (
    UNKNOWN,
    None,
    True,
    -1,
    1e30,
    float("nan"),
    "",
    "x" * 300,
    "é\x00",
    [],
    [[]],
    [None],
    {},
    {"": UNKNOWN},
    [UNKNOWN],
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return (
        [path, *(place for key, below in inner for place in places(below, (*path, key)))] if path or inner else [path]
    )


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = deepcopy(value)
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = new
    return changed


FULL = gke(
    cluster="c",
    management={"autoRepair": True},
    queuedProvisioning={"enabled": True},
    nodeConfig=gke().properties["nodeConfig"]
    | {
        "taints": [{"key": "a", "value": "b", "effect": "NO_SCHEDULE"}],
        "labels": {"a": "b"},
        "oauthScopes": ["cloud-platform"],
        "bootDisk": {"sizeGb": 50},
        "reservationAffinity": {"consumeReservationType": "ANY_RESERVATION", "values": ["r"]},
        "shieldedInstanceConfig": {"enableSecureBoot": True},
        "workloadMetadataConfig": {"mode": "GKE_METADATA"},
    },
)
EVERYTHING = (
    FULL,
    made(
        GKE_CLUSTER,
        "c",
        {"clusterAutoscaling": {"enabled": True, "resourceLimits": []}, "nodePools": [FULL.properties]},
    ),
    made(
        GROUP,
        "g",
        {
            "instanceTypes": ["g6.xlarge"],
            "scalingConfig": {"minSize": 0, "maxSize": 2},
            "taints": [{"key": "a", "effect": "NO_SCHEDULE"}],
            "labels": {"a": "b"},
            "amiType": "AL2023_x86_64_NVIDIA",
            "capacityType": "SPOT",
            "launchTemplate": {"id": "lt"},
            "subnetIds": ["s"],
        },
    ),
    made(TEMPLATE, "t", {"id": "lt", "instanceType": "g6.xlarge", "blockDeviceMappings": [{"ebs": {"volumeSize": 9}}]}),
    made(SUBNET, "s", {"id": "s", "availabilityZone": "a"}),
    karpenter(L4, FEW, limits={"cpu": 8}),
    ON_L4[3],
    Resource("kubernetes:apps/v1:Deployment", "d", {"apiVersion": "apps/v1"} | deployment(vllm())),
)
CHOICES = [(index, place) for index, each in enumerate(EVERYTHING) for place in places(dict(each.properties)) if place]


@given(st.sampled_from(CHOICES), st.sampled_from(WILD))
@settings(max_examples=200, deadline=None)
def test_no_value_in_any_place_breaks_a_reader_or_a_rule(choice: tuple[int, tuple[Any, ...]], value: Any) -> None:
    index, place = choice
    resource = EVERYTHING[index]
    changed = with_value(dict(resource.properties), place, value)
    strange = Resource(resource.type, resource.name, changed, resource.urn)
    there = (*EVERYTHING[:index], strange, *EVERYTHING[index + 1 :])
    for pool in pools(there):
        assert isinstance(pool.node, Node)
        assert pool.has_gpus in (True, False, None)
        assert pool.most_nodes is None or pool.most_nodes >= 0
    for each in there:
        assert list(remarks(each, *About)) is not None
        assert list(linked_remarks(each, there, *About)) is not None
    for rule in (*PLACEMENT, *POOLS, *SUPPLY):
        asked = Settings(values=rule.defaults)
        for each in there:
            list(rule.check(each, asked) if rule.check else ())
        list(rule.across(Inventory(there), asked) if rule.across else ())


def test_a_boot_disk_that_is_stated_leaves_no_doubt_about_the_older_property() -> None:
    stated = {"bootDisk": {"sizeGb": 200.0}, "diskSizeGb": UNKNOWN, "machineType": "g2-standard-4"}
    (pool,) = pools([made(GKE_POOL, "pool", {"nodeConfig": stated})])
    assert not pool.doubt("boot disk")
    (pool,) = pools([made(GKE_POOL, "pool", {"nodeConfig": {**stated, "bootDisk": None}})])
    assert pool.doubt("boot disk")
