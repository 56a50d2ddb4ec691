"""What clouds call their GPUs and how large their nodes really are: the one place that tells one cloud from another."""

from __future__ import annotations

from collections.abc import Mapping

from modelberth.catalog import Machine, catalog
from modelberth.clouds import aws, gcp, generic
from modelberth.clouds.base import DEFAULT_BOOT_DISK_GIB, INSTANCE_TYPE, NodeProfile
from modelberth.errors import UnknownName, suggest

__all__ = [
    "DEFAULT_BOOT_DISK_GIB",
    "DIALECTS",
    "NodeProfile",
    "accelerator_labels",
    "cloud_of",
    "gpu_from_labels",
    "machine_from_labels",
    "node_profile",
    "node_selector",
    "partition_from_labels",
    "sharing_from_labels",
    "taints",
]

_DIALECTS = {"aws": aws, "gcp": gcp, "generic": generic}
DIALECTS = tuple(sorted(_DIALECTS))
"""Ways of labelling GPU nodes: one per cloud, and ``generic`` for clusters with GPU feature discovery."""


def cloud_of(machine_id: str) -> str:
    """The cloud that sells this machine type. Raises :class:`~modelberth.errors.UnknownName`."""
    return catalog().machine(machine_id).cloud


def node_profile(machine_id: str, boot_disk_gib: int = DEFAULT_BOOT_DISK_GIB) -> NodeProfile:
    """A node of this machine type as its cloud presents it. Raises :class:`~modelberth.errors.UnknownName`."""
    machine = catalog().machine(machine_id)
    return _DIALECTS[machine.cloud].node_profile(machine, boot_disk_gib)


def taints(machine_id: str) -> tuple[Mapping[str, str], ...]:
    """The taints its cloud puts on nodes of this machine type. Raises :class:`~modelberth.errors.UnknownName`."""
    machine = catalog().machine(machine_id)
    return _DIALECTS[machine.cloud].taints(machine)


def accelerator_labels(gpu_id: str, dialect: str) -> dict[str, str]:
    """Node labels that select this GPU in one of :data:`DIALECTS`; empty when that dialect has no word for it.

    Raises :class:`~modelberth.errors.UnknownName` for an unknown GPU or dialect.
    """
    if dialect not in _DIALECTS:
        raise UnknownName("label dialect", dialect, suggest(dialect, DIALECTS))
    return _DIALECTS[dialect].accelerator_labels(catalog().gpu(gpu_id).id)


def node_selector(machine_id: str, gpu_id: str | None, dialect: str) -> dict[str, str]:
    """Labels of nodes of this machine type, with the GPU in one of :data:`DIALECTS`; None is a machine without.

    A cloud may have a name of its own for the GPU of one machine type: nodes of that type are selected by it.
    """
    usual = accelerator_labels(gpu_id, dialect) if gpu_id else {}
    own = node_profile(machine_id).labels
    named = {INSTANCE_TYPE: machine_id} if INSTANCE_TYPE in own else {}
    return named | {key: own.get(key, value) for key, value in usual.items()}


def machine_from_labels(labels: Mapping[str, str]) -> Machine | None:
    """The machine type that a node selector names, None when it names none or one we do not know."""
    name = labels.get(INSTANCE_TYPE) or labels.get("beta.kubernetes.io/instance-type")
    return next((machine for machine in catalog().machines() if machine.id == name), None) if name else None


def gpu_from_labels(labels: Mapping[str, str]) -> str | None:
    """The GPU that a node selector asks for, in any dialect or by machine type.

    None when the labels name no GPU, leave several possible, or contradict each other.
    """
    machine = machine_from_labels(labels)
    named = [set(module.gpus_from_labels(labels)) for module in _DIALECTS.values()]
    named.append({machine.gpu} if machine and machine.gpu else set())
    possible = [gpus for gpus in named if gpus]
    left = set[str]().union(*possible).intersection(*possible)
    return left.pop() if len(left) == 1 else None


def partition_from_labels(labels: Mapping[str, str]) -> str | None:
    """The size of the GPU slices of nodes with these labels (1g.10gb), None for whole GPUs."""
    return gcp.partition_from_labels(labels) or generic.partition_from_labels(labels)


def sharing_from_labels(labels: Mapping[str, str]) -> str | None:
    """How several pods share one GPU of nodes with these labels (time slicing, MPS), None where they do not."""
    return gcp.sharing_from_labels(labels) or generic.sharing_from_labels(labels)
