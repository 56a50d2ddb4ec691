"""Reads command lines as the engines do, with flag tables dumped from their own parsers.

``=`` forms, unambiguous abbreviations, ``$(VAR)`` references to the container's environment and simple shell wrappers
are understood. What is not legible is reported, never guessed.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, cast

from modelberth.observed import UNKNOWN

Word = Any
"""A command-line word: text, or UNKNOWN."""

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_SHELL_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_SERVERS = {
    "vllm",
    "vllm.entrypoints.openai.api_server",
    "llama-server",
    "sglang",
    "sglang.launch_server",
    "text-generation-launcher",
    "tgi-entrypoint.sh",
}
_LARGEST = 1e15
_SHELLS = {"sh", "bash", "dash", "ash"}
NOT_KNOWN = "it is only known after apply or comes from a Secret, ConfigMap or shell expansion"


@dataclass(frozen=True)
class FlagTable:
    """Spellings of one engine version: flag -> (name, what it takes: none, one, optional or many).

    ``exact`` where the engine takes neither ``_`` for ``-`` nor ``--flag.key``.
    """

    version: str
    flags: Mapping[str, tuple[str, str]]
    env: Mapping[str, str]
    exact: bool = False

    def find(self, spelling: str, *, abbreviations: bool) -> tuple[str, str] | None:
        """The flag behind a spelling: as it is, with ``_`` for ``-``, or an abbreviation that only one name has."""
        if spelling.startswith("--") and not self.exact:
            spelling = spelling.partition(".")[0]  # --json-flag.key value
        dashed = spelling if self.exact else spelling.replace("_", "-")
        for candidate in (spelling, dashed):
            if candidate in self.flags:
                return self.flags[candidate]
        if abbreviations and spelling.startswith("--"):
            matches = {entry for flag, entry in self.flags.items() if flag.startswith(dashed)}
            if len(matches) == 1:
                return matches.pop()
        return None


@cache
def table(engine: str, version: str) -> FlagTable:
    """The flag table of one engine version. Raises FileNotFoundError when there is none."""
    file = files("modelberth.catalog") / "flags" / f"{engine}-{version}.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    flags = {name: (entry[0], entry[1]) for name, entry in document["flags"].items()}
    return FlagTable(document["version"], flags, document.get("env", {}), document.get("exact", False))


@dataclass
class Parsed:
    """A command line taken apart: name -> value (text, True for a switch, UNKNOWN), and what was odd."""

    version: str
    """The version whose flags it was read with."""
    values: dict[str, Word] = field(default_factory=dict[str, Word])
    positional: list[Word] = field(default_factory=list[Word])
    unknown_flags: list[str] = field(default_factory=list[str])
    opaque: bool = False
    """A word that could be any flag is unknown."""
    repeated: list[str] = field(default_factory=list[str])
    """Names that are said more than once."""

    def strange(self, version: str) -> list[tuple[str, str]]:
        """Flags that this version does not have, as undecided facts; none where only another version's are known."""
        if version != self.version:
            return []
        words = dict.fromkeys(word for word in self.unknown_flags if re.fullmatch(r"--?[a-z][a-z0-9_-]{0,60}", word))
        return [(word, "it is no flag of this version: the engine would not start") for word in words]

    def said(self, name: str, undecided: list[tuple[str, str]]) -> Word | None:
        """What the line says of one name, None when nothing; what it says and cannot be known joins ``undecided``."""
        value = self.values.get(name)
        if value is UNKNOWN or (value is None and self.opaque):
            undecided.append((name, NOT_KNOWN))
            return None
        return value


def parse(words: Sequence[Word], flags: FlagTable, *, abbreviations: bool) -> Parsed:
    """Take a command line apart. The last mention of a flag wins, as in argparse and llama.cpp."""
    parsed, index = Parsed(flags.version), 0
    while index < len(words):
        word = words[index]
        index += 1
        if word is UNKNOWN:
            parsed.opaque = True
        elif not _is_flag(word):
            parsed.positional.append(word)
        else:
            index = _take_flag(parsed, words, index, str(word), flags, abbreviations)
    return parsed


def _is_flag(word: Word) -> bool:
    text = str(word)
    return text.startswith("-") and len(text) > 1 and not re.fullmatch(r"-\d+(\.\d+)?", text)


def _take_flag(
    parsed: Parsed, words: Sequence[Word], index: int, word: str, flags: FlagTable, abbreviations: bool
) -> int:
    spelling, equals, value = word.partition("=")
    found = flags.find(spelling, abbreviations=abbreviations)
    if found is None:
        parsed.unknown_flags.append(spelling)
        return index
    name, takes = found
    if name in parsed.values:
        parsed.repeated.append(name)
    if equals:
        parsed.values[name] = value
        return index
    if takes == "none":
        parsed.values[name] = not spelling.startswith("--no-")
        return index
    if index >= len(words) or (words[index] is not UNKNOWN and _is_flag(words[index])):
        parsed.values[name] = True
        return index
    parsed.values[name] = words[index]
    index += 1
    while takes == "many" and index < len(words) and words[index] is not UNKNOWN and not _is_flag(words[index]):
        index += 1
    return index


def among(args: Sequence[str], names: frozenset[str], flags: FlagTable, *, abbreviations: bool) -> list[str]:
    """Those of ``args`` that spell a flag of ``names``, as they spell it and without its value."""
    spelled = [arg.partition("=")[0] for arg in args if arg.startswith("-")]
    found = [(word, flags.find(word, abbreviations=abbreviations)) for word in spelled]
    return [word for word, entry in found if entry and entry[0] in names]


def environment(container: Mapping[str, Any]) -> dict[str, Word]:
    """Environment of a container: name -> text, or UNKNOWN for what a Secret, a ConfigMap or a resource holds."""
    found: dict[str, Word] = {}
    for item in _words(container.get("env")):
        if not isinstance(item, Mapping):
            continue
        entry = cast("Mapping[str, object]", item)
        name, value = entry.get("name"), entry.get("value")
        if isinstance(name, str):
            known = (value is None or isinstance(value, str)) and "valueFrom" not in entry
            found[name] = (value or "") if known else UNKNOWN
    return found


def command_line(container: Mapping[str, Any]) -> list[Word]:
    """``command`` and ``args`` of a container as one list, references resolved and a simple shell wrapper unwrapped."""
    env = environment(container)
    words = [_resolved(word, env) for key in ("command", "args") for word in _words(container.get(key))]
    if len(words) >= 3 and isinstance(words[0], str) and words[0].rsplit("/", 1)[-1] in _SHELLS:
        inline = next((i for i, word in enumerate(words) if re.fullmatch(r"-[a-z]*c", str(word))), len(words))
        return _shell_words(words[inline + 1] if inline + 1 < len(words) else UNKNOWN, env)
    return words


def repository_in(path: str) -> str | None:
    """The repository that a local path names: ``org--name`` (weights volume), ``models--org--name`` (hub cache)."""
    folders = [part.removeprefix("models--") for part in path.split("/")]
    return next((folder.replace("--", "/", 1) for folder in folders if "--" in folder.strip("-")), None)


def _words(value: Any) -> Sequence[Word]:
    if value is UNKNOWN:
        return [UNKNOWN]
    return cast("Sequence[Word]", value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def _resolved(word: Word, env: Mapping[str, Word]) -> Word:
    if not isinstance(word, str):
        return word if word is UNKNOWN else str(word)
    names = _REFERENCE.findall(word)
    if any(env.get(name) is UNKNOWN for name in names):
        return UNKNOWN
    return _REFERENCE.sub(lambda match: str(env.get(match[1], match[0])), word)


def _shell_words(script: Word, env: Mapping[str, Word]) -> list[Word]:
    """The words of the command of a script that starts a server, else of the last command.

    A word with an expansion that cannot be followed is UNKNOWN.
    """
    if script is UNKNOWN:
        return [UNKNOWN]
    lexer = shlex.shlex(str(script).replace("\\\n", " "), posix=True, punctuation_chars=";&|")
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = list(lexer)
    except ValueError:
        return [UNKNOWN]
    commands: list[list[str]] = [[]]
    for word in words:
        if word and set(word) <= set(";&|"):
            commands.append([])
        else:
            commands[-1].append(word)
    commands = [command for command in commands if command]
    servers = [command for command in commands if _starts_server(command)]
    return [_shell_resolved(word, env) for word in (servers or commands or [[]])[-1]]


def _starts_server(command: Sequence[str]) -> bool:
    names = [word.rsplit("/", 1)[-1] for word in command]
    return not _SERVERS.isdisjoint(names) or ("ollama" in names and "serve" in names)


def _shell_resolved(word: str, env: Mapping[str, Word]) -> Word:
    if "`" in word or "$(" in word:
        return UNKNOWN
    names = _SHELL_VARIABLE.findall(word)
    if any(not isinstance(env.get(name), str) for name in names):
        return UNKNOWN
    resolved = _SHELL_VARIABLE.sub(lambda match: str(env[match[1]]), word)
    return UNKNOWN if "$" in resolved else resolved


def human_number(text: str, kind: type[int | float]) -> int | float | None:
    """Numbers as vLLM reads them: 8k is 8,000 and 8K is 8,192 (utils/argparse_utils.py, human_readable_int)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", text.strip())
    if not match:
        return None
    factor = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}[match[2]]
    amount = float(match[1]) * factor
    return kind(amount) if amount < _LARGEST else None
