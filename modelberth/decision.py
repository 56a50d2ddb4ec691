"""What a plan decides: everything that shapes pods, nodes and volumes, and nothing that ages by itself.

A decision is what the lock file holds. Prices, dates, sources and explanations are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from modelberth.names import SpeculativeMethod

SIZING_ANNOTATION = "modelberth.dev/sizing"
"""The sizing record of a workload, JSON; on the workload, never on its pods."""

POOL_LABEL = "modelberth.dev/pool"
"""Label of the nodes of a pool that was made here: its name in modelberth:pools."""

Access = Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Source(_Frozen):
    """Which bytes are served."""

    repository: str
    """Repository that holds the weights."""
    file: str | None = None
    """File of that repository, for GGUF."""
    revision: str | None = None
    """Commit of that repository; None follows its default branch."""
    stored_bytes: int
    """Bytes that are downloaded."""


class Adapter(_Frozen):
    """A LoRA adapter, decided."""

    name: str
    """Name that requests use."""
    source: Source
    """``stored_bytes`` is the most that an adapter of this rank takes."""
    rank: int


class Drafting(_Frozen):
    """Speculative decoding, decided."""

    method: SpeculativeMethod
    tokens: int
    """Tokens proposed per step."""
    model: str | None = None
    """Draft model as the spec names it."""
    quantization: str | None = None
    """How the draft model is stored."""
    source: Source | None = None


IN_BUCKETS = ("bucket", "stream")
FILLED = ("claim", *IN_BUCKETS)
"""Kinds that a Job fills."""


class Storage(_Frozen):
    """Where the weights of one service lie."""

    kind: Literal["hub", "claim", "existing-claim", "bucket", "stream"]
    """As in modelberth:weights."""
    store: str | None = None
    """Name in modelberth:weights; None: a store of the service's own."""
    size_gib: int | None = None
    """Size of the claim, GiB; None where there is none or it exists already."""
    access_mode: Access | None = None
    """Access mode of the claim."""
    bucket: str | None = None
    """Name of a bucket that exists; None: there is none, or one is made and named by its cloud."""
    prefix: str | None = None
    """Folder of the bucket that everything lies in; None: the bucket itself."""

    @property
    def in_bucket(self) -> bool:
        """Whether they lie in a bucket."""
        return self.kind in IN_BUCKETS

    @property
    def filled(self) -> bool:
        """Whether a Job brings them there."""
        return self.kind in FILLED


class Host(_Frozen):
    """What one pod asks of its node."""

    cpu_millicores: int
    memory_mib: int
    shm_mib: int
    ephemeral_mib: int


class Decision(_Frozen):
    """One service, decided."""

    model: str
    """Model id as the spec names it."""
    engine: str
    engine_version: str
    quantization: str
    kv_cache_dtype: str
    source: Source
    accelerator: str
    """GPU id, or cpu."""
    machine_type: str
    pool: str | None = None
    """Pool of modelberth:pools; None: no pool was named."""
    tensor_parallel: int
    """GPUs of one node that share the model; 1 on CPUs."""
    pipeline_parallel: int
    """Nodes that share one copy of the model, each with a pod of its own."""
    context: int
    """Tokens that one request may hold."""
    concurrency: int
    """Requests held at once (max_num_seqs, slots)."""
    gpu_memory_utilization: float | None = None
    max_num_batched_tokens: int | None = None
    storage: Storage
    host: Host
    load_s: int
    """Estimated seconds from the start of a pod to ready."""
    startup_budget_s: int
    """Seconds after which a pod that is not ready is given up."""
    adapters: tuple[Adapter, ...] | None = None
    speculative: Drafting | None = None
    kv_offload_gib: int | None = None
    """Memory of the node for KV cache, GiB per replica."""

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on GPUs."""
        return self.accelerator != "cpu"

    @property
    def gpus_per_pod(self) -> int:
        """GPUs that one pod requests; 0 on CPU nodes."""
        return self.tensor_parallel if self.on_gpu else 0

    @property
    def gpus_per_replica(self) -> int:
        """GPUs that all pods of one replica request; 0 on CPU nodes."""
        return self.gpus_per_pod * self.pipeline_parallel

    @property
    def beside(self) -> tuple[Source, ...]:
        """What is fetched beside the model: adapters, then the draft model."""
        drafts = (self.speculative.source,) if self.speculative and self.speculative.source else ()
        return (*(adapter.source for adapter in self.adapters or ()), *drafts)

    @property
    def lora_rank(self) -> int:
        """The highest rank of the adapters; 0 without any."""
        return max((adapter.rank for adapter in self.adapters or ()), default=0)


class PoolDecision(_Frozen):
    """One node pool, decided: what its nodes are. Numbers of nodes are no part of it."""

    machine_type: str
    capacity: tuple[str, ...]
    """Ways to get machines, in order."""
    zones: tuple[str, ...]
    boot_disk_gib: int
    several_nodes: bool = False
    """Whether nodes share copies of a model: they stand close together, on a fast fabric."""
    reservation: str | None = None
    """Name of the reservation."""


def digest(decision: Decision) -> str:
    """SHA-256 of a decision, 64 hexadecimal digits. Prices, dates and sources are no part of it."""
    canonical = json.dumps(decision.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
