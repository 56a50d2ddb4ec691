"""What a changed field of a node pool means for its nodes, cloud by cloud."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text


class Consequence(Row):
    """What follows when ``field`` of a pool changes on ``cloud``; ``replaces`` is whether a new pool is made."""

    cloud: Text
    field: Text
    replaces: bool
    what: Text


def consequence(cloud: str, field: str) -> Consequence:
    """The consequence of a change. Raises :class:`KeyError` for a field without a row."""
    return _rows()[f"{cloud}.{field}"]


def consequences(cloud: str) -> tuple[Consequence, ...]:
    """Every row of a cloud, replacements first."""
    mine = (row for row in _rows().values() if row.cloud == cloud)
    return tuple(sorted(mine, key=lambda row: not row.replaces))


@cache
def _rows() -> Mapping[str, Consequence]:
    return index(
        read_rows(files("modelberth.clouds") / "pool_changes.yaml", Consequence), lambda row: f"{row.cloud}.{row.field}"
    )
