"""How many pods the pools of a stack can hold at most, as far as they tell."""

from __future__ import annotations

from dataclasses import dataclass

from modelberth.clouds.pools import pools
from modelberth.inventory import Inventory
from modelberth.manifests import Workload


@dataclass(frozen=True)
class GpuPool:
    """Nodes with GPUs. ``gpus`` are GPU ids, empty where they are not known; None is a figure that is not known, or
    has no bound.
    """

    name: str
    gpus: frozenset[str] = frozenset()
    gpus_per_node: int | None = None
    most_nodes: int | None = None
    zones: tuple[str, ...] | None = None


def gpu_capacity(inventory: Inventory) -> tuple[GpuPool, ...]:
    """The pools of a stack that have, or may have, GPUs."""
    found: list[GpuPool] = []
    for pool in pools(inventory.resources):
        if pool.has_gpus is False:
            continue
        told = pool.complete and bool(pool.kinds) and all(kind.gpu for kind in pool.kinds)
        gpus = pool.gpu_ids if told else frozenset[str]()
        found.append(
            GpuPool(pool.name, gpus, pool.gpus_per_node, pool.most_nodes if pool.bounded else None, pool.zones)
        )
    return tuple(found)


@dataclass(frozen=True)
class Room:
    """What the pools that may hold a workload hold of it: ``replicas`` in all, ``gpus`` of theirs, by name.

    ``nodes`` and ``zones`` are how many they may have at most; None: not known.
    """

    replicas: int
    gpus: int
    pools: tuple[str, ...]
    nodes: int = 0
    zones: int | None = None


def room_for(workload: Workload, inventory: Inventory) -> Room | None:
    """How many replicas of a workload have a place; None where that is not known or nothing in the stack bounds it."""
    wanted, pods = workload.gpus, workload.group_size
    if not wanted or workload.gpu is None:
        return None
    known = gpu_capacity(inventory)
    if not known or any(not pool.gpus for pool in known):
        return None
    fitting = [pool for pool in known if workload.gpu in pool.gpus]
    if not fitting:
        return None
    held, gpus = 0, 0
    for pool in fitting:
        if pool.gpus_per_node is None or pool.most_nodes is None:
            return None
        held += pool.gpus_per_node // wanted * pool.most_nodes
        gpus += pool.gpus_per_node * pool.most_nodes
    nodes = sum(pool.most_nodes or 0 for pool in fitting)
    named = [pool.zones for pool in fitting if pool.zones]
    zones = len({zone for each in named for zone in each}) if len(named) == len(fitting) else None
    return Room(held // pods, gpus, tuple(pool.name for pool in fitting), nodes, zones)
