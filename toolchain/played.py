"""A stack of a cloud on this machine: stand-ins play the cloud, the embedded cluster is every cluster they make.

What a stack has lies in a folder of its own: the cloud's objects, the cluster, the engine's state. So a state of
stand-ins never meets one of a real account, which is used only when CLOUD=real asks for it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

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
            for arguments in (destroy, ["stack", "rm", "--yes", "--force"]):
                if code := self.engine(*arguments).returncode:
                    return code
        cluster.down(self._cluster, purge=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return 0


def first_line(stack: str, kind: str) -> str:
    """What somebody must know before anything else."""
    return f"stack {stack}: target {kind}, played by stand-ins on this machine; no account is used (CLOUD=real would)"


def real(arguments: Sequence[str], stack: str, kind: str) -> int:
    """Run the engine as a person would, with its own login, state and plugins; it asks before it changes anything."""
    command = ["pulumi", *arguments, "--stack", stack]
    print(f"stack {stack}: target {kind}, in the account that you are logged in to (CLOUD=real): {' '.join(command)}")
    pulumi = build.installed_pulumi()
    if pulumi is None:
        least = ".".join(map(str, build.MINIMUM_PULUMI))
        raise engine.EngineError(
            f"a real account needs an installed pulumi of {least} or newer, which brings the cloud's own plugins; "
            f"with it: {' '.join(command)}"
        )
    return subprocess.run([str(pulumi), *command[1:]], cwd=engine.CLONE, check=False).returncode


__all__ = ["Played", "first_line", "real"]
