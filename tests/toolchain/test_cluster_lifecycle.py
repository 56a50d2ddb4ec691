"""The embedded cluster's processes, ports, files and messages, with the real binaries."""

import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolchain import build
from toolchain.cluster import Cluster, ClusterError, certificates, down, processes, status, up
from toolchain.cluster.parts import BINARIES
from toolchain.cluster.processes import Process
from toolchain.cluster.state import State
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
NODES = ROOT / "toolchain" / "clusters" / "local.yaml"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """The state directory of a cluster of one test's own."""
    own = State(tmp_path / "cluster")
    yield own
    down(own.root, purge=True)


def state_of(cluster: Cluster) -> State:
    return State(cluster.kubeconfig.parent)


def pids(state: State) -> dict[str, int | None]:
    return {part.name: part.pid for part in status(state.root).parts}


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "toolchain.cluster", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_holds_keys_is_readable_by_its_owner_only(cluster: Cluster) -> None:
    state = state_of(cluster)
    secret = [cluster.kubeconfig, *state.certificates.glob("*.key"), *(state.root / "users").iterdir()]
    assert len(secret) > 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700


def test_api_server_and_etcd_answer_nobody_without_a_certificate(cluster: Cluster) -> None:
    state = state_of(cluster)
    context = ssl.create_default_context(cafile=state.certificates / "ca.crt")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{cluster.server}/api/v1/nodes", context=context)
    for port in ("etcd", "etcd-peer"):
        with pytest.raises(OSError, match="certificate required"):
            urllib.request.urlopen(f"https://127.0.0.1:{state.ports()[port]}/version", context=context)


def test_every_part_listens_on_loopback_only(cluster: Cluster) -> None:
    state = state_of(cluster)
    listening = {
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    }
    for port in state.ports().values():
        assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
    wide = Path("/proc/net/tcp6").read_text()
    assert not [port for port in state.ports().values() if f":{port:04X} " in wide]


def test_up_again_keeps_processes_ports_and_kubeconfig(cluster: Cluster) -> None:
    state = state_of(cluster)
    before = pids(state), state.ports(), cluster.kubeconfig.read_text(), cluster.kubeconfig.stat().st_mtime_ns
    assert up(state.root, NODES) == cluster
    assert before == (pids(state), state.ports(), cluster.kubeconfig.read_text(), cluster.kubeconfig.stat().st_mtime_ns)


def test_up_restarts_a_part_that_crashed_and_only_that(cluster: Cluster) -> None:
    state = state_of(cluster)
    before = pids(state)
    crashed = before["kube-scheduler"]
    assert crashed
    os.kill(crashed, signal.SIGKILL)
    Kube(cluster.kubeconfig).wait(lambda: not status(state.root).running, what="the crash seen by status")

    up(state.root, NODES)
    after = pids(state)
    assert {name for name in before if before[name] != after[name]} == {"kube-scheduler"}
    assert status(state.root).running


def test_two_ups_at_once_start_one_cluster_and_down_leaves_no_process(state: State) -> None:
    arguments = [sys.executable, "-m", "toolchain.cluster", "up", "--state", str(state.root)]
    racing = [subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [each.communicate(timeout=120)[0] for each in racing]
    assert [each.returncode for each in racing] == [0, 0]
    assert all(f"kubeconfig: {state.kubeconfig}" in output for output in outputs)
    started = set(processes.marked(state.root))
    assert {process.pid for process in started} == set(pids(state).values())

    assert down(state.root) == len(started)
    assert not [process for process in started if process.alive()]
    assert state.ports_file.exists()
    assert down(state.root, purge=True) == 0
    assert not list(state.root.parent.iterdir())


def test_down_also_ends_children_that_have_a_session_of_their_own(state: State) -> None:
    state.create()
    shell = ["/bin/sh", "-c", "setsid sleep 300 & exec sleep 300"]
    processes.start(shell, marker=state.root, log=state.log("kwok"), pid_file=state.pid_file("kwok"))
    while len(family := set(processes.marked(state.root))) < 2:
        pass

    assert down(state.root) == 2
    assert not [process for process in family if process.alive()]


def test_down_ends_a_cluster_whose_state_directory_was_deleted(state: State) -> None:
    state.create()
    sleeper = ["/bin/sleep", "300"]
    process = processes.start(sleeper, marker=state.root, log=state.log("kwok"), pid_file=state.pid_file("kwok"))
    shutil.rmtree(state.root)

    assert down(state.root) == 1
    assert not process.alive()


def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(state: State) -> None:
    state.create()
    stranger = subprocess.Popen(["sleep", "300"])
    try:
        process = Process.of(stranger.pid)
        assert process
        state.pid_file("kwok").write_text(f"{process.pid} {process.start_ticks - 1}\n")
        assert "not running" in status(state.root).text()
        assert down(state.root) == 0
        assert stranger.poll() is None
        assert not state.pid_file("kwok").exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_damaged_ports_file_is_told_and_purged(state: State) -> None:
    state.create()
    state.ports_file.write_text("{}")
    with pytest.raises(ClusterError, match=r"ports.json is damaged .* down --purge"):
        up(state.root, NODES)

    down(state.root, purge=True)
    assert not state.root.exists()


def test_a_directory_that_holds_something_else_is_neither_used_nor_purged(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for attempt in (lambda: up(tmp_path, NODES), lambda: down(tmp_path, purge=True)):
        with pytest.raises(ClusterError, match="not a cluster's state directory"):
            attempt()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_down_of_a_cluster_that_never_was_is_fine(tmp_path: Path) -> None:
    assert down(tmp_path / "nothing") == 0
    assert not (tmp_path / "nothing").exists()


def test_every_problem_of_the_nodes_file_is_told_at_once_and_nothing_is_started(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text(
        "- {machine: g2-standard-9, count: 1, zone: z}\n- {machine: g2-standard-8, count: two, zone: z, gpu: 1}\n"
    )
    with pytest.raises(ClusterError) as error:
        up(tmp_path / "cluster", nodes)

    message = str(error.value)
    assert "[0].machine: unknown machine type 'g2-standard-9'" in message
    assert "[1].gpu: unknown key" in message
    assert "[1].count: must be a number from 1 to 100, not 'two'" in message
    assert "\n" not in message
    assert not (tmp_path / "cluster").exists()


def test_a_port_that_another_program_took_is_named_with_the_way_out(state: State) -> None:
    state.create()
    port = state.ports()["scheduler"]
    with socket.create_server(("127.0.0.1", port)):
        done = command("up", "--state", state.root)

    assert done.returncode == 1
    assert f"{port} (kube-scheduler)" in done.stderr
    assert "down --purge" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(processes.marked(state.root))


def test_a_missing_binary_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_TOOLCHAIN", str(tmp_path / "toolchain"))
    for part in BINARIES:
        build.PARTS[part].directory().mkdir(parents=True)
        (build.PARTS[part].directory() / build.STAMP).write_text("{}")
    done = command("up", "--state", tmp_path / "cluster")

    assert done.returncode == 1
    assert "etcd is missing" in done.stderr
    assert "make setup" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_neither_binaries_nor_go_is_told_without_a_stack_trace(tmp_path: Path) -> None:
    done = command("up", "--state", tmp_path / "cluster", MODELBERTH_TOOLCHAIN=str(tmp_path / "empty"), PATH="/nowhere")

    assert done.returncode == 1
    assert "Go is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_that_ends_at_once_is_named_and_the_others_are_stopped(state: State) -> None:
    state.create()
    certificates.make(state.certificates)
    (state.certificates / "service-account.pub").write_text("no key")
    done = command("up", "--state", state.root)

    assert done.returncode == 1
    assert "kube-apiserver ended right after its start" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (state.root / "etcd").exists()
    assert not list(processes.marked(state.root))
