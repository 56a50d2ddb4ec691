"""What is known about models, GPUs, machines, prices and engines: facts in YAML, read when first asked for.

``catalog()`` costs nothing; a look-up parses the one or two small files that can hold the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TypeVar

from modelberth.catalog.loader import CatalogError, index, index_each, read_rows
from modelberth.catalog.offers import Commitment, Item, Offer, Rate, RegionalPrice, Ways
from modelberth.catalog.probes import Answers
from modelberth.catalog.schema import (
    BatchDefault,
    Capacity,
    Checkpoint,
    Engine,
    Format,
    Gpu,
    Machine,
    Model,
    Price,
    Quantization,
    Row,
    Since,
)
from modelberth.catalog.signals import Kind, Metric, SignalDefault
from modelberth.errors import UnknownName, suggest

__all__ = [
    "Answers",
    "BatchDefault",
    "Capacity",
    "Catalog",
    "CatalogError",
    "Checkpoint",
    "Commitment",
    "Engine",
    "Format",
    "Gpu",
    "Item",
    "Kind",
    "Machine",
    "Metric",
    "Model",
    "Offer",
    "Price",
    "Quantization",
    "Rate",
    "SignalDefault",
    "Since",
    "Ways",
    "catalog",
]

OWN = "generic"
"""What stands in the place of a cloud for kinds of nodes of one's own."""

AnyEntry = TypeVar("AnyEntry")
AnyRow = TypeVar("AnyRow", bound=Row)


class Catalog:
    """Typed look-ups over one folder of YAML files. Every file is parsed at most once, on first need."""

    def __init__(self, root: Traversable) -> None:
        self._root = root
        self._models: dict[str, dict[str, Model]] = {}
        self._checkpoints: dict[str, tuple[Checkpoint, ...]] = {}
        self._folders: dict[str, frozenset[str]] = {}

    def model(self, id_or_alias: str) -> Model:
        """The model of this id, or the one that lists it as an alias.

        Raises :class:`~modelberth.errors.UnknownName` with the ids and aliases that look most alike.
        """
        found = self._models_of(_org(id_or_alias)).get(id_or_alias) or self._every_model_name().get(id_or_alias)
        if found is None:
            raise UnknownName("model", id_or_alias, suggest(id_or_alias, self._every_model_name()))
        return found

    def models(self) -> tuple[Model, ...]:
        """Every model, by id. Reads all model files: for searches and reports, not for a look-up."""
        return tuple(model for name, model in self._every_model_name().items() if name == model.id)

    def checkpoints(self, model_id: str, quantization: str | None = None) -> tuple[Checkpoint, ...]:
        """Repositories that store this model (by id or alias) in other formats, optionally of one quantization."""
        model = self.model(model_id)
        return tuple(
            row
            for row in self._checkpoints_of(_org(model.id))
            if row.model == model.id and quantization in (None, row.quantization)
        )

    def checkpoint(self, repository: str) -> Checkpoint | None:
        """The first checkpoint of this repository, None when the catalog has none. Reads all checkpoint files."""
        return self._first_checkpoints.get(repository)

    def file_bytes(self, model_id: str, quantization: str) -> int | None:
        """Size of the first GGUF file of a model in this format, None when the catalog has none."""
        rows = self.checkpoints(model_id, quantization)
        return next((row.bytes for row in rows if row.format is Format.GGUF and row.bytes), None)

    def gpu(self, gpu_id: str) -> Gpu:
        """The GPU of this id. Raises :class:`~modelberth.errors.UnknownName`."""
        return _named("GPU", gpu_id, self._gpus)

    def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU, by id."""
        return tuple(self._gpus.values())

    def machine(self, machine_id: str) -> Machine:
        """The machine type of this id. Raises :class:`~modelberth.errors.UnknownName`."""
        return _named("machine type", machine_id, self._machines)

    def machines(self, gpu: str | None = None, cloud: str | None = None) -> tuple[Machine, ...]:
        """Machine types that clouds sell, optionally of one GPU id and one cloud.

        Nodes of one's own are the kinds of no cloud (``cloud="generic"``), and among the others they are not.
        """
        if gpu is None and cloud is None:
            return self._sold
        rows = (row for row in self._machines.values() if gpu in (None, row.gpu))
        return tuple(row for row in rows if (row.cloud != OWN if cloud is None else row.cloud == cloud))

    def price(self, machine_id: str, capacity: str = "on-demand", *, region: str | None = None) -> Price | None:
        """What this machine costs, None when no source states it.

        Without a region it is the price of the usual one, which the result names. With a region it is that of this
        region and of no other.
        """
        usual = self._prices.get((machine_id, capacity))
        if region is None or (usual and usual.region == region):
            return usual
        regional = self._regional_prices.get((machine_id, capacity))
        return regional.price(region) if regional else None

    def prices(self) -> tuple[Price, ...]:
        """Every price of the usual regions."""
        return tuple(self._prices.values())

    def regional_prices(self) -> tuple[RegionalPrice, ...]:
        """Every price beside the usual region."""
        return tuple(self._regional_prices.values())

    def commitment(self, machine_id: str, years: int) -> Commitment | None:
        """What this machine costs when it is committed to for one or three years, None when no source states it."""
        return self._commitments.get((machine_id, years))

    def commitments(self) -> tuple[Commitment, ...]:
        """Every price of a commitment."""
        return tuple(self._commitments.values())

    def rate(self, cloud: str, item: str) -> Rate | None:
        """What this item costs at a cloud, None when the cloud has no row for it."""
        return self._rates.get((cloud, item))

    def rates(self) -> tuple[Rate, ...]:
        """Every rate of what is no machine."""
        return tuple(self._rates.values())

    def offer(self, machine_id: str) -> Offer | None:
        """Where this machine type is sold, None when no source states it."""
        return self._offers.get(machine_id)

    def ways(self, machine_id: str) -> Ways | None:
        """In which ways this machine type is sold, None when no source states it."""
        return self._ways.get(machine_id)

    def zones(self) -> Mapping[str, frozenset[str]]:
        """Every zone that sells something we know of, by region."""
        return self._zones

    def engine(self, engine_id: str) -> Engine:
        """The engine of this id. Raises :class:`~modelberth.errors.UnknownName`."""
        return _named("engine", engine_id, self._engines)

    def engines(self) -> tuple[Engine, ...]:
        """Every engine, by id."""
        return tuple(self._engines.values())

    @cached_property
    def _sold(self) -> tuple[Machine, ...]:
        return tuple(row for row in self._machines.values() if row.cloud != OWN)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric of every engine and version."""
        return read_rows(self._root / "metrics.yaml", Metric)

    @cached_property
    def answers(self) -> Mapping[str, Answers]:
        """What servers answer to probes, by engine; Triton is a server of its own."""
        return index(read_rows(self._root / "probes.yaml", Answers), lambda row: row.id)

    @cached_property
    def signals(self) -> Mapping[str, SignalDefault]:
        """Where scaling starts, by signal."""
        return index(read_rows(self._root / "signals.yaml", SignalDefault), lambda row: row.signal.value)

    @cached_property
    def _first_checkpoints(self) -> dict[str, Checkpoint]:
        found: dict[str, Checkpoint] = {}
        for org in self._names_in("checkpoints"):
            for row in self._checkpoints_of(org):
                found.setdefault(row.repository, row)
        return found

    @cached_property
    def _gpus(self) -> dict[str, Gpu]:
        return index(read_rows(self._root / "gpus.yaml", Gpu), lambda row: row.id)

    @cached_property
    def _engines(self) -> dict[str, Engine]:
        return index(read_rows(self._root / "engines.yaml", Engine), lambda row: row.id)

    @cached_property
    def _machines(self) -> dict[str, Machine]:
        return index(self._rows_in("machines", Machine), lambda row: row.id)

    @cached_property
    def _prices(self) -> dict[tuple[str, str], Price]:
        return index(self._rows_in("prices", Price), lambda row: (row.machine, row.capacity))

    @cached_property
    def _regional_prices(self) -> dict[tuple[str, str], RegionalPrice]:
        return index(self._rows_in("regional", RegionalPrice), lambda row: (row.machine, row.capacity))

    @cached_property
    def _commitments(self) -> dict[tuple[str, int], Commitment]:
        return index(self._rows_in("commitments", Commitment), lambda row: (row.machine, row.years))

    @cached_property
    def _rates(self) -> dict[tuple[str, str], Rate]:
        return index(self._rows_in("rates", Rate), lambda row: (row.cloud, row.item))

    @cached_property
    def _offers(self) -> dict[str, Offer]:
        return index_each(self._rows_in("zones", Offer), lambda row: row.machines)

    @cached_property
    def _ways(self) -> dict[str, Ways]:
        return index_each(self._rows_in("ways", Ways), lambda row: row.machines)

    @cached_property
    def _zones(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for offer in self._offers.values():
            for region, zones in offer.zones.items():
                found.setdefault(region, set()).update(zones)
        return {region: frozenset(zones) for region, zones in found.items()}

    def _models_of(self, org: str) -> dict[str, Model]:
        """The models of one file by id and by alias; empty when there is no such file."""
        if org not in self._models:
            self._models[org] = _by_name(self._rows_of("models", org, Model))
        return self._models[org]

    def _every_model_name(self) -> Mapping[str, Model]:
        return {name: model for org in self._names_in("models") for name, model in self._models_of(org).items()}

    def _checkpoints_of(self, org: str) -> tuple[Checkpoint, ...]:
        if org not in self._checkpoints:
            self._checkpoints[org] = self._rows_of("checkpoints", org, Checkpoint)
        return self._checkpoints[org]

    def _rows_of(self, folder: str, name: str, kind: type[AnyRow]) -> tuple[AnyRow, ...]:
        """The rows of one file, none when there is no such file. The name may be anything: it never becomes a path."""
        known = name in self._files_in(folder)
        return read_rows(self._root / folder / f"{name}.yaml", kind) if known else ()

    def _rows_in(self, folder: str, kind: type[AnyRow]) -> tuple[AnyRow, ...]:
        return tuple(
            row for name in self._names_in(folder) for row in read_rows(self._root / folder / f"{name}.yaml", kind)
        )

    def _names_in(self, folder: str) -> list[str]:
        return sorted(self._files_in(folder))

    def _files_in(self, folder: str) -> frozenset[str]:
        if folder not in self._folders:
            directory = self._root / folder
            found = directory.iterdir() if directory.is_dir() else ()
            self._folders[folder] = frozenset(file.name.removesuffix(".yaml") for file in found)
        return self._folders[folder]


@cache
def catalog() -> Catalog:
    """The catalog that comes with the package."""
    return Catalog(files("modelberth.catalog"))


def _org(repository: str) -> str:
    return repository.partition("/")[0]


def _by_name(rows: tuple[Model, ...]) -> dict[str, Model]:
    names: dict[str, Model] = {}
    for model in rows:
        for name in (model.id, *model.aliases):
            if name in names:
                raise CatalogError(f"two models are called {name!r}")
            names[name] = model
    return names


def _named(kind: str, name: str, rows: Mapping[str, AnyEntry]) -> AnyEntry:
    if name not in rows:
        raise UnknownName(kind, name, suggest(name, rows))
    return rows[name]
