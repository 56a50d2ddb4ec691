"""The tables of docs/engines/verified.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from modelberth.catalog import catalog
from modelberth.versions import key

FILE = Path(__file__).parents[1] / "docs" / "engines" / "verified.yaml"


def _document() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def verified() -> str:
    """What was proven, how and when; versions of which the same is known share a row."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for row in _document()["proofs"]:
        rows.setdefault((row["engine"], row["how"], row["what"], row["date"]), []).append(row["version"])
    lines = [
        f"| {catalog().engine(engine).name} {', '.join(sorted(versions, key=key))} | {how} | {what} | {date} |"
        for (engine, how, what, date), versions in rows.items()
    ]
    return "\n".join(["| engine | how | what was proven | date |", "|---|---|---|---|", *lines])


def unseen() -> str:
    """What was not, and what stands in for it."""
    rows = [
        f"| {catalog().engine(row['engine']).name} | {row['what']} | {row['instead']} |"
        for row in _document()["unseen"]
    ]
    return "\n".join(["| engine | not seen | instead |", "|---|---|---|", *rows])


TABLES: dict[str, Callable[[], str]] = {"verified": verified, "unseen": unseen}
