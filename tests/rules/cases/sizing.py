"""Examples of the sizing rules that tests/rules/test_sizing.py does not follow figure by figure."""

from __future__ import annotations

import json
from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import GKE, LLAMA_8B, QWEN_7B, deployment, gguf, guide, llamacpp, sglang, vllm

H100 = {"nodeSelector": {GKE: "nvidia-h100-80gb"}}
L4 = {"nodeSelector": {GKE: "nvidia-l4"}}
ALLOW = [{"name": "VLLM_ALLOW_LONG_MAX_MODEL_LEN", "value": "1"}]
HF_70B = "meta-llama/Llama-3.1-70B-Instruct"


def recorded(concurrency: Any, request_tokens: Any, *args: str) -> tuple[dict[str, Any], ...]:
    """Llama 3.1 8B on an L4, with what our record says of it."""
    manifest = deployment(vllm("--model", LLAMA_8B, "--max-model-len", "8192", *args))
    record = {"concurrency": concurrency, "request_tokens": request_tokens}
    return (manifest | {"metadata": {"annotations": {"modelberth.dev/sizing": json.dumps(record)}}},)


def short(*args: str) -> dict[str, Any]:
    return deployment(vllm("--model", LLAMA_8B, "--max-model-len", "4096", *args))


def group(*args: str, size: int = 2, gpus: int = 8, **more: Any) -> tuple[dict[str, Any], ...]:
    """Pods of 8 GPUs that hold one copy together."""
    pod = {
        "spec": {"containers": [vllm("--model", HF_70B, "--max-model-len", "8192", *args, gpus=gpus, **more)], **H100}
    }
    template = {"size": size, "leaderTemplate": pod, "workerTemplate": pod}
    return (
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": "g"},
            "spec": {"leaderWorkerTemplate": template},
        },
    )


CASES = (
    Case("SZ-01", "the guide's manifest does not start", (guide(),), red="does not fit: one request of 131,072 tokens"),
    Case("SZ-01", "what the record states is held", recorded(8, 4000)),
    Case(
        "SZ-01",
        "what the record states is surely not held",
        recorded(64, 4000),
        red="64 requests of 4,000 tokens need 31.25 GiB of KV cache",
    ),
    Case("SZ-01", "a cap is no concurrency", recorded(8, 4000, "--max-num-seqs", "256")),
    Case("SZ-01", "a record of other figures is not trusted", recorded("many", -1)),
    Case(
        "SZ-01",
        "slots hold full contexts",
        (deployment(llamacpp(*gguf(), "--ctx-size", "1048576", "--parallel", "32"), pod={}),),
        red="32 slots of",
    ),
    Case(
        "SZ-01",
        "a StatefulSet is judged alike",
        (deployment(vllm("--model", LLAMA_8B), kind="StatefulSet"),),
        red="does not fit",
    ),
    Case(
        "SZ-03",
        "a size that divides no heads",
        (deployment(vllm("--model", LLAMA_8B, "-tp", "3", gpus=3)),),
        red="does not divide the 32 attention heads",
    ),
    Case(
        "SZ-04",
        "a program that is built on the engine spreads in its own way",
        (
            deployment(
                vllm(
                    "--model",
                    LLAMA_8B,
                    "--stages",
                    "2",
                    image="example.com/omni:1.0",
                    command=["vllm", "serve"],
                    gpus=2,
                )
            ),
        ),
    ),
    Case(
        "SZ-04",
        "an image that is built for CPUs needs no GPU",
        (
            deployment(
                vllm("--model", LLAMA_8B, image="example.com/vllm-cpu-env:0.33.0", command=["vllm", "serve"], gpus=0)
            ),
        ),
    ),
    Case(
        "SZ-04",
        "what asks a server is none",
        (deployment(vllm("--model", LLAMA_8B, command=["vllm", "bench", "serve"], gpus=0)),),
    ),
    Case("SZ-04", "more ranks than GPUs", (deployment(vllm("--model", LLAMA_8B, "-tp", "2")),), red="requests 1"),
    # --- SZ-05
    Case("SZ-05", "as many ranks as a pod has GPUs", group("-tp", "8", "-pp", "2", "--nnodes", "2")),
    Case(
        "SZ-05",
        "ranks over two nodes through the network",
        group("-tp", "16", "--nnodes", "2"),
        red="tensor parallel size 16 is more than the 8 GPUs of a pod: every layer",
        advice=True,
    ),
    Case(
        "SZ-05",
        "Ray spreads ranks too",
        group("-tp", "16", "--distributed-executor-backend", "ray"),
        red="every layer of every token waits",
        advice=True,
    ),
    Case(
        "SZ-05",
        "ranks over two nodes that nothing joins",
        group("-tp", "16"),
        red="nothing tells the engine how to spread over nodes",
    ),
    *(
        Case(
            "SZ-05",
            f"whether {flag} joins the nodes is only known after apply",
            group("-tp", "16", flag, UNKNOWN),
            red="cannot decide whether tensor parallel ranks are joined inside one node",
            undecided=True,
        )
        for flag in ("--nnodes", "--distributed-executor-backend")
    ),
    Case("SZ-05", "one node joins nothing", group("-tp", "16", "--nnodes", "1"), red="nothing tells the engine"),
    Case("SZ-05", "a number of ranks that is only known after apply is another rule's doubt", group("-tp", UNKNOWN)),
    Case(
        "SZ-05",
        "PCIe costs time",
        (deployment(vllm("--model", LLAMA_8B, "--max-model-len", "8192", "-tp", "2", gpus=2)),),
        red="only PCIe joins these GPUs: for 8,192 tokens each of 2 GPUs sends 4.00 GiB",
        advice=True,
    ),
    Case("SZ-05", "NVLink does not", (deployment(vllm("--model", LLAMA_8B, "-tp", "2", gpus=2), pod=H100),)),
    Case("SZ-05", "one GPU exchanges nothing", (deployment(vllm()),)),
    # --- SZ-08
    Case(
        "SZ-08",
        "the model's maximum",
        (deployment(vllm("--model", QWEN_7B, "--max-model-len", "32768")),),
        boundary=True,
    ),
    Case(
        "SZ-08",
        "a token more than the maximum",
        (deployment(vllm("--model", QWEN_7B, "--max-model-len", "32769")),),
        red="32,769 tokens is more than the 32,768",
        boundary=True,
    ),
    Case(
        "SZ-08",
        "a variable insists on a longer context",
        (deployment(vllm("--model", QWEN_7B, "--max-model-len", "32769", env=ALLOW)),),
        red="32,769",
        advice=True,
    ),
    Case(
        "SZ-08",
        "whether a variable insists is only known after apply",
        (deployment(vllm("--model", QWEN_7B, "--max-model-len", "32769", env=[ALLOW[0] | {"value": UNKNOWN}])),),
        red="cannot decide",
        undecided=True,
    ),
    Case(
        "SZ-08",
        "SGLang refuses alike",
        (deployment(sglang("--model-path", QWEN_7B, "--context-length", "40000")),),
        red="40,000 tokens is more than",
    ),
    Case(
        "SZ-21",
        "a context that is only known after apply",
        (deployment(vllm("--model", LLAMA_8B, "--max-model-len", UNKNOWN)),),
        red="cannot decide",
        undecided=True,
    ),
    Case(
        "SZ-08",
        "llama-server starts with a longer context",
        (deployment(llamacpp(*gguf(), "--ctx-size", "40000", "--parallel", "1", memory="16Gi"), pod={}),),
        red="40,000 tokens is more than",
        advice=True,
    ),
    Case(
        "SZ-01",
        "a quantized cache without flash attention",
        (deployment(llamacpp(*gguf(), "-c", "4096", "-fa", "off", "-ctk", "q8_0", "-ctv", "q8_0"), pod={}),),
        red="a quantized V cache requires flash attention",
    ),
    Case(
        "SZ-01",
        "a quantized cache with flash attention",
        (deployment(llamacpp(*gguf(), "-c", "4096", "-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0"), pod={}),),
    ),
    Case(
        "SZ-01",
        "a batch that holds fewer tokens than sequences",
        (short("--max-num-batched-tokens", "63", "--max-num-seqs", "64"),),
        red="--max-num-batched-tokens 63 is less than --max-num-seqs 64",
        boundary=True,
    ),
    Case(
        "SZ-01",
        "a batch that holds as many tokens as sequences",
        (short("--max-num-batched-tokens", "64", "--max-num-seqs", "64"),),
        boundary=True,
    ),
    Case(
        "SZ-01",
        "a prompt that does not fit its batch in one piece",
        (short("--max-num-batched-tokens", "2048", "--max-num-seqs", "8", "--no-enable-chunked-prefill"),),
        red="without chunked prefill --max-num-batched-tokens 2048 holds no prompt of 4096 tokens",
    ),
    Case("SZ-01", "a prompt in chunks", (short("--max-num-batched-tokens", "2048", "--max-num-seqs", "8"),)),
    Case("SZ-01", "tools without a parser", (short("--enable-auto-tool-choice"),), red="asks for --tool-call-parser"),
    Case(
        "SZ-01",
        "experts of a dense model",
        (short("--enable-expert-parallel"),),
        red="expert parallel ranks need experts",
    ),
    Case(
        "SZ-01",
        "a flag that the version has not is refused",
        (deployment(vllm("--model", LLAMA_8B, "--max-modle-len", "8192")),),
        "does not start: --max-modle-len is no flag of vLLM 0.33.0\n    way out: did you mean --max-model-len?",
    ),
    Case(
        "SZ-01",
        "an architecture that the version does not know is refused",
        (
            deployment(
                vllm("--model", "openai/gpt-oss-20b", "--max-model-len", "8192", image="vllm/vllm-openai:v0.9.2")
            ),
        ),
        "vLLM 0.9.2 does not know GptOssForCausalLM",
    ),
    Case(
        "SZ-04",
        "GPUs that a runtime shows unasked are no missing ones",
        (
            deployment(
                vllm(
                    "--model",
                    LLAMA_8B,
                    "--max-model-len",
                    "8192",
                    "-tp",
                    "1",
                    "--dtype",
                    "auto",
                    resources={},
                    env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}],
                )
            ),
        ),
    ),
    Case(
        "SZ-04",
        "accelerators of another maker are no missing GPUs",
        (
            deployment(
                vllm(
                    "--model",
                    LLAMA_8B,
                    "--max-model-len",
                    "8192",
                    "-tp",
                    "1",
                    "--dtype",
                    "auto",
                    resources={"limits": {"habana.ai/gaudi": 1}},
                )
            ),
        ),
    ),
)
