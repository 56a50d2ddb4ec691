"""How objects of one stack belong together: who selects whose pods, who scales whom, in which namespace.

A label or a name that a controller makes up is no unknown value: it answers "maybe" (None), never a doubt to be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from modelberth.inventory import Inventory, selects
from modelberth.manifests import COMPUTES_AND_ENDS
from modelberth.node import Node
from modelberth.observed import UNKNOWN
from modelberth.resources import Pod, Resource
from modelberth.rules.autoscalers import HORIZONTAL, KEDA, autoscaler

LWS = "leaderworkerset.sigs.k8s.io"
SERVES_ON = ("Deployment", "StatefulSet", "ReplicaSet", "LeaderWorkerSet")
"""Kinds that keep a number of replicas."""
SCALERS = (HORIZONTAL, KEDA)
_MADE_UP = {
    "Deployment": ("pod-template-hash",),
    "ReplicaSet": ("pod-template-hash",),
    "StatefulSet": ("statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "controller-revision-hash"),
    "DaemonSet": ("controller-revision-hash", "pod-template-generation"),
    "Job": ("job-name", "controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"),
    "LeaderWorkerSet": tuple(
        f"{LWS}/{name}" for name in ("name", "group-index", "group-key", "template-revision-hash")
    ),
}
"""Labels that a controller adds to its pods."""


def resembles(one: str, other: str) -> bool:
    """Whether one of two different texts is the other, misspelt: at most two letters more, less or other."""
    return one != other and bool(get_close_matches(one, [other], n=1, cutoff=1 - 2.5 / max(1, len(one) + len(other))))


def same_namespace(one: Resource, other: Resource) -> bool | None:
    """Whether two objects are in one namespace; None where one says nothing, or it is only known after apply."""
    first, second = one.namespace, other.namespace
    if first.unknown or second.unknown:
        return None
    names = first.text(), second.text()
    return True if names[0] == names[1] else None if "" in names else False


@lru_cache(maxsize=4096)
def pod_labels(pod: Pod) -> Node:
    """The labels that the pods of a template will have, those that the controller makes up unknown."""
    labels = pod.labels
    if labels.unknown:
        return labels
    added: dict[str, object] = dict.fromkeys(_MADE_UP.get(pod.resource.kind, ()), UNKNOWN)
    if pod.resource.kind == "LeaderWorkerSet":
        led = pod.role == "worker" and pod.resource.node.at("spec", "leaderWorkerTemplate", "leaderTemplate").stated
        added[f"{LWS}/worker-index"] = "0" if pod.role == "leader" else "1" if led else UNKNOWN
    return Node({**added, **{name: label.value for name, label in labels.items()}}, labels.path)


def chosen(selector: Node, pod: Pod) -> bool | None:
    """Whether a selector selects the pods of a template."""
    return selects(selector, pod_labels(pod))


def cause(selector: Node, *others: Node) -> Node | None:
    """The first value in a selector, or in labels, that is only known after apply."""
    for node in (selector, *others):
        found = next(_unknown(node), None)
        if found is not None:
            return found
    return None


def _unknown(node: Node) -> Iterator[Node]:
    if node.unknown:
        yield node
        return
    for _, inner in node.items():
        yield from _unknown(inner)
    for inner in node.elements():
        yield from _unknown(inner)


def serving(inventory: Inventory) -> Iterator[Resource]:
    """The objects whose pods serve a model for as long as they are there."""
    return (each for each in inventory.resources if each.workloads and each.kind not in COMPUTES_AND_ENDS)


def leading_pod(resource: Resource) -> Pod:
    """The pod of an object that takes requests."""
    return next(pod for pod in resource.pods if pod.serving)


def is_called(resource: Resource, name: Node) -> bool | None:
    """Whether an object has this name. One that Pulumi makes up begins with the logical name."""
    stated = resource.object_name
    if name.unknown or stated.unknown:
        return None
    if stated.text():
        return stated.text() == name.text()
    return name.text() == resource.name or name.text().startswith(f"{resource.name}-")


def scaled_by(inventory: Inventory, resource: Resource) -> Iterator[Resource]:
    """The autoscalers of a workload."""
    for scaler in inventory.of_kind(*SCALERS):
        target = scaler.node.at("spec", "scaleTargetRef")
        kind = target["kind"].text() or "Deployment"
        if kind != resource.kind or same_namespace(scaler, resource) is False:
            continue
        if means(scaler, resource, target["name"]):
            yield scaler


def means(one: Resource, other: Resource, name: Node) -> bool:
    """Whether an object that states this name means another, as far as is known: a name that another resource makes up
    comes from one that it depends on.
    """
    called = is_called(other, name)
    known = depends_on(one)
    return bool(called) or (called is None and (not known or other.urn in known))


def depends_on(resource: Resource) -> frozenset[str]:
    """URNs of what an object takes values from; empty where nobody told."""
    by_property = (urn for urns in resource.property_dependencies.values() for urn in urns)
    return frozenset([*by_property, *resource.dependencies])


class Replicas(NamedTuple):
    """Copies that run at least and at most; None: not known. ``least_at`` and ``most_at`` are where that is said."""

    least: int | None
    most: int | None
    least_at: Node
    most_at: Node


def replicas(inventory: Inventory, resource: Resource) -> Replicas:
    """How many copies a workload has; an autoscaler's bounds go before what the workload itself says."""
    for found in filter(None, map(autoscaler, scaled_by(inventory, resource))):
        return Replicas(found.least_replicas, found.most_replicas, found.least, found.most)
    stated = resource.node.at("spec", "replicas")
    count = stated.whole() if stated.stated else 1
    return Replicas(count, count, stated, stated)


__all__ = [
    "LWS",
    "SCALERS",
    "SERVES_ON",
    "Replicas",
    "cause",
    "chosen",
    "depends_on",
    "is_called",
    "leading_pod",
    "means",
    "pod_labels",
    "replicas",
    "resembles",
    "same_namespace",
    "scaled_by",
    "serving",
]
