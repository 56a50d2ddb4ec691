"""What changes the number of replicas: HorizontalPodAutoscaler and KEDA's ScaledObject, their bounds and signals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from modelberth.catalog import Metric, catalog
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Resource

HORIZONTAL, KEDA = "HorizontalPodAutoscaler", "ScaledObject"
KEDA_LEAST, KEDA_MOST = 0, 100
"""Of a ScaledObject that states none: keda.sh, ScaledObject specification."""
WINDOW_S = 300
"""Of low load before replicas are stopped, and KEDA's cooldownPeriod, where none is stated."""
LONGEST_WINDOW_S, LONGEST_PERIOD_S = 3600, 1800
"""What autoscaling/v2 takes (HPAScalingRules)."""
UTILIZATION = frozenset({"cpu", "memory"})
_OF_GPUS = re.compile(r"(?i)dcgm_.+|.*(gpu_?util|gpu_duty_cycle|duty_cycle|nvidia_gpu|gpu_memory_(used|utili[sz])).*")
"""Names under which exporters tell how busy a GPU is: dcgm-exporter, and Cloud Monitoring's duty_cycle."""
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAMED = re.compile(r"__name__\s*=~?\s*\"([\w:|]+)\"")
_IDENTIFIER = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\(|[\w:])")
_WORD_BEHIND = re.compile(
    r"[)\]}]\s*(?!(?:and|or|unless|offset|bool|by|without|on|ignoring|group_left|group_right|atan2)\b)[A-Za-z_0-9]"
)
_WORDS = frozenset({"and", "or", "unless", "offset", "bool", "by", "without", "on", "inf", "nan", "atan2"})


@dataclass(frozen=True, eq=False)
class Autoscaler:
    """One object that sets replicas. ``least`` and ``most`` are the stated bounds, ``behavior`` how fast it acts."""

    resource: Resource

    @property
    def is_keda(self) -> bool:
        """Whether KEDA reads it."""
        return self.resource.kind == KEDA

    @property
    def spec(self) -> Node:
        """Its specification."""
        return self.resource.node["spec"]

    @property
    def least(self) -> Node:
        """Where the least replicas are stated."""
        return self.spec["minReplicaCount" if self.is_keda else "minReplicas"]

    @property
    def most(self) -> Node:
        """Where the most replicas are stated."""
        return self.spec["maxReplicaCount" if self.is_keda else "maxReplicas"]

    @property
    def least_replicas(self) -> int | None:
        """The least replicas, the default where none are stated; None where they are unknown or not legible."""
        return self.least.whole() if self.least.stated else KEDA_LEAST if self.is_keda else 1

    @property
    def most_replicas(self) -> int | None:
        """The most replicas, likewise."""
        return self.most.whole() if self.most.stated else KEDA_MOST if self.is_keda else None

    @property
    def behavior(self) -> Node:
        """How fast replicas follow."""
        return (
            self.spec.at("advanced", "horizontalPodAutoscalerConfig", "behavior")
            if self.is_keda
            else self.spec["behavior"]
        )

    @property
    def target(self) -> Node:
        """The reference to what it scales."""
        return self.spec["scaleTargetRef"]

    def signals(self) -> list[Signal] | None:
        """What it follows; None where a part of it is only known after apply."""
        found = list(_of_keda(self.spec) if self.is_keda else _of_horizontal(self.resource))
        return None if any(each is None for each in found) else [each for each in found if each]


@dataclass(frozen=True)
class Signal:
    """One thing that replicas follow: the use of a resource (``utilization``), or the metrics of a query."""

    node: Node
    utilization: str = ""
    metrics: tuple[str, ...] = ()
    """Names as they are written; empty where none is legible."""

    @property
    def is_use(self) -> bool:
        """Whether it tells how busy the hardware is, and nothing of requests."""
        return bool(self.utilization) or bool(self.metrics and all(_OF_GPUS.fullmatch(name) for name in self.metrics))

    @property
    def of_engine(self) -> tuple[str, ...]:
        """Those of its metrics that an engine tells."""
        return tuple(name for name in self.metrics if engine_prefix(name))

    @property
    def sleeps_with_pods(self) -> bool:
        """Whether it is silent when no pod runs."""
        return bool(self.utilization) or bool(self.metrics and len(self.of_engine) == len(self.metrics))


def autoscaler(resource: Resource) -> Autoscaler | None:
    """The resource as an autoscaler, None when it is none."""
    is_horizontal = resource.kind == HORIZONTAL and resource.group == "autoscaling"
    return Autoscaler(resource) if is_horizontal or (resource.kind == KEDA and resource.group == "keda.sh") else None


def autoscalers(inventory: Inventory) -> Iterator[Autoscaler]:
    """Every autoscaler of a stack."""
    return (found for each in inventory.of_kind(HORIZONTAL, KEDA) if (found := autoscaler(each)))


def target_of(scaler: Autoscaler, inventory: Inventory) -> Resource | None:
    """What it scales, None where that is not in the stack or not known."""
    name, reference = scaler.target["name"], scaler.target
    kind = reference["kind"].text() or "Deployment"
    if name.unknown:
        of_spec = scaler.resource.property_dependencies.get("spec", scaler.resource.dependencies)
        named = [inventory.by_urn[urn] for urn in of_spec if urn in inventory.by_urn]
        scaled = [each for each in named if each.kind == kind and each.is_kubernetes]
        return scaled[0] if len(scaled) == 1 else None
    same = (each for each in inventory.of_kind(kind) if name.text() and name.text() == _name(each))
    return next((each for each in same if _together(each.namespace, scaler.resource.namespace)), None)


def governing(resource: Resource, inventory: Inventory) -> Autoscaler | None:
    """What sets the replicas of a resource, None when nothing in the stack does."""
    return _governors(inventory).get(resource)


@lru_cache(maxsize=2)
def _governors(inventory: Inventory) -> Mapping[Resource, Autoscaler]:
    """What every autoscaler of a stack scales, the first of them where there are several."""
    found: dict[Resource, Autoscaler] = {}
    for scaler in autoscalers(inventory):
        target = target_of(scaler, inventory)
        if target is not None:
            found.setdefault(target, scaler)
    return found


def most_replicas(resource: Resource, inventory: Inventory) -> Node:
    """The most replicas that there may be: an autoscaler's maximum, else what is stated; the value that hides them."""
    scaler = governing(resource, inventory)
    stated = scaler.most if scaler else resource.node.at("spec", "replicas")
    hidden = open_target(inventory) if scaler is None else None
    if hidden is not None:
        return hidden
    return stated if stated.stated else Node(scaler.most_replicas if scaler else 1, stated.path)


def open_target(inventory: Inventory) -> Node | None:
    """A target that is only known after apply and that no dependency tells: it may be anything."""
    every = (each for each in autoscalers(inventory) if each.target["name"].unknown)
    return next((each.target["name"] for each in every if target_of(each, inventory) is None), None)


def metrics_in(query: str) -> tuple[str, ...]:
    """The names of metrics in a PromQL query."""
    named = [name for found in _NAMED.findall(query) for name in found.split("|")]
    plain = re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]|\"[^\"]*\"|'[^']*'", " ", query)
    words = _IDENTIFIER.findall(_GROUPING.sub(" ", plain))
    return tuple(dict.fromkeys([*named, *(word for word in words if word.lower() not in _WORDS)]))


def legible_query(query: str) -> bool:
    """Whether a PromQL query may be one: brackets close, and no word follows one that closes but a keyword."""
    plain = re.sub(r"\"(\\.|[^\"\\])*\"|'(\\.|[^'\\])*'", '""', query)
    open_ones: list[str] = []
    for sign in plain:
        if sign in "([{":
            open_ones.append(sign)
        elif sign in ")]}" and (not open_ones or f"{open_ones.pop()}{sign}" not in ("()", "[]", "{}")):
            return False
    return not open_ones and not _WORD_BEHIND.search(plain)


def engine_prefix(name: str) -> str:
    """The engine whose metrics are called like this, empty for any other metric."""
    return next((engine for prefix, engine in _prefixes() if name.replace(":", "_").startswith(prefix)), "")


def known_as(name: str) -> tuple[Metric, ...]:
    """The rows about a metric of this name, as an exposition or an adapter spells it."""
    plain = _plain(name)
    return tuple(row for row in catalog().metrics if plain in (_plain(row.name), row.name.replace(":", "_")))


def _plain(name: str) -> str:
    return re.sub(r"_(bucket|sum|count|total)$", "", name.replace(":", "_"))


def _prefixes() -> Iterable[tuple[str, str]]:
    found = {f"{re.split(r'[:_]', row.name)[0]}_": row.engine for row in catalog().metrics}
    return found.items()


def _of_horizontal(resource: Resource) -> Iterator[Signal | None]:
    spec = resource.node["spec"]
    if resource.api_version == "autoscaling/v1":
        yield Signal(spec["targetCPUUtilizationPercentage"], "cpu")
        return
    metrics = spec["metrics"]
    if metrics.unknown:
        yield None
    elif not list(metrics.elements()):
        yield Signal(metrics, "cpu")
    for metric in metrics.elements():
        kind = metric["type"].text()
        if metric.unknown or metric["type"].unknown:
            yield None
        elif kind in ("Resource", "ContainerResource"):
            name = metric["resource" if kind == "Resource" else "containerResource"]["name"]
            yield None if name.unknown else Signal(metric, name.text() if name.text() in UTILIZATION else "")
        else:
            name = metric[kind.lower()].at("metric", "name")
            yield None if name.unknown else Signal(metric, metrics=_named(name.text()))


def _named(text: str) -> tuple[str, ...]:
    """The name inside one of Cloud Monitoring ("prometheus.googleapis.com|vllm:num_requests_waiting|gauge")."""
    parts = text.split("|")
    return (parts[1] if len(parts) > 2 else parts[-1],) if text else ()


def _of_keda(spec: Node) -> Iterator[Signal | None]:
    triggers = spec["triggers"]
    if triggers.unknown:
        yield None
    for trigger in triggers.elements():
        kind, query = trigger["type"], trigger.at("metadata", "query")
        if trigger.unknown or kind.unknown:
            yield None
        elif kind.text() in UTILIZATION:
            yield Signal(trigger, kind.text())
        elif query.unknown:
            yield None
        else:
            yield Signal(trigger, metrics=metrics_in(query.text()))


def _name(resource: Resource) -> str:
    return resource.object_name.text() or resource.name


def _together(one: Node, other: Node) -> bool:
    """Whether two objects may be in one namespace."""
    return not one.text() or not other.text() or one.text() == other.text()
