"""Which generated mutations are no mistakes, with the reason of each, and how many of the others must be caught."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.mutants.generated import Fate

LEAST_KILLED = 0.95
MOST_EQUIVALENT = 0.20
"""Of all generated mutants: more would be a place to put what rules miss."""
EQUIVALENT: dict[str, str] = yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text())
"""Field and way of changing it ("Deployment.spec.replicas dropped", with stars) -> why the result runs as well."""


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((said, re.compile("[^. ]*".join(map(re.escape, said.split("*"))))) for said in EQUIVALENT)


@cache
def reason_key(said: str) -> str:
    """The entry that says why a mutation makes nothing wrong; empty where none does."""
    return next((entry for entry, pattern in _patterns() if pattern.fullmatch(said)), "")


@dataclass(frozen=True)
class Report:
    """What became of all mutants."""

    killed: int
    alive: tuple[Fate, ...]
    equivalent: Counter[str]

    @property
    def left_out(self) -> int:
        """How many live because they change nothing that matters."""
        return self.equivalent.total()

    @property
    def share_killed(self) -> float:
        """Of those that are mistakes."""
        return self.killed / max(1, self.killed + len(self.alive))

    @property
    def share_equivalent(self) -> float:
        """Of all."""
        return self.left_out / max(1, self.killed + len(self.alive) + self.left_out)

    @property
    def unused(self) -> Sequence[str]:
        """Entries of the list that no living mutant needs."""
        return [entry for entry in EQUIVALENT if entry not in self.equivalent]

    @property
    def passes(self) -> bool:
        """Whether enough is caught, and the list of equivalents is no dumping ground."""
        enough = self.share_killed >= LEAST_KILLED and self.share_equivalent <= MOST_EQUIVALENT
        return enough and not self.unused

    def lines(self) -> list[str]:
        """What lives, by field, and the shares."""
        counted = Counter(fate.mutant.said for fate in self.alive)
        told = [f"lives  {count:3}  {what}" for what, count in counted.most_common()]
        told += [f"not needed in equivalent.yaml: {entry}" for entry in self.unused]
        total = self.killed + len(self.alive)
        told.append(
            f"generated: {self.killed:,} of {total:,} killed, {self.share_killed:.1%}; at least {LEAST_KILLED:.0%}"
        )
        left_out = (
            f"left out, with a reason each in equivalent.yaml: {self.left_out:,}, {self.share_equivalent:.1%} of all"
        )
        return [*told, f"{left_out}; at most {MOST_EQUIVALENT:.0%}"]


def report(fates: Iterable[Fate]) -> Report:
    """Sort mutants by what became of them."""
    every = list(fates)
    living = [fate for fate in every if not fate.rule]
    keys = {fate: reason_key(fate.mutant.said) for fate in living}
    return Report(
        killed=len(every) - len(living),
        alive=tuple(fate for fate in living if not keys[fate]),
        equivalent=Counter(key for key in keys.values() if key),
    )
