"""A network as another team may have made it; what the cluster needs of it is handed over."""

import pulumi
import pulumi_gcp as gcp

from modelberth.components.targets.gke_network import Network


def make(region: str, provider: gcp.Provider) -> Network:
    """A network with ranges for pods and services, a NAT for what nodes download, a firewall."""
    own = pulumi.ResourceOptions(provider=provider)
    network = gcp.compute.Network("ours", name="ours", auto_create_subnetworks=False, opts=own)
    subnetwork = gcp.compute.Subnetwork(
        "ours",
        name="ours",
        network=network.id,
        region=region,
        ip_cidr_range="172.20.0.0/20",
        private_ip_google_access=True,
        secondary_ip_ranges=[
            gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="our-pods", ip_cidr_range="172.24.0.0/14"),
            gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="our-services", ip_cidr_range="172.20.16.0/20"),
        ],
        log_config=gcp.compute.SubnetworkLogConfigArgs(
            aggregation_interval="INTERVAL_10_MIN", flow_sampling=0.1, metadata="INCLUDE_ALL_METADATA"
        ),
        opts=own,
    )
    router = gcp.compute.Router("ours", name="ours", network=network.id, region=region, opts=own)
    nat = gcp.compute.RouterNat(
        "ours",
        name="ours",
        router=router.name,
        region=region,
        nat_ip_allocate_option="AUTO_ONLY",
        source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
        opts=own,
    )
    inside = gcp.compute.Firewall(
        "ours",
        name="ours-inside",
        network=network.id,
        direction="INGRESS",
        source_ranges=["172.20.0.0/20", "172.24.0.0/14"],
        allows=[gcp.compute.FirewallAllowArgs(protocol=protocol) for protocol in ("tcp", "udp", "icmp")],
        opts=own,
    )
    return Network(network.id, subnetwork.id, "our-pods", "our-services", ready=(nat, inside))
