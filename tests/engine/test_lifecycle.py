"""One stack from nothing to nothing, under the real engine, API server and scheduler. The tests build on each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.conftest import Project, pods_of
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

CHAT: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B-Instruct", "context": 8192, "concurrency": 3, "pool": "l4"}
DRAFT: dict[str, Any] = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 4096, "concurrency": 2, "pool": "cpu"}


WIDER = {"context": 16384, "typical_tokens": 4096}


@pytest.fixture(scope="module")
def stack(make_project: Any) -> Project:
    """The project that all tests of this module change in turn."""
    project = make_project()
    project.write({"chat": CHAT, "draft": DRAFT})
    return project


def test_a_preview_creates_nothing_and_writes_no_lock(stack: Project, kube: Kube) -> None:
    done = stack.pulumi("preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "to create" in done.stdout
    assert kube.find(f"/api/v1/namespaces/{stack.namespace}") is None
    assert not (stack.root / "stacks" / "dev.plan.yaml").exists()


def test_up_under_the_policy_pack_makes_both_services_ready(stack: Project, kube: Kube) -> None:
    done = stack.pulumi("up", "--yes", "--skip-preview", policies=True)
    assert done.returncode == 0, done.stdout + done.stderr
    deployments = kube.list(f"/apis/apps/v1/namespaces/{stack.namespace}/deployments")
    assert sorted(d["metadata"]["labels"]["app.kubernetes.io/instance"] for d in deployments) == ["chat", "draft"]
    assert all(d["status"]["readyReplicas"] == d["spec"]["replicas"] for d in deployments)


def test_the_first_up_in_profile_dev_writes_the_plan_lock(stack: Project) -> None:
    text = (stack.root / "stacks" / "dev.plan.yaml").read_text()
    assert "g2-standard-8" in text
    assert "c3-standard-8" in text


@pytest.mark.parametrize(("service", "machine"), [("chat", "g2-standard-8"), ("draft", "c3-standard-8")])
def test_every_pod_is_placed_by_the_scheduler_on_the_planned_machine_type(
    stack: Project, kube: Kube, service: str, machine: str
) -> None:
    pods = pods_of(kube, stack.namespace, service)
    assert pods
    for pod in pods:
        node = kube.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")
        assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == machine


def test_outputs_answer_where_and_how_much(stack: Project) -> None:
    outputs = json.loads(stack.pulumi("stack", "output", "--json").stdout)
    assert outputs["chat"]["endpoint"] == f"http://chat.{stack.namespace}.svc:8000/v1"
    assert outputs["chat"]["usd_per_hour"] > 0
    assert outputs["chat"]["plan"]["machine_type"] == "g2-standard-8"


def test_the_sizing_record_is_on_the_workload_and_not_on_its_pods(stack: Project, kube: Kube) -> None:
    for deployment in kube.list(f"/apis/apps/v1/namespaces/{stack.namespace}/deployments"):
        record = json.loads(deployment["metadata"]["annotations"]["modelberth.dev/sizing"])
        assert record["context_tokens"] > 0
        assert len(record["digest"]) == 64
        assert "modelberth.dev/sizing" not in deployment["spec"]["template"]["metadata"]["annotations"]
        assert "usd" not in json.dumps(record)


def test_a_second_up_changes_nothing(stack: Project) -> None:
    done = stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", policies=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_larger_context_is_refused_until_the_plan_is_updated(stack: Project) -> None:
    stack.write({"chat": CHAT | WIDER, "draft": DRAFT})
    done = stack.pulumi("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "services.chat" in done.stdout + done.stderr
    assert "context is 16384, locked 8192" in done.stdout + done.stderr
    assert "modelberth plan --update dev" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_updated_plan_rolls_the_pods_in_place(stack: Project, kube: Kube) -> None:
    before = {pod["metadata"]["name"] for pod in pods_of(kube, stack.namespace, "chat")}
    untouched = {pod["metadata"]["uid"] for pod in pods_of(kube, stack.namespace, "draft")}
    stack.write({"chat": CHAT | WIDER, "draft": DRAFT})
    stack.lock()
    done = stack.pulumi("up", "--yes", "--skip-preview", policies=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "replaced" not in done.stdout
    pods = pods_of(kube, stack.namespace, "chat")
    arguments = pods[0]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--max-model-len") + 1] == "16384"
    assert before.isdisjoint(pod["metadata"]["name"] for pod in pods)
    assert untouched == {pod["metadata"]["uid"] for pod in pods_of(kube, stack.namespace, "draft")}


def test_a_preview_says_which_changes_restart_pods_and_what_users_notice(stack: Project) -> None:
    stack.write({"chat": CHAT | WIDER | {"extra_args": ["--seed", "7"]}, "draft": DRAFT})
    done = stack.pulumi("preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "chat: flag --seed is new: 7" in done.stdout
    assert "chat: pods restart: no spare capacity" in done.stdout
    assert "draft: pods restart" not in done.stdout
    stack.write({"chat": CHAT | WIDER, "draft": DRAFT})


def test_destroy_leaves_no_resource_and_no_state(stack: Project, kube: Kube) -> None:
    done = stack.pulumi("destroy", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.resources() == []
    assert kube.find(f"/api/v1/namespaces/{stack.namespace}") is None
