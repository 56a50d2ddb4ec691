"""Google Cloud: how GKE labels, taints and sizes its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelberth.catalog import Machine
from modelberth.clouds.base import (
    DEFAULT_BOOT_DISK_GIB,
    NodeProfile,
    accelerator_names,
    gib,
    profile,
    stepped,
)
from modelberth.units import GIB, MIB

ACCELERATOR = "cloud.google.com/gke-accelerator"
ACCELERATOR_COUNT = "cloud.google.com/gke-accelerator-count"
SPOT = "cloud.google.com/gke-spot"

PARTITION = "cloud.google.com/gke-gpu-partition-size"
SHARING = "cloud.google.com/gke-gpu-sharing-strategy"

MAX_PODS = 110
"""Pods per node unless the pool sets another maximum."""


def accelerator_labels(gpu_id: str) -> dict[str, str]:
    """Node labels that select this GPU on GKE; empty when GKE does not offer it."""
    row = accelerator_names().get(gpu_id)
    return {ACCELERATOR: row.gke[0]} if row and row.gke else {}


def gpus_from_labels(labels: Mapping[str, str]) -> Iterator[str]:
    """GPU ids that these labels name."""
    value = labels.get(ACCELERATOR)
    yield from (gpu for gpu, row in accelerator_names().items() if value in row.gke)


def partition_from_labels(labels: Mapping[str, str]) -> str | None:
    """The size of the slices that nodes with these labels cut their GPUs into (1g.5gb), None for whole GPUs.

    Source: cloud.google.com/kubernetes-engine/docs/how-to/gpus-multi.
    """
    return labels.get(PARTITION)


def sharing_from_labels(labels: Mapping[str, str]) -> str | None:
    """How pods share one GPU of nodes with these labels, None where they do not.

    Source: cloud.google.com/kubernetes-engine/docs/concepts/timesharing-gpus.
    """
    return {"time-sharing": "time slicing", "mps": "MPS"}.get(labels.get(SHARING, ""))


def taints(machine: Machine) -> tuple[Mapping[str, str], ...]:
    """Taints of the nodes: GPUs are kept for pods that tolerate them, and so are Arm processors."""
    gpu = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    arm = {"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"}
    return (
        *([gpu] if machine.gpu or machine.gpu_slice else []),
        *([arm] if machine.arch == "arm64" else []),
    )


def node_profile(machine: Machine, boot_disk_gib: int = DEFAULT_BOOT_DISK_GIB) -> NodeProfile:
    """A GKE node of this machine type with Container-Optimized OS.

    Reservations: cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes. What kernel and partitions take of
    the machine: kubernetes/autoscaler:cluster-autoscaler/cloudprovider/gce/reserved.go.
    """
    memory, disk = gib(machine.memory_gib), gib(boot_disk_gib)
    return profile(
        machine,
        labels=_labels(machine),
        taints=taints(machine),
        max_pods=MAX_PODS,
        memory_bytes=memory - _kernel_memory_bytes(memory),
        reserved_memory_bytes=_reserved_memory_bytes(memory),
        disk_bytes=disk - _system_partition_bytes(disk),
        reserved_disk_bytes=_reserved_disk_bytes(disk),
    )


def _labels(machine: Machine) -> dict[str, str]:
    names = accelerator_names().get(machine.gpu or "")
    if names is None or not names.gke:
        return {}
    accelerator = names.of_machine(machine.id)
    return {ACCELERATOR: accelerator, ACCELERATOR_COUNT: str(machine.gpu_count)}


def _reserved_memory_bytes(memory: int) -> int:
    """25% of the first 4 GB, 20% of the next 4, 10% of the next 8, 6% of the next 112, 2% of the rest.

    A GB of the published steps is 1000 MiB: so says the autoscaler, and so do the nodes.
    """
    gb = 1000 * MIB
    steps = (
        (4 * gb, 0.25),
        (8 * gb, 0.20),
        (16 * gb, 0.10),
        (128 * gb, 0.06),
        (float("inf"), 0.02),
    )
    return int(stepped(memory, steps)) // MIB * MIB


def _kernel_memory_bytes(memory: int) -> int:
    fixed = 16 * MIB + (64 * MIB if memory > 3 * GIB else 0) + (8 * MIB if memory <= 8 * GIB else 0)
    return memory // 64 + fixed + int(min(0.00175 * memory, 248 * MIB))


def _reserved_disk_bytes(disk: int) -> int:
    return int(min(0.5 * disk, 0.35 * disk + 6 * GIB, 100 * GIB))


def _system_partition_bytes(disk: int) -> int:
    return int(0.015635 * disk + 4.148 * GIB + min(100 * MIB, 0.001 * disk))
