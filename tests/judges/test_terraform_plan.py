"""The translation of what we register into Terraform's plan, and that checkov sees each field that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.sigils import SECRET, SIGNATURE
from tests.judges.cloud_checks import SUPPRESSED, Failed, Judged, checkov_cloud
from tests.judges.terraform_plan import (
    Registered,
    UntranslatableError,
    ends,
    exported,
    plan,
    snake,
    tables,
    terraform_type,
    written,
)
from tests.providers import sdk_types
from tests.providers.tables import document

STACKS = Path(__file__).with_name("stacks")
TOKENS = sorted(tables()["types"])
BUCKET, POOL = "gcp:storage/bucket:Bucket", "gcp:container/nodePool:NodePool"


def registrations(cloud: str) -> list[dict[str, Any]]:
    """The hardened stack of a cloud, fresh."""
    return yaml.safe_load((STACKS / f"{cloud}.yaml").read_text())["resources"]


def values(*resources: Registered) -> list[dict[str, Any]]:
    return [each["values"] for each in plan(resources)["planned_values"]["root_module"]["resources"]]


def expressions(*resources: Registered) -> list[dict[str, Any]]:
    return [each["expressions"] for each in plan(resources)["configuration"]["root_module"]["resources"]]


# The translation


@pytest.mark.parametrize("token", TOKENS)
def test_a_type_is_one_of_the_installed_sdk_and_its_own_names_are_too(token: str) -> None:
    sdk = sdk_types.resource(token)
    found: set[tuple[str, ...]] = set()

    def walk(types: dict[str, Any], path: tuple[str, ...]) -> None:
        for key, described in types.items():
            found.add(here := (*path, key))
            type_ = described["type"]
            type_ = type_["list"] if isinstance(type_, dict) and "list" in type_ else type_
            if isinstance(type_, dict) and "object" in type_ and len(here) < 10:
                walk(sdk["objects"][type_["object"]], here)

    walk(sdk["inputs"], ())
    terraform = terraform_type(token)
    keys = [*tables()["names"].get(terraform, {}), *tables()["ones"].get(terraform, [])]
    shared = terraform == "google_container_node_pool"  # which has the cluster's names, and more of them than it needs
    unheard = [key for key in keys if not any(ends(path, key) for path in found)]
    assert shared or unheard == []


def test_every_type_that_a_stand_in_knows_can_be_translated() -> None:
    known = {token for cloud in ("gcp", "aws") for token in document(cloud)["types"]}
    assert sorted(known - set(TOKENS)) == []


def test_no_two_types_are_the_same_one_of_terraform() -> None:
    assert len(set(tables()["types"].values())) == len(TOKENS)


def test_names_and_ones_are_of_types_that_are_listed() -> None:
    assert {*tables()["names"], *tables()["ones"]} <= set(tables()["types"].values())


@pytest.mark.parametrize(
    ("wire", "terraform"),
    [
        ("masterIpv4CidrBlock", "master_ipv4_cidr_block"),
        ("enableResourceNameDnsARecordOnLaunch", "enable_resource_name_dns_a_record_on_launch"),
        ("enableDns64", "enable_dns64"),
        ("s3", "s3"),
    ],
)
def test_a_wire_name_becomes_terraforms(wire: str, terraform: str) -> None:
    assert snake(wire) == terraform


def test_an_object_is_a_block_a_list_keeps_its_length_and_a_map_its_keys() -> None:
    (found,) = values(
        Registered(
            BUCKET,
            "weights",
            {
                "versioning": {"enabled": True},
                "lifecycleRules": [
                    {"action": {"type": "Delete"}, "condition": {"age": 1, "matchesPrefixes": ["a", "b"]}},
                    {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 2}},
                ],
                "labels": {"costCenter": "1234"},
            },
        )
    )
    assert found == {
        "versioning": [{"enabled": True}],
        "lifecycle_rule": [
            {"action": [{"type": "Delete"}], "condition": [{"age": 1, "matches_prefix": ["a", "b"]}]},
            {"action": [{"type": "AbortIncompleteMultipartUpload"}], "condition": [{"age": 2}]},
        ],
        "labels": {"costCenter": "1234"},
    }


def test_a_value_that_terraform_has_as_a_list_of_one_becomes_one() -> None:
    (found,) = values(Registered("aws:fsx/lustreFileSystem:LustreFileSystem", "files", {"subnetIds": "subnet-1"}))
    assert found == {"subnet_ids": ["subnet-1"]}


def test_the_same_word_is_named_by_where_it_stands() -> None:
    node = {"taints": [{"key": "a", "value": "b", "effect": "NO_SCHEDULE"}], "labels": {"taints": "none"}}
    (found,) = values(Registered(POOL, "pool", {"nodeConfig": node}))
    assert found["node_config"][0].keys() == {"taint", "labels"}
    assert found["node_config"][0]["labels"] == {"taints": "none"}


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(UntranslatableError, match="gcp:compute/tunnel:Tunnel: add a row"):
        plan([Registered("gcp:compute/tunnel:Tunnel", "a", {})])


def test_a_property_that_the_sdk_does_not_have_is_refused_by_its_path() -> None:
    with pytest.raises(UntranslatableError, match=r"Bucket weights: no input versioning\.enable$"):
        plan([Registered(BUCKET, "weights", {"versioning": {"enable": True}})])


def test_resources_of_one_type_and_name_keep_apart() -> None:
    found = plan([Registered(BUCKET, "weights", {}), Registered(BUCKET, "weights", {}), Registered(BUCKET, "w!", {})])
    addresses = [each["address"] for each in found["planned_values"]["root_module"]["resources"]]
    assert addresses == [
        "google_storage_bucket.weights",
        "google_storage_bucket.weights--2",
        "google_storage_bucket.w_",
    ]


def test_what_another_resource_is_called_is_a_reference_to_it() -> None:
    stack = written(
        [
            {"type": "aws:s3/bucket:Bucket", "name": "weights", "inputs": {"bucket": "models"}},
            {
                "type": "aws:s3/bucketVersioning:BucketVersioning",
                "name": "weights",
                "inputs": {"bucket": "weights-id", "versioningConfiguration": {"status": "Enabled"}},
            },
            {"type": "aws:s3/bucketPolicy:BucketPolicy", "name": "tls", "inputs": {"bucket": "models", "policy": "{}"}},
        ]
    )
    assert values(*stack) == [
        {"bucket": "models"},
        {"versioning_configuration": [{"status": "Enabled"}]},
        {"policy": "{}"},
    ]
    _, versioning, policy = expressions(*stack)
    assert versioning["bucket"] == {"references": ["aws_s3_bucket.weights.id", "aws_s3_bucket.weights"]}
    assert policy["bucket"] == {"references": ["aws_s3_bucket.weights.bucket", "aws_s3_bucket.weights"]}


def test_of_namesakes_the_one_that_the_property_speaks_of_is_meant() -> None:
    stack = written(
        [
            {"type": "aws:iam/role:Role", "name": "models", "inputs": {}},
            {"type": "aws:eks/cluster:Cluster", "name": "models", "inputs": {"roleArn": "models-id"}},
            {"type": "aws:eks/addon:Addon", "name": "dns", "inputs": {"clusterName": "models-id"}},
        ]
    )
    _, cluster, addon = expressions(*stack)
    assert cluster["role_arn"]["references"][1] == "aws_iam_role.models"
    assert addon["cluster_name"]["references"][1] == "aws_eks_cluster.models"


def test_references_in_lists_and_blocks_stand_where_the_values_were() -> None:
    stack = written(
        [
            {"type": "aws:ec2/subnet:Subnet", "name": "a", "inputs": {}},
            {"type": "aws:ec2/subnet:Subnet", "name": "b", "inputs": {}},
            {
                "type": "aws:eks/cluster:Cluster",
                "name": "models",
                "inputs": {"vpcConfig": {"subnetIds": ["a-id", "b-id", "subnet-other"]}},
            },
        ]
    )
    assert values(*stack)[2] == {"vpc_config": [{"subnet_ids": ["aws_subnet.a.id", "aws_subnet.b.id", "subnet-other"]}]}
    found = expressions(*stack)[2]["vpc_config"][0]["subnet_ids"]["references"]
    assert found == ["aws_subnet.a.id", "aws_subnet.a", "aws_subnet.b.id", "aws_subnet.b"]


def state(token: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": token, "urn": f"urn:pulumi:a::b::{token}::{name}", **more}


def test_in_an_exported_stack_only_what_a_property_was_made_from_is_referred_to() -> None:
    account = state("gcp:serviceaccount/account:Account", "nodes", id="nodes-1", outputs={"email": "n@example.com"})
    node = {"nodeConfig": {"serviceAccount": "n@example.com"}}
    made = state(POOL, "made", inputs=node, propertyDependencies={"nodeConfig": [account["urn"]]})
    typed = state(POOL, "typed", inputs=node, propertyDependencies={})
    stack = exported([account, made, typed, state(POOL, "old", delete=True), state("pulumi:pulumi:Stack", "s")])
    assert values(*stack)[1:] == [{"node_config": [{}]}, {"node_config": [{"service_account": "n@example.com"}]}]
    found = expressions(*stack)[1]["node_config"][0]["service_account"]
    assert found["references"][0] == "google_service_account.nodes.email"


def test_secrets_and_the_engines_own_marks_do_not_get_in_the_way() -> None:
    inputs = {
        "__defaults": ["forceDestroy"],
        "location": {SIGNATURE: SECRET, "plaintext": '"US"'},
        "storageClass": {SIGNATURE: SECRET, "ciphertext": "v1:abc"},
    }
    assert values(*exported([state(BUCKET, "w", inputs=inputs)])) == [{"location": "US", "storage_class": "secret"}]


# checkov


@dataclass(frozen=True)
class Planted:
    """A hardened stack with one value changed, or taken away where it is None, and the check that must fail for it.

    Without a path the resource itself is left out, or has the values besides.
    """

    check: str
    type: str
    name: str
    path: str
    value: Any = None
    about: str = ""
    """The type of the resource that the check speaks of, where it is not the changed one."""

    def __str__(self) -> str:
        return f"{self.check} {self.name} {self.path or '(left out)'}"

    @property
    def stack(self) -> list[dict[str, Any]]:
        resources = registrations("gke" if self.type.startswith("gcp:") else "eks")
        index = next(i for i, each in enumerate(resources) if (each["type"], each["name"]) == (self.type, self.name))
        inner = resources[index]["inputs"]
        if not self.path:
            inner.update(self.value or {})
            return [each for i, each in enumerate(resources) if i != index or self.value]
        *steps, last = self.path.split(".")
        for step in steps:
            inner = inner[int(step) if step.isdigit() else step]
        if self.value is None:
            del inner[last]
        else:
            inner[last] = self.value
        return resources

    def failure(self) -> Failed:
        """What checkov must say."""
        name = self.name if not self.about else _SPOKEN_OF.get(self.about, self.name)
        return Failed(self.check, f"{self.about or terraform_type(self.type)}.{name}")


_SPOKEN_OF = {
    "google_compute_network": "network",
    "aws_vpc": "vpc",
    "aws_eip": "nat-address",
    "aws_security_group": "endpoints",
}
"""The resource of a type in the hardened stacks, where it has another name than what is changed."""


_GKE = "gcp:container/cluster:Cluster"
_NODES, _BLOCK = "aws:ec2/launchTemplate:LaunchTemplate", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
_EKS, _KEY, _LOGS = "aws:eks/cluster:Cluster", "aws:kms/key:Key", "aws:cloudwatch/logGroup:LogGroup"
_EVERYONE = [{"cidrBlock": "0.0.0.0/0"}]
_ANYONE = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}'
_ANY_ACCOUNT = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'
)
_SSH = {"allows": [{"protocol": "tcp", "ports": ["22"]}], "sourceRanges": ["0.0.0.0/0"]}
_BY_DEFAULT = "rules.0.applyServerSideEncryptionByDefault.sseAlgorithm"
_ADMIN = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
_AT_REST = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
_VERSIONS = "aws:s3/bucketVersioning:BucketVersioning"
_OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
_LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"

PLANTED = [
    # A public or unencrypted bucket
    Planted("CKV_GCP_114", BUCKET, "weights", "publicAccessPrevention"),
    Planted("CKV_GCP_29", BUCKET, "weights", "uniformBucketLevelAccess", False),
    Planted("CKV_GCP_78", BUCKET, "weights", "versioning"),
    Planted("CKV_GCP_62", BUCKET, "weights", "logging"),
    Planted("CKV_GCP_28", "gcp:storage/bucketIAMMember:BucketIAMMember", "reader", "member", "allUsers"),
    Planted("CKV2_AWS_6", _BLOCK, "weights", "", about="aws_s3_bucket"),
    Planted("CKV2_AWS_6", _BLOCK, "weights", "bucket", about="aws_s3_bucket"),
    Planted("CKV_AWS_53", _BLOCK, "weights", "blockPublicAcls", False),
    Planted("CKV_AWS_54", _BLOCK, "weights", "blockPublicPolicy", False),
    Planted("CKV_AWS_55", _BLOCK, "weights", "ignorePublicAcls"),
    Planted("CKV_AWS_56", _BLOCK, "weights", "restrictPublicBuckets"),
    Planted("CKV_AWS_70", "aws:s3/bucketPolicy:BucketPolicy", "weights", "policy", _ANYONE),
    Planted("CKV_AWS_21", _VERSIONS, "weights", "versioningConfiguration.status", "Suspended", "aws_s3_bucket"),
    Planted("CKV_AWS_145", _AT_REST, "weights", _BY_DEFAULT, "AES256", "aws_s3_bucket"),
    Planted("CKV_AWS_300", _LIFECYCLE, "weights", "rules.0.abortIncompleteMultipartUpload"),
    Planted("CKV2_AWS_61", _LIFECYCLE, "weights", "", about="aws_s3_bucket"),
    Planted("CKV2_AWS_65", _OWNERSHIP, "weights", "rule.objectOwnership", "ObjectWriter"),
    Planted("CKV_AWS_18", "aws:s3/bucketLogging:BucketLogging", "weights", "", about="aws_s3_bucket"),
    # A control plane that is open, silent or keeps secrets in the clear
    Planted("CKV_GCP_18", _GKE, "cluster", "masterAuthorizedNetworksConfig.cidrBlocks", _EVERYONE),
    Planted("CKV_GCP_20", _GKE, "cluster", "masterAuthorizedNetworksConfig"),
    Planted("CKV_GCP_64", _GKE, "cluster", "privateClusterConfig"),
    Planted("CKV_GCP_25", _GKE, "cluster", "privateClusterConfig"),
    Planted("CKV_GCP_7", _GKE, "cluster", "enableLegacyAbac", True),
    Planted("CKV_GCP_12", _GKE, "cluster", "datapathProvider", "LEGACY_DATAPATH"),
    Planted("CKV_GCP_13", _GKE, "cluster", "masterAuth.clientCertificateConfig.issueClientCertificate", True),
    Planted("CKV_GCP_61", _GKE, "cluster", "enableIntranodeVisibility", False),
    Planted("CKV_GCP_66", _GKE, "cluster", "binaryAuthorization.evaluationMode", "DISABLED"),
    Planted("CKV_GCP_70", _GKE, "cluster", "releaseChannel"),
    Planted("CKV_GCP_71", _GKE, "cluster", "enableShieldedNodes", False),
    Planted("CKV_GCP_21", _GKE, "cluster", "resourceLabels"),
    Planted("CKV_GCP_23", _GKE, "cluster", "ipAllocationPolicy"),
    Planted("CKV2_GCP_19", _GKE, "cluster", "enableKubernetesAlpha", True),
    Planted("CKV_GCP_1", _GKE, "cluster", "loggingService", "none"),
    Planted("CKV_GCP_8", _GKE, "cluster", "monitoringService", "none"),
    Planted("CKV_AWS_38", _EKS, "eks", "vpcConfig.endpointPublicAccess", True),
    Planted("CKV_AWS_39", _EKS, "eks", "vpcConfig.endpointPublicAccess"),
    Planted("CKV_AWS_58", _EKS, "eks", "encryptionConfig"),
    Planted("CKV_AWS_58", _EKS, "eks", "encryptionConfig.resources"),
    Planted("CKV_AWS_37", _EKS, "eks", "enabledClusterLogTypes", ["api"]),
    Planted("CKV_AWS_339", _EKS, "eks", "version", "1.22"),
    Planted("CKV_AWS_338", _LOGS, "cluster-logs", "retentionInDays", 7),
    Planted("CKV_AWS_158", _LOGS, "cluster-logs", "kmsKeyId"),
    # Nodes
    *(
        planted
        for pool in ("system", "l4")
        for planted in (
            Planted("CKV_GCP_9", POOL, pool, "management.autoRepair", False),
            Planted("CKV_GCP_10", POOL, pool, "management.autoUpgrade"),
            Planted("CKV_GCP_68", POOL, pool, "nodeConfig.shieldedInstanceConfig.enableSecureBoot", False),
            Planted("CKV_GCP_72", POOL, pool, "nodeConfig.shieldedInstanceConfig.enableIntegrityMonitoring", False),
            Planted("CKV_GCP_69", POOL, pool, "nodeConfig.workloadMetadataConfig.mode", "GCE_METADATA"),
        )
    ),
    Planted("CKV_AWS_79", _NODES, "l40s", "metadataOptions.httpTokens", "optional"),
    Planted("CKV_AWS_341", _NODES, "l40s", "metadataOptions.httpPutResponseHopLimit", 2),
    Planted("CKV_AWS_88", _NODES, "l40s", "networkInterfaces", [{"associatePublicIpAddress": "true"}]),
    Planted("CKV_AWS_100", "aws:eks/nodeGroup:NodeGroup", "l40s", "remoteAccess", {"ec2SshKey": "ops"}),
    Planted("CKV_AWS_3", "aws:ebs/volume:Volume", "scratch", "encrypted", False),
    # The network
    Planted("CKV_GCP_26", "gcp:compute/subnetwork:Subnetwork", "nodes", "logConfig"),
    Planted("CKV_GCP_74", "gcp:compute/subnetwork:Subnetwork", "nodes", "privateIpGoogleAccess"),
    Planted("CKV_GCP_2", "gcp:compute/firewall:Firewall", "health", "", _SSH),
    Planted("CKV2_GCP_18", "gcp:compute/firewall:Firewall", "health", "", about="google_compute_network"),
    Planted("CKV2_AWS_11", "aws:ec2/flowLog:FlowLog", "flows", "", about="aws_vpc"),
    Planted("CKV2_AWS_12", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "closed", "", about="aws_vpc"),
    Planted("CKV_AWS_130", "aws:ec2/subnet:Subnet", "public-a", "mapPublicIpOnLaunch", True),
    Planted("CKV2_AWS_19", "aws:ec2/natGateway:NatGateway", "nat", "allocationId", about="aws_eip"),
    Planted("CKV_AWS_23", _RULE, "endpoints", "description"),
    Planted("CKV2_AWS_5", "aws:ec2/vpcEndpoint:VpcEndpoint", "sts", "securityGroupIds", about="aws_security_group"),
    # Keys and rights
    Planted("CKV_GCP_43", "gcp:kms/cryptoKey:CryptoKey", "secrets", "rotationPeriod", "31536000s"),
    Planted("CKV_GCP_84", "gcp:artifactregistry/repository:Repository", "images", "kmsKeyName"),
    Planted("CKV_GCP_117", "gcp:projects/iAMMember:IAMMember", "nodes", "role", "roles/editor"),
    Planted("CKV_GCP_41", "gcp:projects/iAMMember:IAMMember", "nodes", "role", "roles/iam.serviceAccountUser"),
    Planted("CKV_AWS_7", _KEY, "key", "enableKeyRotation"),
    Planted("CKV_AWS_33", _KEY, "key", "policy", _ANYONE.replace("s3:*", "kms:*")),
    Planted("CKV2_AWS_64", _KEY, "key", "policy"),
    Planted("CKV_AWS_62", "aws:iam/rolePolicy:RolePolicy", "chat", "policy", _ADMIN),
    Planted("CKV_AWS_60", "aws:iam/role:Role", "nodes", "assumeRolePolicy", _ANY_ACCOUNT),
    Planted("CKV_AWS_190", "aws:fsx/lustreFileSystem:LustreFileSystem", "files", "kmsKeyId"),
]  # fmt: skip
"""What would be bad, each with the check that says so."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    """Every planted stack and both hardened ones."""
    names = ["gke", "eks", *map(str, PLANTED)]
    stacks = [registrations("gke"), registrations("eks"), *(each.stack for each in PLANTED)]
    found = checkov_cloud(tmp_path_factory.mktemp("plans"), *map(written, stacks))
    return dict(zip(names, found, strict=True))


@pytest.mark.engine
@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_checkov_sees_what_is_planted_and_accepts_the_hardened_stack(
    planted: Planted, judged: dict[str, Judged]
) -> None:
    secure = judged["gke" if planted.type.startswith("gcp:") else "eks"]
    assert planted.failure() in judged[str(planted)].failed
    assert planted.failure() not in secure.failed


@pytest.mark.engine
def test_a_hardened_stack_fails_what_is_suppressed_and_nothing_else(judged: dict[str, Judged]) -> None:
    failing = judged["gke"].kinds | judged["eks"].kinds
    assert failing
    assert failing <= set(SUPPRESSED)


NEVER_ASKED = {
    "gke": {
        "google_compute_router",
        "google_compute_router_nat",
        "google_filestore_instance",
        "google_service_account",
    },
    "eks": {
        "aws_default_security_group",
        "aws_eks_addon",
        "aws_eks_pod_identity_association",
        "aws_flow_log",
        "aws_internet_gateway",
        "aws_kms_alias",
        "aws_nat_gateway",
        "aws_placement_group",
        "aws_route_table_association",
        "aws_s3_bucket_logging",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "aws_vpc_endpoint",
    },
}
"""Types of the hardened stacks of which checkov asks nothing."""


@pytest.mark.engine
@pytest.mark.parametrize("cloud", ["gke", "eks"])
def test_what_checkov_never_asks_about_is_known(cloud: str, judged: dict[str, Judged]) -> None:
    asked = {each.type for each in judged[cloud].passed | judged[cloud].failed}
    registered = {terraform_type(each["type"]) for each in registrations(cloud)}
    assert registered - asked == NEVER_ASKED[cloud]
