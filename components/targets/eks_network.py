"""The network of an EKS cluster: private subnets, a NAT in each zone, S3 without a NAT, a closed default group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ..options import child
from .eks_keys import Key, Surroundings, document, log_group, trust
from .names import limited

CIDR = "10.64.0.0/16"
FLOW_LOGS = ("logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
"""What the flow logs' role may do in its log group (docs.aws.amazon.com/vpc, flow logs, IAM role for CloudWatch)."""
INTERVAL_S = 600


@dataclass(frozen=True)
class Network:
    """Where a cluster lies: ids of what exists, or outputs of what another part of a program makes."""

    vpc: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    """Zone -> id of its private subnet."""
    cidr: str | None = None
    """Addresses of the VPC that may reach the control plane; None leaves its security group as it is."""
    ready: tuple[pulumi.Resource, ...] = ()
    """What nodes need of it beside the subnets: the ways out."""


def private_cidr(zone: str) -> str:
    """Addresses of a zone's private subnet, by its letter: adding a zone moves no other. 8,190 for nodes and pods."""
    return f"10.64.{32 * _index(zone)}.0/19"


def public_cidr(zone: str) -> str:
    """Addresses of the subnet that holds nothing but a zone's NAT."""
    return f"10.64.{224 + _index(zone)}.0/28"


def make(around: Surroundings, key: Key) -> Network:
    """A VPC with a private subnet and a NAT in each zone: what fails in one zone leaves the others their way out."""
    name, of = around.name, around.of
    own = child(around.parent, provider=around.provider)
    vpc = aws.ec2.Vpc(
        f"{name}-vpc",
        cidr_block=CIDR,
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags={"Name": around.prefix},
        opts=own,
    )
    aws.ec2.DefaultSecurityGroup(f"{name}-closed", vpc_id=vpc.id, ingress=[], egress=[], opts=own)
    gateway = aws.ec2.InternetGateway(f"{name}-internet", vpc_id=vpc.id, opts=own)
    public = _routes(around, "public", vpc)
    out = aws.ec2.Route(
        f"{name}-public-out",
        route_table_id=public.id,
        destination_cidr_block="0.0.0.0/0",
        gateway_id=gateway.id,
        opts=own,
    )
    subnets: dict[str, pulumi.Input[str]] = {}
    tables: list[aws.ec2.RouteTable] = []
    ready: list[pulumi.Resource] = []
    for zone in of.zones:
        nat = _nat(around, zone, vpc, public, out)
        table = _routes(around, f"private-{zone}", vpc)
        private = _subnet(around, "private", zone, vpc, private_cidr(zone), table)
        way = aws.ec2.Route(
            f"{name}-private-{zone}-out",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            nat_gateway_id=nat.id,
            opts=own,
        )
        subnets[zone] = private[0].id
        tables.append(table)
        ready += [private[1], way]
    endpoint = aws.ec2.VpcEndpoint(
        f"{name}-s3",
        vpc_id=vpc.id,
        service_name=f"com.amazonaws.{of.region}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table.id for table in tables],
        opts=own,
    )
    _flow_logs(around, key, vpc)
    return Network(vpc.id, subnets, CIDR, (*ready, endpoint))


def _index(zone: str) -> int:
    return ord(zone[-1]) - ord("a")


def _routes(around: Surroundings, which: str, vpc: aws.ec2.Vpc) -> aws.ec2.RouteTable:
    return aws.ec2.RouteTable(
        f"{around.name}-{which}",
        vpc_id=vpc.id,
        tags={"Name": f"{around.prefix}-{which}"},
        opts=child(around.parent, provider=around.provider),
    )


def _subnet(
    around: Surroundings, which: str, zone: str, vpc: aws.ec2.Vpc, cidr: str, table: aws.ec2.RouteTable
) -> tuple[aws.ec2.Subnet, aws.ec2.RouteTableAssociation]:
    own = child(around.parent, provider=around.provider)
    role = {"kubernetes.io/role/internal-elb": "1"} if which == "private" else {}
    subnet = aws.ec2.Subnet(
        f"{around.name}-{which}-{zone}",
        vpc_id=vpc.id,
        availability_zone=zone,
        cidr_block=cidr,
        map_public_ip_on_launch=False,
        tags={"Name": f"{around.prefix}-{which}-{zone}", **role},
        opts=own,
    )
    tied = aws.ec2.RouteTableAssociation(
        f"{around.name}-{which}-{zone}", subnet_id=subnet.id, route_table_id=table.id, opts=own
    )
    return subnet, tied


def _nat(
    around: Surroundings, zone: str, vpc: aws.ec2.Vpc, public: aws.ec2.RouteTable, out: pulumi.Resource
) -> aws.ec2.NatGateway:
    subnet, tied = _subnet(around, "public", zone, vpc, public_cidr(zone), public)
    address = aws.ec2.Eip(
        f"{around.name}-nat-{zone}", domain="vpc", opts=child(around.parent, provider=around.provider)
    )
    return aws.ec2.NatGateway(
        f"{around.name}-nat-{zone}",
        subnet_id=subnet.id,
        allocation_id=address.id,
        tags={"Name": f"{around.prefix}-{zone}", **around.labels},
        opts=child(around.parent, provider=around.provider, depends_on=[out, tied]),
    )


def _flow_logs(around: Surroundings, key: Key, vpc: aws.ec2.Vpc) -> None:
    own = child(around.parent, provider=around.provider)
    group = log_group(around, "flows", f"/aws/vpc/{around.prefix}", key)
    role = aws.iam.Role(
        f"{around.name}-flows",
        name=limited(f"{around.prefix}-flows", 64),
        assume_role_policy=trust("vpc-flow-logs.amazonaws.com"),
        opts=own,
    )
    writes = aws.iam.RolePolicy(
        f"{around.name}-flows",
        name="write",
        role=role.name,
        policy=group.arn.apply(lambda arn: document((FLOW_LOGS, [f"{arn.removesuffix(':*')}:*"]))),
        opts=own,
    )
    aws.ec2.FlowLog(
        f"{around.name}-flows",
        vpc_id=vpc.id,
        traffic_type="ALL",
        log_destination_type="cloud-watch-logs",
        log_destination=group.arn,
        iam_role_arn=role.arn,
        max_aggregation_interval=INTERVAL_S,
        opts=child(around.parent, provider=around.provider, depends_on=[writes]),
    )
