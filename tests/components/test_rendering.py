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

from modelberth.components.service import _plan as planned
from modelberth.findings import Refused
from modelberth.parts import Monitoring
from modelberth.targets import Target

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDEN = ROOT / "tests" / "golden"
ARCHITECTURES = ("8b-three-times", "405b-on-two-nodes", "sglang-on-two-nodes")
ELSEWHERE = sorted([*(ROOT / "stacks").glob("Pulumi.*.yaml"), *(ROOT / "examples").glob("*/Pulumi.*.yaml")])
STACKS = {
    **{
        path.name.split(".")[1]: path
        for path in ELSEWHERE
        if "modelberth:services" in path.read_text(encoding="utf-8") and path.name != "Pulumi.engines.yaml"
    },
    "by-hand": ROOT / "examples" / "by-hand",
    "secrets": GOLDEN / "secrets" / "Pulumi.secrets.yaml",
    "production": GOLDEN / "production" / "Pulumi.production.yaml",
    "autoscaled": GOLDEN / "autoscaled" / "spec.yaml",
    "exposed": GOLDEN / "exposed" / "Pulumi.exposed.yaml",
    **{name: GOLDEN / name / "spec.yaml" for name in ARCHITECTURES},
    "sglang-8b-on-l4": GOLDEN / "sglang-8b-on-l4" / "spec.yaml",
    "adapters-on-l40s": GOLDEN / "adapters-on-l40s" / "spec.yaml",
    "tgi-8b-on-a10g": GOLDEN / "tgi-8b-on-a10g" / "spec.yaml",
    "ollama-on-cpu": GOLDEN / "ollama-on-cpu" / "spec.yaml",
    "trtllm-8b-on-h100": GOLDEN / "trtllm-8b-on-h100" / "spec.yaml",
    "triton-8b-on-h100": GOLDEN / "triton-8b-on-h100" / "spec.yaml",
}

Registration = dict[str, Any]


AGAIN = ("405b-on-two-nodes", "adapters-on-l40s", "autoscaled", "exposed", "prod", "production", "staging")
"""Stacks that are registered a second time: between them they have every component, target and option."""


@cache
def everything(hash_seed: str) -> dict[str, tuple[Registration, ...]]:
    """What every stack registers, in a process with this hash seed; with another than the first, those of AGAIN."""
    stacks = {stack: file for stack, file in STACKS.items() if hash_seed == "1" or stack in AGAIN}
    done = subprocess.run(
        [sys.executable, str(HERE / "record.py"), *map(str, stacks.values())],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {stack: tuple(seen) for stack, seen in zip(stacks, json.loads(done.stdout), strict=True)}


def recorded(stack: str, hash_seed: str = "1") -> tuple[Registration, ...]:
    return everything(hash_seed)[stack]


def objects(stack: str, kind: str = "") -> Iterator[Registration]:
    return (each for each in recorded(stack) if each["type"].startswith("kubernetes:") and each["type"].endswith(kind))


def pods(stack: str) -> Iterator[dict[str, Any]]:
    for each in objects(stack):
        if each["type"].rpartition(":")[2] in ("Deployment", "Job"):
            yield each["inputs"]["spec"]["template"]["spec"]
    for group in objects(stack, ":LeaderWorkerSet"):
        template = group["inputs"]["spec"]["leaderWorkerTemplate"]
        yield from (template[role]["spec"] for role in ("leaderTemplate", "workerTemplate"))


def groups(stack: str = "405b-on-two-nodes") -> tuple[dict[str, Any], dict[str, Any]]:
    """(leader, worker) pod specs of the only group of a stack."""
    leader, worker = (pod for pod in pods(stack) if "nvidia.com/gpu" in str(pod["containers"][0]["resources"]))
    return leader, worker


@pytest.mark.parametrize("stack", STACKS)
def test_the_resources_of_a_stack_are_the_reviewed_ones(stack: str, golden: Any) -> None:
    golden(GOLDEN / stack / "resources.yaml", yaml.safe_dump_all(recorded(stack), sort_keys=False, width=120))


@pytest.mark.parametrize("stack", AGAIN)
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
        assert each["provider"].endswith("-kubernetes"), each["name"]
        assert "pulumi:providers:kubernetes::" in each["provider"], each["name"]


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


def test_the_pods_of_a_group_ask_for_the_gpus_of_their_own_node() -> None:
    for pod in groups():
        arguments = pod["containers"][0]["args"]
        ranks = arguments[arguments.index("--tensor-parallel-size") + 1]
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == ranks == "8"


def test_only_the_leader_of_a_group_is_asked_and_called() -> None:
    leader, worker = (pod["containers"][0] for pod in groups())
    assert {"startupProbe", "readinessProbe", "livenessProbe", "ports"} <= set(leader)
    assert not {"startupProbe", "readinessProbe", "livenessProbe", "ports"} & set(worker)
    (service,) = objects("405b-on-two-nodes", ":Service")
    assert service["inputs"]["spec"]["selector"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"


def test_a_worker_outlives_the_requests_of_its_leader() -> None:
    leader, worker = groups()
    stays_s = worker["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert leader["terminationGracePeriodSeconds"] <= stays_s < worker["terminationGracePeriodSeconds"]


def test_a_group_starts_over_as_a_whole_and_is_waited_for() -> None:
    (group,) = objects("405b-on-two-nodes", ":LeaderWorkerSet")
    template, probe = group["inputs"]["spec"]["leaderWorkerTemplate"], groups()[0]["containers"][0]["startupProbe"]
    assert (template["size"], template["restartPolicy"]) == (2, "RecreateGroupOnPodRestart")
    assert group["inputs"]["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Available"
    await_s = int(group["timeouts"]["create"].removesuffix("s"))
    assert probe["periodSeconds"] * probe["failureThreshold"] < await_s


def test_the_pods_of_one_group_share_a_zone_and_only_leaders_are_spread() -> None:
    leader, worker = groups()
    for pod in (leader, worker):
        (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "topology.kubernetes.io/zone"
        assert term["matchLabelKeys"] == ["leaderworkerset.sigs.k8s.io/group-key"]
    assert "topologySpreadConstraints" not in worker
    for constraint in leader["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"


def test_pods_of_a_group_reach_each_other_and_pods_of_a_deployment_do_not() -> None:
    def among(stack: str, name: str) -> list[Any]:
        policy = next(each for each in objects(stack, ":NetworkPolicy") if each["name"] == name)["inputs"]["spec"]
        own = [{"podSelector": policy["podSelector"]}]
        return [rule for rule in policy["ingress"] if rule["from"] == own] + [
            rule for rule in policy["egress"] if rule.get("to") == own
        ]

    rules = among("405b-on-two-nodes", "large-network-policy")
    assert len(rules) == 2
    assert all("ports" not in rule for rule in rules)
    assert among("8b-three-times", "chat-network-policy") == []


def test_only_the_leader_of_a_group_holds_the_api_key() -> None:
    leader, worker = ({variable["name"] for variable in pod["containers"][0]["env"]} for pod in groups())
    assert leader - worker == {"VLLM_API_KEY"}


def callers(service: str) -> list[dict[str, Any]]:
    """Who the NetworkPolicy of a service's pods lets in."""
    policies = {each["name"]: each["inputs"]["spec"] for each in objects("exposed", ":NetworkPolicy")}
    (rule,) = policies[f"{service}-network-policy"]["ingress"]
    return rule["from"]


def test_a_door_lets_in_the_namespace_of_its_proxies_and_no_other_is_added() -> None:
    added = [each for each in callers("chat") if each not in callers("code")]
    labels = {"kubernetes.io/metadata.name": "envoy-gateway-system"}
    assert added == [{"namespaceSelector": {"matchLabels": labels}}]


def test_proxies_outside_the_cluster_are_let_in_by_their_ranges() -> None:
    blocks = [each["ipBlock"]["cidr"] for each in callers("code") if "ipBlock" in each]
    assert blocks == ["130.211.0.0/22", "35.191.0.0/16"]


def test_policies_exist_before_the_route_that_they_guard() -> None:
    by_name = {each["name"]: each for each in objects("exposed")}
    assert {"chat-securitypolicy", "chat-gateway", "chat-service"} <= set(by_name["chat-httproute"]["depends_on"])
    assert {"code-gcpbackendpolicy"} <= set(by_name["code-httproute"]["depends_on"])


def test_services_stay_inside_the_cluster_with_a_door_too() -> None:
    types = {each["inputs"]["spec"]["type"] for each in objects("exposed", ":Service")}
    assert types == {"ClusterIP"}


def made(kind: str, stack: str = "by-hand") -> dict[str, Registration]:
    return {each["name"]: each for each in recorded(stack) if each["type"] == kind}


def test_a_program_hands_over_its_own_network_and_bucket() -> None:
    cluster = made("gcp:container/cluster:Cluster")["google-cluster"]["inputs"]
    assert cluster["ipAllocationPolicy"]["clusterSecondaryRangeName"] == "our-pods"
    assert set(made("gcp:compute/network:Network")) == {"ours"}
    grants = made("gcp:storage/bucketIAMMember:BucketIAMMember").values()
    assert {each["inputs"]["bucket"] for each in grants} == {"example-dev-by-hand-models"}
    assert all("models" in each["depends_on"] for each in grants)


def test_two_services_share_one_pool_and_each_cloud_has_its_own() -> None:
    servers = {each["name"]: each["depends_on"] for each in objects("by-hand", ":Deployment")}
    assert all("google-pool-google-l4" in servers[name] for name in ("llama-server", "qwen-server"))
    assert "amazon-pool-amazon-l40s" in servers["llama-elsewhere-server"]
    assert len(made("modelberth:index:GpuNodePool")) == 2


def test_a_service_on_a_target_that_makes_pools_needs_one() -> None:
    gke = {
        "project": "example-dev",
        "project_number": "123456789012",
        "region": "us-central1",
        "zones": ["us-central1-a"],
    }
    target = Target.model_validate({"kind": "gke", "gke": gke})
    wanted = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 8192, "concurrency": 4}
    with pytest.raises(Refused, match=r"services\.chat\.pool: nodes of this target must be made"):
        planned("chat", wanted, None, None, target, Monitoring())
