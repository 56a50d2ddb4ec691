"""The commands of a shell script, word by word with their quotes: the part of POSIX sh that starts servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*]")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*])(:?[-?])?")
_ENDS_A_WORD = " \t\r\n;&|()<>"
_OPENING = frozenset(["case", "for", "if", "until", "while"])
_CLOSING = frozenset(["done", "esac", "fi"])
_BETWEEN = frozenset(["!", "do", "elif", "else", "if", "then", "until", "while", "{", "}"])


class Illegible(Exception):
    """The script uses what is not read here."""


@dataclass(frozen=True)
class Expansion:
    """``$name`` or ``${name}``; ``rule`` is what follows the name in braces, "other" for all that is not read."""

    name: str
    rule: str = ""
    default: str | None = None


@dataclass(frozen=True)
class Part:
    """A piece of a word: literal text, or an expansion."""

    what: str | Expansion
    quoted: bool


@dataclass(frozen=True)
class Command:
    """A simple command. ``certain`` unless it runs only in some cases."""

    words: list[list[Part]]
    certain: bool


_OTHER = Expansion("", "other")


def commands(script: str, hole: str) -> Iterator[Command]:
    """The commands of a script in the order they are written. ``hole`` is a character that stands for unknown text.

    Raises :class:`Illegible`.
    """
    depth, before, plain = 0, "", True
    for words, operator in _lines(_Scanner(script, hole)):
        rest = list(words)
        while rest:
            word = _keyword(rest[0])
            if word in _OPENING:
                depth += 1
            if word in _CLOSING:
                depth = max(0, depth - 1)
            if word not in _BETWEEN and word not in _CLOSING:
                break
            rest.pop(0)
        if rest:
            certain = depth == 0 and before != "||" and (before != "&&" or plain)
            yield Command(rest, certain)
            plain = all("=" in _keyword(word) for word in rest) or _keyword(rest[0]) in ("export", "cd", "set")
        before = operator


def _keyword(word: list[Part]) -> str:
    return "".join(part.what if isinstance(part.what, str) and not part.quoted else "\0" for part in word)


def _lines(scanner: _Scanner) -> Iterator[tuple[list[list[Part]], str]]:
    words: list[list[Part]] = []
    for token in scanner.tokens():
        if isinstance(token, str):
            yield words, token
            words = []
        else:
            words.append(token)
    yield words, ""


class _Scanner:
    """Takes a script apart, left to right."""

    def __init__(self, script: str, hole: str) -> None:
        self._text, self._hole, self._at = script.replace("\\\n", ""), hole, 0

    def tokens(self) -> Iterator[list[Part] | str]:
        """Words as parts; operators that end a command as text. Redirections are left out."""
        redirected = False
        while self._at < len(self._text):
            rest = self._text[self._at :]
            if match := re.match(r"[ \t\r]+|#[^\n]*", rest):
                self._at += match.end()
            elif match := re.match(r"[0-9]*(>>|>\||>&|<&|<>|>|<)|&>>?", rest):
                if rest[match.end() : match.end() + 1] in ("<", "("):
                    raise Illegible
                self._at += match.end()
                redirected = True
            elif match := re.match(r"&&|\|\||;;|[;&|\n()]", rest):
                self._at += match.end()
                redirected = False
                yield match[0]
            else:
                word = self._word()
                if not redirected:
                    yield word
                redirected = False

    def _word(self) -> list[Part]:
        parts: list[Part] = []
        while self._at < len(self._text) and self._text[self._at] not in _ENDS_A_WORD:
            parts.extend(self._piece())
        return parts

    def _piece(self) -> list[Part]:
        char = self._text[self._at]
        if char == "'":
            end = self._find("'", self._at + 1)
            text, self._at = self._text[self._at + 1 : end], end + 1
            return self._literal(text, quoted=True)
        if char == '"':
            self._at += 1
            return self._double_quoted()
        if char == "\\":
            text, self._at = self._text[self._at + 1 : self._at + 2], self._at + 2
            return self._literal(text, quoted=True)
        if char in "$`":
            return [Part(self._expansion(), quoted=False)]
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in "'\"\\$`" + _ENDS_A_WORD:
            self._at += 1
        return self._literal(self._text[start : self._at], quoted=False)

    def _double_quoted(self) -> list[Part]:
        parts: list[Part] = [Part("", quoted=True)]
        while True:
            if self._at >= len(self._text):
                raise Illegible
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                return parts if len(parts) == 1 or not _is_arguments(parts) else parts[1:]
            if char in "$`":
                parts.append(Part(self._expansion(), quoted=True))
            elif char == "\\" and self._text[self._at + 1 : self._at + 2] in ("$", "`", '"', "\\"):
                parts.extend(self._literal(self._text[self._at + 1], quoted=True))
                self._at += 2
            else:
                parts.extend(self._literal(char, quoted=True))
                self._at += 1

    def _literal(self, text: str, *, quoted: bool) -> list[Part]:
        pieces = re.split(f"({self._hole})", text)
        return [Part(_OTHER if piece == self._hole else piece, quoted) for piece in pieces if piece or quoted]

    def _expansion(self) -> str | Expansion:
        if self._text[self._at] == "`":
            self._at = self._find("`", self._at + 1) + 1
            return _OTHER
        after = self._text[self._at + 1 : self._at + 2]
        if after == "(":
            self._at = self._closing("(", ")", self._at + 1) + 1
            return _OTHER
        if after == "{":
            start, end = self._at + 1, self._closing("{", "}", self._at + 1)
            self._at = end + 1
            return _braced(self._text[start:end])
        match = _NAME.match(self._text, self._at + 1)
        if match:
            self._at = match.end()
            return Expansion(match[0])
        self._at += 1
        if after in ("#", "?", "$", "!", "-", "'", '"'):
            self._at += after not in ("'", '"')
            return _OTHER
        return "$"

    def _find(self, char: str, start: int) -> int:
        end = self._text.find(char, start)
        if end < 0:
            raise Illegible
        return end

    def _closing(self, opening: str, closing: str, start: int) -> int:
        depth, quote = 0, ""
        for index in range(start, len(self._text)):
            char = self._text[index]
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char in (opening, closing):
                depth += 1 if char == opening else -1
                if depth == 0:
                    return index
        raise Illegible


def _is_arguments(parts: list[Part]) -> bool:
    return len(parts) == 2 and isinstance(parts[1].what, Expansion) and parts[1].what.name == "@"


def _braced(text: str) -> Expansion:
    match = _BRACED.match(text)
    if match is None:
        return _OTHER
    rest = text[match.end() :]
    if not match[2]:
        return Expansion(match[1]) if not rest else _OTHER
    plain = re.fullmatch(r"[^$`'\"\\]*", rest) is not None
    return Expansion(match[1], match[2], rest if plain else None)
