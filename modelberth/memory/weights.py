"""Bytes of the weights on one rank, for formats that engines load from safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil
from types import MappingProxyType

from modelberth.memory.shapes import Part, Role, Shape, Split, elements_on_rank
from modelberth.memory.terms import Unsized
from modelberth.units import GIB, ceil_to

BYTES_PER_QUANTIZED_PARAMETER = {
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1 + 4 / (128 * 128),  # an fp32 scale per block of 128 x 128; per-channel scales are smaller
    "int8": 1.0,
    "awq": 0.5 + 2.5 / 128,  # groups of 128: a 16-bit scale and a 4-bit zero point
    "gptq": 0.5 + 2.5 / 128,
    "nvfp4": 0.5 + 1 / 16,  # an fp8 scale per 16
    "mxfp4": 0.5 + 1 / 32,  # an e8m0 scale per 32
    "nf4": 0.5 + 4 / 64,  # an fp32 absmax per 64
}
"""Bytes per parameter of a quantized linear layer, scales included: the storage layouts of the formats themselves
(compressed-tensors, AutoAWQ and GPTQ packing, OCP MX, bitsandbytes)."""

SIXTEEN_BIT = frozenset({"bf16", "fp16"})

LINEAR_ROLES = frozenset(
    {Role.ATTENTION, Role.INDEXER, Role.LINEAR_ATTENTION, Role.MLP, Role.SHARED_EXPERTS, Role.EXPERTS}
)
"""What every quantized format stores in few bits; embeddings, output layer, router, norms and vision stay 16 bit."""

PADDED_VOCAB = 64
"""vLLM pads the vocabulary to a multiple of this (model_executor/layers/vocab_parallel_embedding.py)."""


@dataclass(frozen=True)
class Ranks:
    """How many GPUs share a model: stages x tensor parallel ranks x data parallel ranks (of attention)."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1

    @property
    def expert(self) -> int:
        """Ranks of one stage that share the routed experts, whether by whole experts or by their width."""
        return self.tensor * self.data

    @property
    def gpus(self) -> int:
        """All of them."""
        return self.tensor * self.pipeline * self.data


ONE = Ranks()
"""One GPU."""


@dataclass(frozen=True)
class Stored:
    """How a checkpoint stores its parts: ``quantization``, and ``exceptions`` by role or tensor name.

    ``group_size`` weights share a scale where the format leaves that open. ``total_bytes`` is the sum of the files,
    where it is known; ``draft_layers`` of them are not loaded unless asked for.
    """

    quantization: str
    exceptions: tuple[tuple[str, str], ...] = ()
    group_size: int | None = None
    symmetric: bool = False
    """Whether integers are stored without zero points (compressed-tensors)."""
    total_bytes: int | None = None
    draft_layers: int = 0
    assumed: bool = False
    """Whether nobody says which parts are quantized, and the rule of the format is taken."""

    def kind_of(self, part: Part, *, experts: bool) -> str:
        """The format of one part. A mixture of experts in mxfp4 is gpt-oss' own: experts only (its config.json)."""
        stated = dict(self.exceptions)
        kind = stated.get(part.name) or stated.get(part.role.value)
        if kind:
            return kind
        roles = frozenset({Role.EXPERTS}) if self.quantization == "mxfp4" and experts else LINEAR_ROLES
        linear = part.linear and part.rows > 1 and part.role in roles
        return self.quantization if linear else "bf16"


def bytes_per_parameter(kind: str, group_size: int | None = None, *, symmetric: bool = False) -> float:
    """Stored bytes per element in one format, scales included. Raises KeyError for a GGUF type."""
    size = BYTES_PER_QUANTIZED_PARAMETER[kind]
    if kind not in ("awq", "gptq") or not (group_size or symmetric):
        return size
    return 0.5 + (2 if symmetric else 2.5) / (group_size or 128)


@lru_cache(maxsize=1024)
def part_bytes(shape: Shape, stored: Stored, ranks: Ranks = ONE) -> Mapping[Part, float]:
    """Bytes of every part on one rank of the first stage that holds it. Raises KeyError for a GGUF type."""
    experts = bool(shape.experts)

    def size(part: Part) -> float:
        each = bytes_per_parameter(stored.kind_of(part, experts=experts), stored.group_size, symmetric=stored.symmetric)
        return elements_on_rank(_padded(part), ranks.tensor, ranks.expert) * each

    return MappingProxyType({part: size(part) for part in shape.parts})


def fullest_stage(shape: Shape, sizes: Mapping[Part, float], stages: int = 1) -> int:
    """Bytes on the fullest of ``stages``: the sum of :func:`stage_parts`."""
    return ceil(sum(stage_parts(shape, sizes, stages).values()))


def stage_parts(shape: Shape, sizes: Mapping[Part, float], stages: int = 1) -> dict[Part, float]:
    """The same by part: ``ceil(layers / stages)`` layers, and the embedding (with vision) or the output layer."""
    if stages == 1:
        return dict(sizes)
    share = float(Fraction(-(-shape.layers // stages), shape.layers))
    first = {part: sizes[part] for part in shape.of(Role.EMBEDDING, Role.VISION)}
    last = {part: sizes[part] for part in shape.of(Role.EMBEDDING if shape.tied else Role.OUTPUT)}
    fuller = max(first, last, key=lambda end: sum(end.values()))
    ends = (Role.EMBEDDING, Role.OUTPUT, Role.VISION)
    return {part: size * share for part, size in sizes.items() if part.role not in ends} | fuller


def safetensors_bytes(shape: Shape, stored: Stored | str, ranks: Ranks = ONE) -> int:
    """Weights on the fullest rank, in bytes, as stored. Raises KeyError for a GGUF type."""
    stored = Stored(stored) if isinstance(stored, str) else stored
    return fullest_stage(shape, part_bytes(shape, stored, ranks), ranks.pipeline)


@lru_cache(maxsize=1024)
def assumed_range(shape: Shape, stored: Stored, ranks: Ranks = ONE) -> tuple[float, float]:
    """(low, high) factors on the weights of a checkpoint whose quantized parts nobody states.

    Quantizers of plain decoders treat every linear layer alike; of mixtures of experts, hybrids and models with vision
    some leave attention or the linear attention in 16 bit, others quantize the output layer too.
    """
    plain = not (shape.experts or shape.of(Role.LINEAR_ATTENTION, Role.VISION))
    if not stored.assumed or stored.quantization not in FOUR_BIT or plain:
        return 1.0, 1.0
    amount = safetensors_bytes(shape, stored, ranks)
    kept = [replace(stored, exceptions=((role.value, "bf16"),)) for role in (Role.ATTENTION, Role.LINEAR_ATTENTION)]
    least = replace(stored, exceptions=((Role.OUTPUT.value, stored.quantization), *stored.exceptions))
    most = max(safetensors_bytes(shape, each, ranks) for each in kept)
    return min(1.0, safetensors_bytes(shape, least, ranks) / amount), max(1.0, most / amount)


FOUR_BIT = frozenset({"awq", "gptq", "nvfp4", "mxfp4", "nf4"})


def file_bytes(shape: Shape, stored: Stored) -> float:
    """The checkpoint's files by formula: with ``draft_layers``, each as large as a layer of the model."""
    ends = {Role.EMBEDDING, Role.OUTPUT, Role.VISION}
    layered = sum(size for part, size in part_bytes(shape, stored).items() if part.role not in ends)
    return safetensors_bytes(shape, stored) + stored.draft_layers * layered / shape.layers


@lru_cache(maxsize=1024)
def as_loaded(shape: Shape, stored: Stored) -> float:
    """What the checkpoint's files say beyond the formula, as a factor: 1 where they agree within two percent.

    Raises :class:`Unsized` for files that cannot be this model's in this format.
    """
    if stored.total_bytes is None:
        return 1.0
    expected = file_bytes(shape, stored)
    factor = stored.total_bytes / expected
    if not 1 / BELIEVED < factor < BELIEVED:
        what = f"{stored.total_bytes / GIB:,.1f} GiB are not {shape.id} as {stored.quantization}"
        raise Unsized(f"checkpoint_bytes: {what}, which takes about {expected / GIB:,.1f} GiB")
    return factor if abs(factor - 1) > TRUSTED else 1.0


BELIEVED = 2.0
"""Files that differ from the formula by more than this factor are another model's, or in another format."""

TRUSTED = 0.02
"""Formula and files agree this well where every format is known; beyond it the files are right about themselves."""


def _padded(part: Part) -> Part:
    if part.split is not Split.VOCABULARY:
        return part
    return Part(part.name, part.role, ceil_to(part.rows, PADDED_VOCAB), part.columns, part.count, part.split)
