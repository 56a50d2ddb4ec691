"""A value of a manifest and where it is: reading one never raises, whatever was written there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from modelberth.observed import UNKNOWN
from modelberth.paths import step
from modelberth.units import quantity

_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its path. Below an unknown value everything is unknown, and the path stays with the cause."""

    value: Any
    path: str

    def __getitem__(self, key: str) -> Node:
        value = self.value
        if value is UNKNOWN:
            return self
        written = step(key) if self.path else step(key).removeprefix(".")
        return Node(fields_of(value).get(key), self.path + written)

    def at(self, *keys: str) -> Node:
        """The value several steps down."""
        found = self
        for key in keys:
            found = found[key]
        return found

    @property
    def unknown(self) -> bool:
        """Whether it is only known after apply."""
        return self.value is UNKNOWN

    @property
    def stated(self) -> bool:
        """Whether anything is written there, known or not."""
        return self.value is not None

    def elements(self) -> Iterator[Node]:
        """The elements of a list; none of anything else."""
        for index, value in enumerate(_list(self.value)):
            yield Node(value, f"{self.path}[{index}]")

    def each(self) -> Iterator[Node]:
        """The elements of a list; the node itself where it is unknown as a whole."""
        yield from [self] if self.unknown else self.elements()

    def names(self) -> list[str]:
        """The keys of a mapping; none of anything else."""
        return [key for key in fields_of(self.value) if isinstance(key, str)]

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and values of a mapping; none of anything else."""
        return ((name, self[name]) for name in self.names())

    def text(self) -> str:
        """The text, empty for anything that is none."""
        return self.value if isinstance(self.value, str) else ""

    def flag(self) -> bool | None:
        """The boolean, also as its word; None for anything else."""
        if isinstance(self.value, bool):
            return self.value
        return {"true": True, "false": False}.get(self.text().lower())

    def amount(self) -> Decimal | None:
        """A Kubernetes quantity (2, 2.0, "2", "500m", "2Gi") as a number; None for anything else."""
        if not isinstance(self.value, int | float | str):
            return None
        try:
            amount = quantity(self.value)
        except ArithmeticError:
            return None
        return amount if amount is not None and 0 <= amount < _LARGEST else None

    def whole(self) -> int | None:
        """A whole number that is not negative, whatever it is spelled as (2, 2.0, "2", "2Gi"); None otherwise."""
        amount = self.amount()
        return int(amount) if amount is not None and amount == int(amount) else None

    def share(self, total: int) -> float | None:
        """A whole number, or a percentage of ``total`` that is not rounded; None for anything else (IntOrString)."""
        text = self.text().strip()
        if not text.endswith("%"):
            return self.whole()
        percent = Node(text.removesuffix("%"), self.path).whole()
        return None if percent is None else percent * total / 100


def fields_of(value: Any) -> Mapping[Any, Any]:
    """A mapping as it is, anything else as an empty one."""
    if type(value) is dict:
        return cast("dict[Any, Any]", value)
    return cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()
