"""Boot disks and local SSDs of Google's machine types."""

from __future__ import annotations

from importlib.resources import files

from modelberth.catalog import Machine
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.clouds.gcp_features import has

LOCAL_SSD_GB = 375
"""One local SSD (cloud.google.com/compute/docs/disks/local-ssd)."""


class BootDisk(Row):
    """Machine types whose names begin with one of ``prefixes`` boot from ``disk``."""

    prefixes: tuple[Text, ...]
    disk: Text


def boot_disk_type(machine_type: str) -> str:
    """The type of a node's boot disk."""
    for row in read_rows(files("modelberth.clouds") / "gcp_disks.yaml", BootDisk):
        if machine_type.startswith(row.prefixes):
            return row.disk
    return "pd-balanced"


def local_ssds(machine: Machine) -> int:
    """Local SSDs of 375 GB that a machine type comes with; 0 where it has none or larger ones."""
    count = (machine.local_nvme_gb or 0) / LOCAL_SSD_GB
    return int(count) if has(machine.id, "local-ssd") and count.is_integer() else 0
