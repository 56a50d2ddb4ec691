"""A service on one's own machine: what is printed says no secret, listens on this machine only, and is the plan's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.engines.base import WEIGHTS_MOUNT
from modelberth.laptop import commands, compose
from modelberth.plan import Plan
from tests.modelberth.lines import ADAPTER
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, QWEN_7B, plan_of, refusal, stack_of
from tests.modelberth.test_cli import bad, good, write_spec

ON_CPU: dict[str, Any] = {"model": QWEN_7B, "accelerators": ["cpu"], "concurrency": 4}
ON_GPU: dict[str, Any] = {"model": QWEN_7B, "engine": "llamacpp", "accelerators": ["nvidia-l4"], "concurrency": 2}
OLLAMA = ON_CPU | {"engine": "ollama"}
KEY = {"secret": "api", "key": "key"}
TOKEN = {"secret": "hub", "key": "token"}


def script(**fields: Any) -> str:
    keys = fields.pop("keys", None)
    return commands(plan_of(keys=keys, **fields), stack_of(keys=keys, **fields))


def file_of(plan: Plan) -> dict[str, Any]:
    return yaml.safe_load(compose(plan))


def server(**fields: Any) -> dict[str, Any]:
    return file_of(plan_of(**fields))["services"]["server"]


def flag(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


@pytest.mark.parametrize("fields", [ON_CPU, ON_GPU, OLLAMA, ON_CPU | {"token": TOKEN, "api_key": KEY}])
def test_the_commands_are_a_script_that_a_shell_can_read(fields: dict[str, Any]) -> None:
    done = subprocess.run(["sh", "-n"], input=script(**fields), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("fields", [ON_CPU, OLLAMA])
def test_the_download_is_pinned_to_the_plans_commit(fields: dict[str, Any]) -> None:
    source = plan_of(**fields).decision.source
    assert source.revision
    assert f"/{source.repository}/resolve/{source.revision}/{source.file}" in script(**fields)


def test_a_mirror_of_the_hub_is_asked_instead() -> None:
    mirror = {"defaults": {"hub_endpoint": "https://mirror.example.com/"}}
    assert " https://mirror.example.com/" in script(keys=mirror, **ON_CPU)


def test_the_server_of_the_commands_is_the_plans_and_listens_on_this_machine_only() -> None:
    words = script(**ON_CPU).split()
    planned = list(plan_of(**ON_CPU).launch.args)
    for name in ("--ctx-size", "--parallel", "--cache-type-k", "--n-gpu-layers", "--alias"):
        assert flag(words, name) == flag(planned, name)
    assert flag(words, "--host") == "127.0.0.1"
    assert flag(words, "--model").startswith("weights/")
    assert "--threads" not in words


def test_ollama_is_told_what_the_plan_tells_it_except_where_and_with_how_many_threads() -> None:
    told = dict(re.findall(r"^export (\w+)=(.*)$", script(**OLLAMA), re.MULTILINE))
    planned = {name: value for name, value in plan_of(**OLLAMA).launch.env if name.startswith(("OLLAMA_", "LLAMA_"))}
    assert told == {name: value for name, value in planned.items() if name in told} | {"OLLAMA_HOST": "127.0.0.1:11434"}
    assert planned.keys() - told.keys() == {"OLLAMA_MODELS", "LLAMA_ARG_THREADS"}


def test_an_ollama_on_a_gpu_holds_all_layers_there() -> None:
    assert "export LLAMA_ARG_N_GPU_LAYERS=all\n" in script(**(ON_GPU | {"engine": "ollama"}))


@pytest.mark.parametrize(("fields", "path"), [(ON_CPU, "qwen/model-q4_k_m.gguf"), (OLLAMA, "store")])
def test_weights_of_ones_own_are_not_downloaded(fields: dict[str, Any], path: str) -> None:
    own = {"weights": {"own": {"kind": "existing-claim", "claim": "models", "path": path}}}
    text = script(keys=own, **fields, weights="own", quantization="q4_k_m")
    assert "curl" not in text
    assert f"weights/{path}" in text.replace('"$PWD/"', "")
    assert "ollama create" not in text
    volumes = file_of(plan_of(keys=own, **fields, weights="own", quantization="q4_k_m"))["services"]["server"][
        "volumes"
    ]
    assert f"./weights:{WEIGHTS_MOUNT}:ro" in volumes


def test_tokens_and_keys_are_read_from_the_environment_and_never_an_argument() -> None:
    text = script(**ON_CPU, token=TOKEN, api_key=KEY)
    assert 'export LLAMA_API_KEY="${LLAMA_API_KEY:?' in text
    assert ': "${HF_TOKEN:?' in text
    assert "printf 'Authorization: Bearer %s\\n' \"$HF_TOKEN\" |" in text
    assert "--header @-" in text
    assert "--api-key" not in text
    assert "HF_TOKEN" not in script(**ON_CPU)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (
            {"adapters": [ADAPTER | {"source": "example-org/llama-lora-gguf/sql-f16.gguf"}], "model": LLAMA_8B},
            "adapters",
        ),
        (
            {"speculative": {"method": "draft_model", "model": "Qwen/Qwen2.5-0.5B-Instruct", "tokens": 8}},
            "speculative.model",
        ),
    ],
)
def test_what_is_loaded_beside_the_model_is_composed_and_never_started_without_a_download(
    fields: dict[str, Any], field: str
) -> None:
    wished = ON_CPU | {"quantization": "q4_k_m"} | fields
    (finding,) = refusal(lambda: script(**wished))
    assert finding.path == f"services.chat.{field}"
    assert "--compose" in finding.remedy
    assert {"fetch-0", "fetch-1"} <= file_of(plan_of(**wished))["services"].keys()


def test_a_composed_server_is_the_plans_image_and_command_behind_a_port_of_this_machine() -> None:
    plan = plan_of(**ON_CPU)
    found = file_of(plan)["services"]["server"]
    assert found["image"] == plan.launch.image
    words = list(plan.launch.args)
    at = words.index("--threads")
    assert found["command"] == words[:at] + words[at + 2 :]
    assert found["ports"] == [f"127.0.0.1:{plan.launch.port}:{plan.launch.port}"]
    assert found["deploy"]["resources"]["limits"] == {"memory": f"{plan.decision.host.memory_mib}m"}
    assert "reservations" not in found["deploy"]["resources"]


def test_a_composed_server_on_a_gpu_reserves_as_many_as_the_plan() -> None:
    (device,) = server(**ON_GPU)["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    four = server(model=LLAMA_70B, accelerators=["nvidia-a100-80gb"], tensor_parallel=4, concurrency=2)
    assert four["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 4


@pytest.mark.parametrize("fields", [ON_CPU, {"model": LLAMA_8B}])
def test_a_composed_server_is_healthy_when_the_readiness_probe_would_pass(fields: dict[str, Any]) -> None:
    asked, health = plan_of(**fields).launch.probes.readiness, server(**fields)["healthcheck"]
    assert f":{plan_of(**fields).launch.port}{asked.path}" in " ".join(health["test"])
    assert health["interval"] == f"{asked.period_s}s"
    assert health["start_period"] == f"{plan_of(**fields).decision.startup_budget_s}s"


def test_a_composed_ollama_is_healthy_when_its_model_is_loaded() -> None:
    wanted = ["CMD", *plan_of(**OLLAMA).launch.probes.readiness.command]
    assert [word.replace("$$", "$") for word in server(**OLLAMA)["healthcheck"]["test"]] == wanted


def test_a_composed_server_waits_for_the_download_and_cannot_write_to_the_weights() -> None:
    services = file_of(plan_of(**ON_CPU))["services"]
    assert services["server"]["depends_on"] == {"fetch-0": {"condition": "service_completed_successfully"}}
    assert f"weights:{WEIGHTS_MOUNT}:ro" in services["server"]["volumes"]
    assert services["fetch-0"]["volumes"] == [f"weights:{WEIGHTS_MOUNT}:rw"]
    (step,) = plan_of(**ON_CPU).launch.fetch
    assert [text.replace("$$", "$") for text in services["fetch-0"]["command"]] == [step.script]
    assert all(each["cap_drop"] == ["ALL"] for each in services.values())
    assert all(each["read_only"] for each in services.values())


def test_secrets_of_a_composed_server_are_references_that_stop_it_when_they_are_not_set() -> None:
    whole = file_of(plan_of(**ON_CPU, token=TOKEN, api_key=KEY))
    assert re.fullmatch(r"\$\{LLAMA_API_KEY:\?.+\}", whole["services"]["server"]["environment"]["LLAMA_API_KEY"])
    assert whole["secrets"] == {"hub-token": {"environment": "HF_TOKEN"}}
    step = whole["services"]["fetch-0"]
    assert step["secrets"][0]["target"] == step["environment"]["TOKEN_FILE"]
    assert step["read_only"] is False
    assert "secrets" not in file_of(plan_of(**ON_CPU))


def test_an_engine_that_no_laptop_has_is_refused_with_the_way_out() -> None:
    (finding,) = refusal(lambda: script(model=LLAMA_8B))
    assert (finding.path, finding.message) == ("services.chat.engine", "vLLM is not started by commands here")
    assert finding.remedy == "--compose, or engine llamacpp"
    sglang = plan_of(model=LLAMA_8B, engine="sglang")
    (finding,) = refusal(lambda: compose(sglang))
    assert "SGLang" in finding.message


def test_a_replica_over_several_nodes_is_no_matter_of_one_machine() -> None:
    split = plan_of(
        model="meta-llama/Llama-3.1-405B-Instruct",
        accelerators=["nvidia-h100-80gb"],
        tensor_parallel=8,
        pipeline_parallel=2,
        concurrency=4,
        quantization="bf16",
    )
    (finding,) = refusal(lambda: compose(split))
    assert finding.path == "services.chat.pipeline_parallel"


def test_the_command_prints_the_script_or_the_file(tmp_path: Path) -> None:
    path = str(write_spec(tmp_path, ON_CPU | {"context": 4096}))
    assert good("laptop", path).startswith("#!/bin/sh\n# Qwen/Qwen2.5-7B-Instruct as ")
    assert set(yaml.safe_load(good("laptop", path, "--compose"))["services"]) == {"fetch-0", "server"}


def test_the_command_asks_which_of_several_services() -> None:
    assert "--service: state which one: chat, draft" in bad("laptop", "local")
    assert good("laptop", "local", "--service", "draft", "--compose")
    assert "chat" in bad("laptop", "local", "--service", "chta")
