"""Names of zones at AWS: us-east-1a is what an account calls one of them, use1-az2 is the same zone for every account.

Source: docs.aws.amazon.com/ram/latest/userguide/working-with-az-ids.html.
"""

from __future__ import annotations

import re

from modelberth.catalog import catalog

_REGION = r"[a-z]{2}(?:-[a-z]+){1,2}-\d"
_NAME = re.compile(rf"({_REGION})[a-z]", re.ASCII)
_LOCAL = re.compile(rf"({_REGION})-[a-z]{{3}}-\d[a-z]", re.ASCII)
_ID = re.compile(r"[a-z]{2,4}[nsewc]{1,2}\d-az\d", re.ASCII)
_IS_REGION = re.compile(_REGION, re.ASCII)

EXAMPLE = "us-east-1a, or the id use1-az1"


def region_of(zone: str) -> str | None:
    """The region of a zone, by name or by id; None when this is neither, or an id of a region nobody told us of."""
    if match := _NAME.fullmatch(zone) or _LOCAL.fullmatch(zone):
        return match[1]
    if not _ID.fullmatch(zone):
        return None
    short = zone.partition("-")[0]
    return next((region for region in catalog().zones() if _short(region) == short), None)


def is_region(name: str) -> bool:
    """Whether this could be the name of a region."""
    return bool(_IS_REGION.fullmatch(name))


def is_name_of_account(zone: str) -> bool:
    """Whether each account decides which zone this name means."""
    return bool(_NAME.fullmatch(zone))


def _short(region: str) -> str | None:
    """How ids of zones call a region: ``ap-northeast-1`` is apne1. None for what is no region of this cloud."""
    if not _IS_REGION.fullmatch(region):
        return None
    area, *words, number = region.split("-")
    return area + "".join(_LETTERS.get(word, word[0]) for word in words) + number


_LETTERS = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
