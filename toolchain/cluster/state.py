"""What the embedded cluster keeps on disk: where things lie, its ports, and the lock that guards a change."""

import contextlib
import fcntl
import json
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolchain.cluster.errors import ClusterError

ROOT = Path(__file__).resolve().parents[2]

# Below the range Linux takes ports of outgoing connections from (32768 and up), so that none of those takes ours.
PORT_RANGE = range(20000, 32000)
PORTS: tuple[str, ...] = ("apiserver", "etcd", "etcd-peer", "controller-manager", "scheduler")


@dataclass(frozen=True)
class State:
    """Layout of one state directory."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def etcd_data(self) -> Path:
        return self.root / "etcd"

    @property
    def ports_file(self) -> Path:
        return self.root / "ports.json"

    def user_kubeconfig(self, user: str) -> Path:
        return self.root / "users" / f"{user}.kubeconfig"

    def log(self, part: str) -> Path:
        return self.root / "logs" / f"{part}.log"

    def pid_file(self, part: str) -> Path:
        return self.root / "run" / f"{part}.pid"

    @property
    def lock_file(self) -> Path:
        return self.root / "modelberth-cluster.lock"

    def create(self) -> None:
        """Makes the directories, readable by their owner only; refuses a directory that holds something else."""
        if self.root.exists() and not self.lock_file.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise ClusterError(f"{self.root} is not a cluster's state directory; name a new or empty one with --state")
        for folder in (
            self.root,
            self.root / "users",
            self.root / "logs",
            self.root / "run",
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock_file.touch()

    def remembered_ports(self) -> dict[str, int] | None:
        """The ports chosen on the first run, by name; None before that."""
        try:
            ports = json.loads(self.ports_file.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            ports = {}
        if set(ports) != set(PORTS):
            raise ClusterError(
                f"{self.ports_file} is damaged or of another version; start anew with "
                f"`modelberth-cluster down --purge --state {self.root}` (deletes the cluster)"
            )
        return ports

    def ports(self) -> dict[str, int]:
        """The ports by name, chosen free on the first run and the same ever after."""
        if remembered := self.remembered_ports():
            return remembered
        free = (port for port in random.sample(PORT_RANGE, len(PORT_RANGE)) if port_is_free(port))
        chosen = dict(zip(PORTS, free, strict=False))
        write_private(self.ports_file, json.dumps(chosen))
        return chosen

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the state directory; whoever comes second waits."""
        while True:
            self.create()
            with open(self.lock_file, "w") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                if not _is_same_file(held.fileno(), self.lock_file):
                    continue  # the one before us deleted the directory
                yield
                return


def port_is_free(port: int) -> bool:
    """Whether a server could listen on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: a closing connection is no user
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_private(path: Path, text: str) -> None:
    """Writes a file in one step that only its owner can read."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def check_linux() -> None:
    """Refuses systems without /proc."""
    if not Path("/proc/self/stat").exists():
        raise ClusterError("the embedded cluster needs Linux; elsewhere, use the kubeconfig of a cluster you have")


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
