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
        ("gke", {"zones": ["europe-west4-a"]}, "target.gke: zones: europe-west4-a lie outside region us-central1"),
        ("gke", {"zones": []}, "target.gke.zones: must not be empty"),
        ("gke", {"cluster": "mine", "release_channel": "RAPID"}, "target.gke: release_channel: belongs to a cluster"),
        ("gke", {"zone": "us-central1-a"}, "target.gke.zone: unknown key; did you mean 'zones'?"),
        ("eks", {"account": "1111"}, "target.eks.account: must be an account id"),
        ("eks", {"zones": ["eu-central-1a"]}, "target.eks: zones: a cluster that is made has subnets in at least two"),
        ("eks", {"zones": ["us-east-1a", "us-east-1b"]}, "target.eks: zones: us-east-1a, us-east-1b lie outside"),
        ("eks", {"administrators": []}, "target.eks: administrators: name the role that deploys"),
        ("eks", {"administrators": ["me"]}, "target.eks.administrators[0]: must be an ARN"),
        ("eks", {"version": "135"}, "target.eks.version: must be a minor version as text"),
        ("eks", {"cluster": "mine", "administrators": None}, "target.eks: network: name the VPC and the subnets"),
    ],
)
def test_each_mistake_is_named_at_its_place(kind: str, changes: dict[str, Any], expected: str) -> None:
    (problem,) = problems(kind, **changes)
    assert problem.startswith(expected), problem
