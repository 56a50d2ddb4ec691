"""The JSON Schema that editors use, judged by a validator of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolchain import judges

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "docs" / "spec.schema.json"
VALIDATE = """
import json, sys
from jsonschema import Draft202012Validator
schema, document = json.load(sys.stdin)
Draft202012Validator.check_schema(schema)
print(json.dumps([e.message for e in Draft202012Validator(schema).iter_errors(document)]))
"""


def objections(document: Any) -> list[str]:
    schema = json.loads(SCHEMA.read_text())
    done = judges.run(str(judges.python()), "-c", VALIDATE, stdin=json.dumps([schema, document]))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def local() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "stacks" / "Pulumi.local.yaml").read_text())


@pytest.mark.parametrize("name", ["stacks/Pulumi.local.yaml", "tests/golden/secrets/Pulumi.secrets.yaml"])
def test_the_stack_files_of_the_project_are_valid(name: str) -> None:
    assert objections(yaml.safe_load((ROOT / name).read_text())) == []


def test_settings_of_other_packages_are_none_of_its_business() -> None:
    document = local()
    document["config"]["aws:region"] = "us-east-1"
    assert objections(document) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("contxt", 1), ("context", "32k"), ("context", 0), ("quantization", "int3"), ("token", "hf_plain")],
)
def test_a_bad_field_is_marked_in_the_editor(key: str, value: Any) -> None:
    document = local()
    document["config"]["modelberth:services"]["chat"][key] = value
    assert objections(document)


def test_a_misspelt_key_of_the_package_is_marked_in_the_editor() -> None:
    document = local()
    document["config"]["modelberth:pool"] = {}
    assert objections(document)
