"""Names and numbers that a cloud makes up, here always the same for the same object."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from tests.providers.failures import Failure
from tests.providers.tables import Name, Rules
from tests.providers.values import DEFAULTS, at, unknown

HEX_DIGITS = 7


def digest(*words: str) -> str:
    """Sixty-four hexadecimal digits that follow from the words."""
    return hashlib.sha256("|".join(words).encode()).hexdigest()


def digits(count: int, *words: str) -> str:
    """Decimal digits that follow from the words, the first not 0."""
    return str(10 ** (count - 1) + int(digest(*words), 16) % (9 * 10 ** (count - 1)))


def filled(
    logical: str, seed: bytes, new: dict[str, Any], old: dict[str, Any], rules: Rules
) -> tuple[dict[str, Any], list[Failure]]:
    """The inputs with the provider's own defaults, as a bridged provider fills them in, and why a name cannot be made.

    What it filled in once stays as it was until the program gives a value or the object is replaced.
    """
    result = {key: value for key, value in new.items() if key != DEFAULTS}
    made: list[str] = []
    for key, value in rules.defaults.items():
        if key not in result and not _excluded(key, new, rules):
            result[key] = value
            made.append(key)
    failures: list[Failure] = []
    name = rules.name
    if (
        name is not None
        and name.auto
        and result.get(name.property) is None
        and not _excluded(name.property, new, rules)
    ):
        if name.property in old and not unknown(old[name.property]):  # an imported one too
            result[name.property] = old[name.property]
        else:
            result[name.property] = _made_up(logical, seed, name)
        made.append(name.property)
    if name is not None and isinstance(given := result.get(name.property), str) and not unknown(given):
        if len(given) > name.longest:
            failures.append(Failure(name.property, f"{given!r} is longer than {name.longest} characters"))
        elif name.pattern and not re.search(name.pattern, given):
            failures.append(Failure(name.property, f"{given!r} does not match {name.pattern}"))
    return {**result, DEFAULTS: sorted(made)}, failures


def _excluded(key: str, given: dict[str, Any], rules: Rules) -> bool:
    """Whether the program gave something that goes not together with an input."""
    return any(key in paths and any(at(given, path) for path in paths if path != key) for paths in rules.excludes)


def _made_up(logical: str, seed: bytes, name: Name) -> str:
    made = f"{name.prefix}{logical}{name.separator}{hashlib.sha256(seed + logical.encode()).hexdigest()[:HEX_DIGITS]}"
    return made.lower() if name.lower else made
