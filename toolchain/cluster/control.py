"""Starting and stopping the embedded cluster."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain.cluster import kubeconfigs, objects, processes
from toolchain.cluster.errors import ClusterError
from toolchain.cluster.parts import PARTS, Part, binaries
from toolchain.cluster.processes import Process
from toolchain.cluster.state import State, check_linux, port_is_free
from toolchain.kube import Kube, KubeError, Manifest

HEALTHY_WITHIN_S = 90.0


@dataclass(frozen=True)
class Cluster:
    """A running cluster; both stay the same from run to run of one state directory."""

    kubeconfig: Path
    server: str


def up(state_dir: Path, nodes_file: Path) -> Cluster:
    """Starts what does not run, brings nodes and storage to what the file says, and waits until all is healthy.

    Raises `ClusterError`, and stops what it had started, when that cannot be done.
    """
    check_linux()
    manifests = objects.desired(nodes_file)
    state = State(state_dir.resolve())
    with state.lock():
        ports = state.ports()
        cluster = Cluster(state.kubeconfig, f"https://127.0.0.1:{ports['apiserver']}")
        running = {part.name: Process.read(state.pid_file(part.name)) for part in PARTS}
        absent = [part for part in PARTS if not running[part.name]]
        _check_ports(state, ports, absent)
        if not state.certificates.is_dir():
            from toolchain.cluster import certificates  # here, for it takes cryptography 0.2 s to be imported

            certificates.make(state.certificates)
        kubeconfigs.write(state, cluster.server)
        started: dict[str, Process] = {}
        try:
            _start(state, ports, absent, started)
            _settle(state, ports, Kube(cluster.kubeconfig), manifests)
        except BaseException as error:
            for process in reversed(started.values()):
                process.stop()
            if isinstance(error, KubeError | TimeoutError):
                raise ClusterError(f"{error}; logs: {state.log('kube-apiserver').parent}") from error
            raise
        return cluster


def down(state_dir: Path, *, purge: bool = False) -> int:
    """Stops the cluster and returns how many processes that were; with `purge`, also deletes all it kept."""
    check_linux()
    state = State(state_dir.resolve())
    if not state.root.is_dir():
        return _stop_strays(state)  # someone may have deleted the directory of a running cluster
    with state.lock():
        recorded = [Process.read(state.pid_file(part.name)) for part in reversed(PARTS)]
        running = [process for process in recorded if process]
        for process in running:
            process.stop()
        stopped = len(running) + _stop_strays(state)
        for part in PARTS:
            state.pid_file(part.name).unlink(missing_ok=True)
        if purge:
            doomed = state.root.with_name(
                f"{state.root.name}.purged"
            )  # gone in one step for whoever waits for the lock
            state.root.replace(doomed)
            shutil.rmtree(doomed)
    return stopped


def _stop_strays(state: State) -> int:
    """Stops what belongs to the cluster and no pid file speaks of, such as a child in a session of its own."""
    strays = list(processes.marked(state.root))
    for stray in strays:
        stray.stop()
    return len(strays)


def _check_ports(state: State, ports: Mapping[str, int], absent: list[Part]) -> None:
    taken = [f"{ports[port]} ({part.name})" for part in absent for port in part.ports if not port_is_free(ports[port])]
    if taken:
        raise ClusterError(
            f"another program listens on port {', '.join(taken)} of the cluster in {state.root}; stop that program, "
            f"or choose new ports with `modelberth-cluster down --purge --state {state.root}` (deletes the cluster)"
        )


def _start(
    state: State,
    ports: Mapping[str, int],
    absent: list[Part],
    started: dict[str, Process],
) -> None:
    """Starts parts in order; the first two must be healthy before what depends on them starts."""
    commands = binaries() if absent else {}
    for part in absent:
        started[part.name] = processes.start(
            [commands[part.name], *part.flags(state, ports)],
            marker=state.root,
            log=state.log(part.name),
            pid_file=state.pid_file(part.name),
        )
        if part.name in ("etcd", "kube-apiserver"):
            _wait_healthy(state, ports, [part])


def _settle(state: State, ports: Mapping[str, int], kube: Kube, manifests: list[Manifest]) -> None:
    _wait_healthy(state, ports, list(PARTS))
    objects.converge(kube, manifests)
    account = "/api/v1/namespaces/default/serviceaccounts/default"

    def settled() -> bool:
        for part in PARTS:
            _check_alive(state, part)
        return _nodes_ready(kube) and kube.find(account) is not None

    kube.wait(settled, HEALTHY_WITHIN_S, what="all simulated nodes Ready, and a default service account")


def _nodes_ready(kube: Kube) -> bool:
    """Whether every simulated node reports Ready and the controller took the not-ready taint off again."""
    return all(map(objects.ready, kube.list("/api/v1/nodes", labels=f"{objects.SIMULATED}=true")))


def _wait_healthy(state: State, ports: Mapping[str, int], parts: list[Part]) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    for part in parts:
        while not part.healthy(state, ports):
            _check_alive(state, part)
            if time.monotonic() > deadline:
                raise ClusterError(f"{part.name} is not healthy after {HEALTHY_WITHIN_S:g} s; {state.log(part.name)}")
            time.sleep(0.05)


def _check_alive(state: State, part: Part) -> None:
    if not Process.read(state.pid_file(part.name)):
        raise ClusterError(f"{part.name} ended right after its start: {_last_line(state.log(part.name))}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return f"{last.strip()[:400]} (log: {log})"
