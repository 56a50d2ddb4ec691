"""What a pool of nodes is, in the words of no cloud: kinds of nodes, bounds, labels, taints, and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from modelberth.catalog import Machine, catalog
from modelberth.clouds.base import ARCH, INSTANCE_TYPE, OS
from modelberth.node import Node

ZONE = "topology.kubernetes.io/zone"

_ADDED_BY_KUBERNETES = ("kubernetes.io", "k8s.io", "nvidia.com", "amd.com", "x-k8s.io")
"""Whose labels nodes carry without being told: kubelet, cloud providers, feature discovery."""


Values = tuple[str, ...] | None
"""Values that a label may have; None: nobody knows."""
Labels = dict[str, Values]
NOTHING = Node(None, "")


class Registered(Protocol):
    """What a reader needs of a resource."""

    @property
    def type(self) -> str:
        """Its type token."""
        ...

    @property
    def name(self) -> str:
        """Its logical name."""
        ...

    @property
    def urn(self) -> str:
        """Its URN, empty where there is none."""
        ...

    @property
    def node(self) -> Node:
        """Its properties."""
        ...

    @property
    def property_dependencies(self) -> Mapping[str, tuple[str, ...]]:
        """URNs of the resources that a property is computed from."""
        ...


AnyResource = TypeVar("AnyResource", bound=Registered)


@dataclass(frozen=True)
class Doubt(Generic[AnyResource]):
    """A fact about a pool that is only known after apply, and the value that hides it."""

    fact: str
    node: Node
    resource: AnyResource


@dataclass(frozen=True)
class Taint:
    """A taint in Kubernetes' spelling (NoSchedule). ``value`` is None where it is not known.

    ``certain`` is False for one that the cloud adds under circumstances; ``node`` is None for what no manifest states.
    """

    key: str
    value: str | None
    effect: str
    certain: bool = True
    node: Node | None = None


@dataclass(frozen=True)
class Attached:
    """Accelerators as they are written: the cloud's name for the type, and how many; None is not legible."""

    node: Node
    type: str
    count: int | None


@dataclass(frozen=True)
class NodeKind:
    """One kind of node that a pool makes. None means: not known.

    ``machine`` is None for a type that the catalog does not know; ``machine_type`` is what is written, empty where
    nothing is. ``gpus`` are those that a node offers to pods (of a shared GPU, as often as it is shared); 0 is a node
    without. ``gpu`` is a GPU id, None also where the machine has none. What pods may use of CPU, memory and local disk
    is never more than ``most_memory_bytes`` and ``most_ephemeral_bytes``; ``memory_bytes`` is what is sure.
    """

    machine_type: str
    node: Node
    machine: Machine | None = None
    gpu: str | None = None
    gpus: int | None = None
    labels: Labels = field(default_factory=dict[str, "Values"])
    taints: tuple[Taint, ...] = ()
    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    most_memory_bytes: int | None = None
    most_ephemeral_bytes: int | None = None
    spot: bool | None = False
    labels_known: bool = True
    taints_known: bool = True
    label_domains: tuple[str, ...] = ()
    """Whose labels such a node may carry beside those that are listed."""

    def values(self, label: str) -> Values:
        """The values that nodes may have in this label: empty where they do not have it, None where nobody knows."""
        if label in self.labels:
            return self.labels[label]
        domain = label.rpartition("/")[0]
        known = (*_ADDED_BY_KUBERNETES, *self.label_domains)
        added = any(domain == each or domain.endswith(f".{each}") for each in known)
        return None if added or not self.labels_known else ()


@dataclass(frozen=True)
class Capacity:
    """How nodes are had. None means: not known.

    ``spot``: nodes may be taken away again; ``firm``: some of them may not. ``reserved``: a reservation is named;
    ``block``: they are only there during a booked time; ``flex_start``: they are waited for; ``queued``: only on a
    request of their own.
    """

    spot: bool | None = False
    firm: bool | None = True
    reserved: bool | None = False
    block: bool | None = False
    flex_start: bool | None = False
    queued: bool | None = False


@dataclass(frozen=True)
class Pool(Generic[AnyResource]):
    """Nodes that are made alike. None means: not known.

    ``node`` is where it is stated (the resource, or an entry inside). ``kinds`` are the nodes it may make, and
    ``complete`` tells whether there are no others: a pool that leaves the choice to the cloud has none and is not.
    ``least_nodes`` and ``most_nodes`` are of all zones together; ``bounded`` tells whether there is an upper bound at
    all, ``scales`` whether the number follows demand. ``zones`` is None where they are not stated. ``doubts`` are facts
    that are only known after apply.
    """

    resource: AnyResource
    node: Node
    cloud: str
    kinds: tuple[NodeKind, ...]
    complete: bool = True
    least_nodes: int | None = None
    most_nodes: int | None = None
    bounded: bool | None = None
    scales: bool | None = None
    zones: tuple[str, ...] | None = None
    capacity: Capacity = Capacity()
    attached: tuple[Attached, ...] = ()
    boot_disk_gib: int | None = None
    doubts: tuple[Doubt[AnyResource], ...] = ()
    stated_taints: tuple[Taint, ...] = ()
    stated_labels: Node = NOTHING
    stated_taints_at: Node = NOTHING
    no_schedule: str = "NoSchedule"
    """The effect as this kind of pool spells it."""
    bounds: Node = NOTHING
    """Where the bounds are, or would be."""

    @property
    def name(self) -> str:
        """Its logical name, with the entry where one resource states several."""
        return f"{self.resource.name} ({self.node.path})" if self.node.path else self.resource.name

    @property
    def machine_types(self) -> tuple[str, ...]:
        """Machine types as they are written."""
        return tuple(dict.fromkeys(kind.machine_type for kind in self.kinds if kind.machine_type))

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Those that the catalog knows."""
        return tuple(dict.fromkeys(kind.machine for kind in self.kinds if kind.machine))

    @property
    def gpu_ids(self) -> frozenset[str]:
        """Its GPUs, as far as they are known."""
        return frozenset(kind.gpu for kind in self.kinds if kind.gpu)

    @property
    def gpus_per_node(self) -> int | None:
        """The most GPUs that one of its nodes offers; None where that is not known of every kind."""
        counts = [kind.gpus for kind in self.kinds]
        return None if not counts or None in counts else max(count or 0 for count in counts)

    @property
    def has_gpus(self) -> bool | None:
        """Whether its nodes have GPUs; None where nobody can tell."""
        counts = [1 if kind.gpu or kind.gpus else kind.gpus for kind in self.kinds]
        if any(counts):
            return True
        return False if self.complete and counts and None not in counts else None

    def doubt(self, *facts: str) -> Doubt[AnyResource] | None:
        """The first of these facts that is only known after apply."""
        return next((each for each in self.doubts if each.fact in facts), None)


def machine_named(name: str, cloud: str) -> Machine | None:
    """The machine type of this cloud, None where the catalog does not know it."""
    return next((each for each in catalog().machines(cloud=cloud) if each.id == name), None) if name else None


def linked(
    resource: Registered, prop: str, reference: Node, others: Iterable[AnyResource], *types: str
) -> AnyResource | None:
    """The resource of one of these types that a property refers to: by dependency, else by its id or name."""
    found = [other for other in others if other.type in types]
    urns = resource.property_dependencies.get(prop, ())
    for other in found:
        if other.urn and other.urn in urns:
            return other
    wanted = reference.text()
    names = ("id", "name", "arn", "selfLink")
    matching = (other for other in found if wanted and wanted in {other.node[each].text() for each in names})
    return next(matching, None)


def effect_of(effect: Node) -> str:
    """A taint's effect as Kubernetes spells it ("NO_SCHEDULE" and "NoSchedule" are the same)."""
    return "".join(word.capitalize() for word in effect.text().split("_")) if "_" in effect.text() else effect.text()


def taints_of(taints: Node) -> tuple[tuple[Taint, ...], bool]:
    """(taints that a list states, whether all of them are known)."""
    found: list[Taint] = []
    known = True
    for taint in taints.each():
        if taint.unknown or taint["key"].unknown or taint["effect"].unknown:
            known = False
            continue
        value = taint["value"]
        found.append(
            Taint(taint["key"].text(), None if value.unknown else value.text(), effect_of(taint["effect"]), node=taint)
        )
    return tuple(found), known


def hidden_taints(taints: Node) -> list[Node]:
    """The values of a list of taints that are only known after apply and decide what it repels."""
    parts = (part for each in taints.each() for part in (each, each["key"], each["effect"]))
    return list({part.path: part for part in parts if part.unknown}.values())


def labels_of(labels: Node) -> tuple[Labels, bool]:
    """(values by label that a mapping states, whether all labels are known)."""
    stated = {key: None if value.unknown else (str(value.value),) for key, value in labels.items() if value.stated}
    return dict(stated), not labels.unknown


def common_labels(machine: Machine | None, machine_type: str, zones: tuple[str, ...] | None) -> Labels:
    """Labels that every cloud puts on a node."""
    return {
        INSTANCE_TYPE: (machine_type,) if machine_type else None,
        "beta.kubernetes.io/instance-type": (machine_type,) if machine_type else None,
        ARCH: (machine.arch,) if machine else None,
        OS: ("linux",),
        ZONE: zones,
        "failure-domain.beta.kubernetes.io/zone": zones,
    }


def plain_labels(labels: Mapping[str, str]) -> Labels:
    """Labels of one value each."""
    return {key: (value,) for key, value in labels.items()}
