"""Probes that know how long a model loads."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
