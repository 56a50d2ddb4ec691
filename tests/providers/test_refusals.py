"""What the official providers and the clouds behind them would refuse is refused, with the path of what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.providers.process import Plugin, running

pytestmark = pytest.mark.engine

BUCKET = "gcp:storage/bucket:Bucket"
CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
S3 = "aws:s3/bucket:Bucket"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EKS = "aws:eks/cluster:Cluster"

GOOD: dict[str, dict[str, Any]] = {
    BUCKET: {"location": "us-central1", "uniformBucketLevelAccess": True},
    CLUSTER: {"location": "us-central1", "initialNodeCount": 1, "removeDefaultNodePool": True},
    POOL: {
        "cluster": "llm",
        "autoscaling": {"totalMinNodeCount": 0, "totalMaxNodeCount": 2},
        "nodeConfig": {"machineType": "g2-standard-8", "guestAccelerators": [{"type": "nvidia-l4", "count": 1}]},
    },
    MEMBER: {"bucket": "weights", "role": "roles/storage.objectViewer", "member": "serviceAccount:a@b.example"},
    GROUP: {
        "clusterName": "llm",
        "nodeRoleArn": "arn:aws:iam::123456789012:role/nodes",
        "subnetIds": ["subnet-1"],
        "scalingConfig": {"minSize": 0, "desiredSize": 0, "maxSize": 2},
    },
    TEMPLATE: {"metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1}},
    S3: {},
    RULE: {"securityGroupId": "sg-1", "ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/8"},
    EKS: {"roleArn": "arn:aws:iam::123456789012:role/cluster", "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]}},
}

PLANTED: list[tuple[str, dict[str, Any], str, str]] = [
    (BUCKET, {"unifromBucketLevelAccess": True}, "unifromBucketLevelAccess", "unexpected property"),
    (BUCKET, {"location": None}, "location", "missing required property"),
    (BUCKET, {"uniformBucketLevelAccess": "yes"}, "uniformBucketLevelAccess", "expected bool"),
    (BUCKET, {"labels": ["a"]}, "labels", "expected an object"),
    (BUCKET, {"lifecycleRules": [{"action": {"type": "Delete"}}]}, "lifecycleRules[0].condition", "missing required"),
    (BUCKET, {"publicAccessPrevention": "on"}, "publicAccessPrevention", "expected one of"),
    (BUCKET, {"name": "Weights"}, "name", "does not match"),
    (BUCKET, {"name": "w" * 64}, "name", "longer than 63"),
    (CLUSTER, {"location": "us-central"}, "location", "does not match"),
    (CLUSTER, {"releaseChannel": {"channel": "FAST"}}, "releaseChannel.channel", "expected one of"),
    (CLUSTER, {"name": "n" * 41}, "name", "longer than 40"),
    (
        CLUSTER,
        {"ipAllocationPolicy": {"clusterIpv4CidrBlock": "10.0.0.0/14", "clusterSecondaryRangeName": "pods"}},
        "ipAllocationPolicy.clusterIpv4CidrBlock",
        "conflicts with",
    ),
    (POOL, {"nodeConfig": {"machine_type": "g2-standard-8"}}, "nodeConfig.machine_type", "did you mean machineType?"),
    (
        POOL,
        {"autoscaling": {"minNodeCount": 0, "totalMaxNodeCount": 2}},
        "autoscaling.minNodeCount",
        "conflicts with autoscaling.totalMaxNodeCount",
    ),
    (
        POOL,
        {"nodeConfig": {"guestAccelerators": [{"type": "nvidia-l4"}]}},
        "nodeConfig.guestAccelerators[0].count",
        "missing required property",
    ),
    (
        POOL,
        {"nodeConfig": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}},
        "nodeConfig.taints[*].effect",
        "",
    ),
    (
        POOL,
        {"nodeConfig": {"kubeletConfig": {"insecureKubeletReadonlyPortEnabled": False}}},
        "nodeConfig.kubeletConfig.insecureKubeletReadonlyPortEnabled",
        "expected str",
    ),
    (POOL, {"nodeConfig": {"secondaryBootDisks": [{"diskImage": "i"}]}}, "nodeConfig.secondaryBootDisks", "needs"),
    (POOL, {"nodeConfig": {"bootDisk": {"sizeGb": 5}}}, "nodeConfig.bootDisk.sizeGb", "at least 10"),
    (POOL, {"nodeConfig": {"machineType": "n4-standrad-8"}}, "nodeConfig.machineType", "does not match"),
    (POOL, {"nodeLocations": ["us-central1"]}, "nodeLocations[*]", "does not match"),
    (MEMBER, {"member": "somebody"}, "member", "does not match"),
    (GROUP, {"amiType": "AL2023_x86_64_GPU"}, "amiType", "expected one of"),
    (GROUP, {"instanceTypes": ["g6e.huge"]}, "instanceTypes[*]", "no ec2.InstanceType"),
    (GROUP, {"scalingConfig": {"minSize": 0, "desiredSize": 0, "maxSize": 0}}, "scalingConfig.maxSize", "at least 1"),
    (GROUP, {"scalingConfig": {"minSize": 0, "maxSize": 2}}, "scalingConfig.desiredSize", "missing required"),
    (GROUP, {"launchTemplate": {"id": "lt-1", "version": 2}}, "launchTemplate.version", "expected str"),
    (GROUP, {"nodeGroupNamePrefix": "n" * 38}, "nodeGroupNamePrefix", "does not match"),
    (
        GROUP,
        {"updateConfig": {"maxUnavailable": 1, "maxUnavailablePercentage": 10}},
        "updateConfig.maxUnavailable",
        "conflicts",
    ),
    (GROUP, {"taints": [{"key": "a", "effect": "NoSchedule"}]}, "taints[0].effect", "expected one of"),
    (TEMPLATE, {"ebsOptimized": True}, "ebsOptimized", "expected str"),
    (TEMPLATE, {"metadataOptions": {"httpTokens": "always"}}, "metadataOptions.httpTokens", "expected one of"),
    (
        TEMPLATE,
        {"metadataOptions": {"httpPutResponseHopLimit": 65}},
        "metadataOptions.httpPutResponseHopLimit",
        "from 1 to 64",
    ),
    (TEMPLATE, {"userData": "#!/bin/sh"}, "userData", "does not match"),
    (
        TEMPLATE,
        {"networkInterfaces": [{"interfaceType": "efa"}], "vpcSecurityGroupIds": ["sg-1"]},
        "vpcSecurityGroupIds",
        "",
    ),
    (
        TEMPLATE,
        {"blockDeviceMappings": [{"ebs": {"volumeType": "gp9"}}]},
        "blockDeviceMappings[0].ebs.volumeType",
        "expected one of",
    ),
    (S3, {"bucket": "Weights"}, "bucket", "does not match"),
    (S3, {"bucket": "w", "bucketPrefix": "w-"}, "bucket", ""),
    (RULE, {"cidrIpv6": "::/0"}, "cidrIpv4", "exactly one of"),
    (EKS, {"accessConfig": {"authenticationMode": "IAM"}}, "accessConfig.authenticationMode", "expected one of"),
    (EKS, {"enabledClusterLogTypes": ["everything"]}, "enabledClusterLogTypes[*]", "expected one of"),
    (EKS, {"vpcConfig": {"endpointPrivateAccess": True}}, "vpcConfig.subnetIds", "missing required property"),
]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Plugin]]:
    folder = tmp_path_factory.mktemp("cloud")
    with running("gcp", folder) as gcp, running("aws", folder) as aws:
        yield {"gcp": gcp, "aws": aws}


@pytest.fixture(scope="module")
def gke(plugins: dict[str, Plugin]) -> str:
    """The id of a cluster that exists."""
    return plugins["gcp"].create(CLUSTER, "llm", **GOOD[CLUSTER])[0]


def failures(plugins: dict[str, Plugin], token: str, inputs: dict[str, Any]) -> dict[str, str]:
    given = {key: value for key, value in inputs.items() if value is not None}
    return plugins[token.partition(":")[0]].failures(token, **given)


@pytest.mark.parametrize("token", GOOD)
def test_good_inputs_pass(plugins: dict[str, Plugin], token: str) -> None:
    assert failures(plugins, token, GOOD[token]) == {}


@pytest.mark.parametrize(("token", "change", "path", "reason"), PLANTED)
def test_a_planted_wrong_input_is_refused_by_its_path(
    plugins: dict[str, Plugin], token: str, change: dict[str, Any], path: str, reason: str
) -> None:
    found = failures(plugins, token, {**GOOD[token], **change})
    assert path in found
    assert reason in found[path]


def test_what_is_not_known_yet_is_not_judged(plugins: dict[str, Plugin]) -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert failures(plugins, BUCKET, {"location": unknown, "publicAccessPrevention": unknown, "labels": unknown}) == {}


def test_a_type_that_no_row_describes_is_refused(plugins: dict[str, Plugin]) -> None:
    assert "add a row" in failures(plugins, "gcp:pubsub/topic:Topic", {})[""]


def test_a_provider_input_that_does_not_exist_is_refused(plugins: dict[str, Plugin]) -> None:
    assert plugins["gcp"].config_failures(project="a", version="10.2.0") == {}
    assert "unexpected property" in plugins["gcp"].config_failures(projekt="a")["projekt"]
    assert plugins["aws"].config_failures(region="us-east-1", defaultTags='{"tags": {"a": "b"}}') == {}
    assert (
        "expected str"
        in plugins["aws"].config_failures(region="us-east-1", defaultTags='{"tags": {"a": 1}}')["defaultTags.tags.a"]
    )


def test_a_function_without_an_answer_is_an_error(plugins: dict[str, Plugin]) -> None:
    assert plugins["aws"].invoke("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == "123456789012"
    with pytest.raises(grpc.RpcError, match="no answer to"):
        plugins["aws"].invoke("aws:ec2/getAmi:getAmi")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"nodeConfig": {"machineType": "g2-standard-8", "guestAccelerators": [{"type": "nvidia-l4", "count": 2}]}},
            "does not come with",
        ),
        (
            {"nodeConfig": {"machineType": "a3-highgpu-8g", "guestAccelerators": [{"type": "nvidia-l4", "count": 8}]}},
            "does not come with",
        ),
        ({"nodeConfig": {"machineType": "a3-highgpu-16g"}}, "does not exist"),
        ({"nodeLocations": ["europe-west4-a"]}, "not in the cluster's region"),
        ({"autoscaling": {"totalMinNodeCount": 3, "totalMaxNodeCount": 2}}, "must not be greater"),
        ({"nodeConfig": {"spot": True, "flexStart": True, "maxRunDuration": "60s"}}, "cannot be combined"),
        ({"cluster": "another"}, "does not exist"),
        ({"nodeConfig": {"serviceAccount": "nobody@demo-project.iam.gserviceaccount.com"}}, "does not exist"),
    ],
)
def test_gke_refuses_a_pool_that_cannot_be(
    plugins: dict[str, Plugin], gke: str, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(grpc.RpcError, match=reason):
        plugins["gcp"].create(POOL, **{**GOOD[POOL], "cluster": gke, **change})


def test_gke_takes_a_pool_that_can_be(plugins: dict[str, Plugin], gke: str) -> None:
    id_, outputs = plugins["gcp"].create(POOL, "l4", **{**GOOD[POOL], "cluster": gke})
    assert id_.startswith(f"{gke}/nodePools/l4-")
    assert outputs["nodeConfig"]["effectiveTaints"] == []


def test_what_the_cloud_numbers_itself_can_be_made_twice(plugins: dict[str, Plugin]) -> None:
    made = {plugins["aws"].create("aws:ec2/eip:Eip", "one", domain="vpc")[0] for _ in range(2)}
    assert len(made) == 2


def test_a_name_that_is_taken_is_refused(plugins: dict[str, Plugin]) -> None:
    first, _ = plugins["gcp"].create(BUCKET, "same", **GOOD[BUCKET])
    assert first.startswith("same-")
    with pytest.raises(grpc.RpcError, match="exists already"):
        plugins["gcp"].create(BUCKET, "other", **GOOD[BUCKET], name=first)


def test_a_plugin_starts_and_checks_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    with running("gcp", tmp_path) as plugin:
        assert plugin.failures(POOL, **GOOD[POOL]) == {}
    assert time.monotonic() - started < 5


def test_a_pool_in_a_zone_that_does_not_sell_its_machines_is_refused(plugins: dict[str, Plugin], gke: str) -> None:
    elsewhere = {**GOOD[POOL], "cluster": gke, "nodeLocations": ["us-central1-f"]}
    with pytest.raises(grpc.RpcError, match=r"g2-standard-8 does not exist in zone us-central1-f"):
        plugins["gcp"].create(POOL, "elsewhere", **elsewhere)


def test_a_pool_beyond_the_quota_of_the_account_is_refused_until_there_is_room(
    plugins: dict[str, Plugin], gke: str
) -> None:
    folder = plugins["gcp"].cloud.folder
    (folder / "quota.yaml").write_text("PREEMPTIBLE_NVIDIA_L4_GPUS: 3\n")
    given = {**GOOD[POOL], "cluster": gke, "nodeConfig": {**GOOD[POOL]["nodeConfig"], "spot": True}}
    try:
        first, _ = plugins["gcp"].create(POOL, "first", **given)
        with pytest.raises(grpc.RpcError, match=r"is short '1'.*quota of '3' with '1' available"):
            plugins["gcp"].create(POOL, "second", **given)
        plugins["gcp"].delete(POOL, first, given)
        plugins["gcp"].create(POOL, "second", **given)
    finally:
        (folder / "quota.yaml").unlink()
