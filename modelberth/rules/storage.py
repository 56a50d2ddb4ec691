"""Buckets, volumes and file systems that hold weights, and who may read them."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
