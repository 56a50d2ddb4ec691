"""TensorRT-LLM by its own server and inside Triton: settings in a file that the pod shows once more."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from modelberth.catalog import catalog
from modelberth.engines import read
from modelberth.engines.flags import parse, table
from modelberth.plan import Plan
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, by_path, plan_of, refusal
from tests.modelberth.test_engines import container

VERSIONS = catalog().engine("tensorrt_llm").versions
H100 = {"accelerators": ["nvidia-h100-80gb"], "typical_tokens": 3000}
CASES: dict[str, dict[str, Any]] = {
    "one GPU": H100,
    "several GPUs": {"model": LLAMA_70B, **H100, "tensor_parallel": 4},
    "an fp8 cache": {**H100, "kv_cache_dtype": "fp8", "gpu_memory_utilization": 0.8},
    "from the hub": {**H100, "keys": {"weights": {"w": {"kind": "hub"}}}, "weights": "w", "token": {"secret": "hub"}},
}
PACKAGINGS = ("serve", "triton")


def planned(case: str = "one GPU", packaging: str = "serve", **more: Any) -> Plan:
    return plan_of(engine="tensorrt_llm", packaging=packaging, **{**CASES[case], **more})


def settings(plan: Plan) -> dict[str, Any]:
    (file,) = plan.launch.files
    return yaml.safe_load(file.content)


@pytest.mark.parametrize("packaging", PACKAGINGS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_decided_is_read_back(version: str, case: str, packaging: str) -> None:
    made = planned(case, packaging, engine_version=version)
    decision, seen = made.decision, read(container(made.launch))
    assert seen is not None
    assert (seen.engine, seen.engine_version, seen.version_assumed) == ("tensorrt_llm", version, False)
    assert (seen.model, seen.context) == (decision.source.repository, decision.context)
    assert (seen.tensor_parallel, seen.pipeline_parallel) == (decision.tensor_parallel, 1)
    assert (seen.max_num_seqs, seen.max_num_batched_tokens) == (decision.concurrency, decision.max_num_batched_tokens)
    assert (seen.kv_cache_dtype, seen.gpu_memory_utilization) == (
        decision.kv_cache_dtype,
        decision.gpu_memory_utilization,
    )
    assert seen.undecided == ()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_option_exists_and_takes_what_it_is_given(version: str, case: str) -> None:
    args = planned(case, engine_version=version).launch.args
    parsed = parse(args, table("tensorrt_llm", version), abbreviations=False)
    assert parsed.unknown_flags == []
    assert parsed.positional == [args[0]]
    assert True not in parsed.values.values()


@pytest.mark.parametrize("packaging", PACKAGINGS)
def test_the_file_and_the_variable_say_the_same_and_do_not_depend_on_order(packaging: str) -> None:
    made = planned(packaging=packaging)
    stated = json.loads(dict(made.launch.env)["MODELBERTH_SETTINGS"])
    assert settings(made) == stated
    assert list(settings(made)) == sorted(settings(made))
    assert [file.path for file in made.launch.files] == ["/etc/modelberth/settings.yaml"]


def test_the_share_of_free_memory_is_the_same_in_the_file_and_on_the_command_line() -> None:
    made = planned("an fp8 cache")
    args = list(made.launch.args)
    stated = float(args[args.index("--kv_cache_free_gpu_memory_fraction") + 1])
    assert settings(made)["kv_cache_config"]["free_gpu_memory_fraction"] == stated == 0.8
    assert settings(made)["kv_cache_config"]["dtype"] == "fp8"


def test_clients_are_told_the_repositorys_name_which_is_that_of_the_last_folder() -> None:
    launch = planned().launch
    assert launch.args[0].rpartition("/")[2] == LLAMA_8B.rpartition("/")[2]
    assert dict(launch.fetch[0].env)["FOLDER"] == launch.args[0].removeprefix("/weights/")


def test_triton_reads_its_settings_in_place_of_the_images_own_and_finishes_its_requests() -> None:
    launch = planned(packaging="triton").launch
    assert launch.image == "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"
    assert dict(launch.env)["LLM_CONFIG_PATH"] == launch.files[0].path
    assert (launch.port, launch.metrics_port, launch.api_path) == (8000, 8002, "/v2")
    assert (launch.probes.readiness.path, launch.probes.liveness.path) == ("/v2/health/ready", "/v2/health/live")
    drain_s = int(launch.args[launch.args.index("--exit-timeout-secs") + 1])
    assert launch.grace_s > launch.leave_s + drain_s


def test_an_image_several_times_as_large_has_several_times_as_long() -> None:
    usual = plan_of(engine="vllm", **H100)
    assert planned().decision.startup_budget_s > usual.decision.startup_budget_s
    assert planned().fetch_s > usual.fetch_s


def test_the_plan_says_that_triton_has_another_api() -> None:
    assert any("not the OpenAI-compatible one" in finding.message for finding in planned(packaging="triton").findings)


@pytest.mark.parametrize(
    ("fields", "path", "says", "way_out"),
    [
        ({"api_key": {"secret": "keys"}}, "api_key", "knows no API key", "a gateway that asks for one"),
        ({"accelerators": ["nvidia-t4"], "quantization": "fp16"}, "accelerators", "does not run on", "use vllm"),
        ({"quantization": "q4_k_m"}, "quantization", "does not load q4_k_m", "engine llamacpp"),
        ({"extra_args": ["--served_model_name", "x"]}, "extra_args", "does not take", "correct or remove"),
        ({"extra_args": ["--max_seq_len=4096"]}, "extra_args", "set from the spec itself", "remove it"),
        ({"packaging": "triton", "extra_args": ["--log-info=1"]}, "extra_args", "other arguments", "leave them out"),
        ({"packaging": "triton", "engine": "vllm"}, "packaging", "by its own server only", "tensorrt_llm"),
    ],
)
def test_what_it_cannot_do_is_said_with_the_way_out(fields: dict[str, Any], path: str, says: str, way_out: str) -> None:
    found = refusal(lambda: plan_of(**{"engine": "tensorrt_llm", **H100, **fields}))
    about = [each for each in found if each.path == f"services.chat.{path}"]
    assert any(says in each.message and way_out in each.remedy for each in about), by_path(found)


IMAGE = "nvcr.io/nvidia/tensorrt-llm/release:1.2.1"
SERVE = ["trtllm-serve", LLAMA_8B, "--max_seq_len", "8192"]


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "command": SERVE},
        {"image": IMAGE, "command": ["trtllm-serve", "serve", *SERVE[1:]]},
        {"image": IMAGE, "args": ["mpirun", "-n", "1", "trtllm-llmapi-launch", *SERVE]},
        {"image": "somebody/trt:1.2.1", "command": ["bash", "-c", " ".join(["exec", *SERVE, "--tp_size=1"])]},
    ],
)
def test_a_server_is_recognised_however_it_is_started(hand_written: dict[str, Any]) -> None:
    seen = read(hand_written)
    assert seen is not None
    assert (seen.engine, seen.engine_version, seen.model, seen.context) == ("tensorrt_llm", "1.2.1", LLAMA_8B, 8192)
    assert seen.undecided == ()


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "command": ["trtllm-serve", "disaggregated", "-c", "config.yaml"]},
        {"image": IMAGE, "command": ["trtllm-bench"]},
        {"image": "nvcr.io/nvidia/tritonserver:26.07-py3", "command": ["tritonserver", "--model-repository=/models"]},
    ],
)
def test_what_serves_something_else_is_not_read(hand_written: dict[str, Any]) -> None:
    assert read(hand_written) is None


TRITON = "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"


@pytest.mark.parametrize(
    ("hand_written", "fact"),
    [
        ({"image": IMAGE, "command": [*SERVE, "--config", "/settings/a.yaml"]}, "config"),
        ({"image": IMAGE, "command": [*SERVE, "--extra_llm_api_options=/settings/a.yaml"]}, "config"),
        ({"image": IMAGE, "command": [*SERVE, "--backend", "_autodeploy"]}, "backend"),
        ({"image": IMAGE, "command": [*SERVE, "--ep_size", "4"]}, "moe_expert_parallel_size"),
        ({"image": TRITON, "command": ["tritonserver", "--model-repository=/models"]}, "model"),
    ],
)
def test_what_lies_in_a_file_or_cannot_be_sized_is_undecided(hand_written: dict[str, Any], fact: str) -> None:
    seen = read(hand_written)
    assert seen is not None
    assert fact in dict(seen.undecided)


def test_settings_that_are_no_settings_count_as_unread() -> None:
    for text in ("[]", "{", '{"kv_cache_config": 7}'):
        variable = {"name": "MODELBERTH_SETTINGS", "value": text}
        seen = read({"image": IMAGE, "command": [*SERVE, "--config", "/a.yaml"], "env": [variable]})
        assert seen is not None
        assert "config" in dict(seen.undecided)
