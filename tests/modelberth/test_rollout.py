"""Rollouts surge only where one more replica has a place, and say what users notice."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth.errors import ModelberthError
from modelberth.lock import settle
from modelberth.rollout import Rollout
from tests.modelberth.samples import EKS, stack_with

L4 = {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"]}
L4X2 = {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-24"]}
HUB = {"w": {"kind": "hub"}}
SHARED = {"w": {"kind": "claim", "size_gib": 40, "access_mode": "ReadWriteMany"}}
CHAT = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 4096, "concurrency": 4, "pool": "gpus", "weights": "w"}


def rolled(pool: dict[str, Any], max_nodes: int, weights: Any = HUB, **services: Any) -> dict[str, Rollout]:
    stack = stack_with(
        {name: CHAT | own for name, own in services.items()},
        pools={"gpus": pool | {"max_nodes": max_nodes}},
        weights=weights,
    )
    return {plan.service: plan.rollout for plan in settle(stack, {}).plans}


def test_a_new_replica_starts_first_where_the_pool_has_a_spare_node() -> None:
    made = rolled(L4, 2, chat={})["chat"]
    assert (made.max_surge, made.max_unavailable) == (1, 0)
    assert "another node of pool gpus" in made.why


def test_the_only_replica_goes_first_where_there_is_no_spare_gpu_and_the_plan_says_for_how_long() -> None:
    made = rolled(L4, 1, chat={})["chat"]
    assert (made.max_surge, made.max_unavailable) == (0, 1)
    assert "the only replica stops before the new one starts, down about" in made.why


def test_of_several_replicas_without_a_spare_one_goes_at_a_time_and_the_others_serve() -> None:
    made = rolled(L4, 3, chat={"replicas": 3})["chat"]
    assert (made.max_surge, made.max_unavailable) == (0, 1)
    assert "2 of 3 replicas serve" in made.why


def test_a_free_gpu_of_the_same_node_is_a_place() -> None:
    assert "a free GPU of its node" in rolled(L4X2, 1, SHARED, chat={"tensor_parallel": 1})["chat"].why


def test_a_node_that_another_service_takes_is_no_spare() -> None:
    made = rolled(L4, 2, chat={}, draft={})
    assert [each.max_surge for each in made.values()] == [0, 0]


@pytest.mark.parametrize(
    ("provisioner", "more", "surge"),
    [
        ("groups", {}, 0),
        ("groups", {"min_nodes": 2}, 1),
        ("groups", {"create": False}, 1),
        ("karpenter", {}, 1),
    ],
)
def test_a_pool_of_a_number_of_nodes_has_a_spare_only_where_one_is_kept(
    provisioner: str, more: dict[str, Any], surge: int
) -> None:
    pool = {"accelerators": ["nvidia-l40s"], "machine_types": ["g6e.2xlarge"], "max_nodes": 3, **more}
    made = settle(
        stack_with(
            {"chat": CHAT},
            target={**EKS, "eks": {**EKS["eks"], "provisioner": provisioner}},
            pools={"gpus": pool},
            weights=HUB,
        ),
        {},
    )
    assert [plan.rollout.max_surge for plan in made.plans] == [surge]


def test_a_volume_that_one_node_holds_lets_no_second_node_start() -> None:
    own = {"w": {"kind": "claim", "size_gib": 40}}
    assert rolled(L4, 2, own, chat={})["chat"].max_surge == 0
    assert rolled(L4, 2, SHARED, chat={})["chat"].max_surge == 1


def test_replicas_that_must_not_share_a_node_count_one_node_each() -> None:
    stack = stack_with(
        {"chat": CHAT | {"replicas": 2, "spread": "nodes", "tensor_parallel": 1}},
        pools={"gpus": L4X2 | {"max_nodes": 2}},
        weights=SHARED,
    )
    assert [plan.nodes for plan in settle(stack, {}).plans] == [2]


def test_replicas_over_zones_need_a_pool_with_zones() -> None:
    wanted = {"chat": CHAT | {"replicas": 2, "spread": "zones"}}
    one = stack_with(wanted, pools={"gpus": L4 | {"max_nodes": 2, "zones": ["a"]}}, weights=HUB)
    with pytest.raises(ModelberthError, match="no pool states two zones"):
        settle(one, {})
    two = stack_with(wanted, pools={"gpus": L4 | {"max_nodes": 2, "zones": ["a", "b"]}}, weights=HUB)
    assert settle(two, {}).plans
