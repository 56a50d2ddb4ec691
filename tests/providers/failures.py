"""Why inputs are refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """One reason."""

    path: str
    reason: str
