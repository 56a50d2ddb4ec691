"""What `modelberth check` writes for programs, judged by the published schema of SARIF and by our own of the JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.modelberth.samples import ROOT
from toolchain import judges

SARIF = ROOT / "tests" / "data" / "sarif-2.1.0-rtm.5.json"
OURS = ROOT / "docs" / "check.schema.json"
JUDGE = """
import json, sys
from jsonschema.validators import validator_for
schema, document = (json.load(open(name)) for name in sys.argv[1:3])
validator = validator_for(schema)
validator.check_schema(schema)
print(*[f"{error.json_path}: {error.message[:200]}" for error in validator(schema).iter_errors(document)], sep="\\n")
"""


def objections(schema: Path, document: Path) -> str:
    done = judges.run(str(judges.python()), "-c", JUDGE, str(schema), str(document))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    (tmp_path / "bad.yaml").write_text("a: [1")
    (tmp_path / "values.yaml").write_text("a: 1")
    exemption = {"rules": ["SZ-01"], "name": "*", "reason": "a", "expires": "2999-01-01"}
    policy = {"settings": {"exemptions": [exemption, exemption | {"rules": ["WH-21"], "expires": "2020-01-01"}]}}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    return ["examples/guide", str(tmp_path), "--policy", str(tmp_path / "policy.json")]


def written(form: str, inputs: list[str], tmp_path: Path) -> Path:
    path = tmp_path / f"report.{form}"
    command = [sys.executable, "-m", "modelberth", "check", *inputs, "--format", form, "--output", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    return path


@pytest.mark.parametrize("more", [[], ["--docs-url", "https://example.com/policies.md"]])
def test_sarif_is_what_its_schema_says(inputs: list[str], tmp_path: Path, more: list[str]) -> None:
    assert objections(SARIF, written("sarif", [*inputs, *more], tmp_path)) == ""


def test_json_is_what_our_schema_says(inputs: list[str], tmp_path: Path) -> None:
    assert objections(OURS, written("json", inputs, tmp_path)) == ""


@pytest.mark.parametrize("schema", [SARIF, OURS], ids=["sarif", "ours"])
def test_the_judge_objects_to_something_else(schema: Path, tmp_path: Path) -> None:
    path = tmp_path / "else.json"
    path.write_text(json.dumps({"version": "2.0.0", "runs": [{"results": [{"level": "bad"}]}]}))
    assert objections(schema, path)
