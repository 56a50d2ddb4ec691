"""What a target can keep weights in: ways, their rates and limits, in the words of no cloud."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.offers import Item
from modelberth.catalog.schema import Amount, Positive, Row, Text
from modelberth.units import GIB


class Way(StrEnum):
    """Ways to keep weights where servers read them, the simplest to run first."""

    STREAM = "stream"
    BUCKET = "bucket"
    CLAIM = "claim"
    EXISTING_CLAIM = "existing-claim"
    READ_ONLY_DISK = "read-only-disk"
    SHARED_FILES = "shared-files"
    LOCAL_DISK = "local-disk"
    NODE_DISK = "disk-per-node"
    HUB = "hub"


class Offer(Row):
    """One way that a cloud has, or every cluster (``cloud`` None).

    Rates are those of one node, in MiB per second; ``..._per_tib`` those of a file system that is faster the larger it
    is; None where no source states one. ``shared_rate``: all its readers share the rate. ``least_gib`` and ``step_gib``
    are its sizes; ``zonal``: it is attached in one zone; ``price``: the rate
    that all of it costs, None where another comes on top; ``made``: this package sets it up.
    """

    id: Text
    cloud: Text | None = None
    way: Way
    name: Text
    slow_mib_per_s: Amount | None = None
    mib_per_s: Amount | None = None
    fast_mib_per_s: Amount | None = None
    slow_mib_per_s_per_tib: Amount | None = None
    mib_per_s_per_tib: Amount | None = None
    fast_mib_per_s_per_tib: Amount | None = None
    shared_rate: bool = False
    least_gib: Positive | None = None
    step_gib: Positive | None = None
    zonal: bool = False
    price: Item | None = None
    made: bool

    def rates(self, gib: int) -> tuple[float, float, float] | None:
        """(slow, counted with, fast) of one that is this large; None when not known."""
        plain = (self.slow_mib_per_s, self.mib_per_s, self.fast_mib_per_s)
        if None not in plain:
            return tuple(float(each or 0) for each in plain)  # type: ignore[return-value]
        grown = (self.slow_mib_per_s_per_tib, self.mib_per_s_per_tib, self.fast_mib_per_s_per_tib)
        if None in grown:
            return None
        tib = gib * GIB / 2**40
        return tuple(float(each or 0) * tib for each in grown)  # type: ignore[return-value]


@dataclass(frozen=True)
class Offers:
    """The ways of one target. ``without`` says of ways that it might have why it has not.

    ``unsure`` says of ways what is not known of them: a person may ask for them, nobody else chooses them.
    """

    target: str
    ways: tuple[Offer, ...]
    without: tuple[tuple[Way, str], ...] = ()
    unsure: tuple[tuple[Way, str], ...] = ()

    def of(self, way: Way) -> Offer | None:
        """The offer of this way, None when there is none."""
        return next((offer for offer in self.ways if offer.way is way), None)

    def lacking(self, way: Way) -> str:
        """Why it does not have a way."""
        return dict(self.without).get(way, f"the target ({self.target}) has none")


@cache
def all_offers() -> tuple[Offer, ...]:
    """Every row."""
    rows = read_rows(files("modelberth.clouds") / "places.yaml", Offer)
    return tuple(index(rows, lambda row: row.id).values())


def offers(cloud: str | None, target: str, *, found: bool = False) -> Offers:
    """What a target has that is set up on ``cloud``; None for a cluster of which nothing is known.

    ``found``: the cluster exists already, with drivers and identities that nobody here has seen.
    """
    common = {offer.way: offer for offer in all_offers() if offer.cloud is None}
    own = {offer.way: offer for offer in all_offers() if cloud and offer.cloud == cloud}
    every = {**common, **own}
    unknown = f"what a target of kind {target} has of it is not known"
    without = () if cloud else tuple((way, unknown) for way in Way if way not in every)
    unseen = "whether the cluster that exists has its driver and identities is not known: ask for it if it has"
    unsure = ((Way.STREAM, unseen), (Way.BUCKET, unseen)) if found else ()
    return Offers(target, tuple(every[way] for way in Way if way in every), without, unsure)
