"""A whole stack file as components: target, pools and weights first, services on top."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, cast

import pulumi
from pulumi.runtime import get_config_env

from modelberth import cluster
from modelberth.clouds.targets import maintained
from modelberth.fields import tidied
from modelberth.findings import Finding, refuse
from modelberth.lock import Settled, advice
from modelberth.pools import billed, own_pool, pool_of
from modelberth.preflight import judge, questions
from modelberth.spec import StackSpec

from . import monitoring
from .naming import PACKAGE
from .node_pool import GpuNodePool, GpuNodePoolArgs
from .service import LLMService, LLMServiceArgs
from .targets import MANAGED, ExistingCluster, Target
from .targets.existing import ExistingClusterArgs
from .weights import WeightStore, WeightStoreArgs


def configured() -> dict[str, Any]:
    """Everything that the stack's settings hold under this package's name, misspelt keys included."""
    found: dict[str, Any] = {}
    for name, text in sorted(get_config_env().items()):
        prefix, _, key = name.partition(":")
        if prefix == PACKAGE:
            try:
                found[key] = json.loads(text)
            except ValueError:
                found[key] = text
    return found


def deploy(
    stack: StackSpec, settled: Settled, root: Path, export: Callable[[str, Any], None] = lambda name, value: None
) -> dict[str, LLMService]:
    """Create everything; services by name. ``root`` is where a relative kubeconfig path starts, ``export`` takes what
    other stacks may want to know of the target.
    """
    target = _target(stack, root)
    for name, value in target.exports.items():
        export(name, value)
    pools = _pools(stack, settled, target)
    stores = {name: _store(name, stack, settled, target) for name in sorted(stack.weights)}
    if target.monitoring.operator:
        monitoring.dashboards(settled.plans, target)
    services: dict[str, LLMService] = {}
    waves: dict[int, list[LLMService]] = {}
    for plan in sorted(settled.plans, key=lambda plan: (plan.spec.wave, plan.service)):
        earlier = [service for wave, members in waves.items() if wave < plan.spec.wave for service in members]
        services[plan.service] = LLMService(
            plan.service,
            cast(LLMServiceArgs, {}),
            pulumi.ResourceOptions(depends_on=earlier),
            target=target,
            pool=pools.get(pool_of(plan.decision) if target.makes_pools else plan.decision.pool or ""),
            weights=stores.get(plan.decision.storage.store or ""),
            planned=plan,
        )
        waves.setdefault(plan.spec.wave, []).append(services[plan.service])
    return services


def objections(stack: StackSpec, root: Path, today: date) -> Iterator[Finding]:
    """What can be said of a target before anything is planned: a kubeconfig that is not there, a cluster that would be
    made of a version out of support.
    """
    named = stack.target.kubeconfig
    if named and not _kubeconfig(named, root).is_file():
        message = f"{_kubeconfig(named, root)} is not there"
        yield Finding("kubeconfig", "target.kubeconfig", message, "the path of a kubeconfig file")
    yield from maintained(stack.target, today)


def preflight(stack: StackSpec, settled: Settled, root: Path) -> tuple[Finding, ...]:
    """What an existing cluster lacks, as warnings; raises :class:`Refused` with everything when any of it stops."""
    target = stack.target
    if target.kind != "existing" or not target.preflight:
        return ()
    kubeconfig = _kubeconfig(target.kubeconfig, root) if target.kubeconfig else None
    seen = cluster.look(questions(stack, settled.plans), kubeconfig, target.context)
    found = judge(stack, settled.plans, seen)
    refuse(found)
    return tuple(found)


def _kubeconfig(named: str, root: Path) -> Path:
    return root / Path(named).expanduser()


def _pools(stack: StackSpec, settled: Settled, target: Target) -> dict[str, GpuNodePool]:
    """Pools by name: those of the stack, and on a target that makes them those that plans chose by themselves."""
    planned = {pool.name: pool for pool in settled.pools}
    implied = {name: own_pool(pool) for name, pool in planned.items() if name not in stack.pools}
    return {
        name: GpuNodePool(
            f"pool-{name}",
            cast(GpuNodePoolArgs, pool.model_dump(mode="json", exclude_unset=True)),
            target=target,
            planned=planned.get(name),
        )
        for name, pool in sorted({**stack.pools, **implied}.items())
    }


def _target(stack: StackSpec, root: Path) -> Target:
    wanted, defaults = stack.target, stack.defaults
    labels = dict(defaults.labels) | ({"modelberth.dev/owner": defaults.owner} if defaults.owner else {})
    args: dict[str, Any] = {
        "namespace": wanted.namespace,
        "labels": labels,
        "pod_annotations": dict(wanted.pod_annotations),
        "monitoring": defaults.monitoring.model_dump(exclude_none=True),
    }
    if wanted.storage_class:
        args["storage_class"] = wanted.storage_class
    if wanted.managed:
        cloud = wanted.managed.model_dump(mode="json", exclude_unset=True)
        billing = {"env": tidied(pulumi.get_stack(), 63), **defaults.billing}
        billing |= {"owner": tidied(defaults.owner, 63)} if defaults.owner else {}
        return MANAGED[wanted.kind]("target", {**args, wanted.kind: cloud, "billing": billing})
    args["node_labels"] = wanted.node_labels.value
    if wanted.kubeconfig:
        args["kubeconfig"] = str(_kubeconfig(wanted.kubeconfig, root))
    if wanted.context:
        args["context"] = wanted.context
    return ExistingCluster("target", cast(ExistingClusterArgs, args))


def _store(name: str, stack: StackSpec, settled: Settled, target: Target) -> WeightStore:
    """A store as it is stated; of the kind and size that its services were planned with, where that is left open."""
    users = [plan.decision for plan in settled.plans if plan.decision.storage.store == name]
    args = stack.weights[name].model_dump(
        mode="json", exclude_defaults=True, include={"kind", "claim", "path", "bucket", "prefix", "storage_class"}
    )
    args |= {"access_mode": stack.weights[name].access_mode, "model": billed(decision.model for decision in users)}
    if size_gib := stack.weights[name].size_gib or sum(decision.storage.size_gib or 0 for decision in users):
        args["size_gib"] = size_gib
    if users:
        args["kind"] = users[0].storage.kind
    return WeightStore(f"weights-{name}", cast(WeightStoreArgs, args), target=target)


def log(settled: Settled, more: Iterable[Finding] = ()) -> None:
    """Warnings and notes of the plan and ``more``, where the engine prints them."""
    for finding in (*more, *advice(settled)):
        text = f"{finding.path}: {finding.message}" + (f" ({finding.remedy})" if finding.remedy else "")
        (pulumi.log.warn if finding.level == "warning" else pulumi.log.info)(text)
