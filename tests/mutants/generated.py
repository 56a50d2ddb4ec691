"""Every generated mutant, judged: all was silent before, so only what a change touches is judged again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

from modelberth.inventory import Inventory
from modelberth.resources import Resource
from modelberth.rules import ALL, Rule
from modelberth.rules.base import Enforcement
from tests.mutants.fields import Mutant, mutants
from tests.mutants.mutate import names, policy_of, stack

_ORDER: list[Rule] = list(ALL)
"""The rules, those that caught most recently first: most mutants are caught by the first that is asked."""
_ALONE: dict[str, str] = {}
"""Changed resource -> the rule that caught it without looking at others; the same resource is in many stacks."""


@dataclass(frozen=True)
class Fate:
    """A mutant and the first rule found to catch it; empty: it lives."""

    mutant: Mutant
    rule: str


@cache
def _untouched(name: str) -> tuple[Resource, ...]:
    return tuple(stack(name))


def fate(mutant: Mutant) -> Fate:
    """Judge the changed resource, and the stack only when nothing is found."""
    whole = _untouched(mutant.stack)
    old = whole[mutant.index]
    new = mutant.applied(old)
    content = [policy_of(mutant.stack).profile, new.type, new.name, new.properties, repr(new.options)]
    key = json.dumps(content, default=str)
    if key not in _ALONE:
        _ALONE[key] = _alone(new, mutant.stack)
    return Fate(
        mutant, _ALONE[key] or _together([*whole[: mutant.index], new, *whole[mutant.index + 1 :]], mutant.stack)
    )


def _alone(resource: Resource, name: str) -> str:
    policy = policy_of(name)
    for rule in _ORDER:
        if policy.level(rule, resource) is not Enforcement.DISABLED and rule.about(resource, policy.settings(rule)):
            return _first(rule)
    return ""


def _together(resources: Sequence[Resource], name: str) -> str:
    policy, inventory = policy_of(name), Inventory(tuple(resources))
    for rule in _ORDER:
        if policy.level(rule, None) is Enforcement.DISABLED:
            continue
        found = rule.over(inventory, policy.settings(rule))
        if any(policy.level(rule, about) is not Enforcement.DISABLED for about, _ in found):
            return _first(rule)
    return ""


def _first(rule: Rule) -> str:
    _ORDER.remove(rule)
    _ORDER.insert(0, rule)
    return rule.id


def fates(chosen: Iterable[Mutant]) -> list[Fate]:
    """The fate of each, on as many processes as there are cores, at most four."""
    every = list(chosen)
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(fate, every, chunksize=100))


def every_mutant() -> list[Mutant]:
    """All of all stacks."""
    return [mutant for name in names() for mutant in mutants(name)]
