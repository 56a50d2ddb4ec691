"""Labels of nodes that a pod asks for: those that tell accelerators apart, and those that no node has."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.clouds.base import ARCH, INSTANCE_TYPE, OS
from modelberth.clouds.node_labels import known_values, may_be_zone
from modelberth.findings import Finding, Level
from modelberth.node import Node
from modelberth.resources import Pod
from modelberth.rules.relations import resembles

_PLACES = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_OF_KUBERNETES = frozenset([*_PLACES, "kubernetes.io/hostname", INSTANCE_TYPE, ARCH, OS]).union(
    f"failure-domain.beta.kubernetes.io/{what}" for what in ("zone", "region")
)
"""Labels that Kubernetes itself puts on nodes: kubernetes.io/docs/reference/labels-annotations-taints."""
_TELL_NOTHING = frozenset({*_PLACES, ARCH, OS, "beta.kubernetes.io/arch", "beta.kubernetes.io/os"})
"""Labels that nodes with and without GPUs have alike."""


def _terms(pod: Pod) -> Iterator[Node]:
    required = pod.spec.at("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term in required["nodeSelectorTerms"].elements():
        yield from term["matchExpressions"].elements()


def names_nodes(pod: Pod) -> bool:
    """Whether a pod asks for nodes by a label that tells those with its accelerator from others."""
    asked = [*pod.spec["nodeSelector"].names(), *(each["key"].text() for each in _terms(pod))]
    return any(key not in _TELL_NOTHING for key in asked if key)


def known_labels(rule_id: str, pod: Pod) -> Iterator[Finding]:
    """Labels and values that no node has, as far as a name tells that it is misspelt."""
    selector = pod.spec["nodeSelector"]
    for kind in ("podAffinity", "podAntiAffinity"):
        for term in pod.spec.at("affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution").elements():
            if no_such_label(term["topologyKey"].text()):
                message = "no node has a label of this name, which only Kubernetes may set: no node is ever near"
                yield Finding(rule_id, term["topologyKey"].path, message, "the label as Kubernetes spells it")
    for key, value in selector.items():
        yield from _value(rule_id, key, value, selector)
    for each in _terms(pod):
        key = each["key"]
        if no_such_label(key.text()):
            message = "no node has a label of this name, which only Kubernetes may set"
            yield Finding(rule_id, key.path, message, "the label as Kubernetes spells it")
        for value in each["values"].elements():
            yield from _value(rule_id, key.text(), value, selector)


def no_such_label(key: str) -> bool:
    """Whether a label is almost called like one that Kubernetes sets, in its own domain."""
    own = key.partition("/")[0] in ("kubernetes.io", "topology.kubernetes.io", "node.kubernetes.io")
    return own and key not in _OF_KUBERNETES and any(resembles(key, known) for known in _OF_KUBERNETES)


def _value(rule_id: str, key: str, value: Node, selector: Node) -> Iterator[Finding]:
    text = value.text()
    if key in _PLACES[:1]:
        if text and not may_be_zone(text, selector.names()):
            message = "is no zone as the cloud of these nodes calls them"
            yield Finding(rule_id, value.path, message, "a zone, such as us-central1-a or eu-central-1a", Level.WARNING)
        return
    known = known_values().get(key, frozenset())
    near = next((each for each in sorted(known) if resembles(text, each)), None) if text not in known else None
    if text and near:
        message = "is no value that nodes are known to have for this label"
        yield Finding(rule_id, value.path, message, f"{near}, if that is meant", Level.WARNING)
