"""Doors: what lets callers from outside a cluster reach a service, as Kubernetes objects.

Who carries a door out is a row of catalog/doors.yaml: its annotations, its policies, and whether anything rendered
holds connections to the source ranges. Where nothing does, the spec must say who does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from modelberth.catalog import catalog
from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row
from modelberth.engines import Launch
from modelberth.names import Affinity, Controller, DoorKind
from modelberth.parts import Expose
from modelberth.spec import ServiceSpec
from modelberth.units import duration

GATEWAY_API = "gateway.networking.k8s.io"
INFERENCE_API = "inference.networking.k8s.io"
BODY_MIB = 16
"""A prompt of a million tokens is about 4 MiB of JSON; the rest is for images."""


class Template(BaseModel):
    """An object of a controller's own; texts in it are filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    api_version: str
    kind: str
    only_with: Literal["", "session"] = ""
    spec: dict[str, Any]
    with_session: dict[str, Any] = Field(default_factory=dict[str, Any])


class ControllerFacts(Row):
    """What one controller must be told."""

    id: Controller
    kind: Literal["gateway", "ingress", "any"]
    name: str
    installed_by: str
    ranges: Literal["rendered", "named", "stated"]
    sessions: Literal["header", "address", "none"]
    inference_pool: bool = False
    route_timeouts: bool = False
    body_limit: bool = False
    proxy_ranges: tuple[str, ...] = ()
    retired: str = ""
    successor: str = ""
    annotations: dict[str, str] = Field(default_factory=dict[str, str])
    session_annotations: dict[str, str] = Field(default_factory=dict[str, str])
    refused_annotations: dict[str, str] = Field(default_factory=dict[str, str])
    """Annotations of the user's that would undo what is rendered: what each does."""
    objects: tuple[Template, ...] = ()


@cache
def controllers() -> Mapping[Controller, ControllerFacts]:
    """Every controller that is known."""
    file = files("modelberth.catalog") / "doors.yaml"
    return index(read_rows(file, ControllerFacts), lambda row: row.id)


@dataclass(frozen=True)
class Manifest:
    """One Kubernetes object of a door, in the services' namespace."""

    api_version: str
    kind: str
    name: str
    spec: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Door:
    """A door as it is created. ``proxy_namespace`` and ``proxy_ranges`` are let through the NetworkPolicy for it."""

    url: str
    objects: tuple[Manifest, ...]
    proxy_namespace: str | None
    proxy_ranges: tuple[str, ...]
    summary: str
    why: str


def door(service: str, spec: ServiceSpec, engine: str, launch: Launch) -> Door | None:
    """The door of a service that ``exposure.findings`` has no error about; None for a service that has none."""
    asked = spec.expose
    if asked is None:
        return None
    facts = controllers()[asked.controller]
    words = _words(service, asked, launch)
    made = _ingress(service, asked, facts, engine, launch, words)
    if asked.kind is DoorKind.GATEWAY:
        made = _gateway(service, asked, facts, engine, launch)
    policies = (each for template in facts.objects if (each := _policy(service, template, asked, words)))
    return Door(
        url=f"https://{asked.host}{catalog().engine(engine).public_paths[0]}",
        objects=(*made, *policies),
        proxy_namespace=asked.proxy_namespace,
        proxy_ranges=(*facts.proxy_ranges, *asked.proxy_ranges),
        summary=f"https://{asked.host}, {asked.kind} by {facts.name}",
        why=_why(asked, facts, spec, engine, launch),
    )


def _why(asked: Expose, facts: ControllerFacts, spec: ServiceSpec, engine: str, launch: Launch) -> str:
    held = f", held by {asked.ranges_enforced_by}" if facts.ranges != "rendered" else ""
    paths = " and ".join(catalog().engine(engine).public_paths)
    parts = [f"{paths} for {', '.join(asked.source_ranges)}{held}", f"one request up to {duration(asked.timeout_s)}"]
    if asked.timeout_s > launch.grace_s:
        parts[-1] += f" (at most {duration(launch.grace_s)} when its pod is replaced meanwhile)"
    if asked.authenticated_by:
        parts.append(f"callers are checked by {asked.authenticated_by}")
    if asked.affinity is Affinity.SESSION:
        by = f"header {asked.session_header}" if facts.sessions == "header" else "the caller's address"
        parts.append(f"a session, told by {by}, stays on one of {spec.most_replicas}")
    if asked.affinity is Affinity.PREFIX:
        parts.append(f"InferencePool {asked.inference_pool} picks the replica that holds most of a prompt")
    return "; ".join(parts)


def _words(service: str, asked: Expose, launch: Launch) -> Mapping[str, Any]:
    pool = asked.inference_pool if asked.affinity is Affinity.PREFIX else None
    return {
        "name": service,
        "backend": pool or service,
        "backend_group": INFERENCE_API if pool else "",
        "backend_kind": "InferencePool" if pool else "Service",
        "body_mib": asked.body_mib or BODY_MIB,
        "health_path": launch.probes.readiness.path or "/",
        "ranges_enforced_by": asked.ranges_enforced_by,
        "session_header": asked.session_header,
        "session_variable": asked.session_header.replace("-", "_"),
        "source_ranges": list(asked.source_ranges),
        "source_ranges_text": ",".join(asked.source_ranges),
        "timeout_s": asked.timeout_s,
        "timeout_text": str(asked.timeout_s),
    }


def _filled(template: Any, words: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        alone = template[1:-1] if template[:1] == "{" and template[-1:] == "}" else ""
        return words[alone] if alone in words else template.format_map(words)
    if isinstance(template, Mapping):
        items = cast("Mapping[str, Any]", template)
        return {key: _filled(value, words) for key, value in items.items()}
    if isinstance(template, list):
        return [_filled(value, words) for value in cast("list[Any]", template)]
    return template


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(first)
    for key, value in second.items():
        inside = both.get(key)
        if isinstance(inside, Mapping) and isinstance(value, Mapping):
            value = _merged(cast("Mapping[str, Any]", inside), cast("Mapping[str, Any]", value))
        both[key] = value
    return both


def _policy(service: str, template: Template, asked: Expose, words: Mapping[str, Any]) -> Manifest | None:
    session = asked.affinity is Affinity.SESSION
    if template.only_with == "session" and not session:
        return None
    whole = _merged(template.spec, template.with_session) if session else template.spec
    return Manifest(template.api_version, template.kind, service, _filled(whole, words))


def _gateway(service: str, asked: Expose, facts: ControllerFacts, engine: str, launch: Launch) -> tuple[Manifest, ...]:
    made: list[Manifest] = []
    if asked.gateway:
        parent = {"name": asked.gateway.name, "sectionName": asked.gateway.listener}
        if asked.gateway.namespace:
            parent["namespace"] = asked.gateway.namespace
    else:
        parent = {"name": service, "sectionName": "https"}
        listener = {
            "name": "https",
            "hostname": asked.host,
            "port": 443,
            "protocol": "HTTPS",
            "tls": {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": asked.tls_secret}]},
            "allowedRoutes": {"namespaces": {"from": "Same"}},
        }
        own = {"gatewayClassName": asked.class_name, "listeners": [listener]}
        made.append(Manifest(f"{GATEWAY_API}/v1", "Gateway", service, own, dict(asked.annotations)))
    backend: dict[str, Any] = {"name": service, "port": launch.port}
    if asked.affinity is Affinity.PREFIX:
        backend = {"group": INFERENCE_API, "kind": "InferencePool", "name": asked.inference_pool}
    paths = catalog().engine(engine).public_paths
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in paths],
        "backendRefs": [backend],
    }
    if facts.route_timeouts:
        rule["timeouts"] = {"request": _gateway_duration(asked), "backendRequest": _gateway_duration(asked)}
    route = {"parentRefs": [parent], "hostnames": [asked.host], "rules": [rule]}
    return (*made, Manifest(f"{GATEWAY_API}/v1", "HTTPRoute", service, route))


def _gateway_duration(asked: Expose) -> str:
    """Gateway API durations have at most five digits a unit (GEP-2257)."""
    hours, seconds = divmod(asked.timeout_s, 3600)
    return "".join([f"{hours}h" if hours else "", f"{seconds}s" if seconds else ""])


def _ingress(
    service: str,
    asked: Expose,
    facts: ControllerFacts,
    engine: str,
    launch: Launch,
    words: Mapping[str, Any],
) -> tuple[Manifest, ...]:
    told = facts.annotations | (facts.session_annotations if asked.affinity is Affinity.SESSION else {})
    annotations = {key: str(_filled(text, words)) for key, text in told.items()} | asked.annotations
    backend = {"service": {"name": service, "port": {"number": launch.port}}}
    paths = catalog().engine(engine).public_paths
    rule = {"paths": [{"path": path, "pathType": "Prefix", "backend": backend} for path in paths]}
    spec: dict[str, Any] = {
        "tls": [{"hosts": [asked.host], "secretName": asked.tls_secret}],
        "rules": [{"host": asked.host, "http": rule}],
    }
    if asked.class_name:
        spec["ingressClassName"] = asked.class_name
    return (Manifest("networking.k8s.io/v1", "Ingress", service, spec, annotations),)
