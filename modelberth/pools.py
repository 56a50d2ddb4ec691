"""Node pools of a stack whose target makes them: what nodes, how many, where, got how; and what a change replaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from modelberth.boot_disks import boot_disk_gib, too_small
from modelberth.catalog import Machine, catalog
from modelberth.clouds.pool_changes import consequence
from modelberth.clouds.targets import pool_wishes, target_wishes
from modelberth.decision import Decision, PoolDecision
from modelberth.errors import MACHINES_LISTED, UnknownName
from modelberth.fields import LONGEST_NAME, tidied
from modelberth.findings import Finding, Level, Refused, refuse
from modelberth.names import Capacity
from modelberth.offered import region, zones
from modelberth.placement import kind_of
from modelberth.plan import Plan
from modelberth.spec import PoolSpec, Profile, Reservation, StackSpec
from modelberth.supply import region_of, supply_findings
from modelberth.unobtainable import strangers, system

_OF_MADE = ("min_nodes", "floor", "reservation", "boot_disk_gib")
"""Fields that shape nodes, and say nothing of those that exist."""

LONGEST_BILLED = 63
"""Characters of a label's value."""


def billed(models: Iterable[str]) -> str:
    """What a label says of the models that something is paid for."""
    return tidied("-".join(sorted({model.rpartition("/")[2] for model in models})), LONGEST_BILLED) or "none"


@dataclass(frozen=True)
class Way:
    """One way to get machines for a pool. ``name`` is that of the node pool that has it: unique in the stack."""

    capacity: Capacity
    name: str
    min_nodes: int
    max_nodes: int


@dataclass(frozen=True)
class PoolPlan:
    """One pool, planned. ``needed_nodes`` is the most that its services take; ``ways`` are in the order tried."""

    name: str
    machine: Machine
    decision: PoolDecision
    ways: tuple[Way, ...]
    needed_nodes: int
    reservation: Reservation | None = None
    models: tuple[str, ...] = ()
    """Models that its services serve."""

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones of its nodes."""
        return self.decision.zones

    @property
    def nodes_by_way(self) -> dict[str, int]:
        """Nodes of each way by its name, in all what services take at most: what each always has, then in order."""
        left = max(0, self.needed_nodes - sum(way.min_nodes for way in self.ways))
        found: dict[str, int] = {}
        for way in self.ways:
            more = min(left, way.max_nodes - way.min_nodes)
            found[way.name] = way.min_nodes + more
            left -= more
        return found

    @property
    def billing(self) -> dict[str, str]:
        """Labels that tell what its nodes are paid for."""
        return {"model": billed(self.models)}

    @property
    def accelerator(self) -> str | None:
        """GPU id of its nodes; None without."""
        return self.machine.gpu

    @property
    def several_nodes(self) -> bool:
        """Whether nodes share copies of a model."""
        return self.decision.several_nodes


@dataclass(frozen=True)
class PoolChange:
    """One field of a pool that differs from what is locked, and what follows for its nodes."""

    pool: str
    field: str
    before: str
    after: str
    consequence: str
    replaces: bool

    @property
    def told(self) -> str:
        """What changes, and whether the pool is replaced."""
        how = "replaces it: " if self.replaces else ""
        return f"{self.field} {self.before} -> {self.after}: {how}{self.consequence}"

    def __str__(self) -> str:
        return f"pool {self.pool}: {self.told}"


def pool_plans(stack: StackSpec, plans: Sequence[Plan]) -> tuple[tuple[PoolPlan, ...], list[Finding]]:
    """Every pool that is made, by name, and all that speaks against them. Empty where the target makes none."""
    if not stack.target.makes_pools:
        return (), list(_nothing_made(stack))
    made: list[PoolPlan] = []
    problems: list[Finding] = [*system(stack.target), *target_wishes(stack.target)]
    for name, pool, users in _used(stack, plans):
        problems.extend(_wishes(name, pool, stack, users))
        machine = _machine(name, pool, users, problems if len(plans) == len(stack.services) else [])
        foreign = strangers(name, pool, stack.target)
        problems.extend(foreign)
        if machine is not None and pool.create and not foreign:
            found = _planned(name, pool, stack, machine, users)
            problems.extend(pool_wishes(stack.target, f"pools.{name}", pool, found.zones))
            problems.extend(_objections(found, pool, region(stack.target)))
            problems.extend(_supply(found, pool, stack))
            problems.extend(too_small(f"pools.{name}", machine, pool.boot_disk_gib, users))
            made.append(found)
    problems.extend(_same_name(made))
    return tuple(made), problems


def _same_name(made: Sequence[PoolPlan]) -> Iterator[Finding]:
    """Each way of a pool with several has a node pool of its own, named after both."""
    owners: dict[str, str] = {}
    for pool in sorted(made, key=lambda pool: len(pool.ways)):
        for way in pool.ways:
            if way.name in owners:
                message = f"its nodes for {way.capacity} would be called {way.name}, as pool {owners[way.name]} is"
                yield Finding("name", f"pools.{pool.name}", message, "another name for one of the two")
            owners.setdefault(way.name, pool.name)


def alone(name: str, pool: PoolSpec, zones: tuple[str, ...]) -> PoolPlan:
    """A pool that a program makes by itself, for services to come. It names one machine type.

    Raises :class:`~modelberth.findings.Refused`.
    """
    problems: list[Finding] = []
    machine = _machine(name, pool, (), problems)
    if machine is None:
        raise Refused(problems)
    decision = PoolDecision(
        machine_type=machine.id,
        capacity=tuple(way.value for way in pool.capacity),
        zones=pool.zones or zones,
        boot_disk_gib=pool.boot_disk_gib or boot_disk_gib(machine, ()),
        reservation=pool.reservation.name if pool.reservation else None,
    )
    found = PoolPlan(name, machine, decision, tuple(_ways(name, pool)), pool.max_nodes, pool.reservation)
    refuse(_objections(found, pool))
    return found


def decisions(made: Sequence[PoolPlan]) -> dict[str, PoolDecision]:
    """What a lock keeps of pools."""
    return {pool.name: pool.decision for pool in made}


def changes(before: Mapping[str, PoolDecision], made: Sequence[PoolPlan]) -> tuple[PoolChange, ...]:
    """What differs from locked pools, replacements first. A pool that is new or gone is no change of one."""
    found: list[PoolChange] = []
    for pool in made:
        old = before.get(pool.name)
        if old is None:
            continue
        for field in type(old).model_fields:
            was, now = getattr(old, field), getattr(pool.decision, field)
            if was != now:
                follows = consequence(pool.machine.cloud, field)
                found.append(PoolChange(pool.name, field, _shown(was), _shown(now), follows.what, follows.replaces))
    return tuple(sorted(found, key=lambda change: (not change.replaces, change.pool, change.field)))


def pool_of(decision: Decision) -> str:
    """The pool of a decision on a target that makes pools: the one it names, or that of its machine type."""
    return decision.pool or tidied(decision.machine_type, LONGEST_NAME)


def _used(stack: StackSpec, plans: Sequence[Plan]) -> Iterator[tuple[str, PoolSpec, list[Plan]]]:
    """Every pool with its services: those of the stack, and one for each machine type that was chosen without one."""
    users: dict[str, list[Plan]] = {}
    for plan in plans:
        users.setdefault(pool_of(plan.decision), []).append(plan)
    for name in sorted({*stack.pools, *users}):
        mine = users.get(name, [])
        yield name, stack.pools.get(name) or _own_pool(mine), mine


def _own_pool(users: Sequence[Plan]) -> PoolSpec:
    accelerators = tuple({plan.decision.accelerator for plan in users})
    return PoolSpec(accelerators=accelerators, max_nodes=sum(plan.nodes for plan in users))


def own_pool(pool: PoolPlan) -> PoolSpec:
    """The spec of a pool that the plans chose by themselves."""
    return PoolSpec(
        accelerators=(kind_of(pool.machine),), machine_types=(pool.machine.id,), max_nodes=pool.ways[-1].max_nodes
    )


def _shown(value: object) -> str:
    return ", ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)


def _nothing_made(stack: StackSpec) -> Iterator[Finding]:
    """What only pools that are made can be told."""
    for name, pool in sorted(stack.pools.items()):
        for field in ("capacity", *_OF_MADE, "create"):
            if field in pool.model_fields_set:
                message = "shapes nodes that are made, and on this target they exist already"
                yield Finding("pool", f"pools.{name}.{field}", message, "leave it out")


def _machine(name: str, pool: PoolSpec, users: Sequence[Plan], problems: list[Finding]) -> Machine | None:
    """The one machine type of a pool: what its services chose, or what it states."""
    chosen = sorted({plan.decision.machine_type for plan in users}) or list(pool.machine_types)
    if len(chosen) == 1:
        try:
            return catalog().machine(chosen[0])
        except UnknownName as unknown:
            out = MACHINES_LISTED
            problems.append(Finding("pool", f"pools.{name}.machine_types", str(unknown), out))
    elif not chosen:
        message = "no service uses it, and nothing says what its nodes are"
        out = "name one machine type, or drop the pool"
        problems.append(Finding("pool", f"pools.{name}.machine_types", message, out))
    else:
        message = f"its nodes are of one machine type, and {', '.join(chosen)} are wanted"
        out = "name one of them, or give each service a pool of its own"
        problems.append(Finding("pool", f"pools.{name}.machine_types", message, out))
    return None


def _planned(name: str, pool: PoolSpec, stack: StackSpec, machine: Machine, users: Sequence[Plan]) -> PoolPlan:
    decision = PoolDecision(
        machine_type=machine.id,
        capacity=tuple(way.value for way in pool.capacity),
        zones=zones(pool, stack.target, machine.id),
        boot_disk_gib=pool.boot_disk_gib or boot_disk_gib(machine, users),
        several_nodes=any(plan.decision.pipeline_parallel > 1 for plan in users),
        reservation=pool.reservation.name if pool.reservation else None,
    )
    needed = sum(plan.nodes for plan in users)
    models = tuple(sorted({plan.decision.model for plan in users}))
    return PoolPlan(name, machine, decision, tuple(_ways(name, pool)), needed, pool.reservation, models)


def _ways(name: str, pool: PoolSpec) -> Iterator[Way]:
    """A node pool for each way; where there are several, each is named after its way."""
    least = pool.min_nodes
    for way in pool.capacity:
        own = name if len(pool.capacity) == 1 else f"{name}-{way.value}"
        if pool.floor and way is Capacity.ON_DEMAND:
            yield Way(way, own, pool.floor, pool.floor)
        elif pool.floor and way is Capacity.SPOT:
            yield Way(way, own, max(0, least - pool.floor), pool.max_nodes - pool.floor)
        else:
            yield Way(way, own, least, pool.max_nodes)
        least = 0 if not pool.floor else least


def _wishes(name: str, pool: PoolSpec, stack: StackSpec, users: Sequence[Plan]) -> Iterator[Finding]:
    """What a pool's spec and its services contradict each other in."""
    path = f"pools.{name}"
    yield from _outside(f"{path}.zones", pool, stack)
    if not pool.create and not pool.machine_types:
        message = "is required with create: false: the nodes exist, say what they are"
        yield Finding("pool", f"{path}.machine_types", message, "machine_types: [NAME]")
    for field in _OF_MADE:
        if not pool.create and field in pool.model_fields_set:
            message = "shapes nodes that are made, and with create: false they exist already"
            yield Finding("pool", f"{path}.{field}", message, "leave it out, or create: true")
    spot_alone = set(pool.capacity) <= {Capacity.SPOT, Capacity.FLEX_START}
    for plan in users:
        prod = stack.profile_of(plan.service) is Profile.PROD
        if Capacity.SPOT in pool.capacity and plan.decision.pipeline_parallel > 1:
            nodes = plan.decision.pipeline_parallel
            message = f"{plan.service} needs {nodes} nodes at once, and each spot node that is taken away ends them all"
            level = Level.ERROR if prod else Level.WARNING
            yield Finding("spot", f"{path}.capacity", message, "capacity: [reservation] or [on-demand]", level)
        elif spot_alone and prod and plan.spec.fewest_replicas < 2:
            message = f"{plan.service} has one replica, and nothing serves when its node is taken away"
            yield Finding(
                "spot", f"{path}.capacity", message, "capacity: [on-demand, spot] with floor: 1, or two replicas"
            )
        if plan.decision.pipeline_parallel > 1 and len(pool.zones or stack.target.zones) > 1:
            message = f"{plan.service} takes several nodes that must be close together, in one zone"
            yield Finding(
                "zone", f"{path}.zones", message, f"zones: [{(pool.zones or stack.target.zones)[0]}], for example"
            )


def _outside(path: str, pool: PoolSpec, stack: StackSpec) -> Iterator[Finding]:
    """Zones of a pool that the target does not have."""
    here, theirs = region(stack.target), ", ".join(stack.target.zones)
    for number, zone in enumerate(pool.zones):
        if zone not in stack.target.zones:
            also = region_of(zone) == here
            message = f"{zone} is not among the zones of the target"
            out = f"some of {theirs}, or name it there too" if also else f"some of {theirs}, in {here}"
            yield Finding("zone", f"{path}[{number}]", message, out)


def _supply(pool: PoolPlan, spec: PoolSpec, stack: StackSpec) -> Iterator[Finding]:
    """Zones without the machine type, ways that it is not sold in; what nobody knows is a warning."""
    ways, named = tuple(way.capacity for way in pool.ways), stack.target.zones
    stated = f"pools.{pool.name}.zones" if spec.zones else f"target.{stack.target.kind}.zones"
    order = spec.zones or named
    places = {zone: f"{stated}[{order.index(zone)}]" for zone in pool.zones if zone in named}
    yield from supply_findings(f"pools.{pool.name}", pool.machine.id, places, ways, region=region(stack.target))


def _objections(pool: PoolPlan, spec: PoolSpec, where: str | None = None) -> Iterator[Finding]:
    """What speaks against the nodes that were planned; ``where`` is the region of their target."""
    path, reserved = f"pools.{pool.name}", spec.reservation
    if kind_of(pool.machine) not in spec.accelerators:
        return  # said where names are looked up
    if reserved and reserved.machine_type not in (None, pool.machine.id):
        message = f"{reserved.name} reserves {reserved.machine_type}, the pool's nodes are {pool.machine.id}"
        yield Finding("reservation", f"{path}.reservation.machine_type", message, "make the two agree")
    far = [zone for zone in reserved.zones if region_of(zone) not in (None, where)] if reserved and where else []
    if reserved and far:
        message = f"{reserved.name} lies in {', '.join(far)}, and the pool in {where}"
        yield Finding("reservation", f"{path}.reservation.zones", message, f"a reservation in {where}")
    elif reserved and reserved.zones and not set(pool.zones) <= set(reserved.zones):
        message = f"{reserved.name} lies in {', '.join(reserved.zones)}, the pool in {', '.join(pool.zones)}"
        yield Finding("reservation", f"{path}.zones", message, f"zones: [{', '.join(reserved.zones)}]")


__all__ = [
    "PoolChange",
    "PoolPlan",
    "Way",
    "alone",
    "billed",
    "boot_disk_gib",
    "changes",
    "decisions",
    "own_pool",
    "pool_of",
    "pool_plans",
]
