"""What runs on what: engine x version x quantization x GPU x KV cache type x architecture, as rows with a source each.

Whatever no row answers is unknown, which is an answer of its own: never yes, never no.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelberth.catalog import Gpu, Model, catalog
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Positive, Row, Text
from modelberth.findings import Finding, Level
from modelberth.names import Quantization
from modelberth.versions import key

Capability = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
Hardware = Literal["nvidia", "amd", "apple", "cpu"]
GGUF = "gguf"
"""In rows: every quantization that is a GGUF type."""


class Kind(StrEnum):
    """What an engine does with a format: compute in it, only store it, need a plugin for it, refuse it."""

    YES = "yes"
    WEIGHT_ONLY = "weight-only"
    PLUGIN = "plugin"
    UNKNOWN = "unknown"
    NO = "no"


_WORST_LAST = tuple(Kind)
_GGUF_TYPES = frozenset(kind.value for kind in Quantization if kind.is_gguf)


class Subject(StrEnum):
    """What an answer is about, in the words of the spec's fields."""

    ACCELERATOR = "accelerator"
    QUANTIZATION = "quantization"
    KV_CACHE_DTYPE = "kv_cache_dtype"


class Rule(Row):
    """One row: where every condition holds, the answer is ``kind``, because of ``reason``.

    A row that names quantizations is about them, one that names KV cache types about those, any other about the
    hardware. Versions: ``since`` inclusive, ``until`` exclusive; compute capabilities likewise.
    """

    engine: Text
    quantizations: tuple[Text, ...] = ()
    kv_cache_dtypes: tuple[Text, ...] = ()
    architectures: tuple[Text, ...] = ()
    hardware: tuple[Hardware, ...] = ()
    compute_capability_from: Capability | None = None
    compute_capability_below: Capability | None = None
    since: Text = "0"
    until: Text | None = None
    kind: Kind
    reason: Text
    remedy: str = ""

    @property
    def subject(self) -> Subject:
        """What the row is about."""
        if self.kv_cache_dtypes:
            return Subject.KV_CACHE_DTYPE
        return Subject.QUANTIZATION if self.quantizations else Subject.ACCELERATOR

    def holds(self, gpu: Gpu | None, architecture: str | None) -> bool:
        """Whether hardware (None is a CPU) and architecture are those of the row."""
        return (
            (not self.hardware or (gpu.vendor if gpu else "cpu") in self.hardware)
            and (not self.architectures or architecture in self.architectures)
            and self._covers_capability(gpu.cc if gpu else None)
        )

    def covers_version(self, version: str) -> bool:
        """Whether the row speaks of this version."""
        return key(self.since) <= key(version) and (self.until is None or key(version) < key(self.until))

    def concerns(self, subject: Subject, name: str) -> bool:
        """Whether the row is about this quantization or KV cache type, or about the hardware."""
        named = self.quantizations or self.kv_cache_dtypes
        return self.subject is subject and (not named or name in named or (GGUF in named and name in _GGUF_TYPES))

    @property
    def is_of_some_gpus(self) -> bool:
        """Whether the row holds for some compute capabilities only."""
        return self.compute_capability_from is not None or self.compute_capability_below is not None

    def _covers_capability(self, capability: tuple[int, int] | None) -> bool:
        if not self.is_of_some_gpus:
            return True
        if capability is None:
            return False
        low, high = self.compute_capability_from, self.compute_capability_below
        return (low is None or _pair(low) <= capability) and (high is None or capability < _pair(high))


class Feature(Row):
    """Whether an engine has a feature, from which version on where a source states it, and the version it was read in.

    ``launched``: the package starts the engine with it when a spec asks; where it does not, ``note`` says why not and
    ``remedy`` the way out.
    """

    engine: Text
    feature: Text
    value: Text
    checked: Text
    note: str = ""
    since: Text | None = None
    launched: bool = False
    remedy: str = ""


class Parsers(Row):
    """Names that an engine knows for reading the model's text, from version ``since`` and below ``until``."""

    engine: Text
    field: Literal["tool_call_parser", "reasoning_parser"]
    since: Text
    until: Text | None = None
    names: tuple[Text, ...]


class Choices(Row):
    """Words that a flag of an engine takes, in versions ``since`` to ``last``, both inclusive.

    ``plugins`` are taken only when a package that the stock image lacks adds them, ``deprecated`` only when another
    flag allows it.
    """

    engine: Text
    flag: Text
    since: Text
    last: Text
    names: tuple[Text, ...]
    plugins: tuple[Text, ...] = ()
    deprecated: tuple[Text, ...] = ()


class ImageCuda(Row):
    """CUDA of an engine's stock image from version ``since`` on, and the oldest driver branch that runs it."""

    engine: Text
    since: Text
    cuda: Text
    minimum_driver: Positive
    note: str = ""


class NodeImage(Row):
    """The NVIDIA driver branch of a cloud's node image, None where it moves with the cloud's own releases."""

    cloud: Text
    image: Text
    driver: Annotated[int, Field(gt=0)] | None = None
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """One answer, with why and from where.

    ``native_from`` is the lowest compute capability on which this engine computes in a format that it here only
    stores, None where it never does. ``of_this_gpu``: a GPU of another compute capability may be answered otherwise.
    """

    subject: Subject
    kind: Kind
    reason: str
    source: str = ""
    remedy: str = ""
    native_from: str | None = None
    of_this_gpu: bool = False


def answers(
    engine: str,
    version: str,
    quantization: str,
    gpu: Gpu | None,
    kv_cache_dtype: str = "auto",
    architecture: str | None = None,
) -> tuple[Answer, ...]:
    """What is known of the hardware, the quantization and the KV cache type; of hardware that is no yes, nothing else.

    ``gpu`` None is a CPU; ``kv_cache_dtype`` auto asks nothing. Raises :class:`~modelberth.errors.UnknownName` for an
    engine that the catalog does not hold.
    """
    hardware = _decide(Subject.ACCELERATOR, engine, version, "", gpu, architecture)
    if hardware.kind is not Kind.YES:
        return (hardware,)
    found = [hardware, _decide(Subject.QUANTIZATION, engine, version, quantization, gpu, architecture)]
    if kv_cache_dtype != "auto":
        found.append(_decide(Subject.KV_CACHE_DTYPE, engine, version, kv_cache_dtype, gpu, architecture))
    return tuple(found)


def answer(
    engine: str,
    version: str,
    quantization: str,
    gpu: Gpu | None,
    kv_cache_dtype: str = "auto",
    architecture: str | None = None,
) -> Answer:
    """The worst of :func:`answers`: no, unknown, plugin, weight-only, yes; of the quantization when they are alike."""
    found = answers(engine, version, quantization, gpu, kv_cache_dtype, architecture)
    about = (Subject.QUANTIZATION, Subject.KV_CACHE_DTYPE, Subject.ACCELERATOR)
    return min(found, key=lambda each: (-_WORST_LAST.index(each.kind), about.index(each.subject)))


def computes_natively(engine: str, version: str, quantization: str) -> str | None:
    """The lowest NVIDIA compute capability on which the engine computes in this format, None where it never does."""
    lows = [
        rule.compute_capability_from or "0.0"
        for rule in _rules_about(Subject.QUANTIZATION, engine, version, quantization)
        if rule.kind is Kind.YES and (not rule.hardware or "nvidia" in rule.hardware)
    ]
    return min(lows, key=_pair, default=None)


def driver(engine: str, version: str, node_driver: int | None) -> Answer:
    """Whether a node whose driver is of branch ``node_driver`` (580; None: not known) runs the engine's CUDA image."""
    known = [row for row in image_cudas() if row.engine == engine and key(row.since) <= key(version)]
    if not known:
        reason = f"which CUDA the image of {engine} {version} is built for is not known"
        return Answer(Subject.ACCELERATOR, Kind.UNKNOWN, reason)
    row = max(known, key=lambda each: key(each.since))
    needs = f"the image of {engine} {version} is built for CUDA {row.cuda} and needs driver {row.minimum_driver}"
    if node_driver is None:
        return Answer(Subject.ACCELERATOR, Kind.UNKNOWN, f"{needs}; the node's driver is not known", row.source)
    if node_driver < row.minimum_driver:
        remedy = f"use a node image with driver {row.minimum_driver} or newer"
        return Answer(Subject.ACCELERATOR, Kind.NO, f"{needs}; the node has {node_driver}", row.source, remedy)
    return Answer(Subject.ACCELERATOR, Kind.YES, needs, row.source)


def terms(model: Model) -> Iterator[Finding]:
    """What has to be agreed to before a model's weights can be downloaded, as notes; nothing where nothing is known."""
    if model.gated:
        message = f"{model.id} is gated: its terms must be accepted by the account whose token is used"
        yield Finding("gated", "model", message, "set token", Level.NOTE)
    if model.license is not None:
        yield Finding("license", "model", f"the licence of {model.id} is {model.license}", level=Level.NOTE)


@cache
def rules(engine: str) -> tuple[Rule, ...]:
    """Every row of one engine. Raises :class:`~modelberth.errors.UnknownName`."""
    return read_rows(_FOLDER / f"{catalog().engine(engine).id}.yaml", Rule)


@cache
def features() -> tuple[Feature, ...]:
    """Every feature row."""
    return read_rows(_FOLDER / "features.yaml", Feature)


def feature(engine: str, name: str) -> Feature | None:
    """One row, None where nothing is known."""
    return next((row for row in features() if (row.engine, row.feature) == (engine, name)), None)


@cache
def parsers(engine: str, version: str, field: str) -> tuple[str, ...]:
    """Names that this version knows for a field of the spec, sorted; empty where none are known."""
    rows = read_rows(files("modelberth.catalog") / "parsers.yaml", Parsers)
    known = (
        row
        for row in rows
        if (row.engine, row.field) == (engine, field)
        and key(row.since) <= key(version)
        and (row.until is None or key(version) < key(row.until))
    )
    return tuple(sorted(name for row in known for name in row.names))


@cache
def choices(engine: str, version: str, flag: str) -> Choices | None:
    """Words that this version takes for a flag of this name (its parser's); None where they are not known."""
    rows = read_rows(_FOLDER / "choices.yaml", Choices)
    known = (
        row
        for row in rows
        if (row.engine, row.flag) == (engine, flag) and key(row.since) <= key(version) <= key(row.last)
    )
    return next(known, None)


@cache
def image_cudas() -> tuple[ImageCuda, ...]:
    """CUDA of every engine's image."""
    return read_rows(_FOLDER / "drivers.yaml", ImageCuda)


@cache
def node_images() -> tuple[NodeImage, ...]:
    """Node images of the clouds."""
    return read_rows(_FOLDER / "node_images.yaml", NodeImage)


_FOLDER = files("modelberth.catalog") / "compatibility"


@lru_cache(maxsize=1024)
def _rules_about(subject: Subject, engine: str, version: str, name: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules(engine) if rule.concerns(subject, name) and rule.covers_version(version))


def _decide(
    subject: Subject, engine: str, version: str, name: str, gpu: Gpu | None, architecture: str | None
) -> Answer:
    """The row that holds; one that names the architecture goes before one that does not."""
    about = _rules_about(subject, engine, version, name)
    holding = [rule for rule in about if rule.holds(gpu, architecture)]
    if not holding:
        return Answer(subject, Kind.UNKNOWN, _nothing(subject, engine, version, name, gpu))
    rule = max(holding, key=lambda each: bool(each.architectures))
    only_stored = subject is Subject.QUANTIZATION and rule.kind is Kind.WEIGHT_ONLY
    native = computes_natively(engine, version, name) if only_stored else None
    return Answer(subject, rule.kind, rule.reason, rule.source, rule.remedy, native, rule.is_of_some_gpus)


def _nothing(subject: Subject, engine: str, version: str, name: str, gpu: Gpu | None) -> str:
    where = gpu.name if gpu else "a CPU"
    if gpu is not None and gpu.vendor == "nvidia" and gpu.cc is None:
        return f"the catalog does not state the compute capability of {where}"
    what = {
        Subject.ACCELERATOR: f"no source says whether {engine} {version} runs",
        Subject.QUANTIZATION: f"no source says whether {engine} {version} runs {name}",
        Subject.KV_CACHE_DTYPE: f"no source says whether {engine} {version} has a KV cache of {name}",
    }[subject]
    return f"{what} on {where}"


def _pair(capability: str) -> tuple[int, int]:
    major, minor = capability.split(".")
    return int(major), int(minor)
