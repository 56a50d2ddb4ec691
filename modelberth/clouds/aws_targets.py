"""What speaks against a wish on EKS before anything is asked of AWS: versions out of support, pools nobody can make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from modelberth.clouds.aws_clusters import releases
from modelberth.findings import Finding, Level
from modelberth.spec import PoolSpec
from modelberth.targets import Eks

_RESERVATION = re.compile(r"cr-[0-9a-f]{8,17}", re.ASCII)
"""docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservation.html, capacityReservationId."""


def cluster(of: Eks, today: date) -> Iterator[Finding]:
    """A cluster that is made has a version with standard support: with it alone EKS neither charges more nor upgrades
    unasked. A version without dates here is newer than they are.
    """
    release = releases().get(of.version)
    if of.cluster is not None:
        return
    fine = [each.version for each in releases().values() if today <= each.standard_until]
    out = f'version: "{fine[-1]}"' if fine else "a version that EKS maintains"
    oldest = min(map(_minor, releases()))
    if release is None and _minor(of.version) < oldest:
        yield Finding("version", "target.eks.version", f"EKS offers no Kubernetes {of.version} any more", out)
    elif release and today > release.standard_until:
        ended = release.standard_until.isoformat()
        message = (
            f"standard support of Kubernetes {release.version} ended on {ended}: EKS upgrades such clusters unasked"
        )
        yield Finding("version", "target.eks.version", message, out)


def unknown_version(of: Eks) -> Iterator[Finding]:
    """A version that is newer than what is known of EKS here."""
    newest = max(releases().values(), key=lambda release: _minor(release.version))
    if of.cluster is None and _minor(of.version) > _minor(newest.version):
        message = f"whether EKS offers Kubernetes {of.version} is not known (dates of {newest.as_of})"
        out = f'see that it does; the newest that is known is "{newest.version}"'
        yield Finding("version", "target.eks.version", message, out, Level.WARNING)


def pool(of: Eks, path: str, spec: PoolSpec, zones: tuple[str, ...]) -> Iterator[Finding]:
    """What no node group, or no Karpenter, can be told."""
    reserved = spec.reservation
    if reserved and not _RESERVATION.fullmatch(reserved.name):
        message = "is no reservation's id: capacity reservations and blocks have ids, and no names"
        yield Finding("reservation", f"{path}.reservation.name", message, "its id, such as cr-0123456789abcdef0")
    if reserved and not reserved.zones and len(zones) > 1:
        message = f"{reserved.name} lies in one zone, and the pool has {', '.join(zones)}"
        out = "zones: [the one that it lies in], for the pool or for the reservation"
        yield Finding("reservation", f"{path}.zones", message, out)
    if of.provisioner == "karpenter" and spec.min_nodes:
        message = "Karpenter makes nodes when pods wait for them, and keeps none without"
        yield Finding("pool", f"{path}.min_nodes", message, "leave it out, or provisioner: groups")


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


__all__ = ["cluster", "pool", "unknown_version"]
