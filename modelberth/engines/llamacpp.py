"""llama.cpp: decision -> `llama-server` and back. Flags of the builds b10434 and b11434, dumped from both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelberth.catalog import Model
from modelberth.decision import Decision
from modelberth.engines import fetch, flags, gguf, lifecycle, llamacpp_extras, serving
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
    setup_of,
    weights_folder,
)
from modelberth.findings import Finding
from modelberth.memory import Memory
from modelberth.memory import llamacpp as model_of_memory
from modelberth.observed import Observed

_MANAGED = frozenset(
    [
        "model",
        "alias",
        "host",
        "port",
        "ctx_size",
        "parallel",
        "cache_ram",
        "flash_attn",
        "n_gpu_layers",
        "cache_type_k",
        "cache_type_v",
        "hf_repo",
        "hf_file",
        "hf_token",
        "metrics",
        "api_key",
        "threads",
    ]
)
_KV_TYPES = {"auto": "f16", "fp16": "f16", "bf16": "bf16", "q8_0": "q8_0", "q4_0": "q4_0"}


class LlamaCpp(gguf.Server):
    """For CPU nodes and single GPUs, from GGUF files."""

    name = "llamacpp"
    context_flag = "--ctx-size"
    slots_share_context = True

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What llama.cpp cannot do with this model and format."""
        found = [*compatibility_objections(self.name, sizing), *gguf.one_gpu(self._facts.name, sizing)]
        return [*found, *context_objections(sizing)]

    def memory(self, sizing: Sizing) -> Memory:
        """The whole model and every slot's KV cache."""
        return model_of_memory.memory(setup_of(sizing))

    def launch(self, decision: Decision, wishes: Wishes) -> Launch:
        """`llama-server`: --ctx-size is the total of all slots."""
        image = image_reference(
            self._facts.image("cuda" if decision.on_gpu else "cpu", decision.engine_version), wishes
        )
        kv = _KV_TYPES[decision.kv_cache_dtype]
        args = [*_model_arguments(decision, wishes), "--alias", decision.model, "--host", "0.0.0.0"]
        args += ["--port", str(self._facts.port), "--ctx-size", str(decision.context * decision.concurrency)]
        args += ["--parallel", str(decision.concurrency), "--n-gpu-layers", "all" if decision.on_gpu else "0"]
        args += ["--cache-type-k", kv, "--cache-type-v", kv, "--flash-attn", "auto" if kv in ("f16", "bf16") else "on"]
        if not decision.on_gpu:
            args += ["--threads", gguf.threads(decision)]
        args += [*llamacpp_extras.arguments(decision, wishes, kv), "--cache-ram", "0", "--metrics", *wishes.extra_args]
        env = {"HOME": "/tmp", "LLAMA_CACHE": f"{CACHE_MOUNT}/llama.cpp"}
        secrets = [SecretEnv("LLAMA_API_KEY", wishes.api_key)] if wishes.api_key else []
        return Launch(
            image=image,
            args=tuple(args),
            env=tuple(sorted(env.items())),
            secret_env=tuple(secrets),
            command=("/app/llama-server",) if wishes.image else (),
            download_port=download_port(wishes),
            port=self._facts.port,
            probes=lifecycle.http_probes("/health", decision),
            metrics_path="/metrics",
            leave_s=lifecycle.OUTLAST_S,
            grace_s=lifecycle.OUTLAST_S + lifecycle.EXIT_S,
            fetch=fetch.everything(fetch.file_of, image, decision, wishes),
            gate=fetch.gate(decision, wishes),
        )

    def unknown_flags(self, args: tuple[str, ...], version: str) -> list[str]:
        """Words of ``args`` that look like flags and are none, or that it refuses."""
        known = version if version in self._facts.versions else self._facts.default_version
        return flags.parse(args, flags.table(self.name, known), abbreviations=False).not_appended

    def managed_flags(self, args: tuple[str, ...]) -> list[str]:
        """Flags of ``args`` that launch sets itself."""
        table = flags.table(self.name, self._facts.default_version)
        return flags.among(args, _MANAGED | llamacpp_extras.MANAGED, table, abbreviations=False)

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """What a container serves, when it is a llama-server."""
        parsed = self.line(container)
        if parsed is None:
            return None
        version, assumed = self._version(container)
        table = serving.table_of(self._facts, version)
        for name, value in flags.environment(container).items():
            if name in table.env:
                parsed.values.setdefault(table.env[name], value)
        return _observe(parsed, version, assumed)

    def line(self, container: Mapping[str, Any]) -> flags.Parsed | None:
        """The arguments of `llama-server`."""
        words = flags.command_line(container)
        image = container.get("image") if isinstance(container.get("image"), str) else ""
        server = next(
            (i for i, w in enumerate(words) if isinstance(w, str) and w.rsplit("/", 1)[-1] == "llama-server"), None
        )
        repository, _, _ = image_parts(str(image))
        own_command = not container.get("command")
        if server is None and not (own_command and repository.endswith("ggml-org/llama.cpp")):
            return None
        table = serving.table_of(self._facts, self._version(container)[0])
        return flags.parse(words[server + 1 :] if server is not None else words, table, abbreviations=False)

    def _version(self, container: Mapping[str, Any]) -> tuple[str, bool]:
        """(build, whether it is assumed) of an image whose tag ends in one."""
        image = container.get("image")
        _, tag, _ = image_parts(image) if isinstance(image, str) else ("", None, False)
        build = re.search(r"b\d+", tag or "")
        return (build[0], False) if build else (self._facts.default_version, True)

    def sizing(self, observed: Observed, model: Model, accelerator: Accelerator) -> Sizing:
        """What memory depends on, from what was read."""
        slots = observed.slots or 1
        total = observed.context or context_limit(model) * slots
        return Sizing(
            model=model,
            engine_version=observed.engine_version,
            quantization=observed.quantization or "",
            accelerator=accelerator,
            context=total // slots,
            concurrency=slots,
            kv_cache_dtype=observed.kv_cache_dtype or "auto",
            extras=observed.extras,
        )


def _model_arguments(decision: Decision, wishes: Wishes) -> list[str]:
    source = decision.source
    match decision.storage.kind:
        case kind if kind == "existing-claim" or wishes.weights_path:
            return ["--model", f"{WEIGHTS_MOUNT}/{wishes.weights_path}".rstrip("/")]
        case _:
            return ["--model", f"{WEIGHTS_MOUNT}/{weights_folder(decision)}/{source.file}"]


def _observe(parsed: flags.Parsed, version: str, assumed: bool) -> Observed:
    undecided: list[tuple[str, str]] = []

    def said(name: str) -> Any:
        return parsed.said(name, undecided)

    def whole(name: str) -> int | None:
        value = said(name)
        if value is None:
            return None
        amount = gguf.whole(value)
        if amount is None:
            undecided.append((name, "it is not a whole number"))
        return amount

    file, alias = said("model") or said("hf_file") or said("hf_repo"), said("alias")
    named = alias if isinstance(alias, str) and "/" in alias else None
    if named is None and isinstance(said("hf_repo"), str):
        named = str(said("hf_repo")).partition(":")[0]
    kind = gguf.kind_in(str(file or ""))
    kv = {kv: name for name, kv in _KV_TYPES.items() if name != "auto"}.get(str(said("cache_type_k") or "f16"))
    if kv is None:
        undecided.append(("cache_type_k", "it is not a type that can be sized"))
    if (said("cache_type_v") or "f16") != (said("cache_type_k") or "f16"):
        undecided.append(("cache_type_v", "it differs from that of the keys, which cannot be sized yet"))
    extras = llamacpp_extras.observed(parsed, undecided)
    return Observed(
        engine="llamacpp",
        engine_version=version,
        version_assumed=assumed,
        model=named or flags.repository_in(str(file or "")),
        quantization=kind,
        context=whole("ctx_size") or None,
        slots=whole("parallel"),
        kv_cache_dtype=kv,
        anonymous_path=kind is None and flags.repository_in(str(file or "")) is None,
        gpu_layers=str(said("n_gpu_layers")) if said("n_gpu_layers") is not None else None,
        extras=extras,
        undecided=(*undecided, *parsed.strange(version, assumed=assumed)),
    )
