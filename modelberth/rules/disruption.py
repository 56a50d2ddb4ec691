"""What happens to requests when nodes are drained, lost or pods rolled: budgets, spread, time to leave."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from modelberth.clouds.base import HOSTNAME
from modelberth.clouds.pool_facts import ZONE
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, IN_PROD, Rule, Settings, Severity, advice, undecided
from modelberth.rules.needs import ZONES, in_one_zone
from modelberth.rules.nodes import no_such_label
from modelberth.rules.relations import (
    LWS,
    SERVES_ON,
    Replicas,
    cause,
    chosen,
    leading_pod,
    replicas,
    same_namespace,
    serving,
)

Told = Iterator[tuple[Resource, Finding]]


def _budgeted(inventory: Inventory, settings: Settings) -> Told:
    judged: set[Resource] = set()
    for server in serving(inventory):
        if server.kind not in SERVES_ON:
            continue
        count, pod = replicas(inventory, server), leading_pod(server)
        near = [
            each
            for each in inventory.of_kind("PodDisruptionBudget")
            if same_namespace(each, server) is not False and each.node.at("spec", "selector").stated
        ]
        answers = {each: chosen(each.node.at("spec", "selector"), pod) for each in near}
        meant = [each for each, answer in answers.items() if answer]
        if not meant:
            yield from ((server, finding) for finding in _missing(server, count, near))
        for budget in meant[1:]:
            message = "two budgets select the same pods: the API server then refuses to evict any of them"
            path = budget.node.at("spec", "selector").path
            yield budget, Finding("WH-08", path, message, "one PodDisruptionBudget for each workload")
        if meant and meant[0] not in judged:
            judged.add(meant[0])
            yield from ((meant[0], finding) for finding in _allows(meant[0], server, count))


def _missing(server: Resource, count: Replicas, near: list[Resource]) -> Iterator[Finding]:
    if count.most is not None and count.most < 2:
        return
    labels = leading_pod(server).labels
    open_ended = next((found for each in near if (found := cause(each.node.at("spec", "selector"), labels))), None)
    if open_ended:
        yield undecided("WH-08", BUDGETED.question, open_ended)
    elif count.most is None and count.most_at.unknown:
        yield undecided("WH-08", BUDGETED.question, count.most_at)
    else:
        message = f"no PodDisruptionBudget selects its pods: a drain may take all {count.most or ''} replicas at once"
        remedy = "a PodDisruptionBudget with maxUnavailable: 1 and unhealthyPodEvictionPolicy: AlwaysAllow"
        yield Finding("WH-08", "spec.replicas", message.replace("  ", " "), remedy)


def _allows(budget: Resource, server: Resource, count: Replicas) -> Iterator[Finding]:
    spec = budget.node["spec"]
    most, least, policy = spec["maxUnavailable"], spec["minAvailable"], spec["unhealthyPodEvictionPolicy"]
    for node in (most, least, policy):
        if node.unknown:
            yield undecided("WH-08", "whether the budget lets a node be drained", node)
            return
    if most.stated and least.stated:
        message = "says both maxUnavailable and minAvailable: the API server refuses it"
        yield Finding("WH-08", least.path, message, "maxUnavailable: 1 alone")
    yield from _evictable(server, count, most, least)
    if policy.text() != "AlwaysAllow":
        message = "a pod that never becomes ready holds up the drain of its node: only ready ones count as evictable"
        yield Finding("WH-08", policy.path, message, "unhealthyPodEvictionPolicy: AlwaysAllow")


def _evictable(server: Resource, count: Replicas, most: Node, least: Node) -> Iterator[Finding]:
    """A share is rounded up in both (Kubernetes, Specifying a Disruption Budget for your Application)."""
    if most.stated:
        if most.share(100) == 0:
            yield Finding("WH-08", most.path, "it allows no disruption: no node with these pods can be drained", "1")
        return
    if not least.stated:
        yield Finding("WH-08", most.path, "it says neither maxUnavailable nor minAvailable", "maxUnavailable: 1")
        return
    if least.text().strip() == "100%":
        yield _blocked(least, "all pods", "no more")
    elif server.kind == "LeaderWorkerSet":
        return  # its pods are more than its replicas, and which of them are counted hangs on the selector
    elif count.least is None and count.least_at.unknown:
        yield undecided("WH-08", "whether the budget lets a node be drained", count.least_at)
    elif count.least is not None:
        running = max(1, count.least)
        needed = ceil(least.share(running) or 0)
        if needed >= running:
            yield _blocked(least, f"{needed} of the pods", f"{running}")


def _blocked(least: Node, needed: str, running: str) -> Finding:
    message = f"it keeps {needed} available and {running} may be all there are: no node with one of them can be drained"
    return Finding("WH-08", least.path, message, "maxUnavailable: 1 instead")


def _spread(inventory: Inventory, settings: Settings) -> Told:
    for server in serving(inventory):
        if server.kind not in SERVES_ON:
            continue
        count = replicas(inventory, server)
        if count.most is not None and count.most < 2:
            continue
        for finding in _of_server(server, leading_pod(server), count):
            yield server, finding


def _of_server(server: Resource, pod: Pod, count: Replicas) -> Iterator[Finding]:
    constraints, anti = pod.spec["topologySpreadConstraints"], pod.spec.at("affinity", "podAntiAffinity")
    open_ended = cause(constraints) or cause(anti)
    apart = {key for key, selector in _apart(constraints, anti) if chosen(selector, pod)}
    exclusive = server.node.at("metadata", "annotations", f"{LWS}/exclusive-topology")
    if exclusive.text():
        apart.add(exclusive.text())
    by_zone = bool(apart.intersection(ZONES))
    by_node = bool(apart - ZONES)
    if by_node and (by_zone or in_one_zone(pod)):
        return
    if open_ended:
        yield undecided("WH-09", SPREAD.question, open_ended)
    elif count.most is None and count.most_at.unknown and not apart:
        yield undecided("WH-09", SPREAD.question, count.most_at)
    elif not apart:
        message = f"nothing keeps its {count.most or ''} replicas apart: one node may hold all of them".replace(
            "  ", " "
        )
        remedy = f"topologySpreadConstraints on {HOSTNAME} and {ZONE}, with the labels of its pods"
        yield Finding("WH-09", constraints.path, message, remedy)
    else:
        what, key = ("node", HOSTNAME) if by_zone else ("zone", ZONE)
        message = f"nothing spreads its replicas by {what}: one may hold all of them"
        yield advice(Finding("WH-09", constraints.path, message, f"a topologySpreadConstraint on {key}"))


def _apart(constraints: Node, anti: Node) -> Iterator[tuple[str, Node]]:
    """Topology keys that pods are kept apart by, each with what it counts; without a selector nothing is counted."""
    for each in constraints.elements():
        if each["labelSelector"].stated and not no_such_label(each["topologyKey"].text()):
            yield each["topologyKey"].text(), each["labelSelector"]
    terms = list(anti["requiredDuringSchedulingIgnoredDuringExecution"].elements())
    terms += [each["podAffinityTerm"] for each in anti["preferredDuringSchedulingIgnoredDuringExecution"].elements()]
    for each in terms:
        if each["labelSelector"].stated:
            yield each["topologyKey"].text(), each["labelSelector"]


BUDGETED = Rule(
    id="WH-08",
    name="disruption-budget",
    title="A drain takes one replica at a time, and never hangs",
    question="whether a budget guards the replicas",
    why="Upgrades of nodes evict pods: without a budget all at once, with a wrong one never.",
    remediation="A PodDisruptionBudget with maxUnavailable 1 and unhealthyPodEvictionPolicy AlwaysAllow.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    foreign=ADVICE,
    source="pdb-max-unavailable, pdb-min-available, pdb-unhealthy-pod-eviction-policy (kube-linter); "
    "pdbMinAvailableGreaterThanHPAMinReplicas (Polaris)",
    across=_budgeted,
)
SPREAD = Rule(
    id="WH-09",
    name="replicas-spread",
    title="Replicas run on different nodes and zones",
    question="whether replicas are kept apart",
    why="The scheduler may put all replicas on one node, and its loss then takes the whole service.",
    remediation=f"topologySpreadConstraints on {HOSTNAME} and {ZONE}, or pod anti-affinity.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    foreign=ADVICE,
    source="no-anti-affinity (kube-linter); deployment-has-host-podantiaffinity (kube-score)",
    across=_spread,
)
RULES = (BUDGETED, SPREAD)
