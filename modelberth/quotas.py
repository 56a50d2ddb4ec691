"""What the node pools of a stack need of an account's quotas, and whether the account has it. Nothing is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from modelberth.clouds import accounts
from modelberth.clouds.limits import Limit
from modelberth.errors import UnknownName
from modelberth.findings import Finding, Level
from modelberth.names import Capacity
from modelberth.pools import PoolPlan
from modelberth.spec import StackSpec
from modelberth.supply import QuotaNeed, addresses_needed, disks_needed, quota_needed


@dataclass(frozen=True)
class Wanted:
    """What all pools want of one quota. ``need.amount`` is that of the nodes which services take, each by the first
    way that has it; ``at_most`` that of as many nodes as pools may have, in every way. ``paths`` are the pools' fields.
    """

    need: QuotaNeed
    at_most: int
    region: str | None
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Unknown:
    """Nodes of which nobody knows what quota they count against."""

    path: str
    machine_type: str
    capacity: Capacity


@dataclass(frozen=True)
class Quotas:
    """All that a stack wants of its account; empty where its target makes no nodes."""

    wanted: tuple[Wanted, ...] = ()
    unknown: tuple[Unknown, ...] = ()


NONE = Quotas()
"""What a stack wants that makes no nodes."""


@dataclass(frozen=True)
class _Nodes:
    path: str
    machine_type: str
    capacity: Capacity
    needed: int
    at_most: int
    boot_disk_gib: int
    disks: int
    """Boot disks that are needed at once: at first more than nodes, where one in each zone begins."""


def quotas(stack: StackSpec, pools: Sequence[PoolPlan]) -> Quotas:
    """What is wanted of each quota, by name, and for which nodes that is not known."""
    managed = stack.target.managed
    if managed is None:
        return NONE
    wanted: dict[str, Wanted] = {}
    unknown: list[Unknown] = []
    for nodes in _nodes(stack, pools):
        found = _needs(nodes)
        if found is None:
            unknown.append(Unknown(nodes.path, nodes.machine_type, nodes.capacity))
        for need, most in (*(found or ()), *_disks(nodes)):
            here = Wanted(need, most, managed.region if need.regional else None, (nodes.path,))
            wanted[need.name] = _sum(wanted[need.name], here) if need.name in wanted else here
    for here in _addresses(stack):
        wanted[here.need.name] = here
    return Quotas(tuple(wanted[name] for name in sorted(wanted)), tuple(unknown))


def _nodes(stack: StackSpec, pools: Sequence[PoolPlan]) -> Iterator[_Nodes]:
    managed = stack.target.managed
    if managed and managed.cluster is None:
        system, path = managed.system, f"target.{stack.target.kind}.system"
        least, most, gib = system.min_nodes, system.max_nodes, managed.system_disk_gib
        first = max(least, managed.first_system_nodes)
        yield _Nodes(path, system.machine_type, Capacity.ON_DEMAND, least, most, gib, first)
    for pool in pools:
        shares = pool.nodes_by_way
        for way in pool.ways:
            share, gib = shares[way.name], pool.decision.boot_disk_gib
            yield _Nodes(f"pools.{pool.name}", pool.machine.id, way.capacity, share, way.max_nodes, gib, share)


def _needs(nodes: _Nodes) -> tuple[tuple[QuotaNeed, int], ...] | None:
    """Each quota with what the most nodes count as."""
    try:
        each = quota_needed(nodes.machine_type, 1, nodes.capacity)
    except UnknownName:
        return None
    if each is None:
        return None
    return tuple((replace(one, amount=nodes.needed * one.amount), nodes.at_most * one.amount) for one in each)


def _disks(nodes: _Nodes) -> tuple[tuple[QuotaNeed, int], ...]:
    """The same of their boot disks."""
    try:
        each = disks_needed(nodes.machine_type, nodes.disks, nodes.boot_disk_gib)
    except UnknownName:
        return ()
    return tuple((need, max(nodes.at_most, nodes.disks) * nodes.boot_disk_gib) for need in each)


def _addresses(stack: StackSpec) -> Iterator[Wanted]:
    """Public addresses of the NATs of a network that is made."""
    managed = stack.target.managed
    if managed and managed.cluster is None and managed.network is None:
        for need in addresses_needed(stack.target.node_labels.value, managed.nats):
            yield Wanted(need, need.amount, managed.region, (f"target.{stack.target.kind}.zones",))


def _sum(one: Wanted, other: Wanted) -> Wanted:
    need = replace(one.need, amount=one.need.amount + other.need.amount)
    return Wanted(need, one.at_most + other.at_most, one.region, tuple(dict.fromkeys((*one.paths, *other.paths))))


def judge(stack: StackSpec, asked: Quotas, limits: Iterable[Limit], *, running: bool = False) -> list[Finding]:
    """What an account lacks, worst first: errors for what the services need, warnings for what pools may have at most.

    ``running``: the stack exists, and what is in use may be its own.
    """
    seen = tuple(limits)
    mine = accounts.names(stack.target)
    found = [*_strangers(stack, mine, seen)]
    known = {(each.quota, each.region): each for each in seen if each.account in mine}
    for each in asked.wanted:
        limit = known.get((each.need.code or each.need.name, each.region))
        if limit is None:
            message = f"{shown(each)}: the limit is not known; {_figures(each)}"
            out = accounts.how_to_raise(stack.target, each.need, each.need.amount)
            found.append(_finding(each.paths, message, f"look it up, and if it is less, {out}", Level.WARNING))
        elif limit.limit is not None:
            found.extend(_short(stack, each, limit.limit, limit.in_use, running))
    for each in asked.unknown:
        message = f"which quota {each.machine_type} as {each.capacity} counts against is not known"
        found.append(
            _finding((each.path,), message, "check with the cloud that the account may have it", Level.WARNING)
        )
    return sorted(found, key=lambda finding: list(Level).index(finding.level))


def _strangers(stack: StackSpec, mine: frozenset[str], seen: Sequence[Limit]) -> Iterator[Finding]:
    """Documents of another account or region: their figures are not counted."""
    managed = stack.target.managed
    region = managed.region if managed else None
    others = {each.account for each in seen if each.account not in mine}
    elsewhere = {each.region for each in seen if each.account in mine and each.region} - {region}
    path = f"target.{stack.target.kind}"
    if others:
        message = f"quotas of {', '.join(sorted(filter(None, others))) or 'no account'} were given, not of this account"
        yield Finding("quota", path, message, f"log in to {', '.join(sorted(mine))}")
    if elsewhere and all(each.region != region for each in seen if each.region):
        message = f"quotas of {', '.join(sorted(filter(None, elsewhere)))} were given, not of {region}"
        yield Finding("quota", path, message, "the output of the commands as they are printed")


def _short(stack: StackSpec, each: Wanted, limit: float, in_use: float | None, running: bool) -> Iterator[Finding]:
    """What the limit is too small for; where nothing is, but nobody says what is in use, that."""
    used = 0.0 if in_use is None else in_use
    others = 0.0 if running else used
    said = f"limit {limit:g}" + (", what is in use is not said" if in_use is None else f", {used:g} in use")
    message = f"{shown(each)}: {said}; {_figures(each)}"
    if limit - others < each.need.amount:
        more = accounts.how_to_raise(stack.target, each.need, each.need.amount + int(others))
        own = "; with --running where this stack's own nodes are in use" if each.need.amount <= limit else ""
        yield _finding(each.paths, f"{message}: too small", more + own, Level.ERROR)
    elif limit - others < each.at_most or (running and limit - used < each.need.amount):
        more = accounts.how_to_raise(stack.target, each.need, each.at_most + int(others))
        yield _finding(each.paths, f"{message}: enough for what is needed, not for the most", more, Level.WARNING)
    elif in_use is None and each.at_most:
        yield _finding(each.paths, message, "see that so much is free", Level.NOTE)


def shown(each: Wanted) -> str:
    """A quota by name, code and region."""
    code = f" ({each.need.code})" if each.need.code else ""
    return f"{each.need.name}{code} in {each.region or 'all regions together'}"


def _figures(each: Wanted) -> str:
    return f"services need {each.need.amount} {each.need.told}, pools may take {each.at_most}"


def _finding(paths: Sequence[str], message: str, out: str, level: Level) -> Finding:
    return Finding("quota", ", ".join(paths), message, out, level)


__all__ = ["NONE", "Quotas", "Unknown", "Wanted", "judge", "quotas", "shown"]
