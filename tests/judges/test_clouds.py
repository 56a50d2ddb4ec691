"""Cloud resources judged by our rules and by checkov: the same inputs, transliterated, get the same answer."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelberth.policyfile import PolicyFile
from modelberth.rules.base import Profile
from modelberth.verdicts import judge_all
from tests.rules.cases import Case, Seen, balancers, clusters, identities, storage
from toolchain import judges

pytestmark = pytest.mark.engine

_TYPES = {
    "gcp:container/cluster:Cluster": "google_container_cluster",
    "gcp:compute/firewall:Firewall": "google_compute_firewall",
    "gcp:compute/sSLPolicy:SSLPolicy": "google_compute_ssl_policy",
    "gcp:projects/iAMMember:IAMMember": "google_project_iam_member",
    "gcp:storage/bucket:Bucket": "google_storage_bucket",
    "gcp:storage/bucketIAMMember:BucketIAMMember": "google_storage_bucket_iam_member",
    "aws:ebs/volume:Volume": "aws_ebs_volume",
    "aws:ec2/launchTemplate:LaunchTemplate": "aws_launch_template",
    "aws:ec2/securityGroup:SecurityGroup": "aws_security_group",
    "aws:efs/fileSystem:FileSystem": "aws_efs_file_system",
    "aws:eks/cluster:Cluster": "aws_eks_cluster",
    "aws:eks/nodeGroup:NodeGroup": "aws_eks_node_group",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "aws_iam_role_policy_attachment",
    "aws:lb/listener:Listener": "aws_lb_listener",
    "aws:lb/loadBalancer:LoadBalancer": "aws_lb",
    "aws:s3/bucket:Bucket": "aws_s3_bucket",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "aws_s3_bucket_public_access_block",
}
_SINGULAR = {"allows": "allow", "defaultActions": "default_action", "lifecycleRules": "lifecycle_rule"}
_SCRIPT = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from checkov.runner_filter import RunnerFilter
from checkov.terraform.runner import Runner
report = Runner().run(root_folder=sys.argv[1], runner_filter=RunnerFilter(framework=["terraform"]))
print(json.dumps([[check.check_id, check.resource] for check in report.failed_checks]))
"""
_GROUP = {"fromPort": 22, "toPort": 22, "protocol": "tcp"}
_EVERYONE = {"cidrBlocks": [{"cidrBlock": "0.0.0.0/0"}]}

PAIRS: dict[str, tuple[str, Seen, Seen]] = {
    "CKV_GCP_18": ("CS-04", clusters.gke(masterAuthorizedNetworksConfig=_EVERYONE), clusters.gke()),
    "CKV_GCP_20": ("CS-04", clusters.gke(masterAuthorizedNetworksConfig=None), clusters.gke()),
    "CKV_GCP_25": ("CS-04", clusters.gke(privateClusterConfig=None), clusters.gke()),
    "CKV_GCP_61": ("CS-04", clusters.gke(enableIntranodeVisibility=None), clusters.gke()),
    "CKV_AWS_37": ("CS-05", clusters.eks(enabledClusterLogTypes=["api"]), clusters.eks()),
    "CKV_AWS_38": ("CS-05", clusters.eks(vpcConfig=clusters.public("0.0.0.0/0")), clusters.eks()),
    "CKV_AWS_58": ("CS-05", clusters.eks(encryptionConfig=None), clusters.eks()),
    "CKV_AWS_339": ("CS-05", clusters.eks(version="1.21"), clusters.eks()),
    "CKV_AWS_79": ("CS-06", clusters.template(metadataOptions={"httpTokens": "optional"}), clusters.template()),
    "CKV_AWS_341": (
        "CS-06",
        clusters.template(metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": 2}),
        clusters.template(),
    ),
    "CKV_AWS_88": (
        "CS-06",
        clusters.template(networkInterfaces=[{"associatePublicIpAddress": True}]),
        clusters.template(networkInterfaces=[{"associatePublicIpAddress": False}]),
    ),
    "CKV_AWS_100": ("CS-06", clusters.nodes(remoteAccess={"ec2SshKey": "ops"}), clusters.nodes()),
    "CKV_AWS_24": (
        "CS-06",
        clusters.group(**_GROUP, cidrBlocks=["0.0.0.0/0"]),
        clusters.group(**_GROUP, cidrBlocks=["203.0.113.0/24"]),
    ),
    "CKV_GCP_2": ("CS-06", clusters.firewall(), clusters.firewall(sourceRanges=["35.235.240.0/20"])),
    "CKV_GCP_114": ("CS-07", storage.gcs(publicAccessPrevention=None), storage.gcs()),
    "CKV_GCP_29": ("CS-07", storage.gcs(uniformBucketLevelAccess=False), storage.gcs()),
    "CKV_GCP_28": ("CS-07", storage.grant("allUsers"), storage.grant()),
    "CKV_AWS_53": ("CS-07", storage.block(blockPublicAcls=False), storage.block()),
    "CKV_AWS_56": ("CS-07", storage.block(restrictPublicBuckets=False), storage.block()),
    "CKV_AWS_42": ("CS-17", storage.efs(), storage.efs(encrypted=True)),
    "CKV_AWS_3": ("CS-17", storage.ebs(encrypted=False), storage.ebs(encrypted=True)),
    "CKV_GCP_117": (
        "CS-09",
        identities.project(f"serviceAccount:{identities.ACCOUNT}", "roles/editor"),
        identities.project(f"serviceAccount:{identities.ACCOUNT}", "roles/logging.logWriter"),
    ),
    "CKV_AWS_91": ("CS-18", balancers.balancer(accessLogs={}), balancers.balancer(internal=True)),
    "CKV_AWS_150": ("CS-18", balancers.balancer(enableDeletionProtection=False), balancers.balancer(internal=True)),
    "CKV_AWS_103": (
        "CS-18",
        balancers.listener(sslPolicy="ELBSecurityPolicy-2016-08"),
        balancers.listener(sslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06"),
    ),
    "CKV_GCP_4": ("CS-18", balancers.tls(), balancers.tls(minTlsVersion="TLS_1_2", profile="MODERN")),
}
"""What both judge, by checkov's check: the rule, an example that both refuse, and one that both let pass."""


def _snake(name: str) -> str:
    return _SINGULAR.get(name) or re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _terraform(inputs: dict[str, Any]) -> Iterator[str]:
    """Attributes and blocks, a line each."""
    for key, value in inputs.items():
        blocks = [value] if isinstance(value, dict) else value
        if isinstance(blocks, list) and blocks and all(isinstance(each, dict) for each in blocks):
            for each in blocks:
                yield from (f"{_snake(key)} {{", *_terraform(each), "}")
        else:
            yield f"{_snake(key)} = {json.dumps(value)}"


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The checks that fail, by resource."""
    folder: Path = tmp_path_factory.mktemp("terraform")
    lines: list[str] = []
    for check, (_, red, green) in PAIRS.items():
        for colour, (type_, inputs) in (("red", red), ("green", green)):
            lines += [f'resource "{_TYPES[type_]}" "{check}_{colour}" {{', *_terraform(inputs), "}"]
    (folder / "main.tf").write_text("\n".join(lines))
    done = judges.run(str(judges.python()), "-c", _SCRIPT, str(folder))
    found: dict[str, set[str]] = defaultdict(set)
    for check, resource in json.loads(done.stdout.splitlines()[-1]):
        found[resource.rpartition(".")[2]].add(check)
    return found


def _speaks(rule: str, seen: Seen) -> bool:
    return rule in {
        verdict.rule.id for verdict in judge_all(Case(rule, "", (seen,)).resources, PolicyFile(Profile.PROD))
    }


@pytest.mark.parametrize("check", PAIRS)
def test_both_refuse_the_same_and_let_the_same_pass(check: str, failed: dict[str, set[str]]) -> None:
    rule, red, green = PAIRS[check]
    assert check in failed[f"{check}_red"]
    assert check not in failed[f"{check}_green"]
    assert _speaks(rule, red)
    assert not _speaks(rule, green)
