"""After an update that was cut off: the steps of docs/recovery.md, one after the other.

`python -m toolchain.recover STACK`. Everything it runs can be run by hand; it deletes nothing.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from modelberth import interrupted, recovery
from modelberth.errors import ModelberthError
from toolchain import engine, local, played

Ran = subprocess.CompletedProcess[str]
Pulumi = Callable[..., Ran]
FOLDER = local.ROOT / ".modelberth" / "recovery"
REFRESH = ("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--suppress-progress")
IMPORT = ("--yes", "--skip-preview", "--protect=false", "--generate-code=false", "--suppress-progress")


class RecoveryError(ModelberthError):
    """A step failed; the message is what it said."""


def readable(state: Path) -> None:
    """Let the engine read a state of its own disk again, after it was killed in the midst of writing it.

    It truncates the attributes of a file before it writes them, and reads no state whose attributes are empty; without
    any it reads it (gocloud.dev, blob/fileblob/attrs.go). What they describe was not written yet, or is whole.
    """
    for attributes in state.rglob("*.attrs"):
        if attributes.stat().st_size == 0:
            attributes.unlink()


def recover(pulumi: Pulumi, run: Callable[[list[str]], Ran], folder: Path) -> recovery.Recovery:
    """Bring a stack's state back to what exists. `pulumi` runs the engine on the stack, `run` a command of the cloud's.

    What was found and written on the way is in `folder`. Raises RecoveryError when a step fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pulumi("cancel", "--yes")  # fails when nothing runs and no lock is there
    state = _done(pulumi("stack", "export"))
    if not json.loads(state)["deployment"].get("resources"):
        return recovery.Recovery((), (), ())
    preview = _done(pulumi("preview", "--json"))
    for name, text in (("state", state), ("preview", preview)):
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    left = interrupted.left(state, preview)
    found = recovery.recovery(left, dict(_answers(recovery.questions(left), run)))
    _done(pulumi(*REFRESH))
    if found.takeovers:
        file = folder / "import.json"
        file.write_text(recovery.import_file(found.takeovers), encoding="utf-8")
        _done(pulumi("import", "--file", str(file), *IMPORT))
    return found


def _answers(
    commands: tuple[str, ...], run: Callable[[list[str]], Ran]
) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    for command in commands:
        try:
            done = run(shlex.split(command))
        except FileNotFoundError:
            continue
        if done.returncode == 0:
            yield command, recovery.listed(done.stdout)


def _done(ran: Ran) -> str:
    if ran.returncode:
        raise RecoveryError(f"{' '.join(map(str, ran.args))}: {(ran.stderr or '') + (ran.stdout or '')}".strip())
    return ran.stdout


def main(arguments: list[str]) -> int:
    """`python -m toolchain.recover STACK`."""
    if len(arguments) != 1:
        print("usage: python -m toolchain.recover STACK", file=sys.stderr)
        return 2
    return local.told(lambda: _recover(arguments[0]))


def _recover(stack: str) -> int:
    here = played.Played(stack)
    variables = here.variables() if here.is_there else None

    def pulumi(*words: str) -> Ran:
        if here.is_there:
            return here.engine(*words, capture=True)
        return engine.run([*words, "--stack", stack], root=local.ROOT, state=local.STATE, check=False, capture=True)

    def run(words: list[str]) -> Ran:
        return subprocess.run(words, check=False, capture_output=True, text=True, env=variables)

    if local.is_real():
        raise RecoveryError("a real account is not asked from here: docs/recovery.md has the steps")
    if here.is_there:
        here.start()
    readable(here.state if here.is_there else local.STATE)
    found = recover(pulumi, run, FOLDER)
    for line in recovery.told(found):
        print(line)
    if found.deletions or found.stopping:
        return 1
    print(f"now: make up STACK={stack}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
