"""Every relative link of every document leads to a file that belongs to the project, and to a heading of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"^( *)(`{3,}).*?^\1\2`*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def tracked() -> frozenset[Path]:
    """Every file that git tracks or would, and their folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
    return frozenset([*files, *(folder for file in files for folder in file.parents)])


PROJECT = tracked()
DOCUMENTS = sorted(path for path in PROJECT if path.suffix == ".md" and path.is_file())


def anchors(text: str) -> set[str]:
    """Names that GitHub gives the headings."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", CODE.sub("", text), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)


def broken(document: Path, text: str) -> Iterator[str]:
    """Relative links that lead nowhere."""
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        if target not in PROJECT or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert list(broken(document, document.read_text(encoding="utf-8"))) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    text = "[a](docs/none.md) [b](docs/pods.md#none) [c](docs/engines) [d](https://example.com/none)\n```\n[e](none.md)\n```\n"
    assert list(broken(ROOT / "README.md", text)) == ["docs/none.md", "docs/pods.md#none"]
