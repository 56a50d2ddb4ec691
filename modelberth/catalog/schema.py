"""The rows of the catalog: frozen, typed, every one with its source and the date it was read.

Memory is per GPU and tokens per request; totals are left to those who need them.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from modelberth.names import Capacity, Quantization
from modelberth.units import GIB

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Amount = Annotated[float, Field(gt=0)]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class Format(StrEnum):
    """The file format of a checkpoint."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"


class Row(BaseModel):
    """What every row carries: where the facts were read (``source``) and when (``as_of``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    source: Text
    as_of: date


class Model(Row):
    """The shape of a model, in the words of its ``config.json``; None where no source states a value.

    ``aliases`` are other repositories of identical shape and ``max_position``: whoever serves one of them downloads
    the alias, not ``id``. ``quantization`` is the stored format, None when it is unknown or no :class:`Quantization`
    (float32). ``parameters`` counts every expert. ``weights_bytes`` is the sum of the ``*.safetensors`` files.
    """

    id: Text
    aliases: tuple[Text, ...] = ()
    architecture: Text
    native_dtype: Text | None = None
    quantization: Quantization | None = None
    num_layers: Positive | None = None
    hidden_size: Positive
    num_attention_heads: Positive
    num_kv_heads: Positive
    head_dim: Positive
    intermediate_size: Positive | None = None
    vocab_size: Positive | None = None
    max_position: Positive | None = None
    tie_embeddings: bool | None = None

    num_experts: Positive | None = None
    experts_per_token: Positive | None = None
    num_shared_experts: Count | None = None
    moe_intermediate_size: Positive | None = None
    first_k_dense: Count | None = None

    kv_lora_rank: Positive | None = None
    qk_rope_dim: Positive | None = None
    qk_nope_dim: Positive | None = None
    v_head_dim: Positive | None = None
    q_lora_rank: Positive | None = None

    sliding_window: Positive | None = None
    full_attention_layers: Count | None = None
    sliding_layers: Count | None = None
    linear_layers: Count | None = None
    global_kv_heads: Positive | None = None
    global_head_dim: Positive | None = None
    linear_num_key_heads: Positive | None = None
    linear_num_value_heads: Positive | None = None
    linear_key_head_dim: Positive | None = None
    linear_value_head_dim: Positive | None = None
    linear_conv_kernel: Positive | None = None
    ssm_dtype: Text | None = None

    has_vision: bool | None = None
    parameters: Positive | None = None
    weights_bytes: Positive | None = None
    weights_source: Text | None = None
    revision: Revision | None = None
    license: Text | None = None
    gated: bool | None = None


class Checkpoint(Row):
    """A repository that stores ``model`` in another format; ``bytes`` are the stored bytes (of ``file`` for GGUF)."""

    repository: Text
    model: Text
    format: Format
    quantization: Quantization
    file: Text | None = None
    bytes: Positive | None = None
    revision: Revision | None = None


class Gpu(Row):
    """One GPU. ``visible_memory_gib`` is what CUDA reports to the engine, ``marketing_memory_gb`` what the name says.

    ``visible_memory_source`` names the evidence of the first. ``memory_bandwidth_gb_per_s`` is in 10^9 bytes.
    """

    id: Text
    name: Text
    vendor: Text
    visible_memory_gib: Amount
    visible_memory_source: Text
    marketing_memory_gb: Amount
    compute_capability: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")] | None = None
    memory_bandwidth_gb_per_s: Amount | None = None
    nvlink: bool = False

    @property
    def visible_memory_bytes(self) -> int:
        """What CUDA reports to the engine, in bytes."""
        return int(self.visible_memory_gib * GIB)

    @property
    def cc(self) -> tuple[int, int] | None:
        """CUDA compute capability as (major, minor), None for GPUs that have none."""
        if self.compute_capability is None:
            return None
        major, minor = self.compute_capability.split(".")
        return int(major), int(minor)


class Machine(Row):
    """One machine type of a cloud. ``memory_gib`` is the advertised memory; ``local_nvme_gb`` the sum of its disks."""

    id: Text
    cloud: Text
    gpu: Text | None = None
    gpu_count: Count = 0
    vcpu: Positive
    memory_gib: Amount
    arch: Text
    local_nvme_gb: Amount | None = None
    max_pods: Positive | None = None


class Price(Row):
    """What one machine costs per hour in one region, without taxes, disks or commitments."""

    machine: Text
    capacity: Capacity
    usd_per_hour: Amount
    region: Text


class Since(BaseModel):
    """A fact of an engine that holds from version ``since`` on (inclusive), until the next entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: Text
    value: float | bool | int
    source: Text


class BatchDefault(BaseModel):
    """Batch limits an engine chooses on GPUs that show at least ``min_visible_memory_gib``, first match wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_visible_memory_gib: float
    except_gpus: tuple[Text, ...] = ()
    max_num_seqs: Positive
    max_num_batched_tokens: Positive


class Engine(Row):
    """An inference engine: its images by variant ("cuda", "cpu"), its port and the defaults that sizing needs."""

    id: Text
    name: Text
    license: Text
    default_version: Text
    versions: tuple[Text, ...] = ()
    images: dict[Text, Text]
    port: Positive
    archived: bool = False
    successors: tuple[Text, ...] = ()
    block_size: Positive | None = None
    gpu_memory_utilization_default: tuple[Since, ...] = ()
    cudagraphs_in_budget: tuple[Since, ...] = ()
    batch_defaults: tuple[BatchDefault, ...] = ()

    def image(self, variant: str, version: str | None = None) -> str:
        """The image reference of one variant; KeyError when the engine has no such image."""
        return self.images[variant].format(version=version or self.default_version)
