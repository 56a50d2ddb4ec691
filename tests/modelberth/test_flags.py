"""Flags by version, and what a parser makes of words, refusals included."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, read
from modelberth.engines.flags import Dialect, FlagTable, human_number, parse, table
from modelberth.findings import Level
from modelberth.observed import UNKNOWN
from tests.modelberth.samples import LLAMA_8B, by_path, plan_of, refusal, sizing_on

IMAGE = "vllm/vllm-openai:v0.33.0"
API_SERVER = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
VERSIONS = catalog().engine("vllm").versions


def vllm(*words: Any, version: str = "0.33.0") -> Any:
    return parse(words, table("vllm", version), abbreviations=True)


def test_every_supported_release_of_vllm_has_its_own_flags() -> None:
    assert VERSIONS == ("0.28.0", "0.29.0", "0.30.0", "0.31.0", "0.32.0", "0.33.0")
    assert [len(table("vllm", version).flags) for version in VERSIONS] == [386, 397, 407, 422, 430, 485]


@pytest.mark.parametrize(
    ("flag", "versions"),
    [
        ("--shutdown-timeout", VERSIONS),
        ("--max-num-queued-reqs", VERSIONS[1:]),
        ("--device-memory-utilization", VERSIONS[3:]),
        ("--disable-prefix-caching", VERSIONS[5:]),
        ("--no-enable-prefix-caching", VERSIONS),
        ("--watchdog-config", VERSIONS[5:]),
        ("--enable-mamba-fine-grained-prefix-cache", VERSIONS[2:3]),
        ("--enable-bf16x3-router-gemm", VERSIONS[:2]),
        ("--swap-space", ()),
    ],
)
def test_a_flag_is_known_in_the_versions_that_have_it(flag: str, versions: tuple[str, ...]) -> None:
    assert tuple(version for version in VERSIONS if flag in table("vllm", version).flags) == versions


def test_a_version_that_nobody_read_has_no_table() -> None:
    with pytest.raises(FileNotFoundError):
        table("vllm", "0.34.0")


@pytest.mark.parametrize(
    ("version", "on", "off"),
    [
        ("0.28.0", "--enable-prefix-caching", "--no-enable-prefix-caching"),
        ("0.33.0", "--enable-prefix-caching", "--disable-prefix-caching"),
    ],
)
def test_a_switch_is_spelled_as_the_version_spells_it(version: str, on: str, off: str) -> None:
    known = table("vllm", version)
    assert (known.switch("enable_prefix_caching", on=True), known.switch("enable_prefix_caching", on=False)) == (
        on,
        off,
    )


def test_a_switch_that_a_version_lacks_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"0\.28\.0 has no flag that turns monokernel on"):
        table("vllm", "0.28.0").switch("monokernel", on=True)


@pytest.mark.parametrize(("version", "taken"), [(version, version == "0.33.0") for version in VERSIONS])
def test_an_argument_of_ones_own_is_held_against_the_pinned_version(version: str, taken: bool) -> None:
    fields: dict[str, Any] = {
        "typical_tokens": 3000,
        "engine_version": version,
        "extra_args": ["--watchdog-config", "{}"],
    }
    if taken:
        assert "--watchdog-config" in plan_of(**fields).launch.args
    else:
        found = by_path(refusal(lambda: plan_of(**fields)))["services.chat.extra_args"]
        assert found.message == f"vllm {version} does not take --watchdog-config"


@pytest.mark.parametrize(
    ("extra", "word"),
    [(["--max-num", "4"], "--max-num"), (["--enable-lora=True"], "--enable-lora"), (["--seed"], "--seed")],
)
def test_an_argument_that_the_parser_refuses_is_refused(extra: list[str], word: str) -> None:
    found = by_path(refusal(lambda: plan_of(typical_tokens=3000, extra_args=extra)))["services.chat.extra_args"]
    assert found.message == f"vllm 0.33.0 does not take {word}"


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--enforce-eager"], "enforce_eager", True),
        (["--no-enforce-eager"], "enforce_eager", False),
        (["--no_enforce_eager"], "enforce_eager", False),
        (["--enable-lora", "--disable-lora"], "enable_lora", False),
        (["--no-disable-sliding-window"], "disable_sliding_window", False),
        (["--enable-sliding-window"], "disable_sliding_window", False),
        (["-tp", "2", "-tp=4"], "tensor_parallel_size", "4"),
        (["--seed", "-1"], "seed", "-1"),
        (["--chat-template", "-- a b"], "chat_template", "-- a b"),
        (["-O3"], "optimization_level", "3"),
        (["-O", "2"], "optimization_level", "2"),
        (["--served-model-name", "a", "b"], "served_model_name", "a"),
        (["--hf-token"], "hf_token", True),
        (["--host="], "host", ""),
        (["--seed", UNKNOWN], "seed", UNKNOWN),
    ],
)
def test_a_value_is_taken_as_vllm_takes_it(words: list[Any], name: str, value: Any) -> None:
    parsed = vllm("m", *words)
    assert parsed.values == {name: value}
    assert parsed.positional == ["m"]
    assert parsed.not_taken == []


def test_json_may_be_spelled_with_dots() -> None:
    words = [
        "--speculative_config.model",
        "org/draft",
        "--speculative-config.nested.a_b=8k",
        "--speculative-config.l+=x,y",
    ]
    said = json.loads(vllm("m", *words, "--speculative-config.l+", "z").values["speculative_config"])
    assert said == {"model": "org/draft", "nested": {"a_b": 8000}, "l": ["x", "y", "z"]}


def test_json_with_an_unknown_part_is_unknown() -> None:
    assert vllm("m", "--hf-overrides.a", "1", "--hf-overrides.b", UNKNOWN).values == {"hf_overrides": UNKNOWN}


def test_all_values_of_a_list_are_kept() -> None:
    assert vllm("m", "--served-model-name", "a", "b", "--port", "1").lists == {"served_model_name": ["a", "b"]}


def test_what_stands_before_an_unknown_word_may_be_said_again_in_it() -> None:
    parsed = vllm("m", "--seed", "1", UNKNOWN, "8", "--port", "9000")
    assert parsed.opaque
    assert parsed.values == {"seed": UNKNOWN, "port": "9000"}
    assert parsed.positional == ["m", UNKNOWN]


def test_after_two_dashes_there_are_no_flags() -> None:
    assert vllm("--", "--seed", "1").positional == ["--seed", "1"]


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("--enable-prefix-caching=False", "it takes no value"),
        ("--max-num", "it is short for several flags"),
        ("--seed", "it needs a value"),
        ("--frobnicate", "it is no flag of this version"),
    ],
)
def test_what_the_engine_would_not_start_with_is_said_and_never_a_value(word: str, why: str) -> None:
    observed = read({"image": IMAGE, "args": [LLAMA_8B, word]})
    assert observed is not None
    spelling = word.partition("=")[0]
    assert dict(observed.undecided) == {spelling: f"{why}: the engine would not start"}


def test_a_refused_word_that_may_hold_a_secret_is_not_repeated() -> None:
    observed = read({"image": IMAGE, "args": [LLAMA_8B, "--sk-Secret/Value1"]})
    assert observed is not None
    assert "Secret" not in str(observed.undecided)


def test_llama_server_knows_no_equals_sign_and_takes_any_word_as_a_value() -> None:
    known = table("llamacpp", catalog().engine("llamacpp").default_version)
    assert parse(["--ctx-size=8192"], known, abbreviations=False).unknown_flags == ["--ctx-size"]
    assert parse(["--ctx_size", "8192"], known, abbreviations=False).values == {"ctx_size": "8192"}
    assert parse(["--chat-template", "--x"], known, abbreviations=False).values == {"chat_template": "--x"}


def test_underscores_and_dots_are_vllms_own() -> None:
    plain = FlagTable("1", {"--a-b": ("a_b", "one")}, {}, Dialect.ARGPARSE)
    assert plain.find("--a_b", abbreviations=True) is None
    assert plain.find("--a-b.c", abbreviations=True) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8k", 8000),
        ("8K", 8192),
        ("1.5m", 1_500_000),
        ("2T", 2 * 2**40),
        (" 8 ", 8),
        ("-1", -1),
        ("1.5K", None),
        ("8 k", None),
    ],
)
def test_whole_numbers_are_read_as_vllm_reads_them(text: str, number: int | None) -> None:
    assert human_number(text, int) == number


@pytest.mark.parametrize(("text", "number"), [("0.9", 0.9), ("9e-1", 0.9), ("8k", None), ("nan", None), ("inf", None)])
def test_shares_take_no_letters(text: str, number: float | None) -> None:
    assert human_number(text, float) == number


@pytest.mark.parametrize(
    ("container", "model"),
    [
        (
            {"command": ["python3", "-m", "vllm.entrypoints.openai.api_server", "org/ignored", "--model", LLAMA_8B]},
            LLAMA_8B,
        ),
        ({"command": ["python3", "-m", "vllm.entrypoints.openai.api_server", "org/ignored"]}, None),
        ({"command": ["python3", "-m", "vllm.entrypoints.cli.main", "serve", LLAMA_8B]}, LLAMA_8B),
        ({"image": IMAGE, "args": ["serve", LLAMA_8B]}, LLAMA_8B),
        ({"image": IMAGE, "args": ["--port", "9000", LLAMA_8B]}, LLAMA_8B),
        ({"image": IMAGE, "args": ["--port", "9000", f"--model={LLAMA_8B}"]}, LLAMA_8B),
        ({"image": IMAGE, "args": [UNKNOWN, "--port", "9000"]}, None),
    ],
)
def test_the_model_is_where_the_entry_point_takes_it_from(container: dict[str, Any], model: str | None) -> None:
    observed = read(container)
    assert observed is not None
    assert observed.model == model


@pytest.mark.parametrize(("name", "changes"), [("1", True), ("0", False)])
def test_a_variable_that_changes_memory_is_undecided(name: str, changes: bool) -> None:
    env = [{"name": "VLLM_MLA_DISABLE", "value": name}]
    observed = read({"image": IMAGE, "args": [LLAMA_8B], "env": env})
    assert observed is not None
    assert ("VLLM_MLA_DISABLE" in dict(observed.undecided)) is changes


@pytest.mark.parametrize(
    ("version", "quantization", "says", "out"),
    [
        ("0.28.0", "nf4", "left vLLM's stock image in 0.28", "use awq, gptq or fp8"),
        ("0.33.0", "gguf", "left vLLM's stock image in 0.24", "use engine llamacpp for GGUF"),
    ],
)
def test_a_format_that_left_vllm_names_the_version_and_the_way_out(
    version: str, quantization: str, says: str, out: str
) -> None:
    asked = sizing_on("nvidia-l4", quantization=quantization, engine_version=version)
    found = [finding for finding in ENGINES["vllm"].objections(asked) if finding.level is Level.ERROR]
    assert [(says in finding.message, finding.remedy) for finding in found] == [(True, out)], found


def test_every_engine_says_what_it_does_not_take() -> None:
    for name, engine in ENGINES.items():
        version = catalog().engine(name).default_version
        assert engine.unknown_flags(("--no-such-flag",), version) == ["--no-such-flag"]
