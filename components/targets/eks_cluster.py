"""An EKS cluster as models want it: private, encrypted, with its administrators and add-ons in the right order."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from modelberth.clouds.aws_groups import ami_type, user_data

from ..options import child
from .eks_keys import Key, Surroundings, log_group, trust
from .eks_network import Network
from .names import limited, tidy

LOGS = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
ADMINISTRATES = "cluster-access-policy/AmazonEKSClusterAdminPolicy"
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
"""What nodes do: join, read images, give addresses to pods (docs.aws.amazon.com/eks, create-node-role)."""
POD_IDENTITY = ("pods.eks.amazonaws.com", "sts:TagSession")
EARLY: Mapping[str, str | None] = {
    "vpc-cni": json.dumps({"enableNetworkPolicy": "true"}),
    "kube-proxy": None,
    "eks-pod-identity-agent": None,
}
"""What nodes need to become ready. Without its setting, network policies are accepted and enforced by nobody."""
LATE: Mapping[str, tuple[str, str] | None] = {
    "coredns": None,
    "metrics-server": None,
    "eks-node-monitoring-agent": None,
    "aws-ebs-csi-driver": ("ebs-csi-controller-sa", "service-role/AmazonEBSCSIDriverPolicy"),
    "aws-mountpoint-s3-csi-driver": None,
}
"""What needs a node without GPUs to run on, with its ServiceAccount and the policy of its role where it calls AWS. The
driver of S3 reads with the identity of each pod and has none of its own."""
NO_MODEL = {"model": "none"}
"""What nodes of the system are paid for."""


@dataclass(frozen=True)
class Nodes:
    """What node groups start from: the role of their machines and what must be there before them."""

    role: pulumi.Input[str]
    name: pulumi.Input[str]
    """Name of the role."""
    after: tuple[pulumi.Resource, ...]


@dataclass(frozen=True)
class Made:
    """A cluster, where its node groups start from, and what must be there before anything runs in it."""

    cluster: aws.eks.Cluster
    nodes: Nodes
    ready: tuple[pulumi.Resource, ...]


def make(around: Surroundings, network: Network, key: Key) -> Made:
    """The cluster with its administrators, add-ons and system nodes."""
    cluster = _cluster(around, network, key)
    admitted = [*_administrators(around, cluster), *_inside(around, network, cluster)]
    role, policies = node_role(around)
    early = [_addon(around, cluster, name, settings, ()) for name, settings in EARLY.items()]
    nodes = Nodes(role.arn, role.name, (*policies, *early))
    system = _system_group(around, cluster, network, nodes)
    late = [_late(around, cluster, name, system) for name in LATE]
    return Made(cluster, Nodes(role.arn, role.name, (*nodes.after, system)), (*admitted, system, *late))


def _cluster(around: Surroundings, network: Network, key: Key) -> aws.eks.Cluster:
    of, name = around.of, limited(around.prefix, 100)
    role = aws.iam.Role(
        f"{around.name}-cluster",
        name=limited(f"{around.prefix}-cluster", 64),
        assume_role_policy=trust("eks.amazonaws.com"),
        opts=child(around.parent, provider=around.provider),
    )
    may = _attached(around, "cluster", role, "AmazonEKSClusterPolicy")
    logs = log_group(around, "logs", f"/aws/eks/{name}/cluster", key)
    return aws.eks.Cluster(
        f"{around.name}-cluster",
        name=name,
        version=of.version,
        role_arn=role.arn,
        vpc_config=aws.eks.ClusterVpcConfigArgs(
            subnet_ids=[network.subnets[zone] for zone in of.zones],
            endpoint_private_access=True,
            endpoint_public_access=bool(of.callers),
            public_access_cidrs=list(of.callers) or None,
        ),
        access_config=aws.eks.ClusterAccessConfigArgs(
            authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
        ),
        encryption_config=aws.eks.ClusterEncryptionConfigArgs(
            provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=key.arn), resources=["secrets"]
        ),
        enabled_cluster_log_types=LOGS,
        bootstrap_self_managed_addons=False,
        deletion_protection=of.deletion_protection,
        upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
        zonal_shift_config=aws.eks.ClusterZonalShiftConfigArgs(enabled=True),
        tags=dict(around.labels),
        opts=child(
            around.parent,
            provider=around.provider,
            protect=of.deletion_protection,
            depends_on=[may, logs, *network.ready],
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="90m", delete="60m"),
        ),
    )


def _administrators(around: Surroundings, cluster: aws.eks.Cluster) -> list[pulumi.Resource]:
    """Who administrates. The cluster's creator is nobody by itself."""
    own = child(around.parent, provider=around.provider)
    made: list[pulumi.Resource] = []
    for principal in around.of.administrators:
        name = f"{around.name}-admin-{tidy(principal.split(':', 5)[-1])}"
        entry = aws.eks.AccessEntry(name, cluster_name=cluster.name, principal_arn=principal, type="STANDARD", opts=own)
        made.append(
            aws.eks.AccessPolicyAssociation(
                name,
                cluster_name=cluster.name,
                principal_arn=entry.principal_arn,
                policy_arn=f"arn:{around.of.partition}:eks::aws:{ADMINISTRATES}",
                access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                opts=own,
            )
        )
    return made


def _inside(around: Surroundings, network: Network, cluster: aws.eks.Cluster) -> list[pulumi.Resource]:
    """Whoever is inside a network that is made reaches the control plane: by itself only nodes do."""
    if network.cidr is None:
        return []
    return [
        aws.vpc.SecurityGroupIngressRule(
            f"{around.name}-inside",
            security_group_id=security_group(cluster),
            description="The control plane, from inside the network",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=network.cidr,
            opts=child(around.parent, provider=around.provider),
        )
    ]


def security_group(cluster: aws.eks.Cluster) -> pulumi.Output[str]:
    """The security group that EKS makes for the control plane and its nodes."""
    return cluster.vpc_config.apply(lambda config: config.cluster_security_group_id or "")


def node_role(around: Surroundings) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
    """The role of nodes, which may do what nodes must and nothing else."""
    role = aws.iam.Role(
        f"{around.name}-nodes",
        name=limited(f"{around.prefix}-nodes", 64),
        assume_role_policy=trust("ec2.amazonaws.com"),
        opts=child(around.parent, provider=around.provider),
    )
    return role, [_attached(around, "nodes", role, policy) for policy in NODE_POLICIES]


def _attached(around: Surroundings, which: str, role: aws.iam.Role, policy: str) -> pulumi.Resource:
    return aws.iam.RolePolicyAttachment(
        f"{around.name}-{which}-{policy.rpartition('/')[2]}",
        role=role.name,
        policy_arn=f"arn:{around.of.partition}:iam::aws:policy/{policy}",
        opts=child(around.parent, provider=around.provider),
    )


def _addon(
    around: Surroundings,
    cluster: aws.eks.Cluster,
    name: str,
    settings: str | None,
    after: Sequence[pulumi.Resource],
    identity: aws.eks.AddonPodIdentityAssociationArgs | None = None,
) -> aws.eks.Addon:
    """An add-on in the version that EKS gives for the cluster's; what people set in it stays."""
    return aws.eks.Addon(
        f"{around.name}-{name}",
        cluster_name=cluster.name,
        addon_name=name,
        configuration_values=settings,
        pod_identity_associations=[identity] if identity else None,
        resolve_conflicts_on_create="OVERWRITE",
        resolve_conflicts_on_update="PRESERVE",
        opts=child(around.parent, provider=around.provider, depends_on=list(after)),
    )


def _late(around: Surroundings, cluster: aws.eks.Cluster, name: str, system: pulumi.Resource) -> aws.eks.Addon:
    calls = LATE[name]
    if calls is None:
        return _addon(around, cluster, name, None, [system])
    account, policy = calls
    role = aws.iam.Role(
        f"{around.name}-{name}",
        name=limited(f"{around.prefix}-{name}", 64),
        assume_role_policy=trust(*POD_IDENTITY),
        opts=child(around.parent, provider=around.provider),
    )
    may = _attached(around, name, role, policy)
    identity = aws.eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)
    return _addon(around, cluster, name, None, [system, may], identity)


def _system_group(around: Surroundings, cluster: aws.eks.Cluster, network: Network, nodes: Nodes) -> aws.eks.NodeGroup:
    """Nodes for what is not a model. It comes first: DNS and drivers find no room on nodes with GPUs."""
    pool, of = around.of.system, around.of
    template = aws.ec2.LaunchTemplate(
        f"{around.name}-system",
        update_default_version=True,
        ebs_optimized="true",
        block_device_mappings=[disk(of.system_disk_gib)],
        metadata_options=metadata(),
        user_data=base64.b64encode(user_data(local_disks=False).encode()).decode(),
        tag_specifications=tagged(f"{around.prefix}-system", {**around.labels, **NO_MODEL}),
        opts=child(around.parent, provider=around.provider),
    )
    return aws.eks.NodeGroup(
        f"{around.name}-system",
        cluster_name=cluster.name,
        node_group_name_prefix="system-",
        node_role_arn=nodes.role,
        subnet_ids=[network.subnets[zone] for zone in of.zones],
        ami_type=ami_type(pool.machine_type, gpu=False),
        instance_types=[pool.machine_type],
        scaling_config=aws.eks.NodeGroupScalingConfigArgs(
            min_size=pool.min_nodes, desired_size=pool.min_nodes, max_size=pool.max_nodes
        ),
        update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
        launch_template=launched(template),
        node_repair_config=aws.eks.NodeGroupNodeRepairConfigArgs(enabled=True),
        tags={**around.labels, **NO_MODEL},
        opts=child(
            around.parent,
            provider=around.provider,
            depends_on=list(nodes.after),
            ignore_changes=["scalingConfig.desiredSize"] if of.provisioner == "cluster-autoscaler" else None,
            custom_timeouts=pulumi.CustomTimeouts(create="30m", update="90m", delete="30m"),
        ),
    )


def disk(
    size_gib: int, *, iops: int | None = None, throughput: int | None = None
) -> aws.ec2.LaunchTemplateBlockDeviceMappingArgs:
    """The boot disk, encrypted with the account's key for volumes. ``throughput`` is in MiB/s.

    A key of ours would have to be opened to the role that scales groups, which an account has only after its first one.
    """
    return aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
        device_name="/dev/xvda",
        ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_type="gp3",
            volume_size=size_gib,
            iops=iops,
            throughput=throughput,
            encrypted="true",
            delete_on_termination="true",
        ),
    )


def metadata() -> aws.ec2.LaunchTemplateMetadataOptionsArgs:
    """Credentials of the machine cost a token and end at the machine: a pod is one hop further."""
    return aws.ec2.LaunchTemplateMetadataOptionsArgs(
        http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
    )


def tagged(name: str, labels: Mapping[str, str]) -> list[aws.ec2.LaunchTemplateTagSpecificationArgs]:
    """Tags of what a launch template makes: those of a node group do not reach its machines."""
    tags = {"Name": name, **labels}
    return [
        aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags)
        for kind in ("instance", "volume", "network-interface")
    ]


def launched(template: aws.ec2.LaunchTemplate) -> aws.eks.NodeGroupLaunchTemplateArgs:
    """The template at its newest version: a change of it is one of the group."""
    return aws.eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str))


def kubeconfig(around: Surroundings, cluster: aws.eks.Cluster) -> pulumi.Output[str]:
    """A kubeconfig that logs in with the caller's own account; nothing in it is secret."""

    def written(found: Sequence[str]) -> str:
        endpoint, authority, name = found
        login = {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "aws",
            "args": ["eks", "get-token", "--cluster-name", name, "--region", around.of.region, "--output", "json"],
            "interactiveMode": "Never",
            "installHint": "install the AWS CLI, which logs in with your own account",
        }
        reached = {"server": endpoint, "certificate-authority-data": authority}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "eks",
                "clusters": [{"name": "eks", "cluster": reached}],
                "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "eks"}}],
                "users": [{"name": "eks", "user": {"exec": login}}],
            }
        )

    authority = cluster.certificate_authority.apply(lambda found: found.data or "")
    return pulumi.Output.all(cluster.endpoint, authority, cluster.name).apply(written)
