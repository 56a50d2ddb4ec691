"""What llama.cpp and Ollama share: they read GGUF files, hold requests in slots and are planned on one GPU."""

from __future__ import annotations

import re

from modelberth.engines.base import Sizing
from modelberth.findings import Finding

KIND = re.compile(r"f16|q[2-8]_[0-9k](_[sml])?")
_IN_NAME = re.compile(rf"(?<![a-z0-9])({KIND.pattern})(?![a-z0-9])")


def kind_in(name: str) -> str | None:
    """The quantization that a file, folder or tag is named after, None where it is named after none."""
    found = _IN_NAME.search(name.lower())
    return found[1] if found else None


def one_gpu(engine: str, sizing: Sizing) -> list[Finding]:
    """An error for more than one GPU; ``engine`` is a name in words."""
    if sizing.tensor_parallel == 1:
        return []
    message = f"{engine} is planned on one GPU"
    return [Finding("tensor-parallel", "tensor_parallel", message, "use engine vllm for several GPUs")]


def whole(value: object) -> int | None:
    """A whole number of an argument or variable, None for anything else."""
    return int(str(value)) if re.fullmatch(r"\d{1,15}", str(value)) else None
