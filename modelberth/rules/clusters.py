"""The clusters and machines below: who reaches them, what is encrypted and logged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from modelberth.clouds import clusters, machines
from modelberth.clouds.links import target_of
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, IN_PROD, Rule, Settings, Severity, advice, undecided
from modelberth.rules.credentials import in_text, shape
from modelberth.rules.facts import told
from modelberth.rules.validity import beside_what_clouds_take

_PLAIN_SCRIPT = "whether what machines run when they start holds a credential"


def _network(resource: Resource, settings: Settings) -> Iterator[Finding]:
    yield from told("CS-04", clusters.network(resource.type, resource.node))
    own = clusters.own_private_nodes(resource.type, resource.node)
    if own is not None and own.unknown:
        yield undecided("CS-04", "whether nodes have no public address", own)
    elif own is not None and own.flag() is False:
        message = "every node of this pool has a public address, whatever its cluster says"
        yield Finding("CS-04", own.path, message, f"{own.path}: true")


def _private_nodes(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """A cluster may leave it to its pools: then each of them has to say it."""
    there = list(inventory.of_type(*clusters.CLUSTERS))
    pools = list(inventory.of_type(*clusters.POOLS))
    for cluster in there:
        own = [pool for pool in pools if target_of(pool, pool.node["cluster"], there) is cluster]
        said = [clusters.own_private_nodes(pool.type, pool.node) for pool in own]
        if said and all(each is not None and each.flag() is True for each in said):
            continue
        facts = clusters.private_nodes(cluster.type, cluster.node)
        yield from ((cluster, finding) for finding in told("CS-04", facts))


def _control_plane(resource: Resource, settings: Settings) -> Iterable[Finding]:
    return told("CS-05", clusters.control_plane(resource.type, resource.node, settings.today))


def _machines(resource: Resource, settings: Settings) -> Iterator[Finding]:
    yield from told("CS-06", machines.hardened(resource.type, resource.node))
    for stated, text in machines.start_scripts(resource.type, resource.node):
        if stated.unknown:
            yield advice(undecided("CS-06", _PLAIN_SCRIPT, stated))
        elif shape(text) or in_text(text):
            message = "what machines run when they start holds a credential that everyone who may list them can read"
            yield Finding("CS-06", stated.path, message, "fetch it at start with the machine's identity")


def _disks(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """What says nothing is as the account says, which a stack may show."""
    if any(machines.encrypts_unasked(each.type, each.node) for each in inventory.resources):
        return
    for resource in inventory.resources:
        facts = [replace(each, minor=False) for each in machines.disks(resource.type, resource.node)]
        yield from ((resource, finding) for finding in told("CS-06", facts))


NETWORK = Rule(
    id="CS-04",
    name="cluster-network-closed",
    title="The cluster's network is closed",
    question="whether the cluster's network is closed",
    why="Who reaches a control plane needs one leaked token, and who reaches a node needs one open port.",
    remediation="Private nodes, named networks for the control plane, VPC-native pods and enforced network policies.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    source="CIS GKE Benchmark 5.6; CKV_GCP_12, _18, _20, _23, _25 and _61 of checkov",
    check=beside_what_clouds_take("CS-04", _network),
    across=_private_nodes,
)
CONTROL_PLANE = Rule(
    id="CS-05",
    name="control-plane-guarded",
    title="The control plane is guarded, logged and maintained",
    question="whether the control plane is guarded, logged and maintained",
    why="A control plane open to all, without logs or without patches is found before it is noticed.",
    remediation="A private endpoint or named networks, all five logs, a key for secrets and a version with support.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    source="CIS EKS Benchmark 2, 5.1 and 5.4; CKV_AWS_37, _38, _39, _58 and _339 of checkov",
    check=beside_what_clouds_take("CS-05", _control_plane),
)
MACHINES = Rule(
    id="CS-06",
    name="machines-hardened",
    title="Machines keep their credentials and their doors shut",
    question="whether machines keep their credentials and their doors shut",
    why="A pod that reads its machine's credentials owns what the machine may do; open SSH is tried within minutes.",
    remediation="Metadata only with a token and one hop, no public address, no SSH from everywhere, encrypted disks.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="EKS best practices, access to the instance profile; CKV_AWS_24, _46, _79, _88, _100 and _341, CKV_GCP_2",
    check=beside_what_clouds_take("CS-06", _machines),
    across=_disks,
)
RULES = (NETWORK, CONTROL_PLANE, MACHINES)
