"""How a path to a value is written: spec.containers[0].resources.limits["nvidia.com/gpu"]."""

from __future__ import annotations

import re
from functools import lru_cache

_PLAIN = re.compile(r"[A-Za-z]\w*")


@lru_cache(maxsize=4096)
def step(key: str) -> str:
    """How a path goes on to a key."""
    return f".{key}" if _PLAIN.fullmatch(key) else f'["{key}"]'
