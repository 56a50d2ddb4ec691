"""Reads command lines as the engines do, with flag tables dumped from their own parsers.

Abbreviations, ``=`` forms, repeated flags, JSON spelled with dots: what an engine's parser understands is understood
as it does. What the parser would refuse is said, and never taken for a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, cast

from modelberth.engines.shells import Word, command_line, environment, started
from modelberth.observed import UNKNOWN
from modelberth.versions import key

NOT_KNOWN = "it is only known after apply or comes from a Secret, ConfigMap or shell expansion"
NO_FLAG = "it is no flag of"
"""How the reason of a fact begins that is undecided because of a flag that the engine does not know."""
_PLAIN_FLAG = re.compile(r"--?[a-z][a-z0-9_-]{0,60}")
WOULD_NOT_START = "the engine would not start"
_LARGEST = 1e15
_NO = ("--no-", "--no_", "-no-", "-nkvo")
_NUMBER = re.compile(r"-\d+|-\d*\.\d+")


class Dialect(StrEnum):
    """How an engine's parser takes words, beyond the spellings of its flags."""

    ARGPARSE = "argparse"
    """Python's: a word that starts like a flag is no value, unless it is a number or holds a blank."""
    VLLM = "vllm"
    """Python's, with ``_`` for ``-``, ``--json-flag.key value`` and ``-O3``."""
    LLAMA = "llama"
    """No ``=`` forms; whatever follows a flag that takes a value is the value; ``_`` for ``-``."""


_DIALECTS = {"llamacpp": Dialect.LLAMA, "vllm": Dialect.VLLM}


@dataclass(frozen=True)
class FlagTable:
    """Spellings of one engine version: flag -> (name, what it takes: none, one, optional or many).

    A switch that says no to its name takes "off", or is spelled ``--no-``.
    """

    version: str
    flags: Mapping[str, tuple[str, str]]
    env: Mapping[str, str]
    dialect: Dialect = Dialect.ARGPARSE

    def find(self, spelling: str, *, abbreviations: bool) -> tuple[str, str] | None:
        """The flag behind a spelling: exact, or an abbreviation that only one spelling has."""
        matches = self.matches(spelling, abbreviations=abbreviations)
        return matches[0] if len(matches) == 1 else None

    def matches(self, spelling: str, *, abbreviations: bool) -> list[tuple[str, str]]:
        """All flags that a spelling may stand for; more than one is what the parser calls ambiguous."""
        if self.dialect is not Dialect.ARGPARSE and spelling.startswith("--"):
            spelling = spelling.partition(".")[0] if self.dialect is Dialect.VLLM else spelling
            spelling = spelling.replace("_", "-")
        if spelling in self.flags:
            return [self.flags[spelling]]
        if not abbreviations or not spelling.startswith("-") or len(spelling.lstrip("-")) == 0:
            return []
        return [entry for flag, entry in self.flags.items() if flag.startswith(spelling)]

    def switch(self, name: str, *, on: bool) -> str:
        """The spelling that turns a switch on or off, the plainest that this version has. Raises KeyError."""
        spelled = [flag for flag, (own, takes) in self.flags.items() if own == name and takes in ("none", "off")]
        fitting = [flag for flag in spelled if (self.flags[flag][1] == "none" and not flag.startswith("--no-")) is on]
        if not fitting:
            raise KeyError(f"{self.version} has no flag that turns {name} {'on' if on else 'off'}")
        return min(fitting, key=lambda flag: (not flag.startswith("--"), flag.startswith("--no-"), flag))


@cache
def table(engine: str, version: str) -> FlagTable:
    """The flag table of one engine version. Raises FileNotFoundError when there is none.

    It is a file of its own, or the oldest one with what later versions added, removed and changed.
    """
    folder = files("modelberth.catalog") / "flags"
    whole = folder / f"{engine}-{version}.json"
    history = folder / f"{engine}-history.json"
    if whole.is_file() or not history.is_file():
        document = json.loads(whole.read_text(encoding="utf-8"))
        flags = _entries(document["flags"])
    else:
        steps = json.loads(history.read_text(encoding="utf-8"))
        document = json.loads((folder / f"{engine}-{steps['base']}.json").read_text(encoding="utf-8"))
        if version not in steps["versions"]:
            raise FileNotFoundError(f"no flags of {engine} {version} are known")
        flags = _entries(document["flags"])
        for step in sorted((each for each in steps["versions"] if key(each) <= key(version)), key=key):
            flags = {flag: entry for flag, entry in flags.items() if flag not in steps["versions"][step]["removed"]}
            flags |= _entries(steps["versions"][step]["added"])
    return FlagTable(version, flags, document.get("env", {}), _DIALECTS.get(engine, Dialect.ARGPARSE))


def _entries(rows: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    return {name: (entry[0], entry[1]) for name, entry in rows.items()}


@dataclass
class Parsed:
    """A command line taken apart: name -> value (text, True or False for a switch, UNKNOWN), and what was odd."""

    version: str
    """The version whose flags it was read with."""
    values: dict[str, Word] = field(default_factory=dict[str, Word])
    """Of a flag that takes many values: the first."""
    lists: dict[str, list[Word]] = field(default_factory=dict[str, list[Word]])
    """All values of the flags that take many."""
    positional: list[Word] = field(default_factory=list[Word])
    stray: int = 0
    """How many of these are no reference to a variable."""
    leftover: list[Word] = field(default_factory=list[Word])
    """Words right behind a flag that this version does not know: most likely its values."""
    unknown_flags: list[str] = field(default_factory=list[str])
    refused: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Spellings that the engine's parser refuses, and why."""
    opaque: bool = False
    """A word that could be any flag is unknown."""
    overridden: dict[str, list[Word]] = field(default_factory=dict[str, list[Word]])
    """What was said of these names before; the last mention, in ``values``, holds."""

    @property
    def repeated(self) -> list[str]:
        """Names that are said more than once."""
        return list(self.overridden)

    @property
    def not_taken(self) -> list[str]:
        """Spellings that the parser of this version does not know or refuses."""
        return [*self.unknown_flags, *(word for word, _ in self.refused)]

    @property
    def not_appended(self) -> list[str]:
        """The same of arguments behind a whole line: no word without a flag is repeated, it may be a secret."""
        return [*self.not_taken, *(["a word that belongs to no flag"] if self.stray else [])]

    def strange(self, version: str, *, assumed: bool = False) -> list[tuple[str, str]]:
        """What the parser of this version refuses, as undecided facts; none where only another version's is known.

        Where the image does not tell the version, it may be another one, or a program that is built on the engine.
        """
        if version != self.version:
            return []
        odd = [(word, f"{NO_FLAG} {version if assumed else 'this version'}") for word in self.unknown_flags]
        plain = {word: why for word, why in [*odd, *self.refused] if _PLAIN_FLAG.fullmatch(word)}
        then = ": the version is assumed, the image names none" if assumed else f": {WOULD_NOT_START}"
        return [(word, why + then) for word, why in plain.items()]

    def said(self, name: str, undecided: list[tuple[str, str]]) -> Word | None:
        """What the line says of one name, None when nothing; what it says and cannot be known joins ``undecided``."""
        value = self.values.get(name)
        if value is UNKNOWN or (value is None and self.opaque):
            undecided.append((name, NOT_KNOWN))
            return None
        return value


def parse(words: Sequence[Word], flags: FlagTable, *, abbreviations: bool) -> Parsed:
    """Take a command line apart. The last mention of a flag wins, as in argparse and llama.cpp."""
    reader = _Reader(flags, abbreviations)
    reader.read(_undotted(words) if flags.dialect is Dialect.VLLM else list(words))
    return reader.parsed


class _Reader:
    """Goes through the words once."""

    def __init__(self, flags: FlagTable, abbreviations: bool) -> None:
        self._flags, self._abbreviations = flags, abbreviations
        self.parsed = Parsed(flags.version)

    def read(self, words: list[Word]) -> None:
        """Take every word as a flag, a value or a positional."""
        parsed, index, after_unknown, odd = self.parsed, 0, False, False
        while index < len(words):
            word = words[index]
            index += 1
            if word is UNKNOWN:
                parsed.opaque = after_unknown = True
                for name in parsed.values:  # the last mention wins, and it may be in there
                    parsed.values[name] = UNKNOWN
                continue
            if word == "--" and self._flags.dialect is not Dialect.LLAMA:
                parsed.positional += words[index:]
                parsed.stray += len(words[index:])
                return
            if self._is_flag(word):
                strange = len(parsed.not_taken)
                index = self._take(words, index, str(word))
                odd = len(parsed.not_taken) > strange
                after_unknown = False
                continue
            (parsed.leftover if odd else parsed.positional).append(UNKNOWN if after_unknown else word)
            parsed.stray += not odd and "$(" not in str(word)
            odd = False
            after_unknown = False

    def _is_flag(self, word: Word) -> bool:
        text = str(word)
        if not text.startswith("-") or len(text) == 1:
            return False
        if self._flags.dialect is Dialect.LLAMA or self._matches(text.partition("=")[0]):
            return True
        return not _NUMBER.fullmatch(text) and " " not in text

    def _matches(self, spelling: str) -> list[tuple[str, str]]:
        return self._flags.matches(spelling, abbreviations=self._abbreviations)

    def _take(self, words: list[Word], index: int, word: str) -> int:
        parsed, dialect = self.parsed, self._flags.dialect
        spelling, equals, value = (word, "", "") if dialect is Dialect.LLAMA else word.partition("=")
        found = self._matches(spelling)
        if len(found) > 1:
            parsed.refused.append((spelling, "it is short for several flags"))
            return index
        if not found:
            parsed.unknown_flags.append(spelling.partition("=")[0])
            return index
        name, takes = found[0]
        if name in parsed.values:
            parsed.overridden.setdefault(name, []).append(parsed.values[name])
        if takes in ("none", "off"):
            if equals:
                parsed.refused.append((spelling, "it takes no value"))
            else:
                parsed.values[name] = takes == "none" and not says_no(spelling)
            return index
        given: list[Word] = [value] if equals else []
        most = {"many": len(words), "one": 1, "optional": 1}[takes]
        while not equals and len(given) < most and index < len(words) and self._is_value(words[index]):
            given.append(words[index])
            index += 1
        if given:
            parsed.values[name] = given[0]
        elif takes == "optional":
            parsed.values[name] = True
        else:
            parsed.refused.append((spelling, "it needs a value"))
        if takes == "many" and given:
            parsed.lists[name] = given
        return index

    def _is_value(self, word: Word) -> bool:
        return word is UNKNOWN or self._flags.dialect is Dialect.LLAMA or not self._is_flag(word)


def _undotted(words: Sequence[Word]) -> list[Word]:
    """``--flag.key value`` gathered into JSON behind the other words, ``-O3`` spelled out: as vLLM's parser begins."""
    kept: list[Word] = []
    gathered: dict[str, dict[str, Any] | None] = {}
    rest = iter(words)
    for word in rest:
        text = word if isinstance(word, str) else ""
        spelling, equals, value = text.partition("=")
        if re.fullmatch(r"--[A-Za-z][A-Za-z0-9_-]*\.[^ ]+", spelling):
            flag, *path = spelling.replace("_", "-", spelling.partition(".")[0].count("_")).split(".")
            given = value if equals else next(rest, UNKNOWN)
            whole = gathered.setdefault(flag, {})
            if whole is None or given is UNKNOWN:
                gathered[flag] = None
            else:
                _put(whole, path, str(given))
        elif re.fullmatch(r"-O=?[^=].*", text):
            kept += ["--optimization-level", text.removeprefix("-O").removeprefix("=")]
        elif text == "-O":
            level = next(rest, None)
            kept += [
                "--optimization-level" if level in ("0", "1", "2", "3") else text,
                *([] if level is None else [level]),
            ]
        else:
            kept.append(word)
    for flag, whole in gathered.items():
        kept += [flag, UNKNOWN if whole is None else json.dumps(whole)]
    return kept


def _put(whole: dict[str, Any], path: list[str], text: str) -> None:
    """Set one key of nested JSON; a key that ends in ``+`` gets comma-separated elements appended."""
    more = path[-1].endswith("+")
    value: Any = text.split(",") if more else _json(text)
    for name in path[:-1]:
        inner = whole.get(name)
        whole[name] = inner if isinstance(inner, dict) else {}
        whole = cast("dict[str, Any]", whole[name])
    last = path[-1].removesuffix("+")
    before = whole.get(last)
    whole[last] = [*before, *value] if isinstance(before, list) and isinstance(value, list) else value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        number = human_number(text, int)
        return text if number is None else number


def among(args: Sequence[str], names: frozenset[str], flags: FlagTable, *, abbreviations: bool) -> list[str]:
    """Those of ``args`` that spell a flag of ``names``, as they spell it and without its value."""
    spelled = [arg.partition("=")[0] for arg in args if arg.startswith("-")]
    found = [(word, flags.find(word, abbreviations=abbreviations)) for word in spelled]
    return [word for word, entry in found if entry and entry[0] in names]


def says_no(spelling: str) -> bool:
    """Whether a switch turns its name off."""
    return spelling.startswith(_NO)


def repository_in(path: str) -> str | None:
    """The repository that a local path names: ``org--name`` (weights volume), ``models--org--name`` (hub cache)."""
    folders = [part.removeprefix("models--") for part in path.split("/")]
    return next((folder.replace("--", "/", 1) for folder in folders if "--" in folder.strip("-")), None)


def human_number(text: str, kind: type[int | float]) -> int | float | None:
    """Numbers as vLLM reads them: 8k is 8,000 and 8K is 8,192 (vllm/utils/argparse_utils.py, human_readable_int).

    A float takes no such letter, and a binary letter (K, M, G, T) takes no decimals. None for what is no number.
    """
    text = text.strip()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgtKMGT])", text) if kind is int else None
    try:
        if match is None:
            number = kind(text)
        elif match[2].islower():
            number = int(float(match[1]) * 1000 ** ("kmgt".index(match[2]) + 1))
        else:
            number = int(match[1]) * 1024 ** ("KMGT".index(match[2]) + 1)
    except ValueError:
        return None
    return number if abs(number) < _LARGEST else None


__all__ = [
    "NOT_KNOWN",
    "WOULD_NOT_START",
    "Dialect",
    "FlagTable",
    "Parsed",
    "Word",
    "among",
    "command_line",
    "environment",
    "human_number",
    "parse",
    "repository_in",
    "says_no",
    "started",
    "table",
]
