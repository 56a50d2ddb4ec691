"""What changing a node pool does to its nodes, for docs/targets: the rows of modelberth/clouds/pool_changes.yaml."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from modelberth.clouds.pool_changes import consequences

CLOUDS = {"gke": "gcp", "eks": "aws"}


def _changes(target: str) -> str:
    lines = ["| field of a pool | what a change does | replaces |", "|---|---|---|"]
    for row in consequences(CLOUDS[target]):
        lines.append(f"| `{row.field}` | {row.what} | {'**yes**' if row.replaces else 'no'} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {f"pool changes {target}": partial(_changes, target) for target in CLOUDS}
