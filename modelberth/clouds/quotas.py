"""Which quotas of a cloud nodes, their boot disks and the addresses of NATs count against, and how much they need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from modelberth.catalog import Machine
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.clouds.gcp_disks import boot_disk_type
from modelberth.names import Capacity

Unit = Literal["gpus", "vcpus", "gib", "addresses"]


class Quota(Row):
    """A limit of one account: which series and ways count against it, and as what one node counts."""

    cloud: Text
    series: tuple[Text, ...] = Field(min_length=1)
    ways: frozenset[Capacity] = Field(min_length=1)
    name: Text
    code: Text | None = None
    counts: Literal["gpus", "vcpus"]
    regional: bool = True

    def covers(self, machine: Machine, capacity: Capacity) -> bool:
        """Whether nodes of this type, had in this way, count against it."""
        return machine.cloud == self.cloud and capacity in self.ways and machine.id.startswith(self.series)


class Beside(Row):
    """A limit of one account, in a region: boot disks of these types count against it, or addresses of NATs."""

    cloud: Text
    name: Text
    code: Text | None = None
    disks: tuple[Text, ...] = ()


@dataclass(frozen=True)
class QuotaNeed:
    """What a pool needs of one quota, ``code`` in the cloud's API; all regions share what is not ``regional``."""

    name: str
    code: str | None
    amount: int
    unit: Unit
    regional: bool
    source: str

    @property
    def told(self) -> str:
        """The unit as people read it."""
        return "GiB" if self.unit == "gib" else self.unit


def needs(machine: Machine, nodes: int, capacity: Capacity) -> tuple[QuotaNeed, ...] | None:
    """What so many nodes need of each quota; empty where nothing is counted any more, None where it is not known."""
    if capacity is Capacity.RESERVATION:
        return ()
    found = tuple(_need(row, machine, nodes) for row in _rows() if row.covers(machine, capacity))
    return found or None


def disk_needs(machine: Machine, nodes: int, boot_disk_gib: int) -> tuple[QuotaNeed, ...]:
    """What the boot disks of so many nodes need; empty where a limit is far from what a first update takes."""
    disk = boot_disk_type(machine.id) if machine.cloud == "gcp" else None
    rows = (row for row in _beside() if row.cloud == machine.cloud and disk in row.disks)
    return tuple(QuotaNeed(row.name, row.code, nodes * boot_disk_gib, "gib", True, row.source) for row in rows)


def address_needs(cloud: str, addresses: int) -> tuple[QuotaNeed, ...]:
    """What addresses that NATs are given need; empty where the cloud takes its own."""
    rows = (row for row in _beside() if row.cloud == cloud and not row.disks)
    return tuple(QuotaNeed(row.name, row.code, addresses, "addresses", True, row.source) for row in rows)


def _need(row: Quota, machine: Machine, nodes: int) -> QuotaNeed:
    each = machine.vcpu if row.counts == "vcpus" else machine.gpu_count
    return QuotaNeed(row.name, row.code, nodes * each, row.counts, row.regional, row.source)


@cache
def _rows() -> tuple[Quota, ...]:
    return read_rows(files("modelberth.clouds") / "quotas.yaml", Quota)


@cache
def _beside() -> tuple[Beside, ...]:
    return read_rows(files("modelberth.clouds") / "quotas_beside.yaml", Beside)
