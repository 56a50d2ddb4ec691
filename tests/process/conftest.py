"""The pack as a process of its own, started as the engine starts it: folder, command, two variables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import analyzer_pb2_grpc

from tests.rules.samples import ROOT

PACK = ROOT / "policies"


@contextmanager
def started(folder: Path, home: Path, python: str = sys.executable) -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    """A pack in a folder, run by an interpreter; it is stopped at the end."""
    process = subprocess.Popen(
        [python, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(folder)],
        cwd=folder,
        env={"HOME": str(home), "PATH": os.defpath},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        port = process.stdout.readline().strip()
        assert port.isdigit(), f"the pack did not start: {process.communicate()[1]}"
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    """The pack of this checkout."""
    with started(PACK, tmp_path_factory.mktemp("home")) as stub:
        yield stub
