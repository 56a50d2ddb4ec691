"""What a checkpoint's own index or header says of its tensors: pure functions over bytes and dicts.

Formats: safetensors (github.com/huggingface/safetensors, README.md, "Format"); GGUF versions 2 and 3 (ggml,
docs/gguf.md) with the block sizes of ggml/src/ggml-common.h. Lengths, counts and nesting are checked before use.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, cast

from modelberth.catalog.config_fields import shown
from modelberth.errors import ModelberthError

MOST_HEADER_BYTES = 100_000_000
"""What the safetensors library itself accepts."""
MOST_TENSORS = 1_000_000
MOST_VALUES = 50_000_000
MOST_DEPTH = 4
MOST_BYTES = 2**50

_SAFETENSORS_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16} | {
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}

_GGML_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("f32", 4, 1),
    1: ("f16", 2, 1),
    2: ("q4_0", 18, 32),
    3: ("q4_1", 20, 32),
    6: ("q5_0", 22, 32),
    7: ("q5_1", 24, 32),
    8: ("q8_0", 34, 32),
    10: ("q2_k", 84, 256),
    11: ("q3_k", 110, 256),
    12: ("q4_k", 144, 256),
    13: ("q5_k", 176, 256),
    14: ("q6_k", 210, 256),
    16: ("iq2_xxs", 66, 256),
    17: ("iq2_xs", 74, 256),
    18: ("iq3_xxs", 98, 256),
    19: ("iq1_s", 50, 256),
    20: ("iq4_nl", 18, 32),
    21: ("iq3_s", 110, 256),
    22: ("iq2_s", 82, 256),
    23: ("iq4_xs", 136, 256),
    24: ("i8", 1, 1),
    25: ("i16", 2, 1),
    26: ("i32", 4, 1),
    27: ("i64", 8, 1),
    28: ("f64", 8, 1),
    29: ("iq1_m", 56, 256),
    30: ("bf16", 2, 1),
    34: ("tq1_0", 54, 256),
    35: ("tq2_0", 66, 256),
    39: ("mxfp4", 17, 32),
    40: ("nvfp4", 36, 64),
}
"""Number of a ggml type: name, bytes of a block, elements of a block."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


class HeaderError(ModelberthError):
    """An index or header that is not what its format says."""


@dataclass(frozen=True)
class Tensor:
    """One stored tensor: type as its format calls it, shape as stored, bytes."""

    kind: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Gguf:
    """A GGUF header: what it says of the model (long arrays left out) and its tensors."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.bytes for tensor in self.tensors.values())


def index_bytes(index: Mapping[str, Any]) -> int:
    """Bytes of all tensors of a ``model.safetensors.index.json`` (metadata.total_size). Raises :class:`HeaderError`."""
    metadata = index.get("metadata")
    total = cast("Mapping[str, Any]", metadata).get("total_size") if isinstance(metadata, Mapping) else None
    if isinstance(total, float) and total == total // 1:  # some publishers write 16060522496.0
        total = int(total)
    if isinstance(total, bool) or not isinstance(total, int) or not 0 < total <= MOST_BYTES:
        raise HeaderError(f"metadata.total_size: {shown(total)} is not a number of bytes up to {MOST_BYTES:,}")
    return total


def safetensors_tensors(data: bytes) -> dict[str, Tensor]:
    """Tensors of one ``*.safetensors`` file from its first bytes. Raises :class:`HeaderError`."""
    if len(data) < 8:
        raise HeaderError("a safetensors file begins with the length of its header, 8 bytes")
    length = int.from_bytes(data[:8], "little")
    if length > MOST_HEADER_BYTES:
        raise HeaderError(f"a header of {shown(length)} bytes; no safetensors file has more than {MOST_HEADER_BYTES:,}")
    if len(data) < 8 + length:
        raise HeaderError(f"the header is {length:,} bytes long, {len(data) - 8:,} were given")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        raise HeaderError("the header is not JSON") from None
    if not isinstance(header, dict):
        raise HeaderError(f"the header is {shown(header)}, not an object")
    entries = cast("dict[str, Any]", header)
    return {name: _stored(name, entry) for name, entry in entries.items() if name != "__metadata__"}


def _stored(name: str, entry: object) -> Tensor:
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", entry) if isinstance(entry, Mapping) else {}
    kind, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(kind, str) or kind not in _SAFETENSORS_BITS:
        raise HeaderError(f"tensor {name[:80]!r}: dtype is not known")
    sizes, span = _numbers(shape), _numbers(offsets)
    if sizes is None or span is None or len(span) != 2 or span[1] < span[0]:
        raise HeaderError(f"tensor {name[:80]!r}: shape or data_offsets are not lists of sizes")
    size = span[1] - span[0]
    if size != ceil(prod(sizes) * _SAFETENSORS_BITS[kind] / 8):
        raise HeaderError(f"tensor {name[:80]!r}: {size:,} bytes do not hold its shape in {kind}")
    return Tensor(kind.lower(), sizes, size)


def _numbers(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or len(cast("list[Any]", value)) > 16:
        return None
    items = cast("list[Any]", value)
    sound = all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= MOST_BYTES for item in items)
    return tuple(items) if sound else None


def gguf_header(data: bytes) -> Gguf:
    """Header of a GGUF file from its first bytes. Raises :class:`HeaderError`, also when more bytes are needed."""
    reader = _Reader(data)
    if reader.take(4) != b"GGUF":
        raise HeaderError("a GGUF file begins with the letters GGUF")
    version = reader.number("I")
    if version not in (2, 3):
        raise HeaderError(f"GGUF version {version:,} is not known, only 2 and 3")
    tensors, values = reader.number("Q"), reader.number("Q")
    if tensors > MOST_TENSORS or values > MOST_TENSORS:
        raise HeaderError(f"{shown(tensors)} tensors and {shown(values)} values are more than any model has")
    metadata: dict[str, Any] = {}
    for _ in range(values):
        key = reader.text()
        value = reader.value(reader.number("I"))
        if value is not None:
            metadata[key] = value
    return Gguf(metadata, dict(reader.tensor() for _ in range(tensors)))


class _Reader:
    """Reads one value after the other; never beyond the data."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._values = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise HeaderError(f"the header is longer than the {len(self.data):,} bytes given")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str) -> int:
        return cast("int", self.scalar(code))

    def scalar(self, code: str) -> int | float | bool:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> int | float | bool | str | None:
        """One value; None for an array, which is skipped."""
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY or depth >= MOST_DEPTH:
            raise HeaderError(f"metadata of type {kind:,}, or nested more than {MOST_DEPTH} deep, is not known")
        inner, count = self.number("I"), self.number("Q")
        self._values += count
        if self._values > MOST_VALUES:
            raise HeaderError(f"arrays of more than {MOST_VALUES:,} values")
        if inner in _SCALARS:
            self.take(count * struct.calcsize(_SCALARS[inner]))
        else:
            for _ in range(count):
                self.value(inner, depth + 1)
        return None

    def tensor(self) -> tuple[str, Tensor]:
        name = self.text()
        dimensions = self.number("I")
        if dimensions > 8:
            raise HeaderError(f"tensor {name[:80]!r}: {dimensions:,} dimensions")
        shape = tuple(self.number("Q") for _ in range(dimensions))
        kind, _ = self.number("I"), self.number("Q")
        if kind not in _GGML_TYPES:
            raise HeaderError(f"tensor {name[:80]!r}: type {kind:,} is not known")
        if prod(shape) > MOST_BYTES:
            raise HeaderError(f"tensor {name[:80]!r}: larger than any file")
        called, size, elements = _GGML_TYPES[kind]
        return name, Tensor(called, shape, prod(shape) // elements * size)
