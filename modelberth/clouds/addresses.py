"""How a Service or an Ingress tells a cloud that its load balancer is for the inside, and how it is encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

INTERNAL: Mapping[str, frozenset[str]] = {
    "cloud.google.com/load-balancer-type": frozenset({"internal"}),
    "networking.gke.io/load-balancer-type": frozenset({"internal"}),
    "service.beta.kubernetes.io/aws-load-balancer-internal": frozenset({"true", "0.0.0.0/0"}),
    "service.beta.kubernetes.io/aws-load-balancer-scheme": frozenset({"internal"}),
    "alb.ingress.kubernetes.io/scheme": frozenset({"internal"}),
    "service.beta.kubernetes.io/azure-load-balancer-internal": frozenset({"true"}),
    "service.beta.kubernetes.io/oci-load-balancer-internal": frozenset({"true"}),
    "oci-network-load-balancer.oraclecloud.com/internal": frozenset({"true"}),
    "service.beta.kubernetes.io/openstack-internal-load-balancer": frozenset({"true"}),
    "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type": frozenset({"intranet"}),
    "service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type": frozenset({"private"}),
}
"""Annotations of Services and Ingresses, by the documentation of each provider: values that mean no public address."""

ADDRESSES = (
    "io.cilium/lb-ipam-ips",
    "kube-vip.io/loadbalancerIPs",
    "lbipam.cilium.io/ips",
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
)
"""Annotations that name the address of a Service where no cloud gives one: MetalLB, Cilium, kube-vip."""

INTERNAL_BY_DEFAULT = frozenset({"service.k8s.aws/nlb", "service.k8s.aws/alb", "eks.amazonaws.com/nlb", "tailscale"})
"""Classes of load balancers that have no public address unless :data:`PUBLIC` says so.

kubernetes-sigs.github.io/aws-load-balancer-controller, guide/service/nlb: internal by default since 2.2.
"""

INTERNAL_CLASSES = frozenset({"alb", "gce-internal", "tailscale"})
"""The same for Ingresses."""

PUBLIC: Mapping[str, str] = {
    "service.beta.kubernetes.io/aws-load-balancer-scheme": "internet-facing",
    "alb.ingress.kubernetes.io/scheme": "internet-facing",
    "tailscale.com/funnel": "true",
}

RANGES = (
    "service.beta.kubernetes.io/load-balancer-source-ranges",
    "service.beta.kubernetes.io/azure-allowed-ip-ranges",
    "alb.ingress.kubernetes.io/inbound-cidrs",
    "alb.ingress.kubernetes.io/security-groups",
    "service.beta.kubernetes.io/aws-load-balancer-security-groups",
)
"""Annotations that hold callers to ranges, or leave that to security groups which do."""

CERTIFICATES = (
    "alb.ingress.kubernetes.io/certificate-arn",
    "ingress.gcp.kubernetes.io/pre-shared-cert",
    "networking.gke.io/managed-certificates",
    "networking.gke.io/certmap",
    "service.beta.kubernetes.io/aws-load-balancer-ssl-cert",
)
"""Annotations that name a certificate beside ``spec.tls``."""


CHECKS = (
    "alb.ingress.kubernetes.io/auth-type",
    "haproxy.org/auth-type",
    "nginx.ingress.kubernetes.io/auth-tls-secret",
    "nginx.ingress.kubernetes.io/auth-type",
    "nginx.ingress.kubernetes.io/auth-url",
    "traefik.ingress.kubernetes.io/router.middlewares",
)
"""Annotations of Ingresses by which nobody passes who is not known."""


def is_internal(annotations: Mapping[str, str], load_balancer_class: str) -> bool:
    """Whether a load balancer has no public address, as its annotations and its class say."""
    if any(annotations.get(key, "").lower() == value for key, value in PUBLIC.items()):
        return False
    said = any(annotations.get(key, "").lower() in values for key, values in INTERNAL.items())
    told = [each.strip() for key in ADDRESSES for each in annotations.get(key, "").split(",") if each.strip()]
    if told and all(is_private(each) for each in told):
        return True
    return said or load_balancer_class in INTERNAL_BY_DEFAULT | INTERNAL_CLASSES


def is_private(address: str) -> bool:
    """Whether an address is one that the internet does not reach."""
    try:
        return ip_address(address).is_private
    except ValueError:
        return False


__all__ = ["CERTIFICATES", "CHECKS", "PUBLIC", "RANGES", "is_internal", "is_private"]
