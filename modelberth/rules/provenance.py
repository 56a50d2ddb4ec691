"""Which weights are really loaded, and whether their repository may run code."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
