"""Stacks that are silent, and the changes of one field that the table lists."""

from __future__ import annotations

import copy
import re
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
CLOUD = ("gke", "eks", "edge", "zones")
_SHORT = {
    "C": "spec.template.spec.containers[0]",
    "P": "spec.template.spec",
    "L": "spec.leaderWorkerTemplate.leaderTemplate.spec.containers[0]",
}
_STEP = re.compile(r'\.?([A-Za-z_][\w-]*)|\[(\d+)\]|\["([^"]+)"\]')
_IN_PRODUCTION = frozenset({"8b-three-times", "405b-on-two-nodes", "exposed", "gke", "eks", "edge"})
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
    """Every golden stack on a cluster that exists, and the cloud stacks.

    Of a golden that makes a cluster the recorder knows no outputs: what follows from them, such as an account, is
    missing there. Such stacks are met with silence under the engine, in tests/engine.
    """
    recorded = {path.parent.name: path.read_text() for path in GOLDEN.glob("*/resources.yaml")}
    here = (name for name, text in recorded.items() if "\ntype: gcp:" not in text and "\ntype: aws:" not in text)
    return (*sorted(here), *CLOUD)


def stack(name: str) -> list[Resource]:
    """The resources of a stack, fresh."""
    return [_resource(each) for each in copy.deepcopy(_registered(name))]


def _seconds(text: str) -> float:
    """A time as options state it: 90s, or 60m."""
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def _resource(each: dict[str, Any]) -> Resource:
    timeouts = {name: _seconds(str(value)) for name, value in each.get("timeouts", {}).items()}
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


@cache
def policy_of(name: str) -> PolicyFile:
    """The configuration under which a stack is silent: its own profile, and what its file states beside it."""
    thresholds = {} if name not in CLOUD else _read(HERE / "stacks" / f"{name}.yaml").get("thresholds", {})
    return PolicyFile(Profile.PROD if name in _IN_PRODUCTION else Profile.DEV, thresholds=thresholds)


def judged(name: str, resources: list[Resource]) -> list[Verdict]:
    """What the pack says about a stack, or a changed one."""
    return judge_all(resources, policy_of(name))
