"""A stack of a cloud as people run it, in a copy of the project: stand-ins play the cloud."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.engine.conftest import run_in
from toolchain import played

pytestmark = pytest.mark.engine


def destroys_as_in_an_account(clone: Path, stack: str) -> None:
    """What CLOUD=real does, by a pulumi on PATH that somebody installed and that is logged in to the stand-ins."""
    variables = played.Played(stack, clone).variables() | {"CLOUD": "real", "PULUMI_SKIP_CONFIRMATIONS": "true"}
    installed = clone / "installed" / "pulumi"
    installed.parent.mkdir()
    installed.write_text(f'#!/bin/sh\nexec {shutil.which("pulumi", path=variables["PATH"])} "$@"\n')
    installed.chmod(0o755)
    variables["PATH"] = os.pathsep.join([str(installed.parent), variables["PATH"]])
    done = run_in(clone, "local", "down", stack, variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"pulumi destroy --exclude-protected --stack {stack}" in done.stdout
    keeps = next(line for line in done.stdout.splitlines() if line.startswith("the account keeps 5: "))
    assert "gcp:storage/bucket:Bucket example-dev-modelberth-dev-chat-weights" in keeps
    assert "gcp:kms/cryptoKey:CryptoKey" in keeps


def test_a_stack_of_a_cloud_comes_up_on_stand_ins_says_so_first_and_leaves_nothing(clone: Path) -> None:
    up = run_in(clone, "local", "up", "dev")
    assert up.returncode == 0, up.stdout + up.stderr
    assert up.stdout.splitlines()[0] == (
        "stack dev: target gke, played by stand-ins on this machine; no account is used (CLOUD=real would)"
    )
    assert "chat  ready 1/1" in up.stdout
    destroys_as_in_an_account(clone, "dev")
    down = run_in(clone, "local", "down", "dev")
    assert down.returncode == 0, down.stdout + down.stderr
    assert "an account would keep 5: " in down.stdout
    assert not (clone / played.FOLDER / "dev").exists()
    assert not (clone / ".modelberth" / "state").exists()
