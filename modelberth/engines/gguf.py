"""What llama.cpp and Ollama share: they read GGUF files, hold requests in slots and are planned on one GPU."""

from __future__ import annotations

import re
from typing import Any

from modelberth.catalog import Engine as Facts
from modelberth.catalog import catalog
from modelberth.decision import Decision
from modelberth.engines.base import Sizing
from modelberth.findings import Finding

KIND = re.compile(r"f16|q[2-8]_[0-9k](_[sml])?")
_IN_NAME = re.compile(rf"(?<![a-z0-9])({KIND.pattern})(?![a-z0-9])")


class Server:
    """What both servers have in common: no download of their own can be pinned, every request holds a full context."""

    name: str
    pins_downloads = False
    parallel_flag = ""
    needs_gpu = False
    quantizes_to = frozenset[str]()
    reads_gguf = True
    reserves_context = True
    spreads_unasked = True

    @property
    def _facts(self) -> Facts:
        return catalog().engine(self.name)

    def defaults(self, sizing: Sizing) -> dict[str, Any]:
        """Nothing that a decision would have to state."""
        return {"gpu_memory_utilization": None, "max_num_batched_tokens": None}


def threads(decision: Decision) -> str:
    """Threads of a server that computes on CPUs: the whole cores that its pod gets."""
    return str(max(1, decision.host.cpu_millicores // 1000))


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
