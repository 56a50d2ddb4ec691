"""Whether inputs fit the request that the AWS API takes: allowed values, lengths, ranges and patterns.

`aws_operations.json` holds what the service models say; `read_service_models` wrote it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.providers.failures import Failure
from tests.providers.tables import Rules
from tests.providers.values import SIGNATURE, at, unknown

FILE = Path(__file__).with_name("aws_operations.json")
SLOWEST_PATTERN = 200
"""Characters of a pattern beyond which it is not tried: those are alternatives of whole documents."""


@functools.cache
def _models() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def failures(values: dict[str, Any], rules: Rules) -> list[Failure]:
    """All in which inputs differ from what the API takes; nothing for a type that names no operation."""
    found: list[Failure] = []
    for path, name in rules.values_of.items():
        allowed = _models()["shapes"][name]["enum"]
        wrong = [each for each in at(values, path) if not unknown(each) and each not in allowed]
        found += [Failure(path, f"{each!r} is no {name}") for each in wrong]
    if rules.operation:
        operation, _, within = rules.operation.partition("/")
        shape = _models()["operations"][operation]
        for step in within.split("/") if within else ():
            shape = shape["members"][step]
        found += _object(values, shape, "", rules.members)
    return found


def _object(value: dict[str, Any], shape: dict[str, Any], path: str, names: dict[str, str]) -> Iterator[Failure]:
    members = {_bare(key): each for key, each in shape.get("members", {}).items()}
    for key, each in value.items():
        here = f"{path}.{key}" if path else key
        member = members.get(_bare(names.get(here, key))) or members.get(_bare(key).removesuffix("s"))
        if member is not None:
            yield from _value(each, member, here, names)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _value(value: Any, shape: dict[str, Any], path: str, names: dict[str, str]) -> Iterator[Failure]:
    if unknown(value):
        return
    if isinstance(value, list):
        if not _within(len(value), shape) and "item" in shape:
            yield Failure(path, f"{len(value)} items, {_limits(shape)} are allowed")
        for index, each in enumerate(value):
            yield from _value(each, shape.get("item", shape), f"{path}[{index}]", names)
    elif isinstance(value, dict):
        if SIGNATURE not in value and "members" in shape:
            yield from _object(value, shape, path, names)
    elif "enum" in shape:
        if value not in shape["enum"]:
            yield Failure(path, f"expected one of {', '.join(shape['enum'][:40])}, got {value!r}")
    elif shape.get("type") == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        if not _within(value, shape):
            yield Failure(path, f"{value} is not {_limits(shape)}")
    elif isinstance(value, str) and shape.get("type") == "string":
        if not _within(len(value), shape):
            yield Failure(path, f"{len(value)} characters, {_limits(shape)} are allowed")
        pattern = shape.get("pattern", "")
        if pattern and len(pattern) < SLOWEST_PATTERN and _matches(pattern, value) is False:
            yield Failure(path, f"{value!r} does not match {pattern}")


def _matches(pattern: str, value: str) -> bool | None:
    """Whether a value matches; None where the pattern is in a dialect that Python does not read."""
    python = pattern.replace(r"\p{L}", r"^\W\d_").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d")
    if r"\p" in python or "[[:" in python or python != pattern:
        return None
    try:
        return re.fullmatch(python.removeprefix("^").removesuffix("$"), value, re.DOTALL) is not None
    except re.error:
        return None


def _within(size: float, shape: dict[str, Any]) -> bool:
    return shape.get("min", size) <= size <= shape.get("max", size)


def _limits(shape: dict[str, Any]) -> str:
    return f"{shape.get('min', 0)} to {shape['max']}" if "max" in shape else f"at least {shape.get('min', 0)}"
