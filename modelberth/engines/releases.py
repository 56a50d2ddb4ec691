"""Which release of an engine an image holds, and with whose flags it is read."""

from __future__ import annotations

import re
from typing import Any

from modelberth.catalog import Engine as Facts
from modelberth.engines.base import image_parts
from modelberth.versions import key

_NUMBERS = re.compile(r"v?(\d+\.\d+(?:\.\d+)?)")


def version_of(image: Any, facts: Facts) -> tuple[str, bool]:
    """(version, whether it is assumed): what the tag of an image says, else the engine's default."""
    _, tag, _ = image_parts(image) if isinstance(image, str) else ("", None, False)
    match = _NUMBERS.match(tag or "")
    return (match[1], False) if match else (facts.default_version, True)


def nearest(version: str, facts: Facts) -> str:
    """The newest version with a flag table that is not newer than ``version``, else the oldest one."""
    not_newer = [known for known in facts.versions if key(known) <= key(version)]
    return max(not_newer, key=key) if not_newer else min(facts.versions, key=key)
