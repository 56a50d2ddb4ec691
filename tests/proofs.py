"""What tests prove of engines, as docs/engines/verified.md says it: a pytest plugin.

A test claims something with ``@proves("...")``; `pytest --verified` writes what held to docs/engines/verified.yaml.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "engines" / "verified.yaml"
DUMP, PARSER, SERVER = "parser dump", "real parser", "real server"
Row = dict[str, str]


def claims(engine: str, version: str, how: str) -> Callable[[str], pytest.MarkDecorator]:
    """A decorator for tests that prove something of an engine's version: by its dump, parser or server."""
    return lambda what: pytest.mark.proves(engine=engine, version=version, how=how, what=what)


def claimed() -> Iterator[tuple[str, str]]:
    """Every claim in the tests: the test, and what it claims."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for mark in getattr(node, "decorator_list", []):
                if isinstance(mark, ast.Call) and getattr(mark.func, "id", "").startswith("proves"):
                    yield f"{path.relative_to(ROOT)}::{node.name}", ast.literal_eval(mark.args[0])  # type: ignore[attr-defined]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --verified` writes down what was proven today."""
    parser.addoption("--verified", action="store_true", help="write what tests prove of engines")


def pytest_configure(config: pytest.Config) -> None:
    """One recorder for the process that sees every report."""
    if config.getoption("--verified") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Servers of gigabytes only start when somebody asks for them: `-m inference`."""
    for item in items:
        for mark in item.iter_markers("proves"):
            item.user_properties.append(("proves", mark.kwargs))
    if "inference" not in (config.getoption("markexpr") or ""):
        heavy = [item for item in items if item.get_closest_marker("inference")]
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]


class _Recorder:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.failed:
            self.failed.add(test)
        if report.when == "call" and report.passed:
            for name, claim in report.user_properties:
                if name == "proves":
                    row: Any = {**claim, "test": test, "date": datetime.now(UTC).date().isoformat()}
                    self.rows[test, row["what"]] = row

    def pytest_sessionfinish(self) -> None:
        there = set(claimed())
        kept = {(row["test"], row["what"]): row for row in rows() if (row["test"], row["what"]) in there} | self.rows
        held = [row for (test, _), row in kept.items() if test not in self.failed]
        held.sort(key=lambda row: (row["engine"], row["how"], row["version"], row["test"], row["what"]))
        document = yaml.safe_load(FILE.read_text(encoding="utf-8")) | {"proofs": held}
        FILE.write_text(HEAD + yaml.safe_dump(document, sort_keys=False, width=120), encoding="utf-8")


HEAD = """\
# What has been seen of engines, and what has not. `proofs` is written by `make test-engines` from the tests that claim
# it; `unseen` is written by hand. scripts/generate makes verified.md of both.
"""


def rows() -> list[Row]:
    """The proofs as committed."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))["proofs"]
