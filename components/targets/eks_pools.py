"""GPU node groups of EKS: one for each way to get machines, each from a launch template of its own."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from modelberth.clouds import base
from modelberth.clouds.aws_fabric import Fabric, fabric, pod_resources, preparation
from modelberth.clouds.aws_groups import ami_type, user_data, uses_local_disks
from modelberth.decision import POOL_LABEL
from modelberth.names import Capacity
from modelberth.pools import PoolPlan, Way

from ..options import child
from .base import MadePool
from .eks_cluster import Nodes, disk, launched, metadata, security_group, tagged
from .eks_keys import Surroundings
from .eks_network import Network
from .eks_plugins import GPU_PRESENT, JOINED
from .names import limited

TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
CAPACITY_LABEL = "modelberth.dev/capacity"
CAPACITIES = {Capacity.SPOT: "SPOT", Capacity.ON_DEMAND: "ON_DEMAND", Capacity.RESERVATION: "ON_DEMAND"}
ROOT_IOPS, ROOT_MIB_PER_S = 6000, 500
"""Of boot disks that hold images: gp3's own 125 MiB/s would unpack one of 15 GiB in minutes."""
PREFIX = 37
"""Longest prefix of a node group's name."""


def make(
    planned: PoolPlan,
    around: Surroundings,
    cluster: aws.eks.Cluster,
    network: Network,
    nodes: Nodes,
    parent: pulumi.Resource,
) -> MadePool:
    """The node groups of a plan. Pods may go to any of them, and take the first that has room."""
    groups = [_group(planned, way, around, cluster, network, nodes, parent) for way in planned.ways]
    return MadePool(tuple(groups), selector(planned), (TAINT,) if planned.accelerator else (), preferred(planned))


def selector(planned: PoolPlan) -> dict[str, str]:
    """Labels of a pool's nodes, which are those of no other."""
    return {base.INSTANCE_TYPE: planned.machine.id, POOL_LABEL: planned.name}


def cards(planned: PoolPlan) -> Fabric | None:
    """Network cards of nodes that share copies; None where they share none."""
    return fabric(planned.machine.id) if planned.several_nodes else None


def labels(planned: PoolPlan, way: Way) -> dict[str, str]:
    """Labels of the nodes of one way, which device plugins and pods find them by."""
    found = {POOL_LABEL: planned.name, CAPACITY_LABEL: way.capacity.value}
    if planned.accelerator:
        found[GPU_PRESENT] = "true"
    return {**found, **JOINED} if cards(planned) else found


def preferred(planned: PoolPlan) -> tuple[tuple[str, str], ...]:
    """Where pods go first: to what is always there, then in the order of the ways. Nothing for a single way."""
    if len(planned.ways) < 2:
        return ()
    ordered = sorted(planned.ways, key=lambda way: way.min_nodes < way.max_nodes)
    return tuple((CAPACITY_LABEL, way.capacity.value) for way in ordered)


def _group(
    planned: PoolPlan,
    way: Way,
    around: Surroundings,
    cluster: aws.eks.Cluster,
    network: Network,
    nodes: Nodes,
    parent: pulumi.Resource,
) -> aws.eks.NodeGroup:
    name, block = f"{around.name}-pool-{way.name}", _block(planned, way)
    template = _template(name, planned, way, around, cluster, network, parent)
    return aws.eks.NodeGroup(
        name,
        cluster_name=cluster.name,
        node_group_name_prefix=f"{limited(way.name, PREFIX - 1)}-",  # a replacement is made before the old one goes
        node_role_arn=nodes.role,
        subnet_ids=[network.subnets[zone] for zone in planned.zones],
        ami_type=ami_type(planned.machine.id, gpu=planned.accelerator is not None),
        capacity_type="CAPACITY_BLOCK" if block else CAPACITIES[way.capacity],
        instance_types=None if block else [planned.machine.id],
        scaling_config=aws.eks.NodeGroupScalingConfigArgs(
            min_size=way.min_nodes, desired_size=planned.nodes_by_way[way.name], max_size=way.max_nodes
        ),
        # No GPU is spare for a node that would come first.
        update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1, update_strategy="MINIMAL"),
        launch_template=launched(template),
        node_repair_config=aws.eks.NodeGroupNodeRepairConfigArgs(enabled=True),
        labels=labels(planned, way),
        taints=[_taint()] if planned.accelerator else None,
        tags={**around.labels, **planned.billing, **_offered(planned, around)},
        opts=child(
            parent,
            provider=around.provider,
            depends_on=list(nodes.after),
            ignore_changes=["scalingConfig.desiredSize"] if around.of.provisioner == "cluster-autoscaler" else None,
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="120m", delete="90m"),
        ),
    )


def _offered(planned: PoolPlan, around: Surroundings) -> dict[str, str]:
    """What a Cluster Autoscaler cannot know of a group without nodes, and pods ask for (kubernetes/autoscaler,
    cluster-autoscaler/cloudprovider/aws/README.md, scaling a node group from 0).
    """
    if around.of.provisioner != "cluster-autoscaler":
        return {}
    group = pod_resources(planned.machine.id, pages=True) if cards(planned) else {}
    offered = {"ephemeral-storage": f"{planned.decision.boot_disk_gib}Gi", **group}
    return {f"k8s.io/cluster-autoscaler/node-template/resources/{name}": count for name, count in offered.items()}


def _taint() -> aws.eks.NodeGroupTaintArgs:
    return aws.eks.NodeGroupTaintArgs(key=TAINT["key"], value=TAINT["value"], effect=EFFECTS[TAINT["effect"]])


def _block(planned: PoolPlan, way: Way) -> bool:
    return way.capacity is Capacity.RESERVATION and bool(planned.reservation and planned.reservation.block)


def _template(
    name: str,
    planned: PoolPlan,
    way: Way,
    around: Surroundings,
    cluster: aws.eks.Cluster,
    network: Network,
    parent: pulumi.Resource,
) -> aws.ec2.LaunchTemplate:
    """The machines of one node group. Its type is the template's only where the group may not name it."""
    block, size = _block(planned, way), planned.decision.boot_disk_gib
    local = uses_local_disks(planned.machine, size)
    joined = cards(planned)
    script = preparation(pages=True) if joined else ""
    place = None if block else together(name, planned, around, parent)  # machines of a block are placed by AWS
    return aws.ec2.LaunchTemplate(
        name,
        update_default_version=True,
        instance_type=planned.machine.id if block else None,
        ebs_optimized="true",
        block_device_mappings=[
            disk(size) if local else disk(size, iops=ROOT_IOPS, throughput=ROOT_MIB_PER_S),
        ],
        metadata_options=metadata(),
        user_data=base64.b64encode(user_data(local_disks=local, script=script).encode()).decode(),
        instance_market_options=aws.ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block")
        if block
        else None,
        capacity_reservation_specification=_reserved(planned, way),
        placement=aws.ec2.LaunchTemplatePlacementArgs(group_name=place) if place else None,
        network_interfaces=_interfaces(joined, among(name, around, cluster, network, parent)) if joined else None,
        tag_specifications=tagged(f"{around.prefix}-{way.name}", {**around.labels, **planned.billing}),
        opts=child(parent, provider=around.provider),
    )


def _reserved(planned: PoolPlan, way: Way) -> aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs | None:
    """The one reservation that is named; other ways leave reservations to those who have them."""
    if way.capacity is not Capacity.RESERVATION or planned.reservation is None:
        return aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs(capacity_reservation_preference="none")
    target = aws.ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
        capacity_reservation_id=planned.reservation.name
    )
    return aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs(capacity_reservation_target=target)


def together(name: str, planned: PoolPlan, around: Surroundings, parent: pulumi.Resource) -> pulumi.Output[str] | None:
    """Name of a placement group, where several nodes share a copy: machines close to each other."""
    if not planned.several_nodes:
        return None
    return aws.ec2.PlacementGroup(name, strategy="cluster", opts=child(parent, provider=around.provider)).name


def _interfaces(cards: Fabric, groups: Sequence[pulumi.Input[str]]) -> list[aws.ec2.LaunchTemplateNetworkInterfaceArgs]:
    """Interfaces for IP and EFA."""
    return [
        aws.ec2.LaunchTemplateNetworkInterfaceArgs(
            network_card_index=card,
            device_index=device,
            interface_type=kind,
            security_groups=groups,
            associate_public_ip_address="false",
            delete_on_termination="true",
        )
        for card, device, kind in cards.interfaces
    ]


def among(
    name: str, around: Surroundings, cluster: aws.eks.Cluster, network: Network, parent: pulumi.Resource
) -> list[pulumi.Input[str]]:
    """Security groups of nodes that share copies: their own, and the cluster's, which they then need to be told."""
    own = child(parent, provider=around.provider)
    group = aws.ec2.SecurityGroup(
        f"{name}-efa",
        vpc_id=network.vpc,
        description="EFA: nodes of a pool among themselves",
        opts=own,
    )
    for way in (aws.vpc.SecurityGroupIngressRule, aws.vpc.SecurityGroupEgressRule):
        way(
            f"{name}-efa",
            security_group_id=group.id,
            description="All traffic among nodes of the pool, which EFA needs both ways",
            ip_protocol="-1",
            referenced_security_group_id=group.id,
            opts=own,
        )
    return [group.id, security_group(cluster)]
