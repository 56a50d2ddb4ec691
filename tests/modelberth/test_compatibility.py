"""What runs on what: the rows, the answers made of them, the choice of a format, and the guide's tables."""

from __future__ import annotations

import importlib.util
import json
from datetime import date
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from modelberth import compatibility
from modelberth.catalog import Gpu, Quantization, catalog
from modelberth.compatibility import GGUF, Hardware, Kind, Subject, answer, answers, driver
from modelberth.errors import UnknownName
from modelberth.findings import Level
from modelberth.selection import Goal, quantization_for
from modelberth.spec import EngineName, KvCacheDtype

ROOT = Path(__file__).resolve().parents[2]
ENGINES = [name.value for name in EngineName if name is not EngineName.AUTO]
FORMATS = [kind.value for kind in Quantization if kind is not Quantization.AUTO]
KV_CACHES = [kind.value for kind in KvCacheDtype if kind is not KvCacheDtype.AUTO]
NEWEST_FACT = date(2026, 11, 22)
KERNELS = json.loads((ROOT / "tests" / "data" / "vllm-0.33.0-kernels.json").read_text(encoding="utf-8"))["kernels"]
BY_CAPABILITY = {"sm75": "nvidia-t4", "sm80": "nvidia-a100-80gb", "sm86": "nvidia-a10g", "sm89": "nvidia-l4"} | {
    "sm90": "nvidia-h100-80gb",
    "sm100": "nvidia-b200",
    "sm120": "nvidia-rtx-5090",
}


def gpu(name: str) -> Gpu | None:
    return None if name == "cpu" else catalog().gpu(name)


def version(engine: str) -> str:
    return catalog().engine(engine).default_version


def every_gpu() -> list[Gpu | None]:
    return [None, *catalog().gpus()]


def kind(engine: str, quantization: str, on: str, kv_cache_dtype: str = "auto") -> Kind:
    return answer(engine, version(engine), quantization, gpu(on), kv_cache_dtype).kind


# --- the rows ---------------------------------------------------------------------------------------------------------


def test_every_row_names_its_source_and_the_day_it_was_read() -> None:
    rows = [row for engine in ENGINES for row in compatibility.rules(engine)]
    others = [*compatibility.features(), *compatibility.image_cudas(), *compatibility.node_images()]
    assert len(rows) > 100
    for row in [*rows, *others]:
        assert len(row.source) > 5, row
        assert "://" not in row.source, row
        assert date(2026, 1, 1) < row.as_of <= NEWEST_FACT, row


def test_rows_name_only_what_exists() -> None:
    architectures = {model.architecture for model in catalog().models()} | {"DeepseekV2ForCausalLM"}
    for engine in ENGINES:
        for rule in compatibility.rules(engine):
            assert rule.engine == engine
            assert set(rule.quantizations) <= {*FORMATS, GGUF}, rule
            assert set(rule.kv_cache_dtypes) <= set(KV_CACHES), rule
            assert set(rule.architectures) <= architectures, rule
            assert not (rule.quantizations and rule.kv_cache_dtypes), rule


@pytest.mark.parametrize("engine", ENGINES)
def test_no_question_has_two_answers(engine: str) -> None:
    rules = compatibility.rules(engine)
    versions = {version(engine), *(rule.since for rule in rules), *(rule.until for rule in rules if rule.until)}
    architectures = {None, *(name for rule in rules for name in rule.architectures)}
    for release, place, architecture in product(versions, every_gpu(), architectures):
        holding = [rule for rule in rules if rule.covers_version(release) and rule.holds(place, architecture)]
        for name in (*FORMATS, *KV_CACHES):
            for subject in Subject:
                alike = [bool(rule.architectures) for rule in holding if rule.concerns(subject, name)]
                assert len(alike) == len(set(alike)), (release, place and place.id, architecture, subject, name)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_answers_for_every_kind_of_hardware(engine: str) -> None:
    for place in every_gpu():
        given = answers(engine, version(engine), "fp16", place)[0]
        assert given.subject is Subject.ACCELERATOR
        assert given.source, f"{engine} on {place.id if place else 'cpu'}: {given.reason}"
    assert {place.vendor if place else "cpu" for place in every_gpu()} == set(get_args(Hardware))


def test_a_no_always_comes_with_a_way_out() -> None:
    refusals = [rule for engine in ENGINES for rule in compatibility.rules(engine) if rule.kind is Kind.NO]
    assert [rule for rule in refusals if not rule.remedy] == []


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_has_every_feature_row(engine: str) -> None:
    known = {row.feature for row in compatibility.features()}
    assert {row.feature for row in compatibility.features() if row.engine == engine} == known


# --- vLLM's own kernels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capability", BY_CAPABILITY)
@pytest.mark.parametrize(
    ("quantization", "group", "native"),
    [
        ("awq", "W4A16 (AWQ/GPTQ int4)", None),
        ("gptq", "W4A16 (AWQ/GPTQ int4)", None),
        ("fp8", "FP8 W8A8 per-tensor/channel", "CutlassFP8"),
        ("int8", "INT8 W8A8", "CutlassInt8"),
        ("nvfp4", "NVFP4", "CutlassNvFp4"),
        ("mxfp4", "MXFP4", "FlashInferMxFp4"),
    ],
)
def test_vllm_rows_agree_with_its_own_kernels(
    quantization: str, group: str, native: str | None, capability: str
) -> None:
    narrower = {("int8", "sm100"), ("int8", "sm120"), ("mxfp4", "sm75")}  # documented or configured, beside the kernels
    kernels = KERNELS[group][capability]
    computes = native is not None and any(kernel.startswith(native) for kernel in kernels)
    stores = any(kernel.startswith("Marlin") for kernel in kernels)
    expected = Kind.YES if computes else Kind.WEIGHT_ONLY if stores else Kind.NO
    if (quantization, capability) in narrower:
        assert expected is not Kind.NO
        expected = Kind.NO
    assert kind("vllm", quantization, BY_CAPABILITY[capability]) is expected


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "quantization", "on", "expected", "because"),
    [
        ("vllm", "fp8", "nvidia-a100-80gb", Kind.WEIGHT_ONLY, "no fp8 units"),
        ("vllm", "fp8", "nvidia-l4", Kind.YES, "multiplied in fp8"),
        ("vllm", "int8", "nvidia-b200", Kind.NO, "not supported from compute capability 10.0"),
        ("vllm", "bf16", "nvidia-t4", Kind.NO, "needs compute capability 8.0"),
        ("vllm", "nf4", "nvidia-h100-80gb", Kind.PLUGIN, "left vLLM's stock image in 0.28"),
        ("vllm", "q4_k_m", "nvidia-h100-80gb", Kind.PLUGIN, "left vLLM's stock image in 0.24"),
        ("tensorrt_llm", "awq", "nvidia-b200", Kind.NO, "no W4A16 kernels"),
        ("tensorrt_llm", "gptq", "nvidia-rtx-5090", Kind.NO, "no W4A16 kernels"),
        ("tensorrt_llm", "fp8", "nvidia-a100-80gb", Kind.NO, "not even weight-only"),
        ("tensorrt_llm", "fp16", "nvidia-t4", Kind.NO, "Turing"),
        ("tensorrt_llm", "fp16", "amd-mi300x", Kind.NO, "NVIDIA GPUs only"),
        ("tgi", "fp8", "nvidia-l4", Kind.WEIGHT_ONLY, "on 8.9 too"),
        ("tgi", "fp16", "nvidia-b200", Kind.UNKNOWN, "no kernels for it"),
        ("sglang", "gptq", "nvidia-t4", Kind.NO, "Marlin needs compute capability 8.0"),
        ("sglang", "nf4", "nvidia-h100-80gb", Kind.PLUGIN, "bitsandbytes package"),
        ("llamacpp", "awq", "nvidia-h100-80gb", Kind.NO, "reads GGUF files"),
        ("llamacpp", "q5_k_m", "cpu", Kind.YES, "its own format"),
        ("ollama", "fp8", "nvidia-h100-80gb", Kind.NO, "serves GGUF files"),
        ("ollama", "q4_k_m", "apple-m3-max-48gb", Kind.YES, "its own format"),
        ("vllm", "fp16", "apple-m3-max-48gb", Kind.NO, "no image for macOS"),
    ],
)
def test_answers_are_those_of_the_engines(
    engine: str, quantization: str, on: str, expected: Kind, because: str
) -> None:
    given = answer(engine, version(engine), quantization, gpu(on))
    assert given.kind is expected
    assert because in given.reason
    assert given.source


@pytest.mark.parametrize(
    ("on", "expected"), [("nvidia-t4", Kind.NO), ("nvidia-a10g", Kind.YES), ("nvidia-h100-80gb", Kind.YES)]
)
def test_an_fp8_kv_cache_needs_compute_capability_8_in_vllm(on: str, expected: Kind) -> None:
    assert kind("vllm", "fp16", on, "fp8") is expected


def test_latent_attention_has_no_fp8_kv_cache_on_ampere() -> None:
    place = gpu("nvidia-a100-80gb")
    latent = answer("vllm", "0.33.0", "awq", place, "fp8", "DeepseekV3ForCausalLM")
    assert latent.subject is Subject.KV_CACHE_DTYPE
    assert latent.kind is Kind.NO
    assert "Triton" in latent.reason
    assert answer("vllm", "0.33.0", "awq", place, "fp8", "LlamaForCausalLM").kind is Kind.WEIGHT_ONLY


@pytest.mark.parametrize(
    ("quantization", "release", "expected"),
    [
        ("q4_k_m", "0.23.1", Kind.WEIGHT_ONLY),
        ("q4_k_m", "0.24.0", Kind.PLUGIN),
        ("nf4", "0.27.1", Kind.WEIGHT_ONLY),
        ("nf4", "v0.28.0", Kind.PLUGIN),
    ],
)
def test_formats_leave_vllm_in_the_release_that_dropped_them(quantization: str, release: str, expected: Kind) -> None:
    assert answer("vllm", release, quantization, gpu("nvidia-h100-80gb")).kind is expected


def test_what_no_source_says_is_unknown_and_says_so() -> None:
    given = answer("vllm", "0.5.0", "nvfp4", gpu("nvidia-a10g"))
    assert (given.kind, given.source) == (Kind.UNKNOWN, "")
    assert "no source says" in given.reason
    between = answer("vllm", "0.16.0", "fp8", gpu("nvidia-t4"))
    assert between.kind is Kind.UNKNOWN, "Marlin's fp8 came to Turing somewhere between 0.15 and 0.20.2"
    card = catalog().gpu("nvidia-a10g").model_copy(update={"compute_capability": None})
    assert "compute capability" in answer("vllm", "0.33.0", "awq", card).reason


def test_a_format_nobody_knows_is_unknown_not_a_crash() -> None:
    assert answer("vllm", "0.33.0", "../../etc", gpu("nvidia-a10g")).kind is Kind.UNKNOWN


def test_an_engine_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'vllm'"):
        answer("vlm", "0.33.0", "awq", None)


def test_the_worst_of_several_answers_is_given() -> None:
    place = gpu("nvidia-t4")
    assert answer("vllm", "0.33.0", "awq", place, "fp8").subject is Subject.KV_CACHE_DTYPE
    assert answer("vllm", "0.33.0", "bf16", place, "fp16").subject is Subject.QUANTIZATION
    assert [each.kind for each in answers("vllm", "0.33.0", "awq", place, "fp8")] == [
        Kind.YES,
        Kind.WEIGHT_ONLY,
        Kind.NO,
    ]


def test_hardware_that_an_engine_does_not_run_on_settles_everything() -> None:
    assert len(answers("tensorrt_llm", "1.2.1", "awq", gpu("amd-mi300x"), "fp8")) == 1


def test_weight_only_by_design_is_told_from_weight_only_for_want_of_hardware() -> None:
    assert answer("vllm", "0.33.0", "fp8", gpu("nvidia-a100-80gb")).native_from == "8.9"
    assert answer("vllm", "0.33.0", "nvfp4", gpu("nvidia-h100-80gb")).native_from == "10.0"
    assert answer("vllm", "0.33.0", "awq", gpu("nvidia-a100-80gb")).native_from is None


@pytest.mark.parametrize(
    ("engine", "node", "expected"),
    [
        ("vllm", 570, Kind.NO),
        ("vllm", 580, Kind.YES),
        ("llamacpp", 550, Kind.YES),
        ("ollama", 535, Kind.NO),
        ("vllm", None, Kind.UNKNOWN),
    ],
)
def test_an_image_runs_where_the_driver_is_new_enough(engine: str, node: int | None, expected: Kind) -> None:
    given = driver(engine, version(engine), node)
    assert given.kind is expected
    assert given.source
    assert bool(given.remedy) is (expected is Kind.NO)


def test_the_driver_of_a_version_nobody_read_is_unknown() -> None:
    assert driver("vllm", "0.20.0", 580).kind is Kind.UNKNOWN


def test_gated_models_and_licences_are_named() -> None:
    model = catalog().model("meta-llama/Llama-3.1-70B-Instruct")
    gated = model.model_copy(update={"gated": True, "license": "llama3.1"})
    found = list(compatibility.terms(gated))
    assert [finding.code for finding in found] == ["gated", "license"]
    assert {finding.level for finding in found} == {Level.NOTE}
    assert list(compatibility.terms(model.model_copy(update={"gated": None, "license": None}))) == []


# --- the choice -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "on", "engine", "expected"),
    [
        (Goal.PRODUCTION, "nvidia-h100-80gb", "vllm", "awq"),
        (Goal.PRODUCTION, "nvidia-b200", "tensorrt_llm", "nvfp4"),
        (Goal.QUALITY, "nvidia-h100-80gb", "vllm", "fp8"),
        (Goal.QUALITY, "nvidia-l4", "vllm", "fp8"),
        (Goal.QUALITY, "nvidia-a100-80gb", "vllm", "bf16"),
        (Goal.QUALITY, "nvidia-t4", "vllm", "fp16"),
        (Goal.QUALITY, "nvidia-l4", "tgi", "bf16"),
        (Goal.LOCAL, "cpu", "llamacpp", "q4_k_m"),
        (Goal.LOCAL, "nvidia-rtx-4090", "ollama", "q4_k_m"),
        (Goal.FINE_TUNING, "nvidia-a10g", "tgi", "nf4"),
        (Goal.FINE_TUNING, "nvidia-a10g", "vllm", "bf16"),
    ],
)
def test_the_guides_rule_holds_where_the_engine_runs_it(goal: Goal, on: str, engine: str, expected: str) -> None:
    assert quantization_for(goal, gpu(on), engine).quantization == expected


@pytest.mark.parametrize("goal", Goal)
def test_whatever_is_chosen_runs(goal: Goal) -> None:
    for engine, place in product(ENGINES, every_gpu()):
        chosen = quantization_for(goal, place, engine)
        assert chosen.reasons
        if chosen.quantization is not None:
            assert answer(engine, version(engine), chosen.quantization, place).kind in (Kind.YES, Kind.WEIGHT_ONLY)


def test_what_was_left_out_says_why() -> None:
    made = quantization_for(Goal.QUALITY, gpu("nvidia-a100-80gb"), "vllm")
    assert made.reasons[0].startswith("not fp8: the GPU has no fp8 units")
    assert made.reasons[-1].startswith("bf16: 16 bit loses nothing")


def test_no_choice_where_the_engine_does_not_run() -> None:
    made = quantization_for(Goal.PRODUCTION, gpu("nvidia-t4"), "tensorrt_llm")
    assert made.quantization is None
    assert "Turing" in made.reasons[0]


def test_an_older_engine_changes_the_choice() -> None:
    assert quantization_for(Goal.FINE_TUNING, gpu("nvidia-a10g"), "vllm", "0.27.0").quantization == "nf4"


# --- the guide's tables -----------------------------------------------------------------------------------------------


@pytest.fixture
def tables() -> ModuleType:
    path = ROOT / "scripts" / "compatibility_tables.py"
    spec = importlib.util.spec_from_file_location("compatibility_tables", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("use-cases", "FP8 on A100 80GB is weight-only in vLLM"),
        ("use-cases", "Llama-3.1-405B-Instruct in FP8: 38"),
        ("quantization", "AWQ does not run in llama.cpp: it reads GGUF files"),
        ("quantization", "GPTQ does not run in llama.cpp: it reads GGUF files"),
        ("selection", "TensorRT-LLM, not awq: it has no W4A16 kernels"),
    ],
)
def test_the_page_says_what_is_no_longer_true(tables: ModuleType, table: str, sentence: str) -> None:
    assert sentence in tables.TABLES[table]()


def test_four_bit_formats_take_more_than_four_bits(tables: ModuleType) -> None:
    row = next(line for line in tables.quantization().splitlines() if line.startswith("| AWQ"))
    assert "4.16 (guide: 4-bit)" in row
    assert "guide: ~75%" in row
