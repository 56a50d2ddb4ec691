"""LLMService: one model, served. From a short spec to running pods."""

from typing import Any, NotRequired, cast

import pulumi

from modelberth import parse
from modelberth.conflicts import conflicts
from modelberth.decision import digest
from modelberth.findings import Finding, Refused, refuse
from modelberth.parts import Monitoring
from modelberth.plan import Plan, plan
from modelberth.pools import billed
from modelberth.spec import Defaults, StackSpec
from modelberth.spec import Target as TargetSpec

from .args import ServiceArgs
from .engine import EngineDeployment
from .naming import token
from .node_pool import GpuNodePool, placed
from .options import child, refused, register
from .targets import ExistingCluster, Target
from .targets.existing import ExistingClusterArgs, monitoring_of, spec_of
from .weights import WeightStore


class LLMServiceArgs(ServiceArgs):
    """One model to serve, and where."""

    target: NotRequired[ExistingClusterArgs]
    """The cluster; default: the one of the ambient kubeconfig. Python callers may pass a Target object instead."""


class LLMService(pulumi.ComponentResource):
    """One model, served behind an OpenAI-compatible API."""

    endpoint: pulumi.Output[str]
    """Base URL of the OpenAI-compatible API, inside the cluster."""
    url: pulumi.Output[str | None]
    """The same from outside, through the door; null without one."""
    plan: pulumi.Output[dict[str, Any]]
    """What was decided, with every figure."""
    usd_per_hour: pulumi.Output[float | None]
    """On-demand list price of all replicas' nodes; null when unknown."""
    gpu_nodes: pulumi.Output[int]
    """Nodes that the replicas need."""

    def __init__(
        self,
        name: str,
        args: LLMServiceArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        target: Target | None = None,
        pool: GpuNodePool | None = None,
        weights: WeightStore | None = None,
        planned: Plan | None = None,
    ) -> None:
        wanted = dict(args)
        reach = cast(ExistingClusterArgs, wanted.pop("target", {}))
        chosen = planned or refused(
            lambda: _plan(
                name,
                wanted,
                pool,
                weights,
                target.spec if target else spec_of(reach),
                target.monitoring if target else monitoring_of(reach),
            )
        )
        called = chosen.spec.called(name)
        renamed = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=called)] if called != name else [])
        super().__init__(token("LLMService"), name, {}, pulumi.ResourceOptions.merge(opts, renamed))
        where = target or ExistingCluster(f"{called}-target", reach, opts=child(self))
        storage = chosen.decision.storage
        store = weights or WeightStore(f"{called}-weights", _own_store(chosen), opts=child(self), target=where)
        reached = pool.place(chosen.decision) if pool else placed(where, chosen.decision)
        if store.kind != storage.kind:
            raise pulumi.RunError(f"{name}: planned with weights of kind {storage.kind}, given {store.kind}")
        engine = EngineDeployment(called, chosen, opts=child(self), target=where, placed=reached, weights=store)
        self.endpoint = engine.endpoint
        self.url = engine.url
        self.plan = pulumi.Output.from_input(_figures(chosen))
        self.usd_per_hour = pulumi.Output.from_input(chosen.usd_per_hour)
        self.gpu_nodes = pulumi.Output.from_input(chosen.nodes)
        register(self)


def _plan(
    name: str,
    args: dict[str, Any],
    pool: GpuNodePool | None,
    weights: WeightStore | None,
    target: TargetSpec,
    monitoring: Monitoring,
) -> Plan:
    """The plan of one service on its own: the pool and the weights given, otherwise the whole catalog and a volume."""
    if target.makes_pools and pool is None:
        out = "pool=GpuNodePool(...), which several services may share"
        raise Refused([Finding("pool", f"services.{name}.pool", "nodes of this target must be made", out)])
    given = {"pool": "given" if pool else None, "weights": "given" if weights else None}
    spec = parse.service(args | {key: value for key, value in given.items() if value}, name)
    whole = {
        "target": target,
        "defaults": Defaults(monitoring=monitoring),
        "pools": {"given": pool.spec} if pool else {},
        "weights": {"given": weights.spec} if weights else {},
        "services": {name: spec},
    }
    stack = parse.part(StackSpec, whole, "")
    found = plan(name, stack)
    refuse([*found.findings, *conflicts(stack, [found])])
    return found


def _own_store(plan: Plan) -> Any:
    storage = plan.decision.storage
    store: dict[str, Any] = {"kind": storage.kind, "model": billed([plan.decision.model])}
    if storage.size_gib:
        store |= {"size_gib": storage.size_gib, "access_mode": storage.access_mode, "follows": True}
    return store


_SHOWN = (
    "model",
    "engine",
    "engine_version",
    "quantization",
    "accelerator",
    "machine_type",
    "tensor_parallel",
    "context",
    "concurrency",
)


def _figures(plan: Plan) -> dict[str, Any]:
    """The plan as an output: what was decided and its digest. `modelberth plan` prints the arithmetic."""
    return {"digest": digest(plan.decision), "holds": plan.fit.why} | {
        name: getattr(plan.decision, name) for name in _SHOWN
    }
