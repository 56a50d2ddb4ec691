"""What must never be created: bad input, what the policy pack stops, what does not fit, and what must never be seen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import POLICIES, ROOT, Project
from toolchain import engine
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

CHAT: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B-Instruct", "context": 8192, "concurrency": 3, "pool": "l4"}
CANARY = "hf_CanaryThatNobodyMayEverSee0123456789"

BAD = {
    "an unknown model": ({"model": "nobody/has-this"}, "unknown model"),
    "a near-miss model": (
        {"model": "meta-llama/Llama-3.1-8B-Instuct"},
        "did you mean 'meta-llama/Llama-3.1-8B-Instruct'",
    ),
    "an unknown key": ({"contxt": 1}, "did you mean 'context'"),
    "an unknown quantization": ({"quantization": "int3"}, "is not one of the choices"),
    "context 0": ({"context": 0}, "must be at least 1"),
    "context as text": ({"context": "32k"}, "must be a number, not text"),
    "context as a boolean": ({"context": True}, "must be a number, not a boolean"),
    "tensor parallel that does not divide the heads": (
        {"tensor_parallel": 3},
        "does not divide the 32 attention heads",
    ),
    "a model that fits nothing allowed": (
        {"model": "meta-llama/Llama-3.1-70B-Instruct"},
        "the nearest that would do",
    ),
    "a token in plain text": ({"token": CANARY}, "must be a reference"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error_and_registers_nothing(project: Project, case: str) -> None:
    change, expected = BAD[case]
    project.write({"chat": CHAT | change})
    done = project.pulumi("preview")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert expected in text
    assert "services.chat" in text
    assert "Traceback" not in text
    assert CANARY not in text
    assert "to create" not in text.replace("+ 1 to create", "")  # the stack itself


def test_a_service_name_that_is_no_dns_label_is_refused(project: Project) -> None:
    project.write({"Chat_Server": CHAT})
    done = project.pulumi("preview")
    assert done.returncode != 0
    assert "'chat-server' would do" in done.stdout + done.stderr


def test_a_misspelt_key_of_the_stack_file_is_refused_and_not_ignored(project: Project) -> None:
    path = project.write({"chat": CHAT})
    path.write_text(path.read_text().replace("modelberth:pools", "modelberth:pool"))
    text = project.pulumi("preview").stdout
    assert "did you mean 'pools'" in text


def test_a_kubeconfig_that_is_not_there_is_said_before_anything_is_registered(project: Project) -> None:
    path = project.write({"chat": CHAT})
    path.write_text(path.read_text().replace(str(project.kubeconfig), "/nowhere/kubeconfig"))
    text = project.pulumi("preview").stdout
    assert "target.kubeconfig: /nowhere/kubeconfig is not there" in text
    assert "to create" not in text.replace("+ 1 to create", "")


def test_all_problems_are_reported_at_once(project: Project) -> None:
    project.write({"a": CHAT | {"context": 0}, "b": CHAT | {"quantization": "int3"}})
    text = project.pulumi("preview").stdout
    assert "services.a.context" in text
    assert "services.b.quantization" in text


def test_profile_prod_refuses_to_plan_without_a_lock(project: Project) -> None:
    project.write({"chat": CHAT}, defaults={"profile": "prod"})
    done = project.pulumi("preview")
    assert done.returncode != 0
    assert "modelberth plan --update dev" in done.stdout + done.stderr


def test_a_spec_for_which_no_node_has_the_gpus_is_refused_and_the_scheduler_agrees(
    project: Project, kube: Kube, namespace: str
) -> None:
    project.write({"chat": CHAT | {"tensor_parallel": 4}})
    done = project.pulumi("preview")
    assert done.returncode != 0
    assert "tensor_parallel 4 needs as many" in done.stdout + done.stderr
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "four-gpus", "namespace": namespace},
        "spec": {
            "containers": [{"name": "server", "image": "vllm", "resources": {"limits": {"nvidia.com/gpu": "4"}}}],
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "tolerations": [{"operator": "Exists"}],
        },
    }
    kube.create(pod)

    def verdict() -> str:
        conditions = kube.get(f"/api/v1/namespaces/{namespace}/pods/four-gpus")["status"].get("conditions", [])
        return next((c.get("message", "") for c in conditions if c["type"] == "PodScheduled"), "")

    kube.wait(lambda: "Insufficient nvidia.com/gpu" in verdict(), what="the scheduler's verdict")


def test_the_policy_pack_stops_the_guides_manifest_and_says_what_would_fit(tmp_path: Path) -> None:
    done = engine.run(
        ["preview", "--stack", "dev", "--policy-pack", str(POLICIES)],
        root=ROOT / "examples" / "guide",
        state=tmp_path / "state",
        check=False,
        capture=True,
        timeout_s=120,
    )
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "131,072" in text
    assert "largest context" in text
    assert "selector" in text
    assert "latest" in text
    assert "0.33.0" in text


def test_a_computed_context_in_a_hand_written_manifest_is_a_finding_and_not_silence(project: Project) -> None:
    (project.root / "__main__.py").write_text(
        (Path(__file__).parent / "programs" / "computed_context.py").read_text(), encoding="utf-8"
    )
    project.write({"chat": CHAT}, defaults={"profile": "prod"})
    done = project.pulumi("preview", policies=True)
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    assert "cannot decide" in text
    assert "[mandatory]" in text


def test_a_planted_secret_appears_in_no_output_log_event_or_plain_state(project: Project, kube: Kube) -> None:
    project.write({"chat": CHAT | {"token": {"secret": "hub"}, "api_key": {"secret": "hub"}}})
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": project.namespace}}
    kube.create(namespace)
    planted = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hub", "namespace": project.namespace},
        "stringData": {"token": CANARY},
    }
    kube.create(planted)
    os.environ["HF_TOKEN"] = CANARY
    try:
        done = project.pulumi("up", "--yes", "--skip-preview", "-v=9", "--logtostderr", policies=True)
    finally:
        del os.environ["HF_TOKEN"]
    assert done.returncode == 0, done.stdout[-4000:]
    assert CANARY not in done.stdout
    assert CANARY not in done.stderr
    exported = project.pulumi("stack", "export", "--show-secrets")
    assert CANARY not in exported.stdout
    leaks = [path.name for path in project.files() if CANARY in path.read_text(encoding="utf-8", errors="ignore")]
    assert leaks == []
    pod = kube.list(f"/api/v1/namespaces/{project.namespace}/pods", labels="modelberth.dev/role=server")[0]
    assert CANARY not in json.dumps(pod)
    events = kube.list(f"/api/v1/namespaces/{project.namespace}/events")
    assert CANARY not in json.dumps(events)
