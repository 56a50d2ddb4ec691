"""The workflow of examples/ci: every step's script is run, under the real engine where it previews.

Replaced are what a runner brings along: Helm (it fills in one name), `gh` (it writes down what it is asked) and an
installed virtual environment. Git, make, jq, bash and everything of ours are real.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, copy_of_tracked
from toolchain import engine

pytestmark = pytest.mark.engine

HELM = """#!/usr/bin/env bash
test "$1" = template && sed 's/{{ .Release.Name }}/release-name/' "$2"/templates/*.yaml
"""
GH = """#!/usr/bin/env bash
echo "$*" >> "$GH_LOG/asked"
while test $# -gt 0; do
  case "$1" in
    --input) cp "$2" "$GH_LOG/$(basename "$2")"; shift ;;
    --jq) jq --raw-output "$2" "$GH_LOG/comments.json"; shift ;;
  esac
  shift
done
"""
GREEN = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}"}, "data": {"a": "b"}}


@dataclass
class Runner:
    """One run of the workflow in a folder of its own."""

    folder: Path
    origin: Path
    overrides: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("workspace", "temp", "bin", "state", "gh"):
            (self.folder / name).mkdir()
        for name, text in {"helm": HELM, "gh": GH}.items():
            (self.folder / "bin" / name).write_text(text)
            (self.folder / "bin" / name).chmod(0o755)
        for name in ("path", "output", "summary"):
            (self.folder / name).touch()
        self.comments([])
        self._install()

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def _install(self) -> None:
        """What `make setup` would install, as a cache of it would bring it back."""
        venv = self.workspace / ".venv"
        venv.mkdir()
        for each in (ROOT / ".venv").resolve().iterdir():
            if not each.name.startswith("."):
                (venv / each.name).symlink_to(each)
        ready = venv / ".ready"
        ready.touch()
        os.utime(ready, (2**32, 2**32))

    def comments(self, there: list[dict[str, Any]]) -> None:
        (self.folder / "gh" / "comments.json").write_text(json.dumps(there))

    def asked(self) -> list[str]:
        log = self.folder / "gh" / "asked"
        return log.read_text().splitlines() if log.is_file() else []

    def posted(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / "gh" / name).read_text())

    def job(self, name: str) -> tuple[str, str]:
        """(name of the step that failed, or nothing, everything that was printed)."""
        workflow = yaml.safe_load((ROOT / "examples" / "ci" / "workflow.yaml").read_text())
        job = workflow["jobs"][name]
        failed, printed = "", ""
        for step in job["steps"]:
            if failed and "always()" not in str(step.get("if", "")):
                continue
            env = workflow["env"] | job.get("env", {}) | step.get("env", {}) | self.overrides
            done = self._bash(step["run"], {key: self._filled(str(value)) for key, value in env.items()})
            printed += done.stdout + done.stderr
            if done.returncode and not step.get("continue-on-error"):
                failed = failed or step["name"]
        found = re.findall(r"^(\w+)=(.*)$", (self.folder / "output").read_text(), re.MULTILINE)
        self.outputs.update(found)
        return failed, printed

    def _filled(self, value: str) -> str:
        known = {"github.token": "token", "github.event.pull_request.number": "7"}
        known |= {f"needs.judge.outputs.{key}": text for key, text in self.outputs.items()}
        return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda match: known.get(match[1], ""), value)

    def _bash(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        added = (self.folder / "path").read_text().split()
        pulumi = engine.environment(self.workspace, self.folder / "state")
        told = {
            "GITHUB_PATH": "path",
            "GITHUB_OUTPUT": "output",
            "GITHUB_STEP_SUMMARY": "summary",
            "GITHUB_WORKSPACE": "workspace",
            "RUNNER_TEMP": "temp",
            "GH_LOG": "gh",
            "HOME": "temp",
        }
        whole = pulumi | {key: str(self.folder / name) for key, name in told.items()}
        whole |= {"GITHUB_SERVER_URL": f"file://{self.origin.parent}", "GITHUB_REPOSITORY": self.origin.name}
        whole |= {"GITHUB_SHA": head(self.origin), "GITHUB_REF": "refs/pull/7/merge", "PYTHONPATH": str(self.workspace)}
        whole |= {"PATH": ":".join([*added, str(self.folder / "bin"), pulumi["PATH"]])}
        path = self.folder / "script"
        path.write_text(script)
        return subprocess.run(
            ["bash", "-e", str(path)],
            cwd=self.workspace,
            env=whole | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this project, and a chart that would not run."""
    work = tmp_path_factory.mktemp("origin")
    root = work / "repository"
    copy_of_tracked(root, work)
    chart = root / "charts" / "web"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    text = (root / "examples" / "guide" / "deployment.yaml").read_text()
    (chart / "templates" / "a.yaml").write_text(text.replace("name: vllm-server", "name: {{ .Release.Name }}"))
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all")
    git(root, "config", "uploadpack.allowAnySHA1InWant", "true")
    return root


def test_a_pull_request_that_would_not_run_is_stopped_and_told_in_one_comment(origin: Path, tmp_path: Path) -> None:
    runner = Runner(tmp_path, origin)
    failed, printed = runner.job("judge")
    assert failed == "verdict", printed
    assert "stopped by: check,preview" in printed
    assert "web.yaml: Deployment default/release-name" in printed
    comment = gzip.decompress(b64decode(runner.outputs["comment"])).decode()
    assert comment.startswith("<!-- modelberth -->\n")
    assert (tmp_path / "summary").read_text() == comment
    for part in (
        "findings would stop this",
        "SZ-01",
        "30,864",
        "total: 1.26 USD per hour",
        "### chat: ",
        "[mandatory]",
    ):
        assert part in comment, part
    assert "Previewing update" in comment
    assert len(comment) < 65_536

    failed, printed = runner.job("tell")
    assert failed == "", printed
    lines = runner.asked()
    assert lines[1].startswith("api --silent --method POST repos/repository/issues/7/comments")
    assert runner.posted("comment.json")["body"] == comment
    assert lines[2].startswith("api --silent --method POST repos/repository/code-scanning/sarifs")
    upload = runner.posted("sarif.json")
    assert (upload["commit_sha"], upload["ref"]) == (head(origin), "refs/pull/7/merge")
    log = json.loads(gzip.decompress(b64decode(upload["sarif"])))
    assert {"SZ-01"} <= {each["ruleId"] for each in log["runs"][0]["results"]}

    ours, theirs = {"login": "github-actions[bot]"}, {"login": "someone"}
    marked = "<!-- modelberth -->\nold"
    runner.comments(
        [
            {"id": 1, "user": ours, "body": "of another workflow"},
            {"id": 2, "user": theirs, "body": marked},
            {"id": 3, "user": ours, "body": marked},
        ]
    )
    assert runner.job("tell")[0] == ""
    assert runner.asked()[4].startswith("api --silent --method PATCH repos/repository/issues/comments/3 ")


def test_a_pull_request_that_runs_passes(origin: Path, tmp_path: Path) -> None:
    here = tmp_path / "repository"
    shutil.copytree(origin, here, symlinks=True)
    (here / "charts" / "web" / "templates" / "a.yaml").write_text(yaml.safe_dump(GREEN).replace("'", ""))
    git(here, "commit", "--quiet", "--all", "--message", "green")
    (tmp_path / "run").mkdir()
    runner = Runner(tmp_path / "run", here, {"PROGRAM": "none"})
    failed, printed = runner.job("judge")
    assert failed == "", printed
    comment = gzip.decompress(b64decode(runner.outputs["comment"])).decode()
    assert "nothing would stop this" in comment
    assert "total: 1.26 USD per hour" in comment


def test_a_preview_is_read_with_its_lines(tmp_path: Path) -> None:
    done = engine.run(
        ["preview", "--stack", "dev", "--json"],
        root=ROOT / "examples" / "guide",
        state=tmp_path / "state",
        check=False,
        capture=True,
        timeout_s=120,
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "preview.json"
    path.write_text(done.stdout)
    told = subprocess.run(
        [ROOT / ".venv" / "bin" / "python", "-m", "modelberth", "check", str(path), "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert told.returncode == 1, told.stderr
    (found,) = [each for each in json.loads(told.stdout)["findings"] if each["rule"] == "SZ-01"]
    assert found["object"]["urn"] == "urn:pulumi:dev::guide::kubernetes:apps/v1:Deployment::vllm-server"
    assert done.stdout.splitlines()[found["line"] - 1].strip().startswith('"args": [')
