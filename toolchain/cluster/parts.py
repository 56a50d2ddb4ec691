"""The parts of the embedded cluster: their binaries, flags, ports and health."""

import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain.cluster.errors import ClusterError
from toolchain.cluster.state import ROOT, State

STAGES = ROOT / "toolchain" / "stages"
SERVICE_CIDR = "10.96.0.0/16"
POD_CIDR = "10.244.0.0/16"
NODE_ANNOTATION = "kwok.x-k8s.io/node=fake"

# Part of the toolchain -> the binaries in it.
BINARIES = {
    "etcd": ("etcd",),
    "control-plane": ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    "kwok": ("kwok",),
}


@dataclass(frozen=True)
class Part:
    """One process of the cluster; `ports` names those it listens on, the first answers `health`."""

    name: str
    ports: tuple[str, ...]
    health: str
    flags: Callable[[State, Mapping[str, int]], list[str]]

    def healthy(self, state: State, ports: Mapping[str, int]) -> bool:
        """Whether it says so itself; kwok has no port, it shows in the nodes."""
        if not self.ports:
            return True
        context = ssl.create_default_context(cafile=state.certificates / "ca.crt")
        context.load_cert_chain(state.certificates / "admin.crt", state.certificates / "admin.key")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
        )
        try:
            with opener.open(f"https://127.0.0.1:{ports[self.ports[0]]}{self.health}", timeout=5):
                return True
        except OSError:
            return False


def binaries() -> dict[str, Path]:
    """The binary of each part by name; builds what is not built yet."""
    from toolchain import build

    try:
        folders = build.require(*BINARIES)
    except build.BuildError as error:
        raise ClusterError(str(error)) from error
    found = {name: folders[part] / name for part, names in BINARIES.items() for name in names}
    for name, path in found.items():
        if not path.is_file():
            raise ClusterError(f"{name} is missing: {path} is not there; delete {path.parent} and run `make setup`")
    return found


def _etcd(state: State, ports: Mapping[str, int]) -> list[str]:
    client, peer = (f"https://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
    pair = {
        "cert-file": "server.crt",
        "key-file": "server.key",
        "trusted-ca-file": "ca.crt",
    }
    files = {**pair, **{f"peer-{flag}": file for flag, file in pair.items()}}
    return [
        f"--data-dir={state.etcd_data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        *(f"--{flag}={state.certificates / file}" for flag, file in files.items()),
        "--client-cert-auth",
        "--peer-client-cert-auth",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(state: State, ports: Mapping[str, int]) -> list[str]:
    files = {
        "etcd-cafile": "ca.crt",
        "etcd-certfile": "etcd-client.crt",
        "etcd-keyfile": "etcd-client.key",
        "client-ca-file": "ca.crt",
        "service-account-key-file": "service-account.pub",
        "service-account-signing-key-file": "service-account.key",
    }
    return [
        f"--etcd-servers=https://127.0.0.1:{ports['etcd']}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--anonymous-auth=false",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=none",
        *(f"--{flag}={state.certificates / file}" for flag, file in files.items()),
        *_serving(state, ports["apiserver"]),
    ]


def _controller_manager(state: State, ports: Mapping[str, int]) -> list[str]:
    return [
        f"--kubeconfig={state.user_kubeconfig('kube-controller-manager')}",
        f"--root-ca-file={state.certificates / 'ca.crt'}",
        f"--service-account-private-key-file={state.certificates / 'service-account.key'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        *_serving(state, ports["controller-manager"]),
    ]


def _scheduler(state: State, ports: Mapping[str, int]) -> list[str]:
    return [
        f"--kubeconfig={state.user_kubeconfig('kube-scheduler')}",
        "--leader-elect=false",
        *_serving(state, ports["scheduler"]),
    ]


def _kwok(state: State, ports: Mapping[str, int]) -> list[str]:
    return [
        f"--kubeconfig={state.user_kubeconfig('kwok')}",
        f"--manage-nodes-with-annotation-selector={NODE_ANNOTATION}",
        "--node-lease-duration-seconds=40",
        f"--cidr={POD_CIDR}",
        *(f"--config={stage}" for stage in sorted(STAGES.glob("*.yaml"))),
    ]


def _serving(state: State, port: int) -> list[str]:
    return [
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={state.certificates / 'server.crt'}",
        f"--tls-private-key-file={state.certificates / 'server.key'}",
    ]


# In the order they start; they stop in the reverse one.
PARTS = (
    Part("etcd", ("etcd", "etcd-peer"), "/readyz", _etcd),
    Part("kube-apiserver", ("apiserver",), "/readyz", _apiserver),
    Part(
        "kube-controller-manager",
        ("controller-manager",),
        "/healthz",
        _controller_manager,
    ),
    Part("kube-scheduler", ("scheduler",), "/healthz", _scheduler),
    Part("kwok", (), "", _kwok),
)
