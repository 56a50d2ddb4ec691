"""Memory of a model on an engine, as named terms in bytes."""

from collections.abc import Callable, Mapping

from modelberth.memory import llamacpp, ollama, sglang, tensorrt_llm, tgi, torch_terms, vllm
from modelberth.memory.families import shape_of, stored_as
from modelberth.memory.gguf import gguf_bytes
from modelberth.memory.kv import kv_bytes_per_token
from modelberth.memory.llamacpp import stored_bytes
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Shape
from modelberth.memory.terms import KvPlan, Memory, Term, Uniform, Unsized
from modelberth.memory.weights import Ranks, Stored, safetensors_bytes

MEMORY_MODELS: Mapping[str, Callable[[Setup], Memory]] = {
    "vllm": vllm.memory,
    "sglang": sglang.memory,
    "tgi": tgi.memory,
    "tensorrt_llm": tensorrt_llm.memory,
    "llamacpp": llamacpp.memory,
    "ollama": ollama.memory,
}
"""By engine id. Each raises :class:`Unsized` for what it cannot compute."""


def memory_of(engine: str, setup: Setup) -> Memory:
    """The sum of one engine by its id. Raises :class:`Unsized` for what cannot be computed."""
    if engine not in MEMORY_MODELS:
        raise Unsized(f"the memory of engine {engine} is not modelled")
    return MEMORY_MODELS[engine](setup)


def weights_of(engine: str, setup: Setup) -> tuple[Term, ...]:
    """What one rank holds of the model when it is loaded, whatever the card. Raises :class:`Unsized`."""
    if engine == "vllm":
        return vllm.weights(setup)
    if engine in READ_GGUF:
        amount = stored_bytes(setup.shape, setup.stored).total
        return (Term("weights", amount, f"as {setup.quantization}", "llama.cpp, src/llama-quant.cpp"),)
    return (torch_terms.weights(setup, engine),)


def offloadable(engine: str, setup: Setup) -> int:
    """Layers that an engine which splits a model between GPU and host would put on the GPU; 0 for the others."""
    if engine not in READ_GGUF or not setup.on_gpu or setup.gpu_layers is not None:
        return 0
    return ollama.placement(setup).layers


READ_GGUF = frozenset({"llamacpp", "ollama"})

__all__ = [
    "MEMORY_MODELS",
    "KvPlan",
    "Memory",
    "Ranks",
    "Setup",
    "Shape",
    "Stored",
    "Term",
    "Uniform",
    "Unsized",
    "gguf_bytes",
    "kv_bytes_per_token",
    "memory_of",
    "offloadable",
    "safetensors_bytes",
    "shape_of",
    "stored_as",
    "weights_of",
]
