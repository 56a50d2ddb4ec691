"""Hand-written trtllm-serve manifests: what a ConfigMap holds is not guessed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.samples import LLAMA_8B, codes, deployment, findings

L4 = {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}
T4 = {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}}


def trtllm(*args: str, gpus: int = 1) -> dict[str, Any]:
    image = "nvcr.io/nvidia/tensorrt-llm/release:1.2.1"
    words = ["trtllm-serve", LLAMA_8B, "--max_batch_size", "16", *args]
    return {
        "name": "server",
        "image": image,
        "command": words,
        "resources": {"limits": {"nvidia.com/gpu": gpus, "memory": "16Gi"}},
    }


@pytest.mark.parametrize(("context", "rules"), [("4096", []), ("131072", ["SZ-01"])])
def test_a_context_that_its_card_holds_passes_and_one_that_it_does_not_is_refused(
    context: str, rules: list[str]
) -> None:
    assert codes(deployment(trtllm("--max_seq_len", context), pod=L4)) == rules


def test_the_way_out_is_spelled_as_its_own_option() -> None:
    (found,) = findings(deployment(trtllm("--max_seq_len", "131072"), pod=L4), "SZ-01")
    assert "--max_seq_len " in found.remedy


def test_a_gpu_that_it_does_not_run_on_is_refused() -> None:
    assert codes(deployment(trtllm("--max_seq_len", "2048"), pod=T4)) == ["SZ-09"]


def test_ranks_and_gpus_agree() -> None:
    assert codes(deployment(trtllm("--max_seq_len", "4096", "--tp_size", "2"), pod=L4)) == ["SZ-04"]
    assert codes(deployment(trtllm("--max_seq_len", "4096", "--tp_size", "2", gpus=2), pod=L4)) == []


def test_settings_in_a_file_are_undecided() -> None:
    (found,) = findings(deployment(trtllm("--config", "/settings/a.yaml"), pod=L4), "SZ-21")
    assert "--config" in found.message


def test_a_triton_that_names_its_model_in_a_file_is_undecided() -> None:
    container = trtllm() | {
        "image": "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3",
        "command": ["tritonserver", "--model-repository=/models"],
    }
    assert "SZ-21" in codes(deployment(container, pod=L4))
