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
    (float32). ``parameters`` counts every expert. ``weights_bytes`` is the sum of the ``*.safetensors`` files that an
    engine loads (no second export, no ``original/``, ``metal/`` or ``consolidated`` copies).

    Layers by what they keep per request: ``full_attention_layers`` every token, ``sliding_layers`` the last
    ``sliding_window`` (also for chunked attention), ``linear_layers`` a state. Layers by feed-forward: ``moe_layers``
    (default: all after ``first_k_dense`` when there are experts) and the rest dense; where blocks hold either mixer or
    feed-forward (Nemotron-H), ``mlp_layers`` and ``moe_layers`` count the latter.
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
    moe_layers: Count | None = None
    mlp_layers: Count | None = None
    shared_expert_intermediate_size: Positive | None = None
    """Width of all shared experts together; None: ``num_shared_experts x moe_intermediate_size``."""
    dense_intermediate_size: Positive | None = None
    """Width of the dense layers where it differs from ``intermediate_size`` (Llama 4)."""
    mlp_widths: dict[int, Positive] | None = None
    """Dense feed-forwards by width, where it differs from layer to layer (DeciLM, Gemma 4 E2B): {width: layers}."""
    moe_latent_size: Positive | None = None
    """Width that routed experts work in where it is not ``hidden_size`` (Nemotron 3 Super and Ultra)."""

    kv_lora_rank: Positive | None = None
    qk_rope_dim: Positive | None = None
    qk_nope_dim: Positive | None = None
    v_head_dim: Positive | None = None
    """Value head size where it is not ``head_dim``."""
    q_lora_rank: Positive | None = None
    index_num_heads: Positive | None = None
    """Heads of the sparse attention indexer (DeepSeek V3.2, GLM 5)."""
    index_head_dim: Positive | None = None
    index_topk: Positive | None = None
    """Tokens that sparse attention reads per query."""
    index_layers: Count | None = None
    """Layers with an indexer of their own; None: every attention layer, when there is one."""
    o_lora_rank: Positive | None = None
    o_groups: Positive | None = None
    compressed_layers: dict[int, Count] | None = None
    """DeepSeek V4: layers by how many tokens one stored entry stands for."""

    sliding_window: Positive | None = None
    full_attention_layers: Count | None = None
    sliding_layers: Count | None = None
    linear_layers: Count | None = None
    cross_attention_layers: Count | None = None
    """Layers that attend to image tokens only (Llama 3.2 Vision)."""
    sliding_attention_heads: Positive | None = None
    """Query heads of the sliding layers where they differ from ``num_attention_heads`` (Step 3.7)."""
    global_kv_heads: Positive | None = None
    """KV heads of the full attention layers where they differ from the sliding ones."""
    global_head_dim: Positive | None = None
    keys_are_values: bool | None = None
    """Full attention layers keep one tensor for keys and values' projection (Gemma 4)."""
    kv_shared_layers: Count | None = None
    """Last layers that reuse the cache of an earlier one (Gemma 3n, Gemma 4 E)."""
    attention_output_gate: bool | None = None
    """The query projection also makes a gate, and is twice as wide (Qwen3.5)."""
    linear_num_key_heads: Positive | None = None
    linear_num_value_heads: Positive | None = None
    linear_key_head_dim: Positive | None = None
    linear_value_head_dim: Positive | None = None
    linear_conv_kernel: Positive | None = None
    ssm_dtype: Text | None = None
    mamba_num_heads: Positive | None = None
    mamba_head_dim: Positive | None = None
    mamba_state_size: Positive | None = None
    mamba_groups: Positive | None = None
    """Mamba-2 mixers: heads, head size, state size per group, groups (B and C)."""

    per_layer_input_size: Positive | None = None
    """Width of the per-layer embeddings (Gemma 3n, Gemma 4 E), one table of the vocabulary for all layers."""
    group_size: Positive | None = None
    """Weights that share one scale where the format leaves that open (AWQ, GPTQ: 128 unless stated)."""
    symmetric: bool | None = None
    """Integer weights are stored without zero points (compressed-tensors)."""
    formats: dict[Text, Quantization] = Field(default_factory=dict)
    """Formats of parts that are not stored in ``quantization``, by role or tensor name; bf16: left unquantized."""
    has_vision: bool | None = None
    vision_parameters: Positive | None = None
    """Parameters of vision (and audio) towers with their projectors, 16 bit."""
    mtp_layers: Count | None = None
    """Stored draft layers (multi-token prediction), which engines load only when asked to."""
    parameters: Positive | None = None
    weights_bytes: Positive | None = None
    weights_source: Text | None = None
    revision: Revision | None = None
    license: Text | None = None
    gated: bool | None = None

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def unquantized(self) -> tuple[str, ...]:
        """Roles and tensors that a quantized checkpoint keeps in 16 bits."""
        return tuple(name for name, kind in self.formats.items() if kind in (Quantization.BF16, Quantization.FP16))


class Checkpoint(Row):
    """A repository that stores ``model`` in another format; ``bytes`` are the stored bytes (of ``file`` for GGUF)."""

    repository: Text
    model: Text
    format: Format
    quantization: Quantization
    file: Text | None = None
    bytes: Positive | None = None
    revision: Revision | None = None
    group_size: Positive | None = None
    formats: dict[Text, Quantization] = Field(default_factory=dict)
    symmetric: bool | None = None
    """As in :class:`Model`."""


class TensorDtype(StrEnum):
    """A number format that tensor cores multiply."""

    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    FP4 = "fp4"
    INT8 = "int8"


class Link(StrEnum):
    """What GPUs of one machine exchange data over; ``unified`` is a single GPU that shares its memory with the CPU."""

    NVLINK = "nvlink"
    INFINITY_FABRIC = "infinity-fabric"
    PCIE = "pcie"
    UNIFIED = "unified"


class MigProfile(BaseModel):
    """One size a GPU can be cut into: how many such slices fit, and what one shows to the engine (None: not known)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Positive
    memory_gib: Amount | None = None


class Gpu(Row):
    """One GPU. ``visible_memory_gib`` is what the engine may use, ``marketing_memory_gb`` what the name says.

    ``visible_memory_source`` names the evidence of the first. ``memory_bandwidth_gb_per_s`` is in 10^9 bytes.
    ``dense_tflops`` are 10^12 operations per second without sparsity, of the formats that the tensor cores have, with
    float32 accumulation; float16 runs at the rate of bfloat16 and is stated only where there is no bfloat16.
    ``link_gb_per_s`` is in 10^9 bytes, per direction and GPU, to all others together; ``nvlink_domain`` is the largest
    number of GPUs that NVLink or Infinity Fabric joins in machines on offer, 1 where there is none.
    """

    id: Text
    name: Text
    vendor: Text
    visible_memory_gib: Amount
    visible_memory_source: Text
    marketing_memory_gb: Amount
    unified_memory: bool = False
    compute_capability: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")] | None = None
    memory_bandwidth_gb_per_s: Amount
    dense_tflops: dict[TensorDtype, Amount] = {}
    dense_tflops_source: Text | None = None
    link: Link
    link_gb_per_s: Amount | None = None
    link_source: Text | None = None
    nvlink_domain: Positive = 1
    mig_profiles: dict[Text, MigProfile] = {}
    mig_source: Text | None = None

    @property
    def visible_memory_bytes(self) -> int:
        """What the driver reports to the engine, in bytes."""
        return int(self.visible_memory_gib * GIB)

    @property
    def half_precision_tflops(self) -> float | None:
        """Dense rate of 16-bit floats: bfloat16, or float16 on tensor cores that lack it; None when not known."""
        return self.dense_tflops.get(TensorDtype.BF16) or self.dense_tflops.get(TensorDtype.FP16)

    @property
    def nvlink(self) -> bool:
        """Whether machines join several of these GPUs by something faster than PCIe."""
        return self.nvlink_domain > 1

    @property
    def cc(self) -> tuple[int, int] | None:
        """CUDA compute capability as (major, minor), None for GPUs that have none."""
        if self.compute_capability is None:
            return None
        major, minor = self.compute_capability.split(".")
        return int(major), int(minor)


class GpuSlice(BaseModel):
    """A part of one GPU that a machine has instead of a whole one, cut by the cloud."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu: Text
    fraction: Annotated[float, Field(gt=0, lt=1)]


class Machine(Row):
    """One machine type of a cloud. ``memory_gib`` is the advertised memory; ``local_nvme_gb`` the sum of its disks.

    ``gpu`` and ``gpu_count`` are whole GPUs, ``gpu_slice`` is the part of one that small types have instead; nothing is
    sized for a slice. ``gpu_interconnect`` is what joins several GPUs, ``network_gbps`` the most that leaves the
    machine, in 10^9 bits per second; None where no source states a value.
    """

    id: Text
    cloud: Text
    gpu: Text | None = None
    gpu_count: Count = 0
    gpu_slice: GpuSlice | None = None
    gpu_interconnect: Link | None = None
    vcpu: Positive
    memory_gib: Amount
    arch: Text
    local_nvme_gb: Amount | None = None
    network_gbps: Amount | None = None
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
    """Batch limits an engine chooses from ``since`` on, on GPUs that show at least ``min_visible_memory_gib``.

    Of one memory tier the newest counts; the largest tier that a GPU reaches and is no exception of wins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: Text
    source: Text
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
    public_paths: tuple[Text, ...] = ("/v1",)
    """Paths that a door lets through: those that the API key covers, and nothing that only operators need."""
    has_api_key: bool = True
    """Whether the server can be told an API key."""
    image_gib: Amount | None = None
    """Size of its image where that is far from the usual (catalog/assumptions.yaml, image_pull_gib)."""
    triton_image: Text | None = None
    """The image of the same engine inside Triton; {version} is Triton's release."""
    triton_releases: dict[Text, Text] = Field(default_factory=dict)
    """Version of the engine -> the Triton release that carries it."""
    model_store: bool = False
    """Whether it serves from a store of its own, into which weights are imported."""
    archived: bool = False
    successors: tuple[Text, ...] = ()
    root_only: Text | None = None
    """Why its image does not start without root rights, which pods never have here; None: it does."""
    own_image: Text | None = None
    """The image that would, where its own does not."""
    block_size: Positive | None = None
    gpu_memory_utilization_default: tuple[Since, ...] = ()
    cudagraphs_in_budget: tuple[Since, ...] = ()
    batch_defaults: tuple[BatchDefault, ...] = ()
    oldest_version: Text | None = None
    """What came before was not read."""
    metrics_need_api_key: bool = False
    """Whether the API key, where one is set, is asked for metrics too."""
    default_quantization: Quantization | None = None
    """Format of the file that it downloads when only a model is named; None: as the repository stores it."""
    sized_versions: tuple[Text, ...] = ()
    """Versions between which the memory model changes: candidates where nobody states one."""
    architectures_since: dict[Text, Text] = Field(default_factory=dict)
    """First version that serves an architecture."""

    def image(self, variant: str, version: str | None = None) -> str:
        """The image reference of one variant; KeyError when the engine has no such image."""
        return self.images[variant].format(version=version or self.default_version)
