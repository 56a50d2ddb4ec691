"""What the target of a stack offers to its pools: machine types, zones that sell them, what they cost there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelberth.catalog import Machine, catalog
from modelberth.catalog.schema import Price
from modelberth.names import Capacity
from modelberth.placement import kind_of
from modelberth.spec import PoolSpec, StackSpec, Target
from modelberth.supply import sold, zones_of


def region(target: Target) -> str | None:
    """The region of a target whose cluster a cloud runs; None for any other."""
    return target.managed.region if target.managed else None


def price(target: Target, machine_id: str, capacity: Capacity = Capacity.ON_DEMAND) -> Price | None:
    """The list price of a machine where the target is; of the usual region where the target names none."""
    return catalog().price(machine_id, capacity.value, region=region(target))


def zones(pool: PoolSpec, target: Target, machine_id: str) -> tuple[str, ...]:
    """Zones of a pool: its own; else those of the target that sell the machine type, all where that is not known."""
    if pool.zones:
        return pool.zones
    where = region(target)
    selling = zones_of(machine_id, where) if where else None
    named = tuple(zone for zone in target.zones if zone in (selling or ()))
    return named or target.zones


def makes_nodes(stack: StackSpec, pool: str | None) -> bool:
    """Whether the stack makes the nodes of a pool, or of services without one."""
    spec = stack.pools.get(pool or "")
    return stack.target.makes_pools and (spec is None or spec.create)


@dataclass(frozen=True)
class Lack:
    """Why nodes of a pool cannot be of a machine type: the field of the pool that is to blame, and the reason."""

    field: Literal["capacity", "zones"]
    why: str


def lack(pool: PoolSpec, target: Target, machine: Machine) -> Lack | None:
    """Why nodes of a pool that is made cannot be of this machine type, None where they can or nobody knows."""
    where = region(target)
    if where is None:
        return None
    selling = zones_of(machine.id, where)
    if selling is not None and not selling:
        return Lack("zones", f"is not sold in {where}")
    wanted = pool.zones or target.zones
    named_alike = set(selling or ()) & set(catalog().zones().get(where, ()))
    comparable = bool(named_alike) and any(zone in catalog().zones()[where] for zone in wanted)
    if selling and comparable and not set(selling) & set(wanted):
        return Lack("zones", f"is sold in {', '.join(selling)}, not in {', '.join(wanted)}")
    if all(sold(machine.id, way) is False for way in pool.capacity):
        return Lack("capacity", f"cannot be had as {' or '.join(pool.capacity)}")
    return None


def may_have(pool: PoolSpec, machine: Machine, target: Target) -> bool:
    """Whether nodes of a pool may be of this machine type: it names the type, or names none and leaves the choice."""
    if pool.machine_types:
        return machine.id in pool.machine_types
    return target.makes_pools and kind_of(machine) in pool.accelerators and not lack(pool, target, machine)


def any_pool(target: Target, machine: Machine) -> bool:
    """Whether a pool that nobody wrote down could have this machine type on this target."""
    if region(target) is None:
        return True
    return not lack(PoolSpec(accelerators=(kind_of(machine),), max_nodes=1), target, machine)
