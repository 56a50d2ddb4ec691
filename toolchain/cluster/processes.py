"""Processes that outlive the command that started them, told apart from strangers that got the same pid."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MARKER = "MODELBERTH_CLUSTER_STATE"
"""Environment variable, inherited by every child, that names the state directory a process belongs to."""


@dataclass(frozen=True)
class Process:
    """A process: the kernel never gives the same pid and start time (clock ticks since boot) to two."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The live process that has this pid now."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if fields[0] in "ZX":
            _reap(pid)
            return None
        return cls(pid, int(fields[19]))

    @classmethod
    def read(cls, pid_file: Path) -> "Process | None":
        """The process a pid file speaks of, if it is that one and runs."""
        try:
            pid, start_ticks = map(int, pid_file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        recorded = cls(pid, start_ticks)
        return recorded if recorded.alive() else None

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    @property
    def memory_bytes(self) -> int:
        """Resident memory; 0 once the process is gone."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (FileNotFoundError, ProcessLookupError):
            return 0

    def stop(self, grace_s: float = 10.0) -> None:
        """Asks the process to end, and ends it after the grace period."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.alive():
                return  # the descriptor holds a stranger
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            for signal_number, patience_s in (
                (signal.SIGTERM, grace_s),
                (signal.SIGKILL, 10.0),
            ):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal_number)
                if ended.poll(patience_s * 1000):
                    break
        finally:
            os.close(descriptor)
            _reap(self.pid)


def start(command: Sequence[str | Path], *, marker: Path, log: Path, pid_file: Path) -> Process:
    """Starts a command in a session of its own, with a bare environment, and records it in its pid file."""
    # A bare environment: proxies, tokens and Go settings of whoever runs us must not change the cluster.
    environment = {"PATH": os.defpath, "HOME": str(marker), MARKER: str(marker)}
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    pid = os.posix_spawn(
        command[0],
        [str(word) for word in command],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    process = Process.of(pid) or Process(pid, 0)
    pid_file.write_text(f"{process.pid} {process.start_ticks}\n")
    return process


def marked(marker: Path) -> Iterator[Process]:
    """Every live process that belongs to a state directory, by its environment: also those no pid file speaks of."""
    wanted = f"{MARKER}={marker}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue  # gone meanwhile, or another user's
        if wanted in environment.split(b"\0") and (process := Process.of(int(entry.name))):
            yield process


def _reap(pid: int) -> None:
    """Takes the exit status of a child of this very process, which is a zombie until then."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
