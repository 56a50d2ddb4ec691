"""Examples of the rules about arguments."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import LLAMA_8B, QWEN_7B, deployment, gguf, llamacpp, sglang, tgi, vllm

LENGTH = ("--model", LLAMA_8B, "--max-model-len", "4096")


def ours(container: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    manifest = deployment(container)
    return (manifest | {"metadata": {"name": "s", "labels": {"app.kubernetes.io/part-of": "modelberth"}}},)


def theirs(container: dict[str, Any], **more: Any) -> tuple[dict[str, Any], ...]:
    return (deployment(container, **more),)


def env(name: str, value: Any) -> dict[str, Any]:
    return {"env": [{"name": name, "value": value}]}


CASES = (
    Case("SZ-22", "everything said once", theirs(vllm(*LENGTH))),
    Case(
        "SZ-22",
        "the value of a flag that only older versions have is no model",
        theirs(vllm("serve", *LENGTH, "--swap-space", "0", image="vllm/vllm-openai:v0.8.5")),
    ),
    Case("SZ-22", "the same said twice", theirs(vllm(*LENGTH, "--max-model-len", "4096"))),
    Case(
        "SZ-22",
        "two lengths",
        theirs(vllm(*LENGTH, "--max-model-len=8192")),
        red="--max-model-len is given 2 times with different values: the last, 8192, holds",
        advice=True,
    ),
    Case(
        "SZ-22",
        "an abbreviation is the same flag",
        theirs(vllm(*LENGTH, "--max-model-l", "8192")),
        red="--max-model-len is given 2 times",
        advice=True,
    ),
    Case(
        "SZ-22",
        "arguments of one's own that override ours",
        ours(vllm(*LENGTH, "--max-model-len", "8192")),
        red="--max-model-len is given 2 times",
    ),
    Case(
        "SZ-22",
        "a switch that is turned on and off",
        theirs(vllm(*LENGTH, "--enable-prefix-caching", "--no-enable-prefix-caching")),
        red="--enable-prefix-caching is given 2 times",
        advice=True,
    ),
    Case("SZ-22", "a flag that sizing does not read", theirs(vllm(*LENGTH, "--seed", "1", "--seed", "2"))),
    Case(
        "SZ-22",
        "two models",
        theirs(vllm("--model", LLAMA_8B, "--model", QWEN_7B)),
        red="--model is given 2 times",
        advice=True,
    ),
    Case(
        "SZ-22",
        "a model with and one without a flag",
        theirs(vllm(QWEN_7B, "--model", LLAMA_8B)),
        red="the one without a flag holds",
        advice=True,
    ),
    Case(
        "SZ-22",
        "a second length that is only known after apply is another rule's doubt",
        theirs(vllm(*LENGTH, "--max-model-len", UNKNOWN)),
    ),
    Case(
        "SZ-22",
        "a redirected model",
        theirs(vllm(*LENGTH, **env("VLLM_MODEL_REDIRECT_PATH", "/tmp/models.json"))),
        red="VLLM_MODEL_REDIRECT_PATH is set: another model may be loaded",
        advice=True,
    ),
    Case(
        "SZ-22",
        "another hub",
        theirs(vllm(*LENGTH, **env("VLLM_USE_MODELSCOPE", "True"))),
        red="VLLM_USE_MODELSCOPE is set",
        advice=True,
    ),
    Case("SZ-22", "another hub that is turned off", theirs(vllm(*LENGTH, **env("VLLM_USE_MODELSCOPE", "false")))),
    Case("SZ-22", "a key by a variable alone", theirs(vllm(*LENGTH, **env("VLLM_API_KEY", "abc")))),
    Case(
        "SZ-22",
        "a key in both places",
        theirs(vllm(*LENGTH, "--api-key", "x", **env("VLLM_API_KEY", "abc"))),
        red="VLLM_API_KEY is set: the key in the arguments holds",
        advice=True,
    ),
    Case(
        "SZ-22",
        "SGLang takes the last one",
        theirs(sglang("--model-path", LLAMA_8B, "--tp-size", "1", "--tp-size", "2")),
        red="is given 2 times",
        advice=True,
    ),
    Case(
        "SZ-22",
        "TGI refuses a flag that is given twice",
        theirs(tgi("--max-total-tokens", "4096", "--max-total-tokens", "4096")),
        red="which its parser refuses",
    ),
    Case(
        "SZ-22",
        "TGI takes the flag before the variable",
        theirs(tgi("--max-total-tokens", "4096")),
        red="--max-total-tokens and the variable MAX_TOTAL_TOKENS differ: --max-total-tokens, 4096, holds",
        advice=True,
    ),
    Case("SZ-22", "TGI told the same in both places", theirs(tgi("--max-total-tokens", "8192"))),
    Case(
        "SZ-22",
        "llama-server takes the flag before the variable",
        theirs(llamacpp(*gguf(), "--ctx-size", "8192", **env("LLAMA_ARG_CTX_SIZE", "4096")), pod={}),
        red="--ctx-size and the variable LLAMA_ARG_CTX_SIZE differ",
        advice=True,
    ),
    Case(
        "SZ-22",
        "llama-server takes the last one",
        theirs(llamacpp(*gguf(), "--ctx-size", "8192", "-c", "4096"), pod={}),
        red="the last, 4096, holds",
        advice=True,
    ),
    Case(
        "SZ-22",
        "a length of ours that may be another one than before",
        ours(vllm("--model", LLAMA_8B, "--max-model-len", UNKNOWN, "--max-model-len", "4096")),
        red="cannot decide whether what sizing depends on is said once",
        undecided=True,
    ),
    Case(
        "SZ-22",
        "a variable of ours that may say something else",
        ours(llamacpp(*gguf(), "--ctx-size", "8192", **env("LLAMA_ARG_CTX_SIZE", UNKNOWN))),
        red="containers[0].env: cannot decide",
        undecided=True,
    ),
    Case(
        "SZ-22",
        "another hub that may be turned off",
        theirs(vllm(*LENGTH, **env("VLLM_USE_MODELSCOPE", UNKNOWN))),
        red="containers[0].env: cannot decide",
        undecided=True,
        advice=True,
    ),
    Case(
        "SZ-22",
        "a variable that is only known after apply",
        theirs(llamacpp(*gguf(), "--ctx-size", "8192", **env("LLAMA_ARG_CTX_SIZE", UNKNOWN)), pod={}),
    ),
)
