"""Arguments that managed ones contradict, or that run code from a repository."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
