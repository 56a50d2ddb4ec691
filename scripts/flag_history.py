"""Writes the flags of one engine over its versions: the oldest table whole, then what each later version changed.

    python scripts/flag_history.py ENGINE NAME VERSION=DUMP.json ...

A dump is what ``toolchain/parser_program.py --dump`` prints for one version: spelling -> [name, what it takes].
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "modelberth" / "catalog" / "flags"
Flags = dict[str, list[str]]


def rows(value: Any) -> str:
    """JSON with one flag per line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    lines = (f"{json.dumps(name)}: {rows(inner)}" for name, inner in value.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def main(engine: str, name: str, *dumps: str) -> None:
    """Write ENGINE-<oldest>.json and ENGINE-history.json."""
    tables: dict[str, Flags] = {}
    for each in dumps:
        version, _, path = each.partition("=")
        tables[version] = json.loads(Path(path).read_text(encoding="utf-8"))
    oldest, *later = tables
    head = {"as_of": datetime.now(UTC).date().isoformat()}
    parser = "dumped from its own argument parser (Apache-2.0)"
    base = {"source": f"{name} {oldest}, {parser}", **head, "version": oldest, "flags": tables[oldest]}
    (FOLDER / f"{engine}-{oldest}.json").write_text(rows(base) + "\n", encoding="utf-8")
    steps: dict[str, Any] = {}
    before = tables[oldest]
    for version in later:
        now = tables[version]
        steps[version] = {
            "added": {flag: entry for flag, entry in now.items() if before.get(flag) != entry},
            "removed": sorted(set(before) - set(now)),
        }
        before = now
    history = {"source": f"{name} {oldest} to {later[-1]}, each {parser}", **head, "base": oldest, "versions": steps}
    (FOLDER / f"{engine}-history.json").write_text(rows(history) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
