"""Shares of GPU memory: utilization, adapters, slices, and cards that are far too large."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
