"""What a stack costs, component by component, from dated list prices; what has no price is unknown, never nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelberth.catalog import catalog
from modelberth.catalog.offers import Item, Unit
from modelberth.decision import Source
from modelberth.names import Capacity
from modelberth.offered import price, region
from modelberth.plan import Plan
from modelberth.pools import PoolPlan, Way
from modelberth.spec import StackSpec, WeightsSpec
from modelberth.targets import Eks, Gke
from modelberth.units import GIB, ceil_to

HOURS_PER_MONTH = 730
"""365 days of 24 hours over twelve months, as clouds count it."""


@dataclass(frozen=True)
class Cost:
    """What one component costs with all that the plans need of it. ``usd_per_hour`` is None where no price is known.

    ``why`` is the arithmetic, or what is missing.
    """

    component: str
    usd_per_hour: float | None
    why: str
    as_of: str | None = None

    @property
    def usd_per_month(self) -> float | None:
        """The same for a month of 730 hours."""
        return None if self.usd_per_hour is None else self.usd_per_hour * HOURS_PER_MONTH


@dataclass(frozen=True)
class Bill:
    """All components. Sums are of what is known; ``unknown`` names the rest."""

    costs: tuple[Cost, ...]

    @property
    def usd_per_hour(self) -> float:
        """The sum of what is known."""
        return sum(cost.usd_per_hour or 0 for cost in self.costs)

    @property
    def usd_per_month(self) -> float:
        """The same for a month."""
        return self.usd_per_hour * HOURS_PER_MONTH

    @property
    def unknown(self) -> tuple[str, ...]:
        """Components without a price."""
        return tuple(cost.component for cost in self.costs if cost.usd_per_hour is None)


NOTHING = Bill(())
"""The bill of a stack that makes no machines."""


def bill(stack: StackSpec, plans: Sequence[Plan], pools: Sequence[PoolPlan]) -> Bill:
    """Every component that a stack makes and pays for; empty where the target makes nothing."""
    if not stack.target.makes_pools:
        return NOTHING
    return Bill((*_cluster(stack), *_pools(stack, pools), *_volumes(stack, plans), *_beside(stack, plans)))


def _pools(stack: StackSpec, pools: Sequence[PoolPlan]) -> Iterator[Cost]:
    for pool in pools:
        shares = pool.nodes_by_way
        for way in pool.ways:
            if shares[way.name]:
                yield _machines(stack, pool, way, shares[way.name])
        nodes = sum(shares.values())
        yield _stored(stack, f"pool {pool.name}: boot disks", Item.BOOT_DISK, nodes, pool.decision.boot_disk_gib)


def _machines(stack: StackSpec, pool: PoolPlan, way: Way, nodes: int) -> Cost:
    component = f"pool {way.name}: {nodes} x {pool.machine.id} ({way.capacity})"
    asked = Capacity.SPOT if way.capacity is Capacity.SPOT else Capacity.ON_DEMAND
    known = price(stack.target, pool.machine.id, asked)
    if known is None:
        where = region(stack.target) or "this region"
        return Cost(component, None, f"no {asked} price of {pool.machine.id} in {where} is known")
    why = f"{nodes} x {known.usd_per_hour:.4f} USD, {asked} list price"
    if way.capacity is Capacity.RESERVATION:
        why += f", which a reservation costs too{_committed(stack, pool.machine.id)}"
    if way.capacity is Capacity.FLEX_START:
        why += ", at most: flex-start is sold below it"
    return Cost(component, nodes * known.usd_per_hour, why, known.as_of.isoformat())


def _committed(stack: StackSpec, machine_id: str) -> str:
    """What a commitment would make of it, where that is known."""
    where = region(stack.target) or ""
    known = [(years, catalog().commitment(machine_id, years)) for years in (1, 3)]
    told = [
        f"{years} year{'s' if years > 1 else ''} {row.usd_per_hour[where]:.4f}"
        for years, row in known
        if row and where in row.usd_per_hour
    ]
    return f"; committed: {', '.join(told)}" if told else ""


def _cluster(stack: StackSpec) -> Iterator[Cost]:
    managed, cloud = stack.target.managed, stack.target.node_labels.value
    if managed is None or managed.cluster is not None:
        return
    rate = catalog().rate(cloud, Item.CLUSTER)
    usd = rate.usd(managed.region) if rate else None
    yield Cost("control plane", usd, rate.name if rate else "no price is known", rate and rate.as_of.isoformat())
    yield from _system(stack, managed)
    if managed.network is None:
        yield from _nat(managed, cloud)


def _system(stack: StackSpec, managed: Gke | Eks) -> Iterator[Cost]:
    """Nodes for what is not a model, as many as there are always."""
    system = managed.system
    listed = price(stack.target, system.machine_type)
    component = f"system pool: {system.min_nodes} x {system.machine_type}"
    if listed is None:
        yield Cost(component, None, f"no price of {system.machine_type} in {managed.region} is known")
    else:
        why = f"{system.min_nodes} x {listed.usd_per_hour:.4f} USD, at most {system.max_nodes} nodes"
        yield Cost(component, system.min_nodes * listed.usd_per_hour, why, listed.as_of.isoformat())
    yield _stored(stack, "system pool: boot disks", Item.BOOT_DISK, system.min_nodes, managed.system_disk_gib)


def _nat(managed: Gke | Eks, cloud: str) -> Iterator[Cost]:
    """The way out of a network that is made."""
    rate = catalog().rate(cloud, Item.NAT)
    usd = rate.usd(managed.region) if rate else None
    if rate is None or usd is None:
        yield Cost("NAT with addresses and traffic", None, "no price is known")
        return
    count = f"{managed.nats} x " if managed.nats > 1 else ""
    yield Cost("NAT", managed.nats * usd, f"{count}{rate.name}", rate.as_of.isoformat())
    yield Cost("addresses and traffic of the NAT", None, "what passes through is not known, nor a price of addresses")


def _beside(stack: StackSpec, plans: Sequence[Plan]) -> Iterator[Cost]:
    """What is made beside machines and storage, and of which neither price nor amount is known."""
    managed = stack.target.managed
    if managed is None:
        return
    stores = any(each.kind.in_bucket and not each.bucket for each in stack.weights.values())
    buckets = any(each.decision.storage.in_bucket and each.decision.storage.bucket is None for each in plans)
    if managed.kms_key is None and (managed.cluster is None or stores or buckets):
        yield Cost("encryption key", None, "no price of a key and its use is known")
    if managed.cluster is None:
        flows = " and flow logs" if managed.network is None else ""
        yield Cost(f"logs{flows}", None, "how much is written is not known")


def _volumes(stack: StackSpec, plans: Sequence[Plan]) -> Iterator[Cost]:
    """Claims of services and of the stack, on the kind of disk that a cluster's default class gives."""
    sizes: dict[str, int] = {}
    for name, store in sorted(stack.weights.items()):
        if store.size_gib and _usual(store, stack):
            sizes[f"weights {name}"] = store.size_gib
        elif store.size_gib:
            named = store.storage_class or stack.target.storage_class
            of = f"storage class {named}" if named else f"a {store.access_mode} volume"
            yield Cost(f"weights {name}, {store.size_gib} GiB", None, f"what {of} costs is not known")
    for plan in plans:
        storage = plan.decision.storage
        if storage.store is None and storage.size_gib:
            sizes[f"weights of {plan.service}"] = storage.size_gib
    for component, size in sizes.items():
        yield _stored(stack, component, Item.BOOT_DISK, 1, size)
    yield from _buckets(stack, plans)


def _buckets(stack: StackSpec, plans: Sequence[Plan]) -> Iterator[Cost]:
    """Buckets that are filled, made or not: every model in them twice, as while one revision replaces the other."""
    held: dict[str, set[Source]] = {}
    for plan in plans:
        storage = plan.decision.storage
        if storage.in_bucket and plan.launch.fetch:
            name = f"weights {storage.store}" if storage.store else f"weights of {plan.service}"
            name += f": what is added to bucket {storage.bucket}" if storage.bucket else ": bucket"
            held.setdefault(name, set()).update((plan.decision.source, *plan.decision.beside))
    for component, sources in held.items():
        size_gib = ceil_to(2 * sum(source.stored_bytes for source in sources) / GIB, 1)
        yield _stored(stack, component, Item.BUCKET, 1, size_gib)


def _usual(store: WeightsSpec, stack: StackSpec) -> bool:
    """Whether a claim lies on a disk of the cluster's default class, as far as the stack says."""
    return not (store.storage_class or stack.target.storage_class or store.access_mode == "ReadWriteMany")


def _stored(stack: StackSpec, component: str, item: Item, count: int, size_gib: int) -> Cost:
    """What lies on disks, paid by the month and told by the hour."""
    where = region(stack.target) or ""
    rate = catalog().rate(stack.target.node_labels.value, item)
    usd = rate.usd(where) if rate else None
    named = f"{component}, {count} x {size_gib} GiB" if count > 1 else f"{component}, {size_gib} GiB"
    if rate is None or usd is None or rate.unit is not Unit.GIB_MONTH:
        return Cost(named, None, f"no price of {rate.name if rate else item.value} in {where} is known")
    hourly = count * size_gib * usd / HOURS_PER_MONTH
    return Cost(named, hourly, f"{rate.name} at {usd:g} USD per GiB and month", rate.as_of.isoformat())
