"""Arguments of components as callers in every language see them. Generated from modelberth/spec.py by scripts/generate.

No defaults live here: what is left out is left to the spec.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from modelberth.names import Affinity, Capacity, Controller, DoorKind, Objective, Packaging, Quantization, Scaler, Signal, SpeculativeMethod, Spread
from modelberth.spec import EngineName, KvCacheDtype, Profile


class ModelArgs(TypedDict):
    """Which model, exactly."""

    id: str
    """Repository id such as Qwen/Qwen2.5-7B-Instruct; a catalog id or alias."""
    revision: NotRequired[str]
    """Commit of the repository (40 hexadecimal digits); required by profile prod."""
    architecture: NotRequired[dict[str, Any]]
    """The model's config.json, for a model that the catalog does not know."""


class SecretArgs(TypedDict):
    """A secret by reference, never by value."""

    secret: str
    """Name of a Kubernetes Secret in the service's namespace."""
    key: NotRequired[str]
    """Key inside that Secret."""


class BudgetArgs(TypedDict):
    """What it may cost."""

    usd_per_hour: float
    """US dollars per hour for all replicas, on-demand list price."""


class TrafficArgs(TypedDict):
    """Load that the service must carry."""

    input_tokens: int
    """Prompt tokens of one request."""
    output_tokens: int
    """Generated tokens of one request."""
    requests_per_second: NotRequired[float]
    """Requests per second, sustained."""
    tokens_per_month: NotRequired[float]
    """Input and output tokens per month."""


class WakeArgs(TypedDict):
    """What ends the sleep of a service without replicas: none of its own metrics exists then."""

    query: str
    """PromQL that is above zero while requests wait for a service without pods, such as a gateway's."""


class AutoscalingArgs(TypedDict):
    """Replicas that follow the load."""

    min: int
    """Fewest replicas; 0 only with wake."""
    max: int
    """Most replicas; all of them are counted against the pool and the budget."""
    signal: NotRequired[Signal]
    """What the load is measured by: queue, running, kv_cache or custom; never CPU, memory or GPU utilization."""
    threshold: NotRequired[float]
    """Value of the signal per replica above which one more is started; default: by signal, required for custom."""
    query: NotRequired[str]
    """PromQL of signal custom with scaler keda: one number, the total of all replicas."""
    metric: NotRequired[str]
    """Metric of signal custom with scaler hpa, as the custom metrics API names it per pod."""
    wake: NotRequired[WakeArgs]
    """What wakes the service from zero replicas; needs min 0 and scaler keda."""
    cooldown_s: NotRequired[int]
    """Seconds of low load before replicas are stopped, not below the start-up budget; default: just above it."""
    scaler: NotRequired[Scaler]
    """keda, or hpa with an adapter that serves custom metrics."""


class AdapterArgs(TypedDict):
    """A LoRA adapter, fetched beside the weights and chosen by a request's model name."""

    name: str
    """Name that requests use."""
    source: str
    """Repository of the adapter, with the file's name behind it where that is a GGUF file."""
    revision: str
    """Commit of that repository."""
    rank: int
    """LoRA rank."""


class SpeculativeArgs(TypedDict):
    """Speculative decoding."""

    method: SpeculativeMethod
    """draft_model, ngram, eagle, eagle3 or mtp."""
    model: NotRequired[ModelArgs]
    """Draft model or head, where the method has one."""
    tokens: int
    """Tokens proposed per step."""


class SloArgs(TypedDict):
    """Latency promised to users."""

    ttft_ms: NotRequired[float]
    """Time to first token, milliseconds."""
    tpot_ms: NotRequired[float]
    """Time per output token, milliseconds."""


class GatewayArgs(TypedDict):
    """A Gateway that exists."""

    name: str
    """Name of the Gateway."""
    namespace: NotRequired[str]
    """Its namespace; default: the services'."""
    listener: str
    """Its HTTPS listener, which has the certificate and lets routes of the services' namespace in."""


class ExposeArgs(TypedDict):
    """A door to the service from outside its cluster."""

    kind: DoorKind
    """gateway (Gateway API) or ingress."""
    controller: Controller
    """Who carries it out: envoy-gateway, gke-gateway, ingress-nginx or other."""
    host: str
    """DNS name."""
    source_ranges: Sequence[str]
    """CIDR ranges that may connect."""
    tls_secret: NotRequired[str]
    """Secret of the services' namespace with the certificate; required unless an existing gateway has it."""
    class_name: NotRequired[str]
    """IngressClass, or GatewayClass of a Gateway of the service's own."""
    gateway: NotRequired[GatewayArgs]
    """A Gateway that exists, instead of one of the service's own."""
    proxy_namespace: NotRequired[str]
    """Namespace that the controller's proxies run in: the only one let in for it."""
    proxy_ranges: NotRequired[Sequence[str]]
    """Ranges that proxies outside the cluster call from."""
    timeout_s: NotRequired[int]
    """Seconds that one request may take, stream included; at most a day."""
    body_mib: NotRequired[int]
    """Largest request body, MiB, where the controller has a limit; default: 16."""
    affinity: NotRequired[Affinity]
    """Which replica a request goes to: none (any), session, prefix."""
    session_header: NotRequired[str]
    """Header by which clients name their session."""
    inference_pool: NotRequired[str]
    """For affinity prefix: an InferencePool that exists, with its endpoint picker."""
    ranges_enforced_by: NotRequired[str]
    """Who holds connections to source_ranges where nothing rendered does; gke-gateway: its Cloud Armor policy."""
    authenticated_by: NotRequired[str]
    """Who checks callers, for an engine without API keys."""
    annotations: NotRequired[dict[str, str]]
    """Further annotations of the Ingress or Gateway."""


class ServiceArgs(TypedDict):
    """One model, served."""

    model: ModelArgs
    """Repository id, or {id, revision, architecture}."""
    context: int
    """Tokens that one request may hold, prompt and answer together."""
    concurrency: int
    """Requests held at once by one replica, at typical_tokens each."""
    typical_tokens: NotRequired[int]
    """Tokens that a request holds on average; default: context."""
    engine: NotRequired[EngineName]
    """Inference engine."""
    engine_version: NotRequired[str]
    """Version of the engine; default: the stack's, then the catalog's."""
    packaging: NotRequired[Packaging]
    """Its own server, or triton (engine tensorrt_llm only): Triton's API instead of the OpenAI-compatible one."""
    quantization: NotRequired[Quantization]
    """How the weights are stored."""
    kv_cache_dtype: NotRequired[KvCacheDtype]
    """Data type of the KV cache."""
    replicas: NotRequired[int]
    """Copies of the service."""
    accelerators: NotRequired[Sequence[str]]
    """GPU ids allowed, or cpu; default: all of the pool or the stack."""
    pool: NotRequired[str]
    """A pool of modelberth:pools; default: any that fits."""
    weights: NotRequired[str]
    """An entry of modelberth:weights; default: a volume of the service's own."""
    tensor_parallel: NotRequired[int]
    """GPUs that share one copy of the model; default: the fewest that fit."""
    pipeline_parallel: NotRequired[int]
    """Nodes that share one copy of the model."""
    gpu_memory_utilization: NotRequired[float]
    """Share of GPU memory that the engine may take; default: the engine's own."""
    token: NotRequired[SecretArgs]
    """Hub token, by reference."""
    api_key: NotRequired[SecretArgs]
    """API key that clients must send, by reference."""
    budget: NotRequired[BudgetArgs]
    """What the service may cost."""
    objective: NotRequired[Objective]
    """What the chosen machines are best at; by token and latency (time per output token first) need traffic."""
    image: NotRequired[str]
    """Container image instead of the engine's own."""
    image_digest: NotRequired[str]
    """Digest of the image."""
    profile: NotRequired[Profile]
    """dev or prod; default: the stack's."""
    extra_args: NotRequired[Sequence[str]]
    """Arguments appended to the engine's own, last."""
    traffic: NotRequired[TrafficArgs]
    """Load that the service must carry."""
    autoscaling: NotRequired[AutoscalingArgs]
    """Replicas that follow the load."""
    capacity: NotRequired[Sequence[Capacity]]
    """Ways to get machines, in order; default: the pool's."""
    spread: NotRequired[Spread]
    """How replicas are spread: prefer (zones, then nodes, where there is room), nodes or zones (or they wait), none."""
    renamed_from: NotRequired[str]
    """The first name of a service that was renamed: what runs keeps it, URLs too, so that nothing is replaced."""
    wave: NotRequired[int]
    """Services of wave 2 are changed when those of wave 1 are ready, and not at all when one of them fails."""
    adapters: NotRequired[Sequence[AdapterArgs]]
    """LoRA adapters."""
    runtime_adapter_loading: NotRequired[bool]
    """Whether clients may load and unload adapters while the server runs: whoever may send requests may."""
    speculative: NotRequired[SpeculativeArgs]
    """Speculative decoding."""
    tool_call_parser: NotRequired[str]
    """How tool calls are read from the model's text, by the engine's own name."""
    reasoning_parser: NotRequired[str]
    """How reasoning is told from the answer, by the engine's own name."""
    kv_offload_gib: NotRequired[int]
    """Memory of the node for KV cache that leaves the GPUs, GiB per replica."""
    slo: NotRequired[SloArgs]
    """Latency promised to users."""
    expose: NotRequired[ExposeArgs]
    """A door from outside the cluster."""


class MonitoringArgs(TypedDict):
    """What the cluster already has to watch services with; none of it is installed here."""

    prometheus: NotRequired[str]
    """URL of a Prometheus that scrapes the services, as KEDA reaches it."""
    operator: NotRequired[bool]
    """Whether the Prometheus operator is there: PodMonitors, alert rules and dashboards are then created."""
    namespace: NotRequired[str]
    """Namespace of Prometheus; its pods may reach the metrics port."""
    labels: NotRequired[dict[str, str]]
    """Labels by which the operator picks PodMonitors and rules, such as release: NAME."""
