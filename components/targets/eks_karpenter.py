"""Pools that a Karpenter of the cluster makes: a class of nodes and a NodePool for each way, ordered by weight.

Karpenter itself must be there, with its own role and the access of its nodes. Fields: aws/karpenter-provider-aws 1.14,
charts/karpenter/crds (karpenter.sh/v1 and karpenter.k8s.aws/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from modelberth.clouds import base
from modelberth.clouds.aws_fabric import preparation
from modelberth.clouds.aws_groups import fixed, node_config, user_data, uses_local_disks
from modelberth.names import Capacity
from modelberth.pools import PoolPlan, Way

from ..options import child
from .base import MadePool
from .eks_cluster import security_group
from .eks_keys import Surroundings
from .eks_network import Network
from .eks_pools import ROOT_IOPS, ROOT_MIB_PER_S, TAINT, among, cards, labels, preferred, selector, together
from .names import limited

CLASS_API, POOL_API = "karpenter.k8s.aws/v1", "karpenter.sh/v1"
WAYS = {Capacity.RESERVATION: "reserved", Capacity.ON_DEMAND: "on-demand", Capacity.SPOT: "spot"}
IDLE = "30m"
"""How long a node without pods stays: a replica that comes back finds its image."""
MOST_WEIGHT = 100


def make(
    planned: PoolPlan,
    around: Surroundings,
    cluster: aws.eks.Cluster,
    network: Network,
    role: pulumi.Input[str],
    kubernetes: k8s.Provider,
    parent: pulumi.Resource,
) -> MadePool:
    """What Karpenter needs to know of a plan. What is always there is tried first, then the ways in order."""
    made: list[pulumi.Resource] = []
    for place, way in enumerate(sorted(planned.ways, key=lambda way: way.min_nodes < way.max_nodes)):
        nodes = _class(planned, way, around, cluster, network, role, kubernetes, parent)
        made += [nodes, _pool(planned, way, around, MOST_WEIGHT - place, kubernetes, parent, nodes)]
    return MadePool(tuple(made), selector(planned), (TAINT,) if planned.accelerator else (), preferred(planned))


def _object(
    kind: str,
    api: str,
    name: str,
    spec: Mapping[str, Any],
    around: Surroundings,
    kubernetes: k8s.Provider,
    parent: pulumi.Resource,
    after: tuple[pulumi.Resource, ...] = (),
) -> k8s.apiextensions.CustomResource:
    return k8s.apiextensions.CustomResource(
        f"{around.name}-{kind.lower()}-{name}",
        api_version=api,
        kind=kind,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name),
        spec=spec,
        opts=child(parent, provider=kubernetes, depends_on=list(after)),
    )


def _class(
    planned: PoolPlan,
    way: Way,
    around: Surroundings,
    cluster: aws.eks.Cluster,
    network: Network,
    role: pulumi.Input[str],
    kubernetes: k8s.Provider,
    parent: pulumi.Resource,
) -> k8s.apiextensions.CustomResource:
    name, size = f"{around.name}-pool-{way.name}", planned.decision.boot_disk_gib
    joined = cards(planned)
    groups = among(name, around, cluster, network, parent) if joined else [security_group(cluster)]
    local = uses_local_disks(planned.machine, size)
    fast = {} if local else {"iops": ROOT_IOPS, "throughput": ROOT_MIB_PER_S}
    volume = {"volumeSize": f"{size}Gi", "volumeType": "gp3", "encrypted": True, "deleteOnTermination": True, **fast}
    spec: dict[str, Any] = {
        "role": role,
        "amiSelectorTerms": [{"alias": fixed("karpenter-image")}],  # by version: each new one replaces every node
        "subnetSelectorTerms": [{"id": network.subnets[zone]} for zone in planned.zones],
        "securityGroupSelectorTerms": [{"id": group} for group in groups],
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "rootVolume": True, "ebs": volume}],
        "userData": user_data(local_disks=False, script=preparation(pages=False))
        if joined
        else node_config(local_disks=False),
        "tags": {**around.labels, **planned.billing},
    }
    if local:
        spec["instanceStorePolicy"] = "RAID0"
    if joined:
        spec["networkInterfaces"] = [
            {"networkCardIndex": card, "deviceIndex": device, "interfaceType": kind}
            for card, device, kind in joined.interfaces
        ]
    block = bool(planned.reservation and planned.reservation.block)
    if not block and (place := together(name, planned, around, parent)):
        spec["placementGroupSelector"] = {"name": place}
    if way.capacity is Capacity.RESERVATION and planned.reservation:
        spec["capacityReservationSelectorTerms"] = [{"id": planned.reservation.name}]
    return _object("EC2NodeClass", CLASS_API, limited(way.name, 63), spec, around, kubernetes, parent)


def _pool(
    planned: PoolPlan,
    way: Way,
    around: Surroundings,
    weight: int,
    kubernetes: k8s.Provider,
    parent: pulumi.Resource,
    nodes: pulumi.Resource,
) -> k8s.apiextensions.CustomResource:
    """Nodes that are used stay: moving a server costs its weights' loading. What is empty goes after a while."""
    name = limited(way.name, 63)
    machine = planned.machine
    requirements = {
        base.INSTANCE_TYPE: [machine.id],
        "karpenter.sh/capacity-type": [WAYS[way.capacity]],
        "topology.kubernetes.io/zone": list(planned.zones),
    }
    limits = {"cpu": str(machine.vcpu * way.max_nodes)}
    if planned.accelerator:
        limits["nvidia.com/gpu"] = str(machine.gpu_count * way.max_nodes)
    template = {
        "metadata": {"labels": labels(planned, way)},
        "spec": {
            "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": name},
            "requirements": [{"key": key, "operator": "In", "values": values} for key, values in requirements.items()],
            **({"taints": [TAINT]} if planned.accelerator else {}),
            "expireAfter": "Never",
        },
    }
    spec = {
        "weight": weight,
        "limits": limits,
        "disruption": {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": IDLE,
            "budgets": [{"nodes": "1"}],
        },
        "template": template,
    }
    return _object("NodePool", POOL_API, name, spec, around, kubernetes, parent, (nodes,))
