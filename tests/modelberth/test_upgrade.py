"""A raised engine version shows, per service, what changes in its pods before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelberth.components.restarts import templates
from modelberth.decision import Decision
from modelberth.lock import settle
from modelberth.upgrade import _differences, consequences, group_changes, pod_changes
from tests.modelberth.samples import refusal, stack_with

SERVICES = {
    "chat": {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 4096, "concurrency": 4, "accelerators": ["nvidia-l4"]},
    "pinned": {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "context": 4096,
        "concurrency": 4,
        "accelerators": ["nvidia-l4"],
        "engine_version": "0.32.0",
    },
}


def versions(version: str) -> dict[str, object]:
    return {"defaults": {"engine_versions": {"vllm": version}}}


def test_raising_the_stacks_version_names_image_and_pods_of_every_service_that_is_not_pinned() -> None:
    before = settle(stack_with(SERVICES, **versions("0.32.0")), {}).lock
    raised = stack_with(SERVICES, **versions("0.33.0"))
    lines = list(consequences(raised, before, settle(raised, before, update=True).plans))
    assert "chat: image vllm/vllm-openai:v0.32.0 -> vllm/vllm-openai:v0.33.0" in lines
    assert any(line.startswith("chat: pods restart: no spare") for line in lines)
    assert not [line for line in lines if line.startswith("pinned")]


def test_a_longer_context_names_the_flag_that_changes() -> None:
    stack = stack_with(SERVICES)
    before = settle(stack, {}).lock
    longer = stack_with({**SERVICES, "chat": {**SERVICES["chat"], "context": 8192}})
    lines = list(consequences(longer, before, settle(longer, before, update=True).plans))
    assert "chat: flag --max-model-len 4096 -> 8192" in lines


def test_a_changed_utilization_names_the_kv_budget() -> None:
    stack = stack_with(SERVICES)
    before = settle(stack, {}).lock
    less = stack_with({**SERVICES, "chat": {**SERVICES["chat"], "gpu_memory_utilization": 0.9}})
    lines = list(consequences(less, before, settle(less, before, update=True).plans))
    assert any(line.startswith("chat: KV budget") and "tokens" in line for line in lines)


def test_nothing_is_said_of_a_service_that_stays_as_it_is() -> None:
    stack = stack_with(SERVICES)
    settled = settle(stack, {})
    assert list(consequences(stack, settled.lock, settled.plans)) == []


def template(**container: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 30},
    }


def test_two_pod_templates_that_are_alike_restart_nothing() -> None:
    assert list(pod_changes(template(image="a:1"), template(image="a:1"))) == []


def test_every_difference_between_two_pod_templates_is_named() -> None:
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}
    was = template(image="a:1", args=["m", "--seed", "1"], env=[{"name": "HOME", "value": "/tmp"}], stdin=False)
    now = template(image="a:2", args=["m", "--seed", "2", "--eager"], env=[key], stdin=True)
    assert list(pod_changes(was, now)) == [
        "image a:1 -> a:2",
        "flag --eager is new",
        "flag --seed 1 -> 2",
        "variable HOME is gone",
        "variable KEY is new: Secret api, key token",
        "stdin of the container differs",
    ]
    later = {**was, "spec": {**was["spec"], "terminationGracePeriodSeconds": 60}}
    assert list(pod_changes(was, later)) == ["terminationGracePeriodSeconds of the pod differs"]
    assert list(pod_changes(was, {**was, "metadata": {}})) == ["labels or annotations of the pod differ"]


def on_chat(**fields: Any) -> dict[str, Any]:
    return {"chat": {**SERVICES["chat"], **fields}}


def test_a_raise_over_the_whole_window_says_image_and_flags_and_leaves_pins_alone() -> None:
    before = settle(stack_with(SERVICES, **versions("0.28.0")), {}).lock
    raised = stack_with(SERVICES, **versions("0.33.0"))
    lines = list(consequences(raised, before, settle(raised, before, update=True).plans))
    assert "chat: image vllm/vllm-openai:v0.28.0 -> vllm/vllm-openai:v0.33.0" in lines
    assert {line.partition(":")[0] for line in lines} == {"chat"}


def test_a_raised_pin_of_one_service_names_that_service_alone() -> None:
    before = settle(stack_with(SERVICES), {}).lock
    raised = stack_with({**SERVICES, "pinned": {**SERVICES["pinned"], "engine_version": "0.33.0"}})
    lines = list(consequences(raised, before, settle(raised, before, update=True).plans))
    assert lines[0] == "pinned: image vllm/vllm-openai:v0.32.0 -> vllm/vllm-openai:v0.33.0"
    assert {line.partition(":")[0] for line in lines} == {"pinned"}


def test_a_raise_changes_what_the_engine_takes_by_default() -> None:
    """SGLang sizes its memory by version: what is written out, and the cache, follow."""
    sglang = on_chat(engine="sglang")
    before = settle(stack_with(sglang, defaults={"engine_versions": {"sglang": "0.5.20"}}), {}).lock
    raised = stack_with(sglang, defaults={"engine_versions": {"sglang": "0.5.23"}})
    lines = list(consequences(raised, before, settle(raised, before, update=True).plans))
    assert "chat: image lmsysorg/sglang:v0.5.20 -> lmsysorg/sglang:v0.5.23" in lines


def test_an_argument_that_the_raised_version_lacks_is_refused_by_name() -> None:
    own = on_chat(extra_args=["--enable-mamba-fine-grained-prefix-cache"])
    before = settle(stack_with(own, **versions("0.30.0")), {}).lock
    raised = stack_with(own, **versions("0.31.0"))
    (found,) = refusal(lambda: settle(raised, before, update=True))
    assert found.message == "vllm 0.31.0 does not take --enable-mamba-fine-grained-prefix-cache"


def test_an_argument_that_only_the_locked_version_takes_stays_while_nobody_raises_it() -> None:
    own = on_chat(extra_args=["--enable-mamba-fine-grained-prefix-cache"])
    before = settle(stack_with(own, **versions("0.30.0")), {}).lock
    (kept,) = settle(stack_with(own), before).plans
    assert kept.decision.engine_version == "0.30.0"
    assert "--enable-mamba-fine-grained-prefix-cache" in kept.launch.args


def test_an_argument_that_the_old_version_never_took_does_not_stop_the_comparison() -> None:
    """The version is the catalog's: the lock holds an older one, and the update brings a flag it lacks."""
    before = settle(stack_with(on_chat(), **versions("0.32.0")), {}).lock
    now = stack_with(on_chat(extra_args=["--watchdog-config", "{}"]))
    (said,) = consequences(now, before, settle(now, before, update=True).plans)
    assert said.startswith("chat: pods restart, and what they run now cannot be compared: ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"host": {"cpu_millicores": 500, "memory_mib": 1024, "shm_mib": 64, "ephemeral_mib": 64}},
            "CPUs of a pod 0.5",
        ),
        ({"machine_type": "g2-standard-16"}, "machine type g2-standard-16 ->"),
        ({"startup_budget_s": 3000}, "startup probe: failures 300 ->"),
        ({"pool": "gone"}, "pool gone -> any"),
    ],
)
def test_what_only_changes_where_and_how_long_a_pod_runs_restarts_it_too(changed: dict[str, Any], said: str) -> None:
    stack = stack_with(on_chat())
    settled = settle(stack, {})
    locked = settled.lock["chat"].model_dump(mode="json") | changed
    lines = list(consequences(stack, {"chat": Decision.model_validate(locked)}, settled.plans))
    assert any(line.startswith(f"chat: {said}") for line in lines)
    assert lines[-1].startswith("chat: pods restart: ")


@pytest.mark.parametrize("field", ["command", "leave_s", "grace_s"])
def test_how_pods_start_and_leave_is_compared(field: str) -> None:
    (now,) = settle(stack_with(on_chat()), {}).plans
    other = ("sh",) if field == "command" else 1
    was = replace(now, launch=replace(now.launch, **{field: other}))
    (line,) = _differences(was, now)
    assert "->" in line


def test_a_negative_number_is_the_value_of_its_flag() -> None:
    was, now = template(args=["--n-predict", "-1", "-fa", "on"]), template(args=["--n-predict", "-2", "-fa", "on"])
    assert list(pod_changes(was, now)) == ["flag --n-predict -1 -> -2"]


def test_other_nodes_of_a_group_are_compared_with_their_own_template() -> None:
    leader, was, now = template(image="a:1"), template(args=["--rank", "1"]), template(args=["--rank", "2"])
    spec = {"leaderTemplate": leader, "workerTemplate": was}
    inputs = (
        {"spec": {"leaderWorkerTemplate": spec}},
        {"spec": {"leaderWorkerTemplate": spec | {"workerTemplate": now}}},
    )
    before, after = (templates(each) for each in inputs)
    assert list(group_changes(before, after)) == ["flag --rank 1 -> 2 (other nodes of the group)"]
    both = template(image="a:2")
    assert list(group_changes([leader, leader], [both, both])) == ["image a:1 -> a:2"]
    assert list(group_changes(templates({"spec": {"template": was}}), templates({"spec": {"template": was}}))) == []
