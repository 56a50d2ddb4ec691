"""The command in this process: what it prints and how it ends, without the time that a process of its own takes."""

from __future__ import annotations

import io
import os
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from modelberth.cli import main
from tests.modelberth.samples import ROOT


def ran(*words: str, cwd: Path = ROOT, stdin: str = "") -> CompletedProcess[str]:
    """Output, errors and exit code of ``modelberth WORDS``."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    code = 0
    with (
        patch.object(sys, "argv", ["modelberth", *words]),
        patch.object(sys, "stdin", given),
        patch.dict(os.environ, COLUMNS="200"),
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return CompletedProcess(["modelberth", *words], code, *texts)
