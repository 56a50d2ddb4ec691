"""Programs of the user's that are asked something: by their words, never through a shell, for a stated time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from modelberth.errors import ModelberthError

TIMEOUT_S = 60
_LONGEST = 200
"""Characters of what a program complains that are shown."""


class Unanswered(ModelberthError):
    """A program is not there, refused, or took too long."""


def answer(words: Sequence[str], timeout_s: float = TIMEOUT_S) -> str:
    """What a program prints. Raises :class:`Unanswered` with what it says instead."""
    program = shutil.which(words[0])
    if program is None:
        raise Unanswered(f"{words[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise Unanswered(f"{words[0]} did not answer in {timeout_s:g} s") from None
    except OSError as error:
        raise Unanswered(f"{words[0]} cannot be run ({type(error).__name__})") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise Unanswered(f"{words[0]}: {said if len(said) <= _LONGEST else said[: _LONGEST - 3] + '...'}")
    return done.stdout
