"""What machine types of Google's cloud come with, as far as node pools must say it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text

Feature = Literal["local-ssd", "accelerator-network"]


class MachineFeature(Row):
    """Machine types whose names begin with one of ``prefixes`` have ``feature``."""

    feature: Feature
    prefixes: tuple[Text, ...]


def has(machine_type: str, feature: Feature) -> bool:
    """Whether a machine type has a feature."""
    return any(row.feature == feature and machine_type.startswith(row.prefixes) for row in _rows())


@cache
def _rows() -> tuple[MachineFeature, ...]:
    return tuple(read_rows(files("modelberth.clouds") / "gcp_features.yaml", MachineFeature))
