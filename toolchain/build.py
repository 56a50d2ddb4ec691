"""Build the binaries of the toolchain from the Go modules pinned under modules/.

`python -m toolchain.build [--tests] [PART ...]` builds what is missing: all parts, less those that an installed
`pulumi` makes unnecessary and, without `--tests`, those that only tests use. Each part lands in its own directory of
the cache, named after a digest of everything that shapes it, so a second clone finds it there and an interrupted build
goes on with the part it was at.

The standard library is enough for this module; it is imported before dependencies are installed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.parts import GO_FLAGS, LINKER_FLAGS, PARTS, BuildError, Part, cache

MINIMUM_PULUMI = (3, 231, 0)
STAMP = "stamp.json"

REPLACED_BY_PULUMI = frozenset({"engine", "kubernetes-provider"})
"""Parts that an installed `pulumi` makes unnecessary: it brings its language host and fetches providers itself."""


def require(*names: str) -> dict[str, Path]:
    """Directories of the named parts; builds what is missing.

    Raises BuildError when a part cannot be built.
    """
    if unknown := [name for name in names if name not in PARTS]:
        raise BuildError(f"No such part: {', '.join(unknown)}. Parts: {', '.join(PARTS)}.")
    return {
        name: populate(PARTS[name].directory(), lambda into, name=name: _build(PARTS[name], into)) for name in names
    }


def binary(part: str, name: str) -> Path:
    """Path of one binary; builds its part if that is missing."""
    return require(part)[part] / name


def populate(directory: Path, fill: Callable[[Path], None]) -> Path:
    """`directory`, complete: if it is not there yet, `fill` gets an empty one to fill, which is then renamed.

    A lock makes other processes that want the same directory wait for it instead of filling it a second time.
    """
    if (directory / STAMP).exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _lock(directory.with_name(f".{directory.name}.lock"), directory.name):
        if (directory / STAMP).exists():
            return directory
        partial = directory.with_name(f".{directory.name}.partial")
        for leftover in (partial, directory):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        started = time.monotonic()
        try:
            fill(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        (partial / STAMP).write_text(json.dumps({"seconds": round(time.monotonic() - started)}) + "\n")
        partial.rename(directory)
    return directory


@contextmanager
def _lock(path: Path, what: str) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another process that is building {what} ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def installed_pulumi() -> Path | None:
    """The `pulumi` on PATH if it is new enough, else None. One of our own cache does not count."""
    found = shutil.which("pulumi")
    if found is None or Path(found).resolve().is_relative_to(cache().resolve()):
        return None
    import subprocess

    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(
            [found, "version"], check=False, env=environment, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.match(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout.strip())
    if answer.returncode or version is None or tuple(map(int, version.groups())) < MINIMUM_PULUMI:
        return None
    return Path(found)


def needed_parts(tests: bool = False) -> list[str]:
    """Parts that the main job needs, with those that only tests use or without; less what an installed `pulumi` makes
    unnecessary.
    """
    unnecessary = REPLACED_BY_PULUMI if installed_pulumi() else frozenset[str]()
    return [name for name, part in PARTS.items() if name not in unnecessary and (tests or not part.for_tests)]


def _build(part: Part, into: Path) -> None:
    if shutil.which("go") is None:
        raise BuildError(_no_go(part, "Go is not installed"))
    work = into / "module"
    shutil.copytree(part.module, work)
    go_version = _go(part, work, "env", "GOVERSION").strip()
    binaries = ", ".join(part.binaries or part.extras)
    _say(f"building {part.name} {part.version} ({binaries}) with {go_version}: about {part.minutes} min if cold ...")
    started = time.monotonic()
    for name, source in part.sources.items():
        _take(part, work, source, work / name)
    for name, source in part.extras.items():
        _take(part, work, source, into / name)
    for name in part.scripts:
        shutil.copyfile(work / name, into / name)
        (into / name).chmod(0o755)
    linker = " ".join([LINKER_FLAGS, *(f"-X {name}={value}" for name, value in part.variables.items())])
    for name, package in part.binaries.items():
        _go(part, work, "build", *GO_FLAGS, "-ldflags", linker, "-o", str(into / name), package)
    shutil.rmtree(work)
    _say(f"built {part.name} in {_duration(time.monotonic() - started)}")


def _take(part: Part, work: Path, source: tuple[str, str], target: Path) -> None:
    """Copy a file or folder out of a Go module, which is fetched if it is not in the module cache."""
    module, path = source
    found = Path(json.loads(_go(part, work, "mod", "download", "-json", module))["Dir"], path)
    if found.is_dir():
        target.mkdir()
    for file in sorted(found.iterdir()) if found.is_dir() else [found]:
        copied = Path(shutil.copy(file, target))
        copied.chmod(copied.stat().st_mode | 0o200)


def _go(part: Part, work: Path, *arguments: str) -> str:
    import subprocess

    environment = {**os.environ, **part.environment}
    done = subprocess.run(["go", *arguments], cwd=work, env=environment, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr or done.stdout).strip()
    if re.search(r"requires go >= |download go1\.", said):
        raise BuildError(_no_go(part, f"the installed Go is too old ({said.splitlines()[-1]})"))
    last = "\n".join(f"  {line}" for line in said.splitlines()[-12:])
    raise BuildError(
        f"{part.name}: `go {arguments[0]}` failed:\n{last}\n"
        "Set right what these lines name (network, module proxy, disk space) and run it again: "
        "finished parts and compiled packages are kept."
    )


def _no_go(part: Part, why: str) -> str:
    pulumi = ".".join(map(str, MINIMUM_PULUMI))
    if part.for_tests:
        return (
            f"{part.name} {part.version} is not built yet, and {why}. Only tests use it: `make up` goes without, and "
            f"Go {part.go_version} or newer builds it."
        )
    also = (
        "it replaces this part"
        if part.name in REPLACED_BY_PULUMI
        else "and use a Kubernetes cluster of your own: this part belongs to the embedded one"
    )
    return (
        f"{part.name} {part.version} is not built yet, and {why}. Two ways out:\n"
        f"  - install Go {part.go_version} or newer: every part is built with it;\n"
        f"  - install pulumi {pulumi} or newer: {also}."
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _say(line: str) -> None:
    print(f"toolchain: {line}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Build the named parts, or else what this machine needs; `--tests` adds what only tests use."""
    names = [argument for argument in arguments if argument != "--tests"]
    try:
        require(*(names or needed_parts(tests="--tests" in arguments)))
    except BuildError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("stopped; run it again to go on, finished parts are kept")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
