"""Any Kubernetes: the labels that NVIDIA's GPU feature discovery puts on a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from modelberth.catalog import Machine
from modelberth.clouds.base import (
    DEFAULT_BOOT_DISK_GIB,
    INSTANCE_TYPE,
    NodeProfile,
    accelerator_names,
    gib,
    profile,
)
from modelberth.units import GIB

PRODUCT = "nvidia.com/gpu.product"
SHARING = "nvidia.com/gpu.sharing-strategy"
_SHARED = "-SHARED"
"""What ends the product where pods share a GPU under its usual name (NVIDIA/k8s-device-plugin, README)."""
_SLICED = "-MIG-"
"""What stands between the product and the size of its slices, where a node has slices of one size only."""


KEPT_BYTES = 2 * GIB
"""Memory left to the system and to Kubernetes on a node of one's own: an assumption, a kubelet keeps none by itself."""
MAX_PODS = 110
"""The kubelet's own default."""


def taints(machine: Machine) -> tuple[Mapping[str, str], ...]:
    """None: nobody taints nodes of one's own unless told to."""
    return ()


def node_profile(machine: Machine, boot_disk_gib: int = DEFAULT_BOOT_DISK_GIB) -> NodeProfile:
    """A node of one's own: what its kind promises, and no label with the name of a machine type."""
    found = profile(
        machine,
        labels=accelerator_labels(machine.gpu) if machine.gpu else {},
        taints=taints(machine),
        max_pods=MAX_PODS,
        memory_bytes=gib(machine.memory_gib),
        reserved_memory_bytes=KEPT_BYTES,
        disk_bytes=gib(boot_disk_gib),
        reserved_disk_bytes=0,
    )
    return replace(found, labels={key: value for key, value in found.labels.items() if key != INSTANCE_TYPE})


def accelerator_labels(gpu_id: str) -> dict[str, str]:
    """Node labels that select this GPU, by its usual product name; empty when none is known."""
    row = accelerator_names().get(gpu_id)
    return {PRODUCT: row.products[0]} if row and row.products else {}


def gpus_from_labels(labels: Mapping[str, str]) -> Iterator[str]:
    """GPU ids that these labels name, whole or not."""
    value = labels.get(PRODUCT, "").removesuffix(_SHARED).partition(_SLICED)[0]
    yield from (gpu for gpu, row in accelerator_names().items() if value in row.products)


def partition_from_labels(labels: Mapping[str, str]) -> str | None:
    """The size of the slices that nodes with these labels cut their GPUs into, None for whole GPUs."""
    return labels.get(PRODUCT, "").removesuffix(_SHARED).partition(_SLICED)[2] or None


def sharing_from_labels(labels: Mapping[str, str]) -> str | None:
    """How several pods share one GPU of nodes with these labels; None for whole GPUs."""
    if labels.get(SHARING) == "mps":
        return "MPS"
    shared = labels.get(SHARING) == "time-slicing" or labels.get(PRODUCT, "").endswith(_SHARED)
    return "time slicing" if shared else None
