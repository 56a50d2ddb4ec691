"""The store of one service: what its spec asks for or leaves to the planner, checked, and how long its weights load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.catalog import Machine, Model, catalog
from modelberth.clouds.places import Offers, Way, offers
from modelberth.decision import Storage
from modelberth.findings import Finding, refuse
from modelberth.host import claim_gib, load_seconds, load_seconds_at, startup_budget_seconds
from modelberth.offered import region
from modelberth.resolve import Resolved
from modelberth.spec import ServiceSpec, StackSpec, WeightsKind, WeightsSpec
from modelberth.storage import Candidate, Need, StorageChoice, choose_storage, hindrances
from modelberth.targets import Target
from modelberth.units import GIB, MIB, ceil_to

LEAST_STREAM_BUFFER_BYTES = 2 * GIB
"""Memory of a rank that reads a bucket itself, for the tensor that is on its way: at least this, an assumption."""

_IN_BUCKET = (WeightsKind.BUCKET, WeightsKind.STREAM)


@dataclass(frozen=True)
class Nodes:
    """Where a replica runs: so many GPUs (0: CPUs) of this machine type on each of ``count`` nodes."""

    machine: Machine
    gpus: int
    count: int
    zones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """The decision about a store, its times in seconds, and the ranking it comes from where the planner was asked."""

    storage: Storage
    load_s: int
    startup_budget_s: int
    buffer_bytes: int = 0
    """Memory of each rank for weights on their way."""
    choice: StorageChoice | None = None


def stored_bytes(resolved: Resolved) -> int:
    """Bytes of the weights, adapters and draft as they are stored."""
    return resolved.source.stored_bytes + resolved.beside.stored_bytes


def own_download_bytes(spec: ServiceSpec, stack: StackSpec, resolved: Resolved) -> int:
    """Bytes that each pod downloads for itself; what ``auto`` may come to is the planner's to check."""
    return stored_bytes(resolved) if stack.weights_of(spec).kind is WeightsKind.HUB else 0


def offers_of(target: Target) -> Offers:
    """What a target has for weights: that of its cloud where clusters are set up from here, else what all have."""
    if target.managed is None:
        return offers(None, target.kind)
    return offers(target.node_labels.value, target.kind, found=target.managed.cluster is not None)


def need_of(spec: ServiceSpec, stack: StackSpec, resolved: Resolved, nodes: Nodes) -> Need:
    """The planner's question."""
    store = stack.weights_of(spec)
    return Need(
        engine=resolved.engine,
        engine_version=resolved.engine_version,
        machine=nodes.machine,
        stored_bytes=stored_bytes(resolved),
        fewest_replicas=spec.fewest_replicas,
        most_replicas=spec.most_replicas,
        nodes=nodes.count,
        zones=nodes.zones,
        region=region(stack.target),
        gpus=nodes.gpus,
        beside=bool(resolved.beside.adapters or (resolved.beside.speculative and resolved.beside.speculative.source)),
        own_image=spec.image is not None,
        outlives=spec.weights is not None,
        claim=store.claim,
        filled=bool(store.bucket and store.path),
        size_gib=store.size_gib,
        access_mode=store.access_mode,
    )


def stored(name: str, spec: ServiceSpec, stack: StackSpec, resolved: Resolved, nodes: Nodes) -> Stored:
    """The store of a service. Raises :class:`Refused` for one that cannot be, with every reason."""
    store, files_bytes = stack.weights_of(spec), stored_bytes(resolved)
    image_gib = catalog().engine(resolved.engine).image_gib
    if store.kind in (WeightsKind.AUTO, *_IN_BUCKET):
        return _planned(name, spec, stack, resolved, nodes)
    from_volume = store.kind is not WeightsKind.HUB
    load_s = load_seconds(files_bytes, on_gpu=bool(nodes.gpus), from_volume=from_volume, image_gib=image_gib)
    kept = Storage(
        kind=store.kind.value,  # type: ignore[arg-type]
        store=spec.weights,
        size_gib=claim_gib(files_bytes) if store.kind is WeightsKind.CLAIM else None,
        access_mode=store.access_mode if from_volume else None,
    )
    return Stored(kept, load_s, startup_budget_seconds(load_s))


def _planned(name: str, spec: ServiceSpec, stack: StackSpec, resolved: Resolved, nodes: Nodes) -> Stored:
    """A store that the planner chose, or that it was asked about."""
    store, need, has = stack.weights_of(spec), need_of(spec, stack, resolved, nodes), offers_of(stack.target)
    choice = choose_storage(need, has, None if store.kind is WeightsKind.AUTO else Way(store.kind.value))
    refuse(_findings(f"services.{name}.weights", store, need, has, choice))
    chosen = choice.chosen
    if chosen is None or chosen.load_s is None:
        raise AssertionError("a store that cannot be is refused before")
    return _of(spec, store, chosen, resolved, nodes, choice)


def _of(
    spec: ServiceSpec,
    store: WeightsSpec,
    chosen: Candidate,
    resolved: Resolved,
    nodes: Nodes,
    choice: StorageChoice,
) -> Stored:
    in_bucket = chosen.way in (Way.BUCKET, Way.STREAM)
    kept = Storage(
        kind=chosen.way.value,  # type: ignore[arg-type]
        store=spec.weights,
        size_gib=claim_gib(stored_bytes(resolved)) if chosen.way is Way.CLAIM else None,
        access_mode=store.access_mode if chosen.way is Way.CLAIM else None,
        bucket=store.bucket if in_bucket else None,
        prefix=(store.prefix or None) if in_bucket else None,
    )
    image_gib = catalog().engine(resolved.engine).image_gib
    slow_s, counted_s = (
        load_seconds_at(
            stored_bytes(resolved), on_gpu=bool(nodes.gpus), mib_per_s=_rate(chosen, at, resolved), image_gib=image_gib
        )
        for at in (0, 1)
    )
    buffer = stream_buffer_bytes(resolved.model) if chosen.way is Way.STREAM else 0
    budget_s = max(startup_budget_seconds(counted_s), ceil_to(slow_s, 60))
    return Stored(kept, counted_s, budget_s, buffer, choice)


def _rate(chosen: Candidate, at: int, resolved: Resolved) -> float:
    load_s = chosen.load_s or (1.0, 1.0, 1.0)
    return stored_bytes(resolved) / MIB / load_s[at]


def stream_buffer_bytes(model: Model) -> int:
    """Memory of one rank for the largest tensor of a checkpoint: its embeddings in 16 bit, or the least assumed."""
    return max(LEAST_STREAM_BUFFER_BYTES, (model.vocab_size or 0) * model.hidden_size * 2)


def _findings(path: str, store: WeightsSpec, need: Need, has: Offers, choice: StorageChoice) -> Iterator[Finding]:
    """Why a store cannot be: of the kind that was asked for, or of every kind."""
    if store.kind is not WeightsKind.AUTO:
        instead = next(iter(choice.others), None)
        out = f"kind: {instead.way}, or auto" if instead else "nothing that this target has would do"
        for why in hindrances(need, has, Way(store.kind.value)):
            yield Finding("storage", path, f"kind {store.kind}: {why}", out)
    elif choice.chosen is None:
        shown = "; ".join(f"{loser.way}: {', '.join(loser.hindrances)}" for loser in choice.losers)
        yield Finding("storage", path, f"nothing that this target has can hold them: {shown}", "a kind of your own")
