"""What an engine is to the rest of the package: a codec between a decision and a container, and a memory model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelberth import compatibility, parallel
from modelberth.catalog import Checkpoint, Format, Gpu, Model, catalog
from modelberth.compatibility import Answer, Kind, Subject
from modelberth.decision import Decision
from modelberth.engines import flags
from modelberth.engines.beside import draft_model, drafting_layers, folder_of
from modelberth.findings import Finding, Level
from modelberth.memory import Memory, Ranks, Setup, Stored, Unsized, shape_of, stored_as
from modelberth.names import Packaging
from modelberth.observed import NOTHING_ELSE, Extras, Observed
from modelberth.parts import SecretRef

HUB_ENDPOINT = "https://huggingface.co"
WEIGHTS_MOUNT = "/weights"
CACHE_MOUNT = "/cache"
HUB_TOKEN_MOUNT = "/var/run/secrets/modelberth/hub"


@dataclass(frozen=True)
class Accelerator:
    """Where the model is held: GPUs of one kind, or the memory that pods of a CPU node may use."""

    gpu: Gpu | None
    memory_bytes: int

    @property
    def id(self) -> str:
        """Catalog id of the GPU, or cpu."""
        return self.gpu.id if self.gpu else "cpu"

    @property
    def name(self) -> str:
        """How people call it."""
        return self.gpu.name if self.gpu else "CPU"


@dataclass(frozen=True)
class Sizing:
    """Everything that memory depends on. None means the engine's default."""

    model: Model
    engine_version: str
    quantization: str
    accelerator: Accelerator
    context: int
    concurrency: int | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    kv_cache_dtype: str = "auto"
    gpu_memory_utilization: float | None = None
    max_num_batched_tokens: int | None = None
    graph_batch: int | None = None
    """Largest batch whose decode is captured as a CUDA graph, for engines that are told one."""
    enforce_eager: bool = False
    stored_bytes: int | None = None
    repository: str | None = None
    """Where the weights come from, when that is not the model's own repository."""
    extras: Extras = NOTHING_ELSE


@dataclass(frozen=True)
class SecretEnv:
    """An environment variable whose value lies in a Secret."""

    name: str
    ref: SecretRef


@dataclass(frozen=True)
class Fetch:
    """A container that fills a weights volume. ``script`` runs in ``sh``; everything variable is in ``env``."""

    image: str
    script: str
    env: tuple[tuple[str, str], ...]
    beside: str = ""
    """Name of what it brings beside the weights, and which needs a download of its own; empty for the weights."""

    @property
    def folder(self) -> str:
        """Folder of the weights volume that it fills."""
        return dict(self.env).get("FOLDER", "")


@dataclass(frozen=True)
class Probe:
    """A question that the kubelet asks a container: an HTTP path of its serving port, or a command that runs in it."""

    path: str = ""
    command: tuple[str, ...] = ()
    period_s: int = 10
    timeout_s: int = 5
    failures: int = 3


@dataclass(frozen=True)
class Probes:
    """``startup`` passes when the model is loaded, ``readiness`` while requests are taken, ``liveness`` while it is
    worth waiting: a busy or loading server passes it.
    """

    startup: Probe
    readiness: Probe
    liveness: Probe


@dataclass(frozen=True)
class ConfigFile:
    """A file of settings, mounted read-only at ``path``."""

    path: str
    content: str


@dataclass(frozen=True)
class Group:
    """The pods of a replica that several nodes hold: ``size`` with the first one, which takes the requests.

    ``args`` and ``command`` are those of the other pods, which answer no probe and stop by themselves only when a rank
    of theirs fails; ``port`` is where they meet the first.
    """

    size: int
    args: tuple[str, ...]
    port: int
    command: tuple[str, ...] = ()
    secret_env: tuple[SecretEnv, ...] = ()
    """Of those of the first pod only what the others need: they check no API key."""


@dataclass(frozen=True)
class Launch:
    """How one engine is started: only what differs between engines. Lengths of time in seconds."""

    image: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    port: int
    probes: Probes
    metrics_path: str
    """Empty for an engine without metrics."""
    leave_s: int
    """Seconds between leaving the endpoints and the signal to stop: a plain sleep before it."""
    grace_s: int
    """Seconds from leaving the endpoints to being killed."""
    download_port: int
    """Port of the hub that weights come from."""
    secret_env: tuple[SecretEnv, ...] = ()
    pod_env: tuple[tuple[str, str], ...] = ()
    """Variables that hold a field of the pod itself: name -> field path."""
    command: tuple[str, ...] = ()
    fetch: tuple[Fetch, ...] = ()
    """Containers that fill the weights volume, one after the other."""
    files: tuple[ConfigFile, ...] = ()
    group: Group | None = None
    api_path: str = "/v1"
    """Where the API begins: the OpenAI-compatible one, except for Triton's own."""
    metrics_port: int | None = None
    """Port of the metrics, where it is not the serving one."""
    gate: str = ""
    """Script of a container that runs before the server, in its image and with its weights; empty: none is needed."""


@dataclass(frozen=True)
class Wishes:
    """What a person set that shapes the container but not the plan."""

    service: str
    api_key: SecretRef | None = None
    token: SecretRef | None = None
    image: str | None = None
    image_digest: str | None = None
    registry: str | None = None
    hub_endpoint: str | None = None
    weights_path: str = ""
    allow_pickle: bool = False
    """Whether a download may bring files that run code as they are read."""
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    runtime_adapter_loading: bool = False
    packaging: Packaging = Packaging.SERVE
    extra_args: tuple[str, ...] = field(default=())


class Engine(Protocol):
    """One inference engine."""

    name: str
    pins_downloads: bool
    """Whether a server that downloads for itself can be told a revision."""
    context_flag: str
    """The flag that states the context, in total where slots share it; without dashes a variable, for one slot."""
    parallel_flag: str
    """The flag that states the tensor parallel size; empty for an engine without one."""
    needs_gpu: bool
    """Whether it is only ever planned on GPUs."""
    quantizes_to: frozenset[str]
    """Formats that it makes of 16-bit weights while it loads them."""
    reads_gguf: bool
    """Whether weights are GGUF files; otherwise they are safetensors."""
    reserves_context: bool
    """Whether every request holds a full context (slots) rather than the tokens it uses (pages)."""
    slots_share_context: bool
    """Whether the context that it is told is the total of all its slots."""
    spreads_unasked: bool
    """Whether it spreads the layers over every GPU it sees without being told to."""

    def objections(self, sizing: Sizing) -> list[Finding]:
        """What it cannot do, in words; errors and warnings. Paths are field names of a service."""
        ...

    def memory(self, sizing: Sizing) -> Memory:
        """The sum for one accelerator. Raises :class:`modelberth.memory.Unsized`."""
        ...

    def defaults(self, sizing: Sizing) -> dict[str, Any]:
        """The decision's engine arguments that nobody stated: gpu_memory_utilization, max_num_batched_tokens."""
        ...

    def launch(self, decision: Decision, wishes: Wishes) -> Launch:
        """The container of a decision, with every default that matters to sizing written out."""
        ...

    def unknown_flags(self, args: tuple[str, ...], version: str) -> list[str]:
        """What of arguments of one's own this version lacks or refuses: flags, and words that belong to none."""
        ...

    def managed_flags(self, args: tuple[str, ...]) -> list[str]:
        """Those of ``args`` that the package sets itself, in the spelling used."""
        ...

    def read(self, container: Mapping[str, Any]) -> Observed | None:
        """The inverse of launch, for any container; None when it is not this engine's."""
        ...

    def line(self, container: Mapping[str, Any]) -> flags.Parsed | None:
        """The arguments of a container as its own parser takes them, without what variables add; None for one that is
        not this engine's, or takes none.
        """
        ...

    def sizing(self, observed: Observed, model: Model, accelerator: Accelerator) -> Sizing:
        """What a live container's memory depends on, the engine's defaults filled in."""
        ...


def _checkpoint(sizing: Sizing) -> Checkpoint | None:
    """What the catalog knows of the repository; a GGUF repository holds many files, whose bytes are stated."""
    row = catalog().checkpoint(sizing.repository) if sizing.repository else None
    return row if row and row.format is Format.SAFETENSORS else None


def setup_of(sizing: Sizing) -> Setup:
    """The same for the memory models. Raises :class:`Unsized` for a model or a draft whose parts are not known."""
    extras = sizing.extras
    draft = draft_model(extras)
    return Setup(
        shape=shape_of(sizing.model),
        stored=stored_as(sizing.model, sizing.quantization, _checkpoint(sizing), sizing.stored_bytes),
        engine_version=sizing.engine_version,
        capacity_bytes=sizing.accelerator.memory_bytes,
        gpu=sizing.accelerator.gpu,
        on_gpu=sizing.accelerator.gpu is not None,
        ranks=Ranks(sizing.tensor_parallel, sizing.pipeline_parallel, sizing.data_parallel),
        context=sizing.context,
        max_num_seqs=sizing.concurrency,
        max_num_batched_tokens=sizing.max_num_batched_tokens,
        kv_cache_dtype=sizing.kv_cache_dtype,
        utilization=sizing.gpu_memory_utilization,
        graph_batch=sizing.graph_batch,
        enforce_eager=sizing.enforce_eager,
        lora_slots=extras.lora_slots,
        lora_rank=extras.lora_rank or 1,
        draft=shape_of(draft) if draft else None,
        draft_stored=Stored(extras.draft_quantization or "bf16"),
        draft_tokens=extras.draft_tokens,
        mtp_layers=drafting_layers(sizing.model, extras),
        kv_offload_bytes=extras.kv_offload_bytes,
    )


def image_reference(default: str, wishes: Wishes) -> str:
    """The image with registry prefix and digest applied."""
    image = wishes.image or default
    prefix = (wishes.registry or "").rstrip("/")
    if prefix and not image.startswith(f"{prefix}/"):
        image = f"{prefix}/{image}"
    return f"{image}@{wishes.image_digest}" if wishes.image_digest else image


def download_port(wishes: Wishes) -> int:
    """Port of the hub, or of its mirror."""
    endpoint = wishes.hub_endpoint or HUB_ENDPOINT
    stated = re.match(r"https?://[^/:]+:(\d+)", endpoint)
    return int(stated[1]) if stated else 443 if endpoint.startswith("https:") else 80


def weights_folder(decision: Decision) -> str:
    """Folder of a decision's weights inside their volume."""
    return folder_of(decision.source)


def context_limit(model: Model) -> int:
    """Tokens the model was made for: the context of an engine that is told none. Raises :class:`Unsized`."""
    if model.max_position is None:
        raise Unsized(f"the catalog states no maximum context of {model.id}, and the arguments state none")
    return model.max_position


def context_objections(sizing: Sizing) -> list[Finding]:
    """An error when the context is more than the model was made for; a note when nobody states that limit."""
    limit = sizing.model.max_position
    if limit is None:
        message = f"the catalog states no maximum context of {sizing.model.id}"
        return [Finding("context", "context", message, "check it against the model's own card", Level.NOTE)]
    if sizing.context > limit:
        message = f"{sizing.context} is more than the {limit} tokens {sizing.model.id} was made for"
        return [Finding("context", "context", message, f"at most {limit}")]
    return []


def compatibility_objections(engine: str, sizing: Sizing) -> list[Finding]:
    """What the stock image cannot do with this GPU, format and KV cache as errors; what it only stores as a note."""
    given = compatibility.answers(
        engine,
        sizing.engine_version,
        sizing.quantization,
        sizing.accelerator.gpu,
        sizing.kv_cache_dtype,
        sizing.model.architecture,
    )
    name = catalog().engine(engine).name
    asked = Asked(name, sizing.accelerator.name, sizing.quantization, sizing.kv_cache_dtype)
    found = (objection(asked, answer) for answer in given)
    return [finding for finding in found if finding is not None]


def parallel_objections(engine: str, sizing: Sizing) -> list[Finding]:
    """Numbers of ranks that the engine refuses for this model, as errors."""
    served = parallel.Served(engine, sizing.engine_version, sizing.model, sizing.quantization)
    ranks = Ranks(sizing.tensor_parallel, sizing.pipeline_parallel, sizing.data_parallel)
    return list(parallel.findings(served, ranks))


@dataclass(frozen=True)
class Asked:
    """What was asked of the compatibility matrix; engine and accelerator by the names that people use."""

    engine: str
    accelerator: str
    quantization: str
    kv_cache_dtype: str


def objection(asked: Asked, answer: Answer) -> Finding | None:
    """One answer in words: None for a plain yes, and for a format that every GPU only stores."""
    engine, on = asked.engine, f" on {asked.accelerator}" if answer.of_this_gpu else ""
    code, path, cannot = {
        Subject.ACCELERATOR: ("engine", "accelerators", f"{engine} does not run on {asked.accelerator}"),
        Subject.QUANTIZATION: ("quantization", "quantization", f"{engine} does not load {asked.quantization}{on}"),
        Subject.KV_CACHE_DTYPE: ("kv-dtype", "kv_cache_dtype", f"{engine} has no {asked.kv_cache_dtype} KV cache{on}"),
    }[answer.subject]
    match answer.kind:
        case Kind.NO | Kind.PLUGIN:
            return Finding(code, path, f"{cannot}: {answer.reason}", answer.remedy)
        case Kind.WEIGHT_ONLY if answer.native_from:
            message = f"{asked.quantization}{on} is weight-only: it saves memory but computes in 16 bit"
            return Finding("weight-only", path, message, level=Level.NOTE)
        case Kind.UNKNOWN:
            return Finding("unknown", path, answer.reason, level=Level.NOTE)
        case _:
            return None


def image_parts(image: str) -> tuple[str, str | None, bool]:
    """(repository, tag, pinned by digest) of an image reference."""
    name, at, _ = image.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    return head, tag or None, bool(at)
