"""Which scalars of a stack rules read, and what is made of each: dropped, and changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from modelberth.inventory import Inventory
from modelberth.resources import PART_OF, Resource
from modelberth.rules import ALL
from tests.mutants.mutate import policy_of, stack

Way = tuple[str | int, ...]
_WHO_WROTE_IT = ("metadata", "labels", PART_OF)
"""Asked of every object to know how strict to be with it: nothing is decided about the label itself."""
_READ_EVERY_TEXT = frozenset({"WH-15"})
"""Rules that look at every text for what it may hold, a credential: that they read a field says nothing about it."""


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


class _Name(str):
    """The name of a variable, which remembers that somebody asked for the variable of this name."""

    __slots__ = ("_asked",)
    _asked: Callable[[], None]

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        if same is True and other is not self:
            self._asked()
        return same is True

    __hash__ = str.__hash__


class _Variable(dict[str, Any]):
    """An entry of ``env``. All entries are copied into an environment; one counts as read when it is asked for."""

    def __init__(self, content: dict[str, Any], way: Way, seen: set[Way]) -> None:
        super().__init__(_Fields(content, way, seen))
        name = content.get("name")
        if isinstance(name, str):
            self["name"] = named = _Name(name)
            named._asked = lambda: seen.update(_scalars(content, way))


def _traced(value: Any, way: Way, seen: set[Way]) -> Any:
    if isinstance(value, dict):
        return _Variable(value, way, seen) if way[-2:-1] == ("env",) else _Fields(value, way, seen)
    return _Elements(value, way, seen) if isinstance(value, list) else value


@dataclass(frozen=True)
class Mutant:
    """A stack with one scalar that rules read dropped or changed; ``index`` is the place of the resource."""

    stack: str
    index: int
    field: str
    way: Way
    how: str

    def __str__(self) -> str:
        return f"{self.stack}: {self.said}"

    @property
    def said(self) -> str:
        """The field and what was done to it, as the list of equivalents has it."""
        return f"{self.field} {self.how}"

    def applied(self, old: Resource) -> Resource:
        """The resource with this change; what is not changed is shared."""
        return replace(old, properties=_with(old.properties, self.way, dropped=self.how == "dropped"))


def _with(value: Any, way: Way, *, dropped: bool) -> Any:
    step, rest = way[0], way[1:]
    copy = dict(value) if isinstance(value, dict) else list(value)
    if rest:
        copy[step] = _with(copy[step], rest, dropped=dropped)
    elif dropped:
        del copy[step]
    else:
        copy[step] = _other(copy[step])
    return copy


def _other(value: Any) -> Any:
    """Another value of the same type: a boolean turned, a number brought to nothing, a text misspelt."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return 0
    return "0" if re.fullmatch(r"\d+", value) else f"{value}x"


def field_of(resource: Resource, way: Way) -> str:
    """A field as people say it, the same in every stack: elements by their names, words by the flag before them."""
    said, value = resource.kind, resource.properties
    for step in way:
        inner = value[step]
        if isinstance(step, str):
            said += f".{step}"
        elif way[-2:-1] in (("args",), ("command",)):
            said += f"[{_word(value, step)}]"
        elif isinstance(inner, dict):
            label = inner.get("name", inner.get("key", inner.get("topologyKey", "")))
            said += f"[{label}]" if isinstance(label, str) and label and not _OF_A_SERVICE.match(label) else ""
        value = inner
    for long, short in _SHORTER:
        said = said.replace(long, short)
    return said


_OF_A_SERVICE = re.compile(r"(weights|adapters|target|shared)-")
_SHORTER = (
    (".spec.template.spec", " pod"),
    (".spec.leaderWorkerTemplate.leaderTemplate.spec", " leader"),
    (".spec.leaderWorkerTemplate.workerTemplate.spec", " worker"),
    (".requiredDuringSchedulingIgnoredDuringExecution", ".required"),
)


def _value(properties: Any, way: Way) -> Any:
    for step in way:
        properties = properties[step]
    return properties


def _word(words: list[Any], index: int) -> str:
    """The flag that a word of a command line is, or whose value it is."""
    if str(words[index]).startswith("--"):
        return str(words[index]).partition("=")[0]
    before = [str(word) for word in words[:index] if str(word).startswith("--")]
    return f"{before[-1]} ..." if before else "..."


def mutants(name: str) -> Iterator[Mutant]:
    """Each scalar of a stack that rules read, dropped and changed."""
    for index, (resource, ways) in enumerate(zip(stack(name), _read_fields(name), strict=True)):
        for way in sorted(ways, key=str):
            value = _value(resource.properties, way)
            for how in ("dropped", *(["changed"] if _other(value) != value else [])):
                yield Mutant(name, index, field_of(resource, way), way, how)


def _read_fields(name: str) -> list[set[Way]]:
    """The scalars that rules read, resource by resource."""
    policy = policy_of(name)
    plain = stack(name)
    seen: list[set[Way]] = [set() for _ in plain]
    traced = [
        replace(each, properties=_traced(each.properties, (), ways)) for each, ways in zip(plain, seen, strict=True)
    ]
    inventory = Inventory(tuple(traced))
    for rule in ALL:
        if rule.id not in _READ_EVERY_TEXT:
            for each in traced:
                rule.about(each, policy.settings(rule))
            rule.over(inventory, policy.settings(rule))
    return [
        (ways & set(_scalars(each.properties, ()))) - {_WHO_WROTE_IT}
        if not each.type.startswith(("modelberth:", "pulumi:"))
        else set[Way]()
        for each, ways in zip(plain, seen, strict=True)
    ]


def _scalars(value: Any, way: Way) -> Iterator[Way]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _scalars(each, (*way, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _scalars(each, (*way, index))
    elif value is not None:
        yield way
