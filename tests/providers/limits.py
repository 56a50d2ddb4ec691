"""What a cloud does not sell in a zone, and what an account may not have: a pool is refused with the cloud's error.

Zones are those of modelberth/catalog/zones. Where each account has names of its own for them, `zones.yaml` of the
cloud's folder says which id a name means, and nothing is refused without it. Limits are in `quota.yaml` of the folder:
name or code of a quota (modelberth/clouds/quotas.yaml) -> limit. Stand-ins fill a pool up to its limit of nodes, so
that is what counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelberth.catalog import Machine, catalog
from modelberth.clouds.quotas import QuotaNeed, needs
from modelberth.errors import UnknownName
from modelberth.names import Capacity

MESSAGES = {
    "gcp": (
        "googleapi: Error 400: Accelerator type of {machine} does not exist in zone {zone}., badRequest",
        "googleapi: Error 403: Insufficient regional quota to satisfy request: resource {quota!r}: request requires "
        "'{needed}' and is short '{short}'. project has a quota of '{limit}' with '{free}' available., quotaExceeded",
    ),
    "aws": (
        "api error InvalidParameterException: instance type {machine} is not supported in Availability Zone {zone}",
        "api error VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of {limit} "
        "allows for the instance bucket {quota!r}: {needed} are needed, {free} are free",
    ),
}


@dataclass(frozen=True)
class Size:
    """What counts of a pool."""

    name: str
    machine_type: str
    zones: Sequence[str]
    nodes: int
    way: Capacity

    @property
    def machine(self) -> Machine | None:
        """What the catalog knows of its machines."""
        try:
            return catalog().machine(self.machine_type)
        except UnknownName:
            return None


def refusal(package: str, folder: Path, size: Size, others: Sequence[Size]) -> str:
    """Why a pool cannot be made or changed beside others; empty when it can."""
    machine = size.machine
    if machine is None:
        return ""
    unsold, over = MESSAGES[package]
    offer = catalog().offer(machine.id)
    ids = _file(folder / "zones.yaml")
    for zone in size.zones if offer and offer.exhaustive else ():
        id_ = ids.get(zone, None if package == "aws" else zone)
        if offer and id_ and not any(id_ in zones for zones in offer.zones.values()):
            return unsold.format(machine=machine.id, zone=zone)
    limits = _file(folder / "quota.yaml")
    for need in _needs(size):
        limit = limits.get(need.name, limits.get(need.code))
        if limit is None:
            continue
        used = sum(each.amount for other in others for each in _needs(other) if each.name == need.name)
        short = used + need.amount - limit
        if short > 0:
            free = max(limit - used, 0)
            return over.format(quota=need.name, needed=need.amount, short=short, limit=limit, free=free)
    return ""


def _needs(size: Size) -> tuple[QuotaNeed, ...]:
    machine = size.machine
    return (needs(machine, size.nodes, size.way) or ()) if machine else ()


def _file(path: Path) -> dict[Any, Any]:
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}
