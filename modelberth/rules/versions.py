"""API versions that clusters still serve."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
