"""SGLang: decision -> `sglang.launch_server` and back. Flags of 0.5.20 to 0.5.23, dumped from its own argument parser.

The prefix (radix) cache is on unless --disable-radix-cache says otherwise: there is no flag that turns it on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from math import floor
from typing import Any

from modelberth.catalog import catalog
from modelberth.decision import Decision
from modelberth.engines import fetch, flags, groups, lifecycle, serving
from modelberth.engines.base import (
    CACHE_MOUNT,
    Group,
    Launch,
    Sizing,
    Wishes,
    download_port,
    image_reference,
    setup_of,
)
from modelberth.memory import Memory
from modelberth.memory import sglang as model_of_memory
from modelberth.observed import Observed

DRAIN_S = 120
"""Seconds that requests in flight have after the signal: SGLang waits for all of them, however long they take, and
answers 503 on /health meanwhile (managers/tokenizer_manager.py, sigterm_watchdog, 0.5.20 to 0.5.23)."""

STOP_S = 40
"""From the last request to the end: it looks every 5 s whether one is left, then gives its schedulers 15 s to release
their GPUs (the same file)."""

MASTER_PORT = 5000
"""Where the nodes of a group meet; SGLang takes its next few ports too."""

COMMAND = ("python3", "-m", "sglang.launch_server")

API_KEY = "SGLANG_API_KEY"
"""SGLang takes its key as an argument only. Kubernetes puts this variable, which a Secret holds, in its place: no
manifest has the key, but whoever can list processes inside the container sees it."""

_MANAGED = frozenset(
    [
        "admin_api_key",
        "api_key",
        "chunked_prefill_size",
        "context_length",
        "cuda_graph_max_bs_decode",
        "dtype",
        "enable_metrics",
        "host",
        "kv_cache_dtype",
        "log_level",
        "max_running_requests",
        "mem_fraction_static",
        "model_path",
        "port",
        "pp_size",
        "quantization",
        "revision",
        "reasoning_parser",
        "served_model_name",
        "ssl_keyfile_password",
        "tool_call_parser",
        "nnodes",
        "node_rank",
        "dist_init_addr",
        "tp_size",
    ]
)
_SPELLED_QUANTIZATIONS = {
    "awq": "awq",
    "awq_marlin": "awq",
    "bitsandbytes": "nf4",
    "fp8": "fp8",
    "gptq": "gptq",
    "gptq_marlin": "gptq",
    "modelopt_fp4": "nvfp4",
    "modelopt_fp8": "fp8",
    "mxfp4": "mxfp4",
    "petit_nvfp4": "nvfp4",
    "w8a8_fp8": "fp8",
    "w8a8_int8": "int8",
}
_KV_DTYPES = {"auto": "auto", "bf16": "bf16", "bfloat16": "bf16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}
_RESIZING = (
    "config",
    "cpu_offload_gb",
    "cuda_graph_bs_decode",
    "cuda_graph_bs_prefill",
    "cuda_graph_config",
    "cuda_graph_max_bs_prefill",
    "disable_decode_cuda_graph",
    "disable_hybrid_swa_memory",
    "disable_prefill_cuda_graph",
    "enable_hierarchical_cache",
    "enable_kv_cache_sharding",
    "enable_lmcache",
    "enable_lora",
    "enable_paged_experts",
    "enable_unified_memory",
    "hicache_host_memory_fraction",
    "hicache_ratio",
    "hicache_size",
    "json_model_override_args",
    "lora_paths",
    "mamba_full_memory_ratio",
    "max_mamba_cache_size",
    "max_total_tokens",
    "offload_group_size",
    "prefill_only_disable_kv_cache",
    "speculative_algorithm",
    "swa_full_tokens_ratio",
)
_RANKS = {
    "attn_cp_size": "context parallel ranks",
    "attn_dp_size": "data parallel ranks",
    "dcp_size": "context parallel ranks",
    "dp_size": "data parallel ranks",
    "ep_size": "expert parallel ranks",
    "moe_dp_size": "data parallel ranks",
}


class SGLang(serving.Server):
    """The other server for production on GPUs, and the successor of TGI."""

    name = "sglang"
    managed = _MANAGED
    abbreviates = True
    context_flag = "--context-length"
    parallel_flag = "--tp-size"
    quantizes_to = frozenset({"fp8"})

    def defaults(self, sizing: Sizing) -> dict[str, Any]:
        """Memory fraction (rounded down to a thousandth) and prefill chunk by GPU, as SGLang chooses them itself."""
        settled = model_of_memory.settled(setup_of(sizing))
        return {
            "gpu_memory_utilization": floor(settled.stated_fraction * 1000 + 1e-6) / 1000,
            "max_num_batched_tokens": settled.chunked_prefill_size,
        }

    def memory(self, sizing: Sizing) -> Memory:
        """Weights and KV cache inside the fraction of one GPU, activations and CUDA graphs beside it."""
        return model_of_memory.memory(setup_of(sizing))

    def launch(self, decision: Decision, wishes: Wishes) -> Launch:
        """`sglang.launch_server` with every flag that sizing depends on; the image has no entrypoint of its own."""
        image = image_reference(self._facts.image("cuda", decision.engine_version), wishes)
        served = [*self._model(decision, wishes), *_sized(decision), *_formats(self, decision)]
        args = [*served, *self._server(wishes), *_node(decision, "0"), *wishes.extra_args]
        env = serving.environment(decision, wishes) | {
            "SGLANG_CACHE_DIR": f"{CACHE_MOUNT}/sglang",
            # /health only says that the server has started and is not leaving: a token each time would wait behind
            # the prompts of a busy server, and SGLang has its own watchdog for a scheduler that hangs.
            "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "false",
        }
        return Launch(
            image=image,
            args=tuple(args),
            env=tuple(sorted(env.items())),
            secret_env=serving.secrets(decision, wishes, API_KEY),
            pod_env=(("SGLANG_HOST_IP", groups.POD_IP),) if decision.pipeline_parallel > 1 else (),
            group=self._group(decision, served, wishes),
            command=COMMAND,
            download_port=download_port(wishes),
            port=self._facts.port,
            probes=lifecycle.http_probes("/health", decision),
            metrics_path="/metrics",
            leave_s=lifecycle.LEAVE_ENDPOINTS_S,
            grace_s=lifecycle.LEAVE_ENDPOINTS_S + DRAIN_S + STOP_S,
            fetch=serving.fetches(image, decision, wishes),
            gate=fetch.gate(decision, wishes),
        )

    def _group(self, decision: Decision, served: list[str], wishes: Wishes) -> Group | None:
        """The nodes beside the first: the same model and sizes, no API behind their port and so no key."""
        nodes = decision.pipeline_parallel
        if nodes == 1:
            return None
        args = (*served, *self._listens(), *_node(decision, groups.WORKER_INDEX), *wishes.extra_args)
        return Group(nodes, args, MASTER_PORT, COMMAND, serving.hub_token(decision, wishes))

    def _model(self, decision: Decision, wishes: Wishes) -> list[str]:
        args = ["--model-path", serving.model_argument(decision, wishes)]
        if serving.downloads(decision) and decision.source.revision:
            args += ["--revision", decision.source.revision]
        return [*args, *serving.streaming(decision), "--served-model-name", decision.model]

    def _server(self, wishes: Wishes) -> list[str]:
        args = self._listens()
        for flag, name in (
            ("--tool-call-parser", wishes.tool_call_parser),
            ("--reasoning-parser", wishes.reasoning_parser),
        ):
            args += [flag, name] if name else []
        if wishes.api_key:
            # At level info SGLang logs all its arguments, the key among them (entrypoints/engine.py).
            args += ["--api-key", f"$({API_KEY})", "--log-level", "warning"]
        return args

    def _listens(self) -> list[str]:
        return ["--host", "0.0.0.0", "--port", str(self._facts.port), "--enable-metrics"]

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """What a container serves, when it starts SGLang: its image alone starts nothing."""
        parsed = self.line(container)
        if parsed is None:
            return None
        return _observe(parsed, *serving.version_of(self._facts, container.get("image")))

    def line(self, container: Mapping[str, Any]) -> flags.Parsed | None:
        """The arguments of `sglang.launch_server`."""
        argv = _server_arguments(flags.command_line(container))
        if argv is None:
            return None
        version, _ = serving.version_of(self._facts, container.get("image"))
        return flags.parse(argv, serving.table_of(self._facts, version), abbreviations=True)


def _sized(decision: Decision) -> list[str]:
    """Everything that the sum depends on."""
    gpu = catalog().gpu(decision.accelerator)
    ranks, requests = decision.tensor_parallel, decision.concurrency
    graphs = model_of_memory.graph_batch(gpu.visible_memory_bytes, decision.engine_version, ranks, requests)
    args = ["--tp-size", str(ranks), "--pp-size", str(decision.pipeline_parallel)]
    args += ["--context-length", str(decision.context), "--max-running-requests", str(requests)]
    args += ["--chunked-prefill-size", str(decision.max_num_batched_tokens)]
    args += ["--mem-fraction-static", f"{decision.gpu_memory_utilization:g}"]
    return [*args, "--cuda-graph-max-bs-decode", str(graphs)]


def _node(decision: Decision, rank: str) -> list[str]:
    """Arguments of a node that holds some of the layers; none where one node holds all."""
    if decision.pipeline_parallel == 1:
        return []
    first = f"{groups.LEADER_ADDRESS}:{MASTER_PORT}"
    return ["--nnodes", str(decision.pipeline_parallel), "--node-rank", rank, "--dist-init-addr", first]


def _formats(engine: SGLang, decision: Decision) -> list[str]:
    kv = {"fp8": "fp8_e4m3"}.get(decision.kv_cache_dtype, decision.kv_cache_dtype)
    args = ["--kv-cache-dtype", kv, "--dtype", serving.sixteen_bit(decision.quantization) or "auto"]
    if serving.made_while_loading(decision, engine.quantizes_to):
        args += ["--quantization", decision.quantization]
    return args


def _server_arguments(words: list[Any]) -> list[Any] | None:
    """What follows the module or `sglang serve` (a model may come first there); None for every other program."""
    for index, word in enumerate(words):
        name = word.rsplit("/", 1)[-1] if isinstance(word, str) else ""
        following = words[index + 1 :]
        if word == "sglang.launch_server" or (name == "launch_server.py" and "sglang/" in word):
            return following
        if name == "sglang" and following[:1] == ["serve"]:
            argv = _without_kind(following[1:])
            leads = isinstance(argv[0], str) and not argv[0].startswith("-") if argv else False
            return ["--model-path", *argv] if leads else argv
    return None


def _without_kind(argv: list[Any]) -> list[Any]:
    """Without --model-type, which `sglang serve` takes out itself."""
    at = next((i for i, word in enumerate(argv) if str(word).partition("=")[0] == "--model-type"), None)
    return argv if at is None else argv[:at] + argv[at + (1 if "=" in str(argv[at]) else 2) :]


def suffixed(text: str, kind: type[int | float]) -> int | float | None:
    """A context as SGLang reads it: 8k is 8,000, 8Ki is 8,192, 8K nothing (utils/common.py, human_readable_int)."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)(Ki|Mi|Gi|k|M|G)", text.strip())
    if not match:
        return serving.plain_number(text, kind)
    thousand = 1024 if match[2].endswith("i") else 1000
    if thousand == 1024 and "." in match[1]:
        return None
    return kind(Decimal(match[1]) * thousand ** ("kmg".index(match[2][0].lower()) + 1))


def _observe(parsed: flags.Parsed, version: str, assumed: bool) -> Observed:
    line = serving.Reading(parsed, serving.plain_number)
    model, anonymous = line.model(line.said("model_path"), parsed.values.get("served_model_name"))
    quantization = line.choice("quantization", _SPELLED_QUANTIZATIONS, "format")
    kv = line.choice("kv_cache_dtype", _KV_DTYPES, "type")
    dtype = line.dtype()
    line.resizing(*_RESIZING)
    for name, what in _RANKS.items():
        line.one_at_most(name, what)
    if parsed.values.get("disaggregation_mode") not in (None, "null"):
        line.doubt("disaggregation_mode", "prefill and decode apart from each other cannot be sized yet")
    if parsed.values.get("device") not in (None, "cuda"):
        line.doubt("device", "SGLang is sized on NVIDIA GPUs only")
    chunk_is_off = parsed.values.get("chunked_prefill_size") == "-1"
    if chunk_is_off:
        line.doubt("chunked_prefill_size", "prefill in one piece cannot be sized yet")
    return Observed(
        engine="sglang",
        engine_version=version,
        version_assumed=assumed,
        model=model,
        quantization=quantization,
        dtype=dtype,
        context=line.whole("context_length", suffixed),
        tensor_parallel=line.whole("tp_size") or 1,
        pipeline_parallel=line.whole("pp_size") or 1,
        nodes=line.nodes(),
        helper=parsed.values.get("node_rank") not in (None, "0"),
        gpu_memory_utilization=line.share("mem_fraction_static"),
        max_num_seqs=line.whole("max_running_requests"),
        max_num_batched_tokens=None if chunk_is_off else line.whole("chunked_prefill_size"),
        kv_cache_dtype=kv,
        graph_batch=line.whole("cuda_graph_max_bs_decode"),
        enforce_eager=line.on("disable_cuda_graph"),
        anonymous_path=anonymous,
        undecided=(*line.undecided, *parsed.strange(version, assumed=assumed)),
    )
