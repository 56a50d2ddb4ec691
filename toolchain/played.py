"""A stack of a cloud on this machine: stand-ins play the cloud, the embedded cluster is every cluster they make.

What a stack has lies in a folder of its own: the cloud's objects, the cluster, the engine's state. So a state of
stand-ins never meets one of a real account, which is used only when CLOUD=real asks for it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from modelberth.cli_preflight import UNASKED
from toolchain import build, cluster, engine
from toolchain.kube import Kube

FOLDER = Path(".modelberth", "played")
NO_NODES = engine.CLONE / "toolchain" / "clusters" / "empty.yaml"


class Played:
    """One stack, with the cloud and the cluster that it runs on."""

    def __init__(self, stack: str, root: Path = engine.CLONE) -> None:
        self.stack, self._root = stack, root
        self.folder = root / FOLDER / stack
        self._cluster, self.cloud, self.state = (self.folder / each for each in ("cluster", "cloud", "state"))

    @property
    def is_there(self) -> bool:
        """Whether it was started and not taken down."""
        return self.folder.is_dir()

    def start(self) -> Kube:
        """Start the embedded cluster, without nodes: those come with node pools."""
        return Kube(cluster.up(self._cluster, NO_NODES).kubeconfig)

    def seed(self, stack_file: Path) -> None:
        """Let what the stack names as existing be there: cluster, network, key, role, buckets. It says what it made."""
        command = [sys.executable, "-m", "tests.providers.existing", str(stack_file)]
        variables = {**self.variables(), "PYTHONPATH": str(engine.CLONE)}
        subprocess.run(command, cwd=self._root, env=variables, check=True, stderr=subprocess.PIPE, text=True)

    def engine(self, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the engine on the stack; its exit code is the caller's business."""
        return engine.run(
            [*arguments, "--stack", self.stack],
            root=self._root,
            state=self.state,
            check=False,
            capture=capture,
            variables=self.variables(),
        )

    def variables(self) -> dict[str, str]:
        """The environment in which the stand-ins are the clouds."""
        from tests.providers import homes

        return homes.environment(self._root, self.state, self.cloud, self._cluster / "kubeconfig")

    def down(self) -> int:
        """Destroy, forget the stack, stop the cluster, delete the folder. Returns the engine's exit code."""
        if (self.state / ".pulumi").is_dir():
            self.start()
            # What is protected would survive; here it goes with the cloud that was played.
            destroy = ["destroy", "--yes", "--suppress-progress", "--exclude-protected"]
            if code := self.engine(*destroy).returncode:
                return code
            if left := kept(self.engine("stack", "export", capture=True).stdout):
                print(f"an account would keep {told(left)}; here they go with the cloud that was played", flush=True)
            if code := self.engine("stack", "rm", "--yes", "--force").returncode:
                return code
        cluster.down(self._cluster, purge=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return 0


def first_line(stack: str, kind: str) -> str:
    """What somebody must know before anything else."""
    return f"stack {stack}: target {kind}, played by stand-ins on this machine; no account is used (CLOUD=real would)"


def real_up(policies: Path, stack: str, kind: str) -> int:
    """Run the engine as a person would, with its own login, state and plugins; it asks before it changes anything.

    Before a stack's first `up` the account is asked for its quotas, as far as its command is there and logged in: one
    that is too small stops here. Later the stack's own machines count in what is used, and nobody is asked.
    """
    up = ["up", "--policy-pack", str(policies)]
    _announce(up, stack, kind)
    there = _installed(["stack", "export"], stack, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if there.returncode or not _of_clouds(there.stdout):
        asked = [str(Path(sys.executable).with_name("modelberth")), "preflight", stack]
        if (code := subprocess.run(asked, cwd=engine.CLONE, check=False).returncode) not in (0, UNASKED):
            return code
    return _installed(up, stack).returncode


def real_down(stack: str, kind: str) -> int:
    """Destroy in an account all that is not protected, and say what stays.

    Raises EngineError, with nothing destroyed, while a cluster is protected: everything around it would go, and it not.
    """
    destroy = ["destroy", "--exclude-protected"]
    _announce(destroy, stack, kind)
    before = _installed(["stack", "export"], stack, stdout=subprocess.PIPE)
    if before.returncode:
        return before.returncode
    if clusters := protected_clusters(before.stdout):
        raise engine.EngineError(
            f"{told(clusters)} is protected: its nodes would go, and it would stay and be paid for. Set "
            "deletion_protection: false, then CLOUD=real make up, then this again"
        )
    if code := _installed(destroy, stack).returncode:
        return code
    left = kept(_installed(["stack", "export"], stack, stdout=subprocess.PIPE).stdout)
    if left:
        print(f"the account keeps {told(left)}")
        print("the next up builds the rest around them; `pulumi stack rm --force` forgets them and deletes nothing")
    if forgotten := [each for each in retained(before.stdout) if each not in left]:
        print(f"the account keeps, and the stack has forgotten, {told(forgotten)}")
        print("name them in the stack before the next up, where it would make them again")
    return 0


def kept(exported: str) -> tuple[str, ...]:
    """What an exported state holds in clouds: the type and the id of each."""
    return _named(_of_clouds(exported))


def retained(exported: str) -> tuple[str, ...]:
    """What of an exported state stays in its cloud when the engine lets go of it."""
    return _named(each for each in _of_clouds(exported) if each.get("retainOnDelete"))


def protected_clusters(exported: str) -> tuple[str, ...]:
    """The clusters of an exported state that the engine does not delete: the type and the id of each."""
    found = (each for each in _of_clouds(exported) if each.get("protect"))
    return _named(each for each in found if each["type"].endswith("/cluster:Cluster"))


def _named(resources: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{each['type']} {each['id']}" for each in resources)


def _of_clouds(exported: str) -> list[dict[str, Any]]:
    found = (json.loads(exported or "{}").get("deployment") or {}).get("resources") or []
    return [each for each in found if each.get("custom") and not each["type"].startswith(("pulumi:", "kubernetes:"))]


def told(things: Sequence[str]) -> str:
    """Things in one line, with their number."""
    return f"{len(things)}: {', '.join(things)}" if len(things) > 1 else "".join(things)


def _announce(arguments: Sequence[str], stack: str, kind: str) -> None:
    command = " ".join(["pulumi", *arguments, "--stack", stack])
    print(f"stack {stack}: target {kind}, in the account that you are logged in to (CLOUD=real): {command}", flush=True)


def _installed(
    arguments: Sequence[str], stack: str, *, stdout: int | None = None, stderr: int | None = None
) -> subprocess.CompletedProcess[str]:
    """The installed engine on a stack of this project."""
    command = ["pulumi", *arguments, "--stack", stack]
    pulumi = build.installed_pulumi()
    if pulumi is None:
        least = ".".join(map(str, build.MINIMUM_PULUMI))
        raise engine.EngineError(
            f"a real account needs an installed pulumi of {least} or newer, which brings the cloud's own plugins; "
            f"with it: {' '.join(command)}"
        )
    return subprocess.run(
        [str(pulumi), *command[1:]], cwd=engine.CLONE, check=False, stdout=stdout, stderr=stderr, text=True
    )


__all__ = ["Played", "first_line", "kept", "protected_clusters", "real_down", "real_up"]
