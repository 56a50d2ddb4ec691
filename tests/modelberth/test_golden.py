"""Golden cases, each a folder to read from top to bottom: what was asked and what was decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelberth import report, stackfiles
from modelberth.errors import ModelberthError
from modelberth.lock import settle
from tests.modelberth.samples import ROOT

GOLDEN = ROOT / "tests" / "golden"
SPECS = sorted(
    [*GOLDEN.glob("*/spec.yaml"), *GOLDEN.glob("exposed/Pulumi.*.yaml"), *GOLDEN.glob("production/Pulumi.*.yaml")]
)
ELSEWHERE = {
    path.name.split(".")[1]: path
    for path in sorted([*(ROOT / "stacks").glob("Pulumi.*.yaml"), *(ROOT / "examples").glob("*/Pulumi.*.yaml")])
    if "modelberth:services" in path.read_text(encoding="utf-8") and path.name != "Pulumi.engines.yaml"
}
"""The environments and the examples, each a case by the name of its stack: what is asked lies there, not here."""


def plan_text(path: Path) -> str:
    """What `modelberth plan` prints for a file: the plan, or why it is refused."""
    try:
        stack = stackfiles.read(path)
        return report.as_text(settle(stack.spec, stack.locked, stack_name=stack.name)) + "\n"
    except ModelberthError as error:
        return f"error: {error}\n"


def test_there_are_golden_cases() -> None:
    assert len(SPECS) >= 6


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.parent.name)
def test_a_spec_is_planned_as_it_always_was(spec: Path, golden: Callable[[Path, str], None]) -> None:
    golden(spec.parent / "plan.txt", plan_text(spec))


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_environments_and_examples_are_planned_as_they_always_were(
    name: str, golden: Callable[[Path, str], None]
) -> None:
    golden(GOLDEN / name / "plan.txt", plan_text(ELSEWHERE[name]))


def test_no_example_is_refused() -> None:
    assert [name for name in ELSEWHERE if (GOLDEN / name / "plan.txt").read_text().startswith("error:")] == []
