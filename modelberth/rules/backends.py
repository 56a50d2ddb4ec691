"""Ingresses and routes that lead to a Service of the stack: it is there, and has the port that they name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Resource
from modelberth.rules.base import advice, undecided
from modelberth.rules.relations import chosen, depends_on, is_called, leading_pod, same_namespace, serving

ROUTES = ("GRPCRoute", "HTTPRoute", "TCPRoute", "TLSRoute")
_QUESTION = "whether requests reach the Service that is meant"


class _Backend(NamedTuple):
    """What a door leads to: the Service by name, and its port by number or by name."""

    name: Node
    number: Node
    port: Node


def lead_somewhere(inventory: Inventory) -> Iterator[tuple[Resource, Finding]]:
    """What Ingresses and routes name, where a Service of their namespace leads to a server of the stack."""
    doors = {service: _serves(inventory, service) for service in inventory.of_kind("Service")}
    for door in inventory.of_kind("Ingress", *ROUTES):
        near = [service for service in doors if same_namespace(door, service) is not False]
        if any(doors[service] for service in near):
            for hidden in _hidden(door):
                yield door, undecided("WH-14", _QUESTION, hidden)
            for backend in _backends(door):
                yield from ((door, finding) for finding in _of(door, backend, near, doors))


def _hidden(door: Resource) -> Iterator[Node]:
    """The values that hide where a door leads to."""
    rules = door.node.at("spec", "rules")
    steps = [rules, *rules.elements()]
    for rule in rules.elements():
        paths, backends = rule.at("http", "paths"), rule["backendRefs"]
        steps += [paths, *paths.elements(), backends, *backends.elements()]
        steps += [node for path in paths.elements() for node in (path["backend"], path.at("backend", "service"))]
    yield from {each.path: each for each in steps if each.unknown}.values()


def _serves(inventory: Inventory, service: Resource) -> bool:
    selector = service.node.at("spec", "selector")
    servers = [each for each in serving(inventory) if same_namespace(service, each) is not False]
    return bool(selector.value) and any(chosen(selector, leading_pod(each)) is True for each in servers)


def _backends(door: Resource) -> Iterator[_Backend]:
    spec = door.node["spec"]
    if door.kind == "Ingress":
        paths = [path["backend"] for rule in spec["rules"].elements() for path in rule.at("http", "paths").elements()]
        for backend in (spec["defaultBackend"], *paths):
            service = backend["service"]
            if service["name"].stated:
                yield _Backend(service["name"], service.at("port", "number"), service.at("port", "name"))
        return
    for rule in spec["rules"].elements():
        for backend in rule["backendRefs"].elements():
            plain = backend["kind"].text() in ("", "Service") and not backend["group"].text()
            if plain and backend["name"].stated and not backend["namespace"].stated:
                yield _Backend(backend["name"], backend["port"], Node(None, backend["port"].path))


def _of(door: Resource, backend: _Backend, near: list[Resource], doors: dict[Resource, bool]) -> Iterator[Finding]:
    if backend.name.unknown:
        known = depends_on(door)
        meant = [each for each in near if not known or each.urn in known]
        wrong = [list(_port(backend, each)) for each in meant if doors[each]]
        if wrong and all(wrong) and len(wrong) == len(meant):
            yield undecided("WH-14", _QUESTION, backend.name)
        return
    answers = {service: is_called(service, backend.name) for service in near}
    named = [service for service, answer in answers.items() if answer]
    later = [service for service, answer in answers.items() if answer is None and doors[service]]
    if not named and len(later) == len(near) and all(list(_port(backend, each)) for each in later):
        yield undecided("WH-14", _QUESTION, later[0].object_name)
    elif not named and None not in answers.values():
        message = "the stack has no Service of this name in this namespace, where a Service leads to a model server"
        yield advice(Finding("WH-14", backend.name.path, message, "the name of the Service that is meant"))
    elif len(named) == 1 and doors[named[0]]:
        yield from _port(backend, named[0])


def _port(backend: _Backend, service: Resource) -> Iterator[Finding]:
    ports = service.node.at("spec", "ports")
    parts = [ports, *(each[name] for each in ports.elements() for name in ("port", "name"))]
    stated = backend.port if backend.port.stated else backend.number
    if not stated.stated or any(each.unknown for each in parts):
        return
    if stated.unknown:
        yield undecided("WH-14", _QUESTION, stated)
        return
    names = {each["name"].text() for each in ports.elements()} - {""}
    numbers = {each["port"].whole() for each in ports.elements()}
    if backend.port.stated and stated.text() not in names:
        remedy = f"one of {', '.join(sorted(names))}" if names else "port.number with a port of the Service"
        yield Finding("WH-14", stated.path, "the Service has no port of this name: no request arrives", remedy)
    elif not backend.port.stated and stated.whole() not in numbers:
        there = " or ".join(str(number) for number in sorted(number for number in numbers if number))
        message = f"the Service has no port {stated.whole()}: no request arrives"
        yield Finding("WH-14", stated.path, message, f"{there}, a port of the Service (not its targetPort)")
