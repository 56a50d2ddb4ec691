"""What the scheduler counts of a pod, and which nodes it insists on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from modelberth.clouds.fabrics import RESOURCES
from modelberth.clouds.pool_facts import ZONE
from modelberth.manifests import GPU_RESOURCE
from modelberth.node import Node
from modelberth.resources import Pod

ZONES = frozenset({ZONE, "failure-domain.beta.kubernetes.io/zone"})
"""Labels that tell a node's zone: the present one, and the one before Kubernetes 1.17."""
CPU, MEMORY, DISK = "cpu", "memory", "ephemeral-storage"
_KNOWN = frozenset({CPU, MEMORY, DISK, "pods", "storage", GPU_RESOURCE}) | RESOURCES


@dataclass(frozen=True)
class Need:
    """How much of a resource a pod needs, where most of it is asked, and values that are only known after apply."""

    amount: Decimal
    node: Node
    unknown: Node | None = None


@lru_cache(maxsize=1024)
def need_of(pod: Pod, resource: str) -> Need:
    """What the scheduler counts: containers and sidecars together, or the largest init container with the sidecars
    started before it, whichever is more; a request that is absent is its limit; overhead comes on top.

    kubernetes/component-helpers:resource/helpers.go, PodRequests.
    """
    whole = pod.spec["resources"]
    running = [_request(each, resource) for each in pod.containers]
    sidecars, largest = Decimal(0), Decimal(0)
    started: list[Node] = []
    for each in pod.init_containers:
        asked = _request(each, resource)
        started.append(asked)
        amount = asked.amount() or Decimal(0)
        if amount and each["restartPolicy"].unknown:
            started.append(each["restartPolicy"])
        if each["restartPolicy"].text() == "Always":
            sidecars += amount
            largest = max(largest, sidecars)
        else:
            largest = max(largest, sidecars + amount)
    nodes = [*running, *started]
    total = max(sum((node.amount() or Decimal(0) for node in running), Decimal(0)) + sidecars, largest)
    of_pod = _stated(whole["requests"][resource], whole["limits"][resource])
    if of_pod.stated and resource != DISK:
        nodes, total = [of_pod], of_pod.amount() or Decimal(0)
    overhead = pod.spec["overhead"][resource]
    total += overhead.amount() or Decimal(0)
    unknown = next((node for node in (*nodes, overhead) if node.unknown), None)
    most = max(nodes, key=lambda node: node.amount() or Decimal(0), default=pod.spec)
    return Need(total, most, unknown)


def _request(container: Node, resource: str) -> Node:
    resources = container["resources"]
    return _stated(resources["requests"][resource], resources["limits"][resource])


def _stated(request: Node, limit: Node) -> Node:
    return request if request.stated or not limit.stated else limit


def wants_other_devices(pod: Pod) -> bool:
    """Whether it asks for devices that no pool is known to have: other vendors', slices, claims."""
    if pod.spec["resourceClaims"].stated:
        return True
    names = {
        name
        for each in pod.all_containers
        for kind in ("requests", "limits")
        for name in each["resources"][kind].names()
    }
    return any(name not in _KNOWN and not name.startswith("hugepages-") for name in names)


@dataclass(frozen=True)
class Condition:
    """One label that a node must have: what a selector or an expression of an affinity asks."""

    key: str
    operator: str
    wanted: tuple[str, ...]
    node: Node
    unknown: Node | None = None

    def met(self, values: tuple[str, ...] | None) -> bool | None:
        """Whether nodes with these values meet it; no values: they do not have the label; None: nobody knows."""
        if self.unknown and not (self.key and self.operator):
            return None
        if self.operator == "DoesNotExist":
            return None if values is None else not values
        if self.operator == "NotIn" and values == ():
            return True
        if values == ():
            return False
        if values is None or self.unknown:
            return None
        if self.operator == "In":
            return any(value in self.wanted for value in values)
        if self.operator == "NotIn":
            return any(value not in self.wanted for value in values)
        if self.operator in ("Gt", "Lt"):
            return self._compared(values)
        return True

    def _compared(self, values: tuple[str, ...]) -> bool | None:
        if not (self.wanted and self.wanted[0].isdigit() and all(value.isdigit() for value in values)):
            return None
        bound = int(self.wanted[0])
        return any(int(value) > bound if self.operator == "Gt" else int(value) < bound for value in values)


@lru_cache(maxsize=1024)
def selected(pod: Pod) -> tuple[tuple[Condition, ...], ...]:
    """The ways to a node, one of which must do: every condition of the selector, with those of one affinity term."""
    selector = pod.spec["nodeSelector"]
    always = tuple(_chosen(selector))
    required = pod.spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    terms = required["nodeSelectorTerms"]
    return tuple((*always, *_expressed(term)) for term in terms.each()) or (always,)


def in_one_zone(pod: Pod) -> bool:
    """Whether a pod runs in one zone, whatever nodes there are."""
    ways = selected(pod)
    return all(any(c.key in ZONES and c.operator == "In" and len(c.wanted) == 1 for c in way) for way in ways)


def _chosen(selector: Node) -> Iterator[Condition]:
    if selector.unknown:
        yield Condition("", "Exists", (), selector, selector)
    for key, value in selector.items():
        yield Condition(key, "In", (_plain(value),), value, value if value.unknown else None)


def _expressed(term: Node) -> Iterator[Condition]:
    for each in term["matchExpressions"].each():
        values = list(each["values"].elements())
        hidden = _unknown([each, each["key"], each["operator"], each["values"], *values])
        key, operator = each["key"].text(), each["operator"].text()
        yield Condition("" if each["key"].unknown else key, operator, tuple(map(_plain, values)), each, hidden)


def _unknown(nodes: Iterable[Node]) -> Node | None:
    return next((node for node in nodes if node.unknown), None)


def _plain(value: Node) -> str:
    return "" if value.unknown or not value.stated else str(value.value)


def tolerated(pod: Pod, key: str, value: str | None, effect: str, gpus: bool) -> bool | None:
    """Whether a pod tolerates a taint; None when that is only known after apply.

    A pod that requests GPUs tolerates the taint of their name without saying so: API servers of managed clusters run
    ExtendedResourceToleration (kubernetes:plugin/pkg/admission/extendedresourcetoleration).
    """
    if gpus and key == GPU_RESOURCE and effect == "NoSchedule":
        return True
    answers = [_tolerates(each, key, value, effect) for each in pod.spec["tolerations"].each()]
    return True if True in answers else None if None in answers else False


def _tolerates(toleration: Node, key: str, value: str | None, effect: str) -> bool | None:
    parts = [toleration[name] for name in ("key", "operator", "effect")]
    if any(part.unknown for part in parts):
        return None
    wanted, operator, on = (part.text() for part in parts)
    if on not in ("", effect) or (wanted and wanted != key) or (not wanted and operator != "Exists"):
        return False
    if operator == "Exists":
        return True
    return None if value is None or toleration["value"].unknown else toleration["value"].text() == value
