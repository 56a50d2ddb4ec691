"""Which quotas of a cloud the nodes of a pool count against, and how much of each they need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from modelberth.catalog import Machine
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.names import Capacity


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


@dataclass(frozen=True)
class QuotaNeed:
    """What a pool needs of one quota, ``code`` in the cloud's API; all regions share what is not ``regional``."""

    name: str
    code: str | None
    amount: int
    unit: Literal["gpus", "vcpus"]
    regional: bool
    source: str


def needs(machine: Machine, nodes: int, capacity: Capacity) -> tuple[QuotaNeed, ...] | None:
    """What so many nodes need of each quota; empty where nothing is counted any more, None where it is not known."""
    if capacity is Capacity.RESERVATION:
        return ()
    found = tuple(_need(row, machine, nodes) for row in _rows() if row.covers(machine, capacity))
    return found or None


def _need(row: Quota, machine: Machine, nodes: int) -> QuotaNeed:
    each = machine.vcpu if row.counts == "vcpus" else machine.gpu_count
    return QuotaNeed(row.name, row.code, nodes * each, row.counts, row.regional, row.source)


@cache
def _rows() -> tuple[Quota, ...]:
    return read_rows(files("modelberth.clouds") / "quotas.yaml", Quota)
