"""LLMService: one model, served. From a short spec to running pods."""

from collections.abc import Mapping
from typing import Any, Optional

import pulumi

from modelberth import parse
from modelberth.lock import digest, settle
from modelberth.plan import Plan
from modelberth.spec import StackSpec
from modelberth.spec import Target as TargetSpec

from .args import ServiceArgs
from .engine import EngineDeployment
from .naming import token
from .node_pool import GpuNodePool, placed
from .options import child, refused, register
from .targets import ExistingCluster, Target
from .weights import WeightStore


class LLMService(pulumi.ComponentResource):
    """One model, served behind an OpenAI-compatible API."""

    endpoint: pulumi.Output[str]
    """Base URL of the OpenAI-compatible API, inside the cluster."""
    plan: pulumi.Output[dict[str, Any]]
    """What was decided, with every figure."""
    usd_per_hour: pulumi.Output[Optional[float]]
    """On-demand list price of all replicas' nodes; null when unknown."""
    gpu_nodes: pulumi.Output[int]
    """Nodes that the replicas need."""

    def __init__(
        self,
        name: str,
        args: ServiceArgs,
        opts: Optional[pulumi.ResourceOptions] = None,
        *,
        target: Optional[Target] = None,
        pool: Optional[GpuNodePool] = None,
        weights: Optional[WeightStore] = None,
        planned: Optional[Plan] = None,
    ) -> None:
        chosen = planned or refused(lambda: _plan(name, args))
        super().__init__(token("LLMService"), name, {}, opts)
        where = target or ExistingCluster(f"{name}-target", {}, opts=child(self))
        storage = chosen.decision.storage
        store = weights or WeightStore(f"{name}-weights", _own_store(chosen), opts=child(self), target=where)
        reached = pool.place(chosen.decision) if pool else placed(where, chosen.decision)
        if store.kind != storage.kind:
            raise pulumi.RunError(f"{name}: planned with weights of kind {storage.kind}, given {store.kind}")
        engine = EngineDeployment(name, chosen, opts=child(self), target=where, placed=reached, weights=store)
        self.endpoint = engine.endpoint
        self.plan = pulumi.Output.from_input(_figures(chosen))
        self.usd_per_hour = pulumi.Output.from_input(chosen.usd_per_hour)
        self.gpu_nodes = pulumi.Output.from_input(chosen.nodes)
        register(self)


def _plan(name: str, args: Mapping[str, Any]) -> Plan:
    """The plan of one service on its own: no pools, no lock, the whole catalog to choose from."""
    spec = parse.service(dict(args), name)
    stack = StackSpec(target=TargetSpec(kind="existing"), services={name: spec})
    return settle(stack, {}).plans[0]


def _own_store(plan: Plan) -> Any:
    storage = plan.decision.storage
    store: dict[str, Any] = {"kind": storage.kind}
    if storage.size_gib:
        store |= {"size_gib": storage.size_gib, "access_mode": storage.access_mode}
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
