"""Boot disks of nodes: how large they must be for images and for what pods write, and what is too small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelberth.catalog import Machine, catalog
from modelberth.clouds import DEFAULT_BOOT_DISK_GIB, node_profile
from modelberth.clouds.local_disks import hold_what_pods_write
from modelberth.findings import Finding, Level
from modelberth.host import image_disk_bytes
from modelberth.placement import replicas_per_node
from modelberth.plan import Plan
from modelberth.units import MIB, ceil_to, gib

STEP_GIB = 10
"""Boot disks are sized in steps of this."""


def boot_disk_gib(machine: Machine, users: Sequence[Plan]) -> int:
    """Boot disk of a node: images of its engines, this version and the next, and what pods of a full node may write.

    At least what the cloud gives by default.
    """
    images, written = _images_bytes(users), _most_written_bytes(machine, users)
    size = DEFAULT_BOOT_DISK_GIB
    while node_profile(machine.id, size).allocatable_ephemeral_bytes < images + written:
        size = ceil_to(size + STEP_GIB, STEP_GIB)
    return size


def too_small(path: str, machine: Machine, stated_gib: int | None, users: Sequence[Plan]) -> Iterator[Finding]:
    """A boot disk that was stated and does not hold what is planned on it; ``path`` is the pool's."""
    if stated_gib is None or not users or hold_what_pods_write(machine, stated_gib):
        return
    offered = node_profile(machine.id, stated_gib).allocatable_ephemeral_bytes
    images, written = _images_bytes(users), _most_written_bytes(machine, users)
    if offered < images + written:
        lacking = f"images of {gib(images)} and what pods write, {gib(written)}"
        message = f"a node with {stated_gib} GiB gives pods {gib(max(0, offered))}, which do not hold {lacking}"
        out = f"boot_disk_gib: {boot_disk_gib(machine, users)}, or leave it out"
        level = Level.ERROR if offered < written else Level.WARNING
        yield Finding("pool", f"{path}.boot_disk_gib", message, out, level)


def _images_bytes(users: Sequence[Plan]) -> int:
    return sum(image_disk_bytes(size) for size in {catalog().engine(plan.decision.engine).image_gib for plan in users})


def _most_written_bytes(machine: Machine, users: Sequence[Plan]) -> int:
    """Ephemeral storage that the pods of one service on one node may take."""
    return max(
        (
            replicas_per_node(plan.decision.gpus_per_pod, machine) * plan.decision.host.ephemeral_mib * MIB
            for plan in users
        ),
        default=0,
    )


__all__ = ["boot_disk_gib", "too_small"]
