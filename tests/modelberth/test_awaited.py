"""Secrets that nobody could make before the first update: what the plan says of each."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth import parse, report
from modelberth.findings import Finding
from modelberth.lock import Locked, Settled, settle
from tests.modelberth.samples import document, stack_document

GKE = {
    "kind": "gke",
    "namespace": "models",
    "gke": {
        "project": "example-dev",
        "project_number": "123456789012",
        "region": "us-central1",
        "zones": ["us-central1-a"],
    },
}
EKS = {
    "kind": "eks",
    "namespace": "models",
    "eks": {
        "account": "123456789012",
        "region": "us-east-1",
        "zones": ["us-east-1a", "us-east-1b"],
        "administrators": ["arn:aws:iam::123456789012:role/deployer"],
    },
}
POOLS = {"l4": {"accelerators": ["nvidia-l4"], "max_nodes": 2}}
DOOR: dict[str, Any] = {
    "kind": "ingress",
    "controller": "other",
    "ranges_enforced_by": "a firewall",
    "class_name": "theirs",
    "host": "chat.example.com",
    "tls_secret": "chat-tls",
    "source_ranges": ["203.0.113.0/24"],
    "proxy_namespace": "edge",
}


def settled_of(target: dict[str, Any], services: dict[str, Any] | None = None, **fields: Any) -> Settled:
    chat = document(pool="l4", concurrency=3, token={"secret": "hub"}) | fields
    keys = {"target": target, "pools": POOLS, "weights": {"hub": {"kind": "hub"}}}
    return settle(parse.stack(stack_document({"chat": chat} | (services or {}), **keys)), Locked({}))


def notes(*args: Any, **fields: Any) -> list[Finding]:
    return [each for each in settled_of(*args, **fields).findings if each.code == "secret"]


@pytest.mark.parametrize("target", [GKE, EKS], ids=["gke", "eks"])
def test_a_plan_says_which_secret_its_download_waits_for_how_long_and_what_makes_it(target: dict[str, Any]) -> None:
    settled = settled_of(target)
    (note,) = [each for each in settled.findings if each.code == "secret"]
    assert (note.level, note.path) == ("note", "services.chat.token")
    assert "Secret hub with key token must be made by you in namespace models, which this stack makes" in note.message
    assert (
        "the pod of chat's download Job stays in ContainerCreating and goes on by itself, within 34 min" in note.message
    )
    assert "kubectl create secret generic hub --namespace models --from-file=token=FILE" in note.remedy
    assert note.message in report.as_text(settled)


def test_pods_that_take_a_secret_as_a_variable_wait_in_another_state_and_as_long_as_their_rollout() -> None:
    (token, key) = notes(GKE, api_key={"secret": "api", "key": "key"})
    assert token.path == "services.chat.token"
    assert "pods of chat stay in CreateContainerConfigError and go on by themselves" in key.message
    assert "the update waits 18 min for them" in key.message


def test_pods_that_download_for_themselves_wait_for_the_hubs_token() -> None:
    (note,) = notes(GKE, weights="hub")
    assert "pods of chat stay in CreateContainerConfigError" in note.message
    assert "download Job" not in note.message


def test_a_door_without_its_certificate_holds_nobody_up() -> None:
    (door,) = [each for each in notes(GKE, expose=DOOR, api_key={"secret": "api"}) if "tls" in each.path]
    assert "Secret chat-tls with keys tls.crt and tls.key" in door.message
    assert door.message.endswith("until it is there: the door of chat has no certificate")
    assert "kubectl create secret tls chat-tls --namespace models --cert=FILE --key=FILE" in door.remedy


def test_a_secret_that_two_services_name_is_one_note_with_both() -> None:
    second = document(pool="l4", concurrency=3, token={"secret": "hub", "key": "other"})
    (note,) = notes(GKE, {"draft": second})
    assert note.path == "services.chat.token, services.draft.token"
    assert "with keys token and other" in note.message
    assert "secret generic hub --namespace models --from-file=token=FILE --from-file=other=FILE:" in note.remedy
    assert "chat's download Job" in note.message
    assert "draft's download Job" in note.message


def test_no_secret_no_note() -> None:
    assert notes(GKE, token=None) == []


@pytest.mark.parametrize(("asks", "count"), [(True, 0), (False, 1)])
def test_a_cluster_that_is_asked_for_its_secrets_needs_no_note(asks: bool, count: int) -> None:
    chat = document(pool="l4", concurrency=3, token={"secret": "hub"})
    pools = {"l4": POOLS["l4"] | {"machine_types": ["g2-standard-8"]}}
    target = {"kind": "existing", "node_labels": "gcp", "preflight": asks}
    settled = settle(parse.stack(stack_document({"chat": chat}, target=target, pools=pools)), Locked({}))
    assert len([each for each in settled.findings if each.code == "secret"]) == count
