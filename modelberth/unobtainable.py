"""Why nothing that a pool asks for can be had where the target is: the field that is to blame, and what would do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from modelberth.catalog import Machine, catalog
from modelberth.errors import UnknownName
from modelberth.findings import Finding, Level
from modelberth.names import Capacity
from modelberth.offered import Lack, lack, region
from modelberth.placement import kind_of
from modelberth.spec import NodeLabels, PoolSpec, Target
from modelberth.supply import sales, sold, zones_of

OWN = NodeLabels.GENERIC.value
"""The cloud of nodes of one's own."""
_NAMED = 8
"""How many names a message lists."""


def strangers(name: str, pool: PoolSpec, target: Target) -> tuple[Finding, ...]:
    """Machine types of another cloud than the one that a target makes its nodes in, or that labelled those it finds."""
    labelled = target.node_labels in (NodeLabels.GCP, NodeLabels.AWS)
    return tuple(_strangers(name, pool, target)) if labelled else ()


def objections(name: str, pool: PoolSpec, target: Target) -> tuple[Finding, ...]:
    """Why a pool that leaves its machine type open can have none; empty where there is one, or nobody knows."""
    if not target.makes_pools or pool.machine_types:
        return ()
    machines = _with(pool.accelerators, target)
    wanted = ", ".join(pool.accelerators)
    if not machines:
        there = sorted({kind_of(machine) for machine in catalog().machines(cloud=target.node_labels.value)})
        message = f"no machine type of {target.kind} has {wanted}"
        return (Finding("no-machine", f"pools.{name}.accelerators", message, f"some of {', '.join(there)}"),)
    found = [lack(pool, target, machine) for machine in machines]
    lacks = [each for each in found if each]
    return () if len(lacks) < len(found) else (_why(name, pool, target, machines, lacks),)


def without_pools(path: str, accelerators: Sequence[str], target: Target) -> tuple[Finding, ...]:
    """Why a service that leaves pools to the plan can have no machine; ``path`` is the service's."""
    wanted = tuple(accelerators) or tuple(sorted({kind_of(machine) for machine in _every(target)}))
    if region(target) is None or not wanted:
        return ()
    found = objections("", PoolSpec(accelerators=wanted, max_nodes=1), target)
    elsewhere = {".accelerators": f"{path}.accelerators", ".capacity": f"{path}.accelerators", "": path}
    return tuple(replace(each, path=elsewhere.get(each.path.removeprefix("pools."), each.path)) for each in found)


def system(target: Target) -> Iterator[Finding]:
    """What speaks against the nodes of a cluster that is made which are not for models."""
    managed = target.managed
    if managed is None or managed.cluster is not None:
        return
    path, named = f"target.{target.kind}.system.machine_type", managed.system.machine_type
    try:
        machine = catalog().machine(named)
    except UnknownName as unknown:
        yield Finding("machine", path, str(unknown), "see that the cloud sells it there", Level.WARNING)
        return
    if machine.cloud != target.node_labels.value:
        yield Finding("machine", path, f"{named} is no machine type of {target.kind}", "leave it out for the usual one")
    elif kind_of(machine) != "cpu":
        message = f"{named} has {kind_of(machine)}, and these nodes are for what is not a model"
        yield Finding("machine", path, message, "leave it out for the usual one")
    elif zones_of(named, managed.region) == ():
        message = f"{named} is not sold in {managed.region}"
        yield Finding("machine", path, message, f"regions with it: {_regions([machine])}")


def _every(target: Target) -> tuple[Machine, ...]:
    return tuple(each for each in catalog().machines(cloud=target.node_labels.value) if kind_of(each) != "cpu")


def _with(accelerators: Sequence[str], target: Target) -> tuple[Machine, ...]:
    machines = catalog().machines(cloud=target.node_labels.value)
    return tuple(machine for machine in machines if kind_of(machine) in accelerators)


def _strangers(name: str, pool: PoolSpec, target: Target) -> Iterator[Finding]:
    for machine_id in pool.machine_types:
        try:
            machine = catalog().machine(machine_id)
        except UnknownName:
            continue  # said where names are looked up
        if machine.cloud == target.node_labels.value or (machine.cloud == OWN and not target.makes_pools):
            continue
        like = [each.id for each in _with((kind_of(machine),), target)]
        out = f"one with {kind_of(machine)} there: {_listed(like)}" if like else "a machine type of that cloud"
        message = f"{machine_id} is no machine type of {target.kind}"
        if not target.makes_pools:
            message = f"{machine_id} is no machine type of the cloud that labels nodes as {target.node_labels}"
            out += ", or node_labels as its nodes have them"
        yield Finding("machine", f"pools.{name}.machine_types", message, out)


def _why(name: str, pool: PoolSpec, target: Target, machines: Sequence[Machine], lacks: Sequence[Lack]) -> Finding:
    wanted = ", ".join(pool.accelerators)
    reasons: dict[str, list[str]] = {}
    for machine, each in zip(machines, lacks, strict=True):
        reasons.setdefault(each.why, []).append(machine.id)
    shown = "; ".join(f"{_some(names)} {_of(why, len(names))}" for why, names in reasons.items())
    fields = {each.field for each in lacks}
    message = f"no machine with {wanted} can be had so: {shown}"
    if fields == {"capacity"}:
        out = f"ways to have one: {_ways(machines)}"
        return Finding("no-machine", f"pools.{name}.capacity", message, out)
    if fields == {"zones"}:
        place = f"pools.{name}.zones" if pool.zones else f"target.{target.kind}.zones"
        return Finding("no-machine", place, message, _elsewhere(machines, region(target) or ""))
    out = f"{_elsewhere(machines, region(target) or '')}; ways to have one: {_ways(machines)}"
    return Finding("no-machine", f"pools.{name}", message, out)


def _elsewhere(machines: Sequence[Machine], where: str) -> str:
    zones = sorted({zone for machine in machines for zone in zones_of(machine.id, where) or ()})
    return f"zones of {where} with one: {', '.join(zones)}" if zones else f"regions with one: {_regions(machines)}"


def _regions(machines: Iterable[Machine]) -> str:
    return _listed(sorted({sale.region for machine in machines for sale in sales(machine.id) if sale.zones}))


def _ways(machines: Iterable[Machine]) -> str:
    every = tuple(machines)
    return ", ".join(way for way in Capacity if any(sold(machine.id, way) for machine in every)) or "unknown"


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _of(why: str, count: int) -> str:
    return f"are{why.removeprefix('is')}" if count > 1 and why.startswith("is ") else why


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


__all__ = ["objections", "strangers", "system", "without_pools"]
