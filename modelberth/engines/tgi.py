"""Text Generation Inference: decision -> `text-generation-launcher` and back. Options as launcher/src/main.rs of v3.3.7
declares them.

Each option is a variable too, and its entrypoint splits arguments at every space: the launch uses variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from modelberth.catalog import Gpu, Model, catalog
from modelberth.decision import Decision
from modelberth.engines import fetch, flags, lifecycle, serving
from modelberth.engines.base import (
    Launch,
    Sizing,
    Wishes,
    download_port,
    image_parts,
    image_reference,
    setup_of,
)
from modelberth.findings import Finding
from modelberth.memory import Memory
from modelberth.memory import tgi as model_of_memory
from modelberth.observed import UNKNOWN, Observed

DRAIN_S = 90
"""Seconds that requests in flight have after the signal (GRACEFUL_TERMINATION_TIMEOUT), its default."""

QUEUE = 128
"""Requests that may be inside, waiting ones included, before it answers 429 (MAX_CONCURRENT_REQUESTS), its default."""

LAUNCHER, ENTRYPOINT = "text-generation-launcher", "tgi-entrypoint.sh"
GRAPHS = ",".join(map(str, model_of_memory.GRAPH_BATCHES))
FLASHINFER_HEADS = (64, 128, 256)
"""Head sizes that flashinfer takes (launcher/src/main.rs, resolve_attention)."""

_MANAGED = frozenset(
    [
        "api_key",
        "cuda_graphs",
        "cuda_memory_fraction",
        "dtype",
        "graceful_termination_timeout",
        "hostname",
        "kv_cache_dtype",
        "max_batch_prefill_tokens",
        "max_batch_size",
        "max_concurrent_requests",
        "max_input_length",
        "max_input_tokens",
        "max_total_tokens",
        "model_id",
        "num_shard",
        "port",
        "quantize",
        "revision",
        "sharded",
        "usage_stats",
    ]
)
_SPELLED_QUANTIZATIONS = {"awq": "awq", "bitsandbytes-nf4": "nf4", "fp8": "fp8", "gptq": "gptq"}
_MADE_WHILE_LOADING = {"fp8": "fp8", "nf4": "bitsandbytes-nf4"}
_KV_DTYPES = {"fp8_e4m3fn": "fp8", "fp8_e5m2": "fp8"}
_RESIZING = ("lora_adapters", "rope_factor", "rope_scaling", "speculate")


class Tgi(serving.Server):
    """Archived upstream; for services that cannot leave it yet."""

    name = "tgi"
    managed = _MANAGED
    abbreviates = False
    context_flag = "--max-total-tokens"
    parallel_flag = "--num-shard"
    quantizes_to = frozenset(_MADE_WHILE_LOADING)

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What TGI cannot do with this model, format and GPU."""
        found = serving.objections(self.name, sizing)
        gpu, prefill = sizing.accelerator.gpu, sizing.max_num_batched_tokens
        kernels = _attention(sizing.model, gpu).get("ATTENTION", "flashinfer")
        if sizing.kv_cache_dtype == "fp8" and kernels == "flashdecoding":
            message = f"TGI reads an fp8 KV cache with flashinfer, which has no heads of {sizing.model.head_dim}"
            found.append(Finding("kv-dtype", "kv_cache_dtype", message, "leave kv_cache_dtype auto"))
        if sizing.context < 2:
            message = "a request holds a token of a prompt and one of an answer at least"
            found.append(Finding("context", "context", message, "a context of at least 2"))
        if kernels == "paged" and prefill is not None and prefill < sizing.context - 1:
            message = f"without chunked prefill a prompt of {sizing.context - 1} tokens does not pass in {prefill}"
            found.append(Finding("context", "context", message, f"a context of at most {prefill + 1}"))
        return found

    def defaults(self, sizing: Sizing) -> dict[str, Any]:
        """The whole card, of which TGI leaves a tenth itself, and the prefill that its launcher would compute."""
        return {
            "gpu_memory_utilization": sizing.gpu_memory_utilization or 1.0,
            "max_num_batched_tokens": model_of_memory.prefill_tokens(setup_of(sizing)),
        }

    def memory(self, sizing: Sizing) -> Memory:
        """Budget, terms and KV cache of one GPU."""
        return model_of_memory.memory(setup_of(sizing))

    def launch(self, decision: Decision, wishes: Wishes) -> Launch:
        """The launcher of the stock image, told everything by variables."""
        image = image_reference(self._facts.image("cuda", decision.engine_version), wishes)
        env = serving.environment(decision, wishes)
        env |= _model(decision, wishes) | self._server(wishes) | _sized(decision) | _formats(decision)
        return Launch(
            image=image,
            args=wishes.extra_args,
            env=tuple(sorted(env.items())),
            secret_env=serving.secrets(decision, wishes, "API_KEY"),
            command=(f"/{ENTRYPOINT}",) if wishes.image else (),
            download_port=download_port(wishes),
            port=self._facts.port,
            probes=lifecycle.http_probes("/health", decision),
            metrics_path="/metrics",
            leave_s=lifecycle.LEAVE_ENDPOINTS_S,
            grace_s=lifecycle.LEAVE_ENDPOINTS_S + DRAIN_S + lifecycle.EXIT_S,
            fetch=serving.fetches(image, decision, wishes),
            gate=fetch.gate(decision, wishes),
        )

    def _server(self, wishes: Wishes) -> dict[str, str]:
        """How it listens and leaves. Kubernetes sets HOSTNAME to the pod's name, which is no address."""
        env = {
            "GRACEFUL_TERMINATION_TIMEOUT": str(DRAIN_S),
            "HOSTNAME": "0.0.0.0",
            "PORT": str(self._facts.port),
            "USAGE_STATS": "off",
        }
        if wishes.api_key:
            env["LOG_LEVEL"] = "warn"  # at info the launcher logs all its options, the key among them
        return env

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """What a container serves, when it is TGI's. An option in the arguments goes before its variable."""
        parsed, env = self.line(container), flags.started(container).env
        if parsed is None:
            return None
        version, assumed = serving.version_of(self._facts, container.get("image"))
        table = serving.table_of(self._facts, version)
        if not parsed.opaque:
            for name, value in env.items():
                if name in table.env:
                    parsed.values.setdefault(table.env[name], value)
        parsed.opaque = parsed.opaque or bool(container.get("envFrom"))  # whose variables nobody here can see
        return _observe(parsed, container, env, version, assumed)

    def line(self, container: Mapping[str, Any]) -> flags.Parsed | None:
        """The arguments of the launcher."""
        image = container.get("image")
        own_command = bool(container.get("command"))
        argv = _launcher_arguments(flags.command_line(container), "" if own_command else image)
        if argv is None:
            return None
        version, _ = serving.version_of(self._facts, image)
        return flags.parse(argv, serving.table_of(self._facts, version), abbreviations=False)


def _model(decision: Decision, wishes: Wishes) -> dict[str, str]:
    env = {"MODEL_ID": serving.model_argument(decision, wishes)}
    if serving.downloads(decision) and decision.source.revision:
        env["REVISION"] = decision.source.revision
    return env


def _sized(decision: Decision) -> dict[str, str]:
    """Everything that the sum depends on. The tokens of all requests together are what TGI measures at start: stating
    MAX_BATCH_TOTAL_TOKENS changes nothing (backends/v3/src/lib.rs).
    """
    return {
        "CUDA_GRAPHS": GRAPHS,
        "CUDA_MEMORY_FRACTION": f"{decision.gpu_memory_utilization:g}",
        "MAX_BATCH_PREFILL_TOKENS": str(decision.max_num_batched_tokens),
        "MAX_BATCH_SIZE": str(decision.concurrency),
        "MAX_CONCURRENT_REQUESTS": str(max(QUEUE, 2 * decision.concurrency)),
        "MAX_INPUT_TOKENS": str(decision.context - 1),
        "MAX_TOTAL_TOKENS": str(decision.context),
        "NUM_SHARD": str(decision.tensor_parallel),
    }


def _formats(decision: Decision) -> dict[str, str]:
    env = _attention(serving.model_of(decision), catalog().gpu(decision.accelerator))
    if sixteen_bit := serving.sixteen_bit(decision.quantization):
        env["DTYPE"] = sixteen_bit
    if serving.made_while_loading(decision, frozenset(_MADE_WHILE_LOADING)):
        env["QUANTIZE"] = _MADE_WHILE_LOADING[decision.quantization]
    if decision.kv_cache_dtype == "fp8":
        env["KV_CACHE_DTYPE"] = "fp8_e4m3fn"
    return env


def _attention(model: Model, gpu: Gpu | None) -> dict[str, str]:
    """Kernels and prefix cache as the launcher would choose them (resolve_attention), stated; empty where that hangs on
    the model's own config.json. Below compute capability 8.0 flashinfer is left out, which the launcher forgets.
    """
    if gpu is None or gpu.cc is None:
        return {}
    if gpu.cc < (8, 0):
        return {"ATTENTION": "paged", "PREFIX_CACHING": "0"}
    if model.kv_lora_rank or model.architecture.startswith("Falcon"):
        return {}
    if model.head_dim not in FLASHINFER_HEADS:
        return {"ATTENTION": "flashdecoding", "PREFIX_CACHING": "0"}
    return {"ATTENTION": "flashinfer", "PREFIX_CACHING": "0" if model.has_vision else "1"}


def _launcher_arguments(words: list[Any], image: Any) -> list[Any] | None:
    """What the launcher is given, None for every other program. ``image`` is one whose entrypoint runs, or empty."""
    for index, word in enumerate(words):
        name = word.rsplit("/", 1)[-1] if isinstance(word, str) else ""
        if name == LAUNCHER:
            return words[index + 1 :]
        if name == ENTRYPOINT:
            return _split(words[index + 1 :])
    repository, _, _ = image_parts(image) if isinstance(image, str) else ("", None, False)
    return _split(words) if repository.rsplit("/", 1)[-1] == "text-generation-inference" else None


def _split(words: list[Any]) -> list[Any]:
    """As the entrypoint's unquoted $@ does."""
    return [part for word in words for part in (word.split() if isinstance(word, str) else [word])]


def _shards(line: serving.Reading, container: Mapping[str, Any]) -> int:
    """--num-shard, else every GPU of the container unless it is told not to shard."""
    stated = line.whole("num_shard")
    if stated or line.said("sharded") == "false" or "num_shard" in dict(line.undecided):
        return stated or 1
    gpus: Any = container
    for step in ("resources", "limits", "nvidia.com/gpu"):
        gpus = cast("Mapping[str, Any]", gpus).get(step) if isinstance(gpus, Mapping) else gpus
    if gpus is None:
        return 1
    count = serving.plain_number(str(gpus), int)
    if gpus is UNKNOWN or count is None:
        line.doubt("num_shard", "it is the number of GPUs, which is only known after apply")
    return int(count or 1)


def _observe(
    parsed: flags.Parsed, container: Mapping[str, Any], env: Mapping[str, Any], version: str, assumed: bool
) -> Observed:
    line = serving.Reading(parsed, serving.plain_number)
    model, anonymous = line.model(line.said("model_id"))
    quantization = line.choice("quantize", _SPELLED_QUANTIZATIONS, "format")
    kv = line.choice("kv_cache_dtype", _KV_DTYPES, "type")
    dtype, graphs, context = line.dtype(), line.said("cuda_graphs"), line.whole("max_total_tokens")
    line.resizing(*_RESIZING)
    if graphs not in (None, "0", GRAPHS):
        line.doubt("cuda_graphs", "graphs of other batches than the default's cannot be sized yet")
    if context is None and "max_total_tokens" not in dict(line.undecided):
        line.doubt("max_total_tokens", "it is not stated, so the engine shrinks the context to what fits")
    if "TGI_WIGGLE_ROOM" in env:
        line.doubt("TGI_WIGGLE_ROOM", "it changes the engine's own reserve, which cannot be sized yet")
    return Observed(
        engine="tgi",
        engine_version=version,
        version_assumed=assumed,
        model=model,
        quantization=quantization,
        dtype=dtype,
        context=context,
        tensor_parallel=_shards(line, container),
        gpu_memory_utilization=line.share("cuda_memory_fraction"),
        max_num_seqs=line.whole("max_batch_size"),
        max_num_batched_tokens=line.whole("max_batch_prefill_tokens"),
        kv_cache_dtype=kv,
        enforce_eager=graphs == "0",
        anonymous_path=anonymous,
        undecided=(*line.undecided, *parsed.strange(version, assumed=assumed)),
    )
