"""Which quantization serves a goal best on a GPU, of those that the engine really runs there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from modelberth import compatibility
from modelberth.catalog import Gpu, catalog
from modelberth.compatibility import Answer, Kind


class Goal(StrEnum):
    """What the weights are chosen for."""

    PRODUCTION = "production"
    QUALITY = "quality"
    LOCAL = "local"
    FINE_TUNING = "fine-tuning"


@dataclass(frozen=True)
class Wish:
    """One candidate of a goal, and what it may be: computed in, or also only stored."""

    quantization: str
    why: str
    weight_only: bool = True


_SIXTEEN_BIT = (
    Wish("bf16", "16 bit loses nothing"),
    Wish("fp16", "16 bit loses next to nothing, and the GPU has no bfloat16"),
    Wish("f16", "16 bit in a GGUF file loses next to nothing"),
)
_WISHES: dict[Goal, tuple[Wish, ...]] = {
    Goal.PRODUCTION: (
        Wish("awq", "4-bit weights leave the most memory for requests"),
        Wish("nvfp4", "4-bit weights leave the most memory for requests", weight_only=False),
        Wish("gptq", "4-bit weights leave the most memory for requests"),
        Wish("fp8", "8-bit weights halve the memory"),
        Wish("q4_k_m", "4-bit weights leave the most memory for requests"),
        *_SIXTEEN_BIT,
    ),
    Goal.QUALITY: (
        Wish("fp8", "next to 16 bit in quality, and computed in fp8 it is faster", weight_only=False),
        *_SIXTEEN_BIT,
    ),
    Goal.LOCAL: (
        Wish("q4_k_m", "the usual compromise of size and quality in GGUF"),
        Wish("awq", "4-bit weights for an engine that does not read GGUF"),
        Wish("nvfp4", "4-bit weights for an engine that does not read GGUF", weight_only=False),
        *_SIXTEEN_BIT,
    ),
    Goal.FINE_TUNING: (
        Wish("nf4", "adapters trained on NF4 weights (QLoRA) are served on the same weights"),
        Wish("bf16", "adapters trained on NF4 weights elsewhere are served on the 16-bit model"),
        Wish("fp16", "adapters trained on NF4 weights elsewhere are served on the 16-bit model"),
        Wish("f16", "adapters trained on NF4 weights elsewhere are served on the 16-bit model"),
    ),
}
"""Best first. The first of each goal is the rule of the package's seed guide; the others are where it does not hold."""


@dataclass(frozen=True)
class Selection:
    """The chosen format, None when the engine runs none of the candidates, and why each was taken or left."""

    quantization: str | None
    reasons: tuple[str, ...]


def quantization_for(goal: Goal, gpu: Gpu | None, engine: str, version: str | None = None) -> Selection:
    """The best format for a goal on this GPU (None: a CPU) that the engine's stock image runs.

    The version is the engine's default unless stated. Raises :class:`~modelberth.errors.UnknownName` for an engine
    that the catalog does not hold.
    """
    release = version or catalog().engine(engine).default_version
    left: list[str] = []
    for wish in _WISHES[goal]:
        given = compatibility.answer(engine, release, wish.quantization, gpu)
        if given.subject is compatibility.Subject.ACCELERATOR and given.kind is not Kind.YES:
            return Selection(None, (f"{engine}: {given.reason}",))
        if _serves(wish, given):
            return Selection(wish.quantization, (*left, f"{wish.quantization}: {wish.why} ({given.reason})"))
        left.append(f"not {wish.quantization}: {given.reason}")
    return Selection(None, tuple(left))


def _serves(wish: Wish, given: Answer) -> bool:
    return given.kind is Kind.YES or (given.kind is Kind.WEIGHT_ONLY and wish.weight_only)
