"""The pages of docs/engines: no engine without one, no row of the guide unanswered, what is launched as codecs say."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from datetime import date
from types import ModuleType

import pytest

from modelberth import compatibility, not_yet
from modelberth.catalog import catalog
from modelberth.engines import ENGINES
from modelberth.spec import ServiceSpec
from tests.modelberth.samples import ROOT

FOLDER = ROOT / "docs" / "engines"
MATRIX = (FOLDER / "README.md").read_text(encoding="utf-8")
NAMES = sorted(ENGINES)
PARTS = ["facts", "container", "life", "metrics", "abilities", "refuses"]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Modules of scripts/, loaded anew, so that a test may change them."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    names = ("compatibility_tables", "engine_tables", "engine_pages")
    found: dict[str, ModuleType] = {}
    for name in names:
        spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
        assert spec
        assert spec.loader
        found[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[name])
    yield found
    for name in names:
        del sys.modules[name]


@pytest.fixture
def tables(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["engine_tables"]


@pytest.fixture
def pages(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["engine_pages"]


def cells(table: str, label: str) -> list[str]:
    """The cells of a row, without its label."""
    row = next(line for line in table.splitlines() if line.startswith(f"| {label} |"))
    return row[2:-2].split(" | ")[1:]


# --- pages ------------------------------------------------------------------------------------------------------------


def test_every_engine_of_the_catalog_has_a_page_that_the_index_links() -> None:
    assert {engine.id for engine in catalog().engines()} == set(NAMES)
    assert {path.stem for path in FOLDER.glob("*.md")} == {*NAMES, "README", "verified"}
    for name in NAMES:
        assert f"({name}.md)" in MATRIX


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_every_table_of_its_own_engine(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- table: (.+?) -->", text) == [f"{part} {name}" for part in PARTS]


def test_the_matrix_shows_every_table(tables: ModuleType) -> None:
    assert sorted(re.findall(r"<!-- table: (.+?) -->", MATRIX)) == sorted(tables.TABLES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_a_container_of_its_engine_and_no_secret(name: str, tables: ModuleType, pages: ModuleType) -> None:
    for plan in tables.plans(name):
        assert plan.decision.engine == name
        shown = pages.container(name)
        assert f"image    {plan.launch.image}\n" in shown
        assert all(word in shown for word in (*plan.launch.args, *plan.launch.command))
        assert all(f"{each.name} from Secret" in shown for each in plan.launch.secret_env)


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("vllm", "a GGUF file", "GGUF left vLLM's stock image in 0.24"),
        ("sglang", "a CPU node", "planned on GPUs only"),
        ("tgi", "two nodes", "it has no pipeline stages"),
        ("tensorrt_llm", "FP8 on A100", "no fp8 weights below compute capability 8.9"),
        ("llamacpp", "AWQ", "it reads GGUF files"),
        ("ollama", "two GPUs", "planned on one GPU"),
    ],
)
def test_a_page_says_what_the_codec_refuses(pages: ModuleType, name: str, asked: str, sentence: str) -> None:
    assert sentence in cells(pages.refuses(name), asked)[0]


# --- the matrix -------------------------------------------------------------------------------------------------------


def test_every_row_of_the_guide_and_of_ours_is_answered_for_every_engine_with_source_and_version(
    tables: ModuleType,
) -> None:
    for feature in (*tables.GUIDE["features"], *tables.OURS):
        for name in NAMES:
            row = tables.known(feature, name)
            assert row, f"{feature} of {name}"
            assert row.value
            assert len(row.source) > 5, row
            assert row.as_of > date(2026, 1, 1)
            assert row.checked in catalog().engine(name).versions, row


def test_every_cell_shows_the_version_that_it_was_checked_on(tables: ModuleType) -> None:
    for table in (tables.features(), tables.more_features()):
        rows = [line for line in table.splitlines()[2:] if line.startswith("|")]
        assert all(line.count("<sub>") == len(NAMES) for line in rows)


def test_no_row_of_the_data_is_left_out(tables: ModuleType) -> None:
    assert {row.feature for row in compatibility.features()} <= {*tables.GUIDE["features"], *tables.OURS}


def test_a_cell_that_is_no_longer_true_needs_a_reason(tables: ModuleType) -> None:
    del tables.GUIDE["features"]["continuous_batching"]["why"]["ollama"]
    with pytest.raises(ValueError, match="continuous_batching of ollama is Yes, the guide says No: why"):
        tables.features()


def test_a_reason_for_a_cell_that_is_true_is_refused(tables: ModuleType) -> None:
    tables.GUIDE["features"]["paged_attention"]["why"]["vllm"] = "it is not"
    with pytest.raises(ValueError, match="no reason is needed"):
        tables.features()


@pytest.mark.parametrize(
    "sentence",
    [
        "archived on 2026-03-21",
        "llama-server batches continuously over its slots",
        "no engine has to be compiled",
        "trtllm-serve speaks it by itself",
    ],
)
def test_the_matrix_says_where_the_guide_is_out_of_date(tables: ModuleType, sentence: str) -> None:
    assert sentence in tables.features()


def test_every_word_of_the_selection_guide_stands_beside_what_happens(tables: ModuleType) -> None:
    shown = tables.rules_of_the_guide()
    assert all(words in shown for words in tables.GUIDE["engine_selection"].values())
    assert cells(shown, "vLLM")[1] == "`auto`: the default for production serving on GPUs"
    assert "a plan warns and names vLLM" in cells(shown, "Text Generation Inference")[1]


# --- what is launched -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "engines"),
    [
        ("tensor_parallel", {"vllm", "sglang", "tgi", "tensorrt_llm"}),
        ("pipeline_parallel", {"vllm", "sglang"}),
        ("api_key", {"vllm", "sglang", "tgi", "llamacpp"}),
        ("metrics", {"vllm", "sglang", "tgi", "llamacpp", "tensorrt_llm"}),
        ("openai_api", set(NAMES)),
    ],
)
def test_what_is_launched_is_read_off_the_codecs(tables: ModuleType, feature: str, engines: set[str]) -> None:
    assert {name for name in NAMES if tables.launched(feature, name)} == engines


@pytest.mark.parametrize("name", NAMES)
def test_the_codec_and_the_data_agree_on_api_keys_and_metrics(tables: ModuleType, name: str) -> None:
    for feature in ("api_key", "metrics"):
        row = compatibility.feature(name, feature)
        assert row
        assert (row.value == "Yes") is tables.launched(feature, name)
    assert tables.launched("api_key", name) is catalog().engine(name).has_api_key


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_that_drains_gets_its_time_after_the_signal(tables: ModuleType, name: str) -> None:
    row, launch = compatibility.feature(name, "drain"), tables.plans(name)[0].launch
    assert row
    assert (row.value == "Yes") is (launch.grace_s - launch.leave_s > launch.leave_s)


@pytest.mark.parametrize(
    ("name", "on"),
    [
        ("vllm", "--enable-prefix-caching"),
        ("tgi", "PREFIX_CACHING=1"),
        ("tensorrt_llm", "enable_block_reuse: true"),
        ("tensorrt_llm", "enable_chunked_prefill: true"),
        ("sglang", "--chunked-prefill-size 4096"),
    ],
)
def test_caches_and_chunks_are_on_in_what_is_started(pages: ModuleType, name: str, on: str) -> None:
    assert on in pages.container(name)


@pytest.mark.parametrize("off", ["--disable-radix-cache", "--no-cache-prompt", "--no-cont-batching"])
def test_nothing_turns_them_off(pages: ModuleType, off: str) -> None:
    assert all(off not in pages.container(name) for name in NAMES)


def test_a_field_that_is_refused_launches_nothing(tables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "NOT_YET", {ServiceSpec: frozenset()})
    assert tables.launched("multi_lora", "vllm")
    assert "not launched" not in cells(tables.features(), "Multi-LoRA serving")[0]
    monkeypatch.setattr(tables, "NOT_YET", {ServiceSpec: frozenset({"adapters"})})
    assert not tables.launched("multi_lora", "vllm")
    assert "*not launched*" in cells(tables.features(), "Multi-LoRA serving")[0]


def test_what_the_schema_does_not_do_yet_is_not_launched(tables: ModuleType) -> None:
    refused = not_yet.NOT_YET.get(ServiceSpec, frozenset())
    for feature, field in tables.FIELDS.items():
        if field in refused or field not in ServiceSpec.model_fields:
            assert not any(tables.launched(feature, name) for name in NAMES), feature
