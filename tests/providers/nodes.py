"""Nodes of pools in the embedded cluster: they come, change, are renewed one by one, are drained and go."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from tests.providers.node_groups import GENERATION, MOST_NODES, NodeGroup
from toolchain.cluster.objects import POOL, SIMULATED, put, ready
from toolchain.kube import Kube, Manifest

READY_WITHIN_S = 30.0
DRAINED_WITHIN_S = 60.0
"""How long a drain asks for its pods to go; clouds ask for up to an hour."""
POLL_S = 0.2


def owner(folder: str, pool: str) -> str:
    """What nodes of a pool carry: no two pools have the same, in whatever cloud folder they are."""
    return hashlib.sha256(f"{folder} {pool}".encode()).hexdigest()[:16]


def owned(kube: Kube, of: str) -> list[Manifest]:
    """The nodes of one pool."""
    found = kube.list("/api/v1/nodes", labels=f"{SIMULATED}=true")
    return [each for each in found if each["metadata"].get("annotations", {}).get(POOL) == of]


def settle(kube: Kube, group: NodeGroup, drained_within_s: float = DRAINED_WITHIN_S) -> list[str]:
    """Bring the nodes to what the pool says; remarks on what could not be as asked.

    Labels and taints change on the nodes there are. Nodes of another machine are renewed one by one: the new one
    first, or the old one where the pool has no surge. Nodes beyond the limit are drained and go.
    """
    remarks = []
    if group.wanted > MOST_NODES:
        remarks.append(f"{MOST_NODES} of {group.wanted} nodes are played")
    wanted = {each["metadata"]["name"]: each for each in group.manifests()}
    held = {each["metadata"]["name"]: each for each in owned(kube, group.owner)}
    for name in wanted.keys() & held.keys():
        put(kube, wanted[name])
    coming = [each for name, each in wanted.items() if name not in held]
    going = [each for name, each in held.items() if name not in wanted]
    if all(each["metadata"]["annotations"][GENERATION] == group.generation for each in going):
        _come(kube, coming)
        for old in going:
            remarks += _go(kube, old, drained_within_s)
        return remarks
    if group.surge:
        for old in going:
            _come(kube, coming[:1])
            coming = coming[1:]
            remarks += _go(kube, old, drained_within_s)
    else:
        for old in going:
            remarks += _go(kube, old, drained_within_s)
            _come(kube, coming[:1])
            coming = coming[1:]
    _come(kube, coming)
    return remarks


def remove(kube: Kube, of: str, *, respects_budgets: bool, drained_within_s: float = DRAINED_WITHIN_S) -> list[str]:
    """Drain and delete all nodes of a pool: first none takes pods any more, then they are emptied one by one."""
    found = owned(kube, of)
    for each in found:
        _cordon(kube, each)
    remarks = []
    deadline = time.monotonic() + drained_within_s
    for each in found:
        remarks += _go(kube, each, deadline - time.monotonic(), respects_budgets=respects_budgets)
    return remarks


def vanish(kube: Kube, of: str) -> None:
    """Delete all nodes of a pool and what is on them, as when the cluster itself is deleted."""
    for each in owned(kube, of):
        _delete(kube, each["metadata"]["name"])


def _come(kube: Kube, manifests: list[Manifest]) -> None:
    for each in manifests:
        put(kube, each)
    for each in manifests:
        path = kube.path(each)
        kube.wait(lambda path=path: ready(kube.get(path)), READY_WITHIN_S, what=f"{path} Ready", poll_s=POLL_S)


def _cordon(kube: Kube, node: Manifest) -> None:
    named = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node["metadata"]["name"]}}
    kube.apply({**named, "spec": {"unschedulable": True}}, field_manager="drain", force=True)


def _go(kube: Kube, node: Manifest, within_s: float, *, respects_budgets: bool = True) -> list[str]:
    """Cordon, drain, delete. What does not go in time is said, and goes with the node."""
    name = node["metadata"]["name"]
    _cordon(kube, node)
    deadline = time.monotonic() + within_s
    left = list(_drainable(kube, name))
    asked: set[str] = set()
    while left:
        for pod in left:
            if pod["metadata"]["uid"] in asked:
                continue
            if not respects_budgets:
                kube.delete(pod)
            elif not kube.evict(pod):
                continue
            asked.add(pod["metadata"]["uid"])
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
        left = list(_drainable(kube, name))
    names = [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in left]
    _delete(kube, name)
    return [f"{name} went with pods that did not go within {within_s:.0f} s: {', '.join(names)}"] if names else []


def _drainable(kube: Kube, node: str) -> Iterator[Manifest]:
    """Pods that a drain asks to go: not those of DaemonSets, nor those that have ended."""
    for pod in kube.list("/api/v1/pods", fields=f"spec.nodeName={node}"):
        owners = {each["kind"] for each in pod["metadata"].get("ownerReferences", [])}
        if "DaemonSet" not in owners and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            yield {"apiVersion": "v1", "kind": "Pod", **pod}


def _delete(kube: Kube, node: str) -> None:
    """Delete a node, and at once the pods that nobody would take off it any more."""
    kube.delete(f"/api/v1/nodes/{node}")
    for pod in kube.list("/api/v1/pods", fields=f"spec.nodeName={node}"):
        kube.delete({"apiVersion": "v1", "kind": "Pod", **pod}, at_once=True)


__all__ = ["DRAINED_WITHIN_S", "owned", "owner", "remove", "settle", "vanish"]
