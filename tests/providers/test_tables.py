"""The tables say nothing of properties that the installed SDKs do not have."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.providers import requests, sdk_types
from tests.providers.tables import Rules, document, rules

TOKENS = [token for package in ("gcp", "aws") for token in document(package)["types"]]


def paths(row: Rules) -> set[str]:
    """Every path of an input that a row names."""
    named = {*row.replace, *row.computed, *row.values, *row.patterns, *row.ranges, *row.references, *row.protected_by}
    named |= {*row.defaults, *row.values_of, *row.members}
    for sets in (row.excludes, row.one_of, row.together):
        named |= {path for each in sets for path in each}
    return named | ({row.name.property} if row.name else set())


def resolved(types: dict[str, Any], path: str) -> bool:
    """Whether the SDK's inputs have a path."""
    properties = types["inputs"]
    for step in path.split("."):
        if step == "*":
            continue
        found = properties.get(step.removesuffix("[*]"))
        if found is None:
            return False
        type_ = found["type"]
        if step.endswith("[*]"):
            if not (isinstance(type_, dict) and "list" in type_):
                return False
            type_ = type_["list"]
        elif isinstance(type_, dict) and "list" in type_:
            type_ = type_["list"]
        properties = types["objects"].get(type_["object"], {}) if isinstance(type_, dict) and "object" in type_ else {}
    return True


@pytest.mark.parametrize("token", TOKENS)
def test_every_path_of_a_row_is_an_input_of_the_sdk(token: str) -> None:
    types = sdk_types.resource(token)
    assert sorted(path for path in paths(rules(token)) if not resolved(types, path)) == []


@pytest.mark.parametrize("token", TOKENS)
def test_every_output_of_a_row_is_one_of_the_sdk(token: str) -> None:
    assert sorted(rules(token).outputs.keys() - sdk_types.resource(token)["outputs"].keys()) == []


@pytest.mark.parametrize("token", TOKENS)
def test_every_operation_and_every_reference_of_a_row_exists(token: str) -> None:
    row = rules(token)
    assert all(rules(reference.to) for reference in row.references.values())
    assert requests.failures({}, row) == []


def test_every_source_is_of_a_type_and_names_a_file_at_a_commit() -> None:
    sources = document("aws")["sources"]
    assert sorted(sources.keys() - set(TOKENS)) == []
    assert [each for each in sources.values() if not re.match(r"internal/service/\S+\.go@[0-9a-f]{12}\b", each)] == []


def test_no_type_of_the_schemas_lacks_a_row() -> None:
    listed = document("gcp_schema")["types"]
    assert sorted(listed.keys() - set(TOKENS)) == []
