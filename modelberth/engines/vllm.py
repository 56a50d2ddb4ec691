"""vLLM: decision -> `vllm serve` and back. Flags as of 0.28 to 0.33, checked against its own argument parser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelberth.decision import Decision
from modelberth.engines import fetch, flags, groups, lifecycle, serving, vllm_extras
from modelberth.engines.base import (
    CACHE_MOUNT,
    Group,
    Launch,
    Sizing,
    Wishes,
    download_port,
    image_parts,
    image_reference,
    setup_of,
)
from modelberth.findings import Finding
from modelberth.memory import Memory, Unsized
from modelberth.memory import vllm as model_of_memory
from modelberth.observed import Observed

DRAIN_S = 120
"""Seconds that requests in flight have to finish (--shutdown-timeout): vLLM aborts them without it."""

MASTER_PORT = 29501
"""Where the ranks of several nodes meet (--master-port, vLLM's own default)."""

_MANAGED = frozenset(
    [
        "model",
        "served_model_name",
        "host",
        "port",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "max_model_len",
        "max_num_seqs",
        "api_key",
        "load_format",
        "model_loader_extra_config",
        "max_num_batched_tokens",
        "gpu_memory_utilization",
        "kv_cache_dtype",
        "enable_prefix_caching",
        "dtype",
        "revision",
        "quantization",
        "shutdown_timeout",
        "hf_token",
        "distributed_executor_backend",
        "nnodes",
        "node_rank",
        "master_addr",
        "master_port",
        "headless",
    ]
)
_SPELLED_QUANTIZATIONS = {
    "awq": "awq",
    "awq_marlin": "awq",
    "gptq": "gptq",
    "gptq_marlin": "gptq",
    "fp8": "fp8",
    "fp8_per_tensor": "fp8",
    "fp8_per_block": "fp8",
    "fp8_per_channel": "fp8",
    "mxfp4": "mxfp4",
}
_RESIZING_ENV = {
    "VLLM_DP_SIZE": ("1", "data parallel ranks cannot be sized yet"),
    "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": ("1", "it changes what is left for the KV cache"),
    "VLLM_MLA_DISABLE": ("0", "without latent attention the KV cache is many times larger"),
}
"""Variables of vllm/envs.py that memory depends on: the value that changes nothing, and why others are undecided."""
_RESIZING = (
    "block_size",
    "compilation_config",
    "config",
    "cpu_offload_gb",
    "cudagraph_capture_sizes",
    "decode_context_parallel_size",
    "enable_expert_parallel",
    "hf_overrides",
    "kv_cache_dtype_skip_layers",
    "kv_cache_memory_bytes",
    "kv_transfer_config",
    "max_cudagraph_capture_size",
    "mm_ipc_gpu_memory_gb",
    "mm_processor_cache_gb",
    "offload_group_size",
    "prefill_context_parallel_size",
)
_API_SERVER = "vllm.entrypoints.openai.api_server"
_PROGRAMS = ("vllm", "vllm.entrypoints.cli.main")
_KV_DTYPES = {"auto": "auto", "bfloat16": "bf16", "float16": "fp16", "fp8": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}


class Vllm(serving.Server):
    """The default for GPUs."""

    name = "vllm"
    managed = _MANAGED | vllm_extras.MANAGED
    abbreviates = True
    context_flag = "--max-model-len"
    parallel_flag = "--tensor-parallel-size"
    quantizes_to = frozenset({"fp8"})

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What vLLM cannot do with this model, format and GPU."""
        return [*serving.objections(self.name, sizing), *vllm_extras.objections(sizing)]

    def defaults(self, sizing: Sizing) -> dict[str, Any]:
        """Utilization by version and batch limits by GPU, as vLLM chooses them itself."""
        settled = model_of_memory.settled(setup_of(sizing))
        return {
            "gpu_memory_utilization": settled.utilization,
            "max_num_batched_tokens": settled.max_num_batched_tokens,
        }

    def memory(self, sizing: Sizing) -> Memory:
        """Budget, terms and KV cache of one GPU."""
        if sizing.extras.lora_slots and sizing.model.num_experts:
            raise Unsized("adapters of experts are not sized yet")
        return model_of_memory.memory(setup_of(sizing))

    def launch(self, decision: Decision, wishes: Wishes) -> Launch:
        """`vllm serve` with every flag that sizing depends on."""
        image = image_reference(self._facts.image("cuda", decision.engine_version), wishes)
        args = [serving.model_argument(decision, wishes)]
        if serving.downloads(decision) and decision.source.revision:
            args += ["--revision", decision.source.revision]
        args += serving.streaming(decision)
        args += ["--served-model-name", decision.model, "--host", "0.0.0.0", "--port", str(self._facts.port)]
        args += ["--tensor-parallel-size", str(decision.tensor_parallel)]
        args += ["--max-model-len", str(decision.context), "--max-num-seqs", str(decision.concurrency)]
        args += ["--max-num-batched-tokens", str(decision.max_num_batched_tokens)]
        args += ["--gpu-memory-utilization", f"{decision.gpu_memory_utilization:g}"]
        args += ["--kv-cache-dtype", _spelled_kv(decision.kv_cache_dtype), "--dtype"]
        args += [serving.sixteen_bit(decision.quantization) or "auto"]
        if serving.made_while_loading(decision, self.quantizes_to):
            args += ["--quantization", "fp8"]
        args += ["--enable-prefix-caching", *vllm_extras.arguments(decision, wishes)]
        args += ["--shutdown-timeout", str(DRAIN_S)]
        group = _group(decision, args, wishes)
        args += [*_stages(decision, rank="0"), *wishes.extra_args]
        env = serving.environment(decision, wishes) | {
            "VLLM_CACHE_ROOT": f"{CACHE_MOUNT}/vllm",
            "VLLM_NO_USAGE_STATS": "1",
            **vllm_extras.variables(wishes),
        }
        return Launch(
            image=image,
            args=tuple(args),
            env=tuple(sorted(env.items())),
            secret_env=serving.secrets(decision, wishes, "VLLM_API_KEY"),
            pod_env=(("VLLM_HOST_IP", groups.POD_IP),) if group else (),
            group=group,
            command=("vllm", "serve") if wishes.image else (),
            download_port=download_port(wishes),
            port=self._facts.port,
            probes=lifecycle.http_probes("/health", decision),
            metrics_path="/metrics",
            leave_s=lifecycle.LEAVE_ENDPOINTS_S,
            grace_s=lifecycle.LEAVE_ENDPOINTS_S + DRAIN_S + lifecycle.EXIT_S,
            fetch=serving.fetches(image, decision, wishes),
            gate=fetch.gate(decision, wishes),
        )

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """What a container serves, when it is vLLM's."""
        parsed = self.line(container)
        if parsed is None:
            return None
        version, assumed = serving.version_of(self._facts, container.get("image"))
        return _observe(parsed, version, assumed, flags.started(container).env)

    def line(self, container: Mapping[str, Any]) -> flags.Parsed | None:
        """The arguments of `vllm serve`."""
        words, image = flags.command_line(container), container.get("image")
        own_command = not container.get("command")
        argv = _serve_arguments(words, image if isinstance(image, str) and own_command else "")
        if argv is None:
            return None
        version, _ = serving.version_of(self._facts, image)
        parsed = flags.parse(argv, serving.table_of(self._facts, version), abbreviations=True)
        if _API_SERVER in words:  # it ignores the positional model that `vllm serve` takes
            parsed.positional = parsed.leftover = []
        return parsed


def _stages(decision: Decision, rank: str) -> list[str]:
    """Arguments of a node that holds some of the layers; none where one node holds all."""
    if decision.pipeline_parallel == 1:
        return []
    nodes = str(decision.pipeline_parallel)
    return [
        *("--pipeline-parallel-size", nodes, "--distributed-executor-backend", "mp", "--nnodes", nodes),
        *("--node-rank", rank, "--master-addr", groups.LEADER_ADDRESS, "--master-port", str(MASTER_PORT)),
    ]


def _group(decision: Decision, args: list[str], wishes: Wishes) -> Group | None:
    """The nodes beside the first: the same arguments, no API server."""
    if decision.pipeline_parallel == 1:
        return None
    worker = (*args, *_stages(decision, groups.WORKER_INDEX), "--headless", *wishes.extra_args)
    command = ("vllm", "serve") if wishes.image else ()
    return Group(
        size=decision.pipeline_parallel,
        args=worker,
        port=MASTER_PORT,
        command=command,
        secret_env=serving.hub_token(decision, wishes),
    )


def _spelled_kv(kv_cache_dtype: str) -> str:
    return {"bf16": "bfloat16", "fp16": "float16"}.get(kv_cache_dtype, kv_cache_dtype)


def _serve_arguments(words: list[Any], image: str) -> list[Any] | None:
    """What follows `vllm serve` (or the api_server module), None when this is not a vLLM server."""
    for index, word in enumerate(words):
        if word == _API_SERVER:
            return words[index + 1 :]
        following = words[index + 1 : index + 2]
        if isinstance(word, str) and word.rsplit("/", 1)[-1] in _PROGRAMS and following == ["serve"]:
            return words[index + 2 :]
    repository, _, _ = image_parts(image)
    if re.search(r"(^|/)vllm(-openai)?(-cpu|-rocm)?$", repository):
        return words[1:] if words[:1] == ["serve"] else words
    return None


def _observe(parsed: flags.Parsed, version: str, assumed: bool, env: Mapping[str, Any]) -> Observed:
    line = serving.Reading(parsed, flags.human_number)
    for name, (plain, why) in _RESIZING_ENV.items():
        if env.get(name, plain) != plain:
            line.doubt(name, why)
    positional = parsed.positional[:1] or ([] if "model" in parsed.values else parsed.leftover[:1])
    model, anonymous = line.model(
        positional[0] if positional else line.said("model"), parsed.values.get("served_model_name")
    )
    quantization = line.choice("quantization", _SPELLED_QUANTIZATIONS, "format")
    kv = line.choice("kv_cache_dtype", _KV_DTYPES, "type")
    dtype = line.dtype()
    line.resizing(*_RESIZING)
    line.one_at_most("data_parallel_size", "data parallel ranks")
    extras = vllm_extras.observed(line)
    left_to_engine = str(parsed.values.get("max_model_len")).lower() in ("-1", "auto")
    if left_to_engine:
        line.doubt("max_model_len", "auto lets the engine shrink the context to what fits")
    return Observed(
        engine="vllm",
        engine_version=version,
        version_assumed=assumed,
        model=model,
        quantization=quantization,
        dtype=dtype,
        context=None if left_to_engine else line.whole("max_model_len"),
        tensor_parallel=line.whole("tensor_parallel_size") or 1,
        pipeline_parallel=line.whole("pipeline_parallel_size") or 1,
        nodes=line.nodes(),
        helper=line.on("headless"),
        gpu_memory_utilization=line.share("gpu_memory_utilization"),
        max_num_seqs=line.whole("max_num_seqs"),
        max_num_batched_tokens=line.whole("max_num_batched_tokens"),
        kv_cache_dtype=kv,
        enforce_eager=line.on("enforce_eager"),
        extras=extras,
        anonymous_path=anonymous,
        undecided=(*line.undecided, *parsed.strange(version, assumed=assumed)),
    )
