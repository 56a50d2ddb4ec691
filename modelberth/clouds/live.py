"""How to ask a cloud what exists of a type of resource, and what the id of such a thing is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text

CLUSTER = "kubernetes:"
NAMESPACE = "kubernetes:core/v1:Namespace"
REMADE = frozenset({"kubernetes:batch/v1:Job"})
"""Kinds whose pod template never changes, and holds labels that the server gave it."""


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
    as_json: str = "--format=json"
    delete: str = ""
    again: bool = False
    """Whether making it a second time is no error: then nothing has to be found."""
    remade: bool = False
    """Whether the update after an import replaces it: what its server filled in cannot be changed back."""

    def known(self, said: Mapping[str, str]) -> dict[str, str]:
        """What templates are filled with: what a resource and its provider say, and parts of inputs that are ids."""
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
    return _object(type_) if type_.startswith(CLUSTER) else _rows().get(type_)


@cache
def _object(type_: str) -> Live:
    """Objects of a cluster, of any kind, listed with the namespaces: their uids tell one cluster from another."""
    return Live(
        source="kubernetes.io/docs/reference/kubectl; ids as the provider's documentation has them",
        as_of=date(2026, 11, 28),
        type=type_,
        remade=type_ in REMADE,
        id="{namespace}/{name}",
        within=Within(input="namespace", type=NAMESPACE),
        list="kubectl get namespaces,{kind} --namespace={namespace}",
        as_json="--output=json",
        delete="kubectl delete {kind} {name} --namespace={namespace}",
    )


def types() -> tuple[str, ...]:
    """Every type that is known."""
    return tuple(_rows())
