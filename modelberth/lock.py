"""Plans are locked: what was decided is a committed file beside the stack, and it holds while spec and rules allow.

A newer catalog, price or constant never changes a locked decision. ``satisfies`` says what a spec asks beyond it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from modelberth.awaited import awaited
from modelberth.catalog import catalog
from modelberth.clouds import node_profile
from modelberth.conflicts import conflicts
from modelberth.costs import NOTHING, Bill, bill
from modelberth.decision import Decision, PoolDecision
from modelberth.fabric import fabric_of
from modelberth.features import beyond
from modelberth.findings import Finding, Level, Refused, errors
from modelberth.fit import Verdict
from modelberth.lockfile import Lock, Locked, dump, load, pools_of
from modelberth.offered import may_have
from modelberth.plan import Plan, plan, replay, together
from modelberth.pools import PoolChange, PoolPlan, pool_plans
from modelberth.pools import changes as pool_changes
from modelberth.pools import decisions as pool_decisions
from modelberth.quotas import NONE, Quotas, quotas
from modelberth.resolve import unknown_versions
from modelberth.spec import EngineName, Profile, Quantization, ServiceSpec, StackSpec
from modelberth.units import MIB
from modelberth.weights import moved_weights


@dataclass(frozen=True)
class Change:
    """One field that differs between two decisions."""

    service: str
    field: str
    before: str
    after: str

    @property
    def replaces_machines(self) -> bool:
        """Whether nodes are replaced, not only pods."""
        return self.field in ("machine_type", "accelerator")

    def __str__(self) -> str:
        return f"{self.service}: {self.field} {self.before} -> {self.after}"


def changes(before: Lock, after: Lock) -> tuple[Change, ...]:
    """Every difference, machine replacements first."""
    found = [
        change for name in sorted({*before, *after}) for change in _changes(name, before.get(name), after.get(name))
    ]
    return tuple(sorted(found, key=lambda change: (not change.replaces_machines, change.service, change.field)))


def _changes(name: str, before: Decision | None, after: Decision | None) -> Iterator[Change]:
    if before is None or after is None:
        yield Change(
            name, "service", "absent" if before is None else "planned", "absent" if after is None else "planned"
        )
        return
    old, new = _flat(before.model_dump(mode="json")), _flat(after.model_dump(mode="json"))
    for field in sorted({*old, *new}):
        if old.get(field) != new.get(field):
            yield Change(name, field, str(old.get(field)), str(new.get(field)))


def _flat(fields: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, list):
            value = _by_name(cast("list[object]", value))
        if isinstance(value, Mapping):
            flat |= _flat(cast("Mapping[str, object]", value), f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _by_name(items: list[object]) -> object:
    """A list of named things as a mapping, so that one more is one change."""
    named = [cast("Mapping[str, object]", item) for item in items if isinstance(item, Mapping)]
    if len(named) < len(items) or any("name" not in item for item in named):
        return items
    return {str(item["name"]): {key: value for key, value in item.items() if key != "name"} for item in named}


def outgrown(name: str, stack: StackSpec, decision: Decision) -> tuple[str, ...]:
    """What the spec asks that the decision does not give; empty while the decision satisfies it."""
    return tuple(_outgrown(stack.services[name], stack, decision))


def _outgrown(spec: ServiceSpec, stack: StackSpec, decision: Decision) -> Iterator[str]:
    if spec.model.id != decision.model:
        yield f"model is {spec.model.id}, locked {decision.model}"
    if spec.model.revision not in (None, decision.source.revision):
        yield f"model.revision is {spec.model.revision}, locked {decision.source.revision}"
    if spec.context > decision.context:
        yield f"context is {spec.context}, locked {decision.context}"
    if spec.concurrency > decision.concurrency:
        yield f"concurrency is {spec.concurrency}, locked {decision.concurrency}"
    stated = {
        "engine": (spec.engine, EngineName.AUTO, decision.engine),
        "quantization": (spec.quantization, Quantization.AUTO, decision.quantization),
        "engine_version": (_stated_version(spec, stack, decision), None, decision.engine_version),
        "tensor_parallel": (spec.tensor_parallel, None, decision.tensor_parallel),
        "pipeline_parallel": (spec.pipeline_parallel, None, decision.pipeline_parallel),
        "gpu_memory_utilization": (spec.gpu_memory_utilization, None, decision.gpu_memory_utilization),
        "pool": (spec.pool, None, decision.pool),
    }
    for field, (wanted, free, locked) in stated.items():
        if wanted not in (free, locked):
            yield f"{field} is {wanted}, locked {locked}"
    if spec.kv_cache_dtype.value != decision.kv_cache_dtype:
        yield f"kv_cache_dtype is {spec.kv_cache_dtype}, locked {decision.kv_cache_dtype}"
    if spec.accelerators and decision.accelerator not in spec.accelerators:
        yield f"accelerators are {', '.join(spec.accelerators)}, locked {decision.accelerator}"
    yield from beyond(spec, decision)
    yield from _moved(spec, stack, decision)
    yield from _impossible(decision)


def _impossible(decision: Decision) -> Iterator[str]:
    """What no plan would have written: a lock edited by hand, or made for other facts."""
    versions = catalog().engine(decision.engine).versions
    if decision.engine_version not in versions:
        yield f"{decision.engine} {decision.engine_version} is locked, known are {', '.join(versions)}"
    machine = catalog().machine(decision.machine_type)
    if decision.gpus_per_pod > machine.gpu_count:
        yield f"{decision.gpus_per_pod} GPUs are locked, a {machine.id} has {machine.gpu_count}"
    if decision.pipeline_parallel > 1 and fabric_of(machine) is None:
        yield f"{decision.pipeline_parallel} nodes for a replica are locked, no fast fabric joins those of {machine.id}"
    profile = node_profile(machine.id)
    if decision.host.memory_mib * MIB > profile.allocatable_memory_bytes:
        yield f"{decision.host.memory_mib} MiB of memory are locked, more than a {machine.id} gives to pods"
    if decision.host.cpu_millicores > profile.allocatable_cpu_millicores:
        yield f"{decision.host.cpu_millicores} millicores are locked, more than a {machine.id} gives to pods"


def _stated_version(spec: ServiceSpec, stack: StackSpec, decision: Decision) -> str | None:
    """The engine version that a person wrote, for the service or for the stack; None leaves it to the catalog."""
    return spec.engine_version or stack.defaults.engine_versions.get(EngineName(decision.engine))


def _moved(spec: ServiceSpec, stack: StackSpec, decision: Decision) -> Iterator[str]:
    pool = stack.pools.get(decision.pool or "")
    if decision.pool and pool is None:
        yield f"there is no pool {decision.pool} any more"
    elif pool and not may_have(pool, catalog().machine(decision.machine_type), stack.target):
        yield f"pool {decision.pool} no longer has {decision.machine_type}"
    if stack.pools and decision.pool is None:
        yield "pools are defined, locked without one"
    yield from moved_weights(spec, stack, decision)


@dataclass(frozen=True)
class Settled:
    """The plans of a stack and the lock they stand for. ``better`` names what a fresh plan would change.

    ``pools`` are those that are made, ``pool_changes`` what differs from the locked ones.
    """

    plans: tuple[Plan, ...]
    lock: Lock
    better: tuple[Change, ...]
    new: tuple[str, ...]
    pools: tuple[PoolPlan, ...] = ()
    pool_changes: tuple[PoolChange, ...] = ()
    unwritten: bool = False
    """Whether the lock file says something else, or nothing yet, of a service or a pool."""
    remarks: tuple[Finding, ...] = ()
    """Warnings and notes about pools, and about Secrets that must be there."""
    bill: Bill = NOTHING
    """What the stack costs, component by component."""
    quotas: Quotas = NONE
    """What its pools want of the account's quotas."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings of all plans and pools."""
        return (*(finding for each in self.plans for finding in each.findings), *self.remarks)


def settle(
    stack: StackSpec,
    lock: Lock,
    *,
    stack_name: str = "STACK",
    update: bool = False,
    only: Collection[str] = (),
    found: Iterable[Finding] = (),
) -> Settled:
    """Plan every service, locked decisions first. Raises :class:`Refused` with the problems of all services at once,
    and with those that were ``found`` before.

    Without a lock entry profile ``dev`` plans anew, ``prod`` refuses. With ``update`` everything is planned anew,
    or just the services named by ``only``: the others keep what is locked.
    """
    if strangers := sorted(set(only) - set(stack.services)):
        known = ", ".join(sorted(stack.services))
        raise Refused([Finding("name", "services", f"no service is called {', '.join(strangers)}", f"one of {known}")])
    plans: list[Plan] = []
    better: list[Change] = []
    known_before = tuple(found)
    problems: list[Finding] = [*errors(known_before), *unknown_versions(stack)]
    command = f"modelberth plan --update {stack_name}"
    for name in sorted(stack.services):
        try:
            anew = update and (not only or name in only)
            known = lock.get(name) or lock.get(stack.services[name].called(name))
            chosen, fresher = _settle_one(name, stack, None if anew else known, command, update)
        except Refused as refused:
            problems.extend(refused.findings)
            continue
        plans.append(chosen)
        better.extend(fresher)
    problems.extend(conflicts(stack, plans))
    problems.extend(finding for each in plans for finding in errors(each.findings))
    pools, objections = pool_plans(stack, plans)
    before = pools_of(lock)
    moved = pool_changes(before, pools)
    problems.extend(errors(objections))
    problems.extend(_unlocked_pools(stack, before, pools, moved, command) if not update else ())
    if problems:
        raise Refused(dict.fromkeys(problems))
    new = [each.service for each in plans if each.service not in lock]
    decided = Locked({each.service: each.decision for each in plans}, pool_decisions(pools))
    said = (*known_before, *objections)
    advised = (*(each for each in said if each.level is not Level.ERROR), *awaited(stack, plans))
    unwritten = bool(new) or decided.pools != before
    return Settled(
        together(stack, plans),
        decided,
        tuple(better),
        tuple(new),
        pools,
        moved,
        unwritten,
        advised,
        bill(stack, plans, pools),
        quotas(stack, pools),
    )


def _unlocked_pools(
    stack: StackSpec,
    before: Mapping[str, PoolDecision],
    pools: Sequence[PoolPlan],
    moved: Sequence[PoolChange],
    command: str,
) -> Iterator[Finding]:
    """Pools of a stack that must be locked, and are not, or otherwise."""
    if stack.defaults.profile is not Profile.PROD:
        return
    for pool in pools:
        if pool.name not in before:
            message = "profile prod needs a committed plan lock, and there is none for this pool"
            yield Finding("unlocked", f"pools.{pool.name}", message, f"run: {command}")
    for change in moved:
        message = f"the spec no longer matches the locked pool: {change}"
        yield Finding("outgrown", f"pools.{change.pool}", message, f"run: {command}")


def _settle_one(
    name: str, stack: StackSpec, locked: Decision | None, command: str, update: bool
) -> tuple[Plan, tuple[Change, ...]]:
    if locked is None:
        if not update and stack.profile_of(name) is Profile.PROD:
            message = "profile prod needs a committed plan lock, and there is none for this service"
            raise Refused([Finding("unlocked", f"services.{name}", message, f"run: {command}")])
        return plan(name, stack), ()
    beyond = outgrown(name, stack, locked)
    if beyond:
        plan(name, stack)  # what no plan could give has a better message than the lock's
        message = f"the spec no longer matches the locked plan: {'; '.join(beyond)}"
        raise Refused([Finding("outgrown", f"services.{name}", message, f"run: {command}")])
    kept = replay(name, stack, locked)
    if kept.fit.verdict is Verdict.DOES_NOT_FIT or kept.fit.memory is None:
        raise Refused([Finding("does-not-fit", f"services.{name}", kept.fit.why, f"run: {command}")])
    try:
        fresh = plan(name, stack)
    except Refused:
        return kept, ()
    return kept, changes({name: locked}, {name: _as_locked(fresh.decision, locked)})


def _as_locked(fresh: Decision, locked: Decision) -> Decision:
    """A fresh decision with the headroom that the lock keeps on purpose: it is no improvement to shrink it."""
    return fresh.model_copy(update={"context": locked.context, "concurrency": locked.concurrency})


def advice(settled: Settled) -> tuple[Finding, ...]:
    """Warnings and notes, the one about a better plan included."""
    found = [finding for finding in settled.findings if finding.level is not Level.ERROR]
    for change in settled.pool_changes:
        level = Level.WARNING if change.replaces else Level.NOTE
        found.append(Finding("pool-change", f"pools.{change.pool}", change.told, "", level))
    for change in settled.better:
        found.append(
            Finding(
                "better-plan",
                f"services.{change.service}",
                f"a fresh plan would change {change.field}: {change.before} -> {change.after}",
                "modelberth plan --update",
                Level.NOTE,
            )
        )
    return tuple(found)


__all__ = ["Change", "Lock", "Locked", "Settled", "advice", "changes", "dump", "load", "outgrown", "settle"]
