"""Examples of the rules about shares of GPU memory."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import GKE, LLAMA_8B, deployment, sglang, tgi, vllm

TINY = "Qwen/Qwen2.5-0.5B-Instruct"
H100 = {"nodeSelector": {GKE: "nvidia-h100-80gb"}}


def share(amount: Any, **more: Any) -> dict[str, Any]:
    return vllm("--model", LLAMA_8B, "--max-model-len", "4096", "--gpu-memory-utilization", amount, **more)


def claimed(container: dict[str, Any], *names: Any) -> dict[str, Any]:
    return container | {"resources": {"claims": [{"name": name} for name in names]}}


def beside(*containers: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return (deployment(*containers),)


def two_h100() -> dict[str, Any]:
    """Llama 3.1 8B over two H100."""
    return deployment(vllm("--model", LLAMA_8B, "--max-model-len", "8192", "-tp", "2", gpus=2), pod=H100)


CASES = (
    Case("SZ-11", "0.97 passes", beside(share("0.97")), boundary=True),
    Case(
        "SZ-11", "0.98 is advised against", beside(share("0.98")), red="is more than 0.97", advice=True, boundary=True
    ),
    Case("SZ-11", "another limit can be set", beside(share("0.98")), thresholds={"most": 0.99}),
    Case(
        "SZ-11",
        "90 is a percentage",
        beside(share("90")),
        red="--gpu-memory-utilization 0.9: it is a share of the card",
    ),
    Case("SZ-11", "nothing is no share", beside(share("0")), red="is not a share between 0 and 1"),
    Case("SZ-11", "the whole card is never free", beside(share("1.0")), red="asks for the whole card"),
    Case("SZ-11", "TGI leaves a part of the whole by itself", beside(tgi(env={"CUDA_MEMORY_FRACTION": "1.0"}))),
    Case(
        "SZ-11",
        "SGLang's share is judged alike",
        beside(sglang("--model-path", LLAMA_8B, "--mem-fraction-static", "1.2")),
        red="--mem-fraction-static 1.2 is not a share",
    ),
    Case("SZ-11", "two engines with GPUs of their own", beside(share("0.9"), share("0.9"))),
    Case(
        "SZ-11",
        "two engines that share a claim",
        beside(claimed(share("0.6"), "gpu"), claimed(share("0.5"), "gpu")),
        red="0.6 + 0.5 = 1.1 of each card",
        boundary=True,
    ),
    Case(
        "SZ-11",
        "two engines that share a claim between them",
        beside(claimed(share("0.5"), "gpu"), claimed(share("0.5"), "gpu")),
        boundary=True,
    ),
    Case("SZ-11", "a default counts", beside(claimed(share("0.2"), "gpu"), claimed(vllm(), "gpu")), red="0.2 + 0.92"),
    Case(
        "SZ-11", "two engines with claims of their own", beside(claimed(share("0.9"), "a"), claimed(share("0.9"), "b"))
    ),
    Case(
        "SZ-11",
        "two engines that see all GPUs of the node",
        beside(*(share("0.8", gpus=None, env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]) for _ in "ab")),
        red="0.8 + 0.8",
    ),
    Case(
        "SZ-11",
        "a claim that is only known after apply",
        beside(claimed(share("0.6"), UNKNOWN), claimed(share("0.6"), "gpu")),
        red="cannot decide",
        undecided=True,
    ),
    Case("SZ-11", "a share that is only known after apply is another rule's doubt", beside(share(UNKNOWN))),
    # --- SZ-19
    Case(
        "SZ-19",
        "half a billion parameters on an H100",
        (deployment(vllm("--model", TINY, "--max-model-len", "4096"), pod=H100),),
        red="1 x NVIDIA",
        advice=True,
    ),
    Case("SZ-19", "an 8B model on an L4", beside(share("0.9"))),
    Case(
        "SZ-19",
        "an 8B model on an H100 with room for sixteen long requests",
        (deployment(vllm("--model", LLAMA_8B, "--max-model-len", "32768"), pod=H100),),
    ),
    Case(
        "SZ-19",
        "a GPU of 13.19 times the memory needed is within a factor of 13.2",
        (deployment(vllm("--model", TINY, "--max-model-len", "4096"), pod=H100),),
        boundary=True,
        thresholds={"factor": 13.2},
    ),
    Case(
        "SZ-19",
        "a GPU of 13.19 times the memory needed is beyond a factor of 13.1",
        (deployment(vllm("--model", TINY, "--max-model-len", "4096"), pod=H100),),
        red="6.00 GiB of 79.18 GiB are needed, 1 x NVIDIA L4",
        advice=True,
        boundary=True,
        thresholds={"factor": 13.1},
    ),
    Case(
        "SZ-19",
        "the most requests that half of the GPUs hold",
        (two_h100(),),
        red="more than 54 requests of 8,192 tokens need",
        advice=True,
        boundary=True,
        thresholds={"requests": 54},
    ),
    Case(
        "SZ-19",
        "one request more needs them all",
        (two_h100(),),
        boundary=True,
        thresholds={"requests": 55},
    ),
    Case(
        "SZ-19",
        "more ranks than the smallest number that holds it",
        (deployment(vllm("--model", LLAMA_8B, "--max-model-len", "4096", "-tp", "4", gpus=4), pod=H100),),
        red="tensor parallel size 1 on 1 x NVIDIA H100 80GB (SXM) holds them",
        advice=True,
    ),
    Case(
        "SZ-19",
        "the smallest number of ranks that holds it",
        (
            deployment(
                vllm("--model", "meta-llama/Llama-3.1-70B-Instruct", "--max-model-len", "4096", "-tp", "4", gpus=4),
                pod=H100,
            ),
        ),
    ),
    Case("SZ-19", "what does not fit is no matter of cost", (deployment(vllm("--model", LLAMA_8B)),)),
    Case(
        "SZ-19",
        "a size that is only known after apply",
        (deployment(vllm("--model", TINY, "--max-model-len", UNKNOWN), pod=H100),),
    ),
)
