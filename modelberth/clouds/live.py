"""How to ask a cloud what exists of a type of resource, and what the id of such a thing is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text

AS_JSON = "--format=json"


class Within(BaseModel):
    """The input that names what a thing lies in, and the type of that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Text
    type: Text


class Live(Row):
    """One type. Templates hold inputs of the resource, what its provider says, and named groups of ``parts``.

    ``named`` is the last part of what a listing calls it, ``delete`` empty where a thing cannot be deleted for good.
    """

    type: Text
    id: str = ""
    named: str = "{name}"
    parts: Mapping[str, str] = {}
    within: Within | None = None
    list: str = ""
    delete: str = ""
    again: bool = False
    """Whether making it a second time is no error: then nothing has to be found."""

    def known(self, said: Mapping[str, str]) -> dict[str, str]:
        """What templates are filled with: what a resource and its provider say, inputs taken apart where they are ids."""
        result = dict(said)
        for key, pattern in self.parts.items():
            if found := re.search(pattern, said.get(key, "")):
                result |= found.groupdict()
        return result


@cache
def _rows() -> Mapping[str, Live]:
    return index(read_rows(files("modelberth.clouds") / "live.yaml", Live), lambda row: row.type)


def live(type_: str) -> Live | None:
    """How to find things of a type token; None for a type that nobody has written down."""
    return _rows().get(type_)


def types() -> tuple[str, ...]:
    """Every type that is known."""
    return tuple(_rows())
