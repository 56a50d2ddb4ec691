"""Everything of AWS that stacks are made of and programs/eks.py has not: networks, keys, buckets, files, logs."""

import json
import pathlib

import pulumi
import pulumi_aws as aws

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
team = settings.get("team", "llm")
provider = aws.Provider("amazon", region="us-east-1", skip_requesting_account_id=True)
opts = pulumi.ResourceOptions(provider=provider)


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


account = aws.get_caller_identity(opts=pulumi.InvokeOptions(provider=provider)).account_id
key = aws.kms.Key("llm", description=team, enable_key_rotation=True, deletion_window_in_days=30, opts=opts)
root = {"AWS": f"arn:aws:iam::{account}:root"}
aws.kms.KeyPolicy("llm", key_id=key.id, policy=policy(Principal=root, Action="kms:*", Resource="*"), opts=opts)
aws.kms.Alias("llm", target_key_id=key.id, opts=opts)

vpc = aws.ec2.Vpc("llm", cidr_block="10.64.0.0/16", enable_dns_hostnames=True, tags={"team": team}, opts=opts)
aws.ec2.DefaultSecurityGroup("llm", vpc_id=vpc.id, opts=opts)
gateway = aws.ec2.InternetGateway("llm", vpc_id=vpc.id, opts=opts)
public, private = (
    aws.ec2.Subnet(name, vpc_id=vpc.id, availability_zone="us-east-1a", cidr_block=f"10.64.{n}.0/24", opts=opts)
    for n, name in enumerate(("public", "private"))
)
address = aws.ec2.Eip("llm", domain="vpc", opts=opts)
nat = aws.ec2.NatGateway("llm", allocation_id=address.id, subnet_id=public.id, opts=opts)
tables = {name: aws.ec2.RouteTable(name, vpc_id=vpc.id, opts=opts) for name in ("public", "private")}
everywhere = "0.0.0.0/0"
aws.ec2.Route(
    "public",
    route_table_id=tables["public"].id,
    destination_cidr_block=everywhere,
    gateway_id=gateway.id,
    opts=opts,
)
aws.ec2.Route(
    "private",
    route_table_id=tables["private"].id,
    destination_cidr_block=everywhere,
    nat_gateway_id=nat.id,
    opts=opts,
)
for name, subnet in (("public", public), ("private", private)):
    aws.ec2.RouteTableAssociation(name, route_table_id=tables[name].id, subnet_id=subnet.id, opts=opts)
group = aws.ec2.SecurityGroup("nodes", vpc_id=vpc.id, description="between nodes", opts=opts)
aws.vpc.SecurityGroupIngressRule(
    "nodes", security_group_id=group.id, referenced_security_group_id=group.id, ip_protocol="-1", opts=opts
)
aws.vpc.SecurityGroupEgressRule(
    "nodes", security_group_id=group.id, cidr_ipv4=everywhere, ip_protocol="-1", description=team, opts=opts
)
aws.ec2.VpcEndpoint(
    "s3",
    vpc_id=vpc.id,
    service_name="com.amazonaws.us-east-1.s3",
    route_table_ids=[tables["private"].id],
    opts=opts,
)
log = aws.cloudwatch.LogGroup("flow", retention_in_days=365, opts=opts)
writer = aws.iam.Role(
    "flow",
    assume_role_policy=policy(Principal={"Service": "vpc-flow-logs.amazonaws.com"}, Action="sts:AssumeRole"),
    opts=opts,
)
written = aws.iam.Policy("flow", policy=policy(Action="logs:PutLogEvents", Resource="*"), opts=opts)
aws.iam.RolePolicyAttachment("flow", role=writer.name, policy_arn=written.arn, opts=opts)
aws.ec2.FlowLog("llm", vpc_id=vpc.id, traffic_type="ALL", log_destination=log.arn, iam_role_arn=writer.arn, opts=opts)
aws.ec2.PlacementGroup("llm", strategy="cluster", opts=opts)

bucket = aws.s3.Bucket("weights", force_destroy=False, opts=opts)
side = {"bucket": bucket.id, "opts": opts}
aws.s3.BucketOwnershipControls(
    "weights", rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"), **side
)
encryption = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
    sse_algorithm="aws:kms", kms_master_key_id=key.arn
)
aws.s3.BucketServerSideEncryptionConfiguration(
    "weights",
    rules=[
        aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
            apply_server_side_encryption_by_default=encryption, bucket_key_enabled=True
        )
    ],
    **side,
)
aws.s3.BucketLifecycleConfiguration(
    "weights",
    rules=[
        aws.s3.BucketLifecycleConfigurationRuleArgs(
            id="uploads",
            status="Enabled",
            filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                days_after_initiation=settings.get("days", 7)
            ),
        )
    ],
    **side,
)
aws.s3.BucketPolicy(
    "weights",
    policy=bucket.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [arn, f"{arn}/*"],
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ],
            }
        )
    ),
    **side,
)
logs = aws.s3.Bucket("logs", opts=opts)
writes = aws.s3.BucketPolicy(
    "logs",
    bucket=logs.id,
    policy=logs.arn.apply(
        lambda arn: policy(
            Principal={"Service": "logging.s3.amazonaws.com"}, Action="s3:PutObject", Resource=f"{arn}/*"
        )
    ),
    opts=opts,
)
aws.s3.BucketLogging(
    "weights",
    bucket=bucket.id,
    target_bucket=logs.id,
    target_prefix="weights/",
    opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[writes])),
)
aws.s3.BucketNotification("weights", eventbridge=True, **side)

files = aws.fsx.LustreFileSystem(
    "weights",
    subnet_ids=private.id,
    deployment_type="PERSISTENT_2",
    storage_type="SSD",
    storage_capacity=1200,
    per_unit_storage_throughput=250,
    opts=opts,
)
aws.fsx.DataRepositoryAssociation(
    "weights",
    file_system_id=files.id,
    file_system_path="/weights",
    data_repository_path=bucket.bucket.apply(lambda name: f"s3://{name}"),
    opts=opts,
)
pulumi.export("account", account)
pulumi.export("alias", key.arn)
