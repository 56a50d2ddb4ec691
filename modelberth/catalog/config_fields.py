"""Typed, bounded access to a ``config.json`` that nobody vouches for: every problem is noted, nothing is raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

MOST_LAYERS = 1_000
MOST_WIDTH = 2**22
MOST_HEADS = 2**16
MOST_EXPERTS = 2**16
MOST_VOCABULARY = 2**25
MOST_TOKENS = 2**32
MOST_ITEMS = 300_000
"""Far above every published model, far below what overflows or takes long."""

Content = Mapping[str, Any]


class Fields:
    """One section of a configuration. ``beyond`` is asked for what the section lacks; null counts as missing."""

    def __init__(self, content: Content, path: str, problems: list[str], beyond: Content | None = None) -> None:
        self.content = content
        self.path = path
        self.problems = problems
        self._beyond = beyond or {}

    def raw(self, *names: str) -> tuple[str, Any]:
        """The first of these names that has a value, and the value; ("", None) when none has."""
        for content in (self.content, self._beyond):
            for name in names:
                if content.get(name) is not None:
                    return name, content[name]
        return "", None

    def integer(self, *names: str, most: int = MOST_WIDTH, least: int = 1) -> int | None:
        """A whole number within bounds, under the first of the names that has a value."""
        name, value = self.raw(*names)
        if not name:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.problem(name, f"{shown(value)} is not a whole number from {least:,} to {most:,}")
            return None
        return value

    def count(self, *names: str, most: int = MOST_WIDTH) -> int | None:
        """A whole number that may be zero."""
        return self.integer(*names, most=most, least=0)

    def size(self, *names: str, most: int = MOST_WIDTH) -> int | None:
        """A whole number; zero says, as null does, that the model has no such thing."""
        return self.count(*names, most=most) or None

    def flag(self, name: str) -> bool | None:
        """True, false or missing."""
        _, value = self.raw(name)
        if value is None or isinstance(value, bool):
            return value
        self.problem(name, f"{shown(value)} is neither true nor false")
        return None

    def text(self, *names: str, most: int = 200) -> str | None:
        """A text of at most ``most`` characters."""
        name, value = self.raw(*names)
        if value is None or (isinstance(value, str) and 0 < len(value) <= most):
            return value
        self.problem(name, f"{shown(value)} is not a short text")
        return None

    def items(self, name: str, most: int = MOST_ITEMS) -> Sequence[Any] | None:
        """A list of at most ``most`` items."""
        _, value = self.raw(name)
        if value is None:
            return None
        items = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else None
        if items is None or len(items) > most:
            self.problem(name, f"{shown(cast('object', value))} is not a list of at most {most:,} items")
            return None
        return items

    def section(self, *names: str) -> Fields | None:
        """A nested object, whose problems go to the same list."""
        name, value = self.raw(*names)
        if not name:
            return None
        if not isinstance(value, Mapping):
            self.problem(name, f"{shown(value)} is not an object")
            return None
        return Fields(cast("Content", value), f"{self.path}{name}.", self.problems)

    def problem(self, name: str, what: str) -> None:
        """Notes what is wrong with a field."""
        self.problems.append(f"{self.path}{name}: {what}")


def shown(value: object) -> str:
    """A value as an error may repeat it: short, and never the content of a text or an object."""
    if isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return f"{value:,}" if value.bit_length() <= 64 else f"a number of {value.bit_length():,} bits"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list | tuple):
        return f"a list of {len(cast('Sequence[Any]', value)):,}"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def name_of(text: str) -> str:
    """A name out of a configuration as an error may repeat it."""
    return "".join(letter for letter in text[:60] if letter.isalnum() or letter in "._-") or "(unreadable)"
