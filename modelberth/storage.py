"""Where weights should lie: every way that a target has, its size, its time to load, its cost, and what hinders it.

The time to load is bytes over the slowest of source, network and disk; what a server does before and after is not part
of it. Nothing is chosen of which something necessary is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from modelberth.catalog import Machine, catalog
from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.offers import Unit
from modelberth.catalog.schema import Row, Text
from modelberth.clouds import node_profile
from modelberth.clouds.places import Offer, Offers, Way
from modelberth.engines import ENGINES
from modelberth.host import assumed, claim_gib, ephemeral_mib
from modelberth.units import GB, GIB, MIB, ceil_to, duration, gib
from modelberth.versions import key

SAME_S = 10
"""Seconds of loading below which two ways are as good as each other."""

_OVER_NETWORK = frozenset(Way) - {Way.LOCAL_DISK}
_FREE = frozenset({Way.HUB, Way.EXISTING_CLAIM, Way.LOCAL_DISK})
"""What costs nothing beside what is paid for already."""


class Loader(Row):
    """An engine that reads a bucket itself: from which version, and whether its stock image has what that needs."""

    id: Text
    since: Text
    in_image: bool


@cache
def loaders() -> Mapping[str, Loader]:
    """Engines that read buckets, by id."""
    return index(read_rows(files("modelberth.catalog") / "loaders.yaml", Loader), lambda row: row.id)


@dataclass(frozen=True)
class Need:
    """What is to be kept, for whom, and where it is read.

    ``stored_bytes`` as stored, with what is fetched beside; ``nodes`` are those of one replica; ``size_gib`` and
    ``access_mode`` are what a person stated of a claim; ``outlives``: the store is one of several services, and so its
    size has to be stated; ``claim`` is one that exists; ``filled``: a bucket that exists has them already;
    ``own_image``: the engine's image is a person's.
    """

    engine: str
    engine_version: str
    machine: Machine
    stored_bytes: int
    fewest_replicas: int = 1
    most_replicas: int = 1
    nodes: int = 1
    zones: tuple[str, ...] = ()
    region: str | None = None
    gpus: int = 0
    beside: bool = False
    own_image: bool = False
    outlives: bool = False
    claim: str | None = None
    filled: bool = False
    size_gib: int | None = None
    access_mode: str = "ReadWriteOnce"

    @property
    def readers(self) -> int:
        """Nodes that may read at once."""
        return self.most_replicas * self.nodes

    @property
    def starts_per_month(self) -> float:
        """Starts of a replica in a month, an assumption."""
        return self.most_replicas * assumed("restarts_per_month")


@dataclass(frozen=True)
class Candidate:
    """One way, worked out. ``load_s`` is (slow, counted with, fast), None when not known; ``usd_per_month`` likewise.

    ``hindrances`` are why it cannot be taken; ``terms`` say where each figure comes from.
    """

    way: Way
    offer: Offer
    size_gib: int | None
    access_mode: str | None
    load_s: tuple[float, float, float] | None
    usd_per_month: float | None
    hindrances: tuple[str, ...]
    terms: tuple[str, ...]

    @property
    def rank(self) -> tuple[bool, int, bool, float, int]:
        """Best first: what needs no hub to restart, then loads faster, then costs less, then is simpler to run."""
        usd = self.usd_per_month
        loads = ceil_to(self.load_s[1], SAME_S) if self.load_s else 0
        return self.way is Way.HUB, loads, usd is None, usd or 0.0, list(Way).index(self.way)


@dataclass(frozen=True)
class StorageChoice:
    """The way that was chosen, None when none can be taken, and every other one, best first."""

    need: Need
    chosen: Candidate | None
    stated: bool
    """Whether a person asked for it."""
    others: tuple[Candidate, ...]
    losers: tuple[Candidate, ...]
    missing: tuple[tuple[Way, str], ...]
    """Ways that the target does not have, and why."""

    def lines(self) -> tuple[str, ...]:
        """All of it in words, each figure with the term it comes from."""
        return tuple(_lines(self))


def choose_storage(need: Need, offers: Offers, stated: Way | None = None) -> StorageChoice:
    """Rank every way of a target; the same for the same question, whatever the order of its ways.

    ``stated`` is what a person asked for: nothing else is chosen instead of it.
    """
    every = sorted((candidate(need, offer) for offer in offers.ways), key=lambda each: list(Way).index(each.way))
    unsure = {way: (why,) for way, why in offers.unsure if way is not stated}
    every = [replace(each, hindrances=(*each.hindrances, *unsure.get(each.way, ()))) for each in every]
    able = sorted((each for each in every if not each.hindrances), key=_ranked)
    losers = tuple(each for each in every if each.hindrances)
    missing = tuple((way, offers.lacking(way)) for way in Way if offers.of(way) is None)
    wanted = [each for each in able if stated in (None, each.way)]
    chosen = wanted[0] if wanted else None
    others = tuple(each for each in able if each is not chosen)
    return StorageChoice(need, chosen, stated is not None, others, losers, missing)


def hindrances(need: Need, offers: Offers, way: Way) -> tuple[str, ...]:
    """Why a way that a person asked for cannot be taken; empty when it can."""
    offer = offers.of(way)
    return (offers.lacking(way),) if offer is None else candidate(need, offer).hindrances


def _ranked(each: Candidate) -> tuple[bool, int, bool, float, int]:
    return each.rank


def candidate(need: Need, offer: Offer) -> Candidate:
    """One way for one need."""
    size = _size_gib(need, offer)
    load_s, terms = _load(need, offer, size or 0)
    usd, cost = _cost(offer, size, need)
    found = tuple(_hindrances(need, offer, load_s))
    sized = () if size is None else (_size_term(need, offer, size),)
    return Candidate(offer.way, offer, size, _mode(need, offer.way), load_s, usd, found, (*sized, *terms, cost))


def _mode(need: Need, way: Way) -> str | None:
    """The access mode of what is attached; None where nothing is."""
    if way in (Way.CLAIM, Way.EXISTING_CLAIM):
        return need.access_mode
    return {Way.NODE_DISK: "ReadWriteOnce", Way.SHARED_FILES: "ReadWriteMany"}.get(
        way, "ReadOnlyMany" if way in (Way.READ_ONLY_DISK, Way.BUCKET) else None
    )


def _size_gib(need: Need, offer: Offer) -> int | None:
    """GiB to pay for: both revisions while one replaces the other, in steps that are sold; None: none of its own."""
    if offer.way in _FREE:
        return None
    if offer.way in (Way.STREAM, Way.BUCKET):
        return None if need.filled else ceil_to(2 * need.stored_bytes / GIB, 1)
    wanted = need.size_gib if offer.way is Way.CLAIM and need.size_gib else claim_gib(need.stored_bytes)
    if offer.least_gib and offer.step_gib and wanted > offer.least_gib:
        return ceil_to(wanted, offer.step_gib)
    return max(wanted, offer.least_gib or 0)


def _size_term(need: Need, offer: Offer, size: int) -> str:
    files_of = f"{gib(need.stored_bytes)} of files"
    if offer.way is Way.CLAIM and need.size_gib:
        return f"size: {size} GiB as stated, for {files_of}"
    times = "twice, both revisions during a change"
    spare = "" if offer.way in (Way.STREAM, Way.BUCKET) else ", and ten percent"
    least = f", sold from {offer.least_gib} GiB in steps of {offer.step_gib}" if offer.least_gib else ""
    each = f", for each of {need.readers} nodes" if offer.way is Way.NODE_DISK else ""
    return f"size: {size} GiB: {files_of} {times}{spare}{least}{each}"


def _load(need: Need, offer: Offer, size: int) -> tuple[tuple[float, float, float] | None, tuple[str, ...]]:
    """Seconds (slow, counted with, fast) until one node has read everything, and what each limit is."""
    rates = offer.rates(size)
    if rates is None:
        return None, ("load: unknown, no rate of it is known",)
    shared = need.readers if offer.shared_rate else 1
    terms = [
        f"source: {rates[1] / shared:,.0f} MiB/s ({rates[0] / shared:,.0f} to {rates[2] / shared:,.0f})"
        + (f", {rates[1]:,.0f} shared by {shared} nodes" if shared > 1 else "")
    ]
    limits = [tuple(rate / shared for rate in rates)]
    if offer.way in _OVER_NETWORK:
        if need.machine.network_gbps:
            network = need.machine.network_gbps * 1e9 / 8 / MIB
            limits.append((network, network, network))
            terms.append(f"network: {network:,.0f} MiB/s, {need.machine.network_gbps:g} Gbit/s of {need.machine.id}")
        else:
            terms.append(f"network: that of {need.machine.id} is not known, it is not counted")
    if offer.way is Way.HUB and not need.machine.local_nvme_gb:
        disk = assumed("volume_mib_per_s")
        limits.append((disk, disk, assumed("fastest_volume_mib_per_s")))
        terms.append(f"disk: {disk:,.0f} MiB/s, the node's own disk takes what is downloaded (an assumption)")
    least = [min(limit[at] for limit in limits) for at in range(3)]
    slow, counted, fast = (need.stored_bytes / MIB / rate for rate in least)
    ends = f"{duration(fast)} to {duration(slow)}"
    how = f"{gib(need.stored_bytes)} at {least[1]:,.0f} MiB/s, the slowest of these"
    total = f"load: {duration(counted)} ({ends}): {how}"
    return (slow, counted, fast), (*terms, total)


def usd_per_gib_month(offer: Offer, region: str | None) -> float | None:
    """The list price of a way of storage per GiB and month in a region; None when none is known."""
    rate = catalog().rate(offer.cloud, offer.price) if offer.cloud and offer.price else None
    return rate.usd(region) if rate and region and rate.unit is Unit.GIB_MONTH else None


def _cost(offer: Offer, size: int | None, need: Need) -> tuple[float | None, str]:
    if size is None:
        return 0.0, "cost: none beside what is there already"
    price = usd_per_gib_month(offer, need.region)
    if price is None:
        return None, f"cost: unknown, no price of it{f' in {need.region}' if need.region else ''} is known"
    copies = need.readers if offer.way is Way.NODE_DISK else 1
    usd = price * size * copies
    return usd, f"cost: {usd:,.2f} USD per month, {size * copies} GiB at {price:g}"


def _hindrances(need: Need, offer: Offer, load_s: tuple[float, float, float] | None) -> Iterator[str]:
    if not offer.made:
        yield "it is not set up from here: fill it yourself and name it as weights of kind existing-claim"
    if load_s is None:
        yield "how fast it is read is not known"
    if offer.way in (Way.CLAIM, Way.EXISTING_CLAIM):
        yield from _attached(need, offer)
    yield from _read_by(need, offer.way)
    if offer.way is Way.HUB:
        yield from _from_hub(need)
    if offer.way is Way.LOCAL_DISK:
        yield from _local(need)


def _attached(need: Need, offer: Offer) -> Iterator[str]:
    """What a volume that is attached to nodes allows."""
    if need.access_mode == "ReadWriteOnce" and need.readers > 1:
        yield f"ReadWriteOnce is attached to one node, {need.readers} may read it"
    if offer.way is Way.CLAIM and need.access_mode == "ReadWriteMany" and offer.zonal:
        yield f"{offer.name} is attached to one node at a time: ReadWriteMany needs a class of shared files"
    if offer.way is Way.EXISTING_CLAIM:
        if need.claim is None:
            yield "none is named"
        return
    if need.outlives and need.size_gib is None:
        yield "size_gib is not stated, and a volume that outlives its services never shrinks"
    if need.size_gib and need.size_gib < claim_gib(need.stored_bytes):
        yield f"{need.size_gib} GiB are less than the {claim_gib(need.stored_bytes)} GiB that two revisions need"


def _read_by(need: Need, way: Way) -> Iterator[str]:
    """What the engine can read."""
    engine, name = ENGINES[need.engine], catalog().engine(need.engine).name
    if way is Way.STREAM:
        loader = loaders().get(need.engine)
        if loader is None:
            yield f"{name} reads files, not buckets"
        elif key(need.engine_version) < key(loader.since):
            yield f"{name} reads buckets from version {loader.since} on, this is {need.engine_version}"
        elif not loader.in_image and not need.own_image:
            yield f"whether the stock image of {name} can is not known (image: one of yours with runai-model-streamer)"
        if need.beside:
            yield "adapters and draft models are read as files"
    if way is Way.BUCKET and engine.reads_gguf and catalog().engine(need.engine).model_store:
        yield f"{name} keeps a store of its own, which is laid down by renaming, and a bucket knows none"


def _from_hub(need: Need) -> Iterator[str]:
    """What a pod needs that downloads for itself."""
    if not ENGINES[need.engine].pins_downloads:
        yield f"{catalog().engine(need.engine).name} cannot be told a revision when it downloads for itself"
    if need.beside:
        yield "pods that download for themselves cannot be told the revision of an adapter or draft"
    share = need.gpus / need.machine.gpu_count if need.gpus and need.machine.gpu_count else 1
    offered = node_profile(need.machine.id).allocatable_ephemeral_bytes * share
    wanted = ephemeral_mib(need.stored_bytes, on_gpu=bool(need.gpus)) * MIB
    if wanted > offered:
        yield f"a pod downloads to {gib(wanted)} of ephemeral storage, its share of a node is {gib(offered)}"


def _local(need: Need) -> Iterator[str]:
    capacity = need.machine.local_nvme_gb
    if capacity is None:
        yield f"{need.machine.id} has no local disks that are known"
    elif capacity * GB < need.stored_bytes:
        yield f"the local disks of {need.machine.id} hold {capacity:g} GB, the weights are {gib(need.stored_bytes)}"


def _lines(choice: StorageChoice) -> Iterator[str]:
    need = choice.need
    fewest, most = need.fewest_replicas, need.most_replicas
    replicas = f"{most} replica{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} replicas"
    replicas += f" of {need.nodes} nodes" if need.nodes > 1 else ""
    zones = f", zones {', '.join(need.zones)}" if need.zones else ""
    yield f"weights: {gib(need.stored_bytes)} on {need.machine.id}, {replicas}{zones}"
    yield f"starts: {need.starts_per_month:,.0f} a month are assumed"
    if choice.chosen is None:
        yield "chosen: none can be taken"
    else:
        yield f"{'stated' if choice.stated else 'chosen'}: {choice.chosen.way}, {choice.chosen.offer.name}"
        yield from (f"  {term}" for term in choice.chosen.terms)
        if choice.chosen.load_s:
            waited = choice.chosen.load_s[1] * need.starts_per_month
            yield f"  loading: {duration(waited)} a month, all starts together"
    for other in choice.others:
        yield f"also: {other.way}, {other.offer.name}: {_why_later(choice, other)}"
        yield from (f"  {term}" for term in other.terms)
    reasons: dict[str, list[str]] = {}
    for loser in choice.losers:
        reasons.setdefault("; ".join(loser.hindrances), []).append(f"{loser.way} ({loser.offer.name})")
    yield from (f"not: {', '.join(losers)}: {why}" for why, losers in reasons.items())
    for way, why in choice.missing:
        yield f"not: {way}: {why}"


def _why_later(choice: StorageChoice, other: Candidate) -> str:
    chosen = choice.chosen
    if choice.stated and chosen and other.load_s and chosen.load_s:
        return f"would load in {duration(other.load_s[1])}"
    if chosen is None or chosen.load_s is None or other.load_s is None:
        return "ranked behind it"
    if other.way is Way.HUB:
        return "every start would need the hub"
    if ceil_to(other.load_s[1], SAME_S) > ceil_to(chosen.load_s[1], SAME_S):
        return f"loads in {duration(other.load_s[1])} instead of {duration(chosen.load_s[1])}"
    if other.usd_per_month is None or (chosen.usd_per_month or 0.0) < other.usd_per_month:
        return "loads as fast, costs more or what it costs is not known"
    return "loads as fast, is less simple to run"
