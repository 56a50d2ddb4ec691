"""NetworkPolicies: who may call, and where pods may go."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from modelberth.doors import Door

from .naming import CLIENTS_LABEL
from .options import child
from .targets.base import IdentityServer, Target

meta, net = k8s.meta.v1, k8s.networking.v1
HTTPS = 443
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""A label that the API server keeps on every namespace."""

ANYWHERE = {"0.0.0.0/0": "169.254.0.0/16", "::/0": "fe80::/10"}
"""Every address, less the link-local ones, where clouds keep the credentials of nodes."""


def policy(
    name: str,
    parent: pulumi.Resource,
    target: Target,
    selector: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    port: int | None,
    downloads: int | None,
    metrics: int | None = None,
    door: Door | None = None,
    among_themselves: bool = False,
    reads_bucket: bool = False,
) -> k8s.networking.v1.NetworkPolicy:
    """Callers: this namespace, namespaces labelled as clients, and the proxies of a door, on ``port`` (None: nobody).

    Prometheus, where the stack names one, on ``metrics``.
    Egress: DNS, and the hub's port ``downloads`` at anything but link-local addresses where pods download. Pods that
    read a bucket reach its API in the same way, and the server that gives them their identity. Pods that
    compute together (``among_themselves``) reach each other on every port: NCCL and Gloo choose theirs as they start.
    """
    dns = [net.NetworkPolicyPortArgs(port=53, protocol=protocol) for protocol in ("UDP", "TCP")]
    egress = [net.NetworkPolicyEgressRuleArgs(ports=dns)]
    reached = {downloads or HTTPS, *([HTTPS] if reads_bucket else [])} if downloads or reads_bucket else set[int]()
    egress.extend(_to(ANYWHERE, each) for each in sorted(reached))
    if reads_bucket:
        egress.extend(_identity(server) for server in target.identity_servers)
    ingress = [*([_from_clients(port, door)] if port else []), *_from_prometheus(target, metrics)]
    if among_themselves:
        peers = [net.NetworkPolicyPeerArgs(pod_selector=meta.LabelSelectorArgs(match_labels=dict(selector)))]
        ingress.append(net.NetworkPolicyIngressRuleArgs(from_=peers))
        egress.append(net.NetworkPolicyEgressRuleArgs(to=peers))
    return net.NetworkPolicy(
        name,
        metadata=meta.ObjectMetaArgs(namespace=target.namespace, labels=dict(labels)),
        spec=net.NetworkPolicySpecArgs(
            pod_selector=meta.LabelSelectorArgs(match_labels=dict(selector)),
            policy_types=["Ingress", "Egress"],
            ingress=ingress,
            egress=egress,
        ),
        opts=child(parent, provider=target.provider),
    )


def _identity(server: IdentityServer) -> k8s.networking.v1.NetworkPolicyEgressRuleArgs:
    return net.NetworkPolicyEgressRuleArgs(
        to=[net.NetworkPolicyPeerArgs(ip_block=net.IPBlockArgs(cidr=server.cidr))],
        ports=[net.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in server.ports],
    )


def _to(blocks: Mapping[str, str], port: int) -> k8s.networking.v1.NetworkPolicyEgressRuleArgs:
    hub = net.NetworkPolicyPortArgs(port=port, protocol="TCP")
    ranges = [net.IPBlockArgs(cidr=cidr, except_=[without]) for cidr, without in blocks.items()]
    return net.NetworkPolicyEgressRuleArgs(
        to=[net.NetworkPolicyPeerArgs(ip_block=each) for each in ranges], ports=[hub]
    )


def _from_prometheus(target: Target, port: int | None) -> list[k8s.networking.v1.NetworkPolicyIngressRuleArgs]:
    """Whoever runs in the namespace of Prometheus may scrape, where the stack says that there is one."""
    if port is None or not (target.monitoring.operator or target.monitoring.prometheus):
        return []
    there = meta.LabelSelectorArgs(match_labels={NAMESPACE_LABEL: target.monitoring.namespace})
    return [
        net.NetworkPolicyIngressRuleArgs(
            from_=[net.NetworkPolicyPeerArgs(namespace_selector=there)],
            ports=[net.NetworkPolicyPortArgs(port=port, protocol="TCP")],
        )
    ]


def _from_clients(port: int, door: Door | None) -> k8s.networking.v1.NetworkPolicyIngressRuleArgs:
    peers = [
        net.NetworkPolicyPeerArgs(pod_selector=meta.LabelSelectorArgs()),
        net.NetworkPolicyPeerArgs(namespace_selector=meta.LabelSelectorArgs(match_labels={CLIENTS_LABEL: "true"})),
    ]
    if door and door.proxy_namespace:
        named = meta.LabelSelectorArgs(match_labels={NAMESPACE_LABEL: door.proxy_namespace})
        peers.append(net.NetworkPolicyPeerArgs(namespace_selector=named))
    for cidr in door.proxy_ranges if door else ():
        peers.append(net.NetworkPolicyPeerArgs(ip_block=net.IPBlockArgs(cidr=cidr)))
    return net.NetworkPolicyIngressRuleArgs(from_=peers, ports=[net.NetworkPolicyPortArgs(port=port, protocol="TCP")])
