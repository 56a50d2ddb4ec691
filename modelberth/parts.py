"""Parts of a service's spec: which model, what it carries, what it promises, who may reach it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from modelberth.fields import Commit, Name, Number, ObjectName, SecretKey, Text, Whole
from modelberth.names import SpeculativeMethod


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


class Autoscaling(Part):
    """Replicas that follow the load."""

    min: Whole
    """Fewest replicas."""
    max: Whole
    """Most replicas."""
    signal: Text = "queue"
    """What the load is measured by; never CPU."""


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


class Expose(Part):
    """A door to the service from outside its cluster."""

    kind: Text
    """gateway or ingress."""
    host: Text
    """DNS name."""
    tls_secret: ObjectName
    """Secret that holds the certificate."""
    source_ranges: tuple[Text, ...]
    """CIDR ranges that may connect."""
