"""How many replicas there are, and what makes them more."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
