"""The neutral facts that a plan and a live manifest can both produce, and the marker for what is not known yet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class _Unknown(Enum):
    UNKNOWN = "known only after apply"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown.UNKNOWN
"""A value that a preview does not know. Rules turn it into "cannot decide", never into silence."""


@dataclass(frozen=True)
class Extras:
    """What a replica carries beside its model.

    ``lora_slots`` adapters of at most ``lora_rank``; drafts of ``draft_tokens`` tokens by ``method`` (as in
    :class:`~modelberth.names.SpeculativeMethod`; empty: none) from the repository ``draft``, stored as
    ``draft_quantization``; KV cache in the node's memory, of all ranks together.
    """

    lora_slots: int = 0
    lora_rank: int = 0
    method: str = ""
    draft: str | None = None
    draft_quantization: str | None = None
    draft_tokens: int = 0
    kv_offload_bytes: int = 0


NOTHING_ELSE = Extras()


@dataclass(frozen=True)
class Observed:
    """What one container serves, as its own image, arguments and environment say.

    None means "not said": the engine's default holds. ``undecided`` names every fact that is said but cannot be known:
    (fact, why). ``version_assumed`` is True when the image does not tell the engine's version. ``anonymous_path`` is
    True when weights come from a path that names no repository: then nothing here says what they are. ``nodes`` are
    those that share the model, where the arguments say a number. A ``helper`` computes for another container, which
    takes the requests.
    """

    engine: str
    engine_version: str
    version_assumed: bool
    model: str | None = None
    quantization: str | None = None
    dtype: str | None = None
    context: int | None = None
    slots: int | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    nodes: int | None = None
    helper: bool = False
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_dtype: str | None = None
    graph_batch: int | None = None
    enforce_eager: bool = False
    gpu_layers: str | None = None
    anonymous_path: bool = False
    extras: Extras = NOTHING_ELSE
    undecided: tuple[tuple[str, str], ...] = ()
