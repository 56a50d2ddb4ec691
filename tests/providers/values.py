"""Property values as they travel between the engine and a provider, and paths into them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format, struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine sends for a string that is not known yet."""
UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a boolean
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # a list
        "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    }
)
SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key of an object that is no plain object: an asset, an archive, a secret."""
DEFAULTS = "__defaults"
"""Key under which a bridged provider lists the inputs that it filled in itself."""


def unknown(value: Any) -> bool:
    """Whether a value is not known yet."""
    return isinstance(value, str) and value in UNKNOWNS


def contains_unknown(value: Any) -> bool:
    """Whether anything in a value is not known yet."""
    if isinstance(value, dict):
        return any(map(contains_unknown, value.values()))
    if isinstance(value, list):
        return any(map(contains_unknown, value))
    return unknown(value)


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Plain values; whole numbers become int, nulls are dropped from objects."""
    return _plain(json_format.MessageToDict(struct))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def to_struct(values: dict[str, Any]) -> struct_pb2.Struct:
    """Values for the wire."""
    struct = struct_pb2.Struct()
    json_format.ParseDict(values, struct)
    return struct


def at(value: Any, path: str) -> list[Any]:
    """What lies at a path like `nodeConfig.taints[*].key`; `[*]` stands for every item of a list."""
    found = [value]
    for step in path.split("."):
        key, starred = step.removesuffix("[*]"), step.endswith("[*]")
        found = [each[key] for each in found if isinstance(each, dict) and each.get(key) is not None]
        if starred:
            found = [item for each in found for item in (each if isinstance(each, list) else [each])]
    return found


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves and subtrees that differ, each as path, old and new value; None for what is not there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key != DEFAULTS:
                yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before, after = (each[index] if index < len(each) else None for each in (old, new))
            yield from differences(before, after, f"{path}[{index}]")
    elif old != new:
        yield path, old, new
