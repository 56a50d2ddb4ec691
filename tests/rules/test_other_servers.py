"""The rules judge SGLang and TGI as they judge vLLM: by their own flags, variables and sums, on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth.observed import UNKNOWN
from tests.rules.samples import ARGS, CANARY, GKE, LLAMA_8B, codes, deployment, findings, sglang, tgi

MODEL = ["--model-path", LLAMA_8B]
ROOMY = [*MODEL, "--context-length", "8192", "--mem-fraction-static", "0.85"]
ON_H100 = {"nodeSelector": {GKE: "nvidia-h100-80gb"}}


def red(container: dict[str, Any], rule: str, pod: dict[str, Any] | None = None) -> tuple[str, str]:
    """Message and remedy of the one finding of a rule."""
    (finding,) = findings(deployment(container, pod=pod), rule)
    return finding.message, finding.remedy


@pytest.mark.parametrize(
    "container",
    [
        sglang(),
        sglang(*ROOMY, "--enable-metrics", "--max-running-requests", "8"),
        sglang(*ROOMY, "--tp", "2", gpus=2),
        sglang(command=["sglang", "serve"], args=[LLAMA_8B, *ROOMY[2:]]),
        sglang(*ROOMY, "--api-key", "$(KEY)", env=[{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "a"}}}]),
        tgi(),
        tgi(env={"NUM_SHARD": "2"}, gpus=2),
        tgi(gpus=2),
        tgi("--max-total-tokens", "4096"),
    ],
)
def test_what_fits_passes(container: dict[str, Any]) -> None:
    assert codes(deployment(container)) == []


def test_sglang_that_does_not_fit_is_stopped_with_its_own_flags_as_ways_out() -> None:
    message, remedy = red(sglang(*MODEL, "--context-length", "65536", "--mem-fraction-static", "0.85"), "SZ-01")
    assert message.startswith("does not fit: one request of 65,536 tokens needs 8.00 GiB of KV cache")
    assert remedy.startswith("--context-length ")


def test_sglangs_own_fraction_is_what_is_judged_when_none_is_stated() -> None:
    message, _ = red(sglang(*MODEL, "--context-length", "8192"), "SZ-01")
    assert "22.03 GiB x 0.6" in message
    assert codes(deployment(sglang(*MODEL, "--context-length", "8192"), pod=ON_H100)) == []


def test_tgi_that_does_not_fit_is_stopped_with_its_own_flag_as_way_out() -> None:
    message, remedy = red(tgi(env={"MAX_TOTAL_TOKENS": "65536"}), "SZ-01")
    assert message.startswith("does not fit: one request of 65,536 tokens needs 8.00 GiB of KV cache")
    assert remedy.startswith("--max-total-tokens ")


def test_a_context_that_just_fits_passes_and_one_that_may_not_is_advised_against() -> None:
    _, remedy = red(tgi(env={"MAX_TOTAL_TOKENS": "65536"}), "SZ-01")
    largest = int(remedy.split()[1].rstrip(";"))
    assert codes(deployment(tgi(env={"MAX_TOTAL_TOKENS": str(largest)}))) == []
    assert codes(deployment(tgi(env={"MAX_TOTAL_TOKENS": str(largest + 1)}))) == ["SZ-02"]


def test_ranks_that_do_not_divide_the_heads_are_stopped_with_the_engines_own_flag() -> None:
    _, remedy = red(sglang(*ROOMY, "--tp-size", "3", gpus=3), "SZ-03")
    assert remedy.startswith("--tp-size 1 or 2 or 4")
    _, remedy = red(tgi(env={"NUM_SHARD": "3"}, gpus=3), "SZ-03")
    assert remedy.startswith("--num-shard 1 or 2 or 4")


def test_ranks_that_are_not_the_gpus_are_stopped() -> None:
    message, remedy = red(sglang(*ROOMY, "--tp-size", "2", gpus=4), "SZ-04")
    assert "= 2 GPUs, the container requests 4" in message
    assert remedy == "nvidia.com/gpu: 2, or --tp-size 4"
    message, remedy = red(tgi(env={"NUM_SHARD": "2"}, gpus=4), "SZ-04")
    assert remedy == "nvidia.com/gpu: 2, or --num-shard 4"


def test_a_context_beyond_the_models_maximum_is_stopped() -> None:
    too_long = sglang(*MODEL, "--context-length", "131073", "--mem-fraction-static", "0.85")
    assert "131,073 tokens is more than the 131,072" in red(too_long, "SZ-08", ON_H100)[0]
    at_most = sglang(*MODEL, "--context-length", "131072", "--mem-fraction-static", "0.85")
    assert codes(deployment(at_most, pod=ON_H100)) == []
    assert "131,073" in red(tgi(env={"MAX_TOTAL_TOKENS": "131073"}), "SZ-08", ON_H100)[0]


@pytest.mark.parametrize(
    ("container", "says"),
    [
        (sglang(*MODEL, "--context-length", UNKNOWN), "because --context-length is only known after apply"),
        (sglang(*ROOMY, "--tp-size", UNKNOWN), "because --tp-size is only known after apply"),
        (sglang(*ROOMY, "--enable-lora"), "because --enable-lora changes memory in a way that cannot be sized yet"),
        (
            sglang(*ROOMY, "--turbo", image="lmsysorg/sglang:latest"),
            "because --turbo is no flag of 0.5.23: the version is assumed",
        ),
        (sglang(*ROOMY[2:]), "because the model is not named by the arguments as a repository"),
        (sglang(args=UNKNOWN), "because a part of the arguments is only known after apply"),
        (
            tgi(env={"MAX_TOTAL_TOKENS": None}) | {"env": [{"name": "MODEL_ID", "value": LLAMA_8B}]},
            "shrinks the context",
        ),
        (tgi(env={"MAX_TOTAL_TOKENS": UNKNOWN}), "because --max-total-tokens is only known after apply"),
        (tgi(env={"LORA_ADAPTERS": "a/b"}), "because --lora-adapters changes memory"),
        (tgi(env={"TGI_WIGGLE_ROOM": "0.8"}), "because TGI_WIGGLE_ROOM changes the engine's own reserve"),
    ],
)
def test_what_cannot_be_decided_is_said_once_and_never_passes(container: dict[str, Any], says: str) -> None:
    (finding,) = findings(deployment(container), "SZ-21")
    assert says in finding.message, finding.message
    assert finding.path == ARGS


def test_no_finding_repeats_a_key() -> None:
    for container in (
        sglang(*MODEL, "--context-length", "65536", "--api-key", CANARY),
        tgi(env={"MAX_TOTAL_TOKENS": "65536", "API_KEY": CANARY, "QUANTIZE": CANARY}),
        tgi("--api-key", CANARY, "--no-such", CANARY),
    ):
        said = [finding for rule in ("SZ-01", "SZ-21") for finding in findings(deployment(container), rule)]
        assert said
        assert CANARY not in " ".join(map(str, said))
