"""What the cloud modules share: node profiles, the rows that name a GPU in each label dialect, reservation steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import Field

from modelberth.catalog import Machine
from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Positive, Row, Text
from modelberth.units import GIB, MIB

DEFAULT_BOOT_DISK_GIB = 100
"""Boot disk of a node unless its pool says otherwise: what GKE gives by default."""

HOSTNAME = "kubernetes.io/hostname"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
ARCH = "kubernetes.io/arch"
OS = "kubernetes.io/os"

ACCELERATORS = re.compile(
    r"(nvidia|amd|intel)\.com/(gpu.*|mig-.+)|gpu\.intel\.com/.+|google\.com/tpu|aws\.amazon\.com/neuron.*|habana\.ai/gaudi"
)
"""Resources that device plugins of makers and clouds offer: GPUs, slices of one, other accelerators."""

EVICTION_MEMORY_BYTES = 100 * MIB
"""Kubelet's hard eviction threshold for memory, which both clouds keep at its default."""

EVICTION_DISK_SHARE = 0.10
"""Kubelet's hard eviction threshold for the node file system, as a share of its capacity."""


@dataclass(frozen=True)
class NodeProfile:
    """A node of one machine type as its cloud presents it to Kubernetes.

    ``capacity`` and ``allocatable`` are Kubernetes quantities by resource name; the integers say the same of
    ``allocatable`` in plain units. ``taints`` are dictionaries with key, value and effect.
    """

    machine: Machine
    cloud: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    capacity: Mapping[str, str]
    allocatable: Mapping[str, str]
    allocatable_cpu_millicores: int
    allocatable_memory_bytes: int
    allocatable_ephemeral_bytes: int


class AcceleratorNames(Row):
    """What one GPU is called in node labels.

    ``gke`` are values of ``cloud.google.com/gke-accelerator``, the usual one first, and ``gke_machines`` the machine
    types that have another; ``karpenter`` and ``karpenter_memory_mib`` are those of
    ``karpenter.k8s.aws/instance-gpu-name`` and ``-memory``; ``products`` those of GPU feature discovery.
    """

    gpu: Text
    gke: tuple[Text, ...] = ()
    gke_machines: dict[Text, Text] = Field(default_factory=dict)
    karpenter: Text | None = None
    karpenter_memory_mib: Positive | None = None
    products: tuple[Text, ...] = ()

    def of_machine(self, machine_id: str) -> str:
        """What nodes of one machine type are labelled with on GKE, which offers this GPU."""
        return self.gke_machines.get(machine_id, self.gke[0])


@cache
def accelerator_names() -> Mapping[str, AcceleratorNames]:
    """The label names of every GPU that has any, by GPU id."""
    return index(
        read_rows(files("modelberth.clouds") / "accelerators.yaml", AcceleratorNames),
        lambda row: row.gpu,
    )


def stepped(amount: float, steps: Iterable[tuple[float, float]]) -> float:
    """What is reserved of ``amount`` when each step ``(up_to, share)`` reserves its share of the part it covers."""
    reserved, start = 0.0, 0.0
    for up_to, share in steps:
        if amount <= start:
            break
        reserved += (min(amount, up_to) - start) * share
        start = up_to
    return reserved


def reserved_cpu_millicores(vcpu: int) -> int:
    """CPU kept for the node itself: 6% of the first core, 1% of the second, 0.5% of two more, 0.25% of the rest.

    GKE publishes these steps (cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes); Karpenter assumes the
    same for EKS nodes (aws/karpenter-provider-aws:pkg/providers/instancetype/types.go, kubeReservedResources).
    """
    return int(
        stepped(
            vcpu * 1000,
            ((1000, 0.06), (2000, 0.01), (4000, 0.005), (float("inf"), 0.0025)),
        )
    )


def profile(
    machine: Machine,
    *,
    labels: Mapping[str, str],
    taints: tuple[Mapping[str, str], ...],
    max_pods: int,
    memory_bytes: int,
    reserved_memory_bytes: int,
    disk_bytes: int,
    reserved_disk_bytes: int,
) -> NodeProfile:
    """The profile of a node with this capacity and these reservations; the eviction thresholds come off on top."""
    cpu = machine.vcpu * 1000 - reserved_cpu_millicores(machine.vcpu)
    memory = memory_bytes - reserved_memory_bytes - EVICTION_MEMORY_BYTES
    disk = int(disk_bytes * (1 - EVICTION_DISK_SHARE)) - reserved_disk_bytes
    fixed = {"pods": str(max_pods)} | ({"nvidia.com/gpu": str(machine.gpu_count)} if machine.gpu_count else {})
    return NodeProfile(
        machine=machine,
        cloud=machine.cloud,
        labels={INSTANCE_TYPE: machine.id, ARCH: machine.arch, OS: "linux", **labels},
        taints=taints,
        capacity={
            "cpu": str(machine.vcpu),
            "memory": f"{memory_bytes // 1024}Ki",
            "ephemeral-storage": f"{disk_bytes // 1024}Ki",
        }
        | fixed,
        allocatable={
            "cpu": f"{cpu}m",
            "memory": f"{memory // 1024}Ki",
            "ephemeral-storage": str(disk),
        }
        | fixed,
        allocatable_cpu_millicores=cpu,
        allocatable_memory_bytes=memory // 1024 * 1024,
        allocatable_ephemeral_bytes=disk,
    )


def gib(amount: float) -> int:
    """GiB in bytes."""
    return int(amount * GIB)
