"""GKE clusters: gcp:container/cluster:Cluster, as pulumi-gcp sends it."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.clouds.facts import Fact, both, either, equals, flag, narrow, opposite
from modelberth.node import Node

CLUSTERS = frozenset({"gcp:container/cluster:Cluster"})
POOLS = frozenset({"gcp:container/nodePool:NodePool"})


def _network(cluster: Node) -> Iterator[Fact]:
    yield _control_plane(cluster)
    autopilot = flag(cluster["enableAutopilot"], default=False)
    for fact in (_vpc_native(cluster), _intranode(cluster), _network_policy(cluster)):
        if autopilot is not True:
            yield fact


def _control_plane(cluster: Node) -> Fact:
    """A public endpoint answers everyone unless networks are named; an empty list of them names none from outside."""
    authorized = cluster["masterAuthorizedNetworksConfig"]
    blocks = authorized["cidrBlocks"]
    if authorized.unknown:
        named = None
    elif not authorized.stated:
        named = False
    else:
        every_block = [blocks] if blocks.unknown else [each["cidrBlock"] for each in blocks.each()]
        own_cloud = flag(authorized["gcpPublicCidrsAccessEnabled"], default=False)
        listed = Node([each.value for each in every_block], blocks.path)
        named = both(narrow(listed), opposite(own_cloud))
    endpoints = cluster["controlPlaneEndpointsConfig"]
    answer = either(
        named,
        flag(cluster.at("privateClusterConfig", "enablePrivateEndpoint"), default=False),
        opposite(flag(endpoints.at("ipEndpointsConfig", "enabled"), default=True)),
    )
    return Fact(
        "only named networks reach the control plane",
        answer,
        authorized,
        "the control plane's address answers everyone",
        "masterAuthorizedNetworksConfig.cidrBlocks with the networks of those who deploy, "
        "or controlPlaneEndpointsConfig with ipEndpointsConfig.enabled: false and the DNS endpoint",
    )


def _vpc_native(cluster: Node) -> Fact:
    """Nothing stated is VPC-native: container_cluster, networking_mode, in hashicorp/terraform-provider-google."""
    routed = equals(cluster["networkingMode"], "ROUTES")
    return Fact(
        "the cluster is VPC-native",
        opposite(routed),
        cluster["networkingMode"],
        "pods are reached by routes, which network endpoint groups and private access do not know",
        "networkingMode: VPC_NATIVE",
    )


def _intranode(cluster: Node) -> Fact:
    return Fact(
        "traffic between pods of one node is visible",
        flag(cluster["enableIntranodeVisibility"], default=False),
        cluster["enableIntranodeVisibility"],
        "traffic between pods of one node passes no firewall of the network and no flow log",
        "enableIntranodeVisibility: true",
    )


def _network_policy(cluster: Node) -> Fact:
    return Fact(
        "network policies are enforced",
        either(
            equals(cluster["datapathProvider"], "ADVANCED_DATAPATH"),
            flag(cluster.at("networkPolicy", "enabled"), default=False),
        ),
        cluster["datapathProvider"],
        "nothing enforces network policies: the API server accepts them and every pod reaches every other",
        "datapathProvider: ADVANCED_DATAPATH",
    )


def _private_nodes(cluster: Node) -> Iterator[Fact]:
    stated = cluster.at("privateClusterConfig", "enablePrivateNodes")
    yield Fact(
        "nodes have no public address",
        flag(stated, default=False),
        stated,
        "every node has a public address",
        "privateClusterConfig.enablePrivateNodes: true, with a NAT gateway for what they download",
    )


def own_private_nodes(pool: Node) -> Node:
    """Where a pool overrides what its cluster says."""
    return pool.at("networkConfig", "enablePrivateNodes")


NETWORK = dict.fromkeys(CLUSTERS, _network)
PRIVATE_NODES = dict.fromkeys(CLUSTERS, _private_nodes)
