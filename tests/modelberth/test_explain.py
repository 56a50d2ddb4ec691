"""Explanations: the same figures as ``estimate``, and terms that add up to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelberth import stackfiles
from modelberth.catalog import catalog
from modelberth.estimate import estimate, outcome
from modelberth.explain import TPOT_CONSTANTS, TTFT_CONSTANTS, Explanation, Figure, explain
from modelberth.lock import settle
from modelberth.memory import MEMORY_MODELS
from modelberth.rows import row_of
from modelberth.speed import Server, Traffic
from modelberth.speed.constants import constants
from modelberth.speed.estimate import work_at
from modelberth.speed.formulas import first_token_ms, step_ms
from modelberth.units import GIB
from tests.modelberth.commands import ran
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, ROOT
from tests.modelberth.test_cli import bad, good

H100, H200, L4 = "nvidia-h100-80gb", "nvidia-h200-141gb", "nvidia-l4"
TRAFFIC = {"batch": 32, "input_tokens": 1024, "output_tokens": 512}
ROWS: dict[str, dict[str, Any]] = {
    "dense on four": {"model": LLAMA_70B, "gpu": H100, "tensor_parallel": 4, "context": 8192} | TRAFFIC,
    "dense, fp8, two stages": {"model": LLAMA_70B, "gpu": H100, "quantization": "fp8", "pipeline_parallel": 2},
    "awq with an fp8 cache": {"model": LLAMA_8B, "gpu": L4, "quantization": "awq", "kv_cache_dtype": "fp8"},
    "version stated": {"model": LLAMA_8B, "gpu": L4, "context": 8192, "engine_version": "0.33.0"},
    "an older version": {"model": LLAMA_8B, "gpu": H100, "context": 8192, "engine_version": "0.10.2"},
    "more ranks than KV heads": {"model": LLAMA_8B, "gpu": H100, "tensor_parallel": 16, "context": 8192},
    "experts and windows": {"model": "openai/gpt-oss-20b", "gpu": H100, "context": 8192} | TRAFFIC,
    "latent attention": {"model": "deepseek-ai/DeepSeek-V3", "gpu": H200, "tensor_parallel": 8, "context": 32768}
    | TRAFFIC,
    "states": {"model": "Qwen/Qwen3.6-27B", "gpu": H100, "tensor_parallel": 2, "context": 32768} | TRAFFIC,
    "four bits": {"model": LLAMA_70B, "gpu": H100, "quantization": "awq", "tensor_parallel": 2, "context": 8192}
    | TRAFFIC,
    "sparse attention": {"model": "deepseek-ai/DeepSeek-V3.2", "gpu": H200, "tensor_parallel": 8, "context": 32768}
    | TRAFFIC,
    "adapters": {"model": LLAMA_8B, "gpu": H100, "context": 8192, "lora_slots": 4, "lora_rank": 32},
    "a draft model": {"model": LLAMA_70B, "gpu": H200, "tensor_parallel": 2, "context": 8192, "draft_model": LLAMA_8B},
    "cache offloaded": {"model": LLAMA_8B, "gpu": L4, "context": 8192, "kv_offload_gib": 16},
    "too large": {"model": LLAMA_70B, "gpu": L4, "context": 8192},
    "no card": {"model": LLAMA_8B},
    "only memory": {"model": LLAMA_8B, "gpu_memory_gib": 44.4, "context": 8192},
    "speed not known": {"model": LLAMA_8B, "gpu": L4, "context": 8192} | TRAFFIC,
} | {
    f"{engine} {kind}": {"model": LLAMA_8B, "gpu": L4, "engine": engine, "quantization": kind, "context": 8192}
    for engine, kind in {
        "llamacpp": "q4_k_m",
        "ollama": "q4_k_m",
        "sglang": "bf16",
        "tgi": "bf16",
        "tensorrt_llm": "fp8",
    }.items()
    if engine in MEMORY_MODELS
}


def row(name: str) -> dict[str, Any]:
    return {"engine": "vllm", **ROWS[name]}


def explained(name: str) -> Explanation:
    return explain(outcome(row_of(row(name))))


def figure(explanation: Explanation, name: str) -> Figure:
    return next(each for each in explanation.figures if each.name == name)


def in_base_units(each: Figure) -> float:
    return each.amount * (GIB if each.unit == "GiB" else 1)


@pytest.mark.parametrize("name", ROWS)
def test_every_figure_of_an_estimate_is_explained_and_none_is_another_number(name: str) -> None:
    answer, explanation = estimate(row(name)), explained(name)
    told = {each.name: each.amount for each in explanation.figures}
    assert told == {field: answer[field] for field in answer["range"]}
    assert {each.name: [each.low, each.high] for each in explanation.figures} == answer["range"]
    assert explanation.answer == {field: value for field, value in answer.items() if field != "id"}


@pytest.mark.parametrize("name", ROWS)
def test_explained_terms_add_up_to_the_figure(name: str) -> None:
    sums = [each for each in explained(name).figures if each.adds_up]
    assert sums
    for each in sums:
        step = 1e-4 * GIB if each.unit == "GiB" else 1e-6 * each.amount
        total = sum(line.amount for line in each.lines)
        rounded_up = 1 if each.name == "kv_bytes_per_token" else 0
        assert total == pytest.approx(in_base_units(each), abs=step + rounded_up), each.name


@pytest.mark.parametrize("name", ROWS)
def test_steps_end_in_the_figure(name: str) -> None:
    for each in explained(name).figures:
        if not each.adds_up:
            assert each.lines[-1].amount == pytest.approx(each.amount, abs=6e-4), each.name
            assert each.lines[-1].range == pytest.approx((each.low, each.high), abs=6e-4), each.name


@pytest.mark.parametrize("name", ROWS)
def test_every_term_has_its_arithmetic_its_source_and_a_range_around_it(name: str) -> None:
    for each in explained(name).figures:
        assert each.lines, each.name
        for line in each.lines:
            assert line.formula, line
            assert line.source, line
            low, high = line.range
            assert low - 1 <= line.amount <= high + 1, line


def test_weights_are_told_part_by_part_as_elements_times_bytes() -> None:
    lines = {line.term: line for line in figure(explained("awq with an fp8 cache"), "weights_gib").lines}
    assert lines["embedding: token_embd"].amount == 128_256 * 4096 * 2
    assert lines["mlp: ffn_up"].formula == "32 x 14,336 x 4,096 x 0.519531 B (awq)"
    assert lines["mlp: ffn_up"].constants == (("bytes per element in awq", 0.51953125),)


def test_a_rank_holds_its_share_of_a_part() -> None:
    lines = {line.term: line for line in figure(explained("dense on four"), "weights_gib").lines}
    assert lines["mlp: ffn_up"].formula == "80 x 28,672 x 8,192 / 4 x 2 B (bf16)"
    assert lines["norm: norms"].formula == "161 x 8,192 x 2 B (bf16)"


@pytest.mark.parametrize("name", ["dense on four", "dense, fp8, two stages", "states", "latent attention"])
def test_nothing_is_left_over_where_the_engine_loads_the_parts_as_they_are(name: str) -> None:
    lines = {line.term: line for line in figure(explained(name), "weights_gib").lines}
    assert abs(lines["as loaded"].amount) < 2


def test_layers_that_do_not_grow_take_nothing_per_token_and_say_what_they_keep() -> None:
    window = figure(explained("experts and windows"), "kv_bytes_per_token").lines[1]
    state = figure(explained("states"), "kv_bytes_per_token").lines[-1]
    assert (window.amount, state.amount) == (0, 0)
    assert window.formula == "12 layers keep the last 128 tokens of 2,048 B each, then no more"
    assert "B per request, whatever its length" in state.formula


def test_the_budget_starts_from_what_the_card_shows_and_names_the_version_of_the_default() -> None:
    newer, older = (figure(explained(name), "kv_budget_gib").lines for name in ("version stated", "an older version"))
    assert [line.term for line in newer[:2]] == ["visible memory", "outside the budget"]
    assert newer[1].constants[0][1] == pytest.approx(0.92)
    assert older[1].constants[0][1] == pytest.approx(0.90)
    assert newer[1].since != older[1].since


@pytest.mark.parametrize(
    ("version", "since"),
    [("0.16.0", ""), ("0.19.1", "0.17"), ("0.25.1", "0.21"), ("0.33.0", "0.33")],
)
def test_the_activation_names_the_version_that_its_sampler_holds_from(version: str, since: str) -> None:
    found = explain(outcome(row_of(row("dense on four") | {"engine_version": version})))
    assert figure(found, "activation_gib").lines[0].since == since


def test_a_stated_fraction_has_no_other_source() -> None:
    stated = explain(outcome(row_of(row("version stated") | {"gpu_memory_utilization": 0.8})))
    assert figure(stated, "kv_budget_gib").lines[1].source == "stated"


def test_an_explanation_says_which_version_counts_where_none_is_stated() -> None:
    assert any("no engine version is stated" in note for note in explained("dense on four").notes)
    assert not any("no engine version" in note for note in explained("version stated").notes)


def test_an_unknown_speed_is_a_note() -> None:
    explanation = explained("speed not known")
    assert any(note.startswith("speed: not known") for note in explanation.notes)
    assert "tpot_ms" not in {each.name for each in explanation.figures}


def moved(name: str, table: str, constant: str) -> set[str]:
    """Terms of a speed that change with one fitted constant."""
    case = outcome(row_of(row(name))).case
    ranks, setup = case.setup.ranks, case.setup
    assert setup.gpu
    work = work_at(
        Server("vllm", setup.gpu, setup.shape, setup.stored, ranks, case.row.expert_parallel), Traffic(32, 1024, 512)
    )
    fit = constants()

    def terms(values: Mapping[str, float]) -> Mapping[str, float]:
        step = step_ms(work, values, values["kernels_vllm"])
        if table == "tpot":
            return step
        return first_token_ms(
            work, values, values["first_launch_ms_vllm"], sum(step_ms(work, fit.value, 1).values()), 0
        )

    before, after = terms(fit.value), terms({**fit.value, constant: fit[constant] * 1.5 + 0.1})
    return {term for term in before if before[term] != after[term]}


@pytest.mark.parametrize(("table", "names"), [("tpot", TPOT_CONSTANTS), ("ttft", TTFT_CONSTANTS)])
def test_a_speed_term_lists_constants_that_move_it_and_none_is_left_out(
    table: str, names: Mapping[str, tuple[str, ...]]
) -> None:
    rows = ("dense on four", "four bits", "latent attention", "sparse attention", "experts and windows", "states")
    told = {each.format(engine="vllm") for used in names.values() for each in used}
    for constant in constants().value:
        moves = set().union(*(moved(name, table, constant) for name in rows))
        listed = {term for term, used in names.items() if constant in {each.format(engine="vllm") for each in used}}
        assert listed <= moves, constant
        assert (constant in told) == bool(moves), constant


def test_the_command_prints_the_figures_of_estimate() -> None:
    words = ("--gpu", H100, "--tp", "4", "--context", "8192", "--batch", "32", "--engine-version", "0.19.1")
    printed = json.loads(
        good("explain", LLAMA_70B, *words, "--input-tokens", "1024", "--output-tokens", "512", "--json")
    )
    answer = estimate(row("dense on four") | {"engine_version": "0.19.1"})
    assert printed["schema_version"] == 1
    assert {"id": None, **printed["answer"]} == answer
    assert {each["name"]: each["amount"] for each in printed["figures"]} == {
        field: answer[field] for field in answer["range"]
    }


def test_a_model_is_explained_on_the_version_that_the_package_deploys() -> None:
    words = ("explain", LLAMA_8B, "--gpu", L4, "--context", "8192")
    assert good(*words) == good(*words, "--engine-version", catalog().engine("vllm").default_version)


def test_a_row_of_estimate_is_explained_as_it_stands() -> None:
    stated = row("version stated") | {"id": "r1"}
    assert good("explain", "--row", json.dumps(stated)) == good(
        "explain", LLAMA_8B, "--gpu", L4, "--context", "8192", "--engine-version", "0.33.0"
    )


def test_a_config_stands_in_for_a_model_of_the_catalog(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": 4,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 1024,
        "vocab_size": 1000,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    printed = json.loads(good("explain", "--config", str(path), "--gpu", L4, "--json"))
    assert printed["answer"]["kv_bytes_per_token"] == 4 * 2 * 128 * 2


def test_a_service_of_a_stack_is_explained_with_the_memory_of_its_plan() -> None:
    stack = stackfiles.read(ROOT / "stacks" / "Pulumi.local.yaml")
    plans = settle(stack.spec, stack.locked, stack_name=stack.name).plans
    plan = next(each for each in plans if each.decision.on_gpu)
    assert plan.fit.memory
    printed = json.loads(good("explain", "local", "--service", plan.service, "--json"))
    budget = next(each for each in printed["figures"] if each["name"] == "kv_budget_gib")
    assert sum(line["amount"] for line in budget["lines"]) == plan.fit.memory.kv_budget_bytes
    assert printed["answer"]["reason"] == plan.fit.why


def test_every_service_of_the_local_stack_is_explained() -> None:
    for service in stackfiles.read(ROOT / "stacks" / "Pulumi.local.yaml").spec.services:
        assert "kv_budget_gib" in good("explain", "local", "--service", service)


def test_one_figure_can_be_asked_for() -> None:
    words = ("explain", LLAMA_8B, "--gpu", L4, "--context", "8192")
    printed = json.loads(good(*words, "--only", "kv_bytes_per_token", "--json"))
    assert [each["name"] for each in printed["figures"]] == ["kv_bytes_per_token"]
    assert "unknown figure 'kv_token'; did you mean 'kv_tokens'" in bad(*words, "--only", "kv_token")


def test_what_does_not_fit_is_explained_and_exits_with_one() -> None:
    done = ran("explain", LLAMA_70B, "--gpu", L4, "--context", "8192")
    assert done.returncode == 1
    assert "does not fit" in done.stdout
    assert "mlp: ffn_down" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["meta-llama/Llama-9"], "unknown model 'meta-llama/Llama-9'"),
        ([], "model: a row names a model of the catalog, or brings its config"),
        ([LLAMA_8B, "--gpu", "nvidia-l5"], "unknown GPU 'nvidia-l5'"),
        (
            [LLAMA_8B, "--gpu", L4, "--tp", "0", "--context", "-1"],
            "context: input should be greater than or equal to 1",
        ),
        ([LLAMA_8B, "--engine", "vlm"], "engine: input should be 'vllm'"),
        (["--row", "{"], "--row: not JSON"),
        (["--row", "[1]"], "--row: not a JSON object"),
        (["--row", '{"engin": "vllm"}'], "engin: not a field, did you mean engine?"),
        ([LLAMA_8B, "--row", "{}"], "MODEL: not beside --row"),
        (["--row", "{}", "--gpu", L4], "--gpu: not beside --row"),
        (["--config", "/no/such/config.json"], "/no/such/config.json: No such file or directory"),
        (["local", "--service", "chatt"], "unknown service 'chatt'"),
        (["--service", "chat"], "--service: state the stack file"),
        (["local", "--service", "chat", "--gpu", L4], "--gpu: not beside --service"),
    ],
)
def test_bad_input_gets_one_error_that_names_it(words: list[str], sentence: str) -> None:
    assert sentence in bad("explain", *words)
