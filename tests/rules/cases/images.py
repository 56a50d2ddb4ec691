"""Examples of WH-06 and CS-21."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case
from tests.rules.samples import llamacpp, ollama, sglang, tgi, vllm
from tests.rules.stacks import DIGEST, server

NONE = "the image has no tag"
MOVES = "it has no digest"
V33 = f"vllm/vllm-openai:v0.33.0{DIGEST}"


def _ours(image: Any, **more: Any) -> dict[str, Any]:
    return server(vllm(image=image), ours=True, **more)


def _at(version: str, *args: Any) -> tuple[dict[str, Any], ...]:
    return (server(vllm(*args, image=f"vllm/vllm-openai:v{version}{DIGEST}")),)


_VISION = ("--model", "Qwen/Qwen2.5-VL-7B-Instruct", "--max-model-len", "8192")


def _served(image: str) -> dict[str, Any]:
    return server(vllm(command=["vllm", "serve"], image=image))


_SIDECAR = {"name": "proxy", "image": "envoyproxy/envoy:v1.31.0"}
CASES = (
    Case("WH-06", "an image by tag and digest is pinned", (_ours(V33),)),
    Case("WH-06", "an image by digest alone is pinned", (_ours(f"vllm/vllm-openai{DIGEST}"),)),
    Case("WH-06", "a tag without a digest may be moved", (_ours("vllm/vllm-openai:v0.33.0"),), MOVES),
    Case("WH-06", "no tag stops our own pods", (_ours("vllm/vllm-openai"),), NONE),
    Case("WH-06", "latest is said to be no version", (_ours("vllm/vllm-openai:latest"),), "assume vLLM 0.33.0"),
    Case("WH-06", "a registry's port is no tag", (_ours("mirror.local:5000/vllm/vllm-openai"),), NONE),
    Case("WH-06", "a foreign pod is advised", (server(vllm(image="vllm/vllm-openai:latest")),), "latest", advice=True),
    Case("WH-06", "a foreign tag is advised to be a digest", (server(vllm()),), MOVES, advice=True),
    Case("WH-06", "a sidecar is pinned too", (_ours(V33, initContainers=[_SIDECAR]),), "initContainers[0].image"),
    Case(
        "WH-06", "an unknown image is no pinned image", (_ours(UNKNOWN, kind="StatefulSet"),), "whether", undecided=True
    ),
    Case(
        "WH-06",
        "a digest has 64 digits",
        (_ours("vllm/vllm-openai@sha256:" + "0" * 63),),
        "is no digest",
        boundary=True,
    ),
    Case("WH-06", "64 digits are a digest", (_ours(f"vllm/vllm-openai{DIGEST}"),), boundary=True),
    Case(
        "WH-06",
        "only allowed registries are used",
        (server(vllm(image=V33)),),
        "not on the list",
        thresholds={"registries": ("registry.example.com", "docker.io/library")},
    ),
    Case(
        "WH-06",
        "Docker Hub may be allowed by its name",
        (server(vllm(image=V33)),),
        thresholds={"registries": ("docker.io/vllm",)},
    ),
    Case(
        "WH-06",
        "a registry whose name only begins alike is another one",
        (server(vllm(image=f"registry.example.com.evil.example/vllm-openai{DIGEST}")),),
        "not on the list",
        thresholds={"registries": ("registry.example.com",)},
    ),
    Case("WH-06", "a Job that computes with a model is asked", (server(vllm(), kind="Job"),), MOVES, advice=True),
    Case("CS-21", "the version with the last critical hole closed passes", _at("0.22.0"), boundary=True),
    Case("CS-21", "the version before it does not", _at("0.21.1"), "CVE-2026-48746, critical", boundary=True),
    Case("CS-21", "a hole is also told in profile dev", _at("0.21.1"), "vLLM 0.22.0 or later", profile=Profile.DEV),
    Case("CS-21", "holes are told together", _at("0.11.0"), "also CVE-2026-27893, CVE-2026-22807, CVE-2025-66448"),
    Case("CS-21", "a model that sees is open to more", _at("0.14.0", *_VISION), "CVE-2026-22778"),
    Case("CS-21", "a closed high hole is advice", (server(tgi()),)),
    Case(
        "CS-21",
        "an open high hole is advice",
        (server({**tgi(), "image": "ghcr.io/huggingface/text-generation-inference:3.3.6"}),),
        "CVE-2026-0599",
        advice=True,
    ),
    Case(
        "CS-21",
        "SGLang before its broker was mended stops",
        (server(sglang(image="lmsysorg/sglang:v0.5.9")),),
        "0.5.10",
    ),
    Case("CS-21", "SGLang after it passes", (server(sglang(image="lmsysorg/sglang:v0.5.10")),)),
    Case(
        "CS-21",
        "an old build of llama.cpp is advised against",
        (server(llamacpp() | {"image": "ghcr.io/ggml-org/llama.cpp:server-b8939"}),),
        "CVE-2026-21869",
        advice=True,
        boundary=True,
    ),
    Case(
        "CS-21",
        "the build with the hole closed passes",
        (server(llamacpp() | {"image": "ghcr.io/ggml-org/llama.cpp:server-b8940"}),),
        boundary=True,
    ),
    Case(
        "CS-21", "Ollama leaks memory before 0.17.1", (server(ollama() | {"image": "ollama/ollama:0.17.0"}),), "0.17.1"
    ),
    Case("CS-21", "Ollama 0.17.1 passes", (server(ollama() | {"image": "ollama/ollama:0.17.1"}),)),
    Case(
        "CS-21",
        "Triton counts by its own releases",
        (
            server(
                {
                    "name": "server",
                    "image": "nvcr.io/nvidia/tritonserver:25.06-trtllm-python-py3",
                    "command": ["tritonserver", "--model-repository=/models"],
                    "resources": {"limits": {"nvidia.com/gpu": 1}},
                }
            ),
        ),
        "Triton 25.07 or later",
    ),
    Case("CS-21", "a tag that names no version says nothing", (server(vllm(image="vllm/vllm-openai:nightly")),)),
    Case("CS-21", "a copy of the engine's image counts its versions", (_served("example.com/vllm:0.8.5"),), "0.8.5"),
    Case("CS-21", "tags of LMCache's image are LMCache's versions", (_served("lmcache/vllm-openai:v0.3.9"),)),
    Case("CS-21", "tags of an image of one's own are its own versions", (_served("example.com/llm/chat:1.2.0"),)),
    Case("CS-21", "NVIDIA's containers count months", (_served("nvcr.io/nvidia/vllm:25.09-py3"),)),
    Case(
        "WH-06",
        "the version behind an image of one's own is assumed",
        (_served("example.com/llm/chat:1.2.0"),),
        "names no version of the engine; the sizing figures assume",
        advice=True,
    ),
    Case(
        "CS-21",
        "an unknown image leaves it open",
        (server(vllm(command=["vllm", "serve"], image=UNKNOWN)),),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-06",
        "an address is no image",
        (server(vllm(image=f"https://ghcr.io/vllm/vllm-openai:v0.33.0{DIGEST}")),),
        "neither a scheme nor blanks",
    ),
    Case(
        "CS-21",
        "Triton of any backend is looked at",
        (
            server(
                {
                    "name": "triton",
                    "image": "nvcr.io/nvidia/tritonserver:24.01-vllm-python-py3",
                    "command": ["tritonserver", "--model-repository=/models", "--http-port=8000", "--grpc-port=8001"],
                    "resources": {"limits": {"nvidia.com/gpu": 1}},
                }
            ),
        ),
        "Triton 24.01 has a known hole",
    ),
)
