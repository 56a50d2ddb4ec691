"""Old revisions go when somebody says so, and only those that no service names."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from modelberth import parse
from modelberth.engines.base import WEIGHTS_MOUNT
from modelberth.engines.collect import collection, folders_of
from modelberth.plan import plan
from modelberth.spec import StackSpec, Target
from tests.modelberth.commands import ran

NEW, OLD, RANKED = "org--model/bbb", "org--model/aaa", "org--lora/ccc/rank-16"


def folder(volume: Path, name: str, *, finished: bool = True) -> Path:
    found = volume / name
    found.mkdir(parents=True)
    (found / "model.safetensors").write_bytes(b"x")
    if finished:
        (found / ".complete").touch()
    return found


def run(volume: Path, *kept: str, remove: bool) -> str:
    step = collection("image", kept, remove=remove)
    script = step.script.replace(WEIGHTS_MOUNT, str(volume))
    env = {"PATH": os.environ["PATH"], **dict(step.env)}
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def test_a_revision_that_no_service_names_goes_and_all_others_stay(tmp_path: Path) -> None:
    stays = [folder(tmp_path, NEW), folder(tmp_path, RANKED), folder(tmp_path, f"{OLD}1.incomplete", finished=False)]
    gone, beside = folder(tmp_path, OLD), folder(tmp_path, f"{OLD}.incomplete", finished=False)
    said = run(tmp_path, NEW, RANKED, remove=True)
    assert f"gone: {OLD}" in said.splitlines()
    assert not gone.exists()
    assert not beside.exists()
    assert all((each / "model.safetensors").exists() for each in stays)


def test_without_the_word_it_only_says_what_would_go(tmp_path: Path) -> None:
    old = folder(tmp_path, OLD)
    assert run(tmp_path, NEW, remove=False) == f"would go: {OLD}\n"
    assert (old / ".complete").exists()


def test_a_folder_whose_part_is_named_stays(tmp_path: Path) -> None:
    whole = folder(tmp_path, "org--lora/ccc")
    folder(tmp_path, RANKED)
    run(tmp_path, RANKED, remove=True)
    assert (whole / "model.safetensors").exists()


def test_a_folder_that_is_being_filled_stays(tmp_path: Path) -> None:
    old = folder(tmp_path, OLD)
    with (tmp_path / f"{OLD}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "being filled" in run(tmp_path, NEW, remove=True)
    assert (old / ".complete").exists()
    assert f"gone: {OLD}" in run(tmp_path, NEW, remove=True)


def test_an_empty_list_removes_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to keep"):
        collection("image", (), remove=True)


def test_what_a_service_names_is_what_its_download_fills() -> None:
    spec = parse.service({"model": "Qwen/Qwen2.5-7B-Instruct", "context": 2048, "concurrency": 1})
    launch = plan("chat", StackSpec(target=Target(kind="existing"), services={"chat": spec})).launch
    (kept,) = folders_of([launch])
    assert any(kept in word for word in launch.args)


def test_the_command_names_what_stays_and_prints_the_job_for_a_claim() -> None:
    stays = ran("collect", "local").stdout.splitlines()
    assert [folder for folder in stays if folder.startswith("Qwen--Qwen2.5-7B-Instruct/")]
    job = yaml.safe_load(ran("collect", "local", "--claim", "weights", "--also", OLD, "--remove").stdout)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    assert env == {"KEEP": "\n".join(sorted([*stays, OLD])), "REMOVE": "yes"}
    assert job["metadata"]["namespace"] == "models"
    assert job["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "weights"}
