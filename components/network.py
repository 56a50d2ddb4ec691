"""NetworkPolicies: who may call, and where pods may go."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from .naming import CLIENTS_LABEL
from .options import child
from .targets.base import Target

meta, net = k8s.meta.v1, k8s.networking.v1
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


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
) -> k8s.networking.v1.NetworkPolicy:
    """Callers: this namespace and namespaces labelled as clients, on ``port`` (None: nobody).

    Prometheus, where the stack names one, on ``metrics``.
    Egress: DNS, and the hub's port ``downloads`` at anything but link-local addresses where pods download.
    """
    dns = [net.NetworkPolicyPortArgs(port=53, protocol=protocol) for protocol in ("UDP", "TCP")]
    egress = [net.NetworkPolicyEgressRuleArgs(ports=dns)]
    if downloads:
        anywhere = net.IPBlockArgs(cidr="0.0.0.0/0", except_=["169.254.0.0/16"])
        egress.append(_to(anywhere, downloads))
    return net.NetworkPolicy(
        name,
        metadata=meta.ObjectMetaArgs(namespace=target.namespace, labels=dict(labels)),
        spec=net.NetworkPolicySpecArgs(
            pod_selector=meta.LabelSelectorArgs(match_labels=dict(selector)),
            policy_types=["Ingress", "Egress"],
            ingress=[*([_from_clients(port)] if port else []), *_from_prometheus(target, metrics)],
            egress=egress,
        ),
        opts=child(parent, provider=target.provider),
    )


def _to(block: k8s.networking.v1.IPBlockArgs, port: int) -> k8s.networking.v1.NetworkPolicyEgressRuleArgs:
    hub = net.NetworkPolicyPortArgs(port=port, protocol="TCP")
    return net.NetworkPolicyEgressRuleArgs(to=[net.NetworkPolicyPeerArgs(ip_block=block)], ports=[hub])


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


def _from_clients(port: int) -> k8s.networking.v1.NetworkPolicyIngressRuleArgs:
    peers = [
        net.NetworkPolicyPeerArgs(pod_selector=meta.LabelSelectorArgs()),
        net.NetworkPolicyPeerArgs(namespace_selector=meta.LabelSelectorArgs(match_labels={CLIENTS_LABEL: "true"})),
    ]
    return net.NetworkPolicyIngressRuleArgs(from_=peers, ports=[net.NetworkPolicyPortArgs(port=port, protocol="TCP")])
