"""Which generated mutations are no mistakes, with the reason of each, and how many of the others must be caught."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.mutants.mutate import Mutant, spelled

LEAST_KILLED = 0.95
EQUIVALENT: dict[str, str] = yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text()) or {}
"""Field and way of changing it ("spec.replicas changed") -> why the result runs as well."""


def equivalent(mutant: Mutant) -> bool:
    """Whether this mutation makes nothing wrong."""
    return f"{spelled(mutant.way)} {mutant.how}" in EQUIVALENT
