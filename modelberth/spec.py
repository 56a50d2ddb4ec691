"""What a person asks for: one frozen schema for the five keys of a stack file.

Every number that shapes a plan is a plain value known before anything is registered. Unknown keys are refused; keys
that nothing implements yet are refused too, never ignored (modelberth.not_yet).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from modelberth.fields import (
    BillingKey,
    BillingValue,
    Count,
    Digest,
    HttpUrl,
    LabelKey,
    LabelValue,
    Misfit,
    Name,
    ObjectName,
    Registry,
    RelativePath,
    ServiceName,
    Share,
    Text,
    Texts,
    Whole,
)
from modelberth.names import Capacity, Objective, Packaging, Quantization, Spread
from modelberth.parts import (
    Adapter,
    Autoscaling,
    Budget,
    Expose,
    ModelRef,
    Monitoring,
    Part,
    Secret,
    Slo,
    Speculative,
    Traffic,
    model_by_id,
)
from modelberth.targets import NodeLabels, Target

__all__ = [
    "OWN_WEIGHTS",
    "PLANNED_WEIGHTS",
    "Capacity",
    "Defaults",
    "EngineKey",
    "EngineName",
    "KvCacheDtype",
    "NodeLabels",
    "PoolSpec",
    "Profile",
    "Quantization",
    "Reservation",
    "ServiceSpec",
    "StackSpec",
    "Target",
    "WeightsKind",
    "WeightsSpec",
]


class EngineName(StrEnum):
    """Inference engines; ``auto`` lets the plan choose."""

    AUTO = "auto"
    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    OLLAMA = "ollama"
    LLAMACPP = "llamacpp"
    TENSORRT_LLM = "tensorrt_llm"


def _one_engine(value: EngineName) -> EngineName:
    if value is EngineName.AUTO:
        raise ValueError("names no engine; a version belongs to one")
    return value


EngineKey = Annotated[EngineName, AfterValidator(_one_engine)]


class KvCacheDtype(StrEnum):
    """Data type of the KV cache; ``auto`` means 16 bit, as the engines do."""

    AUTO = "auto"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    INT8 = "int8"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"


class Profile(StrEnum):
    """How strict: ``dev`` plans and locks by itself, ``prod`` refuses what is not locked and pinned."""

    DEV = "dev"
    PROD = "prod"


class ServiceSpec(Part):
    """One model, served."""

    model: Annotated[ModelRef, BeforeValidator(model_by_id, json_schema_input_type=str | ModelRef)]
    """Repository id, or {id, revision, architecture}."""
    context: Whole
    """Tokens that one request may hold, prompt and answer together."""
    concurrency: Whole
    """Requests held at once by one replica, at typical_tokens each."""
    typical_tokens: Whole | None = None
    """Tokens that a request holds on average; default: context."""
    engine: EngineName = EngineName.AUTO
    """Inference engine."""
    engine_version: Text | None = None
    """Version of the engine; default: the stack's, then the catalog's."""
    packaging: Packaging = Packaging.SERVE
    """Its own server, or triton (engine tensorrt_llm only): Triton's API instead of the OpenAI-compatible one."""
    quantization: Quantization = Quantization.AUTO
    """How the weights are stored."""
    kv_cache_dtype: KvCacheDtype = KvCacheDtype.AUTO
    """Data type of the KV cache."""
    replicas: Whole = 1
    """Copies of the service."""
    accelerators: tuple[Text, ...] = ()
    """GPU ids allowed, or cpu; default: all of the pool or the stack."""
    pool: Name | None = None
    """A pool of modelberth:pools; default: any that fits."""
    weights: Name | None = None
    """An entry of modelberth:weights; default: a volume of the service's own."""
    tensor_parallel: Whole | None = None
    """GPUs that share one copy of the model; default: the fewest that fit."""
    pipeline_parallel: Whole | None = None
    """Nodes that share one copy of the model."""
    gpu_memory_utilization: Share | None = None
    """Share of GPU memory that the engine may take; default: the engine's own."""
    token: Secret | None = None
    """Hub token, by reference."""
    api_key: Secret | None = None
    """API key that clients must send, by reference."""
    budget: Budget | None = None
    """What the service may cost."""
    objective: Objective = Objective.COST_PER_HOUR
    """What the chosen machines are best at; by token and latency (time per output token first) need traffic."""
    image: Text | None = None
    """Container image instead of the engine's own."""
    image_digest: Digest | None = None
    """Digest of the image."""
    profile: Profile | None = None
    """dev or prod; default: the stack's."""
    extra_args: tuple[Text, ...] = ()
    """Arguments appended to the engine's own, last."""
    traffic: Traffic | None = None
    """Load that the service must carry."""
    autoscaling: Autoscaling | None = None
    """Replicas that follow the load."""
    capacity: tuple[Capacity, ...] = ()
    """Ways to get machines, in order; default: the pool's."""
    spread: Spread = Spread.PREFER
    """How replicas are spread: prefer (zones, then nodes, where there is room), nodes or zones (or they wait), none."""
    renamed_from: ServiceName | None = None
    """The first name of a service that was renamed: what runs keeps it, URLs too, so that nothing is replaced."""
    wave: Whole = 1
    """Services of wave 2 are changed when those of wave 1 are ready, and not at all when one of them fails."""
    adapters: tuple[Adapter, ...] = ()
    """LoRA adapters."""
    runtime_adapter_loading: bool = False
    """Whether clients may load and unload adapters while the server runs: whoever may send requests may."""
    speculative: Speculative | None = None
    """Speculative decoding."""
    tool_call_parser: Text | None = None
    """How tool calls are read from the model's text, by the engine's own name."""
    reasoning_parser: Text | None = None
    """How reasoning is told from the answer, by the engine's own name."""
    kv_offload_gib: Whole | None = None
    """Memory of the node for KV cache that leaves the GPUs, GiB per replica."""
    slo: Slo | None = None
    """Latency promised to users."""
    expose: Expose | None = None
    """A door from outside the cluster."""

    @model_validator(mode="after")
    def _one_digest(self) -> ServiceSpec:
        if self.image and "@" in self.image:
            raise ValueError("image: name the digest as image_digest, not inside image")
        return self

    @model_validator(mode="after")
    def _typical_within_context(self) -> ServiceSpec:
        if self.typical_tokens is not None and self.typical_tokens > self.context:
            raise ValueError(f"typical_tokens {self.typical_tokens} is more than context {self.context}")
        return self

    @model_validator(mode="after")
    def _one_number_of_replicas(self) -> ServiceSpec:
        if self.autoscaling and "replicas" in self.model_fields_set and self.replicas != self.autoscaling.min:
            raise ValueError(
                f"replicas {self.replicas} and autoscaling from {self.autoscaling.min} to {self.autoscaling.max} "
                "contradict each other: leave replicas out"
            )
        return self

    def called(self, name: str) -> str:
        """What the service of this name is called in its cluster."""
        return self.renamed_from or name

    @property
    def most_replicas(self) -> int:
        """Copies there may be at once: what pools, volumes and budgets must hold."""
        return self.autoscaling.max if self.autoscaling else self.replicas

    @property
    def fewest_replicas(self) -> int:
        """Copies that always run; 0 for a service that may sleep."""
        return self.autoscaling.min if self.autoscaling else self.replicas

    @property
    def tokens_per_request(self) -> int:
        """Tokens that one request is counted with when concurrency is sized."""
        return self.typical_tokens or self.context


class Defaults(Part):
    """What every service of the stack starts from."""

    profile: Profile = Profile.DEV
    """dev or prod."""
    engine_versions: dict[EngineKey, Text] = Field(default_factory=dict[EngineName, Text])
    """Engine -> version."""
    registry: Registry | None = None
    """Prefix put before every image, for closed networks."""
    hub_endpoint: HttpUrl | None = None
    """Base URL of a model hub mirror."""
    owner: LabelValue | None = None
    """Who answers for the stack; a label on every object."""
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels for every object."""
    billing: dict[BillingKey, BillingValue] = Field(default_factory=dict)
    """Labels or tags for everything that a cloud bills, beside owner and env: cost-center, for example."""
    monitoring: Monitoring = Field(default_factory=Monitoring)
    """What the cluster has to watch services with."""


class Reservation(Part):
    """Machines that are reserved already, as the cloud names them."""

    name: Text
    """Name of the reservation, or its id where the cloud has ids."""
    machine_type: Text | None = None
    """Machine type that is reserved; checked against the pool's."""
    zones: Texts = ()
    """Zones of the reservation; checked against the pool's."""
    block: bool = False
    """Whether it is a block of capacity that was bought for a time."""


class PoolSpec(Part):
    """A node pool; it outlives the services that use it."""

    accelerators: tuple[Text, ...] = Field(min_length=1)
    """GPU ids, or cpu."""
    machine_types: tuple[Text, ...] = ()
    """Machine types of its nodes; required on a cluster that exists, else the plans choose."""
    zones: Texts = ()
    """Zones of its nodes; default: those of the target that have the machine type."""
    capacity: tuple[Capacity, ...] = (Capacity.ON_DEMAND,)
    """Ways to get machines, in order; where one has none, the next is tried."""
    max_nodes: Whole
    """Most nodes over all zones. Without a floor each of its ways may have so many: any can carry everything."""
    min_nodes: Count = 0
    """Nodes it never goes below, over all zones."""
    floor: Count = 0
    """Nodes among max_nodes that are always on demand, beside spot ones."""
    reservation: Reservation | None = None
    """The reservation, for capacity reservation."""
    boot_disk_gib: Whole | None = None
    """Boot disk of a node; default: from the engine's image and what pods write."""
    create: bool = True
    """False for nodes that exist already: they are only selected."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels of its nodes, instead of the ones that node_labels implies."""

    @model_validator(mode="after")
    def _ways(self) -> PoolSpec:
        if len(set(self.capacity)) < len(self.capacity) or not self.capacity:
            raise ValueError("capacity: name each way once, and at least one")
        if (Capacity.RESERVATION in self.capacity) != (self.reservation is not None):
            raise Misfit("reservation: belongs to capacity reservation, and that to it", "state both, or neither")
        if self.floor and not {Capacity.SPOT, Capacity.ON_DEMAND} <= set(self.capacity):
            raise ValueError("floor: needs capacity on-demand and spot, in the order that they are tried")
        if max(self.floor, self.min_nodes) > self.max_nodes:
            raise ValueError(f"floor and min_nodes: at most max_nodes, {self.max_nodes}")
        return self


class WeightsKind(StrEnum):
    """Where weights live."""

    HUB = "hub"
    CLAIM = "claim"
    EXISTING_CLAIM = "existing-claim"
    BUCKET = "bucket"
    STREAM = "stream"
    AUTO = "auto"

    @property
    def attached(self) -> bool:
        """Whether pods mount a claim."""
        return self in (WeightsKind.CLAIM, WeightsKind.EXISTING_CLAIM)

    @property
    def in_bucket(self) -> bool:
        """Whether they lie in a bucket."""
        return self in (WeightsKind.BUCKET, WeightsKind.STREAM)


class WeightsSpec(Part):
    """Where weights live; it outlives the services that use it."""

    kind: WeightsKind
    """hub: each pod downloads; claim: a volume that a Job fills once; existing-claim: a volume that is filled; bucket:
    a bucket that a Job fills once, shown to pods as files; stream: the same, read by the engine itself; auto: what
    the plan finds best."""
    claim: ObjectName | None = None
    """Name of the existing claim."""
    path: RelativePath = ""
    """Folder of the model inside the existing claim or bucket; nothing is downloaded then."""
    bucket: Text | None = None
    """Name of a bucket that exists; default: one is made."""
    prefix: RelativePath = ""
    """Folder of the bucket that everything lies in."""
    zones: Texts = ()
    """Zones in which the volume of an existing claim can be attached; default: not known, not checked."""
    allow_pickle: bool = False
    """Whether downloads may bring pickled files, which run code as they are read."""
    size_gib: Whole | None = None
    """Size of the claim, GiB; required for kind claim: it outlives its services, and a volume never shrinks."""
    storage_class: ObjectName | None = None
    """StorageClass; default: the target's."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"] = "ReadWriteOnce"
    """Access mode of the claim."""

    @model_validator(mode="after")
    def _claim_where_it_belongs(self) -> WeightsSpec:
        if self.kind is WeightsKind.EXISTING_CLAIM and not self.claim:
            raise ValueError("kind existing-claim needs claim, the name of the PersistentVolumeClaim")
        if self.kind is not WeightsKind.EXISTING_CLAIM and (self.claim or self.zones):
            raise ValueError("claim and zones belong to kind existing-claim only")
        if self.path and self.kind is not WeightsKind.EXISTING_CLAIM and not self.bucket:
            raise ValueError("path belongs to kind existing-claim, or to a bucket that exists")
        if (self.bucket or self.prefix) and not (self.kind.in_bucket or self.kind is WeightsKind.AUTO):
            raise ValueError("bucket and prefix belong to kind bucket, stream or auto")
        if self.allow_pickle and self.kind in (WeightsKind.HUB, WeightsKind.EXISTING_CLAIM, WeightsKind.STREAM):
            raise ValueError("allow_pickle belongs to kind claim, bucket or auto: a Job brings them, servers only read")
        if self.kind is WeightsKind.CLAIM and self.access_mode == "ReadOnlyMany":
            raise ValueError("kind claim is written by a Job: access_mode ReadWriteOnce or ReadWriteMany")
        if self.kind not in (WeightsKind.CLAIM, WeightsKind.AUTO) and self.size_gib:
            raise ValueError("size_gib belongs to kind claim or auto")
        return self


OWN_WEIGHTS = WeightsSpec(kind=WeightsKind.CLAIM)
"""What a service gets that names no weights."""

PLANNED_WEIGHTS = WeightsSpec(kind=WeightsKind.AUTO)
"""The same on a target that makes what it needs."""


class StackSpec(Part):
    """The five keys of a stack file."""

    target: Target
    """Where services run."""
    defaults: Defaults = Field(default_factory=Defaults)
    """What every service starts from."""
    pools: dict[Name, PoolSpec] = Field(default_factory=dict)
    """Node pools by name."""
    weights: dict[Name, WeightsSpec] = Field(default_factory=dict)
    """Weights by name."""
    services: dict[ServiceName, ServiceSpec] = Field(min_length=1)
    """Services by name."""

    def weights_of(self, spec: ServiceSpec) -> WeightsSpec:
        """The weights that a service names, or a volume of its own; a name that is not defined is resolve's matter."""
        own = PLANNED_WEIGHTS if self.target.makes_pools else OWN_WEIGHTS
        return self.weights.get(spec.weights or "", own)

    def profile_of(self, service: str) -> Profile:
        """Dev or prod, for one service."""
        return self.services[service].profile or self.defaults.profile
