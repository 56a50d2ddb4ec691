"""TensorRT-LLM inside Triton: the model repository of the image, told by a settings file what to serve.

The image carries all_models/llmapi (NVIDIA/TensorRT-LLM, triton_backend; copied to /app by tensorrtllm_backend's
Dockerfile). Its model reads the file that LLM_CONFIG_PATH names, and passes it to the LLM API (model.py,
get_model_config), so that no file of the image is copied or changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from modelberth.catalog import catalog
from modelberth.decision import Decision
from modelberth.engines import flags, lifecycle, serving
from modelberth.engines.base import (
    ConfigFile,
    Fetch,
    Launch,
    Wishes,
    download_port,
    image_parts,
    image_reference,
)
from modelberth.engines.settings import SETTINGS, SETTINGS_PATH, as_json, as_yaml, from_env, unread
from modelberth.engines.shells import Started
from modelberth.observed import Observed

ENGINE = "tensorrt_llm"
REPOSITORY = "/app/all_models/llmapi"
GRPC_PORT, METRICS_PORT = 8001, 8002

DRAIN_S = 120
"""Seconds that requests in flight have after the signal (--exit-timeout-secs, 30 when nothing is said)."""


def launch(
    decision: Decision,
    wishes: Wishes,
    model: str,
    settings: Mapping[str, Any],
    variables: Mapping[str, str],
    fetches: Callable[[str, Decision, Wishes], tuple[Fetch, ...]],
) -> Launch:
    """`tritonserver` on the image's own model repository; ``settings`` are those of the LLM API, ``variables`` those of
    TensorRT-LLM whoever starts it.
    """
    facts = catalog().engine(ENGINE)
    release = facts.triton_releases[decision.engine_version]
    image = image_reference((facts.triton_image or "").format(version=release), wishes)
    whole = {
        **settings,
        "backend": "pytorch",
        "max_batch_size": decision.concurrency,
        "max_num_tokens": decision.max_num_batched_tokens,
        "max_seq_len": decision.context,
        "model": model,
        "pipeline_parallel_size": decision.pipeline_parallel,
        "tensor_parallel_size": decision.tensor_parallel,
        # Triton's own: answers may be streamed, and requests are batched by TensorRT-LLM, not by Triton.
        "triton_config": {"decoupled": True, "max_batch_size": 0},
    }
    if serving.downloads(decision) and decision.source.revision:
        whole["revision"] = decision.source.revision
    own = {"LLM_CONFIG_PATH": SETTINGS_PATH, "PYTHONDONTWRITEBYTECODE": "1", SETTINGS: as_json(whole)}
    env = {**variables, **own}
    args = ["--model-repository", REPOSITORY, "--http-port", str(facts.port), "--grpc-port", str(GRPC_PORT)]
    args += ["--metrics-port", str(METRICS_PORT), "--exit-timeout-secs", str(DRAIN_S)]
    return Launch(
        image=image,
        args=tuple(args),
        env=tuple(sorted(env.items())),
        secret_env=serving.hub_token(decision, wishes),
        command=("tritonserver",),
        download_port=download_port(wishes),
        port=facts.port,
        api_path="/v2",
        probes=lifecycle.http_probes("/v2/health/ready", decision, live="/v2/health/live"),
        metrics_path="/metrics",
        metrics_port=METRICS_PORT,
        leave_s=lifecycle.LEAVE_ENDPOINTS_S,
        grace_s=lifecycle.LEAVE_ENDPOINTS_S + DRAIN_S + lifecycle.EXIT_S,
        fetch=fetches(image, decision, wishes),
        files=(ConfigFile(SETTINGS_PATH, as_yaml(whole)),),
    )


def unknown_flags(args: tuple[str, ...], version: str) -> list[str] | None:
    """Words that `tritonserver` does not take; None for the arguments of another server."""
    release = catalog().engine(ENGINE).triton_releases.get(version)
    if release is None or "--model-repository" not in args:
        return None
    return flags.parse(args, flags.table("triton", release), abbreviations=False).not_taken


def read(started: Started, image: Any) -> Observed | None:
    """What a Triton of TensorRT-LLM serves; None for a Triton of anything else. Its arguments name no model."""
    names = {word.rsplit("/", 1)[-1] for word in started.words if isinstance(word, str)}
    _, tag, _ = image_parts(image) if isinstance(image, str) else ("", None, False)
    if names.isdisjoint(("tritonserver", "launch_triton_server.py")):
        return None
    if "trtllm" not in (tag or "") and "LLM_CONFIG_PATH" not in started.env:
        return None
    facts = catalog().engine(ENGINE)
    release = re.match(r"\d\d\.\d\d", tag or "")
    versions = {triton: version for version, triton in facts.triton_releases.items()}
    version = versions.get(release[0]) if release else None
    common: dict[str, Any] = {
        "engine": ENGINE,
        "engine_version": version or facts.default_version,
        "version_assumed": version is None,
    }
    settings = from_env(started.env)
    if settings is None:
        return Observed(**common, undecided=(("model", unread("the file that says it")),))
    model, cache = settings.model or "", settings.kv_cache_config
    return Observed(
        **common,
        model=flags.repository_in(model) if model.startswith("/") else settings.model,
        context=settings.max_seq_len,
        tensor_parallel=settings.tensor_parallel_size,
        pipeline_parallel=settings.pipeline_parallel_size,
        gpu_memory_utilization=cache.free_gpu_memory_fraction,
        max_num_seqs=settings.max_batch_size,
        max_num_batched_tokens=settings.max_num_tokens,
        kv_cache_dtype=cache.dtype,
        anonymous_path=model.startswith("/") and flags.repository_in(model) is None,
    )
