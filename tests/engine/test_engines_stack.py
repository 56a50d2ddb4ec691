"""All engines side by side on the embedded cluster, and a watched roll of each to its next version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelberth import stackfiles
from modelberth.catalog import catalog
from modelberth.lock import settle
from modelberth.plan import Plan
from tests.engine.conftest import ROOT, run_in
from toolchain.roll import following

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def plans() -> tuple[Plan, ...]:
    found = stackfiles.read(ROOT / "stacks" / "Pulumi.engines.yaml")
    return settle(found.spec, found.locked, stack_name="engines").plans


def test_every_engine_of_the_catalog_is_in_the_stack(plans: tuple[Plan, ...]) -> None:
    assert {plan.decision.engine for plan in plans} == {engine.id for engine in catalog().engines()}


def test_every_engine_with_a_newer_version_is_one_version_behind(plans: tuple[Plan, ...]) -> None:
    for plan in plans:
        several = len(catalog().engine(plan.decision.engine).versions) > 1
        assert (following(plan) is not None) == several


def test_all_of_them_become_ready(clone: Path, plans: tuple[Plan, ...]) -> None:
    done = run_in(clone, "local", "up", "engines")
    assert done.returncode == 0, done.stdout + done.stderr
    for plan in plans:
        ready = rf"{plan.service} +ready {plan.spec.replicas}/{plan.spec.replicas} +http://{plan.service}\.engines\.svc"
        assert re.search(ready, done.stdout), done.stdout


def test_a_second_up_of_all_of_them_changes_nothing(clone: Path) -> None:
    done = run_in(clone, "local", "up", "engines")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unchanged" in done.stdout
    assert not re.search("created|updated|replaced", done.stdout)


def test_each_rolls_to_its_next_version_and_keeps_ready_pods_wherever_replicas_allow(
    clone: Path, plans: tuple[Plan, ...]
) -> None:
    done = run_in(clone, "roll", "engines")
    assert done.returncode == 0, done.stdout + done.stderr
    for plan in plans:
        if version := following(plan):
            step = f"{plan.decision.engine} {plan.decision.engine_version} -> {version}"
            line = next(line for line in done.stdout.splitlines() if step in line and "never fewer" in line)
            fewest = int(re.search(r"never fewer than (\d+)", line)[1])  # type: ignore[index]
            assert fewest >= (1 if plan.spec.replicas > 1 else 0), line


def test_they_go_as_they_came(clone: Path) -> None:
    done = run_in(clone, "local", "down", "engines")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is left" in done.stdout
