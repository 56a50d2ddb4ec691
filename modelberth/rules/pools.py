"""Node pools with GPUs: identity, upkeep, bounds, capacity."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
