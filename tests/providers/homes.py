"""A home of the engine in which the stand-ins are installed, and the environment for running it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tests.providers import sdk_types
from tests.providers.cloud import FOLDER_VARIABLE
from toolchain import build, engine

PACKAGES = ("gcp", "aws")
SCRIPT = """#!/bin/sh
export PYTHONPATH={clone}
exec {python} -m tests.providers {package} "$@"
"""


def environment(root: Path, state: Path, cloud: Path, kubeconfig: Path | None = None) -> dict[str, str]:
    """The environment of `toolchain.engine`, with the stand-ins as the `gcp` and `aws` plugins.

    `cloud` is the folder that the stand-ins keep their objects in; `kubeconfig` is that of the cluster which every
    Kubernetes cluster they make turns out to be.
    """
    variables = engine.environment(root, state)
    variables |= {
        "PULUMI_HOME": str(_home(Path(variables["PULUMI_HOME"]), cloud / ".home")),
        FOLDER_VARIABLE: str(cloud),
    }
    return variables


def _home(existing: Path, home: Path) -> Path:
    """A home beside the cloud: the plugins of the existing one, and the stand-ins at the versions of their SDKs."""
    python = variables_python()
    for directory in (existing / "plugins").iterdir():
        if directory.is_dir():
            _linked(directory, home / "plugins" / directory.name)
        elif not (home / "plugins" / directory.name).exists():
            (home / "plugins").mkdir(parents=True, exist_ok=True)
            (home / "plugins" / directory.name).write_bytes(directory.read_bytes())
    for package in PACKAGES:
        directory = home / "plugins" / f"resource-{package}-v{sdk_types.version(package)}"
        directory.mkdir(parents=True, exist_ok=True)
        script = directory / f"pulumi-resource-{package}"
        script.write_text(
            SCRIPT.format(clone=shlex.quote(str(engine.CLONE)), python=shlex.quote(python), package=package)
        )
        script.chmod(0o755)
    return home


def variables_python() -> str:
    """The interpreter that has the SDKs: the one that runs this."""
    import sys

    return sys.executable


def _linked(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if not (target / file.name).exists():
            os.symlink(file, target / file.name)


__all__ = ["build", "environment"]
