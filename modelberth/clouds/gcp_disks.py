"""What differs between Google's machine types beside their size: boot disks, local SSDs, networks of their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from modelberth.catalog import Machine
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text

LOCAL_SSD_GB = 375
"""One local SSD (cloud.google.com/compute/docs/disks/local-ssd)."""
_USUAL_DISK = "pd-balanced"


class Family(Row):
    """Machine types whose names begin with one of ``prefixes``: their boot ``disk``, whether local SSDs of 375 GB are
    attached, and whether GKE makes the networks of their fabric by itself.
    """

    prefixes: tuple[Text, ...]
    disk: Text | None = None
    local_ssds: bool = False
    own_networks: bool = False


@cache
def _rows() -> tuple[Family, ...]:
    return read_rows(files("modelberth.clouds") / "gcp_disks.yaml", Family)


def _families(machine_type: str) -> Iterator[Family]:
    return (row for row in _rows() if machine_type.startswith(row.prefixes))


def boot_disk_type(machine_type: str) -> str:
    """The type of a node's boot disk."""
    return next((row.disk for row in _families(machine_type) if row.disk), _USUAL_DISK)


def local_ssds(machine: Machine) -> int:
    """Local SSDs of 375 GB that a machine type comes with; 0 where it has none or larger ones."""
    count = (machine.local_nvme_gb or 0) / LOCAL_SSD_GB
    return int(count) if count.is_integer() and any(row.local_ssds for row in _families(machine.id)) else 0


def has_own_networks(machine_type: str) -> bool:
    """Whether GKE makes the networks that join the GPUs of several nodes."""
    return any(row.own_networks for row in _families(machine_type))
