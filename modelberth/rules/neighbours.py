"""Names that objects of one stack have for each other, spelled right and in one namespace."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from modelberth.clouds.links import BY_NAME
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Resource
from modelberth.rules.base import advice, softened
from modelberth.rules.relations import is_called, same_namespace, serving

Told = Iterator[tuple[Resource, Finding]]
_ALIKE = 0.8
"""How alike two names are that may be one, misspelt (difflib)."""
_WITH_PODS = (
    "BackendTrafficPolicy",
    "ConfigMap",
    "GCPBackendPolicy",
    "HTTPRoute",
    "HealthCheckPolicy",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PodMonitor",
    "PrometheusRule",
    "ScaledObject",
    "SecurityPolicy",
    "Service",
    "ServiceAccount",
)
"""Kinds that our components write into the namespace of the pods that they are for."""
_NAMED = ("ConfigMap", "Gateway", "PersistentVolumeClaim", "Secret", "Service", "ServiceAccount")


class _Reference(NamedTuple):
    """Where an object names another of its namespace."""

    by: Resource
    kind: str
    name: Node


def misspelt(rule_id: str, inventory: Inventory) -> Told:
    """Names that nothing has while something that nothing names is called almost so, or is in another namespace."""
    references = list(_references(inventory))
    for kind in _NAMED:
        declared = list(inventory.of_kind(kind))
        asked = [each for each in references if each.kind == kind]
        free = [each for each in declared if not any(is_called(each, ref.name) is not False for ref in asked)]
        for reference in asked:
            yield from _missed(rule_id, reference, declared, free)


def _missed(rule_id: str, reference: _Reference, declared: list[Resource], free: list[Resource]) -> Told:
    name, by = reference.name, reference.by
    if name.unknown or not name.text():
        return
    called = [each for each in declared if is_called(each, name) is not False]
    if any(same_namespace(each, by) is not False for each in called):
        if by.namespace.text() and all(each.namespace.value is None for each in called):
            message = f"the {reference.kind} of this name states no namespace: it is only found if it lands in this one"
            yield called[0], advice(Finding(rule_id, "metadata.namespace", message, "metadata.namespace"))
        return
    if called:
        message = f"the {reference.kind} of this name is in another namespace: it is not found"
        yield by, Finding(rule_id, name.path, message, "one namespace for both")
        return
    near = {_name(each): each for each in (declared if by.ours else free) if same_namespace(each, by) is not False}
    meant = get_close_matches(name.text(), near, n=1, cutoff=_ALIKE)
    if meant:
        message = f"the stack has no {reference.kind} of this name, and one that is called almost so"
        finding = Finding(rule_id, name.path, message, f"{meant[0]}, if that is meant")
        yield from ((by, each) for each in softened(by, [finding]))


def _name(resource: Resource) -> str:
    return resource.object_name.text() or resource.name


def _references(inventory: Inventory) -> Iterator[_Reference]:
    for pod in inventory.pods:
        yield _Reference(pod.resource, "ServiceAccount", pod.spec["serviceAccountName"])
        for volume in pod.spec["volumes"].elements():
            yield _Reference(pod.resource, "PersistentVolumeClaim", volume.at("persistentVolumeClaim", "claimName"))
            yield _Reference(pod.resource, "ConfigMap", volume.at("configMap", "name"))
            yield _Reference(pod.resource, "Secret", volume.at("secret", "secretName"))
        for container in pod.all_containers:
            for entry in container["env"].elements():
                yield _Reference(pod.resource, "ConfigMap", entry.at("valueFrom", "configMapKeyRef", "name"))
                yield _Reference(pod.resource, "Secret", entry.at("valueFrom", "secretKeyRef", "name"))
    for route in inventory.of_kind("HTTPRoute"):
        for parent in route.node.at("spec", "parentRefs").elements():
            if not parent["namespace"].stated and parent["kind"].text() in ("", "Gateway"):
                yield _Reference(route, "Gateway", parent["name"])
        for rule in route.node.at("spec", "rules").elements():
            for behind in rule["backendRefs"].elements():
                if not behind["namespace"].stated and behind["kind"].text() in ("", "Service"):
                    yield _Reference(route, "Service", behind["name"])
    for ingress in inventory.of_kind("Ingress"):
        for rule in ingress.node.at("spec", "rules").elements():
            for path in rule.at("http", "paths").elements():
                yield _Reference(ingress, "Service", path.at("backend", "service", "name"))


def sections(rule_id: str, inventory: Inventory) -> Told:
    """Listeners that routes name are listeners of the Gateway, where it is of the stack."""
    gateways = list(inventory.of_kind("Gateway"))
    for route in inventory.of_kind("HTTPRoute"):
        for parent in route.node.at("spec", "parentRefs").elements():
            section = parent["sectionName"]
            meant = [each for each in gateways if is_called(each, parent["name"])]
            if len(meant) != 1 or section.unknown or not section.text():
                continue
            listeners = meant[0].node.at("spec", "listeners")
            names = [each["name"] for each in listeners.elements()]
            if not listeners.unknown and not any(each.unknown or each.text() == section.text() for each in names):
                message = "the Gateway has no listener of this name: the route is attached to nothing"
                yield route, Finding(rule_id, section.path, message, "the name of a listener")


def of_clouds(rule_id: str, inventory: Inventory) -> Told:
    """Pools name their cluster, and what is said about a bucket names it."""
    for resource in inventory.resources:
        for prefix, field, target, named in BY_NAME:
            if resource.type == target or not resource.type.startswith(prefix):
                continue
            value = resource.node[field]
            names = [each.node[named] for each in inventory.of_type(target)]
            texts = sorted(name.text() for name in names if name.text())
            if value.unknown or value.text() in texts or any(name.unknown or not name.stated for name in names):
                continue
            if not value.stated and prefix.endswith(("Member", "NodePool", "NodeGroup")):
                yield resource, Finding(rule_id, value.path, f"it names no {named} that it is for", f"state {field}")
            elif value.text() and get_close_matches(value.text(), texts, n=1, cutoff=_ALIKE):
                message = "the stack has none of this name, and one that is called almost so"
                near = get_close_matches(value.text(), texts, n=1, cutoff=_ALIKE)[0]
                yield resource, Finding(rule_id, value.path, message, f"{near}, if that is meant")


def strays(rule_id: str, inventory: Inventory) -> Told:
    """Objects of ours in a namespace where none of our pods is, and namespaces that are spelled almost like theirs."""
    ours = [each for each in serving(inventory) if each.ours]
    spaces = {each.namespace.text() for each in ours}
    if not ours or any(each.namespace.unknown for each in ours):
        return
    for each in inventory.of_kind(*_WITH_PODS):
        if each.ours and each.namespace.text() and each.namespace.text() not in spaces:
            message = "no pod that serves is in this namespace: what the object is for lies in another"
            yield each, Finding(rule_id, each.namespace.path, message, f"namespace: {min(spaces)}")
    declared = list(inventory.of_kind("Namespace"))
    taken = {each.namespace.text() for each in inventory.resources if each.is_kubernetes}
    if any(each.namespace.unknown for each in inventory.resources if each.is_kubernetes):
        return
    for space in declared:
        name = space.object_name
        missing = sorted(spaces - {_name(each) for each in declared})
        if name.unknown or (name.stated and name.text() in taken):
            continue
        if not name.stated and missing and not is_called(space, Node(missing[0], "")):
            message = "its name is made up when it is created, and everything of the stack names another namespace"
            yield space, advice(Finding(rule_id, name.path, message, f"name: {missing[0]}"))
        elif get_close_matches(name.text(), missing, n=1, cutoff=_ALIKE):
            message = "nothing of the stack is in it, and pods are in a namespace that is called almost so"
            yield space, advice(Finding(rule_id, name.path, message, f"name: {missing[0]}"))
