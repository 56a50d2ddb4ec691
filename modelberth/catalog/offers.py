"""Rows of what clouds sell where, in which ways, and what it costs beside the machines of the usual region."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from modelberth.catalog.schema import Amount, Price, Row, Text
from modelberth.names import Capacity


class Offer(Row):
    """Where machine types are sold: zones by region. A region that is not listed does not sell them.

    Unless the row is not ``exhaustive``: then its source is old or was read in part, and what is missing is not known.
    Zones are those that are the same for every account of the cloud.
    """

    machines: tuple[Text, ...] = Field(min_length=1)
    zones: dict[Text, tuple[Text, ...]] = Field(min_length=1)
    exhaustive: bool = True


class Ways(Row):
    """In which ways machine types can be had (``sold``) and cannot (``not_sold``); what is in neither is not known."""

    machines: tuple[Text, ...] = Field(min_length=1)
    sold: frozenset[Capacity] = frozenset()
    not_sold: frozenset[Capacity] = frozenset()

    @model_validator(mode="after")
    def _no_contradiction(self) -> Ways:
        if both := self.sold & self.not_sold:
            raise ValueError(f"sold and not sold: {', '.join(sorted(both))}")
        return self


class RegionalPrice(Row):
    """What one machine costs per hour beside the usual region, by region; in the terms of :class:`Price`."""

    machine: Text
    capacity: Capacity
    usd_per_hour: dict[Text, Amount] = Field(min_length=1)

    def price(self, region: str) -> Price | None:
        """The price in this region, None when no source states it."""
        usd = self.usd_per_hour.get(region)
        if usd is None:
            return None
        return Price(
            source=self.source,
            as_of=self.as_of,
            machine=self.machine,
            capacity=self.capacity,
            usd_per_hour=usd,
            region=region,
        )


class Commitment(Row):
    """What one machine costs per hour, by region, when every hour of so many years is paid, used or not."""

    machine: Text
    years: Literal[1, 3]
    usd_per_hour: dict[Text, Amount] = Field(min_length=1)


class Item(StrEnum):
    """What a plan pays for beside machines."""

    BOOT_DISK = "boot-disk"
    SSD_DISK = "ssd-disk"
    LOCAL_SSD = "local-ssd"
    SHARED_DISK = "shared-disk"
    SHARED_DISK_THROUGHPUT = "shared-disk-throughput"
    BUCKET = "bucket"
    PARALLEL_FILES = "parallel-files"
    SHARED_FILES = "shared-files"
    CLUSTER = "cluster"
    CLUSTER_EXTENDED = "cluster-extended"
    NAT = "nat"
    NAT_TRAFFIC = "nat-traffic"


class Unit(StrEnum):
    """What a rate is paid per. Disks are billed by 2^30 bytes, whatever the price list calls them."""

    GIB_MONTH = "GiB-month"
    GIB = "GiB"
    MIB_PER_S_MONTH = "MiB/s-month"
    HOUR = "hour"


class Rate(Row):
    """What one unit of an item costs, by region, or ``usd_anywhere`` where all regions cost the same.

    ``name`` is the cloud's. A row without any price says that it was looked for, and that no dated source was found.
    """

    cloud: Text
    item: Item
    name: Text
    unit: Unit
    usd_anywhere: Amount | None = None
    usd_by_region: dict[Text, Amount] = Field(default_factory=dict)

    def usd(self, region: str) -> float | None:
        """The price of one unit in this region, None when it is not known."""
        return self.usd_by_region.get(region, self.usd_anywhere)
