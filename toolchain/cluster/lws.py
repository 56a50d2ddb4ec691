"""The real LeaderWorkerSet controller beside an embedded cluster, with its webhooks, for tests."""

from __future__ import annotations

import base64
import json
import random
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from toolchain import build, crds
from toolchain.cluster import processes
from toolchain.cluster.control import Cluster
from toolchain.cluster.errors import ClusterError
from toolchain.cluster.processes import Process
from toolchain.cluster.state import PORT_RANGE, State, port_is_free, write_private
from toolchain.kube import Kube, KubeError, Manifest

NAME = "lws-controller"
READY_WITHIN_S = 60.0
OWN_PODS = {"matchExpressions": [{"key": "leaderworkerset.sigs.k8s.io/name", "operator": "Exists"}]}


def install(cluster: Cluster) -> Process:
    """Put the definition, the webhooks and the controller into a running cluster; it stops with the cluster.

    Raises ClusterError when it does not become ready, BuildError when it cannot be built.
    """
    state, kube = State(cluster.kubeconfig.parent), Kube(cluster.kubeconfig)
    parts = build.require("lws")["lws"]
    crds.install(kube, "lws")
    webhook, health = _free_ports(state, 2)
    config = _config(state, webhook, health)
    process = processes.start(
        [parts / NAME, f"--config={config}", f"--kubeconfig={cluster.kubeconfig}", "--zap-log-level=error"],
        marker=state.root,
        log=state.log(NAME),
        pid_file=state.pid_file(NAME),
    )
    for manifest in _webhooks(parts / "webhooks.yaml", state, webhook):
        kube.apply(manifest, field_manager=crds.FIELD_MANAGER, force=True)
    try:
        kube.wait(lambda: _ready(process, state, health) and _answers(kube), READY_WITHIN_S, what=f"{NAME} ready")
    except TimeoutError as error:
        process.stop()
        raise ClusterError(f"{error}; log: {state.log(NAME)}") from error
    return process


def _config(state: State, webhook: int, health: int) -> Path:
    """Its configuration file, all addresses on loopback, with the cluster's own certificate for the webhooks."""
    certificates = state.root / NAME
    certificates.mkdir(mode=0o700, exist_ok=True)
    for suffix in ("crt", "key"):
        shutil.copy(state.certificates / f"server.{suffix}", certificates / f"tls.{suffix}")
    config = {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": str(certificates)},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
    }
    write_private(certificates / "config.json", json.dumps(config))
    return certificates / "config.json"


def _webhooks(file: Path, state: State, port: int) -> Iterator[Manifest]:
    """The module's webhooks at this address, for its own pods only, as its chart limits them."""
    authority = base64.b64encode((state.certificates / "ca.crt").read_bytes()).decode()
    for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        manifest["metadata"]["name"] = f"lws-{manifest['metadata']['name']}"
        for hook in manifest["webhooks"]:
            path = hook["clientConfig"].pop("service")["path"]
            hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": authority}
            if "pods" in hook["rules"][0]["resources"]:
                hook["objectSelector"] = OWN_PODS
        yield manifest


def _ready(process: Process, state: State, port: int) -> bool:
    if not process.alive():
        raise ClusterError(f"{NAME} ended right after its start; log: {state.log(NAME)}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def _answers(kube: Kube) -> bool:
    """Whether the webhooks take a group: they start after the controller calls itself ready."""
    container = {"name": "probe", "image": "example.invalid/probe:1"}
    probe = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"leaderWorkerTemplate": {"size": 1, "workerTemplate": {"spec": {"containers": [container]}}}},
    }
    try:
        kube.apply(probe, dry_run=True)
    except KubeError as error:
        if "failed calling webhook" in str(error):
            return False
        raise
    return True


def _free_ports(state: State, count: int) -> list[int]:
    taken = set((state.remembered_ports() or {}).values())
    shuffled = random.sample(PORT_RANGE, len(PORT_RANGE))
    free = (port for port in shuffled if port not in taken and port_is_free(port))
    return [next(free) for _ in range(count)]
