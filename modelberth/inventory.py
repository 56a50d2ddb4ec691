"""All resources of one stack or of one set of files, for rules that look across them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modelberth.manifests import Workload
from modelberth.node import Node, fields_of
from modelberth.resources import Pod, Resource

_STRUCTURED = frozenset({"matchLabels", "matchExpressions"})


@dataclass(frozen=True, eq=False)
class Inventory:
    """Everything that is there. A cluster may hold more: what is missing here is not surely missing."""

    resources: tuple[Resource, ...]

    @cached_property
    def _by_kind(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.kind, []).append(resource)
        return found

    @cached_property
    def by_urn(self) -> dict[str, Resource]:
        """Resources by URN."""
        return {resource.urn: resource for resource in self.resources if resource.urn}

    def of_kind(self, *kinds: str) -> Iterator[Resource]:
        """The Kubernetes objects of these kinds, kind by kind."""
        return (each for kind in kinds for each in self._by_kind.get(kind, ()) if each.is_kubernetes)

    def of_type(self, *types: str) -> Iterator[Resource]:
        """The resources of these type tokens."""
        kinds = {type_.rpartition(":")[2] for type_ in types}
        return (each for kind in sorted(kinds) for each in self._by_kind.get(kind, ()) if each.type in types)

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        """Every pod template."""
        return tuple(pod for resource in self.resources for pod in resource.pods)

    @cached_property
    def serving(self) -> tuple[tuple[Pod, Workload], ...]:
        """Every container that serves a model, with its pod."""
        return tuple((pod, workload) for pod in self.pods for workload in pod.serving)


def selects(selector: Node, labels: Node) -> bool | None:
    """Whether a plain or ``matchLabels``/``matchExpressions`` selector selects these labels; None when unknown.

    An empty selector selects everything (NetworkPolicy, PodDisruptionBudget); a Service without one selects nothing,
    which its caller knows.
    """
    if selector.unknown or labels.unknown:
        return None
    if _differs(fields_of(selector.value), fields_of(labels.value)):
        return False
    structured = _STRUCTURED.intersection(selector.names())
    plain = selector["matchLabels"] if structured else selector
    answers: list[bool | None] = [None] if plain.unknown else [_has(labels, key, v) for key, v in plain.items()]
    if structured:
        expressions = selector["matchExpressions"]
        answers.extend(_meets(labels, expression) for expression in expressions.each())
    return _all(answers)


def _differs(selector: Mapping[Any, Any], labels: Mapping[Any, Any]) -> bool:
    """The common answer first: a text that is wanted and not there."""
    wanted = fields_of(selector["matchLabels"]) if "matchLabels" in selector else selector
    for key, value in wanted.items():
        there = labels.get(key)
        if isinstance(value, str) and (there is None or (isinstance(there, str) and there != value)):
            return isinstance(key, str) and key not in _STRUCTURED
    return False


def _has(labels: Node, key: str, wanted: Node) -> bool | None:
    value = labels[key]
    if value.unknown or wanted.unknown:
        return None if value.stated else False
    return value.stated and str(value.value) == str(wanted.value)


def _meets(labels: Node, expression: Node) -> bool | None:
    key, operator, values = expression["key"], expression["operator"].text(), expression["values"]
    if any(part.unknown for part in (expression, key, expression["operator"])):
        return None
    value = labels[key.text()]
    if operator in ("Exists", "DoesNotExist"):
        return value.stated is (operator == "Exists")
    if values.unknown or value.unknown or any(each.unknown for each in values.elements()):
        return None
    listed = value.stated and str(value.value) in {str(each.value) for each in values.elements()}
    return listed if operator == "In" else not listed


def _all(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    if False in found:
        return False
    return None if None in found else True
