"""Objects of the embedded cluster: simulated nodes made from machine profiles, and simulated storage."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from toolchain.cluster.errors import ClusterError
from toolchain.kube import Kube, Manifest

FIELD_MANAGER = "modelberth-cluster"
SIMULATED = "modelberth.dev/simulated"
DIGEST = "modelberth.dev/manifest-digest"
POOL_LABEL = {
    "gcp": "cloud.google.com/gke-nodepool",
    "aws": "eks.amazonaws.com/nodegroup",
}
POOL = "modelberth.dev/pool"
"""Annotation of simulated nodes that belong to somebody else than the nodes file, who also takes them away."""
PROVISIONER = "simulated.modelberth.dev"

STORAGE: tuple[Manifest, ...] = (
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": PROVISIONER},
        "spec": {"attachRequired": False},
    },
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "simulated",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": False,
    },
)


def desired(nodes_file: Path) -> list[Manifest]:
    """The manifests the cluster starts with; every problem of the nodes file in one error."""
    problems: list[str] = []
    nodes = [simulated_node(**group) for group in _groups(nodes_file, problems)]
    if problems:
        raise ClusterError(f"{nodes_file}: " + "; ".join(problems))
    return [_with_digest(manifest) for manifest in (*STORAGE, *nodes)]


def converge(kube: Kube, manifests: list[Manifest]) -> None:
    """Creates or changes what differs from the manifests, and deletes simulated nodes that are not among them.

    Nodes with the annotation `POOL` are left alone.
    """
    nodes = kube.list("/api/v1/nodes", labels=f"{SIMULATED}=true")
    storage = [found for manifest in STORAGE if (found := kube.find(kube.path(manifest)))]
    live = {each["metadata"]["name"]: each["metadata"].get("annotations", {}).get(DIGEST) for each in nodes + storage}
    for manifest in manifests:
        if live.get(manifest["metadata"]["name"]) == manifest["metadata"]["annotations"][DIGEST]:
            continue
        put(kube, manifest)
    names = {manifest["metadata"]["name"] for manifest in manifests}
    for node in nodes:
        if node["metadata"]["name"] not in names and POOL not in node["metadata"].get("annotations", {}):
            kube.delete(f"/api/v1/nodes/{node['metadata']['name']}")


def put(kube: Kube, manifest: Manifest) -> None:
    """Creates or changes one object, and its status where the manifest has one."""
    spec = {field: value for field, value in manifest.items() if field != "status"}
    kube.apply(spec, field_manager=FIELD_MANAGER, force=True)
    if "status" in manifest:  # applied second: what kwok sees without resources, it leaves alone
        kube.apply(manifest, field_manager=FIELD_MANAGER, subresource="status", force=True)


def ready(node: Manifest) -> bool:
    """Whether a node reports Ready and the controller took the not-ready taint off again."""
    conditions = {entry["type"]: entry["status"] for entry in node["status"].get("conditions", [])}
    taints = {taint["key"] for taint in node["spec"].get("taints", [])}
    return conditions.get("Ready") == "True" and "node.kubernetes.io/not-ready" not in taints


def _groups(nodes_file: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    """Arguments of `simulated_node` for each node the file asks for."""
    from modelberth.clouds import node_profile
    from modelberth.errors import UnknownName

    numbers: dict[str, int] = {}
    for index, group in enumerate(_read(nodes_file)):
        where = f"[{index}]"
        if wrong := list(_wrong(group)):
            problems += [f"{where}{problem}" for problem in wrong]
            continue
        try:
            profile = node_profile(group["machine"])
        except UnknownName as error:
            problems.append(f"{where}.machine: {error}")
            continue
        for _ in range(group["count"]):
            number = numbers[group["machine"]] = numbers.get(group["machine"], 0) + 1
            yield {
                "name": f"simulated-{group['machine']}-{number}",
                "profile": profile,
                "zone": group["zone"],
                "pool": group.get("pool"),
                "number": sum(numbers.values()),
            }


def _read(nodes_file: Path) -> list[Any]:
    try:
        groups = yaml.safe_load(nodes_file.read_text())
    except OSError as error:
        raise ClusterError(f"the nodes file {nodes_file} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ClusterError(f"{nodes_file} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(groups, list):
        raise ClusterError(
            f"{nodes_file} must be a list such as [{{machine: g2-standard-8, count: 1, zone: us-central1-a}}]"
        )
    return groups


def _wrong(group: Any) -> Iterator[str]:
    if not isinstance(group, dict):
        yield f" must hold machine, count and zone, not {group!r}"
        return
    for key in sorted(map(str, group.keys() - {"machine", "count", "zone", "pool"})):
        yield f".{key}: unknown key; known are machine, count, zone, pool"
    for key in ("machine", "zone", "pool"):
        if not isinstance(group.get(key, "" if key == "pool" else None), str):
            yield f".{key}: must be a name, not {group.get(key)!r}"
    count = group.get("count")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 100:
        yield f".count: must be a number from 1 to 100, not {count!r}"


def simulated_node(name: str, profile: Any, zone: str, pool: str | None, number: int) -> Manifest:
    """A node as its cloud would present it, without anything behind it."""
    labels = dict(profile.labels) | ({POOL_LABEL[profile.cloud]: pool} if pool else {})
    return node(
        name,
        zone=zone,
        cloud=profile.cloud,
        labels=labels,
        taints=list(profile.taints),
        capacity=dict(profile.capacity),
        allocatable=dict(profile.allocatable),
        address=f"10.128.{number // 250}.{number % 250 + 1}",
    )


def node(
    name: str,
    *,
    zone: str,
    cloud: str,
    labels: dict[str, str],
    taints: list[Any],
    capacity: dict[str, str],
    allocatable: dict[str, str],
    address: str,
    annotations: dict[str, str] | None = None,
) -> Manifest:
    """A node that kwok keeps alive, with the labels that every node of a cloud has."""
    common = {
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": _region(cloud, zone),
        SIMULATED: "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels | common,
            "annotations": {"kwok.x-k8s.io/node": "fake", **(annotations or {})},
        },
        "spec": {"taints": taints},
        "status": {
            "capacity": capacity,
            "allocatable": allocatable,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "nodeInfo": _node_info(),
        },
    }


def _region(cloud: str, zone: str) -> str:
    return zone.rpartition("-")[0] if cloud == "gcp" else zone[:-1]


def _node_info() -> dict[str, str]:
    """What a kubelet tells of its machine; versions parse as such and say that there is none."""
    fields = ("bootID", "containerRuntimeVersion", "kernelVersion", "machineID", "osImage", "systemUUID")
    simulated = dict.fromkeys(fields, "simulated")
    versions = {
        "kubeletVersion": "v1.36.1-simulated",
        "kubeProxyVersion": "v1.36.1-simulated",
    }
    return {
        **simulated,
        **versions,
        "architecture": "amd64",
        "operatingSystem": "linux",
    }


def _with_digest(manifest: Manifest) -> Manifest:
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    return {
        **manifest,
        "metadata": {
            **metadata,
            "annotations": {**metadata.get("annotations", {}), DIGEST: digest},
        },
    }
