"""Where a server listens and what it asks of those who call it, as its arguments and variables say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from modelberth.catalog import Answers, catalog
from modelberth.engines import flags, serving
from modelberth.engines.shells import SERVERS, Started, Word
from modelberth.observed import UNKNOWN, Observed

_LOOPBACK = frozenset({"127.0.0.1", "::1", "[::1]", "localhost"})
_TRITON = frozenset({"launch_triton_server.py", "tritonserver"})
_ABBREVIATE = frozenset({"sglang", "vllm"})
_READS_VARIABLES = frozenset({"llamacpp", "tgi"})
_SHELLS = frozenset({"ash", "bash", "dash", "sh"})


@dataclass(frozen=True)
class Listening:
    """None means that it is not known. ``alone`` is False where a script may start more than this server.

    ``loopback`` is whether only the container itself reaches it, ``routed`` whether its paths are others than usual.
    """

    answers: Answers
    port: int | None
    loopback: bool | None
    tls: bool | None
    api_key: bool | None
    routed: bool | None
    alone: bool
    host: str = ""
    """The address that it is told to listen at, empty where none is said or known."""


def listening(container: Mapping[str, Any], observed: Observed) -> Listening | None:
    """Where the server of a container listens; None for one that opens no port for requests."""
    if observed.helper:
        return None
    process = flags.started(container)
    names = [word.rsplit("/", 1)[-1] if isinstance(word, str) else "" for word in process.words]
    alone = not _is_script(container)
    if observed.engine == "tensorrt_llm" and _TRITON.intersection(names):
        return _triton(process, alone=alone)
    if observed.engine == "ollama":
        return _ollama(process, alone=alone)
    return _by_flags(container, observed, process, names, alone=alone)


def _is_script(container: Mapping[str, Any]) -> bool:
    words: list[Word] = []
    for key in ("command", "args"):
        given = container.get(key)
        words += cast("Sequence[Word]", given) if isinstance(given, list | tuple) else []
    return any(isinstance(word, str) and word.rsplit("/", 1)[-1] in _SHELLS for word in words[:3])


def _by_flags(
    container: Mapping[str, Any], observed: Observed, process: Started, names: list[str], *, alone: bool
) -> Listening:
    engine = observed.engine
    facts, answers = catalog().engine(engine), catalog().answers[engine]
    table = serving.table_of(facts, observed.engine_version)
    begin = next((index + 1 for index, name in enumerate(names) if name in SERVERS), 0)
    parsed = flags.parse(process.words[begin:], table, abbreviations=engine in _ABBREVIATE)
    said = dict(parsed.values)
    if engine in _READS_VARIABLES:
        for name, value in process.env.items():
            if name in table.env:
                said.setdefault(table.env[name], value)
        if container.get("envFrom"):
            parsed.opaque = True
    if engine == "vllm" and process.env.get("VLLM_API_KEY", "") != "":
        said.setdefault("api_key", UNKNOWN)
    open_ended = parsed.opaque or "config" in said
    read = _Said(said, open_ended)
    key = read.set("api_key") or read.set("api_key_file")
    return Listening(
        answers=answers,
        port=read.number("port", answers.port),
        loopback=None if read.set("uds") else _loopback(read.text("host"), answers),
        tls=read.set("ssl_certfile") or read.set("ssl_cert_file"),
        api_key=None if key is None and open_ended else bool(key),
        routed=None if read.set("api_prefix") is None else bool(read.set("api_prefix") or read.set("middleware")),
        alone=alone and not read.set("uds"),
        host=read.text("host") or "",
    )


@dataclass(frozen=True)
class _Said:
    values: Mapping[str, Word]
    open_ended: bool
    """Whether more may be said elsewhere."""

    def set(self, name: str) -> bool | None:
        """Whether something is said of a name, None when that is not known."""
        if self.values.get(name) not in (None, "", False):
            return True
        return None if self.open_ended else False

    def text(self, name: str) -> str | None:
        """What is said, empty for nothing, None when that is not known."""
        value = self.values.get(name)
        if value is UNKNOWN or (value is None and self.open_ended):
            return None
        return "" if value is None else str(value)

    def number(self, name: str, default: int) -> int | None:
        """A number that is said, else the default; None when that is not known."""
        text = self.text(name)
        if text is None:
            return None
        return int(text) if re.fullmatch(r"\d{1,5}", text, re.ASCII) else None if text else default


def _loopback(host: str | None, answers: Answers) -> bool | None:
    if host is None:
        return None
    return host in _LOOPBACK if host else not answers.on_all_addresses


def _triton(process: Started, *, alone: bool) -> Listening:
    answers = catalog().answers["triton"]
    words = [str(word).replace("_", "-") for word in process.words]
    stated = next((words[i + 1 : i + 2] for i, word in enumerate(words) if word == "--http-port"), None)
    port = answers.port if stated is None else _whole(stated)
    joined = any(re.match(r"--http-(port=|address)|--allow-http", word) for word in words)
    known = UNKNOWN not in process.words and not joined
    return Listening(answers, port if known else None, False if known else None, False, False, False, alone)


def _whole(words: list[str]) -> int | None:
    return int(words[0]) if words and re.fullmatch(r"\d{1,5}", words[0], re.ASCII) else None


def _ollama(process: Started, *, alone: bool) -> Listening:
    answers = catalog().answers["ollama"]
    value = process.env.get("OLLAMA_HOST")
    if value is UNKNOWN:
        return Listening(answers, None, None, False, False, False, alone)
    text = "" if value is None else str(value).strip().strip("\"'").rpartition("://")[2]
    host, _, port = text.rpartition(":") if re.search(r":\d*$", text) else (text, "", "")
    number = int(port) if re.fullmatch(r"\d{1,5}", port, re.ASCII) else None
    return Listening(answers, number or answers.port, host in _LOOPBACK, False, False, False, alone)


__all__ = ["Listening", "listening"]
