"""Stacks that no cloud could give: one problem each, at its field, with the way out; and stacks that are right."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from modelberth import parse
from modelberth.clouds.targets import maintained
from modelberth.findings import Finding, Level, Refused
from modelberth.lock import Settled, settle

CHAT = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 8192, "concurrency": 8, "typical_tokens": 3000, "pool": "l4"}
TARGETS: dict[str, dict[str, Any]] = {
    "gke": {
        "project": "example-dev",
        "project_number": "123456789012",
        "region": "us-central1",
        "zones": ["us-central1-a", "us-central1-b"],
    },
    "eks": {
        "account": "123456789012",
        "region": "us-east-1",
        "zones": ["us-east-1a", "us-east-1b"],
        "administrators": ["arn:aws:iam::123456789012:role/deployer"],
    },
}
TOKEN = "hf_" + "QwErTyUiOpAsDfGhJkLzXcVbNm12345678"
BLOCK = "cr-0123456789abcdef0"


def document(kind: str) -> dict[str, Any]:
    pool: dict[str, Any] = {"accelerators": ["nvidia-l4"], "max_nodes": 2}
    if kind == "existing":
        pool["machine_types"] = ["g2-standard-8"]
        target: dict[str, Any] = {"kind": kind, "node_labels": "gcp"}
    else:
        target = {"kind": kind, kind: deepcopy(TARGETS[kind])}
    return {"target": target, "pools": {"l4": pool}, "weights": {}, "services": {"chat": dict(CHAT)}}


def changed(kind: str, **changes: Any) -> dict[str, Any]:
    """The small stack with other fields: of its cluster, its pool, its service, or further weights."""
    keys = document(kind)
    keys["target"].get(kind, {}).update(changes.get("cluster", {}))
    keys["services"]["chat"] |= changes.get("chat", {})
    keys["weights"] |= changes.get("weights", {})
    pools = changes.get("pools", {"l4": keys["pools"]["l4"] | changes.get("pool", {})})
    return keys | {"pools": pools} | ({"pools": {}} if changes.get("pools") == {} else {})


def problems(keys: dict[str, Any]) -> tuple[Finding, ...]:
    with pytest.raises(Refused) as refused:
        settled(keys)
    return refused.value.findings


def settled(keys: dict[str, Any]) -> Settled:
    return settle(parse.stack(keys), {}, update=True)


@dataclass(frozen=True)
class Bad:
    """What is asked of whom, and what is said: where, what, and the way out."""

    kind: str
    path: str
    message: str
    remedy: str
    changes: dict[str, Any]


def bad(kind: str, path: str, message: str, remedy: str, **changes: Any) -> Bad:
    return Bad(kind, path, message, remedy, changes)


CASES = {
    "zones of the target without the accelerator": bad(
        "gke",
        "target.gke.zones",
        "no machine with nvidia-l4 can be had so: g2-standard-4 and 7 more are sold in us-central1-a",
        "zones of us-central1 with one: us-central1-a, us-central1-b, us-central1-c",
        cluster={"zones": ["us-central1-f"]},
    ),
    "zones of the pool without the accelerator": bad(
        "gke",
        "pools.l4.zones",
        "no machine with nvidia-l4 can be had so",
        "zones of us-central1 with one: us-central1-a",
        cluster={"zones": ["us-central1-f"]},
        pool={"zones": ["us-central1-f"]},
    ),
    "one zone of two without the machine type": bad(
        "gke",
        "target.gke.zones[0]",
        "us-central1-f does not sell a3-highgpu-8g",
        "the zones of us-central1 with it: us-central1-a",
        cluster={"zones": ["us-central1-f"]},
        pool={"accelerators": ["nvidia-h100-80gb"], "machine_types": ["a3-highgpu-8g"]},
    ),
    "a region without the accelerator, on GKE": bad(
        "gke",
        "target.gke.zones",
        "g2-standard-4 and 7 more are not sold in me-central1",
        "regions with one: asia-east1",
        cluster={"region": "me-central1", "zones": ["me-central1-a"]},
    ),
    "a region without the accelerator, on EKS": bad(
        "eks",
        "target.eks.zones",
        "no machine with nvidia-b200 can be had so",
        "regions with one: ",
        cluster={"region": "eu-south-1", "zones": ["eu-south-1a", "eu-south-1b"]},
        pool={"accelerators": ["nvidia-b200"], "capacity": ["spot"]},
    ),
    "a zone of another region for a pool, on GKE": bad(
        "gke",
        "pools.l4.zones[0]",
        "us-east1-b is not among the zones of the target",
        "some of us-central1-a, us-central1-b, in us-central1",
        pool={"zones": ["us-east1-b", "us-central1-a"]},
    ),
    "a zone of another region for a pool, on EKS": bad(
        "eks",
        "pools.l4.zones[0]",
        "us-west-2a is not among the zones of the target",
        "some of us-east-1a, us-east-1b, in us-east-1",
        pool={"zones": ["us-west-2a"]},
    ),
    "an accelerator that the cloud does not have": bad(
        "gke",
        "pools.l4.accelerators",
        "no machine type of gke has apple-m2-max-32gb",
        "some of cpu, nvidia-a100-40gb",
        pool={"accelerators": ["apple-m2-max-32gb"]},
    ),
    "Amazon's machine at Google": bad(
        "gke",
        "pools.l4.machine_types",
        "g6.xlarge is no machine type of gke",
        "one with nvidia-l4 there: g2-standard-4",
        pool={"machine_types": ["g6.xlarge"]},
    ),
    "Google's machine at Amazon": bad(
        "eks",
        "pools.l4.machine_types",
        "g2-standard-8 is no machine type of eks",
        "one with nvidia-l4 there: g6.xlarge",
        pool={"machine_types": ["g2-standard-8"]},
    ),
    "Amazon's machine in a cluster whose nodes Google labels": bad(
        "existing",
        "pools.l4.machine_types",
        "g6.xlarge is no machine type of the cloud that labels nodes as gcp",
        "or node_labels as its nodes have them",
        pool={"machine_types": ["g6.xlarge"]},
    ),
    "a way that no machine of the accelerator is sold in": bad(
        "eks",
        "pools.l4.capacity",
        "no machine with nvidia-l4 can be had so: g6.xlarge and 13 more cannot be had as flex-start",
        "ways to have one: reservation, on-demand, spot",
        pool={"capacity": ["flex-start"]},
    ),
    "Amazon's machine for the system of GKE": bad(
        "gke",
        "target.gke.system.machine_type",
        "m7i.xlarge is no machine type of gke",
        "leave it out",
        cluster={"system": {"machine_type": "m7i.xlarge"}},
    ),
    "Google's machine for the system of EKS": bad(
        "eks",
        "target.eks.system.machine_type",
        "n2-standard-4 is no machine type of eks",
        "leave it out",
        cluster={"system": {"machine_type": "n2-standard-4"}},
    ),
    "a machine with GPUs for what is not a model": bad(
        "eks",
        "target.eks.system.machine_type",
        "p5.48xlarge has nvidia-h100-80gb, and these nodes are for what is not a model",
        "leave it out",
        cluster={"system": {"machine_type": "p5.48xlarge"}},
    ),
    "a reservation in another region, on GKE": bad(
        "gke",
        "pools.l4.reservation.zones",
        "march lies in us-west1-a, and the pool in us-central1",
        "a reservation in us-central1",
        pool={"capacity": ["reservation"], "reservation": {"name": "march", "zones": ["us-west1-a"]}},
    ),
    "a reservation in another region, on EKS": bad(
        "eks",
        "pools.l4.reservation.zones",
        f"{BLOCK} lies in us-west-2a, and the pool in us-east-1",
        "a reservation in us-east-1",
        pool={"capacity": ["reservation"], "reservation": {"name": BLOCK, "zones": ["us-west-2a"]}},
    ),
    "a reservation by a name that no reservation of Google has": bad(
        "gke",
        "pools.l4.reservation.name",
        "is no reservation's name",
        "projects/PROJECT/reservations/NAME",
        pool={"capacity": ["reservation"], "reservation": {"name": "Réserve 1"}},
    ),
    "a reservation by name at Amazon, which has ids": bad(
        "eks",
        "pools.l4.reservation.name",
        "is no reservation's id",
        BLOCK,
        pool={"zones": ["us-east-1a"], "capacity": ["reservation"], "reservation": {"name": "march"}},
    ),
    "a block of capacity at Google": bad(
        "gke",
        "pools.l4.reservation.block",
        "as those of any reservation",
        "leave it out",
        pool={"capacity": ["reservation"], "reservation": {"name": "march", "block": True}},
    ),
    "a volume in another region, and pools left to the plan": bad(
        "gke",
        "weights.w.zones",
        "its volume is attached in us-west1-a, its service is in us-central1-a, us-central1-b",
        "a volume in us-central1, or weights of another kind",
        pools={},
        chat={"pool": None, "weights": "w"},
        weights={"w": {"kind": "existing-claim", "claim": "models", "zones": ["us-west1-a"]}},
    ),
    "a volume in another zone of the region": bad(
        "eks",
        "weights.w.zones",
        "its volume is attached in us-east-1c, pool l4 is in us-east-1a, us-east-1b",
        "zones: [us-east-1c] of the pool",
        chat={"weights": "w"},
        weights={"w": {"kind": "existing-claim", "claim": "models", "zones": ["us-east-1c"]}},
    ),
    "an accelerator that the cloud does not have, for a service without pools": bad(
        "gke",
        "services.chat.accelerators",
        "no machine type of gke has nvidia-a10g",
        "some of cpu, nvidia-a100-40gb",
        pools={},
        chat={"pool": None, "accelerators": ["nvidia-a10g"]},
    ),
    "weights for services to come, of a kind that is left open": bad(
        "eks",
        "weights.w.kind",
        "no service uses it, so there is nothing to choose it by",
        "kind: bucket",
        weights={"w": {"kind": "auto"}},
    ),
    "a claim for services to come, without a size": bad(
        "gke",
        "weights.w.size_gib",
        "no service uses it that would say how much it needs",
        "size_gib: N",
        weights={"w": {"kind": "claim"}},
    ),
    "a bucket for services to come, on a cluster that has none": bad(
        "existing",
        "weights.w.kind",
        "kind bucket: what a target of kind existing has of it is not known",
        "kind: claim",
        weights={"w": {"kind": "bucket"}},
    ),
    "a bucket for services to come, whose name the cloud does not take": bad(
        "gke",
        "weights.w.bucket",
        "BAD is no bucket's name",
        "a bucket of another name",
        weights={"w": {"kind": "bucket", "bucket": "BAD"}},
    ),
    "limits of nodes that exist": bad(
        "gke",
        "pools.l4.min_nodes",
        "with create: false they exist already",
        "leave it out",
        pool={"create": False, "machine_types": ["g2-standard-8"], "min_nodes": 1},
    ),
    "a boot disk that does not even hold what pods write": bad(
        "gke",
        "pools.l4.boot_disk_gib",
        "a node with 20 GiB gives pods ",
        "boot_disk_gib: 140",
        pool={"boot_disk_gib": 20},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_problem_is_said_once_at_its_field_with_the_way_out(case: str) -> None:
    asked = CASES[case]
    (finding,) = problems(changed(asked.kind, **asked.changes))
    assert finding.path == asked.path
    assert asked.message in finding.message
    assert asked.remedy in finding.remedy


def test_a_boot_disk_without_room_for_images_is_a_warning() -> None:
    (finding,) = (each for each in settled(changed("gke", pool={"boot_disk_gib": 100})).findings if each.code == "pool")
    assert (finding.path, finding.level) == ("pools.l4.boot_disk_gib", Level.WARNING)
    assert finding.remedy == "boot_disk_gib: 140, or leave it out"


def test_a_boot_disk_of_a_node_whose_own_disks_hold_what_pods_write_may_be_small() -> None:
    made = settled(changed("eks", pool={"boot_disk_gib": 30, "machine_types": ["g6.2xlarge"]}))
    assert [each for each in made.findings if each.code == "pool"] == []


@pytest.mark.parametrize("kind", ["gke", "eks", "existing"])
@pytest.mark.parametrize(
    "changes",
    [
        {"pool": {"machine_types": [TOKEN]}},
        {"pool": {"zones": [TOKEN]}},
        {"pool": {"accelerators": [TOKEN]}},
        {"pool": {TOKEN: 1}},
        {"chat": {"pool": TOKEN}},
        {"chat": {"weights": "w"}, "weights": {"w": {"kind": "bucket", "bucket": TOKEN}}},
    ],
    ids=str,
)
def test_a_token_in_a_wrong_place_is_not_shown(kind: str, changes: dict[str, Any]) -> None:
    try:
        shown = "\n".join(map(str, settled(changed(kind, **changes)).findings))
    except Refused as refused:
        shown = str(refused)
    assert TOKEN[8:16].lower() not in shown.lower()


@pytest.mark.parametrize(
    ("kind", "cluster", "path"),
    [
        ("gke", {"system": {"machine_type": "n2-standard-5"}}, "target.gke.system.machine_type"),
        ("eks", {"system": {"machine_type": "m7i.xlagre"}}, "target.eks.system.machine_type"),
        ("eks", {"version": "1.99"}, "target.eks.version"),
    ],
)
def test_what_nobody_knows_is_a_warning_and_never_silent(kind: str, cluster: dict[str, Any], path: str) -> None:
    (finding,) = (each for each in settled(changed(kind, cluster=cluster)).findings if each.path == path)
    assert finding.level is Level.WARNING
    assert "known" in finding.message


def test_no_region_of_one_cloud_is_suggested_for_that_of_another() -> None:
    cluster = {"region": "us-south-7", "zones": ["us-south-7a", "us-south-7b"]}
    said = [str(each) for each in settled(changed("eks", cluster=cluster)).findings if "us-south-7a" in each.message]
    assert said
    assert not any("us-south1" in each for each in said)


def test_a_version_out_of_support_is_told_together_with_all_else() -> None:
    stack = parse.stack(changed("eks", cluster={"version": "1.30"}, pool={"machine_types": ["g2-standard-8"]}))
    with pytest.raises(Refused) as refused:
        settle(stack, {}, found=maintained(stack.target, date(2026, 11, 28)))
    assert [each.path for each in refused.value.findings] == ["target.eks.version", "pools.l4.machine_types"]


RIGHT: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing special, on GKE": ("gke", {}),
    "nothing special, on EKS": ("eks", {}),
    "pools left to the plan": ("gke", {"pools": {}, "chat": {"pool": None}}),
    "one zone of the target sells the accelerator": ("gke", {"cluster": {"zones": ["us-central1-a", "us-central1-f"]}}),
    "a reservation that is shared, in its zone": (
        "gke",
        {"pool": {
            "zones": ["us-central1-a"],
            "capacity": ["reservation", "on-demand"],
            "reservation": {"name": "projects/other-one/reservations/march", "zones": ["us-central1-a"]},
        }},
    ),
    "a reservation by its id": (
        "eks",
        {"pool": {
            "zones": ["us-east-1a"],
            "capacity": ["reservation", "spot"],
            "reservation": {"name": BLOCK, "zones": ["us-east-1a"], "machine_type": "g6.xlarge"},
        }},
    ),
    "an own machine for the system": ("gke", {"cluster": {"system": {"machine_type": "e2-standard-8"}}}),
    "a system on ARM": ("eks", {"cluster": {"system": {"machine_type": "m7g.xlarge", "min_nodes": 2}}}),
    "a volume where its readers are": (
        "eks",
        {
            "pool": {"zones": ["us-east-1a"]},
            "chat": {"weights": "w"},
            "weights": {"w": {"kind": "existing-claim", "claim": "models", "zones": ["us-east-1a", "us-east-1b"]}},
        },
    ),
    "a volume where all of the target is": (
        "gke",
        {
            "pools": {},
            "chat": {"pool": None, "weights": "w"},
            "weights": {"w": {"kind": "existing-claim", "claim": "models", "zones": TARGETS["gke"]["zones"]}},
        },
    ),
    "spot with a floor": ("eks", {"pool": {"capacity": ["on-demand", "spot"], "floor": 1, "min_nodes": 1}}),
    "a way that only some machines are sold in": ("gke", {"pool": {"capacity": ["flex-start"]}}),
    "weights for services to come": ("eks", {"weights": {
        "bucket": {"kind": "bucket"},
        "claim": {"kind": "claim", "size_gib": 50},
    }}),
    "nodes of a managed cluster that exist": ("gke", {"pool": {"create": False, "machine_types": ["g2-standard-8"]}}),
    "nodes that exist": ("existing", {}),
}  # fmt: skip


@pytest.mark.parametrize("asked", RIGHT)
def test_what_can_be_had_is_not_refused(asked: str) -> None:
    kind, changes = RIGHT[asked]
    made = settled(changed(kind, **changes))
    assert [plan.service for plan in made.plans] == ["chat"]
    assert not [finding for finding in made.findings if finding.level is Level.ERROR]
