"""Where a finding points in a manifest, and the same manifest with something else there."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

Step = str | int
_STEP = re.compile(r'\.?([A-Za-z_]\w*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')


def steps(path: str) -> tuple[Step, ...]:
    """``spec.containers[0]["a.b/c"]`` as the keys that lead there; what is no path ends it."""
    found: list[Step] = []
    at = 0
    while at < len(path) and (match := _STEP.match(path, at)):
        name, index, quoted = match.groups()
        found.append(int(index) if index else name or quoted)
        at = match.end()
    return tuple(found)


def stated(value: Any, path: tuple[Step, ...]) -> tuple[Step, ...]:
    """As much of a path as is there with a value."""
    for index, step in enumerate(path):
        inside = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            inside = value[step]
        if inside is None:
            return path[:index]
        value = inside
    return path


def at(value: Any, path: tuple[Step, ...]) -> Any:
    """The value there."""
    for step in path:
        value = value[step]
    return value


def replaced(value: Any, path: tuple[Step, ...], by: Any) -> Any:
    """A copy with another value there."""
    if not path:
        return by
    changed = copy.copy(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], by)
    return changed


def texts(value: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """Where the texts inside a value are."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, inside in value.items():
            yield from texts(inside, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inside in enumerate(value):
            yield from texts(inside, (*path, index))
