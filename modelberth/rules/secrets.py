"""No credential in plain sight."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise

from modelberth.findings import Finding
from modelberth.node import Node
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, undecided
from modelberth.rules.credentials import (
    Naming,
    flag_named,
    in_text,
    is_credential,
    naming,
    shape,
)

_ID = "WH-15"
_REMEDY = "a Secret: valueFrom.secretKeyRef, or a file that is mounted; and replace this credential, it has been seen"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_HOLDS_SECRETS = frozenset({"data", "stringData"})
_DEPTH = 40
_CHARTS = "helm.sh"
"""Values of a chart usually become a Secret: there is no other way to hand it one."""
_LISTS = {"env": "the variables", "httpHeaders": "the headers"}
"""Fields of containers that are lists of names and values."""
_HEADERS = frozenset({"authorization", "api-key", "x-api-key"})


def _check(resource: Resource, _: Settings) -> Iterator[Finding]:
    if not resource.is_kubernetes or resource.group == _CHARTS:
        return
    for name, value in resource.node.items():
        if resource.kind == "Secret" and name in _HOLDS_SECRETS:
            continue
        if name == "status":
            continue
        if resource.kind == "ConfigMap" and name in ("data", "binaryData"):
            yield from _named_texts(value)
        else:
            yield from _within(value, name, _DEPTH)


def _within(node: Node, key: str, depth: int) -> Iterator[Finding]:
    """Everything below a field: variables and command lines as what they are, any other text by its shape."""
    value = node.value
    if depth == 0:
        return
    if node.unknown and key in _LISTS and "[" in node.path:
        yield undecided(_ID, f"whether {_LISTS[key]} hold a credential in plain sight", node, _REMEDY)
    elif key == "env" and isinstance(value, list | tuple):
        yield from _variables(node, depth)
    elif key == "httpHeaders" and isinstance(value, list | tuple):
        yield from _headers(node)
    elif key in ("args", "command") and isinstance(value, list | tuple):
        yield from _command_line(node)
    elif key in ("annotations", "labels"):
        yield from _marks(node)
    elif isinstance(value, Mapping):
        for name, inner in node.items():
            yield from _within(inner, name, depth - 1)
    elif isinstance(value, list | tuple):
        for element in node.elements():
            yield from _within(element, "", depth - 1)
    elif node.unknown and naming(key) is Naming.SURELY:
        yield undecided(_ID, "whether the field holds a credential in plain sight", node, _REMEDY)
    elif seen := shape(node.text()):
        yield _finding(node, f"holds {seen} in plain sight")
    elif naming(key) is Naming.SURELY and is_credential(node.text(), Naming.MAYBE):
        yield _finding(node, "is named like a credential and holds one in plain sight")


def _variables(env: Node, depth: int) -> Iterator[Finding]:
    for entry in env.elements():
        value = entry["value"]
        called = naming(entry["name"].text())
        if entry.unknown:
            yield undecided(_ID, "whether the variable holds a credential in plain sight", entry, _REMEDY)
            continue
        if value.unknown and called is Naming.SURELY:
            yield undecided(_ID, "whether the variable holds a credential in plain sight", value, _REMEDY)
        elif seen := shape(value.text()):
            yield _finding(value, f"the variable holds {seen} in plain sight")
        elif is_credential(value.text(), called):
            yield _finding(value, "the variable is named like a credential and holds one in plain sight")
        elif in_text(value.text()):
            yield _finding(value, "the variable holds a credential in plain sight")
        for name, inner in entry.items():
            if name not in ("name", "value"):
                yield from _within(inner, name, depth - 1)


def _headers(headers: Node) -> Iterator[Finding]:
    for header in headers.elements():
        value = header["value"]
        if header.unknown:
            yield undecided(_ID, "whether the header holds a credential in plain sight", header, _REMEDY)
            continue
        called = Naming.SURELY if header["name"].text().lower() in _HEADERS else Naming.NO
        if value.unknown and called is Naming.SURELY:
            yield undecided(_ID, "whether the header holds a credential in plain sight", value, _REMEDY)
        elif shape(value.text()) or in_text(value.text()) or is_credential(value.text().split(" ")[-1], called):
            yield _finding(value, "the header holds a credential in plain sight")


def _command_line(words: Node) -> Iterator[Finding]:
    each = list(words.elements())
    told: set[str] = set()
    for flag, value in pairwise(each):
        called = flag_named(flag.text())
        if called is Naming.NO:
            continue
        if value.unknown and called is Naming.SURELY:
            yield undecided(_ID, "whether the command line holds a credential in plain sight", value, _REMEDY)
        elif not value.text().startswith("-") and (shape(value.text()) or is_credential(value.text(), called)):
            told.add(value.path)
            yield _finding(value, "the command line holds a credential in plain sight: every process list shows it")
    for word in each:
        seen = shape(word.text()) or in_text(word.text())
        if word.path not in told and seen:
            yield _finding(word, "the command line holds a credential in plain sight: every process list shows it")


def _named_texts(data: Node) -> Iterator[Finding]:
    """The entries of a ConfigMap: each is a variable for whoever imports it, or a file."""
    for name, value in data.items():
        called = naming(name)
        if value.unknown and not data.unknown and called is Naming.SURELY:
            yield undecided(_ID, "whether the entry holds a credential in plain sight", value, _REMEDY)
        elif seen := shape(value.text()):
            yield _finding(value, f"holds {seen} in plain sight: a ConfigMap hides nothing")
        elif is_credential(value.text(), called) or in_text(value.text()):
            yield _finding(value, "holds a credential in plain sight: a ConfigMap hides nothing")


def _marks(marks: Node) -> Iterator[Finding]:
    for name, value in marks.items():
        if name == _LAST_APPLIED:
            yield from _applied(value)
            continue
        called = naming(name.rpartition("/")[2])
        if value.unknown and not marks.unknown and called is Naming.SURELY:
            yield undecided(_ID, "whether the field holds a credential in plain sight", value, _REMEDY)
            continue
        seen = shape(value.text()) or (called is Naming.SURELY and is_credential(value.text(), Naming.MAYBE))
        if seen or in_text(value.text()):
            yield _finding(value, "holds a credential in plain sight")


def _applied(annotation: Node) -> Iterator[Finding]:
    """The whole object once more, as kubectl left it; a Secret's own data too, which it does not hide."""
    try:
        whole = json.loads(annotation.text())
    except (ValueError, RecursionError):
        whole = None
    again = Node(whole, "")
    hides_nothing = again["kind"].text() == "Secret" and any(again[name].names() for name in _HOLDS_SECRETS)
    if hides_nothing or any(True for _ in _within(again, "", _DEPTH)):
        yield _finding(annotation, "repeats a credential in plain sight")


def _finding(node: Node, message: str) -> Finding:
    return Finding(_ID, node.path, message, _REMEDY)


HIDDEN = Rule(
    id=_ID,
    name="no-credential-in-plain-sight",
    title="No credential lies in plain sight",
    question="whether a credential lies in plain sight",
    why="Whoever may read pods reads their variables, arguments and annotations, and so does every log of a "
    "deployment. A value that Pulumi keeps secret is plain text here too.",
    remediation="Keep it in a Secret, by secretKeyRef or as a mounted file, and replace what was seen.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="CKV_K8S_35 of checkov, env-var-secret of kube-linter, sensitiveContainerEnvVar of Polaris; "
    "C-0012 of Kubescape",
    check=_check,
)
RULES: tuple[Rule, ...] = (HIDDEN,)
