"""The exceptions that callers may want to catch, each with a message that stands on its own."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MACHINES_LISTED = "one that modelberth catalog machines lists"
"""The way out of an unknown machine type that is like none."""


class ModelberthError(ValueError):
    """Base of every error raised on purpose; ``str(error)`` is what a person should read."""


class UnknownName(ModelberthError):
    """A name that the catalog does not hold, with the names that come closest."""

    def __init__(self, kind: str, name: str, suggestions: Iterable[str] = ()) -> None:
        self.kind = kind
        self.name = name
        self.suggestions = tuple(suggestions)
        hint = f"; did you mean {_either(self.suggestions)}?" if self.suggestions else ""
        super().__init__(f"unknown {kind} {name!r}{hint}")


def suggest(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Known names that look like ``name``, closest first, ignoring case."""
    spelled: dict[str, str] = {}
    for candidate in known:
        spelled.setdefault(candidate.lower(), candidate)
    near = get_close_matches(name.lower(), spelled, n=limit, cutoff=0.7)
    if not near and len(name) > 1:
        near = [other for other in spelled if name.lower() in other][:limit]
    return tuple(spelled[match] for match in near)


def _either(names: tuple[str, ...]) -> str:
    quoted = [repr(name) for name in names]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
