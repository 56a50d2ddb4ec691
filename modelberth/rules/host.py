"""What a pod needs beside its GPUs: memory, shared memory, storage."""

from __future__ import annotations

from modelberth.rules.base import Rule

RULES: tuple[Rule, ...] = ()
