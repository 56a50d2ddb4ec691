"""SZ-21: what is unknown, not in the catalog or not sized yet stops with one finding per cause, and never passes."""

from typing import Any

import pytest

from modelberth.engines import ENGINES
from modelberth.observed import UNKNOWN
from tests.rules.samples import (
    ARGS,
    GKE,
    GPUS,
    LLAMA_8B,
    codes,
    deployment,
    findings,
    gguf,
    judged,
    llamacpp,
    vllm,
)


def serving(*args: Any, **more: Any) -> dict[str, Any]:
    return deployment(vllm("--model", LLAMA_8B, *args, **more))


def one(manifest: Any, rule: str) -> tuple[str, str, str]:
    """Path, message and remedy of the one finding of a rule; no other rule but the advisory one may speak."""
    (finding,) = findings(manifest, rule)
    return finding.path, finding.message, finding.remedy


def test_an_unknown_context_stops_with_one_finding_that_names_it() -> None:
    assert codes(serving("--max-model-len", UNKNOWN)) == ["SZ-21"]
    path, message, remedy = one(serving("--max-model-len", UNKNOWN), "SZ-21")
    assert path == ARGS
    assert message.startswith(
        "cannot decide whether the model fits or whether the context is within the model's maximum "
        "because --max-model-len is only known after apply"
    )
    assert remedy == "make it a plain value"


def test_an_unknown_word_may_be_any_flag_and_is_one_cause() -> None:
    assert codes(serving(UNKNOWN)) == ["SZ-21"]
    message = one(serving(UNKNOWN), "SZ-21")[1]
    assert message.startswith("cannot decide whether the sizing holds because a part of the arguments is only known")


def test_arguments_that_are_wholly_unknown_are_one_cause() -> None:
    assert codes(deployment(vllm() | {"args": UNKNOWN})) == ["SZ-21"]


def test_an_unknown_number_of_gpus_is_reported_where_it_is() -> None:
    manifest = serving("--max-model-len", "8192", gpus=UNKNOWN)
    assert codes(manifest) == ["SZ-21"]
    path, message, _ = one(manifest, "SZ-21")
    assert path == GPUS
    assert (
        "whether the parallel size equals the GPUs requested because the GPU count is only known after apply" in message
    )


def test_two_unknown_values_in_two_places_are_two_findings() -> None:
    manifest = serving("--max-model-len", UNKNOWN, gpus=UNKNOWN)
    assert sorted(finding.path for finding in findings(manifest, "SZ-21")) == sorted([ARGS, GPUS])


def test_an_unknown_node_selector_leaves_the_gpu_open() -> None:
    pod = {"nodeSelector": {GKE: UNKNOWN}}
    assert one(deployment(vllm(), pod=pod), "SZ-21")[0] == f'spec.template.spec.nodeSelector["{GKE}"]'


def test_the_other_rules_still_speak_beside_an_unknown_value() -> None:
    assert codes(serving("-tp", "3", "--max-model-len", UNKNOWN, gpus=2)) == ["SZ-03", "SZ-04", "SZ-21"]


def test_an_unknown_value_that_sizing_does_not_read_changes_nothing() -> None:
    container = vllm(env=[{"name": "NAMESPACE", "value": UNKNOWN}], volumeMounts=UNKNOWN)
    assert codes(deployment(container)) == []


def test_a_value_from_a_secret_is_not_known_either() -> None:
    env = [{"name": "LEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    assert codes(serving("--max-model-len", "$(LEN)", env=env)) == ["SZ-21"]


def test_a_model_outside_the_catalog_cannot_be_decided_and_near_names_are_given() -> None:
    manifest = deployment(vllm("--model", "meta-llama/Llama-3.1-8B-Instrct", "--max-model-len", "8192"))
    _, message, _ = one(manifest, "SZ-21")
    assert message.startswith(
        "cannot decide whether the model fits, whether the tensor parallel size divides the attention heads or whether "
        "the context is within the model's maximum because the model is not in the catalog; "
        "did you mean meta-llama/Llama-3.1-8B-Instruct"
    )


@pytest.mark.parametrize(
    ("container", "pod", "why"),
    [
        (vllm("--max-model-len", "8192"), None, "the model is not named by the arguments as a repository"),
        (vllm("--model", "x" * 5000 + "/y"), None, "the model is not named by the arguments as a repository"),
        (vllm("--model", "not\0a/path"), None, "the model is not named by the arguments as a repository"),
        (vllm(), {}, "the GPU is named by no node selector or required affinity"),
        (vllm(image="lmsysorg/sglang:v0.5.23"), None, "what the container serves is not legible in this command"),
        (
            vllm("--model", LLAMA_8B, "--speculative-config", '{"method": "medusa", "num_speculative_tokens": 3}'),
            None,
            "--speculative-config drafts by a method that cannot be sized",
        ),
        (vllm(image="vllm/vllm-openai-cpu:v0.33.0", gpus=0), {}, "the memory is that of a CPU"),
        (vllm("--model", LLAMA_8B, "--dtype", "float32"), None, "--dtype asks for 32-bit weights"),
        (vllm("--model", LLAMA_8B, "--max-model-len", "9" * 400), None, "--max-model-len is not a positive number"),
        (llamacpp(*gguf(), "-c", "9" * 5000), {}, "--ctx-size is not a whole number"),
        (llamacpp(*gguf(), "-c", "4096", "--cache-type-v", "q8_0"), {}, "--cache-type-v differs from that of the keys"),
        (llamacpp(*gguf(), "-c", "4096", "--mmproj", "/weights/x.gguf"), {}, "--mmproj takes memory in a way"),
        (llamacpp(memory=None), {}, "the memory limit is not stated"),
        (llamacpp(memory=UNKNOWN), {}, "the memory limit is only known after apply"),
        (llamacpp(*gguf("model.gguf"), "-c", "4096"), {}, "the quantization is not told by the file name"),
        (llamacpp(gpus=2), None, "the GPU split is by layers over several GPUs"),
        (
            llamacpp(*gguf(), "-c", "4096", "-ngl", "10", gpus=1),
            None,
            "--n-gpu-layers leaves part of the model on the CPU",
        ),
        (llamacpp(*gguf(), "--parallel", "2", memory="5Gi"), {}, "--ctx-size is left to the server"),
    ],
)
def test_what_cannot_be_sized_is_said_and_never_passes(container: Any, pod: Any, why: str) -> None:
    manifest = deployment(container, pod=pod)
    assert codes(manifest) == ["SZ-21"]
    assert why in one(manifest, "SZ-21")[1]


def test_an_engine_without_a_codec_is_said_and_never_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENGINES, "sglang")
    manifest = deployment(vllm(image="lmsysorg/sglang:v0.5.23"))
    assert codes(manifest) == ["SZ-21"]
    assert "the engine is SGLang, which cannot be read yet" in one(manifest, "SZ-21")[1]


def test_what_is_plain_and_known_is_evaluated() -> None:
    assert codes(serving("--max-model-len", "8192")) == []
    assert codes(deployment(llamacpp(), pod={})) == []
    assert (
        codes(
            deployment(
                llamacpp(memory=None), pod={"nodeSelector": {"node.kubernetes.io/instance-type": "n2-standard-8"}}
            )
        )
        == []
    )


def test_a_flag_that_the_engine_does_not_have_is_a_finding() -> None:
    words = ["--model", LLAMA_8B, "--max-model-len", "8192", "--bogus-flag=3"]
    (finding,) = [str(found) for found in judged(deployment(vllm(*words)), "SZ-01", "SZ-21")]
    assert "does not start: --bogus-flag is no flag of vLLM 0.33.0" in finding


def test_a_flag_that_an_assumed_version_does_not_have_is_no_refusal() -> None:
    words = ["--model", LLAMA_8B, "--max-model-len", "8192", "--bogus-flag=3"]
    container = vllm(*words, image="example.com/vllm-openai:our-build", command=["vllm", "serve"])
    (finding,) = [str(found) for found in judged(deployment(container), "SZ-21")]
    assert "--bogus-flag is no flag of 0.33.0: the version is assumed, the image names none" in finding
    assert "would not start" not in finding


def test_the_value_of_a_flag_that_only_older_versions_have_is_no_model() -> None:
    words = ["serve", "--model", LLAMA_8B, "--max-model-len", "8192", "--swap-space", "0"]
    assert judged(deployment(vllm(*words, image="vllm/vllm-openai:v0.8.5")), "SZ-21") == []


def test_a_client_in_an_engine_s_image_is_no_server() -> None:
    assert judged(deployment(vllm("--model", LLAMA_8B, command=["vllm", "bench", "serve"])), "SZ-21") == []


def test_a_dotted_json_argument_is_a_flag_of_vllm() -> None:
    words = ["--model", LLAMA_8B, "--max-model-len", "8192", "--structured-outputs-config.backend", "xgrammar"]
    assert not judged(deployment(vllm(*words)), "SZ-21")
