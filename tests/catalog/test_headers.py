"""Bytes by tensor from a checkpoint's own index or header, and one error for anything that is not such a thing."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelberth.catalog.headers import HeaderError, Tensor, gguf_header, index_bytes, safetensors_tensors

ENTRIES: dict[str, Any] = {
    "__metadata__": {"format": "pt"},
    "model.embed_tokens.weight": {"dtype": "BF16", "shape": [32, 8], "data_offsets": [0, 512]},
    "model.layers.0.mlp.up_proj.weight": {"dtype": "F8_E4M3", "shape": [16, 8], "data_offsets": [512, 640]},
}


def safetensors(entries: Any) -> bytes:
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(*, version: int = 3, kind: int = 12, tensors: int = 2) -> bytes:
    """A header as llama.cpp writes it: three values, a tensor in q4_k (or ``kind``) and one in f32."""
    tokens = struct.pack("<IQ", 8, 2) + text("a") + text("b")
    return b"".join(
        [
            b"GGUF",
            struct.pack("<IQQ", version, tensors, 3),
            text("general.architecture") + struct.pack("<I", 8) + text("llama"),
            text("llama.block_count") + struct.pack("<II", 4, 32),
            text("tokenizer.ggml.tokens") + struct.pack("<I", 9) + tokens,
            text("blk.0.ffn_up.weight") + struct.pack("<IQQIQ", 2, 4096, 512, kind, 0),
            text("output_norm.weight") + struct.pack("<IQIQ", 1, 4096, 0, 1_179_648),
        ]
    )


def test_a_safetensors_header_lists_types_shapes_and_bytes() -> None:
    assert safetensors_tensors(safetensors(ENTRIES)) == {
        "model.embed_tokens.weight": Tensor("bf16", (32, 8), 512),
        "model.layers.0.mlp.up_proj.weight": Tensor("f8_e4m3", (16, 8), 128),
    }


def test_a_gguf_header_lists_types_shapes_and_bytes() -> None:
    header = gguf_header(gguf())
    assert header.metadata == {"general.architecture": "llama", "llama.block_count": 32}
    assert header.tensors["blk.0.ffn_up.weight"] == Tensor("q4_k", (4096, 512), 4096 * 512 // 256 * 144)
    assert header.bytes == 4096 * 512 // 256 * 144 + 4096 * 4


def test_an_index_states_the_bytes_of_all_tensors() -> None:
    assert index_bytes({"metadata": {"total_size": 16_060_522_496}, "weight_map": {}}) == 16_060_522_496
    assert index_bytes({"metadata": {"total_size": 16_060_522_496.0}}) == 16_060_522_496


@pytest.mark.parametrize(
    "index", [{}, {"metadata": 7}, {"metadata": {"total_size": -1}}, {"metadata": {"total_size": float("nan")}}]
)
def test_an_index_without_a_sum_is_refused(index: dict[str, Any]) -> None:
    with pytest.raises(HeaderError, match="total_size"):
        index_bytes(index)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"dtype": "F7"}, "dtype is not known"),
        ({"dtype": None}, "dtype is not known"),
        ({"shape": [-1, 8]}, "not lists of sizes"),
        ({"shape": "big"}, "not lists of sizes"),
        ({"shape": [2**60, 2**60]}, "not lists of sizes"),
        ({"shape": [True, True]}, "not lists of sizes"),
        ({"data_offsets": [9, 1]}, "not lists of sizes"),
        ({"data_offsets": [0, 513]}, "do not hold its shape"),
    ],
)
def test_a_tensor_that_cannot_be_is_named(change: dict[str, Any], what: str) -> None:
    entry = {"dtype": "BF16", "shape": [32, 8], "data_offsets": [0, 512]} | change
    with pytest.raises(HeaderError, match=f"model.embed.*{what}"):
        safetensors_tensors(safetensors({"model.embed": entry}))


def test_a_header_that_claims_more_than_any_file_has_is_refused_before_it_is_read() -> None:
    with pytest.raises(HeaderError, match="no safetensors file has more"):
        safetensors_tensors((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(HeaderError, match="more than any model has"):
        gguf_header(b"GGUF" + struct.pack("<IQQ", 3, 2**62, 1))


def test_what_is_not_known_in_a_gguf_header_is_named() -> None:
    with pytest.raises(HeaderError, match="version 9"):
        gguf_header(gguf(version=9))
    with pytest.raises(HeaderError, match=r"blk.0.ffn_up.weight.*type 99"):
        gguf_header(gguf(kind=99))
    nested = text("x") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9
    with pytest.raises(HeaderError, match="nested"):
        gguf_header(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + nested)


def test_a_header_cut_off_anywhere_asks_for_more_bytes() -> None:
    whole = gguf()
    for end in range(4, len(whole)):
        with pytest.raises(HeaderError, match="longer than"):
            gguf_header(whole[:end])
    with pytest.raises(HeaderError, match="were given"):
        safetensors_tensors(safetensors(ENTRIES)[:-1])


def test_nesting_in_a_safetensors_header_is_refused() -> None:
    deep = b"[" * 200_000
    with pytest.raises(HeaderError, match="not JSON"):
        safetensors_tensors(len(deep).to_bytes(8, "little") + deep)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_header_or_one_error(data: bytes) -> None:
    for read, prefix in ((gguf_header, b"GGUF\x03\0\0\0"), (safetensors_tensors, len(data).to_bytes(8, "little"))):
        with pytest.raises(HeaderError):
            read(prefix + data + b"\xff")
