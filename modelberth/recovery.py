"""What an update that was cut off has left in the cloud and not in the state: which of it can be taken over.

An engine that is killed leaves pending operations, a provider that dies leaves nothing; the cloud may have done what
was asked all the same. So the cloud is asked what exists, by commands that a person runs, and what surely is this
stack's goes into a file for ``pulumi import --file``. What may be somebody else's is left alone and named.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any, cast

from modelberth.clouds.live import CLUSTER, NAMESPACE, Live, live
from modelberth.findings import Finding, Level
from modelberth.interrupted import Left, Recorded, elements, metadata_of
from modelberth.node import fields_of

LABEL = "modelberth-stack"
"""The label, the tag or the word in a description that says which stack something belongs to."""
_MADE_UP = re.compile(r"(?P<stem>.+-)[0-9a-f]{7,8}")
"""A name that a provider made up: the logical name, a hyphen, seven or eight hexadecimal digits."""
_STACK = "pulumi:pulumi:Stack"


def mark(project: str, stack: str) -> str:
    """The value of :data:`LABEL` for a stack, as labels of all clouds may be written (at most 63 characters)."""
    return re.sub(r"[^a-z0-9_-]", "-", f"{project}-{stack}".lower())[:63]


@dataclass(frozen=True)
class Takeover:
    """Something that exists and that a resource of the program can be."""

    resource: Recorded
    id: str

    @property
    def remade(self) -> bool:
        """Whether the next update makes it anew, and deletes this one."""
        row = live(self.resource.type)
        return row is not None and row.remade


@dataclass(frozen=True)
class Recovery:
    """What to do: take over, delete by these commands, and what a person has to look at."""

    takeovers: tuple[Takeover, ...]
    deletions: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def stopping(self) -> tuple[Finding, ...]:
        """What a person has to settle before the next update."""
        return tuple(each for each in self.findings if each.level is not Level.NOTE)


Answers = Mapping[str, list[Mapping[str, Any]]]
"""Command -> the objects that it lists."""


def listed(text: str) -> list[Mapping[str, Any]]:
    """The objects of what a command printed: a JSON list, or an object with ``items``. Raises ValueError for others."""
    found: Any = json.loads(text)
    items = fields_of(found).get("items", found)
    if not isinstance(items, list):
        raise ValueError("no list")
    return [fields_of(each) for each in cast("list[Any]", items)]


def questions(found: Left) -> tuple[str, ...]:
    """The commands that list what may be left; each prints a JSON list."""
    asked = [_question(each) for each in _looked_for(found)]
    return tuple(dict.fromkeys(each for each in asked if each))


def recovery(found: Left, answers: Answers) -> Recovery:
    """What follows from what exists."""
    takeovers: list[Takeover] = []
    spare: list[tuple[Recorded, str]] = []
    findings = list(_unasked(found, answers))
    ids = {each.id for each in found.held}
    wanted = {each.urn for each in found.wanted}
    claimed = Counter[str]()
    for resource in _looked_for(found):
        entries = answers.get(_question(resource), ())
        candidates = [(id_, each) for each in entries if (id_ := _id_of(resource, each)) and id_ not in ids]
        ours = [id_ for id_, entry in candidates if _is_ours(found, resource, id_, entry, entries)]
        if resource.urn not in wanted:
            spare += [(resource, id_) for id_ in ours]
            continue
        claimed.update(ours)
        if len(ours) == 1:
            takeovers.append(Takeover(resource, ours[0]))
        elif ours:
            findings.append(_several(resource, ours))
        elif candidates:
            findings.append(_foreign(found, resource, candidates[0][0]))
    findings += [_several(each.resource, [each.id]) for each in takeovers if claimed[each.id] > 1]
    return Recovery(
        takeovers=tuple(each for each in takeovers if claimed[each.id] == 1),
        deletions=tuple(dict.fromkeys(_deletion(resource, id_) for resource, id_ in spare if id_ not in claimed)),
        findings=tuple(findings),
    )


def import_file(takeovers: Iterable[Takeover]) -> str:
    """The file for ``pulumi import --file``, with parents and providers as the program has them."""
    names: dict[str, str] = {}
    resources: list[dict[str, str]] = []
    for number, each in enumerate(takeovers):
        resource = each.resource
        entry = {"type": resource.type, "name": f"found{number}", "logicalName": resource.logical, "id": each.id}
        if resource.parent and f"::{_STACK}::" not in resource.parent:
            entry["parent"] = names.setdefault(resource.parent, f"in{len(names)}")
        provider = resource.provider.rpartition("::")[0]
        if not provider.rpartition("::")[2].startswith("default"):
            entry["provider"] = names.setdefault(provider, f"in{len(names)}")
        resources.append(entry)
    return json.dumps({"nameTable": {name: urn for urn, name in names.items()}, "resources": resources}, indent=1)


def told(found: Recovery) -> Iterator[str]:
    """Lines for a person."""
    for each in found.takeovers:
        then = "; the next update makes it anew and deletes this one" if each.remade else ""
        yield f"take over: {each.resource.type} {each.resource.logical} is {each.id}{then}"
    for command in found.deletions:
        yield f"delete: {command}"
    for finding in found.findings:
        yield f"{finding.level}: {finding}"
    if not (found.takeovers or found.deletions or found.findings):
        yield "nothing is left: the state holds what the cloud holds"


def _looked_for(found: Left) -> Iterator[Recorded]:
    """What may exist beside the state: what the program wants, and second copies of what it has.

    Objects of a cluster that have names are made by server-side apply: making one that exists takes it over.
    """
    for each in (*found.wanted, *found.held):
        row = live(each.type)
        fixed = each.type.startswith(CLUSTER) or each not in found.wanted
        if row is not None and not row.again and (each.made_up or not fixed):
            yield each


def _question(resource: Recorded) -> str:
    """The command that lists things of its type; empty where the resource does not say where to look."""
    row = live(resource.type)
    command = _command(row.list, row.known(resource.known)) if row else None
    return f"{command} {row.as_json}" if row and command else ""


def _id_of(resource: Recorded, entry: Mapping[str, Any]) -> str | None:
    """The id of a listed thing when it may be this resource, by its name."""
    row = cast("Live", live(resource.type))
    known = row.known(resource.known)
    if resource.type.startswith(CLUSTER) and entry.get("kind") == "Namespace":
        return None
    name = str(entry.get("name") or metadata_of(entry).get("name") or "").rpartition("/")[2]
    if resource.made_up and (stem := _MADE_UP.fullmatch(known.get("name", ""))):
        return _filled(row.id, known | {"name": name}) if _stem(name) == stem["stem"] else None
    return _filled(row.id, known) if name == _filled(row.named, known) else None


def _stem(name: str) -> str:
    found = _MADE_UP.fullmatch(name)
    return found["stem"] if found else ""


def _is_ours(
    found: Left, resource: Recorded, id_: str, entry: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> bool:
    """Whether something surely is this stack's: marked, named after it, in something of its, or being made by it."""
    ours, marks = mark(found.project, found.stack), set(_marks(entry))
    if marks:
        return ours in marks
    if not resource.made_up and re.search(rf"(?:^|-){re.escape(ours)}(?:[-@]|$)", id_.rpartition("/")[2]):
        return True
    row = cast("Live", live(resource.type))
    for begun in found.pending:
        if begun.type == resource.type and begun.made_up and _filled(row.id, row.known(begun.known)) == id_:
            return True
    if row.within is None:
        return False
    where = resource.known.get(row.within.input)
    containers = [each for each in found.held if each.type == row.within.type and where in each.names]
    if row.within.type != NAMESPACE:
        return bool(containers)
    uids = {str(metadata_of(each).get("uid")) for each in others if each.get("kind") == "Namespace"}
    return any(each.names & uids for each in containers)


def _marks(value: Any) -> Iterator[str]:
    """What labels, tags and descriptions say, wherever they are."""
    for each in elements(value):
        yield from _marks(each)
    content = fields_of(value)
    if isinstance(said := content.get(LABEL), str):
        yield said
    if content.get("Key") == LABEL:
        yield str(content.get("Value"))
    for word in str(content.get("description", "")).split():
        if word.startswith(f"{LABEL}="):
            yield word.partition("=")[2]
    for each in content.values():
        yield from _marks(each)


def _deletion(resource: Recorded, id_: str) -> str:
    row = cast("Live", live(resource.type))
    command = _command(row.delete, row.known(resource.known) | {"name": id_.rpartition("/")[2]})
    return command or f"# {id_} cannot be deleted; it costs nothing and stays"


def _unasked(found: Left, answers: Answers) -> Iterator[Finding]:
    """What was not looked for, or not found out."""
    for resource in _looked_for(found):
        command = _question(resource)
        if not command:
            why = "nothing says where to look for it: an input that its id needs is only known later"
            yield _finding("unasked", resource, why, "run this again when what it needs is there", Level.NOTE)
        elif command not in answers:
            yield _finding("unanswered", resource, f"`{command}` gave no answer", "run it, or look there yourself")
    for resource in found.pending:
        if live(resource.type) is None:
            why = "it may have been made, and no command is known that lists its kind"
            remedy = f"look for it, then `pulumi import {resource.type} {resource.logical} ID`, or delete it"
            yield _finding("unlisted", resource, why, remedy)


def _several(resource: Recorded, ids: list[str]) -> Finding:
    why = f"more than one thing and resource fit together: {', '.join(ids)}"
    delete = "; ".join(_deletion(resource, each) for each in ids)
    return _finding("several", resource, why, f"delete those that nothing needs, then run this again: {delete}")


def _foreign(found: Left, resource: Recorded, id_: str) -> Finding:
    why = f"{id_} exists, and nothing says that it is this stack's: it is left alone"
    label = f"{LABEL}={mark(found.project, found.stack)}"
    remedy = f"if it is: give it the label {label} and run this again"
    return _finding("foreign", resource, why, remedy, Level.NOTE if resource.made_up else Level.WARNING)


def _finding(code: str, resource: Recorded, why: str, remedy: str, level: Level = Level.WARNING) -> Finding:
    return Finding(code=code, path=f"{resource.type} {resource.logical}", message=why, remedy=remedy, level=level)


def _filled(template: str, known: Mapping[str, str]) -> str | None:
    try:
        return template.format_map(known) or None
    except KeyError:
        return None


def _command(template: str, known: Mapping[str, str]) -> str | None:
    """A line for a shell; None where it cannot be said."""
    return _filled(template, {key: quote(value) for key, value in known.items()})
