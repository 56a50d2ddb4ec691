"""Groups of pods that share a model, written by hand: judged over all their pods, like any other workload."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.samples import GKE, codes, findings, only, vllm

LLAMA_405B = "meta-llama/Llama-3.1-405B-Instruct"
H100 = {"nodeSelector": {GKE: "nvidia-h100-80gb"}}
MEET = ("--master-addr", "$(LWS_LEADER_ADDRESS)", "--master-port", "29501")
SIZE = ("--tensor-parallel-size", "8", "--pipeline-parallel-size", "2", "--nnodes", "2")
LEADER = "spec.leaderWorkerTemplate.leaderTemplate.spec.containers[0]"


def group(context: int = 8192, *, size: Any = 2, gpus: Any = 8, arguments: tuple[str, ...] = SIZE) -> dict[str, Any]:
    """Llama 3.1 405B in 16 bit on nodes of eight H100s, as vLLM's own multi-node mode is written by hand."""
    serve = ("--model", LLAMA_405B, "--max-model-len", str(context), *arguments, *MEET)
    leader = vllm(*serve, "--node-rank", "0", gpus=gpus)
    worker = vllm(*serve, "--node-rank", "$(LWS_WORKER_INDEX)", "--headless", gpus=gpus)
    templates = {"leaderTemplate": leader, "workerTemplate": worker}
    spec = {name: {"spec": {"containers": [container], **H100}} for name, container in templates.items()}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "large"},
        "spec": {"leaderWorkerTemplate": {"size": size, **spec}},
    }


def test_a_group_is_one_workload_of_all_its_pods() -> None:
    workload = only(group())
    assert workload.path == LEADER
    assert (workload.gpus, workload.replica_gpus, workload.group_size) == (8, 16, 2)
    assert workload.observed is not None
    assert (workload.observed.pipeline_parallel, workload.observed.nodes) == (2, 2)


def test_two_nodes_that_hold_the_model_together_pass() -> None:
    assert codes(group()) == []


def test_a_model_that_two_nodes_do_not_hold_is_refused_with_the_sum_of_one_gpu() -> None:
    four = ("--tensor-parallel-size", "4", "--pipeline-parallel-size", "2", "--nnodes", "2")
    (found,) = findings(group(gpus=4, arguments=four), "SZ-01")
    assert "does not fit: before any KV cache 9" in found.message
    assert "1/8 of the model" in found.message


def test_a_cache_that_is_too_small_counts_every_gpu_of_the_group() -> None:
    large = ("--max-model-len", "131072", "--gpu-memory-utilization", "0.67")
    (found,) = findings(group(arguments=(*SIZE, *large)), "SZ-01")
    assert "on each of 16 GPUs" in found.message


@pytest.mark.parametrize(("size", "gpus"), [(2, 4), (2, 1)])
def test_fewer_gpus_in_all_pods_than_ranks_are_refused(size: int, gpus: int) -> None:
    (found,) = findings(group(size=size, gpus=gpus), "SZ-04")
    who = f"the {size} pods of a group request {size * gpus}"
    assert found.message == f"tensor parallel size 8 x pipeline parallel size 2 = 16 GPUs, {who}"


def test_a_group_of_other_size_than_the_nodes_it_is_told_of_is_refused() -> None:
    (found,) = findings(group(size=4, gpus=4), "SZ-04")
    assert found.message == "the model is shared by 2 nodes, 4 pods hold one copy"


def test_a_number_of_nodes_that_the_controller_fills_in_is_the_size_of_the_group() -> None:
    filled = ("--tensor-parallel-size", "8", "--pipeline-parallel-size", "2", "--nnodes", "$(LWS_GROUP_SIZE)")
    assert codes(group(arguments=filled)) == []
