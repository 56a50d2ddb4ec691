"""The two rules about the manifest itself."""

from typing import Any

import pytest

from modelberth.findings import Level
from modelberth.observed import UNKNOWN
from tests.rules.samples import CONTAINER, deployment, findings, guide, llamacpp, vllm


def test_the_guides_image_is_not_pinned_and_the_version_assumed_is_named() -> None:
    (finding,) = findings(guide(), "WH-06")
    assert finding.path == f"{CONTAINER}.image"
    assert finding.message == (
        "the image has the tag latest: what runs changes without a change here; the sizing figures assume vLLM 0.33.0"
    )
    assert finding.remedy == "image: vllm/vllm-openai:v0.33.0, with its digest"
    assert finding.level is Level.WARNING


@pytest.mark.parametrize(
    ("container", "said"),
    [
        (vllm(image="vllm/vllm-openai"), "the image has no tag"),
        (vllm(image="vllm/vllm-openai:nightly"), "the image's tag names no version of the engine"),
        (
            vllm(image="lmsysorg/sglang:latest", command=["python3", "-m", "sglang.launch_server"]),
            "the image has the tag latest",
        ),
        (llamacpp(image="ghcr.io/ggml-org/llama.cpp:server"), "the image's tag names no version of the engine"),
        (vllm(command=["vllm", "serve"], image=UNKNOWN), "whether the image is pinned is only known after apply"),
    ],
)
def test_an_image_that_may_change_is_advised_against(container: dict[str, Any], said: str) -> None:
    (finding,) = findings(deployment(container), "WH-06")
    assert finding.message.startswith(said)


@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai:v0.33.0",
        "vllm/vllm-openai@sha256:" + "0" * 64,
        "mirror.local:5000/vllm/vllm-openai:v0.32.0@sha256:" + "0" * 64,
    ],
)
def test_a_version_or_a_digest_pins_an_image(image: str) -> None:
    assert findings(deployment(vllm(image=image)), "WH-06") == []


def test_the_image_proposed_for_a_server_on_cpus_is_the_one_for_cpus() -> None:
    (finding,) = findings(deployment(llamacpp(image="ghcr.io/ggml-org/llama.cpp:server"), pod={}), "WH-06")
    assert finding.remedy == "image: ghcr.io/ggml-org/llama.cpp:server-b11434, with its digest"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
@pytest.mark.parametrize("selector", [None, {}])
def test_a_controller_without_a_selector_is_refused(kind: str, selector: Any) -> None:
    manifest = deployment(vllm(), kind=kind)
    manifest["spec"]["selector"] = selector
    (finding,) = findings(manifest, "WH-21")
    assert finding.path == "spec.selector"
    assert finding.message == f"a {kind} without spec.selector is refused by the API server"


def test_a_selector_that_is_there_or_will_be_passes() -> None:
    manifest = deployment(vllm())
    assert findings(manifest, "WH-21") == []
    manifest["spec"]["selector"] = UNKNOWN
    assert findings(manifest, "WH-21") == []


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_kinds_that_need_no_selector_pass_without(kind: str) -> None:
    manifest = deployment(vllm(), kind=kind)
    del manifest["spec"]["selector"]
    if kind == "Pod":
        manifest["spec"] = manifest["spec"]["template"]["spec"]
    assert findings(manifest, "WH-21") == []
