"""The stack that is cut off and refused, and what is run on it."""

from __future__ import annotations

from pathlib import Path

from tests.faults.rounds import CANARY, Scenario
from tests.providers.conftest import Project

PROGRAM = "gke"


def empty(root: Path) -> Project:
    """A stack in which nothing is made yet."""
    project = Project(root, PROGRAM, settings={"token": CANARY, "protect": True})
    project.init()
    return project


def made(root: Path) -> Project:
    """A stack that is there, with a protected bucket."""
    project = empty(root)
    project.up()
    return project


def unprotected(root: Path) -> Project:
    """A stack that may go."""
    project = empty(root)
    project.settings |= {"protect": False}
    project.up()
    return project


SCENARIOS = {
    each.name: each
    for each in (
        Scenario("up", empty),
        Scenario("change", made, {"label": "l4-large", "spot": True, "system_nodes": 4}),
        Scenario("destroy", unprotected, command="destroy"),
    )
}

OWN = ("dev", "local")
"""Stack files of this project that are cut off and refused on the embedded cluster, from nothing."""
