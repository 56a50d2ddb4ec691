"""Pods belong to exactly one controller, containers say nothing twice, and the API server takes what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from modelberth.engines.listening import listening
from modelberth.findings import Finding
from modelberth.inventory import Inventory, selects
from modelberth.manifests import Workload
from modelberth.node import Node, fields_of
from modelberth.observed import UNKNOWN
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, advice, softened, undecided
from modelberth.rules.pod_fields import refused_by_the_api
from modelberth.rules.relations import cause, same_namespace
from modelberth.rules.validity import refused

_SELECTING = ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def _sound(resource: Resource, settings: Settings) -> Iterator[Finding]:
    if resource.is_kubernetes:
        yield from refused("WH-21", resource)
    if resource.ours and not resource.workloads:
        yield from (finding for pod in resource.pods for finding in refused_by_the_api(pod))
    if not resource.workloads:
        return
    if resource.kind in _SELECTING:
        yield from _selector(resource)
    if resource.kind == "Pod":
        message = "nothing starts this Pod again when its node is drained or lost"
        yield from softened(resource, [Finding("WH-21", "kind", message, "a Deployment with this Pod as its template")])
    for pod in resource.pods:
        yield from _twice(pod)
        yield from refused_by_the_api(pod)
        yield from _one_port_twice(pod)


def _selector(resource: Resource) -> Iterator[Finding]:
    selector, labels = resource.node.at("spec", "selector"), resource.pods[0].labels
    if not selector.value:
        message = f"a {resource.kind} without spec.selector is refused by the API server"
        remedy = "spec.selector.matchLabels with the labels of the pod template"
        yield Finding("WH-21", "spec.selector", message, remedy)
        return
    answer = selects(selector, labels)
    if answer is False:
        message = f"it does not select the {resource.kind}'s own pods: the API server refuses it"
        remedy = "equal labels in spec.selector.matchLabels and in the metadata of the pod template"
        yield Finding("WH-21", "spec.selector", message, remedy)
    elif answer is None and not _same_source(selector, labels):
        node = cause(selector, labels)
        if node:
            yield undecided("WH-21", SOUND.question, node)


def _same_source(selector: Node, labels: Node) -> bool:
    """Whether every label that one side leaves open is open on the other too: one value, used twice."""
    wanted = selector["matchLabels"]
    if wanted.unknown or labels.unknown:
        return wanted.unknown and labels.unknown
    if selector["matchExpressions"].stated:
        return False
    return all(wanted[name].unknown is labels[name].unknown for name in wanted.names())


def _twice(pod: Pod) -> Iterator[Finding]:
    for container in pod.all_containers:
        said: dict[str, list[Node]] = {}
        for entry in container["env"].elements():
            if entry["name"].text():
                said.setdefault(entry["name"].text(), []).append(entry)
        for name, entries in said.items():
            if len(entries) > 1:
                yield _repeated(name, entries)


def _repeated(name: str, entries: list[Node]) -> Finding:
    """Server-side apply refuses a name that is there twice; where it is accepted, the last one holds."""
    shown = name if _VARIABLE.fullmatch(name) else "a variable"
    values = {_plain({key: entry[key].value for key in ("value", "valueFrom")}) for entry in entries}
    finding = Finding(
        "WH-21",
        f"{entries[1].path}.name",
        f"{shown} is set {len(entries)} times: server-side apply refuses it, and elsewhere the last one holds",
        "one entry",
    )
    return finding if len(values) > 1 else advice(finding)


def _one_port_twice(pod: Pod) -> Iterator[Finding]:
    """Containers of a pod have one address. A second server on a port ends at once, but for vLLM: it shares the port
    (SO_REUSEPORT in its create_server_socket), and requests reach either.
    """
    taken: dict[int, Workload] = {}
    for workload in pod.serving:
        observed = workload.observed
        server = listening(fields_of(pod.container_at(workload).value), observed) if observed else None
        if observed is None or server is None or server.port is None or not server.alone:
            continue
        other = taken.setdefault(server.port, workload)
        if other is not workload and other.observed:
            shared = observed.engine == other.observed.engine == "vllm"
            ends = "requests reach either of them" if shared else "it does not start"
            message = f"it listens on port {server.port} like another container of the pod: {ends}"
            found = Finding("WH-21", workload.arguments_path, message, "--port, containerPort and probes of its own")
            yield advice(found) if shared and observed.model == other.observed.model else found


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=lambda other: "?" if other is UNKNOWN else repr(other))


def _alone(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """No two controllers in one namespace have the same selector."""
    seen: list[tuple[str, Resource]] = []
    for resource in inventory.of_kind(*_SELECTING):
        selector = resource.node.at("spec", "selector")
        if not selector.value or cause(selector) or not resource.pods:
            continue
        text = _plain(selector.value)
        for other_text, other in seen:
            if text == other_text and _meet(resource, other) and same_namespace(resource, other):
                message = "another workload of its namespace has the same selector: budgets, autoscalers and Services "
                remedy = "a label of its own in the selector and in the pod template"
                found = Finding("WH-21", "spec.selector", f"{message}take the pods of both for one", remedy)
                yield from ((resource, finding) for finding in softened(resource, [found]))
                break
        seen.append((text, resource))


def _meet(one: Resource, other: Resource) -> bool:
    return bool(one.workloads or other.workloads) and (one.kind, one.object_name.text(), one.name) != (
        other.kind,
        other.object_name.text(),
        other.name,
    )


SOUND = Rule(
    id="WH-21",
    name="unambiguous",
    title="Pods belong to one controller, and the API server takes what is said",
    question="whether the workload selects its own pods",
    why="The API server refuses a selector that misses its own pods, a field that is missing or a word that it does "
    "not know, half-way through a deployment; a shared selector mixes pods.",
    remediation="Give every workload a selector of its own, as its template has it, every variable one entry, and "
    "every field what modelberth/catalog/required_fields.yaml says.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="validation of apps/v1 by the API server; duplicate-env-var (kube-linter); prevent-bare-pods (Kyverno); "
    "kubernetes-sigs/structured-merge-diff #244",
    check=_sound,
    across=_alone,
)
RULES = (SOUND,)
