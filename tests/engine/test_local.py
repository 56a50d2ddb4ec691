"""The main job as people run it, in a copy of the project: up, up again, down, down again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.engine.conftest import run_in

pytestmark = pytest.mark.engine


def local(clone: Path, verb: str, stack: str = "local") -> subprocess.CompletedProcess[str]:
    return run_in(clone, "local", verb, stack)


def processes_of(clone: Path) -> list[str]:
    """Command lines of running processes that name a path of the clone."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(clone / ".modelberth") in command:
                found.append(command)
    return found


def test_up_ends_with_both_services_ready_and_prints_plan_and_endpoints(clone: Path) -> None:
    done = local(clone, "up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "memory of one GPU" in done.stdout
    assert "chat   ready 1/1  http://chat.models.svc:8000/v1" in done.stdout
    assert "draft  ready 1/1  http://draft.models.svc:8080/v1" in done.stdout
    assert "simulated" in done.stdout


def test_a_second_up_reports_no_changes(clone: Path) -> None:
    done = local(clone, "up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unchanged" in done.stdout
    assert "created" not in done.stdout
    assert "updated" not in done.stdout


def test_a_run_changes_nothing_that_git_tracks(clone: Path) -> None:
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == "?? .venv\n" or status.stdout == ""


def test_down_of_one_stack_keeps_what_another_still_has(clone: Path) -> None:
    document = yaml.safe_load((clone / "stacks" / "Pulumi.local.yaml").read_text())
    config = document["config"]
    config["modelberth:target"]["namespace"] = "others"
    del config["modelberth:weights"], config["modelberth:pools"]["cpu"], config["modelberth:services"]["draft"]
    (clone / "stacks" / "Pulumi.other.yaml").write_text(yaml.safe_dump(document))
    made = local(clone, "up", "other")
    assert made.returncode == 0, made.stdout + made.stderr
    kept = local(clone, "down", "other")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert "kept, for these stacks still have resources: local" in kept.stdout
    assert processes_of(clone)


def test_down_leaves_neither_resource_nor_state_nor_process(clone: Path) -> None:
    done = local(clone, "down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert processes_of(clone) == []
    assert not (clone / ".modelberth" / "state").exists()
    assert not (clone / ".modelberth" / "cluster").exists()


def test_a_second_down_finds_nothing_to_do(clone: Path) -> None:
    done = local(clone, "down")
    assert done.returncode == 0, done.stdout + done.stderr
