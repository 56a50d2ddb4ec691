"""What the SDKs' types do not tell, read from the tables beside this module.

`gcp.yaml` and `aws.yaml` are written by hand: names, ids, outputs, references. `gcp_schema.yaml` and `aws_schema.yaml`
hold what the official providers' own schemas say: what replaces, which values are allowed, what excludes what.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Name:
    """How a resource gets its physical name."""

    property: str = "name"
    auto: bool = True
    """Whether the provider makes one up from the logical name when the program gives none."""
    longest: int = 63
    pattern: str = ""
    separator: str = "-"
    prefix: str = ""
    lower: bool = False
    """Whether a made-up name is written in lower case."""


@dataclass(frozen=True)
class Reference:
    """An input that names another object, which must exist."""

    to: str
    by: tuple[str, ...] = ("id",)
    """The outputs of the other object of which the input holds one."""
    unless: str = ""
    """A pattern of values that name nothing which somebody could have made here, as policies of the cloud's own."""
    holds: bool = False
    """Whether the other object cannot be deleted while this one exists."""
    falls: bool = False
    """Whether this object goes when the other one is deleted."""


@dataclass(frozen=True)
class Rules:
    """All that is known of one resource type."""

    id: str
    name: Name | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    replace: frozenset[str] = frozenset()
    """Paths of inputs whose change replaces; below an object only where that is named itself."""
    computed: frozenset[str] = frozenset()
    """Paths that the cloud fills in: leaving such an input out after it was given changes nothing."""
    delete_first: bool = False
    """Whether a replacement deletes the old object before it makes the new one, whatever its name."""
    volatile: tuple[str, ...] = ()
    """Outputs that an update changes."""
    idempotent: bool = False
    """Whether making it a second time is no error."""
    remains: bool = False
    """Whether its name stays taken when it is deleted."""
    defaults: dict[str, Any] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, list[float | None]] = field(default_factory=dict)
    excludes: list[list[str]] = field(default_factory=list)
    """Sets of paths of which at most one may be given."""
    values_of: dict[str, str] = field(default_factory=dict)
    """Path -> a named shape of the AWS service models whose values it takes."""
    one_of: list[list[str]] = field(default_factory=list)
    """Sets of paths of which exactly one must be given, where what they lie in is given."""
    together: list[list[str]] = field(default_factory=list)
    """Pairs: the first needs the second."""
    protected_by: list[str] = field(default_factory=list)
    """Inputs that keep an object from being deleted while they are true."""
    operation: str = ""
    """The operation of the AWS API that makes it, as `eks.CreateCluster`, and where in its request the inputs lie."""
    members: dict[str, str] = field(default_factory=dict)
    """Input -> member of that operation's request, where the names differ in more than case."""


class UnknownResourceError(Exception):
    """The stand-in has no row for a type."""


@functools.cache
def document(name: str) -> dict[str, Any]:
    """One of the files, as `gcp`; empty when there is none of that name."""
    file = HERE / f"{name}.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), loader) if file.is_file() else {}  # noqa: S506 (a safe loader)


@functools.cache
def _tables(package: str) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for name in (f"{package}_schema", package):
        for token, row in document(name).get("types", {}).items():
            held = merged.setdefault(token, {})
            for key, value in row.items():
                old = held.get(key)
                if isinstance(old, list):
                    held[key] = [*old, *value]
                elif isinstance(old, dict):
                    held[key] = {**old, **value}
                else:
                    held[key] = value
    return merged


@functools.cache
def rules(token: str) -> Rules:
    """The row of a type; raises UnknownResourceError when the stand-in does not know it."""
    package = token.partition(":")[0]
    row = _tables(package).get(token)
    if row is None or "id" not in row:
        raise UnknownResourceError(
            f"the stand-in for {package} does not know {token}: add a row to tests/providers/{package}.yaml"
        )
    row = dict(row)
    name = row.pop("name", None)
    references = {path: _reference(**each) for path, each in row.pop("references", {}).items()}
    for key in ("replace", "computed"):
        row[key] = frozenset(row.get(key, []))
    return Rules(**row, name=Name(**name) if name else None, references=references)


def _reference(to: str, by: str | list[str] = "id", **more: Any) -> Reference:
    return Reference(to, (by,) if isinstance(by, str) else tuple(by), **more)


def steps(path: str) -> str:
    """A path with its indices left out: `taints[0].key` as `taints[*].key`."""
    return re.sub(r"\[\d+\]", "[*]", path)
