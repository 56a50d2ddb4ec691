"""Bytes of GGUF files of mixtures of experts, latent attention and hybrids, against published files."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from modelberth.catalog import catalog
from modelberth.memory import Shape, Unsized, gguf_bytes, shape_of
from modelberth.memory.gguf import BYTES_PER_BLOCK, file_bytes, positions
from modelberth.memory.shapes import Role
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, QWEN_7B

MIXTURE = "Qwen/Qwen3-30B-A3B"
LATENT = "deepseek-ai/DeepSeek-V3"
EIGHT_EXPERTS = "mistralai/Mixtral-8x7B-v0.1"


@cache
def shape(model: str) -> Shape:
    return shape_of(catalog().model(model))


@pytest.mark.parametrize(
    ("model", "file_type", "published_bytes"),
    [
        (MIXTURE, "q4_k_m", 18_556_685_824),  # Qwen/Qwen3-30B-A3B-GGUF, Qwen3-30B-A3B-Q4_K_M.gguf
        ("openai/gpt-oss-20b", "mxfp4", 12_109_566_624),  # lmstudio-community/gpt-oss-20b-GGUF, gpt-oss-20b-MXFP4.gguf
        ("google/gemma-3-27b-it", "q4_k_m", 16_546_404_736),  # ggml-org/gemma-3-27b-it-GGUF, gemma-3-27b-it-Q4_K_M.gguf
        ("google/gemma-4-26B-A4B-it", "q4_k_m", 16_796_000_000),  # ggml-org/gemma-4-26B-A4B-it-GGUF, stated to a MB
        ("google/gemma-4-26B-A4B-it", "q8_0", 26_860_000_000),
        ("Qwen/Qwen3.5-9B", "q8_0", 9_527_502_048),  # unsloth/Qwen3.5-9B-GGUF, Qwen3.5-9B-Q8_0.gguf
        ("google/gemma-2-2b-it", "q4_k_m", 1_708_582_752),  # bartowski/gemma-2-2b-it-GGUF, gemma-2-2b-it-Q4_K_M.gguf
    ],
)
def test_a_published_file_of_another_family_is_its_tensors_and_a_header(
    model: str, file_type: str, published_bytes: int
) -> None:
    assert 0 < published_bytes - gguf_bytes(shape(model), file_type) < 20e6


def test_files_of_older_converters_differ_by_little() -> None:
    """Qwen3-Next-80B-A3B-Instruct-Q4_K_M.gguf of 2025 has one ssm_in tensor, now split in two."""
    assert gguf_bytes(shape("Qwen/Qwen3-Next-80B-A3B-Instruct"), "q4_k_m") == pytest.approx(48_410_988_384, rel=0.002)


@pytest.mark.parametrize("model", [LLAMA_8B, LLAMA_70B, MIXTURE, LATENT, "openai/gpt-oss-20b"])
@pytest.mark.parametrize("file_type", ["q4_k_m", "q8_0", "f16"])
def test_layers_embedding_and_output_add_up_to_the_file(model: str, file_type: str) -> None:
    ours = file_bytes(shape(model), file_type)
    assert ours.embedding + sum(ours.layers) + ours.output == ours.total == gguf_bytes(shape(model), file_type)
    assert len(ours.layers) == shape(model).layers
    assert min(ours.layers) > 0


def test_sixteen_bit_files_hold_two_bytes_per_weight_and_four_per_vector() -> None:
    ours = shape(LLAMA_8B)
    vectors = sum(part.elements for part in ours.parts if part.rows == 1)
    assert gguf_bytes(ours, "f16") == gguf_bytes(ours, "bf16") == 2 * ours.parameters + 2 * vectors


def test_first_and_last_layers_of_q4_k_m_get_more_bits() -> None:
    layers = file_bytes(shape(LLAMA_8B), "q4_k_m").layers
    assert layers[0] == layers[-1] == max(layers)
    assert layers[5] == min(layers)
    assert len(set(layers)) == 2


def test_dense_layers_of_a_mixture_come_first() -> None:
    layers = file_bytes(shape(LATENT), "q8_0").layers
    assert max(layers[:3]) < min(layers[3:])


def test_experts_get_more_bits_by_the_number_of_their_layer() -> None:
    layers = file_bytes(shape(LATENT), "q4_k_m").layers
    assert layers[6] > layers[7] == layers[8] < layers[9]


def test_eight_experts_keep_keys_and_values_in_eight_bits_and_the_output_in_five() -> None:
    ours = shape(EIGHT_EXPERTS)
    others = replace(ours, experts=9)
    each = {part.name: part.elements // part.layers for part in ours.parts if part.name.startswith("attn")}
    more = sum(_as(each[name], "q8_0") - _as(each[name], "q4_k") for name in ("attn_k", "attn_v"))
    more += _as(each["attn_output"], "q5_k") - _as(each["attn_output"], "q4_k")
    plain = 5
    assert file_bytes(ours, "q4_k_m").layers[plain] - file_bytes(others, "q4_k_m").layers[plain] == more


def _as(elements: int, kind: str) -> int:
    size, count = BYTES_PER_BLOCK[kind]
    return elements * size // count


def test_routers_stay_in_float32() -> None:
    ours = shape(MIXTURE)
    router = sum(part.elements for part in ours.of(Role.ROUTER))
    rest = ours.parameters - router
    vectors = sum(part.elements for part in ours.parts if part.rows == 1)
    assert gguf_bytes(ours, "q8_0") == router * 4 + vectors * 4 + (rest - vectors) * 34 // 32


def test_rows_that_are_no_multiple_of_a_block_take_a_wider_type() -> None:
    assert catalog().model("openai/gpt-oss-20b").hidden_size == 2880
    assert gguf_bytes(shape("openai/gpt-oss-20b"), "q4_k_m") > 1.1 * gguf_bytes(shape("openai/gpt-oss-20b"), "q4_0")


@pytest.mark.parametrize(("smaller", "larger"), [("q2_k", "q3_k_s"), ("q3_k_m", "q4_k_m"), ("q4_k_m", "q5_k_m")])
@pytest.mark.parametrize("model", [QWEN_7B, MIXTURE, LATENT, EIGHT_EXPERTS])
def test_fewer_bits_are_fewer_bytes(model: str, smaller: str, larger: str) -> None:
    assert gguf_bytes(shape(model), smaller) < gguf_bytes(shape(model), larger)


def test_fp16_and_f16_are_one_file_type() -> None:
    assert gguf_bytes(shape(LLAMA_8B), "fp16") == gguf_bytes(shape(LLAMA_8B), "f16")


def test_an_unknown_file_type_is_unsized() -> None:
    with pytest.raises(Unsized, match="iq1_s is no GGUF file type"):
        gguf_bytes(shape(LLAMA_8B), "iq1_s")


@pytest.mark.parametrize(
    ("count", "layers", "expected"),
    [
        (4, 16, [3, 7, 11, 15]),
        (12, 16, [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]),
        (10, 62, list(range(5, 60, 6))),
        (3, 3, [0, 1, 2]),
    ],
)
def test_the_rarer_kind_of_layer_ends_each_group(count: int, layers: int, expected: list[int]) -> None:
    assert list(positions(count, layers)) == expected
