"""Engine versions ("0.33.0", "b11434") in order, and facts that hold from a version on."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelberth.catalog import Since
from modelberth.errors import ModelberthError


def key(version: str) -> tuple[int, ...]:
    """Sort key: the numbers of a version; ``v0.33.0``, ``0.33.0`` and ``0.33`` are alike."""
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def fact(entries: Iterable[Since], version: str) -> float | bool | int:
    """The value that holds at ``version``: the entry with the latest ``since`` not after it.

    Raises :class:`ModelberthError` when the version is older than everything that is known.
    """
    ours = key(version)
    known = sorted((key(entry.since), entry.value) for entry in entries)
    values = [value for since, value in known if since <= ours]
    if not values:
        raise ModelberthError(f"nothing is known about version {version}")
    return values[-1]
