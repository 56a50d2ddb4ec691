"""Device plugins: a node that waits for one gets its devices when a pod of that plugin runs there."""

from __future__ import annotations

import contextlib
import json
import threading
import time

from tests.providers.node_groups import AWAITS
from toolchain.cluster.objects import SIMULATED
from toolchain.kube import Kube, KubeError, Manifest

POLL_S = 1.0
FIELD_MANAGER = "device-plugins"


def watch(kube: Kube) -> None:
    """Keep looking, in a thread that ends with the process."""

    def work() -> None:
        while True:
            with contextlib.suppress(KubeError):
                register(kube)
            time.sleep(POLL_S)

    threading.Thread(target=work, daemon=True).start()


def register(kube: Kube) -> None:
    """Give each node the devices of the plugins that run on it, and take those of others away."""
    for node in kube.list("/api/v1/nodes", labels=f"{SIMULATED}=true"):
        awaited = json.loads(node["metadata"].get("annotations", {}).get(AWAITS, "{}"))
        if not awaited:
            continue
        running = _images(kube, node["metadata"]["name"])
        devices = {key: count for image, each in awaited.items() if image in running for key, count in each.items()}
        known = {key for each in awaited.values() for key in each}
        shown = {key: count for key, count in node["status"].get("allocatable", {}).items() if key in known}
        if devices != shown:
            _show(kube, node, devices)


def _images(kube: Kube, node: str) -> set[str]:
    """Last words of the images that run on a node: `k8s-device-plugin` of nvcr.io/nvidia/k8s-device-plugin:v0.17.1."""
    pods = kube.list("/api/v1/pods", fields=f"spec.nodeName={node},status.phase=Running")
    images = [each["image"] for pod in pods for each in pod["spec"]["containers"]]
    return {image.partition("@")[0].rpartition("/")[2].partition(":")[0] for image in images}


def _show(kube: Kube, node: Manifest, devices: dict[str, str]) -> None:
    named = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node["metadata"]["name"]}}
    status = {"capacity": devices, "allocatable": devices}
    kube.apply({**named, "status": status}, field_manager=FIELD_MANAGER, subresource="status", force=True)
