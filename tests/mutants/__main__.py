"""`make mutants`: the table and the kill rates. Ends with 1 when a mutation of the table lives, or too many others."""

from __future__ import annotations

import sys
from collections import Counter

from tests.mutants.mutate import Mutant, judged, mutants, names, spelled, stack, table
from tests.mutants.report import LEAST_KILLED, equivalent


def main() -> int:
    """Print and count."""
    loud = [name for name in names() if judged(name, stack(name))]
    caught = 0
    for change in table():
        rules = {verdict.rule.id for verdict in judged(change.stack, change.applied())}
        told = change.rule in rules
        caught += told
        print(f"{'caught' if told else 'LIVES '}  {change}{'' if told else f' (said: {sorted(rules)})'}")
    print(f"\ntable: {caught} of {len(table())} caught by the rule it names; loud untouched: {loud or 'none'}")
    alive, killed, left_out = generated()
    total = killed + len(alive)
    for what, count in Counter(f"{spelled(mutant.way)} {mutant.how}" for mutant in alive).most_common():
        print(f"lives  {count:3}  {what}")
    share = killed / total
    print(f"generated: {killed:,} of {total:,} killed, {share:.1%}; at least {LEAST_KILLED:.0%}")
    print(f"left out, with a reason each in equivalent.yaml: {left_out:,}")
    return 0 if caught == len(table()) and share >= LEAST_KILLED and not loud else 1


def generated() -> tuple[list[Mutant], int, int]:
    """(mutants that live, number killed, number left out because they change nothing)."""
    alive: list[Mutant] = []
    killed = left_out = 0
    for name in names():
        for mutant in mutants(name):
            if equivalent(mutant):
                left_out += 1
            elif judged(mutant.stack, mutant.applied()):
                killed += 1
            else:
                alive.append(mutant)
    return alive, killed, left_out


if __name__ == "__main__":
    sys.exit(main())
