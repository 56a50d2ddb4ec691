"""`make mutants`: the table and the kill rates. Ends with 1 when a mutation of the table lives, or too many others."""

from __future__ import annotations

import sys
from collections import Counter

from tests.mutants.generated import every_mutant, fates
from tests.mutants.mutate import judged, names, stack, table
from tests.mutants.report import report


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
    every = fates(every_mutant())
    found = report(every)
    print("\n".join(found.lines()))
    first = Counter(fate.rule for fate in every if fate.rule)
    print(
        "the first rule that was found to catch:", ", ".join(f"{rule} {count}" for rule, count in first.most_common())
    )
    return 0 if caught == len(table()) and found.passes and not loud else 1


if __name__ == "__main__":
    sys.exit(main())
