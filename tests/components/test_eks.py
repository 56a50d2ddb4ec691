"""What the EKS target registers for a spec: node groups and their templates, roles, buckets, Karpenter's objects."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.components.eks_cases import BLOCK, CASES, LONG, NETWORK, Recorded, record

GROUP, TEMPLATE = "aws:eks/nodeGroup:NodeGroup", "aws:ec2/launchTemplate:LaunchTemplate"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    return record(tmp_path_factory.mktemp("stacks"), *CASES)


def user_data(template: dict[str, Any]) -> str:
    return base64.b64decode(template["userData"]).decode()


def test_a_floor_is_a_group_on_demand_and_the_rest_of_what_services_need_is_spot(recorded: dict[str, Recorded]) -> None:
    groups = recorded["spot"].all(GROUP)
    floor, spot = (groups[f"target-pool-l40s-{way}"]["inputs"] for way in ("on-demand", "spot"))
    assert (floor["capacityType"], floor["scalingConfig"]) == (
        "ON_DEMAND",
        {"minSize": 1, "desiredSize": 1, "maxSize": 1},
    )
    assert (spot["capacityType"], spot["scalingConfig"]) == ("SPOT", {"minSize": 0, "desiredSize": 2, "maxSize": 3})
    assert {each["labels"]["modelberth.dev/pool"] for each in (floor, spot)} == {"l40s"}


def test_pods_take_the_floor_first_and_any_of_the_pools_nodes_after_it(recorded: dict[str, Recorded]) -> None:
    for case in ("spot", "karpenter"):
        (server,) = recorded[case].all("kubernetes:apps/v1:Deployment").values()
        pod = server["inputs"]["spec"]["template"]["spec"]
        wishes = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        said = {each["preference"]["matchExpressions"][0]["values"][0]: each["weight"] for each in wishes}
        assert said == {"on-demand": 100, "spot": 50}
        assert pod["nodeSelector"] == {"modelberth.dev/pool": "l40s", "node.kubernetes.io/instance-type": "g6e.xlarge"}


def test_machines_ask_for_tokens_encrypt_their_disk_and_join_their_local_ones(recorded: dict[str, Recorded]) -> None:
    template = recorded["spot"].inputs(TEMPLATE, "target-pool-l40s-spot")
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert template["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"
    assert "strategy: RAID0" in user_data(template)
    assert "FastImagePull: true" in user_data(template)
    tags = {each["resourceType"]: each["tags"] for each in template["tagSpecifications"]}
    assert tags["volume"]["cost-center"] == "research"
    assert tags["instance"]["model"] == "qwen2-5-7b-instruct"
    assert "strategy: RAID0" not in user_data(recorded["spot"].inputs(TEMPLATE, "target-system"))


def test_groups_are_renewed_without_a_spare_gpu_and_scaled_by_whoever_is_named(recorded: dict[str, Recorded]) -> None:
    fixed = recorded["spot"].all(GROUP)["target-pool-l40s-spot"]
    assert fixed["inputs"]["updateConfig"] == {"maxUnavailable": 1, "updateStrategy": "MINIMAL"}
    assert fixed["ignore_changes"] == []
    assert recorded["scaled"].all(GROUP)[f"target-pool-{LONG}-spot"]["ignore_changes"] == ["scalingConfig.desiredSize"]


def test_nodes_of_one_copy_lie_together_with_an_interface_on_each_card(recorded: dict[str, Recorded]) -> None:
    template = recorded["together"].inputs(TEMPLATE, "target-pool-h100")
    assert template["placement"] == {"groupName": "target-pool-h100"}
    interfaces = template["networkInterfaces"]
    assert [each["interfaceType"] for each in interfaces] == ["interface", *["efa-only"] * 32]
    assert len({(each["networkCardIndex"], each["deviceIndex"]) for each in interfaces}) == 33
    assert interfaces[0]["securityGroups"] == ["target-pool-h100-efa-id", "sg-cluster"]
    assert recorded["together"].inputs(GROUP, "target-pool-h100")["subnetIds"] == ["target-private-us-east-1a-id"]


DAEMONS, GROUPS = "kubernetes:apps/v1:DaemonSet", "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet"
CLASS, NODES = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass", "kubernetes:karpenter.sh/v1:NodePool"
EFA_PLUGIN = "target-aws-efa-k8s-device-plugin"


def asked(found: Recorded) -> list[dict[str, str]]:
    """What the pods of the only group ask for: the leader, then the workers."""
    (group,) = found.all(GROUPS).values()
    template = group["inputs"]["spec"]["leaderWorkerTemplate"]
    containers = [template[each]["spec"]["containers"][0] for each in ("leaderTemplate", "workerTemplate")]
    assert all(each["resources"]["requests"] == each["resources"]["limits"] for each in containers)
    return [each["resources"]["limits"] for each in containers]


@pytest.mark.parametrize("case", ["together", "block"])
def test_each_pod_of_a_copy_on_several_nodes_asks_for_all_interfaces_of_its_node_and_huge_pages(
    recorded: dict[str, Recorded], case: str
) -> None:
    leader, worker = asked(recorded[case])
    assert (leader["vpc.amazonaws.com/efa"], leader["hugepages-2Mi"]) == ("32", "5Gi")
    assert leader == worker


def test_nodes_of_one_copy_set_huge_pages_aside_and_let_containers_lock_memory(recorded: dict[str, Recorded]) -> None:
    script = user_data(recorded["together"].inputs(TEMPLATE, "target-pool-h100"))
    assert "vm.nr_hugepages=2560" in script
    assert "LimitMEMLOCK=infinity" in script
    assert "text/x-shellscript" not in user_data(recorded["spot"].inputs(TEMPLATE, "target-pool-l40s-spot"))


def test_the_plugin_of_efa_runs_once_on_the_nodes_that_have_it_and_is_awaited_by_their_pods(
    recorded: dict[str, Recorded],
) -> None:
    found = recorded["together"]
    pod = found.inputs(DAEMONS, EFA_PLUGIN)["spec"]["template"]["spec"]
    labels = found.inputs(GROUP, "target-pool-h100")["labels"]
    assert pod["nodeSelector"] == {"modelberth.dev/fabric": "efa"}
    assert labels.items() >= pod["nodeSelector"].items()
    (container,) = pod["containers"]
    host = "602401143452.dkr.ecr.us-east-1.amazonaws.com"
    assert container["image"] == f"{host}/eks/aws-efa-k8s-device-plugin:v0.5.20"
    assert (pod["hostNetwork"], container["securityContext"]["privileged"]) == (True, True)
    (server,) = found.all(GROUPS).values()
    assert EFA_PLUGIN in {each.rpartition("::")[2] for each in server["depends_on"]}


def test_a_cluster_autoscaler_is_told_what_nodes_offer_that_do_not_exist_yet(recorded: dict[str, Recorded]) -> None:
    tags = recorded["scaled"].inputs(GROUP, f"target-pool-{LONG}-spot")["tags"]
    assert tags["k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage"] == "100Gi"
    assert not [
        key for key in recorded["spot"].inputs(GROUP, "target-pool-l40s-spot")["tags"] if "node-template" in key
    ]


def test_pools_whose_nodes_share_nothing_have_neither_plugin_nor_label_of_efa(recorded: dict[str, Recorded]) -> None:
    for case in ("spot", "karpenter", "scaled"):
        assert EFA_PLUGIN not in recorded[case].all(DAEMONS)
    assert "modelberth.dev/fabric" not in recorded["spot"].inputs(GROUP, "target-pool-l40s-spot")["labels"]


def test_a_plugin_of_efa_that_something_else_installs_is_not_installed_twice(recorded: dict[str, Recorded]) -> None:
    found = recorded["plugin-of-others"]
    assert list(found.all(DAEMONS)) == ["target-nvidia-device-plugin"]
    assert {each["vpc.amazonaws.com/efa"] for each in asked(found)} == {"32"}


def test_karpenter_counts_interfaces_and_knows_no_huge_pages(recorded: dict[str, Recorded]) -> None:
    found = recorded["nodes-by-karpenter"]
    assert {each["vpc.amazonaws.com/efa"] for each in asked(found)} == {"32"}
    assert not any("hugepages-2Mi" in each for each in asked(found))
    (nodes,), (pool,) = found.all(CLASS).values(), found.all(NODES).values()
    spec = nodes["inputs"]["spec"]
    assert sum(each["interfaceType"] == "efa-only" for each in spec["networkInterfaces"]) == 32
    assert "LimitMEMLOCK=infinity" in spec["userData"]
    assert "nr_hugepages" not in spec["userData"]
    assert pool["inputs"]["spec"]["template"]["metadata"]["labels"]["modelberth.dev/fabric"] == "efa"
    assert EFA_PLUGIN in found.all(DAEMONS)


def test_a_block_names_its_machine_in_the_template_and_is_in_no_placement_group(recorded: dict[str, Recorded]) -> None:
    found = recorded["block"]
    template, group = found.inputs(TEMPLATE, "target-pool-h100"), found.inputs(GROUP, "target-pool-h100")
    assert template["instanceType"] == "p5.48xlarge"
    assert "instanceTypes" not in group
    assert group["capacityType"] == "CAPACITY_BLOCK"
    assert template["instanceMarketOptions"] == {"marketType": "capacity-block"}
    target = template["capacityReservationSpecification"]["capacityReservationTarget"]
    assert target == {"capacityReservationId": BLOCK["name"]}
    assert "placement" not in template
    assert found.all("aws:ec2/placementGroup:PlacementGroup") == {}


def test_pods_read_one_bucket_with_a_role_of_their_own_and_the_job_alone_writes(recorded: dict[str, Recorded]) -> None:
    found = recorded["karpenter"]
    policies = {
        name: json.loads(each["inputs"]["policy"]) for name, each in found.all("aws:iam/rolePolicy:RolePolicy").items()
    }
    (reader,) = (each for name, each in policies.items() if name.endswith("-reader"))
    (writer,) = (each for name, each in policies.items() if name.endswith("-writer"))
    does = {action for each in reader["Statement"] for action in each["Action"]}
    assert does == {"s3:GetObject", "s3:ListBucket", "kms:Decrypt"}
    assert "s3:PutObject" in {action for each in writer["Statement"] for action in each["Action"]}
    resources = {each for statement in reader["Statement"] for each in statement["Resource"]}
    bucket = found.inputs("aws:s3/bucket:Bucket", "files-bucket")["bucket"]
    keys = "arn:aws:kms:us-east-1:123456789012:key/*"
    assert resources == {f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*", keys}
    assert reader["Statement"][-1]["Condition"] == {
        "StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/modelberth-golden"},
    }
    tied = found.all("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    assert {each["inputs"]["namespace"] for each in tied.values()} == {"models"}
    assert len({each["inputs"]["serviceAccount"] for each in tied.values()}) == 2


def test_a_bucket_is_private_encrypted_versioned_and_outlives_the_stack(recorded: dict[str, Recorded]) -> None:
    found = recorded["spot"]
    bucket = found.all("aws:s3/bucket:Bucket")["files-bucket"]
    assert bucket["protect"]
    block = found.inputs("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "files-bucket")
    assert {value for value in block.values() if isinstance(value, bool)} == {True}
    encryption = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    (rule,) = found.inputs(encryption, "files-bucket")["rules"]
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"
    assert rule["bucketKeyEnabled"]
    policy = json.loads(found.inputs("aws:s3/bucketPolicy:BucketPolicy", "files-bucket")["policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_pods_see_a_bucket_through_a_volume_that_reads_as_they_are(recorded: dict[str, Recorded]) -> None:
    volumes = recorded["karpenter"].all("kubernetes:core/v1:PersistentVolume")
    (read,) = (each["inputs"]["spec"] for name, each in volumes.items() if name == "chat-files")
    assert read["csi"]["driver"] == "s3.csi.aws.com"
    assert read["csi"]["volumeAttributes"]["authenticationSource"] == "pod"
    assert read["accessModes"] == ["ReadOnlyMany"]
    assert "read-only" in read["mountOptions"]
    assert read["claimRef"] == {"namespace": "models", "name": "chat-files"}


LIMITS = {
    ("aws:iam/role:Role", "name"): 64,
    ("aws:s3/bucket:Bucket", "bucket"): 63,
    ("aws:eks/cluster:Cluster", "name"): 100,
    (GROUP, "nodeGroupNamePrefix"): 37,
}


@pytest.mark.parametrize(("type_", "field"), LIMITS, ids=lambda value: str(value).rpartition(":")[2])
def test_names_stay_within_what_aws_allows(recorded: dict[str, Recorded], type_: str, field: str) -> None:
    for case in ("spot", "scaled"):
        names = [each["inputs"][field] for each in recorded[case].all(type_).values()]
        assert names
        assert max(map(len, names)) <= LIMITS[type_, field]
        assert len(set(names)) == len(names)


def test_a_cluster_that_exists_is_read_and_nothing_of_it_is_made(recorded: dict[str, Recorded]) -> None:
    found = recorded["theirs"]
    made = {"aws:ec2/vpc:Vpc", "aws:eks/addon:Addon", "aws:eks/accessEntry:AccessEntry"}
    assert not any(found.all(each) for each in made)
    assert found.all("kubernetes:apps/v1:DaemonSet") == {}
    assert set(found.all(GROUP)) == {"target-pool-l40s"}
    assert found.inputs(GROUP, "target-pool-l40s")["subnetIds"] == list(NETWORK["subnets"].values())


def test_karpenter_tries_the_floor_first_and_never_moves_a_server_that_runs(recorded: dict[str, Recorded]) -> None:
    found = recorded["karpenter"]
    assert set(found.all(GROUP)) == {"target-system"}
    pools = {name: each["inputs"]["spec"] for name, each in found.all("kubernetes:karpenter.sh/v1:NodePool").items()}
    floor, spot = (pools[f"target-nodepool-l40s-{way}"] for way in ("on-demand", "spot"))
    assert floor["weight"] > spot["weight"]
    assert (floor["limits"]["nvidia.com/gpu"], spot["limits"]["nvidia.com/gpu"]) == ("1", "3")
    assert spot["disruption"]["consolidationPolicy"] == "WhenEmpty"
    assert spot["template"]["spec"]["expireAfter"] == "Never"
    classes = found.all("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass")
    nodes = classes["target-ec2nodeclass-l40s-spot"]["inputs"]["spec"]
    assert nodes["instanceStorePolicy"] == "RAID0"
    assert nodes["metadataOptions"]["httpPutResponseHopLimit"] == 1
