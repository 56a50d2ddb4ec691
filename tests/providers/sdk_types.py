"""The input and output types of a resource, read off the installed SDK by reflection.

Importing an SDK's submodule takes up to a second, so what was read is kept in a file beside the toolchain's cache,
named after the SDK's version and a digest of this module. A type is JSON:

- `"str"`, `"int"`, `"float"`, `"bool"`, `"any"`, `"asset"`;
- `{"enum": [...]}`, with `"open": true` when any other string is accepted too;
- `{"list": type}`, `{"map": type}`, `{"object": name}` with the name's entry in the `objects` of the resource.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import os
import typing
import warnings
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from toolchain.parts import cache

Type = Any
PRIMITIVES: dict[Any, str] = {str: "str", int: "int", float: "float", bool: "bool", Any: "any"}


class UnknownTypeError(Exception):
    """The installed SDK has no such resource."""


@functools.cache
def version(package: str) -> str:
    """The version of an SDK that is installed, as in `10.2.0`."""
    return importlib.metadata.version(f"pulumi_{package}")


@functools.cache
def resource(token: str) -> dict[str, Any]:
    """What the SDK says of a resource: `inputs`, `outputs` and the `objects` that they are made of.

    Raises UnknownTypeError for a token that the SDK does not have.
    """
    package = token.rpartition(":")[2] if token.startswith("pulumi:providers:") else token.partition(":")[0]
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    directory = cache() / f"sdk-types-{package}-{version(package)}-{digest}"
    file = directory / (token.replace("/", "_").replace(":", "__") + ".json")
    if file.is_file():
        return json.loads(file.read_text())
    found = reflect(token)
    directory.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(found))
    partial.rename(file)
    return found


def reflect(token: str) -> dict[str, Any]:
    """What `resource` returns, always read from the SDK itself."""
    resource_class, arguments = _classes(token)
    objects: dict[str, Any] = {}
    inputs = _object(arguments, objects)
    from pulumi import _types

    outputs = {
        name: _type(hint, objects) for name, hint in _types._raw_return_hints(resource_class).items() if name != "urn"
    }
    return {"inputs": inputs, "outputs": outputs, "objects": objects}


def _classes(token: str) -> tuple[type, type]:
    """The resource's class and that of its arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if token.startswith("pulumi:providers:"):
            module = importlib.import_module(f"pulumi_{token.rpartition(':')[2]}.provider")
            return module.Provider, module.ProviderArgs
        package, path, _ = token.split(":")
        importlib.import_module(f"pulumi_{package}")
        from pulumi.runtime import rpc

        for registered in rpc._RESOURCE_MODULES.get(f"{package}:{path}", []):
            described: dict[str, Any] = vars(registered)["mod_info"]
            if name := described["classes"].get(token):
                found = getattr(importlib.import_module(described["fqn"]), name)
                module = importlib.import_module(found.__module__)
                return found, getattr(module, next(each for each in module.__all__ if each.endswith("Args")))
    raise UnknownTypeError(f"pulumi-{package} {version(package)} has no resource {token}")


def _object(cls: type, objects: dict[str, Any]) -> dict[str, Any]:
    """The properties of a class of arguments: wire name -> type and whether it is required."""
    from pulumi import _types

    hints = _types._raw_return_hints(cls)
    names = _types.input_type_py_to_pulumi_names(cls)
    required = {
        names.get(parameter.name, parameter.name)
        for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if parameter.default is inspect.Parameter.empty
    }
    return {name: {"type": _type(hint, objects), "required": name in required} for name, hint in hints.items()}


def _type(hint: Any, objects: dict[str, Any]) -> Type:
    from pulumi import Archive, Asset, Output, _types

    if hint in PRIMITIVES:
        return PRIMITIVES[hint]
    wrappers = (Output, Awaitable)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in wrappers:
        return _type(arguments[0], objects)
    if origin in (typing.Union, UnionType):
        plain = [each for each in arguments if each is not NoneType and typing.get_origin(each) not in wrappers]
        return _union([_type(each, objects) for each in plain])
    if origin in (Sequence, list):
        return {"list": _type(arguments[0], objects)}
    if origin in (Mapping, dict):
        return {"map": _type(arguments[1], objects)}
    if inspect.isclass(hint):
        if issubclass(hint, enum.Enum):
            return {"enum": [each.value for each in hint]}
        if issubclass(hint, Asset | Archive):
            return "asset"
        if _types.is_input_type(hint) or _types.is_output_type(hint):
            name = f"{hint.__module__}.{hint.__qualname__}"
            if name not in objects:
                objects[name] = {}
                objects[name] = (
                    _object(hint, objects)
                    if _types.is_input_type(hint)
                    else {
                        key: {"type": _type(each, objects), "required": False}
                        for key, each in _types._raw_return_hints(hint).items()
                    }
                )
            return {"object": name}
    return "any"


def _union(members: list[Type]) -> Type:
    """One type for a union: an enum that also takes strings is open, anything else mixed is any."""
    distinct = [each for index, each in enumerate(members) if each not in members[:index]]
    if len(distinct) == 1:
        return distinct[0]
    enums = [each for each in distinct if isinstance(each, dict) and "enum" in each]
    if len(enums) == 1 and all(each == "str" or each in enums for each in distinct):
        return {**enums[0], "open": True}
    return "asset" if set(map(str, distinct)) == {"asset"} else "any"
