"""Whether inputs are what the official provider takes: types from the SDK, the rest from the tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.providers import requests
from tests.providers.failures import Failure
from tests.providers.tables import Rules
from tests.providers.values import DEFAULTS, SIGNATURE, at, unknown


def inputs(values: dict[str, Any], types: dict[str, Any], rules: Rules | None = None) -> list[Failure]:
    """All that is wrong with the inputs of a resource; `types` are those of `sdk_types.resource`."""
    given = {key: value for key, value in values.items() if key != DEFAULTS}
    failures = list(_object(given, types["inputs"], types["objects"], ""))
    if rules is not None and not failures:
        failures = list(_ruled(given, rules))
        failures += requests.failures(given, rules)
    return failures


def _object(value: dict[str, Any], properties: dict[str, Any], objects: dict[str, Any], path: str) -> Iterator[Failure]:
    for key, each in value.items():
        here = f"{path}.{key}" if path else key
        if key not in properties:
            close = _closest(key, properties)
            yield Failure(here, f"unexpected property{f', did you mean {close}?' if close else ''}")
        else:
            yield from _value(each, properties[key]["type"], objects, here)
    for key, each in properties.items():
        if each["required"] and value.get(key) is None:
            yield Failure(f"{path}.{key}" if path else key, "missing required property")


def _closest(key: str, properties: dict[str, Any]) -> str | None:
    def bare(word: str) -> str:
        return word.replace("_", "").lower().removesuffix("s")

    return next((each for each in properties if bare(each) == bare(key)), None)


def _value(value: Any, type_: Any, objects: dict[str, Any], path: str) -> Iterator[Failure]:
    if unknown(value) or type_ == "any" or value is None:
        return
    if isinstance(type_, str):
        if not _is(value, type_):
            yield Failure(path, f"expected {type_}, got {_described(value)}")
    elif "enum" in type_:
        if not type_.get("open") and value not in type_["enum"]:
            yield Failure(path, f"expected one of {', '.join(map(repr, type_['enum']))}, got {value!r}")
    elif "list" in type_:
        if not isinstance(value, list):
            yield Failure(path, f"expected a list, got {_described(value)}")
        else:
            for index, each in enumerate(value):
                yield from _value(each, type_["list"], objects, f"{path}[{index}]")
    elif not isinstance(value, dict) or SIGNATURE in value:
        yield Failure(path, f"expected an object, got {_described(value)}")
    elif "map" in type_:
        for key, each in value.items():
            yield from _value(each, type_["map"], objects, f"{path}.{key}")
    else:
        yield from _object(value, objects[type_["object"]], objects, path)


def _is(value: Any, type_: str) -> bool:
    if type_ == "asset":
        return isinstance(value, dict) and SIGNATURE in value
    if type_ in ("int", "float"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (type_ == "float" or float(value).is_integer())
    return isinstance(value, {"str": str, "bool": bool}[type_])


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return f"{type(value).__name__} {value!r}"


def _ruled(values: dict[str, Any], rules: Rules) -> Iterator[Failure]:
    for path, allowed in rules.values.items():
        for each in at(values, path):
            if not unknown(each) and each not in allowed:
                yield Failure(path, f"expected one of {', '.join(map(repr, allowed))}, got {each!r}")
    for path, pattern in rules.patterns.items():
        for each in at(values, path):
            if not unknown(each) and not re.search(pattern, str(each)):
                yield Failure(path, f"{each!r} does not match {pattern}")
    for path, (least, most) in rules.ranges.items():
        for each in at(values, path):
            if unknown(each):
                continue
            if (least is not None and each < least) or (most is not None and each > most):
                yield Failure(path, f"expected {_between(least, most)}, got {each}")
    for paths in rules.excludes:
        given = [path for path in paths if _given(values, path) and not _is_off(at(values, path))]
        if len(given) > 1:
            yield Failure(given[0], f"conflicts with {', '.join(given[1:])}")
    for paths in rules.one_of:
        if not _given(values, _common(paths)):
            continue
        given = [path for path in paths if _given(values, path)]
        if len(given) != 1:
            yield Failure((given or paths)[0], f"exactly one of {', '.join(paths)} must be given, not {len(given)}")
    for first, second in rules.together:
        if _given(values, first) and not _given(values, second):
            yield Failure(first, f"needs {second} too")


def _common(paths: list[str]) -> str:
    """The path of what some paths lie in."""
    shared = []
    for steps in zip(*(path.split(".")[:-1] for path in paths), strict=False):
        if len(set(steps)) > 1:
            break
        shared.append(steps[0])
    return ".".join(shared)


def _given(values: dict[str, Any], path: str) -> bool:
    if not path:
        return True
    return any(each not in ("", [], {}) for each in at(values, path))


def _is_off(found: list[Any]) -> bool:
    """Whether something is stated only to say no; zero is a number."""
    return len(found) == 1 and found[0] is False


def _between(least: float | None, most: float | None) -> str:
    if most is None:
        return f"at least {least}"
    return f"at most {most}" if least is None else f"a number from {least} to {most}"
