"""The nodes of a pool, as its cloud would have made them when an autoscaler has filled the pool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelberth.catalog import CatalogError
from modelberth.clouds import NodeProfile, node_profile
from modelberth.errors import UnknownName
from modelberth.units import quantity
from toolchain.cluster.objects import POOL, node
from toolchain.kube import Manifest

MOST_NODES = 8
"""Nodes that a pool gets at most, whatever its limit: they only have to be enough for what tests place."""
EVICTION_SHARE = 0.10
GENERATION = "modelberth.dev/generation"
"""Annotation: what a node was made from; another one means another machine."""
AWAITS = "modelberth.dev/awaits-plugins"
"""Annotation: image of a device plugin -> resources that it registers when it runs on the node."""
EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}


@dataclass(frozen=True)
class NodeGroup:
    """What the nodes of one pool are."""

    owner: str
    """Tells the pool from those of other clouds and clusters that are played on the same embedded one."""
    cloud: str
    prefix: str
    """What the names of the nodes begin with."""
    suffix: str
    profile: NodeProfile
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    zones: Sequence[str]
    wanted: int
    """How many there may be."""
    made_from: Any
    """All that a node is made with and cannot change."""
    disk_bytes: tuple[int, int] | None = None
    """Ephemeral storage, capacity and allocatable, where it is not that of the profile."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """Devices that are there from the start, instead of those of the profile."""
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Devices that wait for a plugin: its image -> resources."""
    huge_pages_mib: int = 0
    """Memory in pages of 2 MiB, set aside before the kubelet starts: it offers them, and that much less memory."""
    surge: bool = True
    """Whether a new node comes before an old one goes when nodes are renewed."""
    respects_budgets: bool = True
    """Whether disruption budgets are heard when the pool is deleted."""

    @property
    def generation(self) -> str:
        """The same for nodes that need not be renewed."""
        text = json.dumps([self.profile.machine.id, self.made_from], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def manifests(self) -> Iterator[Manifest]:
        """The nodes, one zone after the other."""
        for number in range(min(self.wanted, MOST_NODES)):
            zone = self.zones[number % len(self.zones)]
            digest = hashlib.sha256(f"{self.owner} {self.generation} {zone} {number}".encode()).hexdigest()
            a, b, c = (int(digest[at : at + 2], 16) for at in (0, 2, 4))
            name = f"{self.prefix}-{self.generation}-{digest[:6]}"
            if self.cloud == "aws":
                name = f"{self.prefix}-{a}-{b}-{c}{self.suffix}"
            fixed = {"pods": self.profile.capacity["pods"], **self.resources}
            fixed |= {"hugepages-2Mi": f"{self.huge_pages_mib}Mi"} if self.huge_pages_mib else {}
            yield node(
                name,
                zone=zone,
                cloud=self.cloud,
                labels=dict(self.labels),
                taints=[dict(each) for each in self.taints],
                capacity={**self._of(self.profile.capacity, 0), **fixed},
                allocatable={**self._of(self.profile.allocatable, 1), **fixed},
                address=f"10.{a}.{b}.{c}",
                annotations={
                    POOL: self.owner,
                    GENERATION: self.generation,
                    **({AWAITS: json.dumps(self.plugins, sort_keys=True, default=dict)} if self.plugins else {}),
                },
            )

    def _of(self, quantities: Mapping[str, str], which: int) -> dict[str, str]:
        usual = {key: quantities[key] for key in ("cpu", "memory", "ephemeral-storage")}
        if which and self.huge_pages_mib:
            memory = quantity(usual["memory"]) or 0
            usual["memory"] = f"{int(memory) // 1024 - self.huge_pages_mib * 1024}Ki"
        return usual | ({"ephemeral-storage": str(self.disk_bytes[which])} if self.disk_bytes else {})


def profile(machine_type: str, boot_disk_gib: int) -> NodeProfile | None:
    """The profile of a machine type, None where the catalog does not know it."""
    try:
        return node_profile(machine_type, boot_disk_gib)
    except (UnknownName, CatalogError):
        return None


def tainted(stated: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Taints as Kubernetes writes them."""
    return [
        {"key": each["key"], "effect": EFFECTS.get(each["effect"], each["effect"])}
        | ({"value": each["value"]} if each.get("value") else {})
        for each in stated
    ]


def local_disk(size_bytes: int, reserved_bytes: int) -> tuple[int, int]:
    """Capacity and allocatable of ephemeral storage on local disks."""
    return size_bytes, int(size_bytes * (1 - EVICTION_SHARE)) - reserved_bytes
