"""The one Kubernetes cluster that every cluster of the stand-ins turns out to be: where a kubeconfig points to."""

from __future__ import annotations

import base64
import functools
import os
from pathlib import Path
from typing import Any

import yaml

KUBECONFIG_VARIABLE = "MODELBERTH_STAND_IN_KUBECONFIG"
"""Environment variable with the kubeconfig's path; without it the clusters answer nowhere."""
NOWHERE = {"endpoint": "203.0.113.1", "ca": base64.b64encode(b"no certificate").decode()}


def addresses() -> dict[str, str]:
    """What templates say of a cluster: `endpoint` without a scheme, `ca` as base64."""
    path = os.environ.get(KUBECONFIG_VARIABLE)
    return _addresses(Path(path)) if path else NOWHERE


@functools.cache
def _addresses(path: Path) -> dict[str, str]:
    return {
        "endpoint": entry(path, "cluster")["server"].partition("://")[2],
        "ca": data(path, "cluster", "certificate-authority"),
    }


def entry(path: Path, kind: str) -> dict[str, Any]:
    """The `cluster` or the `user` of a kubeconfig's current context."""
    config = yaml.safe_load(path.read_text())
    context = next(each["context"] for each in config["contexts"] if each["name"] == config["current-context"])
    return next(each[kind] for each in config[f"{kind}s"] if each["name"] == context[kind])


def data(path: Path, kind: str, key: str) -> str:
    """A certificate or a key of the current context as base64, whether the kubeconfig holds it or names a file."""
    found = entry(path, kind)
    if f"{key}-data" in found:
        return found[f"{key}-data"]
    file = Path(found[key])
    return base64.b64encode((file if file.is_absolute() else path.parent / file).read_bytes()).decode()
