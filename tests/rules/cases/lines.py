"""Examples of command lines that an engine does not take, of groups, and of variables and labels that are misspelt."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.rules.cases import Case
from tests.rules.samples import GKE, LLAMA_8B, ollama, vllm
from tests.rules.stacks import server

STRAY = "of the command line belong to no flag"
ARGS = ("--model", LLAMA_8B, "--max-model-len", "8192")


def _group(*worker: str) -> tuple[dict[str, Any], ...]:
    nodes = ("--pipeline-parallel-size", "2", "--nnodes", "2")
    leader = vllm(*ARGS, *nodes, "--node-rank", "0")
    group = server(leader, kind="LeaderWorkerSet")
    template = deepcopy(group["spec"]["leaderWorkerTemplate"]["leaderTemplate"])
    template["spec"]["containers"] = [vllm(*(worker or (*ARGS, *nodes, "--node-rank", "1", "--headless")))]
    group["spec"]["leaderWorkerTemplate"]["workerTemplate"] = template
    return (group,)


def _env(name: str, value: str = "1") -> tuple[dict[str, Any], ...]:
    return (server(vllm(env=[{"name": name, "value": value}])),)


CASES = (
    Case(
        "SZ-22",
        "a value that lost its flag",
        (server(vllm(LLAMA_8B, "--max-model-len", "8192", "bfloat16", "auto")),),
        f"words {STRAY}",
    ),
    Case("SZ-22", "the model without a flag is one word", (server(vllm(LLAMA_8B, "--max-model-len", "8192")),)),
    Case("SZ-22", "a group that is started alike", _group()),
    Case(
        "SZ-22",
        "a worker of another context",
        _group(
            "--model",
            LLAMA_8B,
            "--max-model-len",
            "4096",
            "--pipeline-parallel-size",
            "2",
            "--nnodes",
            "2",
            "--node-rank",
            "1",
            "--headless",
        ),
        "leader and worker differ in max-model-len",
    ),
    Case(
        "SZ-22",
        "a worker with an API server of its own",
        _group(*ARGS, "--pipeline-parallel-size", "2", "--nnodes", "2", "--node-rank", "1"),
        "starts an API server of its own",
    ),
    Case(
        "SZ-22", "a variable that is almost the key's", _env("VLLM_API_KEYS"), "nothing reads the variable", advice=True
    ),
    Case("SZ-22", "a variable of one's own", _env("TEAM_NAME")),
    Case("SZ-22", "one that Ollama reads", (server(ollama(OLLAMA_CONTEXT_LENGTH="4096")),)),
    Case(
        "WH-16",
        "an accelerator that is misspelt",
        (server(nodeSelector={GKE: "nvidia-l4x"}),),
        "is no value that nodes are known to have",
        advice=True,
    ),
    Case("WH-16", "an accelerator that nobody knows yet", (server(nodeSelector={GKE: "nvidia-x900-next"}),)),
    Case(
        "WH-16",
        "zones tell no accelerators apart",
        (server(nodeSelector={"topology.kubernetes.io/zone": "a"}),),
        "any GPU",
    ),
    Case("WH-16", "a pool by name does", (server(nodeSelector={"pool": "l4"}),)),
)
