"""What a cloud's own fields say about a pool or cluster, in the words of that cloud, sorted by what it is about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from modelberth.errors import suggest
from modelberth.node import Node


class About(StrEnum):
    """What a remark is about."""

    MACHINE = "machine type and accelerators"
    IDENTITY = "identity of the nodes"
    METADATA = "metadata server"
    UPKEEP = "repair, upgrades and image"
    SHIELD = "boot integrity"
    BOUNDS = "bounds"
    DRIVER = "GPU driver"


@dataclass(frozen=True)
class Remark:
    """One statement about one field; about an unknown one it is a doubt. ``advice`` stops nobody."""

    about: About
    node: Node
    message: str
    remedy: str
    advice: bool = False


def meant(written: str, known: tuple[str, ...], most: int = 6) -> str:
    """The names that look most like the one that is written, else the first of those that are known."""
    near = suggest(written, known)
    return " or ".join(near or known[:most])
