"""Where services run. One line per target; a cloud's SDK is imported when its target is made, not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from .base import Target
from .existing import ExistingCluster


def _gke(name: str, args: Mapping[str, Any]) -> Target:
    from .gke import GkeCluster, GkeClusterArgs

    return GkeCluster(name, cast("GkeClusterArgs", args))


def _eks(name: str, args: Mapping[str, Any]) -> Target:
    from .eks import EksCluster, EksClusterArgs

    return EksCluster(name, cast("EksClusterArgs", args))


MANAGED: Mapping[str, Callable[[str, Mapping[str, Any]], Target]] = {"gke": _gke, "eks": _eks}
"""Kinds of targets whose clusters a cloud runs."""

__all__ = ["MANAGED", "ExistingCluster", "Target"]
