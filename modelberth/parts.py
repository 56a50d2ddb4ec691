"""Parts of a service's spec: which model, what it carries, what it promises, who may reach it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from modelberth.fields import (
    Cidr,
    Commit,
    Count,
    Flag,
    Header,
    Host,
    HttpUrl,
    LabelKey,
    LabelValue,
    Name,
    Number,
    ObjectName,
    SecretKey,
    Text,
    Whole,
)
from modelberth.names import Affinity, Controller, DoorKind, Scaler, Signal, SpeculativeMethod


class Part(BaseModel):
    """Base of all parts: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SecretRef(Part):
    """A secret by reference, never by value."""

    secret: ObjectName
    """Name of a Kubernetes Secret in the service's namespace."""
    key: SecretKey = "token"
    """Key inside that Secret."""


def secret_by_reference(value: Any) -> Any:
    """Text in the place of a reference is most likely the secret itself; it is refused and never shown."""
    if isinstance(value, str):
        raise ValueError("must be a reference {secret: NAME, key: KEY} to a Kubernetes Secret, never the secret itself")
    return value


Secret = Annotated[SecretRef, BeforeValidator(secret_by_reference)]


class ModelRef(Part):
    """Which model, exactly."""

    id: Text
    """Repository id such as Qwen/Qwen2.5-7B-Instruct; a catalog id or alias."""
    revision: Commit | None = None
    """Commit of the repository (40 hexadecimal digits); required by profile prod."""
    architecture: dict[str, Any] | None = None
    """The model's config.json, for a model that the catalog does not know."""


def model_by_id(value: Any) -> Any:
    """A bare id is short for ``{id: ...}``."""
    return {"id": value} if isinstance(value, str) else value


MOST_DRAFTED = 32
"""Tokens of one draft: most drafts of more than a dozen are rejected, and each takes a row of the batch."""


class Traffic(Part):
    """Load that the service must carry."""

    input_tokens: Whole
    """Prompt tokens of one request."""
    output_tokens: Whole
    """Generated tokens of one request."""
    requests_per_second: Number | None = None
    """Requests per second, sustained."""
    tokens_per_month: Number | None = None
    """Input and output tokens per month."""


MISLEADING = ("cpu", "memory", "gpu")
"""Beginnings of signals that say nothing about the load of an inference server."""


def telling(value: Any) -> Any:
    """CPU, memory and GPU utilization are no signals: docs/scaling.md says why."""
    if isinstance(value, str) and value.lower().startswith(MISLEADING):
        raise ValueError(
            "utilization of CPU, memory or GPU does not follow the load of an inference server: queue, running or "
            "kv_cache do; signal custom with a query of your own takes what you insist on"
        )
    return value


class Wake(Part):
    """What ends the sleep of a service without replicas: none of its own metrics exists then."""

    query: Text
    """PromQL that is above zero while requests wait for a service without pods, such as a gateway's."""


class Autoscaling(Part):
    """Replicas that follow the load."""

    min: Count
    """Fewest replicas; 0 only with wake."""
    max: Whole
    """Most replicas; all of them are counted against the pool and the budget."""
    signal: Annotated[Signal, BeforeValidator(telling)] = Signal.QUEUE
    """What the load is measured by: queue, running, kv_cache or custom; never CPU, memory or GPU utilization."""
    threshold: Number | None = None
    """Value of the signal per replica above which one more is started; default: by signal, required for custom."""
    query: Text | None = None
    """PromQL of signal custom with scaler keda: one number, the total of all replicas."""
    metric: Text | None = None
    """Metric of signal custom with scaler hpa, as the custom metrics API names it per pod."""
    wake: Wake | None = None
    """What wakes the service from zero replicas; needs min 0 and scaler keda."""
    cooldown_s: Whole | None = None
    """Seconds of low load before replicas are stopped, not below the start-up budget; default: just above it."""
    scaler: Scaler = Scaler.KEDA
    """keda, or hpa with an adapter that serves custom metrics."""

    @model_validator(mode="after")
    def _bounds(self) -> Autoscaling:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        if self.min == 0 and self.wake is None:
            raise ValueError(
                "min 0 never wakes up: without pods none of its metrics exists. State wake: {query: ...}, something "
                "that counts waiting requests at the door, or min 1"
            )
        if self.wake and self.min:
            raise ValueError("wake belongs to min 0: a service that always runs needs none")
        if self.wake and self.scaler is Scaler.HPA:
            raise ValueError("scaler hpa keeps at least one replica; min 0 with wake needs scaler keda")
        return self

    @model_validator(mode="after")
    def _custom(self) -> Autoscaling:
        needed = "query" if self.scaler is Scaler.KEDA else "metric"
        for name in ("query", "metric"):
            if getattr(self, name) and (self.signal is not Signal.CUSTOM or name != needed):
                owner = Scaler.KEDA if name == "query" else Scaler.HPA
                raise ValueError(f"{name} belongs to signal custom with scaler {owner}")
        if self.signal is Signal.CUSTOM and not getattr(self, needed):
            raise ValueError(f"signal custom with scaler {self.scaler} needs {needed}")
        if self.signal is Signal.CUSTOM and self.threshold is None:
            raise ValueError("signal custom needs threshold, its value per replica")
        if self.signal is Signal.KV_CACHE and self.threshold is not None and self.threshold >= 1:
            raise ValueError("threshold of kv_cache is a share below 1: 0.8 means 80 percent")
        return self


class Monitoring(Part):
    """What the cluster already has to watch services with; none of it is installed here."""

    prometheus: HttpUrl | None = None
    """URL of a Prometheus that scrapes the services, as KEDA reaches it."""
    operator: Flag = False
    """Whether the Prometheus operator is there: PodMonitors, alert rules and dashboards are then created."""
    namespace: Name = "monitoring"
    """Namespace of Prometheus; its pods may reach the metrics port."""
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels by which the operator picks PodMonitors and rules, such as release: NAME."""


class Adapter(Part):
    """A LoRA adapter, fetched beside the weights and chosen by a request's model name."""

    name: Name
    """Name that requests use."""
    source: Text
    """Repository of the adapter, with the file's name behind it where that is a GGUF file."""
    revision: Commit
    """Commit of that repository."""
    rank: Whole
    """LoRA rank."""


class Speculative(Part):
    """Speculative decoding."""

    method: SpeculativeMethod
    """draft_model, ngram, eagle, eagle3 or mtp."""
    model: Annotated[ModelRef, BeforeValidator(model_by_id, json_schema_input_type=str | ModelRef)] | None = None
    """Draft model or head, where the method has one."""
    tokens: Annotated[Whole, Field(le=MOST_DRAFTED)]
    """Tokens proposed per step."""

    @model_validator(mode="after")
    def _model_where_it_belongs(self) -> Speculative:
        if self.method.has_weights and self.model is None:
            raise ValueError(f"method {self.method} needs model, the repository of what drafts")
        if not self.method.has_weights and self.model is not None:
            raise ValueError(f"method {self.method} has no model of its own")
        return self


class Slo(Part):
    """Latency promised to users."""

    ttft_ms: Number | None = None
    """Time to first token, milliseconds."""
    tpot_ms: Number | None = None
    """Time per output token, milliseconds."""


class Budget(Part):
    """What it may cost."""

    usd_per_hour: Number
    """US dollars per hour for all replicas, on-demand list price."""


def not_empty(ranges: tuple[str, ...]) -> tuple[str, ...]:
    """At least one."""
    if not ranges:
        raise ValueError("must not be empty")
    return ranges


class GatewayRef(Part):
    """A Gateway that exists."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: ObjectName | None = None
    """Its namespace; default: the services'."""
    listener: ObjectName
    """Its HTTPS listener, which has the certificate and lets routes of the services' namespace in."""


LONGEST_REQUEST_S = 86400
"""A day; what is more is most likely milliseconds."""


class Expose(Part):
    """A door to the service from outside its cluster."""

    kind: DoorKind
    """gateway (Gateway API) or ingress."""
    controller: Controller
    """Who carries it out: envoy-gateway, gke-gateway, ingress-nginx or other."""
    host: Host
    """DNS name."""
    source_ranges: Annotated[tuple[Cidr, ...], AfterValidator(not_empty)]
    """CIDR ranges that may connect."""
    tls_secret: ObjectName | None = None
    """Secret of the services' namespace with the certificate; required unless an existing gateway has it."""
    class_name: ObjectName | None = None
    """IngressClass, or GatewayClass of a Gateway of the service's own."""
    gateway: GatewayRef | None = None
    """A Gateway that exists, instead of one of the service's own."""
    proxy_namespace: ObjectName | None = None
    """Namespace that the controller's proxies run in: the only one let in for it."""
    proxy_ranges: tuple[Cidr, ...] = ()
    """Ranges that proxies outside the cluster call from."""
    timeout_s: Annotated[Whole, Field(le=LONGEST_REQUEST_S)] = 600
    """Seconds that one request may take, stream included; at most a day."""
    body_mib: Whole | None = None
    """Largest request body, MiB, where the controller has a limit; default: 16."""
    affinity: Affinity = Affinity.NONE
    """Which replica a request goes to: none (any), session, prefix."""
    session_header: Header = "x-session-id"
    """Header by which clients name their session."""
    inference_pool: ObjectName | None = None
    """For affinity prefix: an InferencePool that exists, with its endpoint picker."""
    ranges_enforced_by: Text | None = None
    """Who holds connections to source_ranges where nothing rendered does; gke-gateway: its Cloud Armor policy."""
    authenticated_by: Text | None = None
    """Who checks callers, for an engine without API keys."""
    annotations: dict[LabelKey, Text] = Field(default_factory=dict)
    """Further annotations of the Ingress or Gateway."""
