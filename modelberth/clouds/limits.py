"""Limits of an account as its cloud's command prints them. ``limit`` None is no limit, ``in_use`` None is not said."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from modelberth.errors import ModelberthError


class Unread(ModelberthError):
    """A document that none of the commands prints."""


@dataclass(frozen=True)
class Ask:
    """A command that prints limits as JSON, word by word."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


@dataclass(frozen=True)
class Limit:
    """One quota of one account: by name or code, in a region, or in all together (None)."""

    account: str
    region: str | None
    quota: str
    limit: float | None
    in_use: float | None = None
