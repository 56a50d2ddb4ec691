"""What a container starts: its command line as Kubernetes and a shell make it, and the environment that it sees.

References, quotes, variables, ``"$@"`` and chains of commands are followed as far as they are legible. What is not is
UNKNOWN: the output of a program, a variable that the image may set, one branch of several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from modelberth.engines.script import Command, Expansion, Illegible, Part, commands
from modelberth.observed import UNKNOWN

Word = Any
"""A command-line word: text, or UNKNOWN."""

HOLE = "\ue000"
"""Stands for text inside a word that is not known; a private character of Unicode, which no command line holds."""

SERVERS = frozenset(
    [
        "llama-server",
        "ollama",
        "sglang",
        "sglang.launch_server",
        "text-generation-launcher",
        "tgi-entrypoint.sh",
        "trtllm-serve",
        "vllm",
        "vllm.entrypoints.cli.main",
        "vllm.entrypoints.openai.api_server",
    ]
)
_NEEDS_SERVE = frozenset(["ollama", "sglang", "vllm", "vllm.entrypoints.cli.main"])
_NOT_STARTING = frozenset(
    ["[", "[[", "command", "curl", "echo", "grep", "kill", "pgrep", "pip", "pip3", "pkill", "printf", "test", "trap"]
).union(["type", "uv", "wget", "which"])
_SHELLS = frozenset(["ash", "bash", "dash", "sh"])
_BEFORE_A_SHELL = frozenset(["--", "-g", "-s", "dumb-init", "env", "tini"])
_MAY_SET_ANYTHING = frozenset([".", "eval", "getopts", "source"])
_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")
BUCKET_LATER = "known-later"
"""Stands for the name of a bucket that does not exist yet; the folders behind it tell what is served."""
_BUCKET_LATER = re.compile(rf"^([a-z0-9]+://){HOLE}(/[^{HOLE}]+)$")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")


@dataclass(frozen=True)
class Started:
    """The words that reach the server's program, and its environment: name -> text, or UNKNOWN."""

    words: list[Word]
    env: dict[str, Word]


def started(container: Mapping[str, Any]) -> Started:
    """``command`` and ``args`` of a container as one list, references resolved and a shell's script followed."""
    env = environment(container)
    imported = bool(_items(container.get("envFrom")))
    texts = [_resolved(word, env, imported) for key in ("command", "args") for word in _items(container.get(key))]
    shell = next((i for i, text in enumerate(texts) if _base(text) not in _BEFORE_A_SHELL), len(texts))
    if shell < len(texts) and _base(texts[shell]) in _SHELLS:
        inline = next((i for i in range(shell + 1, len(texts)) if _is_inline(texts[i])), None)
        if inline is not None:
            script = texts[inline + 1] if inline + 1 < len(texts) else UNKNOWN
            return _run(script, _Shell(env, [_known(text) for text in texts[inline + 3 :]]))
    return Started([word for text in texts for word in _split(text)], env)


def command_line(container: Mapping[str, Any]) -> list[Word]:
    """The words of :func:`started`."""
    return started(container).words


def environment(container: Mapping[str, Any]) -> dict[str, Word]:
    """Environment of a container: name -> text, or UNKNOWN for what a Secret, a ConfigMap or a resource holds."""
    found: dict[str, Word] = {}
    imported = bool(_items(container.get("envFrom")))
    for item in _items(container.get("env")):
        if not isinstance(item, Mapping):
            continue
        entry = cast("Mapping[str, object]", item)
        name, value = entry.get("name"), entry.get("value")
        if isinstance(name, str):
            known = (value is None or isinstance(value, str)) and "valueFrom" not in entry
            found[name] = _known(_resolved(value or "", found, imported)) if known else UNKNOWN
    return found


def _items(value: Any) -> Sequence[Word]:
    if value is UNKNOWN:
        return [UNKNOWN]
    return cast("Sequence[Word]", value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def _resolved(word: Word, env: Mapping[str, Word], imported: bool) -> Word:
    """A word as Kubernetes passes it: ``$(VAR)`` replaced where VAR is set, ``$$`` is a plain ``$``."""
    if not isinstance(word, str):
        return word if word is UNKNOWN else str(word)

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        if name not in env:
            return HOLE if imported and name.isidentifier() else match[0]
        return HOLE if env[name] is UNKNOWN else str(env[name])

    return _BUCKET_LATER.sub(rf"\1{BUCKET_LATER}\2", _REFERENCE.sub(value, word))


def _base(text: Word) -> str:
    return text.rsplit("/", 1)[-1] if isinstance(text, str) else ""


def _is_inline(text: Word) -> bool:
    return isinstance(text, str) and re.fullmatch(r"-[a-z]*c[a-z]*", text) is not None


def _known(text: Word) -> Word:
    return UNKNOWN if isinstance(text, str) and HOLE in text else text


def _split(text: Word) -> list[Word]:
    """A word as it is known: ``--flag=`` and something unknown is a flag whose value is unknown."""
    if not isinstance(text, str) or HOLE not in text:
        return [text]
    flag = re.match(rf"(--?[A-Za-z][^={HOLE}]*)=", text)
    return [flag[1], UNKNOWN] if flag else [UNKNOWN]


@dataclass
class _Shell:
    """A shell on its way through a script: variables, and the words that follow the script."""

    env: dict[str, Word]
    arguments: list[Word] | None
    """None when they may have been changed."""
    open: bool = False
    """Whether any variable may have been set."""

    def text(self, part: Part) -> str:
        """What an expansion becomes; :data:`HOLE` where that is not known."""
        if isinstance(part.what, str):
            return part.what
        return self._expanded(part.what)

    def _expanded(self, expansion: Expansion) -> str:
        name, rule = expansion.name, expansion.rule
        if rule not in ("", ":-", "-", ":?", "?"):
            return HOLE
        if name.isdigit():
            if self.arguments is None or name == "0":
                return HOLE
            value: Word = self.arguments[int(name) - 1] if int(name) <= len(self.arguments) else ""
        elif self.open or name not in self.env:
            return HOLE
        else:
            value = self.env[name]
        if value is UNKNOWN:
            return HOLE
        if value == "" and rule == ":-":
            return HOLE if expansion.default is None else expansion.default
        return str(value)

    def words(self, parts: Sequence[Part]) -> list[Word]:
        """The words that one word of the script becomes: unquoted expansions are split at blanks."""
        fields: list[str | None] = [None]
        for part in parts:
            if isinstance(part.what, Expansion) and part.what.name in ("@", "*"):
                given = [HOLE] if self.arguments is None else [_hole(word) for word in self.arguments]
                pieces = given if part.quoted else [piece for word in given for piece in word.split()]
            elif isinstance(part.what, Expansion) and not part.quoted:
                pieces = self.text(part).split()
            else:
                pieces = [self.text(part)]
            if pieces:
                fields[-1] = (fields[-1] or "") + pieces[0]
                fields.extend(pieces[1:])
        return [word for text in fields if text is not None for word in _split(text)]

    def assign(self, name: str, parts: Sequence[Part], *, certain: bool) -> None:
        """NAME=VALUE; a value that is only set in some cases is not known."""
        text = "".join(self.text(part) for part in parts)
        self.env[name] = _known(text) if certain else UNKNOWN


def _hole(word: Word) -> str:
    return HOLE if word is UNKNOWN else str(word)


def _run(script: Word, shell: _Shell) -> Started:
    """The command of a script that starts a server, else its last one; a choice between servers is UNKNOWN."""
    lines = _lines(script) if isinstance(script, str) else None
    if lines is None:
        return Started([UNKNOWN], shell.env)
    starting: list[Started] = []
    last: list[Word] = []
    for command in lines:
        assigned, rest = _assignments(command.words)
        program = _base(_literal(rest[0])) if rest else ""
        if not rest or program in ("export", "readonly", "declare", "local"):
            for name, parts in assigned + _assignments(rest[1:], anywhere=True)[0]:
                shell.assign(name, parts, certain=command.certain)
            continue
        _note_changes(shell, program, rest)
        words = [word for parts in rest for word in shell.words(parts)]
        at = _server_at(words) if program not in _NOT_STARTING else None
        last = words
        if at is not None:
            own = _Shell(dict(shell.env), shell.arguments, shell.open)
            for name, parts in assigned:
                own.assign(name, parts, certain=True)
            starting.append(Started(words, own.env))
    if len(starting) > 1:
        first = starting[0].words
        stop = (_server_at(first) or 0) + 1
        stop += first[stop : stop + 1] == ["serve"]
        return Started([*first[:stop], UNKNOWN], shell.env)
    return starting[0] if starting else Started(last, shell.env)


@lru_cache(maxsize=256)
def _lines(script: str) -> tuple[Command, ...] | None:
    """The commands of a script, None where it is not legible: every engine asks about every script."""
    try:
        return tuple(commands(script, HOLE))
    except Illegible:
        return None


def _note_changes(shell: _Shell, program: str, rest: Sequence[Sequence[Part]]) -> None:
    if program in _MAY_SET_ANYTHING:
        shell.open = True
    names = [_literal(parts) for parts in rest[1:]]
    if program in ("for", "mapfile", "read", "readarray", "unset"):
        shell.env.update({name: UNKNOWN for name in names if name.isidentifier()})
    options_only = all(re.fullmatch(r"[-+][a-z]+|pipefail", name) for name in names)
    if program == "shift" or (program == "set" and not options_only):
        shell.arguments = None


def _literal(parts: Sequence[Part]) -> str:
    return "".join(part.what if isinstance(part.what, str) else HOLE for part in parts)


def _assignments(
    words: Sequence[Sequence[Part]], *, anywhere: bool = False
) -> tuple[list[tuple[str, list[Part]]], list[Sequence[Part]]]:
    """Leading NAME=VALUE words as (name, value), and the words after them."""
    found: list[tuple[str, list[Part]]] = []
    for index, parts in enumerate(words):
        first = parts[0] if parts else None
        text = first.what if first and not first.quoted and isinstance(first.what, str) else ""
        match = _ASSIGNMENT.match(text)
        if match:
            found.append((match[1], [Part(text[match.end() :], quoted=False), *parts[1:]]))
        elif not anywhere:
            return found, list(words[index:])
    return found, []


def _server_at(words: Sequence[Word]) -> int | None:
    for index, word in enumerate(words):
        base = _base(word)
        if base in SERVERS and (base not in _NEEDS_SERVE or words[index + 1 : index + 2] == ["serve"]):
            return index
    return None
