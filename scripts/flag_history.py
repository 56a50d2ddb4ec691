"""Writes the flags of an engine over its versions: the oldest table whole, then what each later version changed.

    python scripts/flag_history.py vllm VERSION=FOLDER ...      oldest first

A folder holds the unpacked Python source of that version's wheel (``pip download --no-deps vllm==VERSION``, unzip).
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolchain import inference  # noqa: E402

FOLDER = ROOT / "modelberth" / "catalog" / "flags"
SPELLINGS = Path(inference.STAND_IN).with_name("spellings.py")
Flags = dict[str, list[str]]


def spellings(engine: str, source: Path) -> Flags:
    """What the parser in ``source`` takes: spelling -> [name, what it takes]."""
    command = [str(inference.python()), str(SPELLINGS), engine]
    environment = inference.parse_environment(source)
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def rows(value: Any) -> str:
    """JSON with one flag per line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    lines = (f"{json.dumps(name)}: {rows(inner)}" for name, inner in value.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def main(engine: str, *places: str) -> None:
    """Write ENGINE-<oldest>.json and ENGINE-history.json."""
    tables = {
        version: spellings(engine, Path(folder)) for version, _, folder in (each.partition("=") for each in places)
    }
    oldest, *later = tables
    read = {"as_of": datetime.now(UTC).date().isoformat()}
    dumped = "dumped from its own argument parser (Apache-2.0)"
    base = {"source": f"{engine} {oldest}, {dumped}", **read, "version": oldest, "flags": tables[oldest]}
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
    source = f"{engine} {oldest} to {later[-1]}, each {dumped}"
    history = {"source": source, **read, "base": oldest, "versions": steps}
    (FOLDER / f"{engine}-history.json").write_text(rows(history) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
