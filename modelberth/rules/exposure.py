"""Who gets to a model server from outside the cluster, and through what: load balancers, Ingresses, Gateways."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from modelberth.catalog import catalog
from modelberth.clouds import addresses
from modelberth.clouds.facts import network_of, open_to_all
from modelberth.doors import controllers
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, softened, undecided
from modelberth.rules.relations import cause, chosen, means, same_namespace

Told = Iterator[tuple[Resource, Finding]]
_ROUTES = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute")
_KEYS = ("VLLM_API_KEY", "LLAMA_API_KEY", "API_KEY", "SGLANG_API_KEY")


def _guarded(inventory: Inventory, settings: Settings) -> Told:
    doors: dict[Resource, list[Pod]] = {}
    for service in inventory.of_kind("Service"):
        meant = _servers(inventory, service)
        if not meant:
            continue
        doors[service] = meant
        yield from ((service, finding) for finding in _service(service))
    for ingress in inventory.of_kind("Ingress"):
        behind = [pod for name in _backends(ingress) for pod in _behind(name, ingress, doors)]
        if behind:
            yield from ((ingress, finding) for finding in softened(ingress, _ingress(ingress, behind)))
    yield from _gateways(inventory, doors)


def _servers(inventory: Inventory, service: Resource) -> list[Pod]:
    """The serving pods that a Service may lead to: surely, or as far as is known at preview."""
    selector = service.node.at("spec", "selector")
    if not selector.value:
        return []
    near = [pod for pod in inventory.pods if pod.serving and same_namespace(service, pod.resource) is not False]
    return [pod for pod in near if chosen(selector, pod) is not False]


def _service(service: Resource) -> Iterator[Finding]:
    spec = service.node["spec"]
    kind, outside = spec["type"], spec["externalIPs"]
    if kind.unknown:
        yield undecided("WH-13", GUARDED.question, kind)
    elif kind.text() == "LoadBalancer":
        yield from _balancer(service)
    elif kind.text() == "NodePort":
        message = "it opens a port of every node to whoever reaches the nodes"
        finding = Finding("WH-13", kind.path, message, "type: ClusterIP, behind a gateway that checks callers")
        yield from softened(service, [finding])
    if outside.value:
        message = "external addresses lead past every gateway to the server"
        yield from softened(service, [Finding("WH-13", outside.path, message, "a gateway that checks callers")])


def _balancer(service: Resource) -> Iterator[Finding]:
    spec, notes = service.node["spec"], service.node.at("metadata", "annotations")
    ranges, address = spec["loadBalancerSourceRanges"], spec["loadBalancerIP"]
    open_ended = cause(notes) or cause(spec["loadBalancerClass"]) or cause(ranges) or cause(address)
    turned = next((notes[key] for key in addresses.PUBLIC if notes[key].unknown), None)
    if turned:
        yield undecided("WH-13", GUARDED.question, turned)
        return
    if addresses.is_internal(_texts(notes), spec["loadBalancerClass"].text()) or addresses.is_private(address.text()):
        return
    if open_ended:
        yield undecided("WH-13", GUARDED.question, open_ended)
        return
    said = any(notes[key].text() for key in addresses.RANGES)
    path = spec["type"].path
    everyone = _are_everything(ranges) or any(open_to_all(each) for each in ranges.elements())
    if everyone or not (ranges.value or said):
        told = "from every address" if ranges.value else "and no source ranges are stated"
        message = f"a load balancer leads from outside the cluster to a model server, {told}"
        remedy = (
            "type: ClusterIP behind a gateway; or the provider's annotation for internal ones, or the callers' ranges"
        )
        yield Finding("WH-13", ranges.path if ranges.value else path, message, remedy)
        return
    message = "a load balancer leads to a model server directly: nothing encrypts or checks more than its own API key"
    yield from softened(service, [Finding("WH-13", path, message, "a gateway with a certificate that checks callers")])


def _are_everything(ranges: Node) -> bool:
    """Whether ranges hold every address of a family, alone or together."""
    known = [each for text in ranges.elements() if (each := network_of(text))]
    four = [each for each in known if isinstance(each, IPv4Network)]
    six = [each for each in known if isinstance(each, IPv6Network)]
    return any(each.prefixlen == 0 for each in (*collapse_addresses(four), *collapse_addresses(six)))


def _texts(notes: Node) -> dict[str, str]:
    return {name: note.text() for name, note in notes.items()}


def _backends(ingress: Resource) -> Iterator[Node]:
    spec = ingress.node["spec"]
    yield spec.at("defaultBackend", "service", "name")
    for rule in spec["rules"].elements():
        for path in rule.at("http", "paths").elements():
            yield path.at("backend", "service", "name")


def _behind(name: Node, door: Resource, services: dict[Resource, list[Pod]]) -> list[Pod]:
    """The serving pods behind the Service that a door names."""
    if not name.stated:
        return []
    named = [each for each in services if same_namespace(door, each) is not False and means(door, each, name)]
    return [pod for each in named for pod in services[each]]


def _ingress(ingress: Resource, behind: list[Pod]) -> Iterator[Finding]:
    spec, notes = ingress.node["spec"], ingress.node.at("metadata", "annotations")
    class_name = spec["ingressClassName"].text() or notes["kubernetes.io/ingress.class"].text()
    if addresses.is_internal(_texts(notes), class_name):
        return
    if ingress.ours:
        yield from _as_rendered(notes)
    tls, certificates = spec["tls"], any(notes[key].stated for key in addresses.CERTIFICATES)
    if tls.unknown:
        yield undecided("WH-13", GUARDED.question, tls)
    elif not tls.value and not certificates:
        message = "it leads to a model server without TLS: prompts, answers and API keys can be read on the way"
        yield Finding("WH-13", tls.path, message, "spec.tls with a host and the Secret of its certificate")
    if not any(notes[key].stated for key in addresses.CHECKS):
        yield from _key(ingress, behind, notes.path)


def _as_rendered(notes: Node) -> Iterator[Finding]:
    """What our components tell a controller: without it answers are cut off after a minute, or held back."""
    texts = {name: note for name, note in notes.items() if not note.unknown}
    if notes.unknown or len(texts) < len(notes.names()):
        return
    for facts in controllers().values():
        asked = facts.annotations
        if not any(name in texts for name in asked):
            continue
        for name, template in asked.items():
            said = notes[name].text()
            if not _fills(template, said):
                message = f"{facts.name} is not told what our components tell it: requests are cut off or refused"
                yield Finding("WH-13", notes[name].path, message, "let the components write it")


def _fills(template: str, said: str) -> bool:
    """Whether a text may be what a template became: figures where figures go, ranges where ranges go."""
    if "ranges" in template:
        return bool(said) and all(network_of(Node(part.strip(), "")) is not None for part in said.split(","))
    pattern = "[1-9][0-9]*".join(re.escape(part) for part in re.split(r"\{\w+\}", template))
    return re.fullmatch(pattern, said) is not None


def _key(door: Resource, behind: list[Pod], path: str) -> Iterator[Finding]:
    """An engine that can check callers does."""
    for pod in behind:
        workload = pod.serving[0]
        engine = workload.engine
        if engine is None or not catalog().engine(engine).has_api_key:
            continue
        container = pod.container_at(workload)
        words = [*container["command"].elements(), *container["args"].elements()]
        names = {each["name"].text() for each in container["env"].elements()}
        keyed = any(each.unknown or "--api-key" in each.text() or "--api_key" in each.text() for each in words)
        if keyed or names.intersection(_KEYS) or container["envFrom"].value or cause(container["args"]):
            continue
        message = f"whoever gets through uses the GPUs: the {catalog().engine(engine).name} behind it has no API key"
        yield Finding("WH-13", path, message, "an API key from a Secret, or a check of callers in front of it")
        return


def _gateways(inventory: Inventory, services: dict[Resource, list[Pod]]) -> Told:
    for route in inventory.of_kind(*_ROUTES):
        rules = route.node.at("spec", "rules")
        backends = [each["name"] for rule in rules.elements() for each in rule["backendRefs"].elements()]
        behind = [pod for name in backends for pod in _behind(name, route, services)]
        if not behind:
            continue
        yield from ((route, f) for f in softened(route, _key(route, behind, route.node.at("spec", "parentRefs").path)))
        for parent in route.node.at("spec", "parentRefs").elements():
            for gateway in inventory.of_kind("Gateway"):
                if same_namespace(route, gateway) is not False and means(route, gateway, parent["name"]):
                    yield from ((gateway, finding) for finding in softened(gateway, _listeners(gateway, parent)))


def _listeners(gateway: Resource, parent: Node) -> Iterator[Finding]:
    """A listener without TLS is right only to send callers on, which a route to a server does not."""
    section = parent["sectionName"].text()
    for listener in gateway.node.at("spec", "listeners").each():
        name = listener["name"]
        if section and not name.unknown and name.text() != section:
            continue
        protocol = listener["protocol"]
        if protocol.unknown:
            yield undecided("WH-13", GUARDED.question, protocol)
        elif protocol.text() in ("HTTP", "TCP"):
            message = "requests to a model server arrive here without TLS: prompts and API keys can be read on the way"
            yield Finding(
                "WH-13", protocol.path, message, "protocol: HTTPS, with the certificate in tls.certificateRefs"
            )


GUARDED = Rule(
    id="WH-13",
    name="guarded-doors",
    title="From outside, servers are reached encrypted, with a key, by known addresses",
    question="whether the server is reached from outside the cluster",
    why="Open model servers are found within hours and used at the owner's cost; their other paths change the server.",
    remediation="ClusterIP behind a gateway with TLS and a check of callers; load balancers for the inside only.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="k8sblockloadbalancer (Gatekeeper), restrict-loadbalancer (Kyverno); SentinelLABS and Censys, January 2026: "
    "175,108 open Ollama hosts",
    across=_guarded,
)
RULES = (GUARDED,)
