"""Whether some node pool can host the pods, and sells what it names."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
