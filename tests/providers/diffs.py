"""What a change of inputs means: nothing, an update in place or a replacement."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.providers.tables import Rules, steps
from tests.providers.values import DEFAULTS, differences


@dataclass(frozen=True)
class Diff:
    """The paths that changed, with those among them that replace."""

    changed: dict[str, str] = field(default_factory=dict)
    """Path -> `add`, `delete` or `update`."""
    replaces: frozenset[str] = frozenset()
    delete_first: bool = False
    """Whether the old object must go before the new one can be made."""


def diff(old: dict[str, Any], new: dict[str, Any], rules: Rules) -> Diff:
    """Compare two sets of checked inputs."""
    changed, replaces = {}, set()
    for path, before, after in differences(old, new):
        if after is None and steps(path) in rules.computed:
            continue
        changed[path] = "add" if before is None else "delete" if after is None else "update"
        if replacing(path, before, after, rules):
            replaces.add(path)
    name = rules.name.property if rules.name else None
    # As the bridge does: a name that the user gave cannot be had twice, one that the provider made up is made anew.
    named = name is not None and name in new and name not in new.get(DEFAULTS, []) and name not in _tops(replaces)
    return Diff(changed, frozenset(replaces), bool(replaces) and (named or rules.delete_first))


def _tops(paths: set[str]) -> set[str]:
    return {re.split(r"[.\[]", path)[0] for path in paths}


def replacing(path: str, before: Any, after: Any, rules: Rules) -> bool:
    """Whether the change at a path replaces: the path itself does, or something that came or went with it."""
    plain = steps(path)
    if {plain, plain.removesuffix("[*]"), f"{plain.rpartition('.')[0]}.*"} & rules.replace:
        return True
    below = [each for each in rules.replace if re.match(rf"{re.escape(plain)}(\.|\[\*\])", each)]
    return any(_holds(before, each[len(plain) :]) != _holds(after, each[len(plain) :]) for each in below)


def _holds(value: Any, rest: str) -> list[Any]:
    found = [value]
    for step in rest.replace("[*]", ".[*]").strip(".").split("."):
        if step == "[*]":
            found = [item for each in found if isinstance(each, list) for item in each]
        else:
            found = [each[step] for each in found if isinstance(each, dict) and each.get(step) is not None]
    return found
