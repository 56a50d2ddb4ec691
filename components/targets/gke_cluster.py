"""A GKE cluster as models want it: private nodes, workload identity, encrypted secrets, drivers for volumes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from modelberth.targets import Gke
from modelberth.targets.fields import SystemPool

from ..options import child
from .gke_network import Network
from .names import limited

c = gcp.container
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
NODE_ROLES = ("roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader")
"""What nodes do: write logs and metrics, read images.

Source: cloud.google.com/kubernetes-engine/docs/how-to/service-accounts.
"""
KEY_USERS = {
    "secrets": "service-{number}@container-engine-robot.iam.gserviceaccount.com",
    "weights": "service-{number}@gs-project-accounts.iam.gserviceaccount.com",
}
"""Google's own agents that encrypt with the key: GKE for secrets, Cloud Storage for buckets."""
LONGEST_LOGICAL = 32
"""Names of node pools have at most 40 characters, and the engine appends eight."""
ROTATION = "7776000s"
"""Ninety days."""
COMPONENTS = ["SYSTEM_COMPONENTS", "WORKLOADS", "APISERVER", "SCHEDULER", "CONTROLLER_MANAGER"]
METRICS = ["SYSTEM_COMPONENTS", "STORAGE", "POD", "DEPLOYMENT", "STATEFULSET", "DAEMONSET", "HPA", "CADVISOR", "DCGM"]


@dataclass(frozen=True)
class Surroundings:
    """What a cluster and its pools share: names, labels, key, the nodes' account."""

    name: str
    prefix: str
    of: Gke
    labels: Mapping[str, str]
    provider: gcp.Provider
    parent: pulumi.Resource


@dataclass(frozen=True)
class Key:
    """The key for secrets and weights, and the grants that must be there before it is used."""

    name: pulumi.Input[str]
    grants: tuple[pulumi.Resource, ...] = ()


def key(around: Surroundings, uses: Sequence[str] = tuple(KEY_USERS)) -> Key:
    """The key that exists, or one that is made: kept when the stack goes, for what it encrypted needs it. Agents get it
    for ``uses``.
    """
    given = around.of.kms_key
    kept = child(around.parent, provider=around.provider, protect=around.of.deletion_protection, retain_on_delete=True)
    name: pulumi.Input[str]
    if given:
        name = given
    else:
        ring = gcp.kms.KeyRing(f"{around.name}-keys", name=around.prefix, location=around.of.region, opts=kept)
        made = gcp.kms.CryptoKey(
            f"{around.name}-key", name=around.prefix, key_ring=ring.id, rotation_period=ROTATION, opts=kept
        )
        name = made.id
    grants = tuple(
        gcp.kms.CryptoKeyIAMMember(
            f"{around.name}-key-{use}",
            crypto_key_id=name,
            role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
            member=f"serviceAccount:{agent.format(number=around.of.project_number)}",
            opts=child(around.parent, provider=around.provider),
        )
        for use, agent in KEY_USERS.items()
        if use in uses
    )
    return Key(name, grants)


def nodes_account(around: Surroundings) -> tuple[gcp.serviceaccount.Account, tuple[pulumi.Resource, ...]]:
    """The account of nodes, which may do what nodes must and nothing else."""
    own = child(around.parent, provider=around.provider)
    account = gcp.serviceaccount.Account(
        f"{around.name}-nodes",
        account_id=limited(f"{around.prefix}-nodes", 30),
        display_name=f"Nodes of {around.prefix}",
        opts=own,
    )
    roles = tuple(
        gcp.projects.IAMMember(
            f"{around.name}-nodes-{role.rpartition('/')[2]}",
            project=around.of.project,
            role=role,
            member=account.email.apply(lambda email: f"serviceAccount:{email}"),
            opts=own,
        )
        for role in NODE_ROLES
    )
    return account, roles


def cluster(
    around: Surroundings,
    network: Network,
    key: Key,
    account: gcp.serviceaccount.Account,
    after: Sequence[pulumi.Resource],
) -> c.Cluster:
    """The cluster, without nodes."""
    of = around.of
    by_address = bool(of.callers)
    return c.Cluster(
        f"{around.name}-cluster",
        name=limited(around.prefix, 40),
        location=of.region,
        node_locations=list(of.zones),
        network=network.network,
        subnetwork=network.subnetwork,
        networking_mode="VPC_NATIVE",
        ip_allocation_policy=c.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name=network.pods_range, services_secondary_range_name=network.services_range
        ),
        datapath_provider="ADVANCED_DATAPATH",  # enforces network policies: network_policy stays unset
        enable_intranode_visibility=True,
        remove_default_node_pool=True,
        initial_node_count=1,
        node_config=c.ClusterNodeConfigArgs(  # of the pool that every cluster begins with and this one removes
            service_account=account.email,
            oauth_scopes=SCOPES,
            shielded_instance_config=c.ClusterNodeConfigShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_integrity_monitoring=True
            ),
            workload_metadata_config=c.ClusterNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
        ),
        deletion_protection=of.deletion_protection,
        ignore_node_count_changes=True,
        release_channel=c.ClusterReleaseChannelArgs(channel=of.release_channel),
        enable_shielded_nodes=True,
        enable_legacy_abac=False,
        workload_identity_config=c.ClusterWorkloadIdentityConfigArgs(workload_pool=f"{of.project}.svc.id.goog"),
        private_cluster_config=c.ClusterPrivateClusterConfigArgs(
            enable_private_nodes=True, enable_private_endpoint=not by_address
        ),
        control_plane_endpoints_config=c.ClusterControlPlaneEndpointsConfigArgs(
            dns_endpoint_config=c.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(allow_external_traffic=True),
            ip_endpoints_config=c.ClusterControlPlaneEndpointsConfigIpEndpointsConfigArgs(enabled=by_address),
        ),
        master_authorized_networks_config=c.ClusterMasterAuthorizedNetworksConfigArgs(
            gcp_public_cidrs_access_enabled=False,
            cidr_blocks=[
                c.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=cidr, display_name=f"caller {index}")
                for index, cidr in enumerate(of.callers)
            ],
        ),
        master_auth=c.ClusterMasterAuthArgs(
            client_certificate_config=c.ClusterMasterAuthClientCertificateConfigArgs(issue_client_certificate=False)
        ),
        database_encryption=c.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=key.name),
        binary_authorization=c.ClusterBinaryAuthorizationArgs(evaluation_mode="PROJECT_SINGLETON_POLICY_ENFORCE"),
        dns_config=c.ClusterDnsConfigArgs(cluster_dns="CLOUD_DNS", cluster_dns_scope="CLUSTER_SCOPE"),
        gateway_api_config=c.ClusterGatewayApiConfigArgs(channel="CHANNEL_STANDARD"),
        addons_config=c.ClusterAddonsConfigArgs(
            gcs_fuse_csi_driver_config=c.ClusterAddonsConfigGcsFuseCsiDriverConfigArgs(enabled=True),
            gce_persistent_disk_csi_driver_config=c.ClusterAddonsConfigGcePersistentDiskCsiDriverConfigArgs(
                enabled=True
            ),
            gcp_filestore_csi_driver_config=c.ClusterAddonsConfigGcpFilestoreCsiDriverConfigArgs(enabled=True),
        ),
        logging_config=c.ClusterLoggingConfigArgs(enable_components=COMPONENTS),
        monitoring_config=c.ClusterMonitoringConfigArgs(
            enable_components=METRICS,
            managed_prometheus=c.ClusterMonitoringConfigManagedPrometheusArgs(enabled=True),
        ),
        security_posture_config=c.ClusterSecurityPostureConfigArgs(mode="BASIC"),
        cost_management_config=c.ClusterCostManagementConfigArgs(enabled=True),
        resource_labels=dict(around.labels),
        opts=child(
            around.parent,
            provider=around.provider,
            protect=of.deletion_protection,
            depends_on=[*after, *key.grants, *network.ready],
            ignore_changes=["nodeConfig", "initialNodeCount"],
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="90m", delete="60m"),
        ),
    )


def system_pool(
    around: Surroundings, cluster: pulumi.Input[str], account: gcp.serviceaccount.Account, pool: SystemPool
) -> c.NodePool:
    """Nodes for what is not a model. It comes first: GKE taints GPU pools only where other nodes exist."""
    return c.NodePool(
        limited(f"{around.name}-system", LONGEST_LOGICAL),
        cluster=cluster,
        node_locations=list(around.of.zones),
        initial_node_count=1,
        autoscaling=c.NodePoolAutoscalingArgs(
            total_min_node_count=pool.min_nodes, total_max_node_count=pool.max_nodes, location_policy="BALANCED"
        ),
        management=c.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
        node_config=c.NodePoolNodeConfigArgs(
            machine_type=pool.machine_type,
            disk_size_gb=around.of.system_disk_gib,
            image_type="COS_CONTAINERD",
            service_account=account.email,
            oauth_scopes=SCOPES,
            metadata={"disable-legacy-endpoints": "true"},
            shielded_instance_config=c.NodePoolNodeConfigShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_integrity_monitoring=True
            ),
            workload_metadata_config=c.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
            kubelet_config=c.NodePoolNodeConfigKubeletConfigArgs(insecure_kubelet_readonly_port_enabled="FALSE"),
            resource_labels={**around.labels, "model": "none"},
        ),
        opts=child(
            around.parent,
            provider=around.provider,
            ignore_changes=["initialNodeCount"],
            custom_timeouts=pulumi.CustomTimeouts(create="30m", update="90m", delete="30m"),
        ),
    )


def kubeconfig(cluster: c.Cluster) -> pulumi.Output[str]:
    """A kubeconfig that logs in with the caller's own account at the cluster's DNS endpoint, which has a certificate
    that everybody trusts; nothing in it is secret.
    """

    def endpoint(config: object) -> str:
        dns = getattr(config, "dns_endpoint_config", None)
        return getattr(dns, "endpoint", None) or ""

    def written(host: str) -> str:
        login = {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "gke-gcloud-auth-plugin",
            "interactiveMode": "Never",
            "provideClusterInfo": True,
            "installHint": "install gke-gcloud-auth-plugin, which logs in with your own account",
        }
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "gke",
                "clusters": [{"name": "gke", "cluster": {"server": f"https://{host}"}}],
                "contexts": [{"name": "gke", "context": {"cluster": "gke", "user": "gke"}}],
                "users": [{"name": "gke", "user": {"exec": login}}],
            }
        )

    return cluster.control_plane_endpoints_config.apply(endpoint).apply(written)
