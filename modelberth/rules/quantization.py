"""The stored format and number types that engine and GPU can compute with."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
