"""The pack as it is published: a folder of its own, run by an environment that holds nothing but its requirements."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from google.protobuf import empty_pb2

from modelberth.rules import ALL
from tests.policies.servicer import names, request, verdicts
from tests.process.conftest import started
from tests.rules.samples import ROOT, deployment, guide, vllm

NEVER = {"modelberth", "pulumi-policy", "pulumi-kubernetes", "typer", "kubernetes", "pytest"}
"""Distributions that the folder must do without."""


def write(folder: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "published_pack.py", folder], check=True, capture_output=True)


def pinned(folder: Path) -> dict[str, str]:
    """Names and versions that the folder requires."""
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(match.groups() for line in lines if (match := re.match(r"([\w.-]+)==([^ ;\\]+)", line)))


def environment(folder: Path, required: dict[str, str]) -> Path:
    """An environment of these distributions, taken from the one that runs the tests: no index is asked."""
    venv.create(folder, symlinks=True, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    for name, version in required.items():
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform or version of Python
        assert found.version == version, name
        for file in {path.parts[0] for path in found.files or () if not path.is_absolute() and path.parts[0] != ".."}:
            for source in Path(str(found.locate_file(file))), *_inside(Path(str(found.locate_file(file)))):
                target = site / source.relative_to(Path(str(found.locate_file(""))))
                if not source.is_dir() and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.symlink_to(source)
    return folder / "bin" / "python"


def _inside(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if "__pycache__" not in path.parts)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, sent as an archive and unpacked elsewhere, with its environment where its manifest says."""
    work = tmp_path_factory.mktemp("published")
    write(work / "policies-dist")
    with tarfile.open(work / "package.tgz", "w:gz") as archive:
        archive.add(work / "policies-dist", "package")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with tarfile.open(work / "package.tgz") as archive:
        archive.extractall(elsewhere, filter="data")
    folder = elsewhere / "package"
    environment(folder / "venv", pinned(folder))
    return folder


def test_its_environment_lies_inside_and_holds_only_what_it_requires(published: Path) -> None:
    manifest = yaml.safe_load((published / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    assert manifest["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": "venv"}}
    required = pinned(published)
    assert {"pulumi", "pydantic", "pyyaml", "grpcio", "protobuf"} <= required.keys()
    assert not NEVER & required.keys()
    text = (published / "requirements.txt").read_text(encoding="utf-8")
    assert text.count("--hash=sha256:") >= len(required)
    assert ".." not in text


def test_nothing_of_it_points_back_here(published: Path) -> None:
    files = [
        path for path in published.rglob("*") if path.is_file() and "venv" not in path.relative_to(published).parts
    ]
    assert not [path for path in files if str(ROOT) in path.read_text(encoding="utf-8", errors="ignore")]
    assert not (published / "modelberth" / "components").exists()


def test_it_judges_as_the_one_here_does(published: Path, tmp_path: Path) -> None:
    with started(published, tmp_path, str(published / "venv" / "bin" / "python")) as pack:
        info = pack.GetAnalyzerInfo(empty_pb2.Empty())
        assert [policy.name for policy in info.policies] == ["settings", *(rule.policy_name for rule in ALL)]
        assert ("MANDATORY", "SZ-01") in names(verdicts(pack.Analyze(request(guide()))))
        assert ("MANDATORY", "SZ-01") not in names(verdicts(pack.Analyze(request(deployment(vllm())))))


def test_its_environment_knows_no_other_copy(published: Path) -> None:
    python = published / "venv" / "bin" / "python"
    code = "import importlib.util as u; print(u.find_spec('modelberth'), u.find_spec('pulumi_policy'))"
    clean = {"PATH": os.defpath}
    done = subprocess.run([python, "-c", code], cwd="/", env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "None"]


def test_what_is_no_pack_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        write(tmp_path)
    assert (tmp_path / "mine.txt").is_file()


@pytest.mark.engine
def test_the_real_engine_runs_it(published: Path, tmp_path: Path) -> None:
    from toolchain import engine

    done = engine.run(
        ["preview", "--stack", "dev", "--policy-pack", str(published)],
        root=ROOT / "examples" / "guide",
        state=tmp_path / "state",
        check=False,
        capture=True,
        timeout_s=240,
    )
    assert done.returncode != 0
    assert "[mandatory]" in done.stdout
    assert f"local: {published}" in done.stdout
