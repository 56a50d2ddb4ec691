"""vLLM: decision -> `vllm serve` and back. Flags as of 0.28 to 0.33, checked against its own argument parser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelberth.catalog import Engine as Facts
from modelberth.catalog import Model, catalog
from modelberth.decision import Decision
from modelberth.engines import fetch, flags, lifecycle, vllm_extras
from modelberth.engines.base import (
    CACHE_MOUNT,
    WEIGHTS_MOUNT,
    Accelerator,
    Launch,
    SecretEnv,
    Sizing,
    Wishes,
    compatibility_objections,
    context_limit,
    context_objections,
    download_port,
    image_parts,
    image_reference,
    parallel_objections,
    setup_of,
    weights_folder,
)
from modelberth.findings import Finding
from modelberth.memory import Memory, Unsized
from modelberth.memory import vllm as model_of_memory
from modelberth.observed import Observed
from modelberth.versions import key

DRAIN_S = 120
"""Seconds that requests in flight have to finish (--shutdown-timeout): vLLM aborts them without it."""

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
        "max_num_batched_tokens",
        "gpu_memory_utilization",
        "kv_cache_dtype",
        "dtype",
        "revision",
        "quantization",
        "shutdown_timeout",
        "hf_token",
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
_RESIZING = (
    "config",
    "cpu_offload_gb",
    "decode_context_parallel_size",
    "hf_overrides",
    "kv_cache_memory_bytes",
    "prefill_context_parallel_size",
)
_KV_DTYPES = {"auto": "auto", "bfloat16": "bf16", "float16": "fp16", "fp8": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}


class Vllm:
    """The default for GPUs."""

    name = "vllm"
    pins_downloads = True
    context_flag = "--max-model-len"
    needs_gpu = True
    quantizes_to = frozenset({"fp8"})
    reads_gguf = False
    reserves_context = False
    spreads_unasked = False

    @property
    def _facts(self) -> Facts:
        return catalog().engine(self.name)

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What vLLM cannot do with this model, format and GPU."""
        if sizing.accelerator.gpu is None:
            return [Finding("engine", "accelerators", "vLLM is planned on GPUs only", "use engine llamacpp on cpu")]
        ranks = [*parallel_objections(self.name, sizing), *vllm_extras.objections(sizing)]
        return [*compatibility_objections(self.name, sizing), *ranks, *context_objections(sizing)]

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
        local = decision.storage.kind != "hub"
        args = [_model_argument(decision, wishes)]
        if not local and decision.source.revision:
            args += ["--revision", decision.source.revision]
        args += ["--served-model-name", decision.model, "--host", "0.0.0.0", "--port", str(self._facts.port)]
        args += ["--tensor-parallel-size", str(decision.tensor_parallel)]
        args += ["--max-model-len", str(decision.context), "--max-num-seqs", str(decision.concurrency)]
        args += ["--max-num-batched-tokens", str(decision.max_num_batched_tokens)]
        args += ["--gpu-memory-utilization", f"{decision.gpu_memory_utilization:g}"]
        args += ["--kv-cache-dtype", _spelled_kv(decision.kv_cache_dtype), "--dtype", _dtype(decision)]
        if _quantizes_while_loading(decision):
            args += ["--quantization", "fp8"]
        args += ["--enable-prefix-caching", "--enable-chunked-prefill", *vllm_extras.arguments(decision, wishes)]
        args += ["--shutdown-timeout", str(DRAIN_S), *wishes.extra_args]
        env = {
            "DO_NOT_TRACK": "1",
            "HF_HOME": f"{CACHE_MOUNT}/hub",
            "HF_HUB_OFFLINE": "1" if local else "0",
            "HOME": "/tmp",
            "TORCHINDUCTOR_CACHE_DIR": f"{CACHE_MOUNT}/inductor",
            "TRITON_CACHE_DIR": f"{CACHE_MOUNT}/triton",
            "USER": "modelberth",
            "VLLM_CACHE_ROOT": f"{CACHE_MOUNT}/vllm",
            "VLLM_NO_USAGE_STATS": "1",
            "XDG_CACHE_HOME": CACHE_MOUNT,
            **vllm_extras.variables(wishes),
        }
        if wishes.hub_endpoint and not local:
            env["HF_ENDPOINT"] = wishes.hub_endpoint
        secrets = [SecretEnv("VLLM_API_KEY", wishes.api_key)] if wishes.api_key else []
        if wishes.token and not local:
            secrets.append(SecretEnv("HF_TOKEN", wishes.token))
        return Launch(
            image=image,
            args=tuple(args),
            env=tuple(sorted(env.items())),
            secret_env=tuple(secrets),
            command=("vllm", "serve") if wishes.image else (),
            download_port=download_port(wishes),
            port=self._facts.port,
            probes=lifecycle.http_probes("/health", decision),
            metrics_path="/metrics",
            leave_s=lifecycle.LEAVE_ENDPOINTS_S,
            grace_s=lifecycle.LEAVE_ENDPOINTS_S + DRAIN_S + lifecycle.EXIT_S,
            fetch=fetch.everything(fetch.snapshot_of, image, decision, wishes),
        )

    def unknown_flags(self, args: tuple[str, ...]) -> list[str]:
        """Words of ``args`` that look like flags and are none."""
        table = flags.table(self.name, self._facts.default_version)
        return flags.parse(args, table, abbreviations=True).unknown_flags

    def managed_flags(self, args: tuple[str, ...]) -> list[str]:
        """Flags of ``args`` that launch sets itself."""
        return flags.among(
            args,
            _MANAGED | vllm_extras.MANAGED,
            flags.table(self.name, self._facts.default_version),
            abbreviations=True,
        )

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """What a container serves, when it is vLLM's."""
        words = flags.command_line(container)
        image = container.get("image")
        own_command = not container.get("command")
        argv = _serve_arguments(words, image if isinstance(image, str) and own_command else "")
        if argv is None:
            return None
        version, assumed = self._version(image)
        parsed = flags.parse(argv, flags.table(self.name, self._table_version(version)), abbreviations=True)
        return _observe(parsed, version, assumed)

    def sizing(self, observed: Observed, model: Model, accelerator: Accelerator) -> Sizing:
        """What memory depends on, from what was read."""
        return Sizing(
            model=model,
            engine_version=observed.engine_version,
            quantization=observed.quantization or stored_quantization(model, observed.dtype),
            accelerator=accelerator,
            context=observed.context or context_limit(model),
            concurrency=observed.max_num_seqs,
            tensor_parallel=observed.tensor_parallel,
            kv_cache_dtype=observed.kv_cache_dtype or "auto",
            gpu_memory_utilization=observed.gpu_memory_utilization,
            max_num_batched_tokens=observed.max_num_batched_tokens,
            enforce_eager=observed.enforce_eager,
            extras=observed.extras,
        )

    def _version(self, image: Any) -> tuple[str, bool]:
        _, tag, _ = image_parts(image) if isinstance(image, str) else ("", None, False)
        match = re.match(r"v?(\d+\.\d+(\.\d+)?)", tag or "")
        return (match[1], False) if match else (self._facts.default_version, True)

    def _table_version(self, version: str) -> str:
        not_newer = [known for known in self._facts.versions if key(known) <= key(version)]
        return max(not_newer, key=key) if not_newer else min(self._facts.versions, key=key)


def stored_quantization(model: Model, dtype: str | None = None) -> str:
    """The format of a repository's own weights; 16 bit where the catalog only knows a wider or no type."""
    if dtype in ("half", "float16"):
        return "fp16"
    return model.quantization.value if model.quantization else "bf16"


def _quantizes_while_loading(decision: Decision) -> bool:
    """Whether 16-bit weights are loaded as fp8; a checkpoint that stores fp8 names its own layout."""
    own = decision.source.repository == decision.model and catalog().checkpoint(decision.model) is None
    stored = catalog().model(decision.model).quantization if own else None
    return own and decision.quantization == "fp8" and stored != decision.quantization


def _model_argument(decision: Decision, wishes: Wishes) -> str:
    match decision.storage.kind:
        case "hub":
            return decision.source.repository
        case "existing-claim":
            return f"{WEIGHTS_MOUNT}/{wishes.weights_path}".rstrip("/")
        case _:
            return f"{WEIGHTS_MOUNT}/{weights_folder(decision)}"


def _dtype(decision: Decision) -> str:
    return {"bf16": "bfloat16", "fp16": "float16"}.get(decision.quantization, "auto")


def _spelled_kv(kv_cache_dtype: str) -> str:
    return {"bf16": "bfloat16", "fp16": "float16"}.get(kv_cache_dtype, kv_cache_dtype)


def _serve_arguments(words: list[Any], image: str) -> list[Any] | None:
    """What follows `vllm serve` (or the api_server module), None when this is not a vLLM server."""
    for index, word in enumerate(words):
        if word == "vllm.entrypoints.openai.api_server":
            return words[index + 1 :]
        following = words[index + 1 : index + 2]
        if isinstance(word, str) and word.rsplit("/", 1)[-1] == "vllm" and following == ["serve"]:
            return words[index + 2 :]
    repository, _, _ = image_parts(image)
    if re.search(r"(^|/)vllm(-openai)?(-cpu|-rocm)?$", repository):
        return words[1:] if words[:1] == ["serve"] else words
    return None


def _observe(parsed: flags.Parsed, version: str, assumed: bool) -> Observed:
    undecided: list[tuple[str, str]] = []

    def said(name: str) -> Any:
        return parsed.said(name, undecided)

    def number(name: str, kind: type[int | float]) -> Any:
        value = said(name)
        if value is None:
            return None
        amount = flags.human_number(str(value), kind)
        if amount is None or (kind is int and amount < 1):
            undecided.append((name, "it is not a positive number"))
            return None
        return amount

    anonymous = False
    positional = parsed.positional[:1]
    model = positional[0] if positional else said("model")
    served = parsed.values.get("served_model_name")
    if isinstance(model, str) and model.startswith(("/", "./", "s3://", "gs://", "az://")):
        repository = flags.repository_in(model)
        anonymous = repository is None
        model = repository or (served if isinstance(served, str) and "/" in served else None)
    quantization = said("quantization")
    if isinstance(quantization, str) and quantization not in _SPELLED_QUANTIZATIONS:
        undecided.append(("quantization", "it is not a format that can be sized"))
    kv = said("kv_cache_dtype")
    if isinstance(kv, str) and kv not in _KV_DTYPES:
        undecided.append(("kv_cache_dtype", "it is not a type that can be sized"))
    dtype = said("dtype")
    if dtype in ("float", "float32"):
        undecided.append(("dtype", "it asks for 32-bit weights, which cannot be sized yet"))
    for name in _RESIZING:
        if parsed.values.get(name):
            undecided.append((name, "it changes memory in a way that cannot be sized yet"))
    if parsed.values.get("data_parallel_size") not in (None, "1"):
        undecided.append(("data_parallel_size", "data parallel ranks cannot be sized yet"))
    context = None if parsed.values.get("max_model_len") == "auto" else number("max_model_len", int)
    if parsed.values.get("max_model_len") == "auto":
        undecided.append(("max_model_len", "auto lets the engine shrink the context to what fits"))
    extras = vllm_extras.observed(parsed, undecided)
    return Observed(
        engine="vllm",
        engine_version=version,
        version_assumed=assumed,
        model=model if isinstance(model, str) else None,
        quantization=_SPELLED_QUANTIZATIONS.get(str(quantization)),
        dtype=dtype,
        context=context,
        tensor_parallel=number("tensor_parallel_size", int) or 1,
        pipeline_parallel=number("pipeline_parallel_size", int) or 1,
        gpu_memory_utilization=number("gpu_memory_utilization", float),
        max_num_seqs=number("max_num_seqs", int),
        max_num_batched_tokens=number("max_num_batched_tokens", int),
        kv_cache_dtype=_KV_DTYPES.get(str(kv)),
        enforce_eager=bool(parsed.values.get("enforce_eager")),
        extras=extras,
        anonymous_path=anonymous,
        undecided=(*undecided, *parsed.strange(version)),
    )
