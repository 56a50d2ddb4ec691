"""Ollama is told everything by its environment, serves from a store that a Job fills, and loads before it is ready."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, read
from modelberth.engines.flags import table
from modelberth.observed import UNKNOWN
from modelberth.placement import accelerator_of
from modelberth.plan import Plan
from tests.modelberth.samples import QWEN_7B, by_path, plan_of, refusal, sizing_on
from tests.modelberth.test_engines import container

VERSIONS = catalog().engine("ollama").versions
CASES: dict[str, dict[str, Any]] = {
    "on cpu": {"model": QWEN_7B, "accelerators": ["cpu"], "concurrency": 4},
    "on a GPU": {"quantization": "q6_k", "accelerators": ["nvidia-l4"], "concurrency": 2},
    "with a small cache": {"quantization": "q4_k_m", "accelerators": ["nvidia-l4"], "kv_cache_dtype": "q8_0"},
}
SIZED = ("OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL", "OLLAMA_KV_CACHE_TYPE", "OLLAMA_MAX_LOADED_MODELS")


def planned(case: str = "on cpu", version: str = "0.34.0", **more: Any) -> Plan:
    return plan_of(engine="ollama", engine_version=version, **CASES[case], **more)


def env(plan: Plan) -> dict[str, str]:
    return dict(plan.launch.env)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_what_was_decided_is_read_back(case: str, version: str) -> None:
    made = planned(case, version)
    seen = read(container(made.launch))
    assert seen is not None
    decision = made.decision
    assert (seen.engine, seen.engine_version, seen.version_assumed) == ("ollama", version, False)
    assert (seen.context, seen.slots) == (decision.context, decision.concurrency)
    assert (seen.model, seen.quantization) == (decision.model, decision.quantization)
    assert seen.gpu_layers == ("all" if decision.on_gpu else None)
    assert seen.undecided == ()
    again = ENGINES["ollama"].sizing(seen, made.model, accelerator_of(catalog().machine(decision.machine_type)))
    assert (again.context, again.concurrency) == (decision.context, decision.concurrency)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_every_variable_that_is_written_is_one_of_that_version_or_of_the_llama_server_it_starts(
    case: str, version: str
) -> None:
    known = table("ollama", version).env
    started = table("llamacpp", catalog().engine("llamacpp").default_version).env
    for name in env(planned(case, version)):
        assert name in known or name in started or name in ("HOME", "MODEL"), name


def test_all_that_memory_depends_on_is_written_out() -> None:
    assert set(SIZED) <= set(env(planned()))


def test_a_quantized_cache_asks_for_the_flash_attention_that_it_needs() -> None:
    assert env(planned("with a small cache"))["OLLAMA_FLASH_ATTENTION"] == "1"
    assert "OLLAMA_FLASH_ATTENTION" not in env(planned("on a GPU"))


def test_a_pod_is_ready_when_its_model_is_loaded_and_alive_while_it_loads() -> None:
    made = planned()
    probes, budget_s = made.launch.probes, made.decision.startup_budget_s
    for asked in (probes.startup, probes.readiness):
        assert "ollama run" in asked.command[-1]
        assert asked.timeout_s == budget_s  # whoever asks for the model and leaves stops its loading
    assert env(made)["OLLAMA_LOAD_TIMEOUT"] == f"{budget_s}s"
    assert env(made)["OLLAMA_KEEP_ALIVE"] == "-1"
    assert probes.liveness.path == "/api/version"


def test_requests_get_their_time_before_the_signal_that_cuts_them_off() -> None:
    launch = planned().launch
    assert launch.leave_s >= 120
    assert launch.grace_s > launch.leave_s


def test_there_are_no_metrics() -> None:
    assert planned().launch.metrics_path == ""


def test_a_roll_to_the_next_version_changes_the_image_and_nothing_else() -> None:
    old, new = planned(version="0.33.0").launch, planned(version="0.34.0").launch
    assert (old.image, new.image) == ("ollama/ollama:0.33.0", "ollama/ollama:0.34.0")
    assert (old.args, old.env, old.fetch) == (new.args, new.env, new.fetch)


def test_a_store_on_an_existing_claim_is_served_where_it_lies() -> None:
    keys = {"weights": {"w": {"kind": "existing-claim", "claim": "models", "path": "ollama"}}}
    made = planned(keys=keys, weights="w")
    assert env(made)["OLLAMA_MODELS"] == "/weights/ollama"
    assert made.launch.fetch == ()


@pytest.mark.parametrize(
    ("fields", "path", "says", "way_out"),
    [
        ({"api_key": {"secret": "keys"}}, "api_key", "knows no API key", "a gateway that asks for one"),
        ({"tensor_parallel": 2, "accelerators": ["nvidia-l4"]}, "tensor_parallel", "on one GPU", "engine vllm"),
        ({"kv_cache_dtype": "fp8"}, "kv_cache_dtype", "no fp8 KV cache", "q8_0"),
        ({"extra_args": ["--port", "1"]}, "extra_args", "does not take", "remove it"),
    ],
)
def test_what_ollama_cannot_do_is_said_with_the_way_out(
    fields: dict[str, Any], path: str, says: str, way_out: str
) -> None:
    wanted = {"model": QWEN_7B, "quantization": "q4_k_m", "accelerators": ["cpu"], "concurrency": 4} | fields
    found = by_path(refusal(lambda: plan_of(engine="ollama", **wanted)))[f"services.chat.{path}"]
    assert says in found.message
    assert way_out in found.remedy


def test_a_model_that_ollama_serves_one_request_at_a_time_is_refused_for_more() -> None:
    hybrid = sizing_on("nvidia-l4", "Qwen/Qwen3.5-4B", quantization="q4_k_m", engine_version="0.34.0", concurrency=4)
    (found,) = [each for each in ENGINES["ollama"].objections(hybrid) if each.path == "concurrency"]
    assert "one request at a time" in found.message
    assert [e for e in ENGINES["ollama"].objections(replace(hybrid, concurrency=1)) if e.path == "concurrency"] == []


def test_a_store_cannot_be_downloaded_by_the_server_itself() -> None:
    keys = {"weights": {"w": {"kind": "hub"}}}
    found = refusal(lambda: planned(keys=keys, weights="w"))
    assert any("cannot be told a revision" in each.message for each in found)


def test_every_model_of_the_catalog_has_a_name_that_ollama_takes() -> None:
    taken = re.compile(r"(\w[\w-]{0,79}/)?\w[\w.-]{0,79}", re.ASCII)  # types/model/name.go, isValidPart
    assert [model.id for model in catalog().models() if not taken.fullmatch(model.id)] == []


IMAGE = "ollama/ollama:0.32.15"
HUB_FILE = "hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M"


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE},
        {"image": "registry.local/ollama/ollama:0.32.15-rocm", "args": ["serve"]},
        {"image": "somebody/ollama:0.32.15", "command": ["/bin/ollama"], "args": ["serve"]},
        {"image": IMAGE, "command": ["sh", "-c", "ollama serve & sleep 5 && ollama pull llama3 && wait"]},
        {"image": IMAGE, "command": ["/bin/bash", "-c", "exec /bin/ollama serve"]},
    ],
)
def test_an_ollama_server_is_recognised_however_it_is_started(hand_written: dict[str, Any]) -> None:
    seen = read(hand_written)
    assert seen is not None
    assert (seen.engine, seen.engine_version) == ("ollama", "0.32.15")


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "args": ["pull", "llama3"]},
        {"image": IMAGE, "command": ["sleep", "infinity"]},
        {"image": "ghcr.io/open-webui/open-webui:ollama"},
    ],
)
def test_what_only_uses_ollama_serves_nothing(hand_written: dict[str, Any]) -> None:
    assert read(hand_written) is None


@pytest.mark.parametrize(
    ("hand_written", "model", "kind"),
    [
        ({"command": ["sh", "-c", f"ollama serve & sleep 5; ollama pull {HUB_FILE}; wait"]}, "bartowski", "q4_k_m"),
        ({"lifecycle": {"postStart": {"exec": {"command": ["ollama", "run", HUB_FILE]}}}}, "bartowski", "q4_k_m"),
        ({"command": ["sh", "-c", "ollama serve & ollama pull llama3; ollama pull gemma3; wait"]}, None, None),
        ({}, None, None),
    ],
)
def test_the_model_is_read_where_one_command_names_it(
    hand_written: dict[str, Any], model: str | None, kind: str | None
) -> None:
    seen = read({"image": IMAGE, **hand_written})
    assert seen is not None
    assert (seen.model or "").partition("/")[0] == (model or "")
    assert seen.quantization == kind


def variables(**values: Any) -> dict[str, Any]:
    known = [{"name": name, "value": value} for name, value in values.items() if value is not None]
    later = [{"name": name, "valueFrom": UNKNOWN} for name, value in values.items() if value is None]
    return {"image": IMAGE, "env": known + later}


def test_variables_are_read_as_ollama_reads_them() -> None:
    seen = read(variables(OLLAMA_CONTEXT_LENGTH=" '8192' ", OLLAMA_NUM_PARALLEL="4", OLLAMA_KV_CACHE_TYPE="q8_0"))
    assert seen is not None
    assert (seen.context, seen.slots, seen.kv_cache_dtype) == (8192, 4, "q8_0")


@pytest.mark.parametrize(
    ("hand_written", "fact"),
    [
        (variables(OLLAMA_CONTEXT_LENGTH=None), "OLLAMA_CONTEXT_LENGTH"),
        (variables(OLLAMA_NUM_PARALLEL="many"), "OLLAMA_NUM_PARALLEL"),
        (variables(OLLAMA_KV_CACHE_TYPE="q5_1"), "OLLAMA_KV_CACHE_TYPE"),
        ({"image": IMAGE, "envFrom": [{"configMapRef": {"name": "ollama"}}]}, "OLLAMA_CONTEXT_LENGTH"),
    ],
)
def test_what_cannot_be_known_or_sized_is_undecided_never_assumed(hand_written: dict[str, Any], fact: str) -> None:
    seen = read(hand_written)
    assert seen is not None
    assert fact in dict(seen.undecided)
