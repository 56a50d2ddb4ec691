"""GpuNodePool: nodes for services. On a cluster that exists it creates nothing: it says how pods reach the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi

from modelberth import parse
from modelberth.clouds import accelerator_labels, node_selector, taints
from modelberth.decision import Decision
from modelberth.findings import Finding, Refused
from modelberth.spec import PoolSpec

from .naming import token
from .options import refused, register
from .targets.base import Placed, Target

GPU_TAINT = "nvidia.com/gpu"


class GpuNodePoolArgs(TypedDict):
    """What the nodes are."""

    accelerators: Sequence[str]
    """GPU ids, or cpu."""
    machine_types: Sequence[str]
    """Machine types of the nodes."""
    max_nodes: int
    """Most nodes there may be."""
    zones: NotRequired[Sequence[str]]
    """Zones of the nodes; pods stay in them."""
    node_selector: NotRequired[dict[str, str]]
    """Labels of the nodes, instead of the ones that the target's dialect implies."""


class GpuNodePool(pulumi.ComponentResource):
    """A pool that outlives the services that use it."""

    machine_types: pulumi.Output[Sequence[str]]
    """Machine types of the nodes."""

    def __init__(
        self, name: str, args: GpuNodePoolArgs, opts: pulumi.ResourceOptions | None = None, *, target: Target
    ) -> None:
        self.spec = refused(lambda: parse.part(PoolSpec, dict(args), f"pools.{name}"))
        self._selector = dict(self.spec.node_selector)
        self._target = target
        for accelerator in args["accelerators"]:
            refused(lambda accelerator=accelerator: self._labels_of(name, accelerator))
        super().__init__(token("GpuNodePool"), name, {}, opts)
        self.machine_types = pulumi.Output.from_input(list(args["machine_types"]))
        register(self)

    def place(self, decision: Decision) -> Placed:
        """How pods of a decision reach its nodes."""
        return placed(self._target, decision, self._selector, self.spec.zones)

    def _labels_of(self, name: str, accelerator: str) -> None:
        if self._selector or accelerator == "cpu" or accelerator_labels(accelerator, self._target.node_labels):
            return
        message = f"nodes labelled the {self._target.node_labels} way have no label for {accelerator}"
        raise Refused([Finding("pool", f"pools.{name}.accelerators", message, "set node_selector for this pool")])


def placed(
    target: Target, decision: Decision, selector: Mapping[str, str] | None = None, zones: tuple[str, ...] = ()
) -> Placed:
    """Selector, tolerations and zones for a decision.

    Nodes are selected by machine type and accelerator. GPU pods tolerate the usual taint of GPU nodes even where a
    cloud does not set it by itself: people do, and nothing else admits a download that requests no GPU.
    """
    gpu = decision.accelerator if decision.on_gpu else None
    implied = node_selector(decision.machine_type, gpu, target.node_labels)
    tainted = {(taint["key"], taint["effect"]) for taint in taints(decision.machine_type)}
    if decision.on_gpu:
        tainted.add((GPU_TAINT, "NoSchedule"))
    tolerations = tuple({"key": key, "operator": "Exists", "effect": effect} for key, effect in sorted(tainted))
    return Placed(dict(sorted((selector or implied).items())), tolerations, zones)
