"""The rule about parts of GPUs: a slice holds the model, and what is only shared is not isolated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from modelberth.catalog import Gpu, catalog
from modelberth.devices import slices_of
from modelberth.documents import DocumentError, mapping
from modelberth.engines import ENGINES, Accelerator, Engine, Sizing
from modelberth.findings import Finding, Level
from modelberth.fit import Verdict, beside_budget, fit, starts
from modelberth.manifests import Workload
from modelberth.memory import Memory
from modelberth.node import Node
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity
from modelberth.rules.evaluation import context_argument, evaluate
from modelberth.rules.wording import arithmetic, assumed, headline, largest_sure, ways_out
from modelberth.units import GIB

_LARGEST_CONFIG = 2**18
"""Characters of a device plugin's configuration that are read."""
_SHARING = {"timeSlicing": "time slicing", "mps": "MPS"}
_NO_ISOLATION = {
    "time slicing": "pods that share a GPU by time slicing see all of its memory: one that takes too much stops others",
    "MPS": "pods that share a GPU by MPS stop together when one of them fails",
}


def _in_slices(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for workload in pod.serving:
            yield from _joined(workload, pod.container_at(workload))
    for workload in resource.workloads:
        if workload.mig_profile:
            yield from _is_cut(workload, workload.mig_profile)
            yield from _holds(workload, workload.mig_profile)
        if workload.shared_by:
            message = f"{_NO_ISOLATION[workload.shared_by]}, and the model is sized for the whole card"
            remedy = "a GPU of its own, or a slice (nvidia.com/mig-...)"
            yield Finding("SZ-24", workload.path, message, remedy, Level.WARNING)
    if resource.kind == "ConfigMap" and resource.is_kubernetes:
        yield from _plugin(resource.node["data"])


def _is_cut(workload: Workload, profile: str) -> Iterator[Finding]:
    """A GPU that is not cut into slices of this size: no node ever has one."""
    gpu = catalog().gpu(workload.gpu) if workload.gpu else None
    if gpu is None or profile in gpu.mig_profiles:
        return
    sizes = ", ".join(sorted(gpu.mig_profiles)) or "none at all"
    message = f"{gpu.name} has no slices {profile}: the pod stays pending"
    yield Finding("SZ-24", workload.path, message, f"slices that it has ({sizes}), or another GPU")


def _joined(workload: Workload, container: Node) -> Iterator[Finding]:
    """Slices of one GPU are no peers of each other. Drivers before R570 show a process only one of them, newer ones
    each GPU instance (NVIDIA, MIG user guide, CUDA device enumeration): whether it starts hangs on the nodes.
    """
    observed, slices = workload.observed, slices_of(container)
    ranks = observed.tensor_parallel * observed.pipeline_parallel if observed else 1
    if observed and slices and slices[1] > 1 and ranks > 1:
        message = f"{ranks} ranks on {slices[1]} slices {slices[0]}: before driver R570 a process sees one slice only, "
        message += "and slices exchange nothing directly"
        remedy = f"{ENGINES[observed.engine].parallel_flag} 1 on one larger slice, or whole GPUs"
        yield Finding("SZ-24", workload.arguments_path, message, remedy, Level.WARNING)


def _holds(workload: Workload, profile: str) -> Iterator[Finding]:
    found, observed = evaluate(workload), workload.observed
    if observed and found.engine and observed.tensor_parallel * observed.pipeline_parallel > 1:
        message = f"does not start: a slice {profile} holds one rank, the arguments ask for several"
        yield Finding("SZ-24", workload.arguments_path, message, f"{found.engine.parallel_flag} 1, or whole GPUs")
        return
    if not (found.engine and found.sizing and found.answer and found.answer.memory):
        return
    memory, gpu = found.answer.memory, found.sizing.accelerator.gpu
    if gpu is None or not (found.does_not_fit or found.too_close):
        return
    sure = found.does_not_fit
    head = f"{'does not fit' if sure else 'may not fit'} a slice {profile} of {gpu.name}"
    said = headline(found.engine, found.sizing, memory)
    remedy = "; or ".join(_ways(found.engine, found.sizing, memory, gpu)) or "a GPU with more memory"
    if not sure and memory.spare_outside_bytes < 0:
        said, remedy = f"the engine takes {beside_budget(memory)}", ways_out(found.engine, found.sizing, memory)
    lines = [f"{head}: {said}", *arithmetic(found.sizing, memory)]
    level = Level.ERROR if sure else Level.WARNING
    yield Finding("SZ-24", workload.arguments_path, "\n    ".join([*lines, *assumed(workload)]), remedy, level)


def _ways(engine: Engine, sizing: Sizing, memory: Memory, gpu: Gpu) -> Iterator[str]:
    """The largest context of this slice, and the smallest slice that holds what is asked."""
    if largest := largest_sure(engine, sizing, memory):
        yield context_argument(engine, sizing, largest)
    sizes = sorted((row.memory_gib, name) for name, row in gpu.mig_profiles.items() if row.memory_gib)
    for memory_gib, name in [*sizes, (gpu.visible_memory_gib, "")]:
        larger = replace(sizing, accelerator=Accelerator(gpu, int(memory_gib * GIB)))
        answer = fit(engine, larger)
        if answer.memory and starts(engine, larger, answer.memory) is Verdict.FITS:
            yield f"a slice {name}" if name else f"a whole {gpu.name}"
            return


def _plugin(data: Node) -> Iterator[Finding]:
    """A configuration of NVIDIA's device plugin that shares GPUs (NVIDIA/k8s-device-plugin, README: shared access)."""
    for _, text in data.items():
        if not any(word in text.text() for word in _SHARING) or len(text.text()) > _LARGEST_CONFIG:
            continue
        try:
            sharing = Node(mapping(text.text(), "configuration"), text.path)["sharing"]
        except DocumentError:
            continue
        for key, name in _SHARING.items():
            copies = [each["replicas"].whole() or 0 for each in sharing.at(key, "resources").elements()]
            if max(copies, default=0) > 1:
                message = f"{max(copies)} pods share a GPU by {name}: {_NO_ISOLATION[name]}"
                remedy = "slices (mig.strategy), or only pods that trust each other and are sized together"
                yield Finding("SZ-24", text.path, message, remedy, Level.WARNING)


RULES = (
    Rule(
        id="SZ-24",
        name="gpu-part-holds-model",
        title="A part of a GPU holds the model, and is isolated",
        question="whether a part of a GPU holds the model",
        why="A slice has its own memory, less than the card's; what is shared by time has none of its own.",
        remediation="Take the slice that the finding names, a smaller context, or a whole GPU.",
        severity=Severity.HIGH,
        levels=ALWAYS,
        source="KAITO's validateMIGModelFit; EKS best practices: sharing by time may lack memory isolation",
        check=_in_slices,
    ),
)
