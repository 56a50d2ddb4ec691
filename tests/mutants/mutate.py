"""Stacks, changes of one field, and which fields rules read."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from modelberth.policyfile import PolicyFile
from modelberth.resources import Options, Resource
from modelberth.rules.base import Profile
from modelberth.verdicts import Verdict, judge_all

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
CLOUD = ("gke", "eks")
_SHORT = {
    "C": "spec.template.spec.containers[0]",
    "P": "spec.template.spec",
    "L": "spec.leaderWorkerTemplate.leaderTemplate.spec.containers[0]",
}
_STEP = re.compile(r'\.?([A-Za-z_][\w-]*)|\[(\d+)\]|\["([^"]+)"\]')
_IN_PRODUCTION = frozenset({"8b-three-times", "405b-on-two-nodes", "exposed", *CLOUD})
"""Stacks with several replicas, digests and revisions; the others are plans for development."""


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@cache
def _registered(name: str) -> tuple[dict[str, Any], ...]:
    """What a stack registers, as recorded or as written down."""
    if name not in CLOUD:
        return tuple(yaml.safe_load_all((GOLDEN / name / "resources.yaml").read_text()))
    document = _read(HERE / "stacks" / f"{name}.yaml")
    below = _registered(document["with"]) if "with" in document else ()
    return (*below, *document["resources"])


@cache
def names() -> tuple[str, ...]:
    """Every golden stack with its resources, and the cloud stacks."""
    return (*sorted(path.parent.name for path in GOLDEN.glob("*/resources.yaml")), *CLOUD)


def stack(name: str) -> list[Resource]:
    """The resources of a stack, fresh."""
    return [_resource(each) for each in copy.deepcopy(_registered(name))]


def _resource(each: dict[str, Any]) -> Resource:
    timeouts = {name: float(str(value).removesuffix("s")) for name, value in each.get("timeouts", {}).items()}
    options = Options(
        protect=bool(each.get("protect", False)),
        create_timeout_s=timeouts.get("create"),
        update_timeout_s=timeouts.get("update"),
        provider=f"urn:pulumi:prod::project::{each.get('provider', 'pulumi:providers:gcp::explicit')}",
    )
    options = replace(options, **each.get("options", {}))
    urn = f"urn:pulumi:prod::project::{each['type']}::{each['name']}"
    return Resource(each["type"], each["name"], each["inputs"], urn, options, parent=each.get("parent", ""))


@dataclass(frozen=True)
class Change:
    """One entry of the table."""

    entry: dict[str, Any]

    @property
    def rule(self) -> str:
        """The rule that must notice."""
        return self.entry["rule"]

    @property
    def stack(self) -> str:
        """The stack that is changed."""
        return self.entry["stack"]

    def __str__(self) -> str:
        return f"{self.rule} {self.entry['stack']}: {self.entry['what']}"

    def applied(self) -> list[Resource]:
        """The stack with this change. Raises where it changes nothing: a mutation of nothing proves nothing."""
        resources = stack(self.entry["stack"])
        for entry in (self.entry, *([self.entry["with"]] if "with" in self.entry else ())):
            resources = _changed(resources, entry)
        return resources


def table() -> tuple[Change, ...]:
    """Every entry, in order."""
    return tuple(Change(entry) for entry in _read(HERE / "table.yaml"))


def _changed(resources: list[Resource], entry: dict[str, Any]) -> list[Resource]:
    (place,) = [index for index, each in enumerate(resources) if each.name == entry["resource"] and _matches(each)]
    old = resources[place]
    if entry.get("remove"):
        return [*resources[:place], *resources[place + 1 :]]
    before = copy.deepcopy(old.properties)
    if "path" in entry:
        _set(old.properties, entry)
    options = replace(old.options, **entry.get("options", {}))
    new = replace(old, type=entry.get("type", old.type), options=options)
    assert before != new.properties or options != old.options, f"nothing is changed by: {entry}"
    return [*resources[:place], new, *resources[place + 1 :]]


def _matches(resource: Resource) -> bool:
    return not resource.type.startswith(("modelberth:", "pulumi:"))


def _set(properties: Any, entry: dict[str, Any]) -> None:
    *way, last = steps(entry["path"])
    place = properties
    for step in way:
        place = place[step]
    if entry.get("drop"):
        del place[last]
    elif "to" in entry:
        place[last] = entry["to"]
    elif "add" in entry:
        place[last] = [*place[last], *entry["add"]]
    elif "without" in entry:
        at = place[last].index(entry["without"])
        place[last] = place[last][:at] + place[last][at + 2 :]
    else:
        flag, value = entry["argument"]
        place[last][place[last].index(flag) + 1] = value


def steps(path: str) -> list[str | int]:
    """A path as keys and indices."""
    first, rest = path[:1], path[1:]
    if first in _SHORT and (not rest or rest[0] in ".["):
        path = _SHORT[first] + rest
    return [int(number) if number else name or quoted for name, number, quoted in _STEP.findall(path)]


def judged(name: str, resources: list[Resource]) -> list[Verdict]:
    """What the pack says about a stack, or a changed one, in its own profile."""
    return judge_all(resources, PolicyFile(Profile.PROD if name in _IN_PRODUCTION else Profile.DEV))


# --- fields that rules read, and what may be wrong with them


Way = tuple[str | int, ...]


class _Fields(dict[str, Any]):
    """A mapping that remembers which of its values were read."""

    def __init__(self, content: dict[str, Any], way: Way, seen: set[Way]) -> None:
        super().__init__({key: _traced(value, (*way, key), seen) for key, value in content.items()})
        self._way, self._seen = way, seen

    def get(self, key: Any, default: Any = None) -> Any:
        if key in self:
            self._seen.add((*self._way, key))
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self._seen.add((*self._way, key))
        return super().__getitem__(key)


class _Elements(list[Any]):
    """A list that remembers that it was read."""

    def __init__(self, content: list[Any], way: Way, seen: set[Way]) -> None:
        super().__init__(_traced(value, (*way, index), seen) for index, value in enumerate(content))
        self._way, self._seen = way, seen

    def __iter__(self) -> Iterator[Any]:
        self._seen.update((*self._way, index) for index in range(len(self)))
        return super().__iter__()


def _traced(value: Any, way: Way, seen: set[Way]) -> Any:
    if isinstance(value, dict):
        return _Fields(value, way, seen)
    return _Elements(value, way, seen) if isinstance(value, list) else value


@dataclass(frozen=True)
class Mutant:
    """A stack with one scalar that rules read dropped or changed."""

    stack: str
    resource: str
    way: Way
    how: str

    def __str__(self) -> str:
        return f"{self.stack} {self.resource} {spelled(self.way)} {self.how}"

    def applied(self) -> list[Resource]:
        """The stack with this change."""
        resources = stack(self.stack)
        (about,) = [each for each in resources if each.urn == self.resource]
        place: Any = about.properties
        for step in self.way[:-1]:
            place = place[step]
        last = self.way[-1]
        if self.how == "dropped":
            del place[last]
        else:
            place[last] = _other(place[last])
        return resources


def spelled(way: Way) -> str:
    """A way as people write it, without indices: what the same field is called everywhere."""
    return ".".join(str(step) for step in way if isinstance(step, str))


def read_fields(name: str) -> dict[str, set[Way]]:
    """The scalars of a stack that rules read, by URN."""
    seen: dict[str, set[Way]] = {}
    resources = []
    for each in stack(name):
        ways = seen.setdefault(each.urn, set())
        resources.append(replace(each, properties=_traced(each.properties, (), ways)))
    judged(name, resources)
    scalars = {each.urn: set(_scalars(each.properties, ())) for each in stack(name)}
    return {urn: ways & scalars[urn] for urn, ways in seen.items()}


def _scalars(value: Any, way: Way) -> Iterator[Way]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _scalars(each, (*way, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _scalars(each, (*way, index))
    elif value is not None:
        yield way


def mutants(name: str) -> Iterator[Mutant]:
    """Each scalar that rules read, dropped and changed."""
    for urn, ways in read_fields(name).items():
        for way in sorted(ways, key=str):
            yield Mutant(name, urn, way, "dropped")
            yield Mutant(name, urn, way, "changed")


def _other(value: Any) -> Any:
    """Another value of the same type: a boolean turned, a number brought to nothing, a text misspelt."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return 0
    return "0" if re.fullmatch(r"\d+", value) else f"{value}x"
