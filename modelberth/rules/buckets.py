"""Buckets as a stack makes them: what they say, what other resources say about them, and whether they hold weights.

A bucket holds weights when its own name or labels say so, when a pod that serves a model mounts it, names it in its
arguments or is computed from it, when a volume shows it as files, or when an identity of pods is let in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelberth.clouds import identities, storage
from modelberth.clouds.buckets import Part
from modelberth.clouds.facts import Fact, both, either
from modelberth.clouds.links import target_of
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Resource

_WEIGHTS = frozenset({"weights", "weight", "model", "models", "checkpoint", "checkpoints", "gguf", "safetensors"})
_BESIDE = frozenset(
    {"log", "logs", "logging", "access", "audit", "state", "backup", "backups", "metrics", "data", "docs"}
)
"""Words that say what else is kept: a bucket of logs of models holds no weights."""


@dataclass(frozen=True, eq=False)
class Bucket:
    """One bucket. ``parts`` are what other resources say about it, each with its resource."""

    resource: Resource
    facts: tuple[Fact, ...]
    parts: tuple[tuple[Resource, Part], ...]
    holds_weights: bool
    closed_elsewhere: bool = False

    def settled(self, topic: str) -> tuple[Resource, Fact] | None:
        """What all say together about one topic, and the resource to change; None where its cloud has no such thing."""
        own = next((fact for fact in self.facts if fact.topic == topic), None)
        said = [(by, [fact for fact in part.facts if fact.topic == topic]) for by, part in self.parts]
        stated = [(by, facts) for by, facts in said if facts]
        answers = [both(*(fact.holds for fact in facts)) for _, facts in stated]
        holds = either(*answers, *([own.holds] if own else []))
        blamed = next(((by, fact) for by, facts in stated for fact in facts if fact.holds is not True), None)
        by, fact = blamed or (self.resource, own or (stated[0][1][0] if stated else None))
        return (by, replace(fact, holds=holds)) if fact else None


def named_as_weights(resource: Resource) -> bool:
    """Whether a bucket's own name or labels say that it holds weights."""
    names = (resource.name, resource.node["name"].text(), resource.node["bucket"].text())
    labels = storage.labels(resource.node)
    purposes = (value.text() for key, value in labels.items() if key.lower() not in ("model", "owner", "env"))
    return any(_about_weights(each) for each in (*names, *purposes))


def buckets(inventory: Inventory) -> Iterator[Bucket]:
    """Every bucket of a stack."""
    there = list(inventory.of_type(*storage.BUCKETS))
    parts = [(each, part) for each in inventory.resources if (part := storage.part(each.type, each.node))]
    about = [(each, part, target_of(each, part.bucket, there)) for each, part in parts]
    closed = any(storage.closes_every_bucket(each.type, each.node) for each in inventory.resources)
    used = _used_by_pods(inventory, there)
    for bucket in there:
        own = tuple((each, part) for each, part, target in about if target is bucket)
        read_by_pods = any(identities.of_pods(member) for _, part in own for member in part.members)
        weights = named_as_weights(bucket) or bucket in used or read_by_pods
        yield Bucket(bucket, storage.bucket(bucket.type, bucket.node), own, weights, closed)


def _used_by_pods(inventory: Inventory, there: list[Resource]) -> list[Resource]:
    """Buckets that pods which serve mount or name, and those that PersistentVolumes show as files."""
    found: list[Resource] = []
    for pod in inventory.pods:
        if pod.serves:
            drivers = (each["csi"] for each in pod.spec["volumes"].elements())
            references = [named for driver in drivers if (named := storage.bucket_of_volume(driver)) is not None]
            found += [bucket for each in references if (bucket := target_of(pod.resource, each, there))]
            found += [each for each in there if _physical_name(each) in set(_named_in(pod.containers))]
            found += [each for each in there if each.urn and each.urn in _computed_from(pod.resource)]
    for volume in inventory.of_kind("PersistentVolume"):
        named = storage.bucket_of_volume(volume.node.at("spec", "csi"))
        bucket = target_of(volume, named, there) if named is not None else None
        found += [bucket] if bucket else []
    return found


def _named_in(containers: tuple[Node, ...]) -> Iterator[str]:
    for container in containers:
        words = [*container["command"].elements(), *container["args"].elements()]
        words += [each["value"] for each in container["env"].elements()]
        for word in words:
            yield from storage.bucket_names(word.text().rpartition("=")[2])


def _physical_name(bucket: Resource) -> str:
    return bucket.node["bucket"].text() or bucket.node["name"].text() or bucket.urn or bucket.name


def _computed_from(resource: Resource) -> frozenset[str]:
    return frozenset(urn for urns in resource.property_dependencies.values() for urn in urns)


def _about_weights(text: str) -> bool:
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", text).lower()))
    return bool(words & _WEIGHTS) and not words & _BESIDE
