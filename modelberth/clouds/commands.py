"""What whoever runs a command of a cloud must be allowed: for asking quotas, and for finding what an update left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from pydantic import Field

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text

from .live import CLUSTER, live
from .permissions import Unlisted


class Command(Row):
    """A command by its words before the first option, and what the cloud asks of whoever runs it."""

    command: Text
    allowed: tuple[Text, ...] = Field(min_length=1)


@cache
def rows() -> Mapping[str, Command]:
    """Every command that is known, by its words."""
    return index(read_rows(files("modelberth.clouds") / "commands.yaml", Command), lambda row: row.command)


def to_run(commands: Iterable[str]) -> tuple[str, ...]:
    """What it takes to run some commands, sorted. Raises :class:`Unlisted` with all that have no row."""
    asked = {each: _row(each) for each in commands}
    if unlisted := sorted(command for command, row in asked.items() if row is None):
        raise Unlisted(
            f"no row says what it takes to run {'; '.join(unlisted)}: add it to modelberth/clouds/commands.yaml"
        )
    return tuple(sorted({each for row in asked.values() if row for each in row.allowed}))


def to_recover(types: Iterable[str]) -> tuple[str, ...]:
    """What it takes to list what there is of some types in their cloud, sorted."""
    found = [live(type_) for type_ in types if not type_.startswith(CLUSTER)]
    return to_run(row.list for row in found if row and row.list)


def _row(command: str) -> Command | None:
    """The row that a command begins as; the longest, where several fit."""
    fitting = (row for words, row in rows().items() if f"{command} ".startswith(f"{words} "))
    return max(fitting, key=lambda row: len(row.command), default=None)
