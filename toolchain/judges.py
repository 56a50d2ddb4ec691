"""Outside judges of what we render: cached environments, shared by clones, each keyed by a digest of its lock file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import build

LOCK = Path(__file__).resolve().parent / "judges.lock"
MOTO = Path(__file__).resolve().parent / "moto.lock"


def environment(lock: Path = LOCK) -> Path:
    """The directory of an environment; installs it when it is not there (about a minute, once)."""
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    return build.populate(build.cache() / f"{lock.stem}-{digest}", lambda directory: _install(directory, lock))


def python() -> Path:
    """Its interpreter. Programs are started as ``python -m``: the environment was renamed into place."""
    return environment() / "bin" / "python"


def moto() -> Path:
    """The interpreter that has moto, which answers as the APIs of AWS do, and botocore with their models."""
    return environment(MOTO) / "bin" / "python"


def llama_server() -> Path:
    """The real llama-server."""
    found = sorted(environment().glob("lib/python*/site-packages/**/llama-server"))
    if not found:
        raise build.BuildError("the judges' environment has no llama-server")
    return found[0]


def run(
    *arguments: str, timeout_s: float = 120, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a judge without any of our environment's Python settings, or in ``env``; output is captured."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} if env is None else env
    return subprocess.run(
        list(arguments), capture_output=True, text=True, check=False, env=clean, timeout=timeout_s, input=stdin
    )


@dataclass(frozen=True)
class Checked:
    """What checkov said of one file: (check, resource) of each check that failed and that passed."""

    failed: tuple[tuple[str, str], ...]
    passed: tuple[tuple[str, str], ...]


def checkov(*manifests: Path) -> list[list[dict[str, str]]]:
    """Failed checks of checkov's kubernetes framework for each file by itself: id, resource."""
    return [each["failed"] for each in _checkov("kubernetes", *manifests)]


def checkov_plans(*plans: Path) -> list[Checked]:
    """What checkov says of each plan of Terraform by itself (`terraform show -json`)."""
    return [
        Checked(*(tuple((check["id"], check["resource"]) for check in each[key]) for key in ("failed", "passed")))
        for each in _checkov("terraform_plan", *plans)
    ]


def _checkov(framework: str, *files: Path) -> list[dict[str, list[dict[str, str]]]]:
    script = Path(__file__).with_name("checkov_files.py")
    done = run(str(python()), str(script), framework, *map(str, files))
    if done.returncode:
        raise build.BuildError(f"checkov does not read {framework}: {(done.stdout + done.stderr).strip()[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def kubernetes_validate(version: str, *manifests: Path) -> str:
    """What kubernetes-validate --strict objects to for one Kubernetes minor; empty when it accepts."""
    command = [str(python()), "-m", "kubernetes_validate", "-k", version, "--strict", "--quiet"]
    done = run(*command, *map(str, manifests))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _install(directory: Path, lock: Path) -> None:
    print(f"toolchain: {lock.stem}: installing (about a minute)", file=sys.stderr, flush=True)
    started = time.monotonic()
    venv.create(directory, with_pip=True, symlinks=True)
    done = run(
        str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--require-hashes", "-r", str(lock), timeout_s=1200,
    )  # fmt: skip
    if done.returncode:
        raise build.BuildError(f"{lock.stem} cannot be installed: {done.stderr.strip()[-1500:]}")
    print(f"toolchain: {lock.stem}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    environment()
