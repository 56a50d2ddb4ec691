"""Parts of a service's spec: which model, what it carries, what it promises, who may reach it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from modelberth.fields import (
    Cidr,
    Commit,
    Header,
    Host,
    LabelKey,
    Name,
    Number,
    ObjectName,
    SecretKey,
    Text,
    Whole,
)
from modelberth.names import Affinity, Controller, DoorKind


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


class Autoscaling(Part):
    """Replicas that follow the load."""

    min: Whole
    """Fewest replicas."""
    max: Whole
    """Most replicas."""
    signal: Text = "queue"
    """What the load is measured by; never CPU."""


class Adapter(Part):
    """A LoRA adapter."""

    name: Name
    """Name that requests use."""
    source: Text
    """Repository of the adapter."""
    revision: Commit
    """Commit of that repository."""
    rank: Whole
    """LoRA rank."""


class Speculative(Part):
    """Speculative decoding."""

    method: Text
    """draft_model, ngram, eagle3 or mtp."""
    model: ModelRef | None = None
    """Draft model, where the method has one."""
    tokens: Whole
    """Tokens proposed per step."""


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
    timeout_s: Whole = 600
    """Seconds that one request may take, stream included."""
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
