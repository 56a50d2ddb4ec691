"""A stack file on a base: what several stacks have in common is said once, in a file that each of them names.

Mappings are merged key by key, at every depth. Anything else, a list too, is the stack's where the stack says it. Pure:
the files are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from modelberth.findings import Finding, Refused
from modelberth.parse import without_prefix

BASE = "base"
"""The key that names a base, beside the five keys of a stack."""


def base_of(document: object) -> str | None:
    """The file that a stack file names as its base, None where it names none.

    Raises :class:`Refused` for a name that is no file's in the same folder.
    """
    keys = without_prefix(document)
    if not isinstance(keys, Mapping) or BASE not in keys:
        return None
    named = cast("Mapping[str, object]", keys)[BASE]
    if not isinstance(named, str) or not named or named.startswith(".") or any(sign in named for sign in "/\\:\0"):
        raise Refused([Finding("base", BASE, "must be the name of a file beside this one", "base: base.yaml")])
    return named


def merged(base: object, own: object, named: str) -> dict[str, Any]:
    """The keys of a stack file on its base, without prefixes. Neither is changed.

    Raises :class:`Refused` with every place where one of them has a mapping and the other has not.
    """
    below, above = without_prefix(base), without_prefix(own)
    if not isinstance(below, Mapping):
        raise Refused([Finding("base", BASE, f"{named} must be a mapping")])
    lower, upper = cast("Mapping[str, Any]", below), dict(cast("Mapping[str, Any]", above))
    upper.pop(BASE, None)
    if BASE in lower:
        raise Refused([Finding("base", BASE, f"{named} names a base of its own", "one base, which stands alone")])
    problems = list(_conflicts(lower, upper, "", named))
    if problems:
        raise Refused(problems)
    return _over(lower, upper)


def only_below(base: object, own: object, path: str) -> bool:
    """Whether the place that a message names (``services.chat.context``) is said by the base alone."""
    return _has(without_prefix(base), path) and not _has(without_prefix(own), path)


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(lower)
    for key, value in upper.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _over(found[key], cast("Mapping[str, Any]", value)) if both else value
    return found


def _conflicts(lower: Mapping[str, Any], upper: Mapping[str, Any], path: str, named: str) -> Iterator[Finding]:
    for key in (key for key in upper if key in lower):
        where, ours, theirs = f"{path}.{key}" if path else str(key), upper[key], lower[key]
        mappings = [isinstance(each, Mapping) for each in (ours, theirs)]
        if all(mappings):
            yield from _conflicts(theirs, ours, where, named)
        elif any(mappings):
            message = f"is {_kind(ours)} here and {_kind(theirs)} in {named}: they cannot be merged"
            yield Finding("base", where, message, "write it the same way in both, or in one of them only")


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "empty" if value is None else f"a {'list' if isinstance(value, list) else 'single value'}"


def _has(keys: object, path: str) -> bool:
    here: Any = keys
    for step in path.split("."):
        if not isinstance(here, Mapping) or step not in here:
            return False
        here = cast("Mapping[str, Any]", here)[step]
    return True
