"""What a person says of a cloud's cluster: every mistake is named at its place, before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth import parse
from modelberth.findings import Refused
from tests.modelberth.samples import LLAMA_8B

GKE: dict[str, Any] = {
    "project": "example-dev",
    "project_number": "123456789012",
    "region": "us-central1",
    "zones": ["us-central1-a"],
}
EKS: dict[str, Any] = {
    "account": "111122223333",
    "region": "eu-central-1",
    "zones": ["eu-central-1a", "eu-central-1b"],
    "administrators": ["arn:aws:iam::111122223333:role/deployer"],
}
ROLE = EKS["administrators"][0]
GOOGLE_KEY = "projects/example-dev/locations/{}/keyRings/ring/cryptoKeys/key"
AWS_KEY = "arn:aws:kms:{}:111122223333:key/12345678-1234-1234-1234-123456789012"
SYSTEM = {"machine_type": "any", "min_nodes": 5}
ONE_SUBNET = {"vpc": "vpc-0123abcd", "subnets": dict.fromkeys(EKS["zones"], "subnet-0123abcd")}
SERVICES = {"chat": {"model": LLAMA_8B, "context": 8192, "concurrency": 8}}


def problems(kind: str, **changes: Any) -> list[str]:
    base = {"gke": GKE, "eks": EKS}[kind]
    part = {key: value for key, value in (base | changes).items() if value is not None}
    with pytest.raises(Refused) as caught:
        parse.stack({"target": {"kind": kind, kind: part}, "services": SERVICES})
    return [f"{finding.path}: {finding.message}" for finding in caught.value.findings]


@pytest.mark.parametrize(("kind", "part"), [("gke", GKE), ("eks", EKS)])
def test_nodes_of_a_managed_cluster_are_labelled_its_clouds_way(kind: str, part: dict[str, Any]) -> None:
    found = parse.stack({"target": {"kind": kind, kind: part}, "services": SERVICES}).target
    assert found.node_labels.value == {"gke": "gcp", "eks": "aws"}[kind]
    assert found.makes_pools
    assert found.zones == tuple(part["zones"])


def test_what_only_an_existing_cluster_has_is_refused() -> None:
    target = {"kind": "gke", "gke": GKE, "kubeconfig": "here", "node_labels": "aws"}
    with pytest.raises(Refused) as caught:
        parse.stack({"target": target, "services": SERVICES})
    (finding,) = caught.value.findings
    assert finding.message == "kubeconfig, node_labels: belongs to kind existing"


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("gke", {"project": "Example"}, "target.gke.project: must be a project id"),
        ("gke", {"project_number": "12a"}, "target.gke.project_number: must be the project's number"),
        ("gke", {"project_number": 123456789012}, "target.gke.project_number: must be text, not a number"),
        ("gke", {"project_number": None}, "target.gke.project_number: is required"),
        ("gke", {"region": "us-central1-a"}, "target.gke.region: must be a region"),
        ("gke", {"zones": ["europe-west4-a"]}, "target.gke.zones: europe-west4-a lie outside region us-central1"),
        ("gke", {"zones": []}, "target.gke.zones: must not be empty"),
        ("gke", {"cluster": "mine", "release_channel": "RAPID"}, "target.gke.release_channel: belongs to a cluster"),
        ("gke", {"zones": ["US-CENTRAL1-A"]}, "target.gke.zones[0]: must be a zone"),
        ("gke", {"zones": ["us-central1-a"] * 2}, "target.gke.zones: names us-central1-a more than once"),
        ("gke", {"cluster": "My Cluster"}, "target.gke.cluster: must be a cluster's name"),
        ("gke", {"cluster": {}}, "target.gke.cluster: names a cluster, or the stack that has it"),
        ("gke", {"cluster": {"name": "a", "stack": "b"}}, "target.gke.cluster: names a cluster, or the stack that has"),
        ("gke", {"kms_key": "mine"}, "target.gke.kms_key: must be a key's full name"),
        ("gke", {"kms_key": GOOGLE_KEY.format("us-east1")}, "target.gke.kms_key: is a key in us-east1, the cluster is"),
        ("gke", {"system": SYSTEM}, "target.gke.system.min_nodes: 5 is more than max_nodes, 4"),
        ("gke", {"zone": "us-central1-a"}, "target.gke.zone: unknown key; did you mean 'zones'?"),
        ("eks", {"account": "1111"}, "target.eks.account: must be an account id"),
        ("eks", {"zones": ["eu-central-1a"]}, "target.eks.zones: a cluster that is made has subnets in at least two"),
        ("eks", {"zones": ["us-east-1a", "us-east-1b"]}, "target.eks.zones: us-east-1a, us-east-1b lie outside"),
        ("eks", {"administrators": []}, "target.eks.administrators: name the role that deploys"),
        ("eks", {"administrators": ["me"]}, "target.eks.administrators[0]: must be a role's or user's ARN"),
        ("eks", {"zones": ["eu-central-1a"] * 2}, "target.eks.zones: names eu-central-1a more than once"),
        ("eks", {"administrators": [ROLE.replace("iam", "sts")]}, "target.eks.administrators[0]: must be a role's or"),
        ("eks", {"kms_key": ROLE}, "target.eks.kms_key: must be a key's ARN"),
        ("eks", {"kms_key": AWS_KEY.format("us-east-1")}, "target.eks.kms_key: is a key in us-east-1, the cluster is"),
        ("eks", {"system": SYSTEM}, "target.eks.system.min_nodes: 5 is more than max_nodes, 4"),
        ("eks", {"network": ONE_SUBNET}, "target.eks.network.subnets: subnet-0123abcd lies in one zone, and is named"),
        ("eks", {"version": 1.30}, "target.eks.version: must be text, not a number"),
        ("eks", {"version": "135"}, "target.eks.version: must be a minor version as text"),
        ("eks", {"cluster": "mine", "administrators": None}, "target.eks.network: name the VPC and the subnets"),
    ],
)
def test_each_mistake_is_named_at_its_place(kind: str, changes: dict[str, Any], expected: str) -> None:
    (problem,) = problems(kind, **changes)
    assert problem.startswith(expected), problem


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gke", {"kms_key": GOOGLE_KEY.format("us-central1")}),
        ("gke", {"cluster": "mine"}),
        ("gke", {"cluster": {"stack": "organization/project/prod", "output": "name"}}),
        ("eks", {"kms_key": AWS_KEY.format("eu-central-1")}),
        ("eks", {"administrators": [ROLE.replace("role/", "role/path/to/")], "version": "1.35"}),
        ("eks", {"cluster": "My_Cluster-1", "administrators": None, "network": {
            "vpc": "vpc-0123abcd",
            "subnets": {"eu-central-1a": "subnet-0123abcd", "eu-central-1b": "subnet-0123abce"},
        }}),
    ],
)  # fmt: skip
def test_what_is_right_is_taken(kind: str, changes: dict[str, Any]) -> None:
    base = {"gke": GKE, "eks": EKS}[kind]
    part = {key: value for key, value in (base | changes).items() if value is not None}
    assert parse.stack({"target": {"kind": kind, kind: part}, "services": SERVICES}).target.makes_pools


def test_a_number_where_text_belongs_is_told_to_be_put_in_quotes() -> None:
    """1.30 without quotes is the number 1.3, and an account id may begin with 0."""
    with pytest.raises(Refused) as caught:
        parse.stack({"target": {"kind": "eks", "eks": EKS | {"version": 1.30}}, "services": SERVICES})
    assert caught.value.findings[0].remedy == "write it in quotes"
