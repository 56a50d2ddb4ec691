"""What speaks against a wish on GKE before anything is asked of Google: reservations that nobody could consume."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.findings import Finding
from modelberth.spec import PoolSpec

_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_RESERVATION = re.compile(
    rf"(projects/[^/\s]+/reservations/)?{_NAME}(/reservationBlocks/{_NAME}(/reservationSubBlocks/{_NAME})?)?", re.ASCII
)
"""cloud.google.com/kubernetes-engine/docs/how-to/consuming-reservations: by name, or by path where it is shared."""


def pool(path: str, spec: PoolSpec) -> Iterator[Finding]:
    """What no node pool can be told."""
    reserved = spec.reservation
    if reserved and not _RESERVATION.fullmatch(reserved.name):
        message = (
            "is no reservation's name (at most 63 lower-case letters, digits and '-', a letter first), nor its path"
        )
        out = (
            "its name, or projects/PROJECT/reservations/NAME where it is shared; blocks as NAME/reservationBlocks/BLOCK"
        )
        yield Finding("reservation", f"{path}.reservation.name", message, out)
    if reserved and reserved.block:
        message = "nodes of GKE take machines that were booked for a time as those of any reservation"
        yield Finding("reservation", f"{path}.reservation.block", message, "leave it out")


__all__ = ["pool"]
