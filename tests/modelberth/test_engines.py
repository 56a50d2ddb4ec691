"""An engine is a codec: what `launch` writes, `read` understands, and the engine's own parser accepts."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.engines import read
from modelberth.observed import UNKNOWN
from tests.modelberth.lines import SPELLED
from tests.modelberth.samples import LLAMA_8B, container, plan_of


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("vllm with fp8 made while loading", True),
        ("vllm with an fp8 checkpoint", False),
        ("vllm with a model stored as fp8", False),
    ],
)
def test_fp8_is_only_asked_for_when_16_bit_weights_are_loaded(case: str, said: bool) -> None:
    made = plan_of(**SPELLED[case])
    assert made.decision.quantization == "fp8"
    assert ("--quantization" in made.launch.args) is said


def test_no_secret_is_part_of_the_arguments_or_of_the_plain_environment() -> None:
    for case in SPELLED:
        launch = plan_of(**SPELLED[case]).launch
        plain = " ".join([*launch.args, *(f"{name}={value}" for name, value in launch.env)])
        assert "api-key" not in plain
        assert "TOKEN=" not in plain


def test_a_key_for_clients_comes_from_its_secret() -> None:
    vllm, llamacpp = (plan_of(**SPELLED[case]).launch for case in ("vllm with secrets", "llamacpp on cpu with secrets"))
    assert [(each.name, each.ref.secret, each.ref.key) for each in vllm.secret_env] == [
        ("VLLM_API_KEY", "keys", "chat")
    ]
    assert [each.name for each in llamacpp.secret_env] == ["LLAMA_API_KEY"]


def test_only_a_pod_that_downloads_gets_the_hub_token() -> None:
    hub = plan_of(**SPELLED["vllm from the hub"]).launch
    claim = plan_of(**SPELLED["vllm with secrets"]).launch
    assert "HF_TOKEN" in {each.name for each in hub.secret_env}
    assert hub.fetch == ()
    assert "HF_TOKEN" not in {each.name for each in claim.secret_env}
    assert len(claim.fetch) == 1
    assert dict(claim.env)["HF_HUB_OFFLINE"] == "1"


def test_a_closed_network_changes_where_images_and_weights_come_from() -> None:
    launch = plan_of(**SPELLED["vllm in a closed network"]).launch
    assert launch.image == "registry.local/mirror/vllm/vllm-openai:v0.33.0"
    assert dict(launch.env)["HF_ENDPOINT"] == "https://hub.local"


def test_an_image_of_ones_own_is_pinned_by_its_digest() -> None:
    digest = "sha256:" + "a" * 64
    launch = plan_of(typical_tokens=3000, image="acme/vllm-openai:v0.33.0", image_digest=digest).launch
    assert launch.image == f"acme/vllm-openai:v0.33.0@{digest}"
    observed = read(container(launch))
    assert observed is not None
    assert observed.engine_version == "0.33.0"


def test_two_revisions_never_share_a_folder() -> None:
    one, two = (
        plan_of(model={"id": LLAMA_8B, "revision": digit * 40}, typical_tokens=3000).launch.args[0] for digit in "12"
    )
    assert one != two


SERVE = [LLAMA_8B, "--max-model-len", "8192", "--tensor-parallel-size", "2"]
IMAGE = "vllm/vllm-openai:v0.33.0"


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "args": SERVE},
        {"image": IMAGE, "args": ["--model", *SERVE]},
        {"image": IMAGE, "args": [f"--model={LLAMA_8B}", "--max-model-len=8192", "--tensor-parallel-size=2"]},
        {"image": IMAGE, "args": [LLAMA_8B, "--max_model_len", "8192", "-tp", "2"]},
        {"image": IMAGE, "args": [LLAMA_8B, "--max-model", "8192", "--tensor-parallel", "2"]},
        {"image": IMAGE, "args": [LLAMA_8B, "--max-model-len", "8192K", *SERVE[1:]]},
        {"image": "acme/own:v0.33.0", "command": ["vllm", "serve"], "args": SERVE},
        {"image": "acme/own:v0.33.0", "command": ["/opt/venv/bin/vllm", "serve", *SERVE]},
        {
            "image": "acme/own:v0.33.0",
            "command": ["python3", "-m", "vllm.entrypoints.openai.api_server", "--model"],
            "args": SERVE,
        },
        {"image": "acme/own:v0.33.0", "command": ["sh", "-c"], "args": [f"exec vllm serve {' '.join(SERVE)}"]},
        {"image": "acme/own:v0.33.0", "command": ["bash", "-lc", f"set -e\nvllm serve {' '.join(SERVE)}"]},
        {"image": "acme/own:v0.33.0", "command": ["bash", "-o", "pipefail", "-c", f"vllm serve {' '.join(SERVE)}"]},
        {"image": IMAGE, "command": ["sh", "-c"], "args": [f"vllm serve {' '.join(SERVE)} 2>&1 | tee /tmp/log"]},
        {"image": IMAGE, "command": ["sh", "-c"], "args": [f"vllm serve {' '.join(SERVE)} || exit 1"]},
        {
            "image": IMAGE,
            "args": ["$(MODEL)", "--max-model-len=$(LEN)", "--tensor-parallel-size", "2"],
            "env": [{"name": "MODEL", "value": LLAMA_8B}, {"name": "LEN", "value": "8192"}],
        },
        {
            "image": IMAGE,
            "command": ["sh", "-c", 'vllm serve "$MODEL" --max-model-len ${LEN} -tp 2'],
            "env": [{"name": "MODEL", "value": LLAMA_8B}, {"name": "LEN", "value": "8192"}],
        },
    ],
)
def test_a_vllm_server_is_recognised_however_it_is_spelled(hand_written: dict[str, Any]) -> None:
    observed = read(hand_written)
    assert observed is not None
    assert (observed.engine, observed.engine_version) == ("vllm", "0.33.0")
    assert (observed.model, observed.context, observed.tensor_parallel) == (LLAMA_8B, 8192, 2)
    assert observed.undecided == ()


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": "nginx:1.29", "args": ["-g", "daemon off;"]},
        {"image": "acme/own:1", "command": ["sh", "-c", "echo vllm; sleep 5"]},
        {"image": "acme/vllm-exporter:1"},
        {"image": "acme/own:1", "command": ["python3", "train.py", "--model", LLAMA_8B]},
        {"image": UNKNOWN, "args": []},
        {"image": None, "command": None, "args": None, "env": None},
        {},
    ],
)
def test_a_container_of_somebody_else_is_not_ours(hand_written: dict[str, Any]) -> None:
    assert read(hand_written) is None


@pytest.mark.parametrize(
    ("args", "fact"),
    [
        ([LLAMA_8B, "--max-model-len", "$(LEN)"], "max_model_len"),
        ([LLAMA_8B, "--max-model-len", UNKNOWN], "max_model_len"),
        ([LLAMA_8B, "--max-model-len", "many"], "max_model_len"),
        ([LLAMA_8B, "--max-model-len", "auto"], "max_model_len"),
        ([LLAMA_8B, "--gpu-memory-utilization", "high"], "gpu_memory_utilization"),
        ([LLAMA_8B, "--quantization", "newest"], "quantization"),
        ([LLAMA_8B, "--kv-cache-dtype", "newest"], "kv_cache_dtype"),
        ([LLAMA_8B, "--cpu-offload-gb", "4"], "cpu_offload_gb"),
        ([LLAMA_8B, "--data-parallel-size", "2"], "data_parallel_size"),
        ([LLAMA_8B, UNKNOWN], "max_model_len"),
    ],
)
def test_what_cannot_be_known_or_sized_is_undecided_never_assumed(args: list[Any], fact: str) -> None:
    from_secret = {"name": "LEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    observed = read({"image": IMAGE, "args": args, "env": [from_secret]})
    assert observed is not None
    assert fact in dict(observed.undecided)


@pytest.mark.parametrize("expansion", ["${LEN:-4096}", "${LEN#1}", "$(cat len)", "`cat len`", "$LEN", "$0"])
def test_a_shell_expansion_that_cannot_be_followed_is_undecided(expansion: str) -> None:
    observed = read({"image": IMAGE, "command": ["sh", "-c", f"vllm serve {LLAMA_8B} --max-model-len {expansion}"]})
    assert observed is not None
    assert observed.context is None
    assert "max_model_len" in dict(observed.undecided)


def test_the_last_mention_of_a_flag_wins() -> None:
    observed = read({"image": IMAGE, "args": [*SERVE, "--max-model-len", "4096"]})
    assert observed is not None
    assert observed.context == 4096


@pytest.mark.parametrize(("spelled", "tokens"), [("8k", 8000), ("8K", 8192), ("0.5m", 500_000), ("8192", 8192)])
def test_vllms_own_spellings_of_numbers_are_read_as_vllm_reads_them(spelled: str, tokens: int) -> None:
    observed = read({"image": IMAGE, "args": [LLAMA_8B, "--max-model-len", spelled]})
    assert observed is not None
    assert observed.context == tokens


def test_an_image_without_a_version_says_which_one_is_assumed() -> None:
    observed = read({"image": "vllm/vllm-openai:latest", "args": SERVE})
    assert observed is not None
    assert observed.version_assumed
    assert observed.engine_version == catalog().engine("vllm").default_version


def test_llama_server_is_told_by_its_program_or_its_image_and_listens_to_its_environment() -> None:
    file = "/models/Qwen2.5-7B-Instruct-Q4_K_M.gguf"
    by_image = read(
        {"image": "ghcr.io/ggml-org/llama.cpp:server-b11434", "args": ["-m", file, "-c", "8192", "-np", "2"]}
    )
    env = [{"name": "LLAMA_ARG_CTX_SIZE", "value": "8192"}, {"name": "LLAMA_ARG_N_PARALLEL", "value": "2"}]
    by_program = read({"image": "acme/own:1", "command": ["/app/llama-server", "--model", file], "env": env})
    for observed in (by_image, by_program):
        assert observed is not None
        assert (observed.engine, observed.quantization) == ("llamacpp", "q4_k_m")
        assert (observed.context, observed.slots) == (8192, 2)
    assert by_image is not None
    assert not by_image.version_assumed
