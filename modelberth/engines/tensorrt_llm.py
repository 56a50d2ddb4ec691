"""TensorRT-LLM's PyTorch backend: decision -> `trtllm-serve` or Triton, and back.

What `trtllm-serve` has no option for lies in a settings file, a ConfigMap. A Deployment does not show it, so the same
settings stand in a variable of ours, which nothing but `read` looks at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modelberth.decision import Decision
from modelberth.engines import fetch, flags, lifecycle, serving, triton
from modelberth.engines.base import (
    WEIGHTS_MOUNT,
    ConfigFile,
    Fetch,
    Launch,
    Sizing,
    Wishes,
    download_port,
    image_reference,
    setup_of,
    weights_folder,
)
from modelberth.engines.settings import SETTINGS, SETTINGS_PATH, as_json, as_yaml, from_env, unread
from modelberth.memory import Memory
from modelberth.memory import tensorrt_llm as model_of_memory
from modelberth.names import Packaging
from modelberth.observed import Observed

_MANAGED = frozenset(
    [
        "backend",
        "config",
        "free_gpu_memory_fraction",
        "host",
        "max_batch_size",
        "max_num_tokens",
        "max_seq_len",
        "pipeline_parallel_size",
        "port",
        "reasoning_parser",
        "revision",
        "tensor_parallel_size",
        "tool_parser",
    ]
)
_KV_DTYPES = {"auto": "auto", "fp8": "fp8"}
_RESIZING = ("max_beam_width", "moe_expert_parallel_size", "moe_cluster_parallel_size")
_OTHER_SERVERS = frozenset(["disaggregated", "disaggregated_mpi_worker", "grpc", "mm_embedding_serve"])


class TensorRtLlm(serving.Server):
    """NVIDIA's own server for its own GPUs."""

    name = "tensorrt_llm"
    managed = _MANAGED
    abbreviates = False
    context_flag = "--max_seq_len"
    parallel_flag = "--tp_size"
    quantizes_to = frozenset[str]()

    def defaults(self, sizing: Sizing) -> dict[str, Any]:
        """The share of the memory left beside weights that the KV cache gets, and the tokens of one step."""
        stated = sizing.gpu_memory_utilization
        return {
            "gpu_memory_utilization": model_of_memory.FREE_GPU_MEMORY_FRACTION if stated is None else stated,
            "max_num_batched_tokens": model_of_memory.MAX_NUM_TOKENS,
        }

    def memory(self, sizing: Sizing) -> Memory:
        """Weights, one profiled step and KV cache of one GPU."""
        return model_of_memory.memory(setup_of(sizing))

    def launch(self, decision: Decision, wishes: Wishes) -> Launch:
        """`trtllm-serve`, or Triton with the same settings, with everything that sizing depends on."""
        if wishes.packaging is Packaging.TRITON:
            model, variables = _model(decision, wishes), environment(decision, wishes)
            served = triton.launch(decision, wishes, model, _settings(decision), variables, _fetches)
            return replace(served, gate=fetch.gate(decision, wishes, _folder(decision)))
        image = image_reference(self._facts.image("cuda", decision.engine_version), wishes)
        settings = _settings(decision)
        args = [_model(decision, wishes)]
        if serving.downloads(decision) and decision.source.revision:
            args += ["--revision", decision.source.revision]
        args += ["--host", "0.0.0.0", "--port", str(self._facts.port), "--backend", "pytorch"]
        args += ["--tp_size", str(decision.tensor_parallel), "--pp_size", str(decision.pipeline_parallel)]
        args += ["--max_seq_len", str(decision.context), "--max_batch_size", str(decision.concurrency)]
        args += ["--max_num_tokens", str(decision.max_num_batched_tokens)]
        args += ["--kv_cache_free_gpu_memory_fraction", f"{decision.gpu_memory_utilization:g}"]
        args += ["--extra_llm_api_options", SETTINGS_PATH]
        for flag, name in (("--tool_parser", wishes.tool_call_parser), ("--reasoning_parser", wishes.reasoning_parser)):
            args += [flag, name] if name else []
        env = environment(decision, wishes) | {SETTINGS: as_json(settings)}
        return Launch(
            image=image,
            args=(*args, *wishes.extra_args),
            env=tuple(sorted(env.items())),
            secret_env=serving.hub_token(decision, wishes),
            command=("trtllm-serve",),
            download_port=download_port(wishes),
            port=self._facts.port,
            probes=lifecycle.http_probes("/health", decision),
            metrics_path="/prometheus/metrics",
            leave_s=lifecycle.OUTLAST_S,
            grace_s=lifecycle.OUTLAST_S + lifecycle.EXIT_S,
            fetch=_fetches(image, decision, wishes),
            gate=fetch.gate(decision, wishes, _folder(decision)),
            files=(ConfigFile(SETTINGS_PATH, as_yaml(settings)),),
        )

    def unknown_flags(self, args: tuple[str, ...], version: str) -> list[str]:
        """Words of ``args`` that look like flags and are none, or that it refuses."""
        in_triton = triton.unknown_flags(args, version)
        return super().unknown_flags(args, version) if in_triton is None else in_triton

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """What a container serves, when it starts `trtllm-serve` or a Triton that carries TensorRT-LLM."""
        started, parsed = flags.started(container), self.line(container)
        if parsed is None:
            return triton.read(started, container.get("image"))
        version, assumed = serving.version_of(self._facts, container.get("image"))
        return _observe(parsed, started.env, version, assumed)

    def line(self, container: Mapping[str, Any]) -> flags.Parsed | None:
        """The arguments of `trtllm-serve`."""
        argv = _serve_arguments(flags.command_line(container))
        if argv is None:
            return None
        version, _ = serving.version_of(self._facts, container.get("image"))
        return flags.parse(argv, serving.table_of(self._facts, version), abbreviations=False)


def environment(decision: Decision, wishes: Wishes) -> dict[str, str]:
    """Caches under a read-only root; workers are started by MPI, whose files go to /tmp."""
    return serving.environment(decision, wishes) | {
        "TMPDIR": "/tmp",
        "TRTLLM_NO_USAGE_STATS": "1",
    }


def _folder(decision: Decision) -> str:
    """Clients are told the last folder as the model's name (serve/openai_server.py): it is the repository's."""
    return f"tensorrt_llm/{weights_folder(decision)}/{decision.source.repository.rpartition('/')[2]}"


def _model(decision: Decision, wishes: Wishes) -> str:
    if _fills(decision, wishes):
        return f"{WEIGHTS_MOUNT}/{_folder(decision)}"
    return serving.model_argument(decision, wishes)


def _fetches(image: str, decision: Decision, wishes: Wishes) -> tuple[Fetch, ...]:
    layout = _fills(decision, wishes)
    if layout is None:
        return ()
    return (fetch.into(_folder(decision), fetch.snapshot_of(image, decision.source, wishes, layout=layout)),)


def _fills(decision: Decision, wishes: Wishes) -> fetch.Layout | None:
    return None if wishes.weights_path else fetch.layout_of(decision)


def _settings(decision: Decision) -> dict[str, Any]:
    """Arguments of TensorRT-LLM's LLM API (llmapi/llm_args.py) that sizing depends on or that are off by default."""
    return {
        "cuda_graph_config": {"enable_padding": True, "max_batch_size": decision.concurrency},
        "enable_chunked_prefill": True,
        "enable_iter_perf_stats": True,
        "kv_cache_config": {
            "dtype": decision.kv_cache_dtype,
            "enable_block_reuse": True,
            "free_gpu_memory_fraction": decision.gpu_memory_utilization,
        },
        "return_perf_metrics": True,
    }


def _serve_arguments(words: Sequence[Any]) -> list[Any] | None:
    """What follows `trtllm-serve`, which serves with or without the word; None when this is no such server."""
    names = [word.rsplit("/", 1)[-1] if isinstance(word, str) else "" for word in words]
    if "trtllm-serve" not in names:
        return None
    after = list(words[names.index("trtllm-serve") + 1 :])
    if after[:1] and after[0] in _OTHER_SERVERS:
        return None
    return after[1:] if after[:1] == ["serve"] else after


def _observe(parsed: flags.Parsed, env: Mapping[str, Any], version: str, assumed: bool) -> Observed:
    line = serving.Reading(parsed, serving.plain_number)
    named = [*parsed.positional, *([] if "model" in parsed.values else parsed.leftover)]
    model, anonymous = line.model(named[0] if named else line.said("model"))
    settings = from_env(env)
    if line.says("config") and settings is None:
        line.doubt("config", unread("the settings file"))
    kv = settings.kv_cache_config.dtype if settings else "auto"
    if kv not in _KV_DTYPES:
        line.doubt("config", f"its KV cache type {kv} cannot be sized")
    if line.said("backend") not in (None, "pytorch"):
        line.doubt("backend", "only the pytorch backend can be sized")
    line.one_at_most("context_parallel_size", "context parallel ranks")
    for name in _RESIZING:
        line.one_at_most(name, "more than one of these")
    return Observed(
        engine="tensorrt_llm",
        engine_version=version,
        version_assumed=assumed,
        model=model,
        context=line.whole("max_seq_len"),
        tensor_parallel=line.whole("tensor_parallel_size") or 1,
        pipeline_parallel=line.whole("pipeline_parallel_size") or 1,
        gpu_memory_utilization=line.share("free_gpu_memory_fraction"),
        max_num_seqs=line.whole("max_batch_size"),
        max_num_batched_tokens=line.whole("max_num_tokens"),
        kv_cache_dtype=_KV_DTYPES.get(kv),
        anonymous_path=anonymous,
        undecided=(*line.undecided, *parsed.strange(version, assumed=assumed)),
    )
