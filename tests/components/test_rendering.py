"""What the components register for a stack file: goldens, and rules that hold for every object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDEN = ROOT / "tests" / "golden"
STACKS = {
    "local": ROOT / "stacks" / "Pulumi.local.yaml",
    "secrets": GOLDEN / "secrets" / "Pulumi.secrets.yaml",
    "autoscaled": GOLDEN / "autoscaled" / "spec.yaml",
    "sglang-8b-on-l4": GOLDEN / "sglang-8b-on-l4" / "spec.yaml",
    "tgi-8b-on-a10g": GOLDEN / "tgi-8b-on-a10g" / "spec.yaml",
}

Registration = dict[str, Any]


@cache
def recorded(stack: str, hash_seed: str = "1") -> tuple[Registration, ...]:
    done = subprocess.run(
        [sys.executable, str(HERE / "record.py"), str(STACKS[stack])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def objects(stack: str, kind: str = "") -> Iterator[Registration]:
    return (each for each in recorded(stack) if each["type"].startswith("kubernetes:") and each["type"].endswith(kind))


def pods(stack: str) -> Iterator[dict[str, Any]]:
    for each in objects(stack):
        if each["type"].rpartition(":")[2] in ("Deployment", "Job"):
            yield each["inputs"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_resources_of_a_stack_are_the_reviewed_ones(stack: str, golden: Any) -> None:
    golden(GOLDEN / stack / "resources.yaml", yaml.safe_dump_all(recorded(stack), sort_keys=False, width=120))


@pytest.mark.parametrize("stack", STACKS)
def test_registrations_do_not_depend_on_the_hash_seed(stack: str) -> None:
    assert recorded(stack, "1") == recorded(stack, "2")


@pytest.mark.parametrize("stack", STACKS)
def test_no_two_resources_share_a_urn(stack: str) -> None:
    urns = [(each["parent"].split("::")[0], each["type"], each["name"]) for each in recorded(stack)]
    assert len(urns) == len(set(urns))


@pytest.mark.parametrize("stack", STACKS)
def test_every_kubernetes_object_is_a_child_of_a_component_and_uses_the_targets_provider(stack: str) -> None:
    for each in objects(stack):
        assert "modelberth:index:" in each["parent"], each["name"]
        assert each["provider"].endswith("pulumi:providers:kubernetes::target-kubernetes"), each["name"]


@pytest.mark.parametrize("stack", STACKS)
def test_every_container_runs_restricted(stack: str) -> None:
    for pod in pods(stack):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("stack", STACKS)
def test_whoever_waits_for_a_pod_waits_longer_than_the_pod_may_take(stack: str) -> None:
    for each in objects(stack, ":Deployment"):
        spec = each["inputs"]["spec"]
        probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
        pod_s = probe["periodSeconds"] * probe["failureThreshold"]
        await_s = int(each["timeouts"]["create"].removesuffix("s"))
        assert pod_s < spec["progressDeadlineSeconds"] < await_s


@pytest.mark.parametrize("stack", STACKS)
def test_a_pod_has_time_to_drain_before_it_is_killed(stack: str) -> None:
    for each in objects(stack, ":Deployment"):
        pod = each["inputs"]["spec"]["template"]["spec"]
        leaving_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert leaving_s >= 15
        assert pod["terminationGracePeriodSeconds"] >= max(leaving_s + 15, 120)


def test_gpu_pods_ask_for_as_many_gpus_as_tensor_parallel_ranks_and_tolerate_their_taint() -> None:
    server = next(each for each in objects("local", ":Deployment") if each["name"] == "chat-server")
    pod = server["inputs"]["spec"]["template"]["spec"]
    arguments = pod["containers"][0]["args"]
    ranks = arguments[arguments.index("--tensor-parallel-size") + 1]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == ranks
    assert pod["nodeSelector"]["cloud.google.com/gke-accelerator"] == "nvidia-l4"
    assert any(toleration["key"] == "nvidia.com/gpu" for toleration in pod["tolerations"])


def test_weights_outlive_the_service_that_names_them_and_a_claim_of_its_own_does_not() -> None:
    claims = {each["name"]: each["parent"] for each in objects("local", ":PersistentVolumeClaim")}
    assert "LLMService" not in claims["weights-qwen-claim"]
    assert "LLMService" in claims["chat-weights-claim"]


def test_secrets_reach_pods_by_reference_only() -> None:
    for pod in pods("secrets"):
        for container in pod["containers"]:
            for variable in container["env"]:
                if variable["name"] in ("VLLM_API_KEY", "HF_TOKEN", "LLAMA_API_KEY"):
                    assert variable["valueFrom"]["secretKeyRef"]["name"] in ("api", "hub")
    jobs = [each["inputs"]["spec"]["template"]["spec"] for each in objects("secrets", ":Job")]
    assert any(volume.get("secret", {}).get("secretName") == "hub" for job in jobs for volume in job["volumes"])
