"""Pools that a target makes: what is planned, what is refused before anything is registered, what a change replaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelberth import parse
from modelberth.errors import ModelberthError
from modelberth.lock import Settled, advice, settle
from modelberth.names import Capacity
from modelberth.pools import alone
from modelberth.spec import PoolSpec

GKE = {
    "project": "example-prod",
    "project_number": "123456789012",
    "region": "us-central1",
    "zones": ["us-central1-a", "us-central1-b"],
}
CHAT = {
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "context": 8192,
    "concurrency": 8,
    "typical_tokens": 3000,
    "pool": "l4",
    "weights": "hub",
}
DIGEST = "sha256:" + "0" * 64
COMMIT = "a09a35458c702b33eeacc393d103063234e8bc28"
PROD = {"replicas": 2, "image_digest": DIGEST, "model": {"id": CHAT["model"], "revision": COMMIT}}


def document(profile: str = "dev") -> dict[str, Any]:
    """A small stack that is planned without a remark that matters."""
    return {
        "target": {"kind": "gke", "gke": dict(GKE)},
        "defaults": {"profile": profile},
        "pools": {"l4": {"accelerators": ["nvidia-l4"], "max_nodes": 3}},
        "weights": {"hub": {"kind": "hub"}},
        "services": {"chat": CHAT | (PROD if profile == "prod" else {})},
    }


def settled(keys: dict[str, Any]) -> Settled:
    return settle(parse.stack(keys), {}, update=True)


def text_of(keys: dict[str, Any]) -> str:
    with pytest.raises(ModelberthError) as refused:
        settled(keys)
    return str(refused.value)


def l4(keys: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The same stack with fields of its pool."""
    return keys | {"pools": {"l4": keys["pools"]["l4"] | fields}}


def target(keys: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The same stack with fields of its target."""
    return keys | {"target": {"kind": "gke", "gke": GKE | fields}}


def chat(keys: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The same stack with fields of its service."""
    return keys | {"services": {"chat": keys["services"]["chat"] | fields}}


def two_nodes(keys: dict[str, Any]) -> dict[str, Any]:
    """A model that takes two nodes, on spot."""
    pool = {"accelerators": ["nvidia-h100-80gb"], "machine_types": ["a3-megagpu-8g"], "max_nodes": 2}
    zone = {"zones": ["us-central1-a"], "capacity": ["spot"]}
    large = {"model": {"id": "meta-llama/Llama-3.1-405B-Instruct", "revision": COMMIT}, "replicas": 1, "context": 4096}
    large |= {"tensor_parallel": 8, "pipeline_parallel": 2, "concurrency": 4, "quantization": "bf16"}
    filled = {"hub": {"kind": "existing-claim", "claim": "weights", "access_mode": "ReadOnlyMany"}}
    return chat(keys, **large) | {"pools": {"l4": pool | zone}, "weights": filled}


Change = Callable[[dict[str, Any]], dict[str, Any]]
BAD: dict[str, tuple[str, Change, tuple[str, ...]]] = {
    "a zone that does not sell the accelerator": (
        "dev",
        lambda keys: l4(
            target(keys, zones=["us-central1-f"]), machine_types=["g2-standard-8"], zones=["us-central1-f"]
        ),
        ("us-central1-f", "us-central1-a"),
    ),
    "a machine type that is not known": (
        "dev",
        lambda keys: l4(keys, machine_types=["g2-standard-9"]),
        ("pools.l4.machine_types", "unknown machine type 'g2-standard-9'", "'g2-standard-8'"),
    ),
    "a reservation of another machine type": (
        "dev",
        lambda keys: l4(
            keys,
            machine_types=["g2-standard-8"],
            capacity=["reservation"],
            reservation={"name": "march", "machine_type": "g2-standard-16"},
        ),
        ("pools.l4.reservation.machine_type", "march reserves g2-standard-16", "g2-standard-8"),
    ),
    "a reservation in another zone": (
        "dev",
        lambda keys: l4(
            keys,
            zones=["us-central1-a"],
            capacity=["reservation"],
            reservation={"name": "march", "zones": ["us-central1-b"]},
        ),
        ("pools.l4.zones", "march lies in us-central1-b", "zones: [us-central1-b]"),
    ),
    "capacity reservation without one": (
        "dev",
        lambda keys: l4(keys, capacity=["reservation"]),
        ("pools.l4.reservation", "belongs to capacity reservation"),
    ),
    "a machine that is not sold that way": (
        "dev",
        lambda keys: l4(
            keys, accelerators=["nvidia-h200-141gb"], machine_types=["a3-ultragpu-8g"], zones=["us-central1-b"]
        ),
        ("a3-ultragpu-8g", "on-demand", "spot"),
    ),
    "spot for a copy on several nodes, in prod": (
        "prod",
        two_nodes,
        ("pools.l4.capacity", "chat needs 2 nodes at once", "capacity: [reservation] or [on-demand]"),
    ),
    "spot alone for one replica, in prod": (
        "prod",
        lambda keys: l4(chat(keys, replicas=1), capacity=["spot"]),
        ("pools.l4.capacity", "nothing serves when its node is taken away", "floor: 1"),
    ),
    "a zone of another region": (
        "dev",
        lambda keys: target(keys, zones=["europe-west4-a"]),
        ("target.gke", "europe-west4-a lie outside region us-central1"),
    ),
    "a zone that the target does not name": (
        "dev",
        lambda keys: l4(keys, zones=["us-central1-c"]),
        ("pools.l4.zones", "us-central1-c", "not among the zones of the target"),
    ),
    "fewer nodes at most than at least": (
        "dev",
        lambda keys: l4(keys, min_nodes=4),
        ("pools.l4", "at most max_nodes, 3"),
    ),
    "limits of a zone instead of all of them": (
        "dev",
        lambda keys: l4(keys, max_nodes_per_zone=2),
        ("pools.l4.max_nodes_per_zone",),
    ),
    "two node pools of one name": (
        "dev",
        lambda keys: (
            l4(keys, capacity=["on-demand", "spot"])
            | {
                "pools": {
                    "l4": keys["pools"]["l4"] | {"capacity": ["on-demand", "spot"]},
                    "l4-spot": keys["pools"]["l4"] | {"machine_types": ["g2-standard-8"]},
                }
            }
        ),
        ("pools.l4: its nodes for spot would be called l4-spot, as pool l4-spot is",),
    ),
    "a budget for a machine whose price nobody knows": (
        "dev",
        lambda keys: (
            chat(keys, budget={"usd_per_hour": 5})
            | {
                "pools": {
                    "l4": {
                        "accelerators": ["nvidia-gb200"],
                        "machine_types": ["a4x-highgpu-4g"],
                        "max_nodes": 1,
                        "capacity": ["reservation"],
                        "reservation": {"name": "march"},
                    }
                }
            }
        ),
        ("services.chat.budget: no price is known for a4x-highgpu-4g", "drop the budget"),
    ),
    "a bucket whose name the cloud does not take": (
        "dev",
        lambda keys: keys | {"weights": {"hub": {"kind": "bucket", "bucket": "Our_Weights"}}},
        ("weights.hub.bucket", "Our_Weights"),
    ),
}
"""What somebody may ask for: the profile, how, and what the answer must say."""


@pytest.mark.parametrize("asked", BAD)
def test_what_cannot_be_had_is_refused_with_its_path_and_the_way_out(asked: str) -> None:
    profile, change, said = BAD[asked]
    text = text_of(change(document(profile)))
    assert all(each in text for each in said), text
    assert text.startswith("1 problem"), text


def test_the_small_stack_itself_is_fine_in_both_profiles() -> None:
    assert [pool.name for pool in settled(document()).pools] == ["l4"]
    assert not [each for each in settled(document("prod")).findings if each.level == "error"]


def relocked(**fields: Any) -> Settled:
    """The pool of a locked stack with other fields, in profile dev: what plan and preview say."""
    before = settled(document())
    return settle(parse.stack(l4(document(), **fields)), before.lock)


def test_a_change_that_replaces_a_pool_is_a_warning_before_anything_happens() -> None:
    (change,) = relocked(capacity=["spot"]).pool_changes
    assert change.replaces
    assert str(change) == (
        "pool l4: capacity on-demand -> spot: replaces it: a new pool is made, pods move, the old one goes"
    )
    (warned,) = (each for each in advice(relocked(capacity=["spot"])) if each.code == "pool-change")
    assert (warned.level, warned.path) == ("warning", "pools.l4")


@pytest.mark.parametrize("fields", [{"boot_disk_gib": 300}, {"zones": ["us-central1-a"]}], ids=str)
def test_a_change_in_place_is_a_note(fields: dict[str, Any]) -> None:
    found = relocked(**fields)
    assert found.pool_changes
    assert not any(change.replaces for change in found.pool_changes)
    assert {each.level for each in advice(found) if each.code == "pool-change"} == {"note"}


def test_limits_and_labels_of_a_pool_are_no_change_of_its_nodes() -> None:
    assert relocked(max_nodes=4, min_nodes=1).pool_changes == ()


def test_a_floor_has_its_nodes_before_the_way_that_is_tried_first() -> None:
    spec = PoolSpec(
        accelerators=("nvidia-l4",),
        machine_types=("g2-standard-8",),
        max_nodes=4,
        floor=1,
        capacity=(Capacity.SPOT, Capacity.ON_DEMAND),
    )
    pool = replace(alone("l4", spec, ("us-central1-a",)), needed_nodes=3)
    assert pool.nodes_by_way == {"l4-spot": 2, "l4-on-demand": 1}
    assert replace(pool, needed_nodes=0).nodes_by_way == {"l4-spot": 0, "l4-on-demand": 1}
