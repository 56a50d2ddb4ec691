"""Who may call a model server, and where its pods may go: namespaces and NetworkPolicies."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address

from modelberth.clouds.facts import network_of, open_to_all
from modelberth.clouds.identities import SERVER_PORTS
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Resource
from modelberth.rules.base import ADVICE, ALWAYS, IN_PROD, Rule, Settings, Severity, advice, softened, undecided
from modelberth.rules.loading import weights_of
from modelberth.rules.relations import cause, chosen, depends_on, leading_pod, means, same_namespace, serving
from modelberth.rules.standards import ENFORCE

METADATA = ip_address("169.254.169.254")
"""Where clouds answer with the credentials of a node."""
DNS = 53
CLIENTS = "modelberth.dev/clients"
"""The label of namespaces whose pods may call, as our components select it."""
_SYSTEM = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_POLICIES_OF_OTHERS = frozenset(
    [
        "AdminNetworkPolicy",
        "BaselineAdminNetworkPolicy",
        "CiliumClusterwideNetworkPolicy",
        "CiliumNetworkPolicy",
        "ClusterNetworkPolicy",
        "GlobalNetworkPolicy",
    ]
)
"""Kinds that may do what a NetworkPolicy does, and are not read here."""


_OF_NO_NAMESPACE = frozenset(
    ["ClusterRole", "ClusterRoleBinding", "GatewayClass", "Namespace", "PersistentVolume", "PriorityClass"]
).union(["StorageClass"])
_NOWHERE = "it says no namespace: where it lands hangs on the provider or the context"


def _own(resource: Resource, settings: Settings) -> Iterator[Finding]:
    namespace = resource.namespace
    if not resource.workloads:
        if resource.ours and resource.kind not in _OF_NO_NAMESPACE and not namespace.stated:
            yield Finding("WH-11", namespace.path, _NOWHERE, "metadata.namespace")
        return
    if namespace.unknown:
        if not resource.ours:
            yield advice(undecided("WH-11", OWN.question, namespace))
    elif namespace.text() in _SYSTEM:
        message = f"it is in {namespace.text()}: no policy or quota can be set for models alone"
        yield from softened(resource, [Finding("WH-11", namespace.path, message, "a namespace of its own")])
    elif resource.ours and not namespace.text():
        yield Finding("WH-11", namespace.path, _NOWHERE, "metadata.namespace")


def _restricted(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    servers = list(serving(inventory))
    for server in servers:
        if server.ours and server.namespace.unknown and not depends_on(server):
            yield server, undecided("WH-11", OWN.question, server.namespace)
    for space in inventory.of_kind("Namespace"):
        inside = [each for each in servers if _is_in(each, space)]
        if not inside:
            continue
        level = space.labels[ENFORCE]
        ours = any(each.ours for each in inside)
        if level.unknown:
            finding = undecided("WH-11", "whether the namespace enforces the restricted level", level)
            yield space, finding if ours else advice(finding)
        elif level.text() != "restricted":
            said = f"has the level {level.text()}" if level.text() in ("baseline", "privileged") else "has no level"
            message = f"the namespace {said}: pods with more rights than a model server needs are let in"
            finding = Finding("WH-11", level.path, message, f"the label {ENFORCE}: restricted")
            yield space, finding if ours else advice(finding)


def _is_in(resource: Resource, space: Resource) -> bool:
    return resource.namespace.stated and means(resource, space, resource.namespace)


def _isolated(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    if any(each.kind in _POLICIES_OF_OTHERS for each in inventory.resources):
        return
    judged: dict[Resource, None] = {}
    for server in serving(inventory):
        selector_of = {each: each.node.at("spec", "podSelector") for each in inventory.of_kind("NetworkPolicy")}
        near = {each: node for each, node in selector_of.items() if same_namespace(each, server) is not False}
        answers = {each: _chosen(node, server) for each, node in near.items()}
        meant = [each for each, answer in answers.items() if answer]
        if not meant:
            labels = leading_pod(server).labels
            open_ended = next((found for node in near.values() if (found := cause(node, labels))), None)
            if open_ended:
                yield server, undecided("WH-12", ISOLATED.question, open_ended)
            else:
                message = (
                    "no NetworkPolicy of the stack selects its pods: whoever is in the cluster may call the server"
                )
                remedy = "a NetworkPolicy with podSelector, policyTypes Ingress and Egress, and the callers by name"
                yield server, Finding("WH-12", labels.path, message, remedy)
            continue
        yield from ((server, finding) for finding in _directions(server, meant))
        yield from ((server, finding) for finding in _left_open(server, meant))
        sure = all(answer is False for each, answer in answers.items() if each not in meant)
        yield from ((meant[0], finding) for finding in (_fetches_nothing(server, meant) if sure else ()))
        judged.update(dict.fromkeys(meant))
    judged.update({each: None for each in inventory.of_kind("NetworkPolicy") if each.ours})
    for policy in judged:
        yield from ((policy, finding) for finding in _rules(policy))


def _chosen(selector: Node, server: Resource) -> bool | None:
    """An absent or empty selector means every pod of the namespace."""
    return chosen(selector, leading_pod(server)) if selector.value else True


def _left_open(server: Resource, policies: list[Resource]) -> Iterator[Finding]:
    """Pods of a group beside the one that takes requests: ranks talk to each other without asking who calls."""
    for pod in server.pods:
        selectors = [each.node.at("spec", "podSelector") for each in policies]
        if pod is not leading_pod(server) and all(each.value and chosen(each, pod) is False for each in selectors):
            message = (
                "no NetworkPolicy of the stack selects these pods of the group: whoever is in the cluster reaches them"
            )
            yield Finding("WH-12", pod.labels.path, message, "a label that all pods of the group have")


def _directions(server: Resource, policies: list[Resource]) -> Iterator[Finding]:
    path = leading_pod(server).labels.path
    types = [each.node.at("spec", "policyTypes") for each in policies]
    if any(cause(each) for each in types):
        return
    for direction in ("Ingress", "Egress"):
        if not any(_limits(policy, direction) for policy in policies):
            message = f"the NetworkPolicies that select its pods say nothing about {direction}: all of it is allowed"
            yield Finding("WH-12", path, message, f"policyTypes: [Ingress, Egress], and rules for {direction}")


def _fetches_nothing(server: Resource, policies: list[Resource]) -> Iterator[Finding]:
    """Pods that may reach nothing, and have to fetch their weights."""
    rules = [each.node.at("spec", "egress") for each in policies]
    pod = leading_pod(server)
    found = [weights for each in pod.serving if (weights := weights_of(pod, each))]
    closed = any(_limits(each, "Egress") for each in policies) and not any(each.value or each.unknown for each in rules)
    if closed and any(weights.downloads for weights in found):
        message = "no policy lets its pods reach anything, and they download their weights when they start: none arrive"
        remedy = "egress to DNS and to the hub on port 443; or weights on a volume, and HF_HUB_OFFLINE=1"
        yield Finding("WH-12", rules[0].path, message, remedy)


def _limits(policy: Resource, direction: str) -> bool:
    """Without policyTypes a policy is about ingress, and about egress where it has rules for it."""
    types = policy.node.at("spec", "policyTypes")
    if types.value:
        return direction in {each.text() for each in types.elements()}
    return direction == "Ingress" or bool(policy.node.at("spec", "egress").value)


def _rules(policy: Resource) -> Iterator[Finding]:
    spec = policy.node["spec"]
    open_ended = cause(spec["policyTypes"]) or cause(spec["ingress"]) or cause(spec["egress"])
    if open_ended:
        yield undecided("WH-12", ISOLATED.question, open_ended)
    if policy.ours:
        yield from _as_written(spec)
    if _limits(policy, "Ingress"):
        for rule in spec["ingress"].elements():
            yield from _callers(rule)
    if _limits(policy, "Egress"):
        yield from _asks_by_udp(spec["egress"], ours=policy.ours)
        for rule in spec["egress"].elements():
            yield from _destinations(rule)


def _as_written(spec: Node) -> Iterator[Finding]:
    """What our components write: both directions, every rule with its ports, callers by a label with one value."""
    types = {each.text() for each in spec["policyTypes"].elements()}
    for direction in ("Ingress", "Egress"):
        if types and not spec["policyTypes"].unknown and direction not in types:
            message = f"the policy says nothing about {direction}: all of it is allowed"
            yield Finding("WH-12", spec["policyTypes"].path, message, "policyTypes: [Ingress, Egress]")
    for rule in (*spec["ingress"].elements(), *spec["egress"].elements()):
        for port in rule["ports"].elements():
            if not port["port"].stated:
                message = "the rule is about every port, where one is meant"
                yield Finding("WH-12", port.path, message, "port: the one that is meant")
        for peer in rule["from"].elements():
            clients = peer.at("namespaceSelector", "matchLabels", CLIENTS)
            if clients.stated and not clients.unknown and clients.text() != "true":
                message = f'namespaces of callers have the label {CLIENTS}: "true": this lets none of them in'
                yield Finding("WH-12", clients.path, message, '"true"')


def _callers(rule: Node) -> Iterator[Finding]:
    peers = rule["from"]
    if rule.unknown or peers.unknown:
        return
    if not peers.value:
        yield Finding("WH-12", peers.path, "this rule lets everybody in", "from: the namespaces or pods that may call")
    for peer in peers.elements():
        spaces, pods, block = peer["namespaceSelector"], peer["podSelector"], peer.at("ipBlock", "cidr")
        if open_to_all(block):
            yield Finding("WH-12", block.path, "this lets every address in", "the callers' ranges")
        elif spaces.stated and not _chooses(spaces) and not _chooses(pods):
            message = "this lets every pod of every namespace in"
            yield Finding("WH-12", spaces.path, message, "matchLabels of the namespaces that may call")


def _chooses(selector: Node) -> bool:
    """Whether a selector leaves anything out; what is only known after apply may."""
    return selector.unknown or any(selector[name].value for name in ("matchLabels", "matchExpressions"))


def _destinations(rule: Node) -> Iterator[Finding]:
    peers, ports = rule["to"], rule["ports"]
    if rule.unknown or peers.unknown or ports.unknown:
        return
    if not peers.value and not _only_dns(ports):
        message = "this rule lets pods go anywhere, also to the address where clouds keep the credentials of nodes"
        yield Finding("WH-12", rule.path, message, f"to: ipBlock with except {METADATA}/32, or ports of DNS only")
    for peer in peers.elements():
        cidr = peer.at("ipBlock", "cidr")
        block = network_of(cidr)
        if block is None or METADATA not in block or cause(peer) or _identity_server(block, ports):
            continue
        left_out = [network_of(each) for each in peer.at("ipBlock", "except").elements()]
        if not any(each and METADATA in each for each in left_out):
            message = f"this range holds {METADATA}, where clouds keep the credentials of nodes"
            yield Finding("WH-12", cidr.path, message, f"except: [{METADATA}/32], or [169.254.0.0/16]")


def _identity_server(block: IPv4Network | IPv6Network, ports: Node) -> bool:
    """Whether a rule means the server that gives pods an identity of their own: that address alone, its ports alone."""
    named = [port["port"].whole() for port in ports.elements()]
    return block.num_addresses == 1 and bool(named) and all(port in SERVER_PORTS for port in named)


def _asks_by_udp(egress: Node, *, ours: bool) -> Iterator[Finding]:
    """Names are asked for by UDP first, and by TCP only where an answer is long."""
    ports = [port for rule in egress.elements() for port in rule["ports"].elements()]
    of_dns = [port for port in ports if port["port"].whole() == DNS]
    if of_dns and not any(port["protocol"].unknown or port["protocol"].text() == "UDP" for port in of_dns):
        finding = Finding("WH-12", of_dns[0].path, "DNS is let out by TCP only: names are not found", "protocol: UDP")
        yield finding if ours else advice(finding)


def _only_dns(ports: Node) -> bool:
    listed = list(ports.elements())
    return bool(listed) and all(
        each["port"].whole() == DNS and (each["endPort"].whole() or DNS) == DNS for each in listed
    )


OWN = Rule(
    id="WH-11",
    name="own-namespace",
    title="Models are served in a namespace of their own, at the restricted level",
    question="whether the workload has a namespace of its own",
    why="Policies, quotas and rights are given by namespace; the level keeps pods out that could take over a node.",
    remediation=f"A namespace for the services, with the label {ENFORCE}: restricted.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="CKV_K8S_21 (checkov), use-namespace (kube-linter); Kubernetes, Pod Security Standards",
    check=_own,
    across=_restricted,
)
ISOLATED = Rule(
    id="WH-12",
    name="network-policy",
    title="Only named callers reach a server, and its pods reach little",
    question="whether a NetworkPolicy guards the server's pods",
    why="API keys cover some paths of a server only; whoever takes it over goes on from the credentials of its node.",
    remediation="Select the pods with a NetworkPolicy: callers by namespace or pod, egress to DNS and the hub only.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    foreign=ADVICE,
    source="CKV2_K8S_6 (checkov), non-isolated-pod (kube-linter), C-0030 and C-0054 of Kubescape; "
    "vLLM, docs/usage/security.md",
    across=_isolated,
)
RULES = (OWN, ISOLATED)
