"""GPU nodes are for pods that use their GPUs, and such pods land on them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.clouds.base import ACCELERATORS
from modelberth.clouds.node_labels import MANAGED
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.manifests import COMPUTES_AND_ENDS
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, ALWAYS, Rule, Settings, Severity, undecided
from modelberth.rules.nodes import known_labels, names_nodes
from modelberth.rules.relations import resembles

_PER_NODE = frozenset({"DaemonSet"})
"""Kinds that work for a node itself: drivers, device plugins, exporters."""


def _lands(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        device = _device(pod)
        if resource.ours and not pod.serves:
            yield from known_labels("WH-16", pod)
            yield from _meant_for_gpus(pod)
        if not pod.serves or device is None:
            continue
        if device.unknown:
            continue
        yield from _placed(pod)
        yield from _tolerates(pod, device)


def _placed(pod: Pod) -> Iterator[Finding]:
    spec = pod.spec
    required = spec.at(
        "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
    )
    for node in (spec["nodeSelector"], required, spec["nodeName"]):
        if node.unknown:
            yield undecided("WH-16", LANDS.question, node)
            return
    yield from known_labels("WH-16", pod)
    if not (spec["nodeName"].value or names_nodes(pod)):
        message = "no node selector names the accelerator: the pod may land on any GPU that is free"
        yield Finding(
            "WH-16", spec["nodeSelector"].path, message, "nodeSelector with the accelerator label of its nodes"
        )


def _tolerates(pod: Pod, device: Node) -> Iterator[Finding]:
    tolerations = pod.spec["tolerations"]
    if tolerations.unknown:
        yield undecided("WH-16", LANDS.question, tolerations)
        return
    others = [each for each in tolerations.elements() if not each["key"].text().startswith("node.kubernetes.io/")]
    own = [each for each in others if not each["key"].unknown]
    if others and not own:
        yield undecided("WH-16", LANDS.question, others[0]["key"])
    elif others and not any(_meets_taints(each, device) for each in others):
        message = "no toleration meets the taint of GPU nodes: the key is misspelt, or Equal is asked with no value"
        remedy = f"tolerations: [{{key: {_taint(device)}, operator: Exists, effect: NoSchedule}}]"
        yield Finding("WH-16", tolerations.path, message, remedy)
    elif not own and (pod.resource.ours or not _on_managed_nodes(pod)):
        message = "it tolerates no taint of GPU nodes: it stays pending where they are kept for pods that use GPUs"
        remedy = f"tolerations: [{{key: {_taint(device)}, operator: Exists, effect: NoSchedule}}]"
        yield Finding("WH-16", tolerations.path, message, remedy)


def _meant_for_gpus(pod: Pod) -> Iterator[Finding]:
    """Downloads run where weights are read: what they tolerate is the taint of GPU nodes, with its value."""
    for each in pod.spec["tolerations"].elements():
        key, operator = each["key"].text(), each["operator"]
        named = key.startswith("nvidia.com/") and not operator.unknown and not each["value"].unknown
        if named and (key != "nvidia.com/gpu" or (operator.text() != "Exists" and not each["value"].text())):
            message = "meets no taint of GPU nodes: the key is misspelt, or Equal is asked with no value"
            yield Finding("WH-16", each.path, message, "key: nvidia.com/gpu, operator: Exists")


def _on_managed_nodes(pod: Pod) -> bool:
    """Whether ExtendedResourceToleration (kubernetes:plugin/pkg/admission/extendedresourcetoleration) surely runs."""
    return any(label.startswith(MANAGED) for label in pod.spec["nodeSelector"].names())


def _meets_taints(toleration: Node, device: Node) -> bool:
    """Whether a toleration may meet the taint of nodes with a device. A taint of one's own may be called anything."""
    key, operator = toleration["key"].text(), toleration["operator"]
    if any(part.unknown for part in (toleration, toleration["key"], operator, toleration["value"])):
        return True
    maker, _, what = key.partition("/")
    usual = _taint(device)
    if maker == usual.partition("/")[0] and what not in ("gpu", "mig", usual.partition("/")[2]):
        return resembles(key, usual) is False
    return key != usual or operator.text() == "Exists" or bool(toleration["value"].text())


def _taint(device: Node) -> str:
    """The usual taint of nodes with a device: that of all GPUs of its maker, else the device's own name."""
    named = re.search(r'\["([^"]+)"\]$', device.path)
    maker, _, what = (named[1] if named else "nvidia.com/gpu").partition("/")
    return f"{maker}/gpu" if what.startswith(("gpu", "mig")) else f"{maker}/{what}"


def _kept(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """No pod that uses no GPU tolerates the taint of those that do. Downloads run where weights are read."""
    if not any(_device(pod) is not None for pod in inventory.pods if pod.serves):
        return
    for pod in inventory.pods:
        uses = any(_device(each) is not None for each in pod.resource.pods)
        if uses or pod.resource.kind in _PER_NODE | COMPUTES_AND_ENDS:
            continue
        for toleration in pod.spec["tolerations"].elements():
            if _of_gpus(toleration):
                message = "it uses no GPU and tolerates the taint of GPU nodes: it takes their CPUs and memory"
                yield pod.resource, Finding("WH-16", toleration.path, message, "leave this toleration out")
                break


def _of_gpus(toleration: Node) -> bool:
    key, operator = toleration["key"], toleration["operator"].text()
    if key.unknown or toleration["operator"].unknown or toleration["effect"].text() == "NoExecute":
        return False
    everything = operator == "Exists" and not key.text()
    return everything or key.text().split("/")[-1] == "gpu"


def _device(pod: Pod) -> Node | None:
    """The first GPU, slice of one or other accelerator that a pod asks for; None where it surely asks for none."""
    for container in pod.all_containers:
        resources = container["resources"]
        for source in (container, resources, resources["limits"], resources["requests"]):
            if source.unknown:
                return source
        for source in (resources["limits"], resources["requests"]):
            for name, amount in source.items():
                if ACCELERATORS.fullmatch(name) and amount.whole() != 0:
                    return amount
        if resources["claims"].value:
            return resources["claims"]
    return pod.spec["resourceClaims"] if pod.spec["resourceClaims"].value else None


LANDS = Rule(
    id="WH-16",
    name="gpu-nodes",
    title="Pods that use GPUs land on their nodes, and no others do",
    question="whether the pod lands on nodes with its accelerator",
    why="Without a selector a model meets a smaller GPU, without a toleration it waits for ever; others take its CPUs.",
    remediation="State nodeSelector and toleration on pods that use GPUs, and on no others.",
    severity=Severity.MEDIUM,
    levels=ALWAYS,
    foreign=ADVICE,
    source="aws-eks-best-practices, AI/ML compute: taints; GKE taints its GPU nodes nvidia.com/gpu=present:NoSchedule",
    check=_lands,
    across=_kept,
)
RULES = (LANDS,)
