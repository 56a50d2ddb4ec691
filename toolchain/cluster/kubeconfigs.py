"""Kubeconfigs of the embedded cluster: the one for its user, and those of its parts."""

import base64
import json
from pathlib import Path

from toolchain.cluster.state import State, write_private

NAME = "modelberth-cluster"


def write(state: State, server: str) -> None:
    """Writes the kubeconfigs; a file that already says the same is left alone."""
    paths = {user: state.user_kubeconfig(user) for user in ("kwok", "kube-controller-manager", "kube-scheduler")}
    for user, path in {"admin": state.kubeconfig, **paths}.items():
        text = _kubeconfig(state.certificates, server, user)
        if not path.exists() or path.read_text() != text:
            write_private(path, text)


def _kubeconfig(certificates: Path, server: str, user: str) -> str:
    """A kubeconfig that needs no other file; JSON is YAML."""

    def data(name: str) -> str:
        return base64.b64encode((certificates / name).read_bytes()).decode()

    credentials = {
        "client-certificate-data": data(f"{user}.crt"),
        "client-key-data": data(f"{user}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": user}}],
        "clusters": [
            {
                "name": NAME,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": data("ca.crt"),
                },
            }
        ],
        "users": [{"name": user, "user": credentials}],
    }
    return json.dumps(config, indent=2) + "\n"
