"""The network of a GKE cluster: private, with a NAT for what nodes download."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ..options import child

NODES, PODS, SERVICES = "10.0.0.0/20", "10.16.0.0/14", "10.20.0.0/20"
"""1,000 nodes of 110 pods each (a /24 of pods for each node), 4,000 services."""


@dataclass(frozen=True)
class Network:
    """Where a cluster lies: names or links of what exists, or outputs of what another part of a program makes."""

    network: pulumi.Input[str]
    subnetwork: pulumi.Input[str]
    pods_range: pulumi.Input[str] = "pods"
    services_range: pulumi.Input[str] = "services"
    ready: tuple[pulumi.Resource, ...] = ()
    """What nodes need of it beside the subnetwork: the NAT."""


def make(name: str, prefix: str, region: str, parent: pulumi.Resource, provider: gcp.Provider) -> Network:
    """A network with one subnetwork, flow logs, private access to Google's APIs, and a NAT."""
    own = child(parent, provider=provider)
    network = gcp.compute.Network(
        f"{name}-network",
        name=prefix,
        auto_create_subnetworks=False,
        mtu=8896,  # the largest there is: nodes of one copy exchange large messages
        opts=own,
    )
    subnetwork = gcp.compute.Subnetwork(
        f"{name}-subnetwork",
        name=prefix,
        network=network.id,
        region=region,
        ip_cidr_range=NODES,
        private_ip_google_access=True,
        secondary_ip_ranges=[
            gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="pods", ip_cidr_range=PODS),
            gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="services", ip_cidr_range=SERVICES),
        ],
        log_config=gcp.compute.SubnetworkLogConfigArgs(
            aggregation_interval="INTERVAL_10_MIN", flow_sampling=0.1, metadata="INCLUDE_ALL_METADATA"
        ),
        opts=own,
    )
    router = gcp.compute.Router(f"{name}-router", name=prefix, network=network.id, region=region, opts=own)
    nat = gcp.compute.RouterNat(
        f"{name}-nat",
        name=prefix,
        router=router.name,
        region=region,
        nat_ip_allocate_option="AUTO_ONLY",
        source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
        log_config=gcp.compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
        opts=own,
    )
    inside = gcp.compute.Firewall(
        f"{name}-inside",
        name=f"{prefix}-inside",
        description="Nodes and pods reach each other; GKE adds what its control plane needs.",
        network=network.id,
        direction="INGRESS",
        source_ranges=[NODES, PODS],
        allows=[gcp.compute.FirewallAllowArgs(protocol=protocol) for protocol in ("tcp", "udp", "icmp")],
        opts=own,
    )
    return Network(network.id, subnetwork.id, ready=(nat, inside))
