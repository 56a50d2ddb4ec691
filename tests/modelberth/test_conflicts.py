"""What services of one stack cannot have together, and what weights may be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth import parse
from modelberth.findings import Refused
from modelberth.lock import settle
from modelberth.spec import StackSpec

QWEN = "Qwen/Qwen2.5-7B-Instruct"
POOLS = {
    "l4": {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 4},
    "cpu": {"accelerators": ["cpu"], "machine_types": ["c3-standard-8"], "max_nodes": 2},
}


def stack(weights: dict[str, Any], **services: dict[str, Any]) -> StackSpec:
    base = {"model": QWEN, "context": 4096, "concurrency": 2}
    named = {name: base | fields for name, fields in services.items()}
    return parse.stack({"target": {"kind": "existing"}, "pools": POOLS, "weights": weights, "services": named})


def problems(weights: dict[str, Any], **services: dict[str, Any]) -> str:
    with pytest.raises(Refused) as refused:
        settle(stack(weights, **services), {})
    return str(refused.value)


def test_two_services_cannot_share_a_volume_that_attaches_to_one_node() -> None:
    text = problems(
        {"w": {"kind": "claim", "size_gib": 100}}, a={"pool": "l4", "weights": "w"}, b={"pool": "cpu", "weights": "w"}
    )
    assert "weights.w.access_mode: a and b cannot share a ReadWriteOnce volume" in text


def test_two_services_share_a_volume_that_many_nodes_may_write() -> None:
    store = {"kind": "claim", "size_gib": 100, "access_mode": "ReadWriteMany"}
    both = stack({"w": store}, a={"pool": "l4", "weights": "w"}, b={"pool": "cpu", "weights": "w"})
    assert len(settle(both, {}).plans) == 2


@pytest.mark.parametrize(("size", "fits"), [(29, False), (30, True)])
def test_a_named_volume_is_as_large_as_what_its_services_need(size: int, fits: bool) -> None:
    weights = {"w": {"kind": "claim", "size_gib": size}}
    if fits:
        assert settle(stack(weights, a={"pool": "l4", "weights": "w"}), {}).plans
    else:
        assert "29 GiB are less than the 30 GiB" in problems(weights, a={"pool": "l4", "weights": "w"})


def test_the_size_of_a_named_volume_is_stated_because_it_never_shrinks() -> None:
    text = problems({"w": {"kind": "claim"}}, a={"pool": "l4", "weights": "w"})
    assert "weights.w.size_gib: is required" in text
    assert "its services need 30" in text


def test_services_that_read_the_same_files_are_counted_once() -> None:
    store = {"kind": "claim", "size_gib": 30, "access_mode": "ReadWriteMany"}
    both = stack({"w": store}, a={"pool": "l4", "weights": "w"}, b={"pool": "l4", "weights": "w"})
    assert settle(both, {}).plans


def test_a_claim_that_a_job_fills_is_not_read_only() -> None:
    with pytest.raises(Refused, match="is written by a Job"):
        stack({"w": {"kind": "claim", "size_gib": 30, "access_mode": "ReadOnlyMany"}}, a={})


def test_llama_cpp_is_not_told_to_download_what_it_cannot_pin() -> None:
    text = problems({"w": {"kind": "hub"}}, a={"pool": "cpu", "weights": "w"})
    assert "cannot be told a revision" in text


def test_a_gguf_file_in_an_existing_claim_is_named() -> None:
    text = problems(
        {"w": {"kind": "existing-claim", "claim": "c", "path": "models"}}, a={"pool": "cpu", "weights": "w"}
    )
    assert "weights.w.path: llamacpp reads one file" in text


def test_a_download_that_no_node_can_hold_is_no_plan() -> None:
    pools = {"a100": {"accelerators": ["nvidia-a100-80gb"], "machine_types": ["a2-ultragpu-4g"], "max_nodes": 1}}
    big = {"model": "meta-llama/Llama-3.1-70B-Instruct", "context": 8192, "concurrency": 2, "weights": "w"}
    document = {
        "target": {"kind": "existing"},
        "pools": pools,
        "weights": {"w": {"kind": "hub"}},
        "services": {"a": big},
    }
    with pytest.raises(Refused, match="of ephemeral storage, its share of a node is"):
        settle(parse.stack(document), {})


def test_a_gated_model_without_a_token_is_warned_about_and_with_one_is_not() -> None:
    llama = {"model": "meta-llama/Llama-3.1-8B-Instruct", "pool": "l4"}
    bare, held = settle(stack({}, a=llama), {}), settle(stack({}, a=llama | {"token": {"secret": "hub"}}), {})
    assert [finding.code for finding in bare.findings] == ["gated"]
    assert [finding.code for finding in held.findings] == []


def test_an_extra_argument_that_the_engine_does_not_know_is_refused() -> None:
    text = problems({}, a={"pool": "l4", "extra_args": ["--max-model-length", "5"]})
    assert "services.a.extra_args: vllm 0.33.0 does not take --max-model-length" in text


def test_only_the_named_services_are_planned_anew() -> None:
    before = settle(stack({}, a={"pool": "l4"}, b={"pool": "l4"}), {}).lock
    wider = stack({}, a={"pool": "l4", "context": 8192}, b={"pool": "l4", "context": 2048})
    after = settle(wider, before, update=True, only=["a"]).lock
    assert after["a"].context == 8192
    assert after["b"] == before["b"]
    with pytest.raises(Refused, match="no service is called c"):
        settle(wider, before, update=True, only=["c"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tensor_parallel": 8}, "8 GPUs are locked, a g2-standard-8 has 1"),
        ({"engine_version": "0.1"}, "vllm 0.1 is locked"),
    ],
)
def test_a_lock_that_no_plan_could_have_written_is_outgrown(change: dict[str, Any], expected: str) -> None:
    one = stack({}, a={"pool": "l4"})
    lock = {"a": settle(one, {}).lock["a"].model_copy(update=change)}
    with pytest.raises(Refused, match=expected):
        settle(one, lock)


def test_a_renamed_service_keeps_its_first_name_which_no_other_may_have() -> None:
    hub = {"hub": {"kind": "hub"}}
    renamed = {"pool": "l4", "weights": "hub", "renamed_from": "a"}
    assert len(settle(stack(hub, b=renamed), {}).plans) == 1
    text = problems(hub, a={"pool": "l4", "weights": "hub"}, b=renamed)
    assert "services.a: b is called a in the cluster, where it kept its first name" in text
    text = problems(hub, c=renamed, b=renamed)
    assert "services.c.renamed_from: b is called a in the cluster" in text


def test_what_was_decided_for_a_service_is_kept_under_its_new_name() -> None:
    hub = {"hub": {"kind": "hub"}}
    before = settle(stack(hub, a={"pool": "l4", "weights": "hub", "context": 8192}), {})
    after = settle(stack(hub, b={"pool": "l4", "weights": "hub", "renamed_from": "a"}), before.lock)
    assert after.plans[0].locked
    assert after.lock == {"b": before.lock["a"]}
