"""A table of what was survived, printed at the end; rounds run side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.faults.rounds import Call, Prepared, Scenario

ROWS = pytest.StashKey[list["Survived"]]()


@dataclass(frozen=True)
class Survived:
    """One line of the table."""

    scenario: str
    kind: str
    survived: int
    calls: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.scenario:8} {self.kind:20} {self.survived} of {self.calls}  ({self.seconds:.0f} s)"


@pytest.fixture(scope="session")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scenario], Prepared]:
    """Each scenario is prepared once."""
    found: dict[str, Prepared] = {}

    def prepared(scenario: Scenario) -> Prepared:
        if scenario.name not in found:
            found[scenario.name] = scenario.prepared(tmp_path_factory.mktemp(scenario.name))
        return found[scenario.name]

    return prepared


@pytest.fixture
def at_every_call(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Run a round for each call of a scenario; all that fail are told at the end."""
    rows = request.config.stash.setdefault(ROWS, [])

    def run(prepared: Prepared, kinds: tuple[str, ...], round_: Callable[[Call], None]) -> None:
        began = time.monotonic()

        def tried(call: Call) -> str:
            try:
                round_(call)
            except AssertionError as error:
                return f"{call}: {error}"
            except Exception as error:
                return f"{call}: {type(error).__name__}: {error}"
            return ""

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            wrong = [each for each in pool.map(tried, prepared.calls) if each]
        count, seconds = len(prepared.calls), time.monotonic() - began
        rows.extend(Survived(prepared.scenario.name, kind, count - len(wrong), count, seconds) for kind in kinds)
        assert count
        assert not wrong, "\n\n".join(wrong)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if rows := config.stash.get(ROWS, []):
        terminalreporter.section("survived")
        for row in rows:
            terminalreporter.line(str(row))
        total = sum({(row.scenario, row.seconds): row.seconds for row in rows}.values())
        terminalreporter.line(f"{sum(row.calls for row in rows)} faults in {total:.0f} s")
