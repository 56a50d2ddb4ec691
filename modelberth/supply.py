"""What is sold where: zones of a machine type, ways to get it, the quota it needs, and what is wrong with a wish.

What no source states is not known, and never an error: it is a warning that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from modelberth.catalog import Machine, Offer, catalog
from modelberth.clouds import quotas
from modelberth.clouds import zones as naming
from modelberth.clouds.quotas import QuotaNeed
from modelberth.errors import MACHINES_LISTED, UnknownName, suggest
from modelberth.findings import Finding, Level
from modelberth.names import Capacity

__all__ = [
    "QuotaNeed",
    "Sale",
    "addresses_needed",
    "disks_needed",
    "quota_needed",
    "region_of",
    "sales",
    "sold",
    "supply_findings",
    "table",
    "zones_of",
]

_NAMED = 6
"""How many zones, regions or machine types a message names."""


@dataclass(frozen=True)
class Sale:
    """One machine type in one region: the zones that sell it and the ways that are known to be possible."""

    machine: Machine
    region: str
    zones: tuple[str, ...]
    ways: tuple[Capacity, ...]


def zones_of(machine_id: str, region: str) -> tuple[str, ...] | None:
    """The zones of this region that sell this machine type, sorted; empty where none does, None where it is not known.

    Zones are those that mean the same for every account. Raises :class:`~modelberth.errors.UnknownName`.
    """
    offer = catalog().offer(catalog().machine(machine_id).id)
    if offer is None or (region not in offer.zones and not offer.exhaustive):
        return None
    return tuple(sorted(offer.zones.get(region, ())))


def sold(machine_id: str, capacity: Capacity) -> bool | None:
    """Whether this machine type can be had in this way, None where it is not known.

    Raises :class:`~modelberth.errors.UnknownName`.
    """
    ways = catalog().ways(catalog().machine(machine_id).id)
    if ways is None or capacity not in ways.sold | ways.not_sold:
        return None
    return capacity in ways.sold


def region_of(zone: str) -> str | None:
    """The region that a zone belongs to, None when no cloud names zones like this."""
    return naming.region_of(zone)


def quota_needed(machine_id: str, nodes: int, capacity: Capacity) -> tuple[QuotaNeed, ...] | None:
    """What so many nodes need of each quota of an account.

    Empty for reserved machines, which were counted when they were reserved; None where it is not known. Raises
    :class:`~modelberth.errors.UnknownName`.
    """
    return quotas.needs(catalog().machine(machine_id), nodes, capacity)


def disks_needed(machine_id: str, nodes: int, boot_disk_gib: int) -> tuple[QuotaNeed, ...]:
    """What boot disks of so many nodes need of each quota. Raises :class:`~modelberth.errors.UnknownName`."""
    return quotas.disk_needs(catalog().machine(machine_id), nodes, boot_disk_gib)


def addresses_needed(cloud: str, addresses: int) -> tuple[QuotaNeed, ...]:
    """What public addresses of NATs need of each quota."""
    return quotas.address_needs(cloud, addresses)


def sales(machine_id: str) -> tuple[Sale, ...]:
    """Every region that is known to sell this machine type. Raises :class:`~modelberth.errors.UnknownName`."""
    machine = catalog().machine(machine_id)
    offer = catalog().offer(machine.id)
    ways = tuple(way for way in Capacity if sold(machine.id, way))
    regions = sorted(offer.zones) if offer else ()
    return tuple(Sale(machine, region, zones_of(machine.id, region) or (), ways) for region in regions)


def table(machines: Iterable[str], region: str | None = None) -> list[str]:
    """Lines that say where these machine types are sold and in which ways, optionally in one region."""
    lines = [f"{'machine type':<18} {'region':<24} {'zones':<34} ways"]
    for machine_id in machines:
        found = sales(machine_id)
        if not found:
            lines.append(f"{machine_id:<18} {'unknown':<24} {'unknown':<34} {_ways(machine_id)}")
        for sale in found:
            if region in (None, sale.region):
                named = ", ".join(sale.zones)
                lines.append(f"{machine_id:<18} {sale.region:<24} {named:<34} {_ways(machine_id)}")
    return lines


def supply_findings(
    path: str,
    machine_id: str,
    zones: Mapping[str, str],
    capacity: Capacity | Iterable[Capacity],
    *,
    region: str | None = None,
) -> tuple[Finding, ...]:
    """What is wrong with wanting this machine type in these zones, each with the field that names it, in these ways.

    With a region, zones of another one are wrong too. ``path`` is the field of the pool; other findings are at its
    ``machine_type``, ``zones`` and ``capacity``.
    """
    wanted = (capacity,) if isinstance(capacity, Capacity) else tuple(capacity)
    try:
        machine = catalog().machine(machine_id)
    except UnknownName as error:
        remedy = f"one of {', '.join(error.suggestions)}" if error.suggestions else MACHINES_LISTED
        return (Finding("supply", f"{path}.machine_type", str(error), remedy),)
    return (
        *_zone_findings(f"{path}.zones", machine, zones, region),
        *_way_findings(f"{path}.capacity", machine, wanted),
    )


def _zone_findings(path: str, machine: Machine, wanted: Mapping[str, str], region: str | None) -> Iterator[Finding]:
    offer = catalog().offer(machine.id)
    if offer is None and wanted:
        yield Finding(
            "supply",
            path,
            f"which zones sell {machine.id} is not known",
            "check with the cloud that these zones sell it",
            Level.WARNING,
        )
    undecided: dict[str, list[str]] = {}
    for zone, place in wanted.items():
        found = naming.region_of(zone, machine.cloud)
        if found is None:
            yield _malformed(place, machine, zone, region)
        elif region is not None and found != region:
            remedy = f"a zone of {region} that sells {machine.id}: {_zones_in(machine, region)}"
            yield Finding("supply", place, f"{zone} is in {found}, not in {region}", remedy)
        elif offer is not None and _is_undecided(machine, offer, zone, found):
            undecided.setdefault(found, []).append(zone)
        elif offer is not None:
            yield from _not_there(place, machine, offer, zone, found)
    for found, zones in undecided.items():
        if offer and frozenset(offer.zones[found]) != catalog().zones().get(found):
            which = f"{' and '.join(zones)} {'are' if len(zones) > 1 else 'is'}"
            message = (
                f"{machine.id} is sold in {', '.join(offer.zones[found])}; which of them {which}, the account decides"
            )
            remedy = f"ask the account which of its zones have these ids (list of {offer.as_of})"
            yield Finding("supply", wanted[zones[0]].rpartition("[")[0], message, remedy, Level.NOTE)


def _is_undecided(machine: Machine, offer: Offer, zone: str, region: str) -> bool:
    """Whether the region sells it somewhere, and each account calls its zones as it likes."""
    there = offer.zones.get(region, ())
    return bool(there) and zone not in there and naming.is_name_of_account(zone, machine.cloud)


def _malformed(path: str, machine: Machine, zone: str, region: str | None) -> Finding:
    known = [each for name, every in catalog().zones().items() if region in (None, name) for each in every]
    near = [each for each in suggest(zone, known) if naming.region_of(each, machine.cloud)]
    if naming.is_region(zone, machine.cloud):
        return Finding("supply", path, f"{zone} is a region, not a zone", f"a zone of it: {_zones_in(machine, zone)}")
    remedy = f"did you mean {near[0]}?" if near else f"a zone such as {naming.example(machine.cloud)}"
    return Finding("supply", path, f"{zone!r} is no name of a zone where {machine.id} is sold", remedy)


def _not_there(path: str, machine: Machine, offer: Offer, zone: str, region: str) -> Iterator[Finding]:
    there = offer.zones.get(region, ())
    if zone in there:
        return
    where = f"the zones of {region} with it: {_listed(there)}" if there else f"regions with it: {_listed(offer.zones)}"
    known = [each for each in catalog().zones() if naming.is_region(each, machine.cloud)]
    if near := () if region in known else suggest(region, known, limit=1):
        where = f"did you mean {near[0]}? {where}"
    others = _others(machine, zone, region)
    instead = f"; with the same accelerator in {zone}: {_listed(others)}" if others else ""
    message = f"{zone} does not sell {machine.id} (list of {offer.as_of})"
    level = Level.ERROR if offer.exhaustive else Level.WARNING
    yield Finding("supply", path, message, where + instead, level)


def _way_findings(path: str, machine: Machine, wanted: tuple[Capacity, ...]) -> Iterator[Finding]:
    for number, way in enumerate(wanted):
        place = f"{path}[{number}]" if len(wanted) > 1 else path
        known = sold(machine.id, way)
        if known is None:
            message = f"whether {machine.id} can be had as {way} is not known"
            yield Finding("supply", place, message, f"ways that are known: {_ways(machine.id)}", Level.WARNING)
        elif not known:
            message = f"{machine.id} cannot be had as {way}"
            yield Finding("supply", place, message, f"ways to have it: {_ways(machine.id)}")


def _others(machine: Machine, zone: str, region: str) -> list[str]:
    """Machine types with the same accelerator in this zone; in its region, where the account decides on the zone."""
    if machine.gpu is None:
        return []
    anywhere = naming.is_name_of_account(zone, machine.cloud)
    return [
        other.id
        for other in catalog().machines(gpu=machine.gpu, cloud=machine.cloud)
        if (there := zones_of(other.id, region)) and (anywhere or zone in there)
    ]


def _zones_in(machine: Machine, region: str) -> str:
    return _listed(zones_of(machine.id, region) or ()) or "which one sells it is not known"


def _ways(machine_id: str) -> str:
    return ", ".join(way for way in Capacity if sold(machine_id, way)) or "unknown"


def _listed(names: Iterable[str]) -> str:
    every = sorted(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more
