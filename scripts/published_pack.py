#!/usr/bin/env python3
"""Writes the policy pack as a folder that stands alone, for ``pulumi policy publish``: `make pack`.

It holds the pack and the pure half of this package as they are here, and pins what both import, with hashes, to the
versions of requirements.lock. Whoever installs it needs nothing of this repository.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "policies-dist"
NEEDED = ("pulumi", "pydantic", "pyyaml")
"""What the pack and the pure half import; everything else that it runs with comes with these."""
MAIN = '''"""The pack process. It serves until it is stopped, so nothing may import this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from policies.analyzer import serve

serve()
'''
_PINNED = re.compile(r"^(?P<name>[\w.-]+)==.*(?:\n(?:    .*)?)*", re.MULTILINE)
_NOT_PACKED = shutil.ignore_patterns(
    "__pycache__", "components", "__main__.py", "requirements.txt", "PulumiPolicy.yaml"
)


def locked(text: str) -> dict[str, str]:
    """What a lock pins: each name with its lines."""
    return {match["name"]: match[0].rstrip() for match in _PINNED.finditer(text)}


def closure(pinned: Mapping[str, str]) -> Iterator[str]:
    """The names of :data:`NEEDED` and of all that comes with them, as the lock says by "via"."""
    found = set(NEEDED)
    while more := {name for name, lines in pinned.items() if name not in found and found & set(_asked_by(lines))}:
        found |= more
    return iter(sorted(found))


def _asked_by(lines: str) -> list[str]:
    _, _, after = lines.partition("# via")
    return [word for line in after.splitlines() for word in re.findall(r"[\w.-]+", line.partition("(")[0])]


def requirements() -> str:
    """Pinned requirements of the folder, without the comments of the lock."""
    pinned = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    lines = [line for name in closure(pinned) for line in pinned[name].splitlines() if not line.startswith("    #")]
    return "\n".join(["# Written by scripts/published_pack.py from requirements.lock.", *lines]) + "\n"


def manifest() -> str:
    """The pack's own manifest, with an environment inside the folder."""
    ours = yaml.safe_load((ROOT / "policies" / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    ours["runtime"]["options"]["virtualenv"] = "venv"
    return yaml.safe_dump(ours, sort_keys=False)


def write(folder: Path) -> None:
    """Write the folder anew. Raises FileExistsError where something else is in its place."""
    if folder.exists():
        if not (folder / "PulumiPolicy.yaml").is_file():
            raise FileExistsError(f"{folder} is there and is no policy pack")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for package in ("modelberth", "policies"):
        shutil.copytree(ROOT / package, folder / package, ignore=_NOT_PACKED)
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder / name)
    files = {"PulumiPolicy.yaml": manifest(), "__main__.py": MAIN, "requirements.txt": requirements()}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    write(where)
    print(f"written: {where}; pulumi policy publish {where}")
