"""Identities of pods and what they may do in a cloud, in the words of no cloud."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelberth.clouds import aws_identities, gcp_identities
from modelberth.clouds.grants import LATER, Grant
from modelberth.clouds.pool_facts import AnyResource
from modelberth.node import Node

SERVER_PORTS = frozenset({80, 987, 988, 8080})
"""Ports of the server that a cluster with identities of pods puts in the place of the node's.

Source: cloud.google.com/kubernetes-engine/docs/how-to/workload-identity, network policies.
"""


def of_pods(member: Node) -> bool:
    """Whether a member of a grant is an identity that pods have without a key."""
    return gcp_identities.account_of(member.text()) is not None


def granted(type_: str, node: Node) -> tuple[Grant, ...]:
    """What one resource alone shows that it grants."""
    return tuple(gcp_identities.grants(type_, node))


def granted_together(resources: Sequence[AnyResource]) -> Iterator[tuple[AnyResource, Grant]]:
    """What resources grant together, each with the one that says it."""
    yield from aws_identities.grants(resources)


def account(service_account: Node) -> str:
    """The cloud's name of the account that pods with this ServiceAccount act as; empty where they act as nobody."""
    annotations = service_account.at("metadata", "annotations")
    for each in (gcp_identities.ANNOTATION, aws_identities.ANNOTATION):
        if annotations[each].unknown:
            return LATER
        if named := annotations[each].text():
            return named.rpartition("/")[2]
    return ""
