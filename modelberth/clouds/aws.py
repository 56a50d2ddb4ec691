"""Amazon Web Services: how Karpenter labels and sizes the nodes of EKS."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from modelberth.catalog import CatalogError, Machine
from modelberth.clouds.base import (
    DEFAULT_BOOT_DISK_GIB,
    NodeProfile,
    accelerator_names,
    gib,
    profile,
)
from modelberth.units import GIB, MIB

PREFIX = "karpenter.k8s.aws/instance-"
GPU_NAME = f"{PREFIX}gpu-name"
GPU_MEMORY = f"{PREFIX}gpu-memory"

VM_OVERHEAD_SHARE = 0.075
"""Share of the advertised memory that Karpenter expects the hypervisor and the kernel to keep."""

ARM_RESERVED_BYTES = 64 * MIB
"""Contiguous memory that Graviton kernels set aside."""


def accelerator_labels(gpu_id: str) -> dict[str, str]:
    """Node labels that select this GPU on nodes made by Karpenter; empty when AWS does not offer it.

    The memory is part of them only where one name covers two GPUs (the A100 of 40 and of 80 GB).
    """
    row = accelerator_names().get(gpu_id)
    if row is None or row.karpenter is None:
        return {}
    namesakes = [other for other in accelerator_names().values() if other.karpenter == row.karpenter]
    memory = {GPU_MEMORY: str(row.karpenter_memory_mib)} if len(namesakes) > 1 else {}
    return {GPU_NAME: row.karpenter} | memory


def gpus_from_labels(labels: Mapping[str, str]) -> Iterator[str]:
    """GPU ids that these labels name; several when the name alone does not tell them apart."""
    name, memory = labels.get(GPU_NAME), labels.get(GPU_MEMORY)
    for gpu, row in accelerator_names().items():
        if name is not None and row.karpenter == name and memory in (None, str(row.karpenter_memory_mib)):
            yield gpu


def taints(machine: Machine) -> tuple[Mapping[str, str], ...]:
    """EKS and Karpenter add no taint of their own: what a pool declares is all there is."""
    return ()


def node_profile(machine: Machine, boot_disk_gib: int = DEFAULT_BOOT_DISK_GIB) -> NodeProfile:
    """An EKS node of this machine type as Karpenter sizes it: pods limited by network interfaces, disk not RAIDed.

    Formulas: aws/karpenter-provider-aws:pkg/providers/instancetype/types.go (memory, kubeReservedResources,
    evictionThreshold). Raises :class:`~modelberth.catalog.CatalogError` when the pod limit is not known.
    """
    if machine.max_pods is None:
        raise CatalogError(f"{machine.id}: max_pods is not known, and allocatable memory follows from it")
    return profile(
        machine,
        labels=_labels(machine),
        taints=taints(machine),
        max_pods=machine.max_pods,
        memory_bytes=_memory_bytes(machine),
        reserved_memory_bytes=(255 + 11 * machine.max_pods) * MIB,
        disk_bytes=gib(boot_disk_gib),
        reserved_disk_bytes=GIB,
    )


def _memory_bytes(machine: Machine) -> int:
    advertised = gib(machine.memory_gib) - (ARM_RESERVED_BYTES if machine.arch == "arm64" else 0)
    return advertised - math.ceil(advertised * VM_OVERHEAD_SHARE / MIB) * MIB


def _labels(machine: Machine) -> dict[str, str]:
    family, _, size = machine.id.partition(".")
    labels = {
        f"{PREFIX}family": family,
        f"{PREFIX}size": size,
        f"{PREFIX}cpu": str(machine.vcpu),
    }
    names = accelerator_names().get(machine.gpu or "")
    if names is None or names.karpenter is None:
        return labels
    return labels | {
        f"{PREFIX}gpu-manufacturer": "nvidia",
        f"{PREFIX}gpu-count": str(machine.gpu_count),
        GPU_NAME: names.karpenter,
        GPU_MEMORY: str(names.karpenter_memory_mib),
    }
