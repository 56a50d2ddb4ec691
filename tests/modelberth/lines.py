"""Every command line that the golden cases and the shipped stacks come to, on every version of their engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from modelberth import stackfiles
from modelberth.catalog import catalog
from modelberth.errors import ModelberthError
from modelberth.findings import Refused
from modelberth.lock import settle
from modelberth.names import Packaging
from modelberth.plan import Plan, plan
from modelberth.spec import StackSpec
from tests.modelberth.samples import LLAMA_70B, QWEN_7B, ROOT, stack_of

SECRETS = {"token": {"secret": "hub"}, "api_key": {"secret": "keys", "key": "chat"}}
HUB = {"weights": {"w": {"kind": "hub"}}}
CLAIM = {"weights": {"w": {"kind": "existing-claim", "claim": "models", "path": "llama"}}}
CLOSED = {"defaults": {"registry": "registry.local/mirror", "hub_endpoint": "https://hub.local"}}

ADAPTER = {"name": "sql", "source": "example-org/llama-3.1-8b-sql-lora", "revision": "0123456789" * 4, "rank": 16}

SPELLED: dict[str, dict[str, Any]] = {
    "vllm": {"typical_tokens": 3000},
    "vllm with secrets": {"typical_tokens": 3000, **SECRETS},
    "vllm from the hub": {"typical_tokens": 3000, "keys": HUB, "weights": "w", **SECRETS},
    "vllm from an existing claim": {"typical_tokens": 3000, "keys": CLAIM, "weights": "w"},
    "vllm in a closed network": {"typical_tokens": 3000, "keys": CLOSED | HUB, "weights": "w"},
    "vllm on several GPUs": {"model": LLAMA_70B, "gpu_memory_utilization": 0.95, "kv_cache_dtype": "fp8"},
    "vllm with awq": {"quantization": "awq", "concurrency": 2},
    "vllm with fp8 made while loading": {"model": "Qwen/Qwen2.5-32B", "quantization": "fp8"},
    "vllm with an fp8 checkpoint": {"model": "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8"},
    "vllm with a model stored as fp8": {"model": "Qwen/Qwen3-8B-FP8"},
    "vllm with fp16": {"quantization": "fp16", "accelerators": ["nvidia-t4"], "concurrency": 1},
    "vllm of the version before": {"typical_tokens": 3000, "engine_version": "0.32.0"},
    "vllm with arguments of one's own": {"typical_tokens": 3000, "extra_args": ["--seed", "7", "--enforce-eager"]},
    "vllm with adapters and n-grams": {
        "accelerators": ["nvidia-l40s"],
        "adapters": [ADAPTER | {"name": "sql"}, ADAPTER | {"name": "tickets", "rank": 24}],
        "runtime_adapter_loading": True,
        "speculative": {"method": "ngram", "tokens": 4},
        "tool_call_parser": "llama3_json",
    },
    "vllm with a draft model": {
        "model": "Qwen/Qwen3-8B",
        "speculative": {"method": "draft_model", "model": "Qwen/Qwen3-0.6B", "tokens": 3},
        "reasoning_parser": "qwen3",
    },
    "vllm with KV cache on the node": {"accelerators": ["nvidia-l40s"], "kv_offload_gib": 8},
    "sglang with parsers": {
        "engine": "sglang",
        "model": "Qwen/Qwen3-8B",
        "tool_call_parser": "qwen25",
        "reasoning_parser": "qwen3",
    },
    "tensorrt_llm with parsers": {
        "engine": "tensorrt_llm",
        "model": "Qwen/Qwen3-8B",
        "accelerators": ["nvidia-h100-80gb"],
        "tool_call_parser": "qwen3",
        "reasoning_parser": "deepseek-r1",
    },
    "llamacpp with adapters and n-grams": {
        "quantization": "q4_k_m",
        "adapters": [ADAPTER | {"source": "example-org/llama-lora-gguf/sql-f16.gguf"}],
        "speculative": {"method": "ngram", "tokens": 8},
        "reasoning_parser": "none",
    },
    "llamacpp with a draft model": {
        "model": QWEN_7B,
        "quantization": "q4_k_m",
        "speculative": {"method": "draft_model", "model": "Qwen/Qwen2.5-0.5B-Instruct", "tokens": 8},
    },
    "llamacpp on cpu": {"model": QWEN_7B, "accelerators": ["cpu"], "concurrency": 4},
    "llamacpp on cpu with secrets": {"model": QWEN_7B, "accelerators": ["cpu"], "concurrency": 4, **SECRETS},
    "llamacpp on a GPU": {"quantization": "q6_k", "accelerators": ["nvidia-l4"], "concurrency": 2},
    "llamacpp with a small cache": {"quantization": "q4_k_m", "kv_cache_dtype": "q8_0"},
}
"""Services by what is tried, in the fields of a spec."""


def _written() -> list[Path]:
    found = [*ROOT.glob("tests/golden/*/*.yaml"), *ROOT.glob("stacks/Pulumi.*.yaml")]
    return sorted(path for path in found if path.name == "spec.yaml" or path.name.startswith("Pulumi."))


@dataclass(frozen=True)
class Case:
    """One service of one file, or one of :data:`SPELLED`, on one version of its engine."""

    file: str
    service: str
    engine: str
    version: str

    def __str__(self) -> str:
        return f"{self.file}-{self.service}-{self.engine}-{self.version}"

    @property
    def plan(self) -> Plan:
        """Its plan. Raises :class:`Refused`."""
        stack = stack_of(**SPELLED[self.file]) if self.file in SPELLED else _stack(self.file)
        pinned = stack.services[self.service].model_copy(update={"engine_version": self.version})
        return plan(self.service, stack.model_copy(update={"services": {**stack.services, self.service: pinned}}))


@cache
def _stack(file: str) -> StackSpec:
    return stackfiles.read(ROOT / file).spec


@cache
def cases() -> tuple[Case, ...]:
    """All of them that are not refused as they are written, on every version of their engine.

    Triton is told by a repository of settings, not by flags of the engine: its own tests read that.
    """
    return tuple(_cases())


def _cases() -> Iterator[Case]:
    for path in _written():
        file = str(path.relative_to(ROOT))
        try:
            plans = settle(_stack(file), {}, update=True).plans
        except (ModelberthError, Refused):
            continue
        for each in (one for one in plans if one.spec.packaging is Packaging.SERVE):
            for version in catalog().engine(each.decision.engine).versions:
                yield Case(file, each.service, each.decision.engine, version)
    for name, fields in SPELLED.items():
        engine = plan("chat", stack_of(**fields)).decision.engine
        for version in catalog().engine(engine).versions:
            yield Case(name, "chat", engine, version)
