"""An engine's own argument parser in a process of its own, asked over a pipe: importing takes seconds, asking none."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolchain import inference

PROGRAM = Path(inference.STAND_IN).with_name("parse.py")
SOURCES = {"vllm": inference.vllm_source, "sglang": inference.sglang_source}
VERSIONS = {"vllm": inference.VLLM_PARSER, "sglang": inference.SGLANG_PARSER}


class Refusal(Exception):
    """The parser refuses the command line."""


class ParserProcess:
    """Started once, closed at the end.

    ``defaults`` are the values of an empty command line, ``flags`` every spelling with its name and argparse's nargs.
    """

    def __init__(self, engine: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(inference.python()), str(PROGRAM), engine],
            env=inference.parse_environment(SOURCES[engine]()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        first = self._answer()
        self.defaults: dict[str, Any] = first["values"]
        self.flags: dict[str, tuple[str, Any]] = {flag: (name, nargs) for flag, (name, nargs) in first["flags"].items()}

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """Every value that the parser gives to a command line. Raises :class:`Refusal`."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(list(words)) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "refused" in answer:
            raise Refusal(" ".join(answer["refused"]))
        return answer["values"]

    def values_or_none(self, words: Sequence[str]) -> dict[str, Any] | None:
        """The same, None when it is refused."""
        try:
            return self.values(words)
        except Refusal:
            return None

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise AssertionError(f"the parser ended: {self._errors.read()[-1500:]}")
        return json.loads(line)
