"""The hook for pre-commit as pre-commit calls it, and what the workflow may and may not do."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.modelberth.samples import ROOT

WORKFLOW = ROOT / "examples" / "ci" / "workflow.yaml"
RUNS_CODE = re.compile(r"(^|[;&|(])\s*(git|make|modelberth|pulumi|python3?|helm)\b", re.MULTILINE)
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def hook() -> dict[str, Any]:
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return found


def commit(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """The entry with the files that the hook's filters let through, relative to the top of the repository."""
    kinds = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}
    passed = [name for name in names if kinds.get(Path(name).suffix) in hook()["types_or"]]
    passed = [name for name in passed if not re.search(hook()["exclude"], name)]
    program = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{program}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = [*shlex.split(hook()["entry"]), *hook().get("args", []), *passed]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "web" / "templates").mkdir(parents=True)
    (tmp_path / "web" / "Chart.yaml").write_text("apiVersion: v2\nname: web\n")
    (tmp_path / "web" / "templates" / "a.yaml").write_text("{{- if .Values.on }}\nkind: Pod\n{{- end }}\n")
    (tmp_path / "values.yaml").write_text("a: 1\n")
    (tmp_path / "red.yaml").write_text((ROOT / "examples" / "guide" / "deployment.yaml").read_text())
    return tmp_path


def test_a_commit_with_a_manifest_that_would_not_run_is_stopped(repository: Path) -> None:
    done = commit(repository, "red.yaml", "values.yaml")
    assert done.returncode == 1, done.stderr
    assert "red.yaml: Deployment default/vllm-server\n  5:1 mandatory" in done.stdout
    assert "SZ-01" in done.stdout


def test_a_commit_of_values_charts_and_templates_passes(repository: Path) -> None:
    done = commit(repository, "values.yaml", "web/Chart.yaml", "web/templates/a.yaml")
    assert done.returncode == 0, done.stdout
    assert "2 files without objects skipped" in done.stdout


def test_pre_commit_can_install_the_hook_and_the_sample_names_it() -> None:
    assert hook()["language"] == "python"
    assert (ROOT / "pyproject.toml").is_file()
    sample = yaml.safe_load((ROOT / "examples" / "ci" / ".pre-commit-config.yaml").read_text())
    assert [each["id"] for each in sample["repos"][0]["hooks"]] == [hook()["id"]]


def test_the_workflow_runs_no_action_unless_it_is_pinned_by_its_whole_digest() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)] == []


def test_what_runs_the_code_of_a_pull_request_may_only_read_and_knows_no_secret() -> None:
    text, workflow = WORKFLOW.read_text(), yaml.safe_load(WORKFLOW.read_text())
    assert workflow[True] == {"pull_request": None}  # YAML's reading of the key "on"
    assert "pull_request_target" not in text
    assert "secrets." not in text
    assert workflow["permissions"] == {}
    judge, tell = workflow["jobs"]["judge"], workflow["jobs"]["tell"]
    assert judge["permissions"] == {"contents": "read"}
    assert tell["permissions"] == {"pull-requests": "write", "security-events": "write"}
    assert "github.event.pull_request.head.repo.full_name == github.repository" in tell["if"]
    assert not [step for step in tell["steps"] if re.search(RUNS_CODE, step["run"])]
    assert [step for step in judge["steps"] if re.search(RUNS_CODE, step["run"])]
    token = [step["name"] for step in judge["steps"] if "github.token" in str(step.get("env"))]
    assert token == ["check out what would be merged"]


def test_no_script_holds_a_value_that_github_would_paste_into_it() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["name"] for step in steps if EXPRESSION.search(step["run"])] == []
