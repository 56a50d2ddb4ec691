"""The engines that a plan can choose from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelberth.engines.base import (
    Accelerator,
    ConfigFile,
    Engine,
    Fetch,
    Group,
    Launch,
    Probe,
    Probes,
    SecretEnv,
    Sizing,
    Wishes,
)
from modelberth.engines.llamacpp import LlamaCpp
from modelberth.engines.ollama import Ollama
from modelberth.engines.sglang import SGLang
from modelberth.engines.tensorrt_llm import TensorRtLlm
from modelberth.engines.tgi import Tgi
from modelberth.engines.vllm import Vllm
from modelberth.observed import Observed

ENGINES: dict[str, Engine] = {
    "vllm": Vllm(),
    "llamacpp": LlamaCpp(),
    "ollama": Ollama(),
    "sglang": SGLang(),
    "tensorrt_llm": TensorRtLlm(),
    "tgi": Tgi(),
}


def read(container: Mapping[str, Any]) -> Observed | None:
    """What a container serves, asked of every engine in turn; None when no engine recognises it."""
    return next((seen for engine in ENGINES.values() if (seen := engine.read(container))), None)


__all__ = [
    "ENGINES",
    "Accelerator",
    "ConfigFile",
    "Engine",
    "Fetch",
    "Group",
    "Launch",
    "Probe",
    "Probes",
    "SecretEnv",
    "Sizing",
    "Wishes",
    "read",
]
