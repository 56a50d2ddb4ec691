"""Whether a node's own disks hold its images and what pods write, instead of its boot disk."""

from __future__ import annotations

from modelberth.catalog import Machine
from modelberth.clouds.aws_groups import uses_local_disks
from modelberth.clouds.gcp_disks import local_ssds


def hold_what_pods_write(machine: Machine, boot_disk_gib: int) -> bool:
    """As the node pools of a target are made: GKE uses every local SSD so, EKS disks as large as the boot disk."""
    if machine.cloud == "gcp":
        return local_ssds(machine) > 0
    return machine.cloud == "aws" and uses_local_disks(machine, boot_disk_gib)


__all__ = ["hold_what_pods_write"]
