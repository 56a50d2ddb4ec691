"""A stack of a cloud as people run it, in a copy of the project: stand-ins play the cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.conftest import run_in
from toolchain import played

pytestmark = pytest.mark.engine


def test_a_stack_of_a_cloud_comes_up_on_stand_ins_says_so_first_and_leaves_nothing(clone: Path) -> None:
    up = run_in(clone, "local", "up", "dev")
    assert up.returncode == 0, up.stdout + up.stderr
    assert up.stdout.splitlines()[0] == (
        "stack dev: target gke, played by stand-ins on this machine; no account is used (CLOUD=real would)"
    )
    assert "chat  ready 1/1" in up.stdout
    down = run_in(clone, "local", "down", "dev")
    assert down.returncode == 0, down.stdout + down.stderr
    assert not (clone / played.FOLDER / "dev").exists()
    assert not (clone / ".modelberth" / "state").exists()
