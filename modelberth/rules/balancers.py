"""Load balancers of a cloud."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
