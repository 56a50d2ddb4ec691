"""Examples of the rule about LoRA adapters."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import LLAMA_8B, deployment, sglang, vllm

A, B = "a=/adapters/a", "b=/adapters/b"


def lora(*args: Any, on: bool = True) -> tuple[dict[str, Any], ...]:
    words = ["--model", LLAMA_8B, "--max-model-len", "4096", *(["--enable-lora"] if on else []), *args]
    return (deployment(vllm(*words)),)


def paths(*args: Any) -> tuple[dict[str, Any], ...]:
    return (deployment(sglang("--model-path", LLAMA_8B, *args)),)


CASES = (
    Case("SZ-23", "no adapters at all", lora(on=False)),
    Case("SZ-23", "as many slots as adapters", lora("--max-loras", "2", "--lora-modules", A, B), boundary=True),
    Case(
        "SZ-23",
        "one adapter more than slots",
        lora("--lora-modules", A, B),
        red="2 adapters share --max-loras 1",
        advice=True,
        boundary=True,
    ),
    Case(
        "SZ-23",
        "a name that is used twice",
        lora("--max-loras", "2", "--lora-modules", A, A),
        red="names 2 adapters, 1 of the names more than once",
    ),
    Case(
        "SZ-23",
        "a name in JSON is the same name",
        lora("--max-loras", "2", "--lora-modules", A, '{"name": "a", "path": "/x", "base_model_name": "m"}'),
        red="more than once",
    ),
    Case("SZ-23", "adapters without LoRA", lora("--lora-modules", A, on=False), red="LoRA is not enabled"),
    Case("SZ-23", "a rank on offer", lora("--max-lora-rank", "64")),
    Case("SZ-23", "a rank between those on offer", lora("--max-lora-rank", "24"), red="--max-lora-rank 32"),
    Case("SZ-23", "the highest rank", lora("--max-lora-rank", "512"), boundary=True),
    Case("SZ-23", "a rank above the highest", lora("--max-lora-rank", "513"), red="none of the ranks", boundary=True),
    Case(
        "SZ-23",
        "fewer adapters kept than slots",
        lora("--max-loras", "4", "--max-cpu-loras", "2"),
        red="--max-cpu-loras 2 is less than --max-loras 4",
    ),
    Case("SZ-23", "one adapter has a name of its own, whatever it is", lora("--lora-modules", UNKNOWN)),
    Case(
        "SZ-23",
        "one of two names is only known after apply",
        lora("--max-loras", "2", "--lora-modules", A, UNKNOWN),
        red="cannot decide whether adapters have slots and names of their own",
        undecided=True,
    ),
    Case(
        "SZ-23",
        "how many adapters are kept is only known after apply",
        lora("--lora-modules", A, "--max-cpu-loras", UNKNOWN),
        red="cannot decide",
        undecided=True,
    ),
    Case("SZ-23", "SGLang turns LoRA on by itself", paths("--lora-paths", A, B)),
    Case(
        "SZ-23",
        "SGLang keeps fewer adapters than are named",
        paths("--lora-paths", A, B, "--max-loaded-loras", "1", "--max-loras-per-batch", "1"),
        red="2 adapters are named, --max-loaded-loras keeps 1",
    ),
    Case("SZ-23", "SGLang refuses a name that is used twice", paths("--lora-paths", A, A), red="more than once"),
)
