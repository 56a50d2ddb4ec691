"""The clusters and machines below: who reaches them, what is encrypted and logged."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
