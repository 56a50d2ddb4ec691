"""What joins nodes that share one copy of a model, and what passes between them.

Pipeline stages send little: per token and boundary two vectors of the hidden width, where tensor parallel ranks
exchange as much in every layer. They are still planned only where GPUs of several nodes reach each other directly: over
a plain network every step of every request waits for sockets and copies, and how long, nobody has measured here.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from modelberth.catalog import Machine
from modelberth.documents import mapping
from modelberth.memory.shapes import Shape
from modelberth.units import gib, tokens

_VECTORS_PER_TOKEN = 2
"""Hidden states and residual (vLLM 0.33.0, model_executor/models/llama.py, IntermediateTensors; the same two in SGLang
0.5.22, srt/models/llama.py, PPProxyTensors)."""

_BYTES_PER_ELEMENT = 2


def fabric_of(machine: Machine) -> str | None:
    """What its cloud calls the direct path between GPUs of several nodes; None where no source states one."""
    return _fabrics().get(machine.id)


def crossing_bytes(shape: Shape, count: int) -> int:
    """Bytes that pass from one pipeline stage to the next while ``count`` tokens pass through the model, in 16 bit."""
    return count * shape.hidden * _VECTORS_PER_TOKEN * _BYTES_PER_ELEMENT


def crossing(machine: Machine, shape: Shape, count: int) -> str:
    """The same as words, with the least time that the machine's network takes for it."""
    amount = crossing_bytes(shape, count)
    prompt = f"a prompt of {tokens(count)} tokens passes {gib(amount)} from one node to the next"
    if machine.network_gbps is None:
        return f"{prompt}, over a network whose rate is not known"
    seconds = amount * 8 / (machine.network_gbps * 1e9)
    return f"{prompt}, at least {seconds * 1000:,.1f} ms at {machine.network_gbps:g} Gbps"


def no_fabric(machine: Machine, shape: Shape, count: int) -> str:
    """Why no copy is shared by several nodes of this type; empty where it can be."""
    if fabric_of(machine):
        return ""
    return f"no fast fabric (EFA, GPUDirect) joins its nodes: {crossing(machine, shape, count)}"


@cache
def _fabrics() -> dict[str, str]:
    file = files("modelberth.catalog") / "fabrics.yaml"
    document = mapping(file.read_text(encoding="utf-8"), file.name)
    return {machine: str(row["fabric"]) for row in document["rows"] for machine in row["machines"]}
