"""What speaks against a target and its pools that only its cloud knows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from modelberth.clouds import aws_targets, gcp_targets
from modelberth.findings import Finding
from modelberth.spec import PoolSpec
from modelberth.targets import Target


def maintained(target: Target, today: date) -> Iterator[Finding]:
    """Whether the cluster that would be made is maintained on that day."""
    if target.eks:
        yield from aws_targets.cluster(target.eks, today)


def pool_wishes(target: Target, path: str, spec: PoolSpec, zones: tuple[str, ...]) -> Iterator[Finding]:
    """What the cloud's pools cannot be told."""
    if target.gke:
        yield from gcp_targets.pool(path, spec)
    if target.eks:
        yield from aws_targets.pool(target.eks, path, spec, zones)


def target_wishes(target: Target) -> Iterator[Finding]:
    """What speaks against the cluster that would be made, on any day."""
    if target.eks:
        yield from aws_targets.unknown_version(target.eks)
