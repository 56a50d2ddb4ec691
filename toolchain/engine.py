"""Run the Pulumi engine on a project whose state is a directory of this machine.

`python -m toolchain.engine up --stack local --yes` and the like. An installed `pulumi` that is new enough is used, with
the plugins it fetches itself; otherwise the engine and the provider that toolchain.build makes.

A run changes no file that git tracks. The engine keeps a stack's encryption salt in the stack's settings file; so it
gets a copy of that file, kept with the state, and finds the salt in the state when the copy has none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from toolchain import build

CLONE = Path(__file__).resolve().parent.parent
STATE = Path(".modelberth", "state")
PASSPHRASE = "modelberth"  # noqa: S105 (no secret: the state is local and thrown away; the user's own goes first)
SETTINGS_COMMANDS = frozenset(
    {"destroy", "dn", "down", "import", "logs", "pre", "preview", "refresh", "up", "update", "watch"}
)
"""Commands that read a stack's settings and take `--config-file`."""
REFUSED = {
    ("stack", "init"): "the first `up` or `preview` makes the stack",
    ("new",): "this is a project already",
    ("install",): "`make setup` installs what is needed",
}


class EngineError(Exception):
    """The engine cannot be run as asked; the message names the way out."""


def environment(root: Path, state: Path) -> dict[str, str]:
    """The whole environment for running `pulumi` in the project `root` with its state in the directory `state`.

    Nothing that providers take as inputs is passed on: a variable that is set on one run and not on the next would be
    a change. Raises BuildError when there is no engine and none can be built.
    """
    dropped = {"KUBECONFIG", "PYTHONDONTWRITEBYTECODE"}
    result = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("PULUMI_K8S_")}
    if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & result.keys():
        result["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE
    result |= {
        "PULUMI_BACKEND_URL": f"file://{state.absolute()}",
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if installed := build.installed_pulumi():
        return result | {"PULUMI_HOME": str(build.cache() / "home"), "PATH": _path(installed.parent)}
    parts = build.require("engine", "kubernetes-provider")
    return result | {
        "PULUMI_HOME": str(_home(parts)),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PATH": _path(parts["engine"]),
        # The language host is this clone's own and runs with the Python that runs this module.
        "MODELBERTH_PYTHON": sys.executable,
        "MODELBERTH_CLONE": str(CLONE),
    }


def init(stack: str, *, root: Path, state: Path) -> None:
    """Make the stack if it is not there yet, in a project of the same name beside the state: the salt goes there."""
    stand_in = state / "project"
    stand_in.mkdir(parents=True, exist_ok=True)
    settings = {"name": _project(root)["name"], "runtime": "python"}
    (stand_in / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        ["pulumi", "stack", "select", "--create", "--stack", stack, "--non-interactive"],
        cwd=stand_in,
        env=environment(root, state),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise EngineError(f"stack {stack} cannot be made in {state}: {(done.stderr or done.stdout).strip()}")


def run(
    arguments: Sequence[str],
    *,
    root: Path,
    state: Path,
    stack_file: Path | None = None,
    check: bool = True,
    capture: bool = False,
    timeout_s: float | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `pulumi` with these arguments. A stack that is not there yet is made.

    `stack_file` are the stack's settings when they are not the project's own, `variables` the environment when it is
    not that of `environment`. With `capture`, stdout and stderr are in the result. Raises CalledProcessError when
    `check` and the exit code is not 0, EngineError and BuildError when it cannot be run at all.
    """
    command = _command(arguments, root=root, state=state, stack_file=stack_file)
    return subprocess.run(
        command,
        cwd=root,
        env=variables or environment(root, state),
        check=check,
        capture_output=capture,
        text=True,
        timeout=timeout_s,
    )


def _command(arguments: Sequence[str], *, root: Path, state: Path, stack_file: Path | None = None) -> list[str]:
    for refused, instead in REFUSED.items():
        if tuple(arguments[: len(refused)]) == refused:
            raise EngineError(f"`{' '.join(refused)}` is not for this project: {instead}.")
    state.mkdir(parents=True, exist_ok=True)
    command = ["pulumi", *arguments]
    if tuple(arguments[:2]) in {("stack", "rm"), ("stack", "remove")}:
        return [*command, "--preserve-config"]
    if not arguments or arguments[0] not in SETTINGS_COMMANDS or {"--help", "-h"} & set(arguments):
        return command
    if "--remove" in arguments:
        raise EngineError("`--remove` would delete the stack's settings file: run `destroy`, then `stack rm`.")
    stack = _stack(arguments)
    if stack is None:
        raise EngineError(f"`{arguments[0]}` needs to know the stack: add `--stack NAME`.")
    settings = stack_file or root / _project(root).get("stackConfigDir", "") / f"Pulumi.{stack}.yaml"
    if not settings.is_file():
        raise EngineError(f"stack {stack} has no settings: {settings} is not there.")
    init(stack, root=root, state=state)
    copy = state / "settings" / f"Pulumi.{stack}.yaml"
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(settings, copy)
    return [*command, "--config-file", str(copy.absolute())]


def _stack(arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument in {"--stack", "-s"} and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith("--stack="):
            return argument.removeprefix("--stack=")
    return None


def _project(root: Path) -> dict[str, str]:
    file = root / "Pulumi.yaml"
    if not file.is_file():
        raise EngineError(f"{root} is no Pulumi project: it has no Pulumi.yaml.")
    return yaml.safe_load(file.read_text())


def _path(first: Path) -> str:
    return os.pathsep.join([str(first), os.environ.get("PATH", os.defpath)])


def _home(parts: dict[str, Path]) -> Path:
    """The engine's own directory, with the Kubernetes plugin installed: a plugin found on PATH warns on every run."""
    version = build.PARTS["kubernetes-provider"].version
    engine, provider = parts["engine"], parts["kubernetes-provider"]
    binary = provider / "pulumi-resource-kubernetes"

    def install(home: Path) -> None:
        command = [engine / "pulumi", "plugin", "install", "resource", "kubernetes", f"v{version}", "--file", binary]
        own = {"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
        done = subprocess.run(command, env={**os.environ, **own}, check=False, capture_output=True, text=True)
        if done.returncode:
            raise build.BuildError(f"the Kubernetes plugin cannot be installed: {done.stderr.strip()}")

    digests = "-".join(directory.name.rpartition("-")[2] for directory in (engine, provider))
    return build.populate(build.cache() / f"home-{digests}", install)


def main(arguments: list[str]) -> int:
    """Become `pulumi` with these arguments, on this clone's project or, after `-C DIR`, on another."""
    state, root = CLONE / STATE, CLONE
    if arguments[:1] == ["-C"] and len(arguments) > 1:
        root, arguments = Path(arguments[1]).resolve(), arguments[2:]
    try:
        command = _command(arguments, root=root, state=state)
        variables = environment(root, state)
    except (EngineError, build.BuildError) as error:
        print(f"toolchain: {error}", file=sys.stderr)
        return 1
    os.chdir(root)
    return os.execvpe(command[0], command, variables)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
