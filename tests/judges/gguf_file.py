"""GGUF files of small models, header and tensor table only: the data is a hole in the file, which engines map as zeros.

Layout: docs/gguf.md of ggml-org/ggml, version 3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelberth.memory.gguf import BYTES_PER_BLOCK

TYPE_IDS = {"f32": 0, "q8_0": 8}
Value = int | float | str | list[str] | list[int] | list[float]
_ALIGNMENT = 32


@dataclass(frozen=True)
class Tensor:
    """``sizes`` as in the file: columns first."""

    name: str
    sizes: tuple[int, ...]
    kind: str = "q8_0"

    @property
    def bytes(self) -> int:
        """Bytes of its data."""
        size, count = BYTES_PER_BLOCK[self.kind]
        return math.prod(self.sizes) * size // count


def write(path: Path, metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> None:
    """Write the file; its data takes no space on disk."""
    table, offset = b"", 0
    for tensor in tensors:
        sizes = struct.pack(f"<{len(tensor.sizes)}Q", *tensor.sizes)
        table += _text(tensor.name) + struct.pack("<I", len(tensor.sizes)) + sizes
        table += struct.pack("<IQ", TYPE_IDS[tensor.kind], offset)
        offset += _padded(tensor.bytes)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(_text(key) + _value(value) for key, value in metadata.items()) + table
    header = header.ljust(_padded(len(header)), b"\0")
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + offset)


def vocabulary(size: int) -> dict[str, Value]:
    """A SentencePiece vocabulary: three specials, the bytes, and words that nobody says."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += [f"w{index}" for index in range(size - len(words))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": [0.0] * size,
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * (size - 259)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Value) -> bytes:
    match value:
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(_text(str(each)) for each in value)
        case [float(), *_]:
            return struct.pack("<IIQ", 9, 6, len(value)) + struct.pack(f"<{len(value)}f", *value)
        case _:
            return struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
