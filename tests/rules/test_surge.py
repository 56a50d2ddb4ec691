"""Rollouts and autoscalers against the pools of a stack: the largest that has a place, and one more."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth.findings import Nature
from modelberth.inventory import Inventory
from modelberth.observed import UNKNOWN
from modelberth.resources import Resource
from modelberth.rules import capacity
from modelberth.rules.base import Settings
from modelberth.rules.capacity import GpuPool
from tests.rules.cases import type_of
from tests.rules.cases.rollout import group, rolling, served
from tests.rules.cases.scaling import hpa
from tests.rules.samples import GKE, rule, vllm

L4_POOL = GpuPool("l4", frozenset({"nvidia-l4"}), gpus_per_node=1, most_nodes=4)


def said(monkeypatch: pytest.MonkeyPatch, rule_id: str, *there: dict[str, Any], pools: Any = (L4_POOL,)) -> list[Any]:
    monkeypatch.setattr(capacity, "gpu_capacity", lambda inventory: pools)
    asked = rule(rule_id)
    found = Inventory(tuple(Resource(type_of(each), f"r{i}", each) for i, each in enumerate(there)))
    return [finding for _, finding in asked.over(found, Settings(values=asked.defaults))]


def one(monkeypatch: pytest.MonkeyPatch, rule_id: str, *there: dict[str, Any]) -> Any:
    (finding,) = said(monkeypatch, rule_id, *there)
    return finding


def test_a_surge_that_has_a_place_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, "SZ-17", served(replicas=3)) == []


def test_one_replica_more_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = one(monkeypatch, "SZ-17", served(rolling("25%", 0), replicas=4))
    assert "4 replicas and one more need 5 GPUs, the pools l4 have at most 4" in finding.message
    assert finding.remedy.startswith("maxSurge: 0 and maxUnavailable: 1")


def test_the_default_lets_one_of_four_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, "SZ-17", served(replicas=4)) == []


def test_the_default_lets_none_of_three_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = (GpuPool("l4", frozenset({"nvidia-l4"}), gpus_per_node=1, most_nodes=3),)
    assert said(monkeypatch, "SZ-17", served(replicas=3), pools=smaller)


def test_other_services_take_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    other = served(rolling(0, 1), replicas=2) | {"metadata": {"name": "other"}}
    finding = one(monkeypatch, "SZ-17", served(rolling(1, 0), replicas=2), other)
    assert "beside 2 of other services" in finding.message


def test_an_unknown_strategy_is_open_where_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = rolling(1, 0) | {"type": UNKNOWN}
    assert one(monkeypatch, "SZ-17", served(strategy, replicas=4)).nature is Nature.UNDECIDED
    assert said(monkeypatch, "SZ-17", served(strategy, replicas=3)) == []


def test_an_unknown_number_of_replicas_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(monkeypatch, "SZ-17", served(rolling(1, 0), replicas=UNKNOWN)).nature is Nature.UNDECIDED


def test_gpus_left_over_on_two_nodes_are_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = served(rolling(1, 0), replicas=2, containers=[vllm(gpus=5)], nodeSelector={GKE: "nvidia-h100-80gb"})
    pools = (GpuPool("h100", frozenset({"nvidia-h100-80gb"}), gpus_per_node=8, most_nodes=2),)
    assert said(monkeypatch, "SZ-17", wide, pools=pools)


def test_groups_surge_as_wholes(monkeypatch: pytest.MonkeyPatch) -> None:
    four = group(maxSurge=1, maxUnavailable=0)
    four["spec"]["replicas"] = 4
    assert one(monkeypatch, "SZ-17", four)


@pytest.mark.parametrize(
    "pools",
    [
        (),
        (GpuPool("unknown"),),
        (GpuPool("l4", frozenset({"nvidia-l4"}), 1, None),),
        (GpuPool("l4", frozenset({"nvidia-l4"}), None, 4),),
        (GpuPool("h100", frozenset({"nvidia-h100-80gb"}), 8, 1),),
        (L4_POOL, GpuPool("unknown")),
    ],
)
def test_what_pools_do_not_tell_is_not_said(monkeypatch: pytest.MonkeyPatch, pools: Any) -> None:
    assert said(monkeypatch, "SZ-17", served(rolling(1, 0), replicas=9), pools=pools) == []
    assert said(monkeypatch, "SZ-15", served(), hpa(most=9), pools=pools) == []


def test_a_maximum_that_the_pools_hold_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, "SZ-15", served(), hpa(most=4)) == []


def test_a_maximum_beyond_the_pools_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = one(monkeypatch, "SZ-15", served(), hpa(most=5))
    assert finding.message == "5 replicas need 5 GPUs, the pools l4 have at most 4, for 4 replicas"
    assert finding.remedy == "at most 4 replicas, or more nodes in a pool"
