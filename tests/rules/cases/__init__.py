"""Examples of every rule: what is there, and what the rule says about it. One module per module of rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from modelberth.resources import Options, Resource
from modelberth.rules.base import Profile

Seen = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """One example. ``red`` is a part of what the rule says; None: it is silent.

    ``there`` are Kubernetes manifests, or (type token, inputs) of other resources, all of one stack. ``boundary`` is
    set on both of a pair that lie one step apart. ``undecided`` means that the finding is a doubt. ``says`` completes
    "test that ...".
    """

    rule: str
    says: str
    there: tuple[Mapping[str, Any] | Seen, ...]
    red: str | None = None
    undecided: bool = False
    advice: bool = False
    boundary: bool = False
    profile: Profile = Profile.PROD
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=Options)

    @property
    def resources(self) -> tuple[Resource, ...]:
        return tuple(_resource(each, index, self.options) for index, each in enumerate(self.there))

    def __str__(self) -> str:
        return f"{self.rule}-{self.says.replace(' ', '-')}"


def type_of(manifest: Mapping[str, Any]) -> str:
    """The type token that Pulumi gives to a manifest."""
    version = str(manifest.get("apiVersion", "v1"))
    return f"kubernetes:{version if '/' in version else f'core/{version}'}:{manifest.get('kind', '')}"


def _resource(each: Mapping[str, Any] | Seen, index: int, options: Options) -> Resource:
    type_, properties = each if isinstance(each, tuple) else (type_of(each), each)
    name = f"r{index}"
    urn = f"urn:pulumi:dev::project::{type_}::{name}"
    return Resource(type_, name, properties, urn, options)


def every() -> Iterator[Case]:
    """All cases, module by module."""
    for module in sorted(iter_modules(__path__), key=lambda each: each.name):
        yield from import_module(f"{__name__}.{module.name}").CASES
