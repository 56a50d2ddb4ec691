"""Policy documents of AWS: who may, or may not, do what with what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from modelberth.node import Node, fields_of


@dataclass(frozen=True)
class Statement:
    """One statement. ``conditions`` are the keys that it depends on, in lower case; names of actions as well."""

    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: frozenset[str] = frozenset()
    all_actions_but: tuple[str, ...] = ()

    @property
    def to_everyone(self) -> bool:
        """Whether it names no principal in particular."""
        return "*" in self.principals


def statements(policy: Node) -> Iterator[Statement]:
    """The statements of a document, stated as JSON or as a mapping; none of what is not legible."""
    document = policy.value
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError):
            return
    for each in _several(fields_of(document).get("Statement")):
        stated = fields_of(each)
        yield Statement(
            allows=stated.get("Effect") == "Allow",
            principals=tuple(_principals(stated.get("Principal"))),
            actions=tuple(text.lower() for text in _texts(stated.get("Action"))),
            resources=tuple(_texts(stated.get("Resource"))),
            conditions=frozenset(_keys(stated.get("Condition"))),
            all_actions_but=tuple(text.lower() for text in _texts(stated.get("NotAction"))),
        )


def _principals(stated: Any) -> Iterator[str]:
    if isinstance(stated, str):
        yield stated
    for each in fields_of(stated).values():
        yield from _texts(each)


def _keys(condition: Any) -> Iterator[str]:
    for operands in fields_of(condition).values():
        yield from (str(key).lower() for key in fields_of(operands))


def _texts(stated: Any) -> Iterator[str]:
    yield from (each for each in _several(stated) if isinstance(each, str))


def _several(stated: Any) -> list[Any]:
    if isinstance(stated, list | tuple):
        return list(cast("list[Any]", stated))
    return [] if stated is None else [cast("Mapping[str, Any] | str", stated)]
