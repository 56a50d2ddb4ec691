"""Names of zones at Google Cloud: the region, and a letter (us-central1-a); zones for accelerators alone have -ai1a."""

from __future__ import annotations

import re

_REGION = r"[a-z]+(?:-[a-z]+)+\d{1,2}"
_ZONE = re.compile(rf"({_REGION})-(?:[a-z]|ai\d[a-z])", re.ASCII)
_IS_REGION = re.compile(_REGION, re.ASCII)

EXAMPLE = "us-central1-a"


def region_of(zone: str) -> str | None:
    """The region of a zone, None when this is no name of a zone here."""
    match = _ZONE.fullmatch(zone)
    return match[1] if match else None


def is_region(name: str) -> bool:
    """Whether this could be the name of a region."""
    return bool(_IS_REGION.fullmatch(name))


def is_name_of_account(zone: str) -> bool:
    """Whether each account decides which zone this name means: never."""
    return False
