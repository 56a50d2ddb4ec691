"""Objects that name others by label or name: what they mean is there, and it is one thing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from modelberth.catalog import catalog
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.manifests import COMPUTES_AND_ENDS
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.backends import lead_somewhere
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, advice, undecided
from modelberth.rules.downloads import read_by_servers
from modelberth.rules.neighbours import misspelt, of_clouds, sections, strays
from modelberth.rules.relations import (
    SCALERS,
    SERVES_ON,
    cause,
    chosen,
    is_called,
    leading_pod,
    resembles,
    same_namespace,
    serving,
)

_AT_ITS_OWN_PORT = frozenset({"vllm", "sglang"})
"""Engines whose port only their arguments change."""
Told = Iterator[tuple[Resource, Finding]]


def _resolved(inventory: Inventory, settings: Settings) -> Told:
    servers = list(serving(inventory))
    yield from of_clouds("WH-14", inventory)
    if servers:
        yield from _services(inventory, servers)
        yield from _budgets(inventory, servers)
        yield from _scalers(inventory, servers)
        yield from _peers(inventory, servers)
        yield from misspelt("WH-14", inventory)
        yield from strays("WH-14", inventory)
        yield from sections("WH-14", inventory)
        yield from read_by_servers("WH-14", inventory)
        yield from _guards_nothing(inventory)
        yield from lead_somewhere(inventory)


def _near(resource: Resource, others: Iterable[Resource]) -> list[Resource]:
    """Those of ``others`` that may be in the namespace of ``resource``."""
    return [other for other in others if same_namespace(resource, other) is not False]


def _services(inventory: Inventory, servers: list[Resource]) -> Told:
    services = [each for each in inventory.of_kind("Service") if each.node.at("spec", "selector").value]
    for service in services:
        near = _near(service, servers)
        if near:
            yield from _service(inventory, service, near, services)


def _service(inventory: Inventory, service: Resource, near: list[Resource], services: list[Resource]) -> Told:
    selector = service.node.at("spec", "selector")
    pods = [pod for pod in inventory.pods if same_namespace(service, pod.resource) is not False]
    answers = {pod: chosen(selector, pod) for pod in pods}
    open_ended = _cause(selector, answers)
    if True not in answers.values():
        if open_ended:
            yield service, undecided("WH-14", RESOLVED.question, open_ended)
        elif None not in answers.values():
            yield service, _nothing("Service", selector, _left_out(service, near, services, ("spec", "selector")))
        return
    meant = [pod for pod, answer in answers.items() if answer]
    yield from ((service, finding) for finding in _one_answer(service, selector, meant))
    yield from ((service, finding) for finding in _ports(service, meant))


def _cause(selector: Node, answers: Mapping[Pod, bool | None]) -> Node | None:
    """What keeps a selector from being answered, beside labels that controllers make up."""
    return cause(selector, *(pod.labels for pod, answer in answers.items() if answer is None))


def _left_out(one: Resource, near: list[Resource], others: list[Resource], path: tuple[str, ...]) -> bool:
    """Whether an object that selects nothing was surely meant for the servers: ours, or none other selects one.

    One that states a namespace where the servers state none, or the reverse, may belong to something else.
    """
    if one.ours:
        return True
    if all(one.namespace.stated is not server.namespace.stated for server in near):
        return False
    rest = [other for other in others if other is not one]
    return not any(
        chosen(other.node.at(*path), leading_pod(server)) is not False
        for server in near
        for other in rest
        if same_namespace(other, server) is not False
    )


def _nothing(kind: str, selector: Node, meant: bool) -> Finding:
    message = f"this {kind} selects no pod of the stack, which serves models in its namespace"
    finding = Finding("WH-14", selector.path, message, "the labels of the pod template that is meant")
    return finding if meant else advice(finding)


def _one_answer(service: Resource, selector: Node, meant: list[Pod]) -> Iterator[Finding]:
    """Requests to a Service all meet servers, and of one model. A headless one only lists pods: callers choose."""
    if service.node.at("spec", "clusterIP").text() == "None":
        return
    models = {_model(pod) for pod in meant if pod.serving}
    if service.ours and models and any(pod.resource.kind in COMPUTES_AND_ENDS for pod in meant):
        message = "it selects pods of a Job too, which count as ready while they run: requests reach them"
        yield Finding("WH-14", selector.path, message, "a label that only the serving pods have")
    if len(models) > 1 and None not in models:
        message = f"it selects the pods of {len(models)} models: a request for one of them may reach another"
        remedy = "a Service for each, with a label that only its pods have"
    elif models and any(not pod.serves and pod.resource.kind not in COMPUTES_AND_ENDS for pod in meant):
        message = "it selects pods that serve a model and pods that do not: requests may reach the others"
        remedy = "a label that only the serving pods have"
    else:
        return
    finding = Finding("WH-14", selector.path, message, remedy)
    yield finding if service.ours else advice(finding)


def _model(pod: Pod) -> str | None:
    """What a pod serves; None where that is not known."""
    observed = pod.serving[0].observed
    return observed.model if observed else None


def _ports(service: Resource, meant: list[Pod]) -> Iterator[Finding]:
    """A port by name is looked up in the pods; where none has it, the Service has no endpoint there.

    A number needs no declaration: it is wrong where nothing in the pods mentions it and the engine listens elsewhere.
    """
    serving_pods = [pod for pod in meant if pod.serving]
    if not serving_pods:
        return
    declared = [port for pod in serving_pods for each in pod.all_containers for port in each["ports"].each()]
    names = {port["name"].text() for port in declared}
    for port in service.node.at("spec", "ports").each():
        target = port["targetPort"]
        if not target.stated and port["port"].unknown:
            target = port["port"]
        if target.unknown:
            yield undecided("WH-14", "whether a container has the port that a Service leads to", target)
        elif target.text() and not target.text().isdecimal() and target.text() not in names:
            if any(each.unknown or each["name"].unknown for each in declared):
                continue
            message = "no container of the pods that the Service selects has a port of this name"
            yield Finding("WH-14", target.path, message, "the name of a container's port, or its number")
        else:
            number = (target if target.stated else port["port"]).whole()
            listening = {_listens(pod, number) for pod in serving_pods}
            if number and len(listening) == 1 and (default := listening.pop()):
                path = target.path if target.stated else port["port"].path
                message = f"nothing listens at {number}: the server of the pods takes its requests at {default}"
                yield Finding("WH-14", path, message, f"targetPort: {default}")


def _listens(pod: Pod, number: int | None) -> int | None:
    """The port of an engine that surely listens at its default only; None where ``number`` may be served too."""
    (container, *others), workload = pod.containers or (pod.spec,), pod.serving[0]
    engine = workload.engine
    said = [container["command"], container["args"], container["env"], container["ports"], container["envFrom"]]
    if others or pod.init_containers or engine not in _AT_ITS_OWN_PORT or container.unknown or cause(said[0], *said):
        return None
    mentioned = re.compile(rf"(?<!\d){number}(?!\d)")
    if container["envFrom"].value or any(mentioned.search(_text(each.value)) for each in said):
        return None
    arguments = _text([container["command"].value, container["args"].value])
    default = catalog().engine(engine).port
    return None if number == default or "port" in arguments or "$(" in arguments else default


def _text(value: object) -> str:
    return json.dumps(value, default=repr)


def _budgets(inventory: Inventory, servers: list[Resource]) -> Told:
    budgets = [each for each in inventory.of_kind("PodDisruptionBudget") if each.node.at("spec", "selector").stated]
    for budget in budgets:
        selector, near = budget.node.at("spec", "selector"), _near(budget, servers)
        pods = [pod for pod in inventory.pods if same_namespace(budget, pod.resource) is not False]
        answers = {pod: chosen(selector, pod) for pod in pods}
        if not near or True in answers.values():
            continue
        open_ended = _cause(selector, answers)
        if open_ended:
            yield budget, undecided("WH-14", RESOLVED.question, open_ended)
        elif None not in answers.values():
            meant = _left_out(budget, near, budgets, ("spec", "selector"))
            yield budget, _nothing("PodDisruptionBudget", selector, meant)


def _scalers(inventory: Inventory, servers: list[Resource]) -> Told:
    """An autoscaler's target is there, where something of its kind is that nothing else scales."""
    for scaler in inventory.of_kind(*SCALERS):
        target = scaler.node.at("spec", "scaleTargetRef")
        kind = target["kind"].text() or "Deployment"
        near = [each for each in _near(scaler, servers) if each.kind == kind]
        open_ended = cause(target)
        if not near and any(resembles(kind, each.kind) for each in _near(scaler, servers)):
            message = "is no kind that Kubernetes has, and almost called like that of the stack's servers"
            yield scaler, Finding("WH-14", target["kind"].path, message, "Deployment, StatefulSet or LeaderWorkerSet")
            continue
        if open_ended:
            if near and not (scaler.property_dependencies or scaler.dependencies):
                yield scaler, undecided("WH-14", "whether the workload that it scales is there", open_ended)
            continue
        there = [each for each in _near(scaler, inventory.of_kind(*SERVES_ON)) if each.kind == kind]
        version = target["apiVersion"]
        if version.text() and near and version.text() not in {each.api_version for each in near}:
            message = f"no {kind} of the stack is of this API version: nothing is scaled"
            yield scaler, Finding("WH-14", version.path, message, near[0].api_version)
            continue
        if not target["name"].text():
            message = f"the {scaler.kind} names nothing to scale: it is refused"
            yield scaler, Finding("WH-14", f"{target.path}.name", message, "the name of the workload")
        elif near and not any(is_called(each, target["name"]) for each in there):
            later = [each for each in there if is_called(each, target["name"]) is None]
            if later:
                question = "whether the workload that it scales is there"
                yield later[0], undecided("WH-14", question, later[0].object_name)
                continue
            message = f"the stack has no {kind} of this name in this namespace: nothing is scaled"
            finding = Finding("WH-14", target["name"].path, message, f"the name of the {kind} that is meant")
            meant = scaler.ours or not all(_scaled_otherwise(inventory, each, scaler) for each in near)
            yield scaler, finding if meant else advice(finding)


def _scaled_otherwise(inventory: Inventory, resource: Resource, scaler: Resource) -> bool:
    names = (
        each.node.at("spec", "scaleTargetRef", "name") for each in inventory.of_kind(*SCALERS) if each is not scaler
    )
    return any(is_called(resource, name) is not False for name in names)


def _guards_nothing(inventory: Inventory) -> Told:
    """A NetworkPolicy of ours is for pods of the stack."""
    for policy in inventory.of_kind("NetworkPolicy"):
        selector = policy.node.at("spec", "podSelector")
        if policy.ours and selector.value and not cause(selector):
            near = (pod for pod in inventory.pods if same_namespace(policy, pod.resource) is not False)
            meant = [pod for pod in near if chosen(selector, pod) is not False]
            role = policy.labels["modelberth.dev/role"].text()
            if not meant:
                yield policy, _nothing("NetworkPolicy", selector, True)
            elif role and any(pod.labels["modelberth.dev/role"].text() not in ("", role) for pod in meant):
                message = "it selects pods of another role too, which may then go where only these are to"
                yield policy, Finding("WH-14", selector.path, message, "the role of its pods among the labels")


def _peers(inventory: Inventory, servers: list[Resource]) -> Told:
    """Pods of its own namespace that a NetworkPolicy lets in, or lets its pods go to, where a server is behind it."""
    for policy in inventory.of_kind("NetworkPolicy"):
        spec = policy.node["spec"]
        near = _near(policy, servers)
        if not any(chosen(spec["podSelector"], leading_pod(server)) for server in near):
            continue
        pods = [pod for pod in inventory.pods if same_namespace(policy, pod.resource) is not False]
        peers = [peer for rule in spec["ingress"].elements() for peer in rule["from"].elements()]
        peers += [peer for rule in spec["egress"].elements() for peer in rule["to"].elements()]
        for peer in peers:
            wanted = peer["podSelector"]
            if not wanted.value or peer["namespaceSelector"].stated or cause(wanted):
                continue
            if not any(chosen(wanted, pod) is not False for pod in pods):
                message = "the stack has no pod of this namespace that this means"
                finding = Finding("WH-14", wanted.path, message, "the labels of the pods that may call")
                yield policy, advice(finding)


RESOLVED = Rule(
    id="WH-14",
    name="references-resolve",
    title="Services, budgets, autoscalers and policies mean workloads that are there",
    question="whether objects mean the pods that are there",
    why="A selector or name that is spelled differently is no error to Kubernetes: the model is only not reached, not "
    "scaled, not protected.",
    remediation="Use the labels of the pod template, the names of its ports and of its workload.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="dangling-service, dangling-horizontalpodautoscaler, dangling-networkpolicypeer-podselector (kube-linter); "
    "service-targets-pod (kube-score)",
    across=_resolved,
)
RULES = (RESOLVED,)
