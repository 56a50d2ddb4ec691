"""Where services run. One line per target."""

from __future__ import annotations

from .base import Target
from .existing import ExistingCluster

__all__ = ["ExistingCluster", "Target"]
