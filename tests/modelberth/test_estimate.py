"""`modelberth estimate --jsonl`: one answer per row whatever the row is, and answers that keep their contract."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelberth.catalog import catalog
from modelberth.estimate import answers, estimate
from modelberth.rows import Row

PROGRAM = Path(sys.executable).with_name("modelberth")
HANGS_AFTER_S = 120
"""Far more than any batch here takes: only a run that never ends reaches it."""

GOOD: dict[str, Any] = {
    "id": "good",
    "model": "Qwen/Qwen3-8B",
    "engine": "vllm",
    "engine_version": "0.33.0",
    "gpu": "nvidia-h100-80gb",
    "context": 4096,
}
SERVED: dict[str, Any] = {**GOOD, "batch": 16, "input_tokens": 1024, "output_tokens": 512}
CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 4096,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 12288,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
COUNTS = (
    "tensor_parallel",
    "pipeline_parallel",
    "data_parallel",
    "expert_parallel",
    "context",
    "max_num_seqs",
    "max_num_batched_tokens",
    "batch",
    "input_tokens",
    "output_tokens",
    "checkpoint_bytes",
)
AMOUNTS = ("gpu_memory_gib", "gpu_memory_utilization")
NAMES = ("model", "engine", "gpu", "quantization", "kv_cache_dtype", "engine_version", "checkpoint")
NO_COUNT = ("-1", "0", "1.5", "1e400", "-1e400", "NaN", "Infinity", str(2**70), "9" * 400, '"8"', "true", "[8]", "{}")
NO_AMOUNT = ("-1", "0", "1e400", "-1e400", "NaN", "-Infinity", str(2**70), '"8"', "true", "[8]", "{}")
NO_NAME = ('""', '"no such thing"', '"\\ud800"', '"a\\u0000b\\u001b[31m"', "5", "true", "[1]", "{}", "NaN")
MEMORY_FIGURES = (
    "weights_gib",
    "kv_bytes_per_token",
    "activation_gib",
    "overhead_gib",
    "kv_budget_gib",
    "kv_tokens",
    "max_concurrency",
)
SPEED_FIGURES = ("tpot_ms", "ttft_ms")
VERDICTS = {"fits", "does_not_fit", "unknown"}


def with_raw(row: Mapping[str, Any], field: str, raw: str) -> str:
    """The row as a line, one field spelled as ``raw`` JSON."""
    rest = json.dumps({name: value for name, value in row.items() if name != field})
    return f'{{"{field}": {raw}, {rest[1:]}'


def with_config(**changes: Any) -> dict[str, Any]:
    """A good row that brings its config, changed."""
    row = {name: value for name, value in GOOD.items() if name != "model"}
    return {**row, "config": {**CONFIG, **changes}}


def answered(line: str) -> dict[str, Any]:
    """The one answer to a line, which any JSON parser reads."""
    (answer,) = list(answers([line]))
    return json.loads(json.dumps(answer, allow_nan=False))


def answer_to(**changes: Any) -> dict[str, Any]:
    """The answer to the good row, changed."""
    return answered(json.dumps({**GOOD, **changes}))


def refused(line: str, *fields: str) -> None:
    """The row is not sized, and the reason names the field (one of them)."""
    answer = answered(line)
    assert answer["verdict"] != "fits", answer
    assert any(field in answer["reason"] for field in fields), answer["reason"]
    assert not broken(answer), answer["reason"]


def broken(answer: Mapping[str, Any]) -> bool:
    """Whether the answer says that the program, not the row, is at fault."""
    return "internal error" in answer["reason"]


def keeps_its_contract(answer: Mapping[str, Any]) -> None:
    """What the interface promises of every answer."""
    assert answer["verdict"] in VERDICTS
    assert isinstance(answer["reason"], str)
    assert answer["reason"]
    for name in (*MEMORY_FIGURES, *SPEED_FIGURES):
        if name in answer:
            figure, (low, high) = answer[name], answer["range"][name]
            assert all(type(each) in (int, float) and math.isfinite(each) for each in (figure, low, high)), name
            assert low <= figure <= high, (name, low, figure, high)
    assert set(answer.get("range", ())) <= set(answer)


# --- the contract of an answer ----------------------------------------------------------------------------------------


def test_a_sized_row_has_every_figure_of_memory_with_its_range() -> None:
    answer = answer_to()
    keeps_its_contract(answer)
    assert answer["id"] == "good"
    assert answer["verdict"] == "fits"
    assert set(MEMORY_FIGURES) <= set(answer)
    assert set(MEMORY_FIGURES) <= set(answer["range"])


def test_figures_are_those_of_one_gpu_and_of_one_data_parallel_rank() -> None:
    one, two, copies = answer_to(), answer_to(tensor_parallel=2), answer_to(data_parallel=2)
    assert two["weights_gib"] == pytest.approx(one["weights_gib"] / 2, rel=0.02)
    assert two["kv_bytes_per_token"] * 2 == one["kv_bytes_per_token"]
    assert copies["weights_gib"] == one["weights_gib"]
    assert copies["kv_tokens"] == pytest.approx(one["kv_tokens"], rel=0.05)


def test_speed_is_told_when_traffic_is_stated_and_only_then() -> None:
    served = answered(json.dumps(SERVED))
    keeps_its_contract(served)
    assert set(SPEED_FIGURES) <= set(served) & set(served["range"])
    assert not set(SPEED_FIGURES) & set(answer_to())


def test_speed_that_is_not_known_is_left_out_with_the_reason() -> None:
    answer = answered(json.dumps({**SERVED, "gpu": "nvidia-t4"}))
    keeps_its_contract(answer)
    assert not set(SPEED_FIGURES) & set(answer)
    assert answer["speed_reason"].startswith("not known")


def test_without_a_version_the_one_that_leaves_least_is_answered() -> None:
    row = {**GOOD, "context": 8192}
    del row["engine_version"]
    versions = {catalog().engine("vllm").default_version, *catalog().engine("vllm").sized_versions}
    by_version = [answer_to(context=8192, engine_version=version)["kv_budget_gib"] for version in versions]
    assert len(set(by_version)) > 1
    assert answered(json.dumps(row))["kv_budget_gib"] == min(by_version)


def test_the_stated_memory_counts_and_not_that_of_the_gpu() -> None:
    assert answer_to(gpu_memory_gib=24.0)["kv_budget_gib"] < answer_to()["kv_budget_gib"] - 40
    assert answer_to(gpu_memory_gib=10.0)["verdict"] == "does_not_fit"


def test_without_gpu_and_memory_the_verdict_is_unknown_and_the_weights_are_told() -> None:
    answer = answered(json.dumps({name: value for name, value in GOOD.items() if name != "gpu"}))
    keeps_its_contract(answer)
    assert answer["verdict"] == "unknown"
    assert "gpu" in answer["reason"]
    assert answer["weights_gib"] == answer_to()["weights_gib"]


def test_a_config_counts_as_the_model_of_the_catalog_that_has_the_same_shape() -> None:
    of_config, of_catalog = answered(json.dumps(with_config())), answer_to()
    assert {name: of_config[name] for name in MEMORY_FIGURES} == {name: of_catalog[name] for name in MEMORY_FIGURES}


def test_of_a_config_and_a_model_in_one_row_the_config_is_sized() -> None:
    small = answered(json.dumps({**with_config(num_hidden_layers=18), "model": GOOD["model"]}))
    assert small["verdict"] == "fits"
    assert small["kv_bytes_per_token"] * 2 == answer_to()["kv_bytes_per_token"]


def test_stated_bytes_of_the_checkpoint_become_the_weights() -> None:
    stated = 17 * 10**9
    answer = answered(json.dumps({**with_config(), "checkpoint_bytes": stated}))
    assert answer["weights_gib"] == pytest.approx(stated / 2**30, rel=0.01)


@pytest.mark.parametrize("engine", sorted({engine.id for engine in catalog().engines()}))
@pytest.mark.parametrize("model", ["Qwen/Qwen3-8B", "deepseek-ai/DeepSeek-R1", "openai/gpt-oss-120b"])
def test_every_engine_keeps_the_contract(engine: str, model: str) -> None:
    for gpu in catalog().gpus():
        row = {**SERVED, "engine": engine, "engine_version": None, "model": model, "gpu": gpu.id}
        answer = answered(json.dumps({name: value for name, value in row.items() if value is not None}))
        keeps_its_contract(answer)
        assert not broken(answer), answer["reason"]


def test_every_model_of_the_catalog_gets_an_answer_that_keeps_the_contract() -> None:
    for model in catalog().models():
        answer = answer_to(model=model.id, tensor_parallel=8)
        keeps_its_contract(answer)
        assert not broken(answer), (model.id, answer["reason"])


# --- rows that are wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", NO_COUNT)
@pytest.mark.parametrize("field", COUNTS)
def test_a_count_is_a_whole_number_of_a_sane_size(field: str, raw: str) -> None:
    refused(with_raw(SERVED, field, raw), field)


@pytest.mark.parametrize("raw", NO_AMOUNT)
@pytest.mark.parametrize("field", AMOUNTS)
def test_an_amount_is_a_finite_number_above_zero(field: str, raw: str) -> None:
    refused(with_raw(GOOD, field, raw), field)


@pytest.mark.parametrize("raw", NO_NAME)
@pytest.mark.parametrize("field", [name for name in NAMES if name != "checkpoint"])
def test_a_name_is_one_that_is_known(field: str, raw: str) -> None:
    refused(with_raw(GOOD, field, raw), field, field.upper(), field.replace("_", " "))


@pytest.mark.parametrize("raw", ["5", "true", "[1]", "{}", "NaN"])
def test_the_name_of_a_checkpoint_is_text(raw: str) -> None:
    refused(with_raw(GOOD, "checkpoint", raw), "checkpoint")


@pytest.mark.parametrize("raw", ["1", "0", '"yes"', "[true]", "{}", "NaN"])
def test_a_switch_is_true_or_false(raw: str) -> None:
    refused(with_raw(GOOD, "enforce_eager", raw), "enforce_eager")


@pytest.mark.parametrize("raw", ['"x"', "5", "true", "[1]", "NaN"])
def test_a_config_is_an_object(raw: str) -> None:
    refused(with_raw(GOOD, "config", raw), "config")


@pytest.mark.parametrize("field", ["model", "engine"])
def test_what_a_row_cannot_do_without_is_asked_for(field: str) -> None:
    refused(json.dumps({name: value for name, value in GOOD.items() if name != field}), field)


@pytest.mark.parametrize("field", [name for name in Row.model_fields if name not in ("model", "engine", "id")])
def test_null_is_the_same_as_leaving_a_field_out(field: str) -> None:
    without = {name: value for name, value in SERVED.items() if name != field}
    assert answered(with_raw(SERVED, field, "null")) == answered(json.dumps(without))


def test_an_unknown_field_is_refused_with_the_one_that_was_meant() -> None:
    refused(json.dumps({**GOOD, "tensor_paralel": 2}), "did you mean tensor_parallel?")


def test_all_that_is_wrong_is_said_at_once() -> None:
    reason = answer_to(context=0, batch="x", gpu_memory_gib=-1)["reason"]
    assert all(field in reason for field in ("context", "batch", "gpu_memory_gib"))


@pytest.mark.parametrize("count", [3, 5, 64])
def test_tensor_parallel_ranks_that_do_not_divide_the_heads_never_fit(count: int) -> None:
    refused(json.dumps({**GOOD, "tensor_parallel": count}), "tensor_parallel", "tensor parallel")


def test_ranks_that_the_engine_refuses_never_fit_even_where_the_memory_is_not_known() -> None:
    answer = answer_to(engine="tgi", engine_version="3.3.7", model="Qwen/Qwen3-30B-A3B", tensor_parallel=8)
    assert (answer["verdict"], answer["reason"]) == (
        "does_not_fit",
        "tensor_parallel: 8 does not divide the 4 KV heads of Qwen/Qwen3-30B-A3B",
    )


@pytest.mark.parametrize(("share", "verdict"), [(0.9, "fits"), (0.98, "unknown"), (0.999, "does_not_fit")])
def test_what_is_only_allowed_for_beside_the_budget_refuses_nothing_unless_its_least_does(
    share: float, verdict: str
) -> None:
    changes = {"engine_version": "0.8.5", "gpu": "nvidia-rtx-4090", "context": 4096, "gpu_memory_utilization": share}
    answer = answer_to(**changes)
    assert answer["verdict"] == verdict, answer["reason"]


def test_more_pipeline_stages_than_layers_never_fit() -> None:
    refused(json.dumps({**GOOD, "pipeline_parallel": 64}), "pipeline_parallel", "pipeline")


@pytest.mark.parametrize("count", [1, 10**12])
def test_bytes_that_cannot_be_those_of_this_model_are_not_believed(count: int) -> None:
    refused(json.dumps({**GOOD, "checkpoint_bytes": count}), "checkpoint_bytes")


@pytest.mark.parametrize("version", ["banana", "-", " ", "../../etc/passwd"])
def test_a_version_without_a_number_is_none(version: str) -> None:
    refused(json.dumps({**GOOD, "engine_version": version}), "engine_version", "version")


WRONG_IN_CONFIG: tuple[Any, ...] = (0, -1, 2**70, 10**12, 1.5, "8", True, [1], {}, [[]], math.nan, math.inf)


@pytest.mark.parametrize("field", [name for name, value in CONFIG.items() if type(value) is int])
@pytest.mark.parametrize("value", WRONG_IN_CONFIG, ids=repr)
def test_a_size_in_a_config_is_a_whole_number(field: str, value: Any) -> None:
    refused(json.dumps(with_config(**{field: value})), field)


@pytest.mark.parametrize("field", ["architectures", "hidden_size", "num_hidden_layers", "num_attention_heads"])
def test_a_config_without_its_sizes_is_asked_for_them(field: str) -> None:
    row = with_config()
    del row["config"][field]
    refused(json.dumps(row), field)


def test_a_config_of_ten_megabytes_gets_an_answer() -> None:
    padded = with_config(padding="x" * 10_000_000, **{f"key{place}": place for place in range(100_000)})
    answer = answered(json.dumps(padded))
    keeps_its_contract(answer)
    assert answer["kv_tokens"] == answered(json.dumps(with_config()))["kv_tokens"]
    refused(json.dumps(with_config(layer_types=["full_attention"] * 600_000)), "layer_types")


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 980, 1_000, 100_000])
@pytest.mark.parametrize("field", ["id", "config", "context", "no_such_field"])
def test_nesting_of_any_depth_gets_an_answer(field: str, depth: int) -> None:
    for raw in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        answer = answered(with_raw(GOOD, field, raw))
        assert answer["verdict"] == ("unknown" if field != "id" or answer["id"] is None else "fits")
        assert not broken(answer), answer["reason"]


def test_thousands_of_unknown_fields_are_not_all_repeated() -> None:
    answer = answer_to(**{f"key{place}": place for place in range(20_000)})
    assert answer["verdict"] == "unknown"
    assert "key0" in answer["reason"]
    assert len(answer["reason"]) < 5_000


def test_a_name_of_ten_megabytes_is_not_repeated() -> None:
    for changes in ({"model": "m" * 10_000_000}, {"k" * 10_000_000: 1}, {"gpu": "g" * 10_000_000}):
        answer = answer_to(**changes)
        assert answer["verdict"] == "unknown"
        assert len(answer["reason"]) < 5_000


# --- lines that are no rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["[1]", '"x"', "5", "null", "true", "{", "{]", "\x00", "NaN", '{"id": 1} {"id": 2}'])
def test_a_line_that_is_no_object_is_answered_with_its_number(line: str) -> None:
    first, second = list(answers([json.dumps(GOOD), line]))
    assert first["id"] == "good"
    assert second["verdict"] == "unknown"
    assert second["id"] is None
    assert "line 2" in second["reason"]


def test_blank_lines_are_passed_over() -> None:
    assert [answer["id"] for answer in answers(["\n", json.dumps(GOOD), "  \t\r\n", json.dumps(GOOD), ""])] == [
        "good"
    ] * 2


def test_of_two_equal_keys_the_last_counts() -> None:
    assert answered('{"id": "first", ' + json.dumps({**GOOD, "id": "last"})[1:])["id"] == "last"


@pytest.mark.parametrize(
    "row_id", [None, True, 0, -1.5, 2**70, "", "\ud800", "é\u2028", [1, [2]], {"a": None}], ids=repr
)
@pytest.mark.parametrize("changes", [{}, {"context": 0}, {"model": "none"}], ids=["good", "bad field", "bad model"])
def test_an_id_of_any_type_comes_back_as_it_was(row_id: Any, changes: dict[str, Any]) -> None:
    assert answer_to(id=row_id, **changes)["id"] == row_id


@pytest.mark.parametrize("raw", ["NaN", "1e400", "-Infinity", "[1, NaN]"])
def test_an_id_that_json_cannot_carry_comes_back_as_null(raw: str) -> None:
    answer = answered(with_raw(GOOD, "id", raw))
    assert answer["id"] is None
    assert answer["verdict"] == "fits"


def test_a_row_without_an_id_is_answered() -> None:
    answer = answered(json.dumps({name: value for name, value in GOOD.items() if name != "id"}))
    assert answer["id"] is None
    assert answer["verdict"] == "fits"


# --- the whole process ------------------------------------------------------------------------------------------------


def ran(lines: Iterable[bytes], **environment: str) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[bytes]]:
    """The answers of the command, read strictly, and the process."""
    done = subprocess.run(
        [PROGRAM, "estimate", "--jsonl"],
        input=b"\n".join(lines),
        capture_output=True,
        timeout=HANGS_AFTER_S,
        env=dict(os.environ) | environment,
    )

    def not_json(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=not_json) for line in done.stdout.splitlines()], done


BAD_LINES: tuple[bytes, ...] = (
    b"[1, 2]",
    b"{",
    b"\x00\x01\x02",
    b'\xff\xfe{"id": 1}',
    b'{"id": "\xff", "model": "Qwen/Qwen3-8B", "engine": "vllm"}',
    b'{"id": "\\ud800", "model": "\\ud800", "engine": "vllm"}',
    b'{"model": "Qwen/Qwen3-8B"}',
    b'{"id": 1, "config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"id": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    b'{"id": 1, "pad": "' + b"x" * 10_000_000 + b'"}',
    b'{"id": NaN, "context": NaN, "model": "Qwen/Qwen3-8B", "engine": "vllm"}',
    b"9" * 100_000,
    b'{"id": 1, "context": ' + b"9" * 100_000 + b"}",
    *(with_raw(SERVED, field, raw).encode() for field in COUNTS for raw in NO_COUNT),
    *(with_raw(GOOD, field, raw).encode() for field in NAMES for raw in NO_NAME if raw[0] != '"'),
)


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_a_batch_of_bad_rows_ends_well_and_good_rows_among_them_are_answered(encoding: str) -> None:
    lines = [each for bad in BAD_LINES for each in (bad, b"", json.dumps(GOOD).encode())]
    found, done = ran(lines, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(found) == 2 * len(BAD_LINES)
    assert {answer["verdict"] for answer in found[::2]} <= {"unknown", "does_not_fit"}
    assert [(answer["id"], answer["verdict"]) for answer in found[1::2]] == [("good", "fits")] * len(BAD_LINES)
    assert not any(map(broken, found))


def test_answers_keep_the_order_of_their_rows() -> None:
    models = [model.id for model in catalog().models()]
    found, done = ran(json.dumps({**GOOD, "id": place, "model": model}).encode() for place, model in enumerate(models))
    assert done.returncode == 0
    assert [answer["id"] for answer in found] == list(range(len(models)))


def test_no_rows_are_no_answers() -> None:
    found, done = ran([b"", b" "])
    assert (found, done.returncode, done.stderr) == ([], 0, b"")


# --- whatever else ----------------------------------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.integers(-2, 300)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["bf16", "fp8", "vllm", "llamacpp", "nvidia-h100-80gb", "auto", "0.11.0"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CHECK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@CHECK
@given(st.dictionaries(st.sampled_from(sorted(Row.model_fields)), ANYTHING, max_size=4))
def test_a_row_with_anything_in_any_field_gets_an_answer_that_keeps_the_contract(changes: dict[str, Any]) -> None:
    answer = answered(json.dumps({**SERVED, **changes}))
    keeps_its_contract(answer)
    assert not broken(answer), answer["reason"]


@CHECK
@given(st.dictionaries(st.sampled_from(sorted(CONFIG)) | st.text(max_size=12), ANYTHING, max_size=3))
def test_a_config_with_anything_in_any_field_gets_an_answer_that_keeps_the_contract(changes: dict[str, Any]) -> None:
    answer = answered(json.dumps(with_config(**changes)))
    keeps_its_contract(answer)
    assert not broken(answer), answer["reason"]


@CHECK
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_line_gets_one_answer_unless_it_is_blank(line: str) -> None:
    found = list(answers([line]))
    assert len(found) == (1 if line.strip() else 0)
    assert all(answer["verdict"] == "unknown" for answer in found)


@CHECK
@given(
    model=st.sampled_from([model.id for model in catalog().models()]),
    engine=st.sampled_from([engine.id for engine in catalog().engines()]),
    gpu=st.sampled_from([gpu.id for gpu in catalog().gpus()]),
    quantization=st.sampled_from(
        [None, "bf16", "fp8", "awq", "gptq", "nvfp4", "mxfp4", "nf4", "int8", "q4_k_m", "q8_0"]
    ),
    tensor_parallel=st.sampled_from([1, 2, 4, 8, 16]),
    pipeline_parallel=st.sampled_from([1, 2, 3]),
    data_parallel=st.sampled_from([1, 8]),
    expert_parallel=st.sampled_from([1, 8]),
    context=st.sampled_from([1, 4096, 10**6, 2**31]),
    batch=st.sampled_from([1, 64, 4096]),
    engine_version=st.sampled_from([None, "0.5.4", "0.6.6", "0.8.5", "0.11.0", "0.19.0", "0.33.0", "9.9"]),
)
def test_any_deployment_of_known_things_keeps_the_contract(**fields: Any) -> None:
    row = {"id": 1, "input_tokens": 1024, "output_tokens": 1024, **fields}
    answer = answered(json.dumps({name: value for name, value in row.items() if value is not None}))
    keeps_its_contract(answer)
    assert not broken(answer), answer["reason"]


@pytest.mark.parametrize("gpu", ["nvidia-t4", "nvidia-v100-16gb", "apple-m2-max-32gb"])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi", "tensorrt_llm"])
def test_what_no_version_runs_on_never_fits_though_none_is_stated(gpu: str, engine: str) -> None:
    row = {"id": 1, "model": "Qwen/Qwen2.5-1.5B-Instruct", "gpu": gpu, "engine": engine, "context": 8192}
    assert estimate(row)["verdict"] != "fits"


@pytest.mark.parametrize("version", ["9.9", "0.5.3", "1.0"])
def test_a_version_that_nobody_read_is_unknown(version: str) -> None:
    answer = answer_to(engine_version=version)
    assert answer["verdict"] == "unknown"
    assert answer["reason"] == f"engine_version: vLLM {version} was not read, only 0.5.4 to 0.33.0"


def test_a_context_beyond_what_the_model_was_made_for_is_unknown() -> None:
    assert answer_to(context=10_000_000)["verdict"] == "unknown"
    assert answer_to(context=10_000_000)["reason"].startswith("context: 10000000 is more than the ")


def test_a_model_too_large_for_the_card_may_start_where_the_engine_splits_it_with_the_host() -> None:
    row = {"id": 1, "model": "meta-llama/Llama-3.1-70B-Instruct", "gpu": "nvidia-rtx-4090", "engine": "ollama"}
    answer = estimate(row | {"context": 8192})
    assert answer["verdict"] == "unknown"
    assert "with 42 of 81 layers on the GPU" in answer["reason"]


def test_without_a_batch_speed_is_that_of_a_full_cache() -> None:
    free, full = answer_to(input_tokens=512, output_tokens=128, batch=8), answer_to(input_tokens=512, output_tokens=128)
    assert full["output_tokens_per_s"] > 2 * free["output_tokens_per_s"]
    assert full["tpot_ms"] > free["tpot_ms"]
