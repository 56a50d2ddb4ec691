"""What stands in the way of a door, and what several replicas behind one lose of their prefix caches."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, collapse_addresses, ip_network
from typing import cast

from modelberth.catalog import catalog
from modelberth.doors import ControllerFacts, controllers
from modelberth.fields import object_name
from modelberth.findings import Finding, Level
from modelberth.names import Affinity, DoorKind
from modelberth.parts import Expose
from modelberth.spec import ServiceSpec


def findings(spec: ServiceSpec, engine: str, path: str) -> Iterator[Finding]:
    """Everything that stands in the way of a door, and what is said about it."""
    asked, where = spec.expose, f"{path}.expose"
    if asked is None:
        return
    facts = controllers()[asked.controller]
    yield from _authentication(spec, asked, engine, path)
    yield from _certificate(asked, where)
    yield from _ranges(asked, facts, where)
    yield from _way_in(asked, facts, where)
    yield from _affinity(spec, asked, facts, where)
    if facts.kind not in ("any", asked.kind.value):
        fitting = ", ".join(each.id for each in controllers().values() if each.kind in ("any", asked.kind.value))
        message = f"{facts.name} carries out kind {facts.kind}, not {asked.kind}"
        yield Finding("door", f"{where}.controller", message, f"one of: {fitting}")
    if asked.body_mib and not facts.body_limit:
        message = f"nothing tells {facts.name} how large a body may be"
        yield Finding("door", f"{where}.body_mib", message, "leave it out")
    if facts.retired:
        yield Finding("door", f"{where}.controller", facts.retired, facts.successor, Level.WARNING)


def _authentication(spec: ServiceSpec, asked: Expose, engine: str, path: str) -> Iterator[Finding]:
    facts = catalog().engine(engine)
    if facts.has_api_key and spec.api_key is None:
        message = "is required beside expose: without it whoever gets through the door uses the GPUs"
        yield Finding(
            "door", f"{path}.api_key", message, "api_key: {secret: NAME, key: KEY}, a Secret with the API key"
        )
    if not facts.has_api_key and not asked.authenticated_by:
        message = f"{facts.name} has no API key: whoever gets through the door uses it"
        out = "say who checks callers before it (authenticated_by: TEXT), or choose an engine with API keys"
        yield Finding("door", f"{path}.expose.authenticated_by", message, out)


def _certificate(asked: Expose, where: str) -> Iterator[Finding]:
    if asked.gateway and asked.tls_secret:
        message = f"the certificate of {asked.host} belongs to listener {asked.gateway.listener} of that Gateway"
        yield Finding("door", f"{where}.tls_secret", message, "leave it out, or leave out gateway")
    if not asked.gateway and not asked.tls_secret:
        message = "is required: an API key is not sent over a connection that others can read"
        yield Finding("door", f"{where}.tls_secret", message, "the name of a Secret of type kubernetes.io/tls")


def _ranges(asked: Expose, facts: ControllerFacts, where: str) -> Iterator[Finding]:
    whole = list(_everybody(asked.source_ranges))
    if whole:
        message = f"together they are every address there is ({' and '.join(whole)})"
        yield Finding("door", f"{where}.source_ranges", message, "the ranges of those who may connect")
    if facts.ranges == "rendered" and asked.ranges_enforced_by:
        message = f"{facts.name} is told the ranges by what is rendered"
        yield Finding("door", f"{where}.ranges_enforced_by", message, "leave it out")
    if facts.ranges == "stated" and not asked.ranges_enforced_by:
        message = "nothing that could be rendered holds connections to source_ranges with this controller"
        out = "say who does (ranges_enforced_by: firewall of the VPN), or name a controller that can be told"
        yield Finding("door", f"{where}.ranges_enforced_by", message, out)
    if facts.ranges == "named" and not _is_name(asked.ranges_enforced_by):
        message = f"{facts.name} holds connections to source_ranges by a policy of its own, which is attached by name"
        out = "ranges_enforced_by: NAME, a Cloud Armor security policy that denies all other addresses"
        yield Finding("door", f"{where}.ranges_enforced_by", message, out)


def _everybody(ranges: tuple[str, ...]) -> Iterator[str]:
    """The whole of an address family that the ranges add up to."""
    networks = [ip_network(text) for text in ranges]
    for version in (4, 6):
        same = cast("list[IPv4Network]", [network for network in networks if network.version == version])
        yield from (str(network) for network in collapse_addresses(same) if network.prefixlen == 0)


def _is_name(text: str | None) -> bool:
    try:
        return bool(text and object_name(text))
    except ValueError:
        return False


def _way_in(asked: Expose, facts: ControllerFacts, where: str) -> Iterator[Finding]:
    if asked.kind is DoorKind.INGRESS and asked.gateway:
        yield Finding("door", f"{where}.gateway", "belongs to kind gateway only", "class_name, for an Ingress")
    if asked.kind is DoorKind.GATEWAY and asked.gateway and asked.class_name:
        message = "the Gateway that is named has a class already"
        yield Finding("door", f"{where}.class_name", message, "leave it out, or leave out gateway")
    if asked.kind is DoorKind.GATEWAY and not asked.gateway and not asked.class_name:
        message = "is required for a Gateway of the service's own"
        out = "a GatewayClass (kubectl get gatewayclass), or gateway: {name, namespace, listener} of one that exists"
        yield Finding("door", f"{where}.class_name", message, out)
    if asked.gateway and asked.annotations:
        message = "the Gateway that is named is not ours to annotate"
        yield Finding("door", f"{where}.annotations", message, "leave them out")
    overridden = sorted(asked.annotations.keys() & {*facts.annotations, *facts.session_annotations})
    if overridden:
        message = f"{', '.join(overridden)}: set from the spec itself"
        yield Finding("door", f"{where}.annotations", message, "remove it and set the field of the spec")
    for key in sorted(asked.annotations.keys() & facts.refused_annotations.keys()):
        message = f"{key} {facts.refused_annotations[key]}"
        yield Finding(
            "door", f"{where}.annotations", message, "leave it out; the fields of expose say what the door is"
        )
    if not (asked.proxy_namespace or asked.proxy_ranges or facts.proxy_ranges):
        message = "is required: pods let in only this namespace, namespaces labelled as clients, and the door's proxies"
        out = (
            f"the namespace that the proxies of {facts.name} run in, or proxy_ranges where they run outside the cluster"
        )
        yield Finding("door", f"{where}.proxy_namespace", message, out)


def _affinity(spec: ServiceSpec, asked: Expose, facts: ControllerFacts, where: str) -> Iterator[Finding]:
    if asked.affinity is Affinity.SESSION and facts.sessions == "none":
        able = ", ".join(each.id for each in controllers().values() if each.sessions != "none")
        message = "no field of Ingress, and none of the Gateway API's standard channel, keeps a session on one replica"
        yield Finding("door", f"{where}.affinity", message, f"affinity: none, or one of the controllers {able}")
    if asked.affinity is Affinity.PREFIX and not (facts.inference_pool and asked.kind is DoorKind.GATEWAY):
        message = "needs an endpoint picker, which only a gateway asks (Gateway API inference extension)"
        yield Finding("door", f"{where}.affinity", message, "affinity: session, or kind: gateway with inference_pool")
    elif asked.affinity is Affinity.PREFIX and not asked.inference_pool:
        message = (
            "is required for affinity prefix: the pool and its endpoint picker are installed by you, not by this stack"
        )
        out = "an InferencePool of the services' namespace that selects the service's pods; or affinity: session"
        yield Finding("door", f"{where}.inference_pool", message, out)
    if asked.affinity is not Affinity.PREFIX and asked.inference_pool:
        yield Finding("door", f"{where}.inference_pool", "belongs to affinity prefix only", "affinity: prefix")
    if asked.affinity is not Affinity.NONE and spec.most_replicas == 1:
        message = "with one replica every request goes to the same one"
        yield Finding("door", f"{where}.affinity", message, "replicas: 2 or more, or affinity: none", Level.NOTE)


def prefix_cache(spec: ServiceSpec, path: str) -> Iterator[Finding]:
    """What several replicas lose of a prefix cache that each has for itself."""
    affinity, most = spec.expose.affinity if spec.expose else Affinity.NONE, spec.most_replicas
    if most < 2 or affinity is Affinity.PREFIX:
        return
    where = f"{path}.autoscaling.max" if spec.autoscaling else f"{path}.replicas"
    if affinity is Affinity.SESSION:
        message = f"a session finds its prefix where it was; one that all sessions share is computed {most} times"
        yield Finding("prefix-cache", where, message, "", Level.NOTE)
        return
    message = (
        f"{most} replicas hold {most} prefix caches: a conversation's next request finds its prefix "
        f"in about 1 of {most} ({100 / most:.0f} %)"
    )
    out = "expose with affinity: session keeps a conversation on one replica"
    yield Finding("prefix-cache", where, message, out, Level.NOTE)
