"""Engine versions ("0.33.0", "b11434") in order, and facts that hold from a version on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from modelberth.catalog import Since
from modelberth.errors import ModelberthError


@lru_cache(maxsize=4096)
def key(version: str) -> tuple[int, ...]:
    """Sort key: the numbers of a version; ``v0.33.0``, ``0.33.0`` and ``0.33`` are alike."""
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def fact(entries: Iterable[Since], version: str) -> float | bool | int:
    """The value that holds at ``version``, of :func:`entry`."""
    return entry(entries, version).value


def entry(entries: Iterable[Since], version: str) -> Since:
    """What holds at ``version``: the entry with the latest ``since`` not after it.

    Raises :class:`ModelberthError` when the version is older than everything that is known.
    """
    known = [each for each in entries if key(each.since) <= key(version)]
    if not known:
        raise ModelberthError(f"nothing is known about version {version}")
    return max(known, key=lambda each: key(each.since))
