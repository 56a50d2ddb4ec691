"""A private EKS cluster with a GPU node group, a bucket and who may read it, in plain pulumi-aws."""

import base64
import json
import pathlib

import pulumi
import pulumi_aws as aws

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
provider = aws.Provider(
    "amazon",
    region="us-east-1",
    access_key="stand-in",
    secret_key="stand-in",
    skip_credentials_validation=True,
    skip_requesting_account_id=True,
    default_tags=aws.ProviderDefaultTagsArgs(tags={"team": "llm"}),
)
opts = pulumi.ResourceOptions(provider=provider)


def with_opts(**more):
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(**more))


def trust(service, *actions):
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions)}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


vpc = aws.ec2.Vpc("llm", cidr_block="10.64.0.0/16", enable_dns_hostnames=True, opts=opts)
subnets = [
    aws.ec2.Subnet(
        f"private-{zone}", vpc_id=vpc.id, availability_zone=zone, cidr_block=f"10.64.{32 * index}.0/19", opts=opts
    )
    for index, zone in enumerate(("us-east-1a", "us-east-1b"))
]
cluster_role = aws.iam.Role("cluster", assume_role_policy=trust("eks.amazonaws.com", "sts:AssumeRole"), opts=opts)
attached = aws.iam.RolePolicyAttachment(
    "cluster", role=cluster_role.name, policy_arn="arn:aws:iam::aws:policy/AmazonEKSClusterPolicy", opts=opts
)
cluster = aws.eks.Cluster(
    "llm",
    role_arn=cluster_role.arn,
    version="1.35",
    access_config=aws.eks.ClusterAccessConfigArgs(
        authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
    ),
    vpc_config=aws.eks.ClusterVpcConfigArgs(
        subnet_ids=[each.id for each in subnets], endpoint_private_access=True, endpoint_public_access=False
    ),
    bootstrap_self_managed_addons=False,
    deletion_protection=settings.get("deletion_protection", False),
    opts=with_opts(depends_on=[attached]),
)
admin = aws.eks.AccessEntry(
    "admin", cluster_name=cluster.name, principal_arn="arn:aws:iam::123456789012:role/platform-admin", opts=opts
)
aws.eks.AccessPolicyAssociation(
    "admin",
    cluster_name=cluster.name,
    principal_arn=admin.principal_arn,
    policy_arn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
    access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
    opts=opts,
)
node_role = aws.iam.Role("nodes", assume_role_policy=trust("ec2.amazonaws.com", "sts:AssumeRole"), opts=opts)
network_addon = aws.eks.Addon(
    "vpc-cni",
    cluster_name=cluster.name,
    addon_name="vpc-cni",
    configuration_values=json.dumps({"enableNetworkPolicy": "true"}),
    resolve_conflicts_on_create="OVERWRITE",
    opts=opts,
)
template = aws.ec2.LaunchTemplate(
    "l40s",
    update_default_version=True,
    ebs_optimized="true",
    block_device_mappings=[
        aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
            device_name="/dev/xvda",
            ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                volume_type="gp3", volume_size=settings.get("disk_gib", 200), encrypted="true"
            ),
        )
    ],
    metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(http_tokens="required", http_put_response_hop_limit=1),
    user_data=base64.b64encode(b"MIME-Version: 1.0").decode(),
    opts=opts,
)
group = aws.eks.NodeGroup(
    "l40s",
    cluster_name=cluster.name,
    node_group_name_prefix="l40s-",
    node_role_arn=node_role.arn,
    subnet_ids=[subnets[0].id],
    ami_type="AL2023_x86_64_NVIDIA",
    capacity_type=settings.get("capacity_type", "ON_DEMAND"),
    instance_types=["g6e.2xlarge"],
    launch_template=aws.eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
    scaling_config=aws.eks.NodeGroupScalingConfigArgs(min_size=0, desired_size=0, max_size=settings.get("nodes", 2)),
    labels={"pool": "l40s"},
    opts=with_opts(depends_on=[network_addon]),
)
bucket = aws.s3.Bucket("weights", opts=with_opts(protect=settings.get("protect", False)))
aws.s3.BucketPublicAccessBlock(
    "weights",
    bucket=bucket.id,
    block_public_acls=True,
    block_public_policy=True,
    restrict_public_buckets=True,
    opts=opts,
)
aws.s3.BucketVersioning(
    "weights",
    bucket=bucket.id,
    versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
    opts=opts,
)
pod_role = aws.iam.Role(
    "vllm", assume_role_policy=trust("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"), opts=opts
)
aws.iam.RolePolicy(
    "vllm",
    role=pod_role.id,
    policy=bucket.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{arn}/*"}],
            }
        )
    ),
    opts=opts,
)
aws.eks.PodIdentityAssociation(
    "vllm", cluster_name=cluster.name, namespace="llm", service_account="vllm", role_arn=pod_role.arn, opts=opts
)
pulumi.export("endpoint", cluster.endpoint)
pulumi.export("template_version", template.latest_version)
pulumi.export("scaling_group", group.resources.apply(lambda found: found[0].autoscaling_groups[0].name))
pulumi.export("security_group", cluster.vpc_config.apply(lambda config: config.cluster_security_group_id))
pulumi.export("tags", bucket.tags_all)
