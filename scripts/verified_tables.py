"""The tables of docs/engines/verified.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from modelberth.catalog import catalog

FILE = Path(__file__).parents[1] / "docs" / "engines" / "verified.yaml"


def _document() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def verified() -> str:
    """What was proven, how and when."""
    rows = [
        f"| {catalog().engine(row['engine']).name} {row['version']} | {row['how']} | {row['what']} | {row['date']} |"
        for row in _document()["proofs"]
    ]
    return "\n".join(["| engine | how | what was proven | date |", "|---|---|---|---|", *rows])


def unseen() -> str:
    """What was not, and what stands in for it."""
    rows = [
        f"| {catalog().engine(row['engine']).name} | {row['what']} | {row['instead']} |"
        for row in _document()["unseen"]
    ]
    return "\n".join(["| engine | not seen | instead |", "|---|---|---|", *rows])


TABLES: dict[str, Callable[[], str]] = {"verified": verified, "unseen": unseen}
