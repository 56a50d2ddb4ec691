"""GpuNodePool: nodes for services. Where the target makes pools they are made; on a cluster that exists they are found,
and it says how pods reach them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from modelberth import parse
from modelberth.clouds import accelerator_labels, node_selector, taints
from modelberth.decision import Decision
from modelberth.findings import Finding, Refused
from modelberth.pools import PoolPlan, alone
from modelberth.spec import PoolSpec

from .naming import token
from .options import refused, register
from .targets.base import MadePool, Placed, Target

GPU_TAINT = "nvidia.com/gpu"


class GpuNodePoolArgs(TypedDict):
    """What the nodes are."""

    accelerators: Sequence[str]
    """GPU ids, or cpu."""
    machine_types: Sequence[str]
    """Machine types of the nodes; one where they are made."""
    max_nodes: int
    """Most nodes there may be."""
    zones: NotRequired[Sequence[str]]
    """Zones of the nodes; pods stay in them."""
    capacity: NotRequired[Sequence[str]]
    """Ways to get machines, in order: reservation, on-demand, flex-start, spot."""
    min_nodes: NotRequired[int]
    """Nodes it never goes below."""
    floor: NotRequired[int]
    """Nodes that are always on demand, beside spot ones."""
    reservation: NotRequired[dict[str, Any]]
    """The reservation: {name, machine_type, zones}."""
    boot_disk_gib: NotRequired[int]
    """Boot disk of a node."""
    create: NotRequired[bool]
    """False for nodes that exist already."""
    node_selector: NotRequired[dict[str, str]]
    """Labels of the nodes, instead of the ones that the target's dialect implies."""


class GpuNodePool(pulumi.ComponentResource):
    """A pool that outlives the services that use it."""

    machine_types: pulumi.Output[Sequence[str]]
    """Machine types of the nodes."""

    def __init__(
        self,
        name: str,
        args: GpuNodePoolArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        target: Target,
        planned: PoolPlan | None = None,
    ) -> None:
        self.spec = refused(lambda: parse.part(PoolSpec, dict(args), f"pools.{name}"))
        self._selector = dict(self.spec.node_selector)
        self._target = target
        for accelerator in self.spec.accelerators:
            refused(lambda accelerator=accelerator: self._labels_of(name, accelerator))
        made = target.makes_pools and self.spec.create
        chosen = refused(lambda: planned or alone(name, self.spec, target.zones)) if made else None
        super().__init__(token("GpuNodePool"), name, {}, opts)
        self._made = target.node_pool(chosen, self) if chosen else None
        self._zones = chosen.zones if chosen else self.spec.zones
        machines = [chosen.machine.id] if chosen else list(self.spec.machine_types)
        self.machine_types = pulumi.Output.from_input(machines)
        register(self)

    def place(self, decision: Decision) -> Placed:
        """How pods of a decision reach its nodes."""
        return placed(self._target, decision, self._selector, self._zones, self._made)

    def _labels_of(self, name: str, accelerator: str) -> None:
        if self._selector or accelerator == "cpu" or accelerator_labels(accelerator, self._target.node_labels):
            return
        message = f"nodes labelled the {self._target.node_labels} way have no label for {accelerator}"
        raise Refused([Finding("pool", f"pools.{name}.accelerators", message, "set node_selector for this pool")])


def placed(
    target: Target,
    decision: Decision,
    selector: Mapping[str, str] | None = None,
    zones: tuple[str, ...] = (),
    made: MadePool | None = None,
) -> Placed:
    """Selector, tolerations and zones for a decision.

    Nodes are selected by machine type and accelerator, those that were ``made`` by their pool too. GPU pods tolerate
    the usual taint of GPU nodes even where a cloud does not set it by itself: people do, and nothing else admits a
    download that requests no GPU.
    """
    gpu = decision.accelerator if decision.on_gpu else None
    implied: Mapping[str, pulumi.Input[str]] = (
        made.selector if made else node_selector(decision.machine_type, gpu, target.node_labels)
    )
    tainted = {(taint["key"], taint["effect"]) for taint in taints(decision.machine_type)}
    tainted |= {(taint["key"], taint["effect"]) for taint in (made.taints if made else ())}
    if decision.on_gpu:
        tainted.add((GPU_TAINT, "NoSchedule"))
    tolerations = tuple({"key": key, "operator": "Exists", "effect": effect} for key, effect in sorted(tainted))
    chosen = dict(sorted((selector or implied).items()))
    if made is None:
        return Placed(chosen, tolerations, zones)
    return Placed(chosen, tolerations, zones, made.resources, made.preferred, made.group_resources)
