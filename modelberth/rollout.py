"""How a changed service is rolled out: from spare GPUs, with the consequence said.

A rollout that waits for a GPU nobody frees never ends, so pods only surge where the pool has room for one more replica.
Groups of nodes never do. LeaderWorkerSet ends no rollout of a single group that surges (pull request 779 of
kubernetes-sigs/lws; seen with 0.7.0), and where a cluster's StatefulSets take a number of unavailable pods, none
unavailable means that no pod is made (its issue 776).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelberth.catalog import catalog
from modelberth.decision import Decision
from modelberth.names import Spread
from modelberth.placement import nodes_needed, replicas_per_node
from modelberth.spec import StackSpec
from modelberth.units import duration


@dataclass(frozen=True)
class Rollout:
    """Pods that a rolling update may add and take away at a time, and what users notice."""

    max_surge: int
    max_unavailable: int
    why: str


@dataclass(frozen=True)
class Share:
    """What one service takes of a pool at most; ``fewest`` replicas always run (None: all of them)."""

    decision: Decision
    replicas: int
    spread: Spread = Spread.PREFER
    fewest: int | None = None

    @property
    def nodes(self) -> int:
        """Nodes that its replicas take; one each where no two may share one, one for each stage of a pipeline."""
        stages = self.decision.pipeline_parallel
        if self.spread is Spread.NODES or stages > 1:
            return self.replicas * stages
        gpus = self.decision.gpus_per_replica
        return nodes_needed(self.replicas, gpus, catalog().machine(self.decision.machine_type))


def rollout(mine: Share, stack: StackSpec, others: Sequence[Share] = ()) -> Rollout:
    """Surge where one more replica has a place, else one at a time. ``others`` are the other services of the stack."""
    grouped = mine.decision.pipeline_parallel > 1
    spare = "" if grouped else _spare(mine, stack, others)
    load = duration(mine.decision.load_s)
    if spare:
        return Rollout(1, 0, f"a new replica starts on {spare} before an old one stops: none is missing meanwhile")
    because = "groups of nodes do not surge" if grouped else "no spare capacity"
    if mine.replicas == 1:
        return Rollout(0, 1, f"{because}: the only replica stops before the new one starts, down about {load}")
    if mine.fewest is not None and mine.fewest < 2:
        why = f"{because}: one replica at a time stops first; where only one runs, down about {load}"
        return Rollout(0, 1, why)
    left = f"{mine.replicas - 1} of {mine.replicas} replicas serve"
    return Rollout(0, 1, f"{because}: one replica at a time stops first, {left} for about {load} each")


def _spare(mine: Share, stack: StackSpec, others: Sequence[Share]) -> str:
    """Where one more replica of one node would run; empty when nowhere that is known."""
    decision = mine.decision
    machine = catalog().machine(decision.machine_type)
    free_here = mine.nodes * replicas_per_node(decision.gpus_per_replica, machine) - mine.replicas
    if decision.on_gpu and free_here > 0:
        return "a free GPU of its node" if decision.gpus_per_replica == 1 else "free GPUs of its node"
    pool = stack.pools.get(decision.pool or "")
    if pool is None or decision.storage.access_mode == "ReadWriteOnce":
        return ""
    taken = mine.nodes + sum(each.nodes for each in others if each.decision.pool == decision.pool)
    made = pool.create and not stack.target.pools_grow
    there = max(pool.min_nodes, pool.floor) if made else pool.max_nodes
    return f"another node of pool {decision.pool}" if taken < there else ""
