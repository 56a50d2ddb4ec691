"""What tests prove of engines, as docs/engines/verified.md says it: a pytest plugin.

A test claims something with ``@proves("...")``; `pytest --verified` writes what held to docs/engines/verified.yaml.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "engines" / "verified.yaml"
DUMP, PARSER, SERVER, GPU = "parser dump", "real parser", "real server", "recorded on a GPU"
Row = dict[str, str]


def claims(engine: str, version: str, how: str) -> Callable[[str], pytest.MarkDecorator]:
    """A decorator for tests that prove something of an engine's version: by its dump, parser or server."""
    return lambda what: pytest.mark.proves(of={engine: version}, how=how, what=what)


def claims_of_each(versions: Mapping[str, str], how: str) -> Callable[[str], pytest.MarkDecorator]:
    """The same for tests with a parameter ``engine``."""
    return lambda what: pytest.mark.proves(of=versions, how=how, what=what)


def claims_of_cases(how: str) -> Callable[[str], pytest.MarkDecorator]:
    """The same for tests with a parameter ``case`` that has an engine and a version."""
    return lambda what: pytest.mark.proves(of={}, how=how, what=what)


def _row(item: pytest.Item, mark: pytest.Mark) -> Row:
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    of: Mapping[str, str] = mark.kwargs["of"]
    case = parameters.get("case")
    if not of and case is not None:
        engine, version = case.engine, case.version
    else:
        engine = parameters.get("engine") or next(iter(of))
        version = of[engine]
    test = item.nodeid.partition("[")[0]
    return {"engine": engine, "version": version, "how": mark.kwargs["how"], "what": mark.kwargs["what"], "test": test}


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
    """Servers of gigabytes and hundreds of faults only start when somebody asks: `-m inference`, and so on."""
    for item in items:
        for mark in item.iter_markers("proves"):
            item.user_properties.append(("proves", _row(item, mark)))
    asked = config.getoption("markexpr") or ""
    heavy = [
        item
        for item in items
        for name in ("inference", "faults", "stacks")
        if item.get_closest_marker(name) and name not in asked
    ]
    config.hook.pytest_deselected(items=heavy)
    items[:] = [item for item in items if item not in heavy]


class _Recorder:
    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.failed: set[tuple[str, str]] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        here: Any = [value for name, value in report.user_properties if name == "proves"]
        if report.failed:
            self.failed |= {(row["test"], row["engine"]) for row in here}
        if report.when == "call" and report.passed:
            today = datetime.now(UTC).date().isoformat()
            self.rows += [{**row, "date": today} for row in here]

    def pytest_sessionfinish(self) -> None:
        there, ran = set(claimed()), {(row["test"], row["engine"]) for row in self.rows} | self.failed
        kept = [
            row for row in rows() if (row["test"], row["what"]) in there and (row["test"], row["engine"]) not in ran
        ]
        now = [row for row in self.rows if (row["test"], row["engine"]) not in self.failed]
        held = {tuple(row.items()): row for row in [*kept, *now]}
        order = ("engine", "how", "version", "test", "what")
        document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
        document |= {"proofs": sorted(held.values(), key=lambda row: [row[name] for name in order])}
        FILE.write_text(HEAD + yaml.safe_dump(document, sort_keys=False, width=120), encoding="utf-8")


HEAD = """\
# What has been seen of engines, and what has not. `proofs` is written by `make test-engines` from the tests that claim
# it; `unseen` is written by hand. scripts/generate makes verified.md of both.
"""


def rows() -> list[Row]:
    """The proofs as committed."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))["proofs"]
