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
    undecided: tuple[tuple[str, str], ...] = ()
