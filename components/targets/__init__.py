"""Where services run. One line per target."""

from __future__ import annotations

import pulumi

from .base import Target
from .existing import ExistingCluster

__all__ = ["ExistingCluster", "Target"]


def describe(target: Target) -> pulumi.Output[str]:
    """The namespace that a target offers, known when it exists."""
    return target.namespace
