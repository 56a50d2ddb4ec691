"""Which engine serves what nobody asked a particular engine for."""

from __future__ import annotations

DEFAULT = "vllm"


def automatic(*, gguf: bool, gpus: bool) -> tuple[str, str]:
    """(engine, why) for weights that are GGUF files or not, on machines with GPUs or without any."""
    if gguf:
        return "llamacpp", "GGUF files are read by llama.cpp"
    if not gpus:
        return "llamacpp", "only CPU nodes are allowed"
    return DEFAULT, "the default for production serving on GPUs"
