"""The fitted figures of the speed model, from catalog/speed.yaml, each with its unit, meaning and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from modelberth.documents import mapping


@dataclass(frozen=True)
class Spread:
    """Factors on an estimate between which nine held-out rows in ten lie."""

    low: float
    high: float


@dataclass(frozen=True)
class Constants:
    """``value`` by name, how far measured ``tpot`` and ``ttft`` lie from estimates, and the ``source`` of them all."""

    value: Mapping[str, float]
    tpot: Spread
    ttft: Spread
    source: str

    def __getitem__(self, name: str) -> float:
        return self.value[name]


@cache
def constants() -> Constants:
    """The fit that comes with the package."""
    file = files("modelberth.catalog") / "speed.yaml"
    return read(mapping(file.read_text(encoding="utf-8"), file.name))


def read(document: Mapping[str, Any]) -> Constants:
    """Constants out of the file's content."""
    values = {name: float(entry["value"]) for name, entry in document["constants"].items()}
    spreads = document["spreads"]
    tpot, ttft = (Spread(spreads[field]["low"], spreads[field]["high"]) for field in ("tpot", "ttft"))
    return Constants(values, tpot, ttft, document["shared"]["source"])
