"""Ollama: decision -> `ollama serve` and back. It is told everything by its environment (envconfig/config.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

from modelberth.catalog import Model
from modelberth.decision import Decision
from modelberth.engines import fetch, flags, gguf, lifecycle, serving
from modelberth.engines.base import (
    WEIGHTS_MOUNT,
    Accelerator,
    Launch,
    Probe,
    Probes,
    Sizing,
    Wishes,
    compatibility_objections,
    context_objections,
    download_port,
    image_parts,
    image_reference,
    setup_of,
)
from modelberth.findings import Finding
from modelberth.memory import Memory
from modelberth.memory import ollama as model_of_memory
from modelberth.observed import UNKNOWN, Observed

MAX_QUEUE = 512
"""Requests that wait before others are answered 503 (OLLAMA_MAX_QUEUE)."""

_KV_TYPES = {"auto": "f16", "fp16": "f16", "q8_0": "q8_0", "q4_0": "q4_0"}

_LOAD = """until timeout 10 ollama ps > /dev/null 2>&1; do sleep 1; done
ollama show "$MODEL" > /dev/null && ollama run "$MODEL" "" """.rstrip()
"""Ollama loads a model when it is first asked for and gives up when the asker leaves, so the start-up probe asks and
stays. `ollama run` would pull what is not there, `ollama show` does not."""

_LOADED = """listed=$(timeout 10 ollama ps) || exit 1
case "$listed" in *"$MODEL"*) exit 0 ;; esac
ollama show "$MODEL" > /dev/null && ollama run "$MODEL" "" """.rstrip()
"""A request may unload the model (keep_alive: 0); nobody would ask for it again while the pod is not ready."""

_NAMED = re.compile(r"\bollama\s+(?:run|pull|show|cp|create)\s+[\"']?([\w.-]+(?:/[\w.-]+)*(?::[\w.-]+)?)")
_HUBS = ("hf.co/", "huggingface.co/")


class Ollama(gguf.Server):
    """For models that people know from their laptops, on CPU nodes and single GPUs, from GGUF files."""

    name = "ollama"
    context_flag = "OLLAMA_CONTEXT_LENGTH"
    slots_share_context = False

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What Ollama cannot do with this model and format."""
        found = [*compatibility_objections(self.name, sizing), *gguf.one_gpu(self._facts.name, sizing)]
        architecture = sizing.model.architecture or ""
        if (sizing.concurrency or 1) > 1 and architecture.startswith(model_of_memory.ONE_SLOT_ONLY):
            message = f"Ollama serves {architecture} one request at a time, whatever it is told"
            found.append(Finding("concurrency", "concurrency", message, "1, or engine llamacpp"))
        return [*found, *context_objections(sizing)]

    def memory(self, sizing: Sizing) -> Memory:
        """The whole model and every slot's KV cache."""
        return model_of_memory.memory(setup_of(sizing))

    def launch(self, decision: Decision, wishes: Wishes) -> Launch:
        """`ollama serve` on a store that holds the one model. The context is that of one slot."""
        variant = "cuda" if decision.on_gpu else "cpu"
        image = image_reference(self._facts.image(variant, decision.engine_version), wishes)
        kv = _KV_TYPES[decision.kv_cache_dtype]
        env = {
            "HOME": "/tmp",
            "MODEL": decision.model,
            "OLLAMA_CONTEXT_LENGTH": str(decision.context),
            "OLLAMA_HOST": f"0.0.0.0:{self._facts.port}",
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_KV_CACHE_TYPE": kv,
            "OLLAMA_LOAD_TIMEOUT": f"{decision.startup_budget_s}s",
            "OLLAMA_MAX_LOADED_MODELS": "1",
            "OLLAMA_MAX_QUEUE": str(MAX_QUEUE),
            "OLLAMA_MODELS": _store(decision, wishes),
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_NOPRUNE": "1",
            "OLLAMA_NUM_PARALLEL": str(decision.concurrency),
        }
        if kv != "f16":
            env["OLLAMA_FLASH_ATTENTION"] = "1"
        # Read by the llama-server that Ollama starts, where Ollama itself passes no flag.
        if decision.on_gpu:
            env["LLAMA_ARG_N_GPU_LAYERS"] = "all"
        else:
            env["LLAMA_ARG_THREADS"] = gguf.threads(decision)
        return Launch(
            image=image,
            args=("serve", *wishes.extra_args),
            env=tuple(sorted(env.items())),
            command=("/bin/ollama",) if wishes.image else (),
            download_port=download_port(wishes),
            port=self._facts.port,
            probes=_probes(decision),
            metrics_path="",
            leave_s=lifecycle.OUTLAST_S,
            grace_s=lifecycle.OUTLAST_S + lifecycle.EXIT_S,
            fetch=(fetch.into_store(decision, wishes),) if decision.storage.kind == "claim" else (),
        )

    def unknown_flags(self, args: tuple[str, ...], version: str) -> list[str]:
        """All that follows ``serve``: it takes no arguments."""
        return list(args[1:] if args[:1] == ("serve",) else args)

    def managed_flags(self, args: tuple[str, ...]) -> list[str]:
        """The word that starts the server."""
        return [word for word in args if word == "serve"]

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """What a container serves, when it is an Ollama server."""
        image = container.get("image")
        started = flags.started(container)
        if not _serves(started.words, image if isinstance(image, str) and not container.get("command") else ""):
            return None
        version, assumed = serving.version_of(self._facts, image)
        table = serving.table_of(self._facts, version)
        return _observe(container, started.env, table, version, assumed)

    def line(self, container: Mapping[str, Any]) -> flags.Parsed | None:
        """None: it takes no arguments."""
        return None

    def sizing(self, observed: Observed, model: Model, accelerator: Accelerator) -> Sizing:
        """What memory depends on, from what was read."""
        slots = observed.slots or model_of_memory.PARALLEL
        if (model.architecture or "").startswith(model_of_memory.ONE_SLOT_ONLY):
            slots = 1
        default = model_of_memory.default_context(accelerator.memory_bytes, 1 if accelerator.gpu else 0)
        return Sizing(
            model=model,
            engine_version=observed.engine_version,
            quantization=observed.quantization or "",
            accelerator=accelerator,
            context=observed.context or min(default, model.max_position or default),
            concurrency=slots,
            kv_cache_dtype=observed.kv_cache_dtype or "auto",
        )


def _store(decision: Decision, wishes: Wishes) -> str:
    if decision.storage.kind == "existing-claim":
        return f"{WEIGHTS_MOUNT}/{wishes.weights_path}".rstrip("/")
    return f"{WEIGHTS_MOUNT}/{fetch.store_folder(decision)}"


def _probes(decision: Decision) -> Probes:
    """Loading may take the whole start-up budget and is asked for by one probe; the server answers all the while."""
    budget_s = decision.startup_budget_s
    return Probes(
        startup=Probe(command=("sh", "-c", _LOAD), timeout_s=budget_s, failures=2),
        readiness=Probe(command=("sh", "-c", _LOADED), timeout_s=budget_s, failures=2),
        liveness=Probe(path="/api/version", period_s=30, timeout_s=10, failures=5),
    )


def _serves(words: list[Any], image: str) -> bool:
    names = [word.rsplit("/", 1)[-1] for word in words if isinstance(word, str)]
    if any(pair in (("ollama", "serve"), ("ollama", "start")) for pair in pairwise(names)):
        return True
    repository, _, _ = image_parts(image)
    return re.search(r"(^|/)ollama/ollama$", repository) is not None and names in ([], ["serve"], ["start"])


def _observe(
    container: Mapping[str, Any], env: Mapping[str, Any], table: flags.FlagTable, version: str, assumed: bool
) -> Observed:
    undecided: list[tuple[str, str]] = []

    def said(name: str) -> str | None:
        if name not in table.env and not name.startswith("LLAMA_ARG_"):
            return None
        value = env.get(name)
        if value is UNKNOWN or (value is None and container.get("envFrom")):
            undecided.append((name, flags.NOT_KNOWN))
            return None
        return str(value).strip().strip("\"'") or None if value is not None else None

    def whole(name: str) -> int | None:
        text = said(name)
        amount = gguf.whole(text) if text is not None else None
        if text is not None and amount is None:
            undecided.append((name, "it is not a whole number"))
        return amount or None

    store = said("OLLAMA_MODELS") or ""
    model, kind = _served(container, env, store)
    kv = {spelled: name for name, spelled in _KV_TYPES.items()}.get(said("OLLAMA_KV_CACHE_TYPE") or "f16")
    if kv is None:
        undecided.append(("OLLAMA_KV_CACHE_TYPE", "it is not a type that can be sized"))
    return Observed(
        engine="ollama",
        engine_version=version,
        version_assumed=assumed,
        model=model,
        quantization=kind,
        context=whole("OLLAMA_CONTEXT_LENGTH"),
        slots=whole("OLLAMA_NUM_PARALLEL"),
        kv_cache_dtype=kv,
        anonymous_path=model is None,
        gpu_layers=said("LLAMA_ARG_N_GPU_LAYERS"),
        undecided=tuple(undecided),
    )


def _served(container: Mapping[str, Any], env: Mapping[str, Any], store: str) -> tuple[str | None, str | None]:
    """(model, quantization): named by our own variable, by commands that run or pull one model, or by the store."""
    own = env.get("MODEL")
    if isinstance(own, str) and own:
        return own, gguf.kind_in(store)
    named = {name for text in _texts(container) for name in _NAMED.findall(text)}
    if len(named) == 1:
        model, _, tag = named.pop().partition(":")
        for hub in _HUBS:
            model = model.removeprefix(hub)
        return model, gguf.kind_in(tag) or gguf.kind_in(store)
    return (None if named else flags.repository_in(store)), gguf.kind_in(store)


def _texts(value: object) -> list[str]:
    """Every command of a container: its own, its hooks' and its probes', each as one text."""
    found: list[str] = []
    for key, inner in cast("Mapping[str, object]", value).items() if isinstance(value, Mapping) else ():
        if key in ("command", "args") and isinstance(inner, list | tuple):
            found.append(" ".join(map(str, cast("list[object]", inner))))
        else:
            found.extend(_texts(inner))
    return found
