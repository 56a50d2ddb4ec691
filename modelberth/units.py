"""The only file that converts: bytes and GiB, tokens, Kubernetes quantities, and how they are printed."""

from __future__ import annotations

import math
import re
from decimal import Decimal

KIB = 2**10
MIB = 2**20
GIB = 2**30
GB = 10**9

_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15} | {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "m": Decimal("0.001"),
}
_QUANTITY = re.compile(
    rf"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{{1,2}})?)({'|'.join(_SUFFIXES)})",
    re.ASCII,
)


def gib(amount_bytes: float) -> str:
    """Bytes as GiB with two decimals: ``gib(2**30) == "1.00 GiB"``."""
    return f"{amount_bytes / GIB:,.2f} GiB"


def tokens(count: int) -> str:
    """A token count with thousands separators: ``tokens(131072) == "131,072"``."""
    return f"{count:,}"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``duration(95) == "1 min 35 s"``."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def ceil_to(amount: float, step: int) -> int:
    """The smallest multiple of ``step`` that is not less than ``amount``."""
    return int(-(-amount // step)) * step


def quantity(text: str | float) -> Decimal | None:
    """A Kubernetes quantity ("7910m", "200Gi", 2) as a number of its base unit; None if it is not one.

    Suffixes as in the Kubernetes API reference, "Quantity" (resource.Quantity).
    """
    if isinstance(text, bool):
        return None
    match = _QUANTITY.fullmatch(str(text))
    return Decimal(match[1]) * _SUFFIXES[match[2]] if match else None


def cores(millicores: int) -> str:
    """CPU as a quantity, spelled as Kubernetes spells it back: ``cores(18000) == "18"``, ``cores(1500) == "1500m"``."""
    whole, rest = divmod(millicores, 1000)
    return f"{millicores}m" if rest else str(whole)


def mebibytes(count: int) -> str:
    """Memory as a quantity, spelled as Kubernetes spells it back: ``mebibytes(10240) == "10Gi"``."""
    for suffix in ("Mi", "Gi", "Ti"):
        if count % 1024 or not count:
            return f"{count}{suffix}" if count else "0"
        count //= 1024
    return f"{count}Pi"
