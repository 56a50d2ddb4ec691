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
SCHEMA, OF_BASES = (ROOT / "docs" / name for name in ("spec.schema.json", "base.schema.json"))
VALIDATE = """
import json, sys
from jsonschema import Draft202012Validator
schema, document = json.load(sys.stdin)
Draft202012Validator.check_schema(schema)
print(json.dumps([e.message for e in Draft202012Validator(schema).iter_errors(document)]))
"""


def objections(document: Any, schema_file: Path = SCHEMA) -> list[str]:
    schema = json.loads(schema_file.read_text())
    done = judges.run(str(judges.python()), "-c", VALIDATE, stdin=json.dumps([schema, document]))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def secrets() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "tests" / "golden" / "secrets" / "Pulumi.secrets.yaml").read_text())


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "stacks").glob("*.yaml")) if not path.name.endswith(".plan.yaml")],
    ids=lambda path: path.name,
)
def test_every_stack_of_the_project_and_their_base_are_valid_by_the_schema_that_they_name(path: Path) -> None:
    text = path.read_text()
    schema = path.parent / text.partition("$schema=")[2].partition("\n")[0]
    assert objections(yaml.safe_load(text), schema.resolve()) == []


def test_a_stack_on_a_base_is_marked_where_it_is_misspelt() -> None:
    document = yaml.safe_load((ROOT / "stacks" / "Pulumi.dev.yaml").read_text())
    document["config"]["modelberth:services"]["chat"]["contxt"] = 1
    document["config"]["modelberth:bases"] = "base.yaml"
    assert len(objections(document, OF_BASES)) == 2


@pytest.mark.parametrize("name", ["stacks/Pulumi.engines.yaml", "tests/golden/secrets/Pulumi.secrets.yaml"])
def test_the_stack_files_of_the_project_are_valid(name: str) -> None:
    assert objections(yaml.safe_load((ROOT / name).read_text())) == []


def test_settings_of_other_packages_are_none_of_its_business() -> None:
    document = secrets()
    document["config"]["aws:region"] = "us-east-1"
    assert objections(document) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("contxt", 1), ("context", "32k"), ("context", 0), ("quantization", "int3"), ("token", "hf_plain")],
)
def test_a_bad_field_is_marked_in_the_editor(key: str, value: Any) -> None:
    document = secrets()
    document["config"]["modelberth:services"]["claimed"][key] = value
    assert objections(document)


def test_a_misspelt_key_of_the_package_is_marked_in_the_editor() -> None:
    document = secrets()
    document["config"]["modelberth:pool"] = {}
    assert objections(document)
