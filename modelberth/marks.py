"""Where in a file a field stands: documents composed with the place of every key, and a finding's path walked back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import yaml

from modelberth.paths import step

DEEPEST = 200
"""Nesting that no Kubernetes object has; a few thousand levels overflow the C composer, which no exception reports."""
MOST_VALUES = 2_000_000
"""Values of one document with every alias written out."""

_BRACKETS = re.compile(r"[\[{]")
_INDICATORS = re.compile(rf"^[ \t?:-]{{{DEEPEST},}}", re.MULTILINE)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_TEXT = "tag:yaml.org,2002:str"
_DATE = "tag:yaml.org,2002:timestamp"
_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}
_SCALAR, _OPEN = (1, 1), (0, 0)
"""(values, levels) of a scalar, and of what is being counted."""
_Base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_Base):
    """YAML as the tools of Kubernetes read it: no dates, and 12:30 is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the class that it comes from has it
        first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }


class Spot(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


class Illegible(Exception):
    """A text that cannot be read: why and where. ``why`` quotes nothing of it."""

    def __init__(self, why: str, spot: Spot | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.spot = spot


def documents(text: str) -> Iterator[tuple[yaml.Node, Any]]:
    """The documents of a YAML text, each with the loader that makes values of it. Raises :class:`Illegible`."""
    if len(_BRACKETS.findall(text)) >= DEEPEST or _INDICATORS.search(text):
        _measure(text)
    try:
        loader = Loader(text)
        while loader.check_node():
            yield loader.get_node(), loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _illegible(error) from None


def value_of(root: yaml.Node, loader: Any) -> Any:
    """The value of a document. Raises :class:`Illegible`, also where aliases make it endless or a key is repeated."""
    _refuse_bombs(root)
    try:
        return loader.construct_document(root)
    except (yaml.YAMLError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
        raise _illegible(error) from None


def spot_of(root: yaml.Node, path: str) -> Spot:
    """Where the field is that a finding names, or else the nearest thing above it that is written there.

    ``path`` is spelled as :class:`~modelberth.node.Node` spells it.
    """
    found, node = root, root
    rest = path if path.startswith("[") or not path else f".{path}"
    while rest:
        steps = [
            step for step in _steps(node) if rest.startswith(step[0]) and rest[len(step[0]) :][:1] in ("", ".", "[")
        ]
        if not steps:
            break
        step, found, node = max(steps, key=lambda each: len(each[0]))
        rest = rest[len(step) :]
    return _spot(found)


def entry(root: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value under a key of a mapping."""
    pairs = _pairs(root)
    return next((v for k, v in reversed(pairs) if isinstance(k, yaml.ScalarNode) and k.value == key), None)


def scalar(root: yaml.Node | None, key: str) -> str:
    """The text under a key of a mapping, empty for anything else."""
    found = entry(root, key)
    return str(found.value) if isinstance(found, yaml.ScalarNode) and found.tag == _TEXT else ""


def elements(node: yaml.Node | None) -> list[yaml.Node]:
    """The elements of a sequence; none of anything else."""
    return cast("list[yaml.Node]", node.value) if isinstance(node, yaml.SequenceNode) else []


def of_json(text: str) -> yaml.Node:
    """A valid JSON text as the same tree. Raises :class:`Illegible` where a key appears twice in one object."""
    holder = yaml.SequenceNode("", [])
    open_: list[yaml.Node] = [holder]
    keys: list[tuple[yaml.Node | None, set[str]]] = [(None, set())]
    line, start, before = 0, 0, 0
    for found in _TOKEN.finditer(text):
        token, offset = found[0], found.start()
        if token in (",", ":"):
            continue
        if token in ("]", "}"):
            open_.pop()
            keys.pop()
            continue
        if newlines := text.count("\n", before, offset):
            line, start = line + newlines, text.rindex("\n", before, offset) + 1
        before = offset
        node = _json_node(token, yaml.Mark("", offset, line, offset - start, None, 0))
        parent, (key, seen) = open_[-1], keys[-1]
        if isinstance(parent, yaml.SequenceNode):
            parent.value.append(node)
        elif key is None:
            if node.value in seen:
                raise Illegible("a key appears twice", _spot(node))
            seen.add(node.value)
            keys[-1] = (node, seen)
            continue
        else:
            parent.value.append((key, node))
            keys[-1] = (None, seen)
        if not isinstance(node, yaml.ScalarNode):
            open_.append(node)
            keys.append((None, set()))
    return elements(holder)[0]


def _json_node(token: str, mark: yaml.Mark) -> yaml.Node:
    if token == "{":  # noqa: S105 - a bracket
        return yaml.MappingNode("", [], mark)
    if token == "[":  # noqa: S105
        return yaml.SequenceNode("", [], mark)
    text = token.startswith('"')
    return yaml.ScalarNode(_TEXT if text else "", json.loads(token, strict=False) if text else token, mark)


def _steps(node: yaml.Node) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """(how a path spells the step, what is written there, what is inside) of everything one step down.

    What a mapping says itself comes before what it merges in.
    """
    for key, value in reversed(_pairs(node)):
        if isinstance(key, yaml.ScalarNode):
            yield step(str(key.value)), key, value
    for index, element in enumerate(elements(node)):
        yield f"[{index}]", element, element


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return cast("list[tuple[yaml.Node, yaml.Node]]", node.value) if isinstance(node, yaml.MappingNode) else []


def _spot(node: yaml.Node) -> Spot:
    return _at(node.start_mark)


def _at(mark: Any) -> Spot:
    return Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)


def _illegible(error: Exception) -> Illegible:
    mark = getattr(error, "problem_mark", None)
    why = "nested too deeply" if isinstance(error, RecursionError) else "not valid YAML"
    return Illegible(why, _at(mark) if mark else None)


def _measure(text: str) -> None:
    """Refuses what is nested deeper than anything that runs, before it is composed."""
    depth = 0
    try:
        for event in cast("Iterable[yaml.Event]", yaml.parse(text, Loader)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                raise Illegible(f"nested deeper than {DEEPEST} levels", _at(event.start_mark))
    except (yaml.YAMLError, ValueError) as error:
        raise _illegible(error) from None


def _refuse_bombs(root: yaml.Node) -> None:
    """Counts values with aliases written out, and compares keys as written, before ``<<`` merges others in."""
    known: dict[yaml.Node, tuple[int, int]] = {}
    waiting: list[tuple[yaml.Node, list[yaml.Node] | None]] = [(root, None)]
    while waiting:
        node, inside = waiting.pop()
        if inside is not None:
            size, depth = 1, 1
            for each in inside:
                inner, below = known.get(each, _SCALAR)
                size, depth = size + inner, max(depth, below + 1)
            if size > MOST_VALUES:
                raise Illegible(f"more than {MOST_VALUES:,} values when its aliases are written out", _spot(node))
            if depth > DEEPEST:
                raise Illegible(f"nested deeper than {DEEPEST} levels", _spot(node))
            known[node] = size, depth
        elif node not in known:
            known[node] = _OPEN
            _refuse_repeated_keys(node)
            inside = [each for pair in _pairs(node) for each in pair] or elements(node)
            waiting.append((node, inside))
            waiting.extend((each, None) for each in inside if not isinstance(each, yaml.ScalarNode))
        elif known[node] == _OPEN:
            raise Illegible("a value that contains itself", _spot(node))


def _refuse_repeated_keys(node: yaml.Node) -> None:
    seen = set[tuple[str, str]]()
    for key, _ in _pairs(node):
        written = (key.tag, str(key.value))
        if written in seen and key.tag != "tag:yaml.org,2002:merge":
            raise Illegible("a key appears twice", _spot(key))
        seen.add(written)
