"""What the engines that serve safetensors on GPUs share: what they load, caches, secrets, and reading back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelberth.catalog import Engine as Facts
from modelberth.catalog import Model, catalog
from modelberth.clouds import cloud_of
from modelberth.clouds.storage import bucket_scheme
from modelberth.decision import Decision
from modelberth.engines import fetch, flags
from modelberth.engines.base import (
    CACHE_MOUNT,
    WEIGHTS_MOUNT,
    Accelerator,
    Fetch,
    SecretEnv,
    Sizing,
    Wishes,
    compatibility_objections,
    context_limit,
    context_objections,
    image_parts,
    parallel_objections,
    weights_folder,
)
from modelberth.findings import Finding
from modelberth.observed import Observed
from modelberth.versions import key

_AT_A_PATH = ("/", "./", "s3://", "gs://", "az://")
BUCKET_VARIABLE = "MODELBERTH_BUCKET"
"""Names the bucket where its name is known only when it exists: Kubernetes puts the value into the arguments."""
STREAMS_AT_ONCE = 16
"""Parts of a file that the streamer asks for at once; its default for buckets, 8, leaves fast networks idle."""


def objections(engine: str, sizing: Sizing) -> list[Finding]:
    """What an engine that is planned on GPUs only cannot do with this model, format, GPU and number of ranks."""
    if sizing.accelerator.gpu is None:
        name = catalog().engine(engine).name
        return [Finding("engine", "accelerators", f"{name} is planned on GPUs only", "use engine llamacpp on cpu")]
    ranks = parallel_objections(engine, sizing)
    return [*compatibility_objections(engine, sizing), *ranks, *context_objections(sizing)]


def downloads(decision: Decision) -> bool:
    """Whether the server fetches its weights itself, from the hub."""
    return decision.storage.kind == "hub"


def model_argument(decision: Decision, wishes: Wishes) -> str:
    """What a server is told to load: a repository, or a folder of the weights volume."""
    match decision.storage.kind:
        case "hub":
            return decision.source.repository
        case "stream":
            return bucket_address(decision, wishes)
        case kind if kind == "existing-claim" or wishes.weights_path:
            return f"{WEIGHTS_MOUNT}/{wishes.weights_path}".rstrip("/")
        case _:
            return f"{WEIGHTS_MOUNT}/{weights_folder(decision)}"


def bucket_address(decision: Decision, wishes: Wishes) -> str:
    """Where a server that reads a bucket itself finds its weights, in the spelling of the machine's cloud."""
    name = decision.storage.bucket or f"$({BUCKET_VARIABLE})"
    folder = wishes.weights_path or weights_folder(decision)
    parts = [name, *([decision.storage.prefix] if decision.storage.prefix else []), folder]
    return bucket_scheme(cloud_of(decision.machine_type)) + "/".join(part.strip("/") for part in parts)


def streaming(decision: Decision) -> list[str]:
    """Flags of a server that reads a bucket itself; none for any other.

    Configuration and tokenizer come from the same folder. A buffer of memory_limit 0 holds the largest tensor; without
    it the whole checkpoint would be buffered in the pod's memory (docs/src/env-vars.md of run-ai/runai-model-streamer).
    """
    if decision.storage.kind != "stream":
        return []
    extra: dict[str, int | bool] = {"concurrency": STREAMS_AT_ONCE, "memory_limit": 0}
    if decision.tensor_parallel > 1:
        extra["distributed"] = True
    return ["--load-format", "runai_streamer", "--model-loader-extra-config", json.dumps(extra, sort_keys=True)]


def model_of(decision: Decision) -> Model:
    """The model of a decision, which may name a checkpoint of it."""
    row = catalog().checkpoint(decision.model)
    return catalog().model(row.model if row else decision.model)


def made_while_loading(decision: Decision, formats: frozenset[str]) -> bool:
    """Whether 16-bit weights are loaded as one of ``formats``; a checkpoint that stores it names its own layout."""
    own = decision.source.repository == decision.model and catalog().checkpoint(decision.model) is None
    stored = catalog().model(decision.model).quantization if own else None
    return own and decision.quantization in formats and stored != decision.quantization


def stored_quantization(model: Model, dtype: str | None = None) -> str:
    """The format of a repository's own weights; 16 bit where the catalog only knows a wider or no type."""
    if dtype in ("half", "float16"):
        return "fp16"
    return model.quantization.value if model.quantization else "bf16"


def sixteen_bit(quantization: str) -> str | None:
    """bfloat16 or float16 for 16-bit weights, None for the others: their checkpoint says it."""
    return {"bf16": "bfloat16", "fp16": "float16"}.get(quantization)


def environment(decision: Decision, wishes: Wishes) -> dict[str, str]:
    """For a server on PyTorch under a read-only root: caches on the cache volume, no telemetry, no hub without need."""
    env = {
        "CUDA_CACHE_PATH": f"{CACHE_MOUNT}/cuda",
        "DO_NOT_TRACK": "1",
        "FLASHINFER_WORKSPACE_BASE": CACHE_MOUNT,
        "HF_HOME": f"{CACHE_MOUNT}/hub",
        # Offline, vLLM takes the address of a bucket for a repository and ends (vllm/engine/arg_utils.py).
        "HF_HUB_OFFLINE": "0" if downloads(decision) or decision.storage.kind == "stream" else "1",
        "HOME": "/tmp",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE_MOUNT}/inductor",
        "TRITON_CACHE_DIR": f"{CACHE_MOUNT}/triton",
        "USER": "modelberth",
        "XDG_CACHE_HOME": CACHE_MOUNT,
    }
    if wishes.hub_endpoint and downloads(decision):
        env["HF_ENDPOINT"] = wishes.hub_endpoint
    return env


_OTHER_COUNTS = frozenset(
    {("lmcache", "vllm-openai"), ("nvidia", "vllm"), ("nvidia", "sglang"), ("nvidia", "tritonserver")}
)
"""Images of an engine's name whose tags are versions of LMCache, or the month of a release of NVIDIA's containers."""


def secrets(decision: Decision, wishes: Wishes, api_key: str) -> tuple[SecretEnv, ...]:
    """The key that clients must send as variable ``api_key``, and the hub's token for a server that downloads."""
    found = (SecretEnv(api_key, wishes.api_key),) if wishes.api_key else ()
    return (*found, *hub_token(decision, wishes))


def hub_token(decision: Decision, wishes: Wishes) -> tuple[SecretEnv, ...]:
    """The token of a server that downloads for itself."""
    return (SecretEnv("HF_TOKEN", wishes.token),) if wishes.token and downloads(decision) else ()


def fetches(image: str, decision: Decision, wishes: Wishes) -> tuple[Fetch, ...]:
    """What fills a claim of the service's own: whole repositories of the model, its adapters and what drafts."""
    return fetch.everything(fetch.snapshot_of, image, decision, wishes)


def version_of(facts: Facts, image: Any) -> tuple[str, bool]:
    """(version, whether it is assumed) of an image whose tag begins with a version, as v0.5.23-cu129 does.

    Only the engine's own image and copies of it count the engine's versions: tags of other images count their own.
    """
    repository, tag, _ = image_parts(image) if isinstance(image, str) else ("", None, False)
    match = re.match(r"v?(\d+\.\d+(\.\d+)?)", tag or "") if _counts_as(facts, repository) else None
    return (match[1], False) if match else (facts.default_version, True)


def _counts_as(facts: Facts, repository: str) -> bool:
    """Whether tags of a repository are versions of the engine: its own image, or one of its name elsewhere."""
    homes = {image_parts(template)[0].rsplit("/", 1)[-1] for template in facts.images.values()}
    owner, _, name = repository.rpartition("/")
    if (owner.rsplit("/", 1)[-1], name) in _OTHER_COUNTS:
        return False
    return re.sub(r"-(cpu|cuda|gpu|rocm)$", "", name) in {*homes, facts.id}


def table_of(facts: Facts, version: str) -> flags.FlagTable:
    """The flags of a version: its own, else those of the newest known one before it, else of the oldest."""
    not_newer = [known for known in facts.versions if key(known) <= key(version)]
    nearest = max(not_newer, key=key) if not_newer else min(facts.versions, key=key)
    return flags.table(facts.id, nearest)


def sizing(observed: Observed, model: Model, accelerator: Accelerator) -> Sizing:
    """What memory depends on, from what was read."""
    return Sizing(
        model=model,
        engine_version=observed.engine_version,
        quantization=observed.quantization or stored_quantization(model, observed.dtype),
        accelerator=accelerator,
        context=observed.context or context_limit(model),
        concurrency=observed.max_num_seqs,
        tensor_parallel=observed.tensor_parallel,
        pipeline_parallel=observed.pipeline_parallel,
        kv_cache_dtype=observed.kv_cache_dtype or "auto",
        gpu_memory_utilization=observed.gpu_memory_utilization,
        max_num_batched_tokens=observed.max_num_batched_tokens,
        graph_batch=observed.graph_batch,
        enforce_eager=observed.enforce_eager,
        extras=observed.extras,
    )


class Server:
    """What these engines have in common: GPUs only, safetensors, pages that requests share instead of slots."""

    name: str
    managed: frozenset[str]
    """Names of the flags that launch sets itself."""
    abbreviates: bool
    """Whether its parser takes an abbreviation that only one flag has."""
    pins_downloads = True
    needs_gpu = True
    reads_gguf = False
    reserves_context = False
    slots_share_context = False
    spreads_unasked = False

    @property
    def _facts(self) -> Facts:
        return catalog().engine(self.name)

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What it cannot do with this model, format and GPU."""
        return objections(self.name, sizing)

    def unknown_flags(self, args: tuple[str, ...], version: str) -> list[str]:
        """Words of ``args`` that look like flags and are none, or that it refuses."""
        return flags.parse(args, table_of(self._facts, version), abbreviations=self.abbreviates).not_appended

    def managed_flags(self, args: tuple[str, ...]) -> list[str]:
        """Flags of ``args`` that launch sets itself."""
        table = flags.table(self.name, self._facts.default_version)
        return flags.among(args, self.managed, table, abbreviations=self.abbreviates)

    def sizing(self, observed: Observed, model: Model, accelerator: Accelerator) -> Sizing:
        """What memory depends on, from what was read."""
        return sizing(observed, model, accelerator)


Numbers = Callable[[str, type[int | float]], int | float | None]


@dataclass
class Reading:
    """Facts of one command line, asked for by the engine's own names. ``undecided`` collects what cannot be known.

    ``numbers`` reads a number as the engine does.
    """

    parsed: flags.Parsed
    numbers: Numbers
    undecided: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def said(self, name: str) -> Any:
        """What the line says, None when nothing or nothing legible."""
        return self.parsed.said(name, self.undecided)

    def says(self, name: str) -> bool:
        """Whether the line turns something on or gives it a value that may be one."""
        return bool(self.parsed.values.get(name))

    def on(self, name: str) -> bool:
        """Whether the line turns something on, as far as it is legible."""
        return self.said(name) is True

    def doubt(self, name: str, why: str) -> None:
        """Something that is said and that changes the sum in an unknown way."""
        self.undecided.append((name, why))

    def whole(self, name: str, numbers: Numbers | None = None) -> int | None:
        """A positive whole number; ``numbers`` where the engine reads this one differently."""
        amount = self._number(name, int, numbers)
        return None if amount is None else int(amount)

    def share(self, name: str) -> float | None:
        """A number that need not be whole."""
        amount = self._number(name, float)
        return None if amount is None else float(amount)

    def _number(self, name: str, kind: type[int | float], numbers: Numbers | None = None) -> int | float | None:
        value = self.said(name)
        if value is None:
            return None
        amount = (numbers or self.numbers)(str(value), kind)
        if amount is None or (kind is int and amount < 1):
            self.doubt(name, "it is not a positive number")
            return None
        return amount

    def choice(self, name: str, known: Mapping[str, str], kind: str) -> str | None:
        """Our word for one of the engine's; any other is a ``kind`` that cannot be sized."""
        value = self.said(name)
        if isinstance(value, str) and value not in known:
            self.doubt(name, f"it is not a {kind} that can be sized")
        return known.get(str(value))

    def dtype(self) -> str | None:
        """The type that 16-bit weights are loaded as."""
        value = self.said("dtype")
        if value in ("float", "float32"):
            self.doubt("dtype", "it asks for 32-bit weights, which cannot be sized yet")
        return value if isinstance(value, str) else None

    def resizing(self, *names: str) -> None:
        """Everything of ``names`` that is on changes memory beyond the sum."""
        for name in names:
            if self.says(name):
                self.doubt(name, "it changes memory in a way that cannot be sized yet")

    def one_at_most(self, name: str, what: str) -> None:
        """More than one of ``what`` cannot be sized."""
        if self.parsed.values.get(name) not in (None, "1"):
            self.doubt(name, f"{what} cannot be sized yet")

    def nodes(self) -> int | None:
        """Nodes that share one copy; None where nothing says so or a controller fills it in."""
        stated = str(self.parsed.values.get("nnodes") or "")
        return int(stated) if stated.isdecimal() else None

    def model(self, value: Any, served: Any = None) -> tuple[str | None, bool]:
        """(repository, whether weights come from a path that names none). ``served`` may be the repository's name."""
        if isinstance(value, str) and value.startswith(_AT_A_PATH):
            scheme, _, address = value.rpartition("://")
            repository = flags.repository_in(address.partition("/")[2] if scheme else value)
            named = served if isinstance(served, str) and "/" in served else None
            return repository or named, repository is None
        return (value if isinstance(value, str) else None), False


def plain_number(text: str, kind: type[int | float]) -> int | float | None:
    """Numbers as Python and Rust read them, no signs and no exponents."""
    pattern = r"\d{1,15}" if kind is int else r"\d{1,15}(\.\d*)?|\.\d+"
    return kind(text) if re.fullmatch(pattern, text.strip()) else None
