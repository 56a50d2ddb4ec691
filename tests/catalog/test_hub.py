"""A repository becomes one pinned row, the same that the catalog would hold."""

import json
from datetime import date
from pathlib import Path

import pytest
import yaml

from modelberth.catalog import Model, Quantization
from modelberth.catalog.hub import HubError, Repository, as_yaml, fetch, row_of, stored_bytes

SAMPLES = Path(__file__).parents[1] / "data" / "configs"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TODAY = date(2026, 11, 22)
FILES = {
    "config.json": 900,
    "model-00001-of-00002.safetensors": 9_000_000_000,
    "model-00002-of-00002.safetensors": 4_761_264_768,
    "original/model.safetensors": 13_758_738_181,
    "metal/model.bin": 13_750_886_400,
    "consolidated.00.safetensors": 5,
}


def repository(name: str = "openai--gpt-oss-20b") -> Repository:
    config = json.loads((SAMPLES / f"{name}.json").read_text())
    return Repository(name.replace("--", "/"), COMMIT, TODAY, config, None, FILES)


def test_a_second_export_beside_the_weights_is_not_counted() -> None:
    assert stored_bytes(FILES) == 13_761_264_768
    assert stored_bytes({"model.gguf": 7}) is None


def test_a_repository_becomes_a_row_pinned_to_its_commit() -> None:
    model = row_of(repository())
    assert (model.id, model.revision, model.as_of) == ("openai/gpt-oss-20b", COMMIT, TODAY)
    assert (model.num_layers, model.weights_bytes, model.quantization) == (24, 13_761_264_768, Quantization.MXFP4)
    assert COMMIT in model.source


def test_the_quantization_file_beside_the_config_is_read_too() -> None:
    plain = repository("Qwen--Qwen3-8B")
    beside = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head", "model.layers.*.self_attn*"]}}
    model = row_of(Repository(plain.id, COMMIT, TODAY, plain.config, beside, FILES))
    assert (model.quantization, model.unquantized) == ("nvfp4", ("attention",))


def test_the_row_that_is_written_is_the_row_that_is_read() -> None:
    model = row_of(repository("nvidia--DeepSeek-V4-Flash-NVFP4"))
    rows = yaml.safe_load(as_yaml(model))["rows"]
    assert [Model.model_validate(row) for row in rows] == [model]


def test_without_the_extra_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"modelberth\[hub\]"):
        fetch("org/model")
