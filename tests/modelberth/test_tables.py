"""The guide's tables beside exact figures: nothing of the guide is left out, and every deviation has its cause."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from modelberth.catalog import catalog
from modelberth.memory import shape_of
from modelberth.units import GB
from tests.modelberth.samples import LLAMA_70B, ROOT

PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
SIZES = (7, 13, 34, 70, 405)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = Path(ROOT / "scripts")
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("sizing_tables", folder / "sizing_tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(table: str) -> list[list[str]]:
    """The cells of a table, without head and notes."""
    return [line[2:-2].split(" | ") for line in table.splitlines()[2:] if line.startswith("|")]


def percent(cell: str) -> float:
    return float(cell.strip("%+")) / 100


def test_the_page_shows_every_table_and_none_that_does_not_exist(tables: ModuleType) -> None:
    assert re.findall(r"<!-- table: (.+?) -->", PAGE) == list(tables.TABLES)


def test_every_card_of_the_guide_stands_with_what_it_shows(tables: ModuleType) -> None:
    shown = {row[0]: row[2] for row in rows(tables.visible_memory())}
    assert shown["NVIDIA A10G"] == "22.07 GiB = 23.7 GB"
    cards = {gpu for case in tables.GUIDE["use_cases"]["rows"] for gpu in case["setups"]}
    assert set(shown) == {catalog().gpu(name).name for name in cards | set(tables.GUIDE["apple"]["machines"])}


@pytest.mark.parametrize("size", SIZES)
def test_every_weight_of_the_guide_stands_beside_every_model_of_its_class(tables: ModuleType, size: int) -> None:
    found = {(row[0], row[2]) for row in rows(tables.weights(size))}
    wanted = tables.GUIDE["memory"][size].values()
    assert found == {(tables.short(name), f"{gb:g} GB") for name in tables.GUIDE["models"][size] for gb in wanted}


@pytest.mark.parametrize("size", SIZES)
def test_the_causes_of_a_deviation_multiply_to_it(tables: ModuleType, size: int) -> None:
    for model, kind, _guide, _exact, deviation, why in rows(tables.weights(size)):
        if why == "as the guide says":
            assert abs(percent(deviation)) <= tables.ROUNDING
            continue
        product = 1.0
        for cause in re.findall(r"\(([+-][\d.]+%)\)", why):
            product *= 1 + percent(cause)
        assert product - 1 == pytest.approx(percent(deviation), abs=0.02), (model, kind)


@pytest.mark.parametrize("size", SIZES)
def test_more_bytes_per_parameter_than_the_guide_takes_are_explained_in_words(tables: ModuleType, size: int) -> None:
    for row in rows(tables.weights(size)):
        more = re.search(r"B per parameter, the guide takes [\d.]+ \(\+", row[5])
        assert not more or "scale" in row[5], row


def test_a_file_that_is_wider_for_its_width_says_so(tables: ModuleType) -> None:
    wide = next(row for row in rows(tables.weights(70)) if row[0].startswith("Qwen") and "GGUF" in row[1])
    assert "ffn_down is stored as q5_0 and q8_0, its 29,568 columns are no multiple of 256" in wide[5]


@pytest.mark.parametrize(
    ("name", "kind", "gb"),
    [
        ("mistralai/Mistral-7B-Instruct-v0.3", "bf16", 14.5),
        ("Qwen/Qwen2.5-7B-Instruct", "fp8", 8.7),
        ("Qwen/Qwen2.5-7B-Instruct", "awq", 5.6),
        ("microsoft/phi-4", "bf16", 29.3),
        (LLAMA_70B, "bf16", 141.1),
        (LLAMA_70B, "fp8", 72.7),
        (LLAMA_70B, "q4_k_m", 42.5),
        ("Qwen/Qwen2.5-72B-Instruct", "q4_k_m", 47.4),
        ("meta-llama/Llama-3.1-405B-Instruct", "fp8", 410.1),
        ("meta-llama/Llama-3.1-405B-Instruct", "awq", 217.1),
    ],
)
def test_exact_weights_are_those_of_the_files(tables: ModuleType, name: str, kind: str, gb: float) -> None:
    assert tables.stored_bytes(name, kind)[0] / GB == pytest.approx(gb, abs=0.06)


def test_a_request_of_the_stated_length_takes_one_and_four_gigabytes(tables: ModuleType) -> None:
    for row, name in zip(rows(tables.kv_per_request()), tables.GUIDE["kv_cache"]["models"], strict=True):
        shape = shape_of(catalog().model(name))
        for gb, cell in ((1, row[2]), (4, row[3])):
            length = int(cell.split()[0].replace(",", ""))
            assert tables.request_bytes(shape, length) <= gb * GB < tables.request_bytes(shape, length + 1), name


def test_a_length_beyond_the_model_is_said_to_be() -> None:
    llama_2 = next(line for line in PAGE.splitlines() if line.startswith("| Llama-2-7b-hf | 512.0 KiB | 1,907"))
    assert "7,629 tokens (more than its maximum)" in llama_2


def test_the_example_of_the_guide_is_in_binary_units(tables: ModuleType) -> None:
    cells = rows(tables.kv_example())
    assert cells[0][2] == "327,680 B = 320 KiB = 327.7 KB"
    assert cells[1][2] == "40 GiB = 42.9 GB"


def test_the_formula_of_the_guide_is_exact_for_uniform_models_and_too_much_for_the_others(tables: ModuleType) -> None:
    for row, name in zip(rows(tables.kv_formula()), tables.GUIDE["kv_cache"]["models"], strict=True):
        uniform = shape_of(catalog().model(name)).uniform and not shape_of(catalog().model(name)).latent
        assert (row[3] == "-") == uniform
        assert (row[4] == "every layer keeps every token") == uniform


def test_every_setup_of_the_guide_is_answered(tables: ModuleType) -> None:
    found = rows(tables.use_cases())
    guide = [row[0] for row in found if row[0]]
    assert guide == [
        f"{case['use_case']}: {case['guide']}, {case['quantization']}" for case in tables.GUIDE["use_cases"]["rows"]
    ]
    wanted = 0
    for case in tables.GUIDE["use_cases"]["rows"]:
        models = sum(len(tables.GUIDE["models"][size]) for size in case["sizes"])
        wanted += models * len(case["formats"]) * sum(len(counts) for counts in case["setups"].values())
    assert len(found) == wanted
    for row in found:
        assert row[2] == "yes" or len(row[2]) > len("**unknown**: "), row


def test_every_answer_of_the_guide_about_apple_machines_stands_beside_ours(tables: ModuleType) -> None:
    found = {(row[0], row[2], row[5]) for row in rows(tables.apple())}
    for machine, guide in tables.GUIDE["apple"]["machines"].items():
        for size, name in tables.GUIDE["apple"]["models"].items():
            assert (catalog().gpu(machine).name, tables.short(name), guide[size]) in found


def test_seventy_billion_parameters_need_three_bits_on_48_gb(tables: ModuleType) -> None:
    last = {row[3]: row[6] for row in rows(tables.apple()) if "M3 Max" in row[0] and "70B" in row[2]}
    assert last["Q4_K_M"].startswith("**no**")
    assert last["Q3_K_S"].startswith("yes")


def test_tokens_per_second_are_bandwidth_over_bytes(tables: ModuleType) -> None:
    gpu = catalog().gpu("apple-m1-pro-16gb")
    slow = tables.tokens_per_s("meta-llama/Llama-2-7b-hf", "q8_0", gpu)
    read_gb = 7.16 - 0.14  # the file without the input embedding
    assert slow == pytest.approx(gpu.memory_bandwidth_gb_per_s / read_gb, rel=0.01)
    assert tables.tokens_per_s("meta-llama/Llama-2-7b-hf", "q4_k_m", gpu) > 1.5 * slow
