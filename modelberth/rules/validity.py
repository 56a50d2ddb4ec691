"""What the API server takes: fields that must be there, words and figures that it knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.clouds.facts import network_of
from modelberth.findings import Finding
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import Check, Settings
from modelberth.rules.relations import resembles

_LARGEST_PORT = 65535
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_OF_A_POD = re.compile(
    r"metadata\.(name|namespace|uid|labels(\['[^']+'\])?|annotations(\['[^']+'\])?)"
    r"|spec\.(nodeName|serviceAccountName)|status\.(podIP|podIPs|hostIP|hostIPs)"
)


class FieldRule(Row):
    """What holds of one field of a kind: whether it is needed, and what it may say."""

    kind: Text
    path: Text
    needed: bool = False
    words: tuple[str, ...] = ()
    form: Literal["", "amount", "count", "field_of_pod", "port", "range"] = ""
    pattern: str = ""
    near: tuple[str, ...] = ()
    """Words that it is usually one of: another one may be right, one that is almost one of these is not."""
    rule: Text = "WH-21"


@cache
def field_rules() -> dict[str, tuple[FieldRule, ...]]:
    """Every row, by kind."""
    found: dict[str, list[FieldRule]] = {}
    for file in ("required_fields.yaml", "cloud_fields.yaml"):
        for row in read_rows(files("modelberth.catalog") / file, FieldRule):
            found.setdefault(row.kind, []).append(row)
    return {kind: tuple(rows) for kind, rows in found.items()}


def refused(rule_id: str, resource: Resource) -> Iterator[Finding]:
    """What is wrong with an object. Only in one that serves or is ours are fields missed: a patch lacks many."""
    patch = resource.kind.endswith("Patch")
    whole = bool(resource.workloads) or resource.ours or (resource.from_program and not patch)
    for row in field_rules().get(resource.kind, ()):
        yield from _held(rule_id, row, resource.node, whole=whole)
    if not whole:
        return
    for pod in resource.pods:
        if resource.ours:
            yield from _empty_variables(rule_id, pod)
        for row in field_rules()["Pod"]:
            yield from _held(rule_id, row, pod.spec, whole=True)


def beside_what_clouds_take(rule_id: str, check: Check) -> Check:
    """A check of a cloud's resource that also tells what the cloud would refuse in it."""

    def both(resource: Resource, settings: Settings) -> Iterator[Finding]:
        yield from refused_by_cloud(rule_id, resource)
        yield from check(resource, settings)

    return both


def refused_by_cloud(rule_id: str, resource: Resource) -> Iterator[Finding]:
    """The same of a cloud's resource, as far as this rule tells it."""
    for row in field_rules().get(resource.type, ()):
        if row.rule == rule_id:
            yield from _held(rule_id, row, resource.node, whole=True, by="the cloud")


def _held(rule_id: str, row: FieldRule, root: Node, *, whole: bool, by: str = "the API server") -> Iterator[Finding]:
    for node in _at(root, row.path):
        if node.unknown:
            continue
        if not node.stated or node.value in ("", [], ()):
            if row.needed and whole:
                message = f"{_last(row.path)} is needed here: {by} refuses the object"
                yield Finding(rule_id, node.path, message, f"state {_last(row.path)}")
        elif row.words and node.value not in row.words:
            known = ", ".join(word for word in row.words if word)
            yield Finding(rule_id, node.path, f"is none of the words that {by} takes here", f"one of {known}")
        elif row.form and not _IS[row.form](node):
            yield Finding(rule_id, node.path, f"is no {_SAID[row.form]}: {by} refuses it", _WANTED[row.form])
        elif row.pattern and not re.fullmatch(row.pattern, node.text()):
            yield Finding(rule_id, node.path, f"is nothing that {by} takes here", "as its documentation spells it")
        elif row.near and node.text() not in row.near and any(resembles(node.text(), each) for each in row.near):
            meant = next(each for each in row.near if resembles(node.text(), each))
            yield Finding(
                rule_id, node.path, f"is nothing that {by} is known to take here", f"{meant}, if that is meant"
            )


def _last(path: str) -> str:
    return path.removesuffix("[]").rpartition(".")[2]


def _at(root: Node, path: str) -> list[Node]:
    """The nodes of a path whose parents are stated; a star before ``containers`` means those of both lists."""
    if path.startswith("*"):
        _, _, rest = path.partition("containers")
        return [node for name in ("containers", "initContainers") for node in _at(root, name + rest)]
    found = [root]
    for step in path.split("."):
        name, every = step.removesuffix("[]"), step.endswith("[]")
        below = [node[name] for node in found if node.stated and not node.unknown]
        found = [element for node in below for element in node.elements()] if every else below
    return found


def _empty_variables(rule_id: str, pod: Pod) -> Iterator[Finding]:
    """Our components write no variable without a value."""
    for container in pod.all_containers:
        for entry in container["env"].elements():
            if entry["name"].text() and not entry["value"].stated and not entry["valueFrom"].stated:
                yield Finding(rule_id, entry.path, "the variable is set to nothing", "a value, or no entry")


def _is_count(node: Node) -> bool:
    return (node.whole() or 0) >= 1


def _is_port(node: Node) -> bool:
    number = None if isinstance(node.value, str) else node.whole()
    if number is None:
        return bool(_PORT_NAME.fullmatch(node.text())) and len(node.text()) <= 15
    return 0 < number <= _LARGEST_PORT


def _is_range(node: Node) -> bool:
    return network_of(node) is not None and "/" in node.text()


_IS: Mapping[str, Callable[[Node], bool]] = {
    "amount": lambda node: node.amount() is not None,
    "count": _is_count,
    "field_of_pod": lambda node: _OF_A_POD.fullmatch(node.text()) is not None,
    "port": _is_port,
    "range": _is_range,
}
_SAID = {
    "amount": "amount of bytes",
    "count": "whole number above 0",
    "field_of_pod": "field that a variable may hold",
    "port": "port",
    "range": "range of addresses",
}
_WANTED = {
    "amount": "a number with Mi, Gi or Ti behind it",
    "count": "1 or more",
    "field_of_pod": "metadata.name, metadata.namespace, status.podIP or another that the downward API has",
    "port": f"1 to {_LARGEST_PORT}, or the name of a port",
    "range": "a range in CIDR notation, such as 10.0.0.0/8",
}
