"""Keys are made where something that is made uses them, and readers of a bucket use its key and no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from modelberth import parse
from modelberth.lock import settle
from tests.components.eks_cases import EKS, L40S, NETWORK, SERVICE, Recorded, recorded

GKE = {"project": "example-dev", "project_number": "123456789012", "region": "us-central1", "zones": ["us-central1-a"]}
L4 = {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 4}
GOOGLE_KEY = "projects/example-dev/locations/us-central1/keyRings/models/cryptoKeys/models"
KEY = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
FOUND = {key: EKS[key] for key in ("account", "region", "zones")} | {"cluster": "theirs", "network": NETWORK}
MADE, THEIRS = {"kind": "bucket"}, {"kind": "bucket", "bucket": "models-of-theirs"}
CLAIM = {"kind": "claim", "size_gib": 40, "access_mode": "ReadWriteMany"}


def stack(kind: str, target: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    pool = {"gke": ("l4", L4), "eks": ("l40s", L40S)}[kind]
    return {
        "target": {"kind": kind, kind: dict(target)},
        "pools": dict([pool]),
        "weights": {"files": dict(weights)},
        "services": {"chat": {**SERVICE, "pool": pool[0]}},
    }


STACKS = {
    "gke, all theirs": stack("gke", {**GKE, "cluster": "theirs"}, THEIRS),
    "gke, all theirs with a key": stack("gke", {**GKE, "cluster": "theirs", "kms_key": GOOGLE_KEY}, THEIRS),
    "gke, a claim": stack("gke", {**GKE, "cluster": "theirs"}, CLAIM),
    "gke, a bucket": stack("gke", {**GKE, "cluster": "theirs"}, MADE),
    "gke, a cluster": stack("gke", GKE, THEIRS),
    "eks, all theirs": stack("eks", FOUND, THEIRS),
    "eks, a claim": stack("eks", FOUND, CLAIM),
    "eks, a bucket": stack("eks", FOUND, MADE),
    "eks, a cluster": stack("eks", EKS, THEIRS),
    "eks, their key": stack("eks", {**FOUND, "kms_key": KEY}, THEIRS),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    return recorded(tmp_path_factory.mktemp("stacks"), STACKS)


def keys(of: Recorded) -> list[str]:
    return sorted(each.rpartition(":")[2] for each in of.types if ":kms/" in each)


@pytest.mark.parametrize("case", STACKS)
def test_the_bill_has_a_key_where_one_is_made(found: dict[str, Recorded], case: str) -> None:
    spec = parse.stack(STACKS[case])
    billed = [each for each in settle(spec, {}).bill.costs if each.component == "encryption key"]
    assert bool(billed) is bool(keys(found[case]))


def opens(of: Recorded, role: str) -> list[dict[str, Any]]:
    """Statements about keys of a role's policy."""
    policy = json.loads(of.inputs("aws:iam/rolePolicy:RolePolicy", role)["policy"])
    return [each for each in policy["Statement"] if each["Action"][0].startswith("kms:")]


@pytest.mark.parametrize(
    "case", ["gke, all theirs", "gke, all theirs with a key", "gke, a claim", "eks, all theirs", "eks, a claim"]
)
def test_no_key_is_made_and_none_granted_where_nothing_that_is_made_uses_one(
    case: str, found: dict[str, Recorded]
) -> None:
    assert keys(found[case]) == []


def test_a_bucket_that_is_made_brings_its_key_and_the_grant_for_buckets_alone(found: dict[str, Recorded]) -> None:
    assert keys(found["gke, a bucket"]) == ["CryptoKey", "CryptoKeyIAMMember", "KeyRing"]
    assert list(found["gke, a bucket"].all("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember")) == ["target-key-weights"]
    assert keys(found["eks, a bucket"]) == ["Alias", "Key"]


def test_a_cluster_that_is_made_brings_its_key(found: dict[str, Recorded]) -> None:
    assert keys(found["gke, a cluster"]) == ["CryptoKey", "CryptoKeyIAMMember", "CryptoKeyIAMMember", "KeyRing"]
    assert keys(found["eks, a cluster"]) == ["Alias", "Key"]


@pytest.mark.parametrize("case", ["eks, all theirs", "eks, a cluster"])
def test_a_bucket_that_exists_is_opened_by_no_key_that_it_was_not_encrypted_with(
    case: str, found: dict[str, Recorded]
) -> None:
    assert opens(found[case], "chat-reader") == []
    assert opens(found[case], "chat-fetch-writer") == []


def test_a_key_that_is_named_opens_a_bucket_that_exists(found: dict[str, Recorded]) -> None:
    (reader,), (writer,) = (opens(found["eks, their key"], role) for role in ("chat-reader", "chat-fetch-writer"))
    assert (reader["Action"], reader["Resource"]) == (["kms:Decrypt"], [KEY])
    assert (writer["Action"], writer["Resource"]) == (["kms:Decrypt", "kms:GenerateDataKey"], [KEY])
    assert keys(found["eks, their key"]) == []


def test_readers_of_a_bucket_that_is_made_use_its_key(found: dict[str, Recorded]) -> None:
    (statement,) = opens(found["eks, a bucket"], "chat-reader")
    assert "kms:ResourceAliases" in str(statement["Condition"])
