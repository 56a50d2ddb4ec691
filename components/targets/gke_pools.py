"""GPU node pools of GKE: one for each way to get machines, and the class that orders them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s

from modelberth.clouds import base
from modelberth.clouds import gcp as dialect
from modelberth.clouds.gcp_disks import boot_disk_type, has_own_networks, local_ssds
from modelberth.decision import POOL_LABEL
from modelberth.names import Capacity
from modelberth.pools import PoolPlan, Way

from ..options import child
from .base import MadePool
from .gke_cluster import LONGEST_LOGICAL, SCOPES, Surroundings
from .names import limited

c = gcp.container
COMPUTE_CLASS = "cloud.google.com/compute-class"
NODE_POOL = "cloud.google.com/gke-nodepool"
SPOT_TAINT = {"key": dialect.SPOT, "value": "true", "effect": "NoSchedule"}
WEEK = "604800s"
"""The longest that a node of flex-start runs (cloud.google.com/kubernetes-engine/docs/concepts/dws)."""
EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}


def make(
    planned: PoolPlan,
    around: Surroundings,
    cluster: pulumi.Input[str],
    account: pulumi.Input[str] | None,
    kubernetes: k8s.Provider,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> MadePool:
    """The node pools of a plan. Several ways are ordered by a ComputeClass of the pool's name."""
    ordered = planned.name if len(planned.ways) > 1 else None
    pools = [_pool(planned, way, around, cluster, account, parent, after, ordered) for way in planned.ways]
    taints = [*dialect.taints(planned.machine)]
    if any(way.capacity is Capacity.SPOT for way in planned.ways):
        taints.append(SPOT_TAINT)
    selector: dict[str, pulumi.Input[str]] = {base.INSTANCE_TYPE: planned.machine.id, POOL_LABEL: planned.name}
    if not ordered:  # a pool that replaces another one has a new name: pods move to it before the old one goes
        selector[NODE_POOL] = pools[0].name
    if planned.accelerator:
        names = base.accelerator_names()[planned.accelerator]
        selector[dialect.ACCELERATOR] = names.of_machine(planned.machine.id)
    made: list[pulumi.Resource] = [*pools]
    if ordered:
        made.append(_compute_class(ordered, pools, kubernetes, parent))
        selector[COMPUTE_CLASS] = ordered
        taints.append({"key": COMPUTE_CLASS, "value": ordered, "effect": "NoSchedule"})
    return MadePool(tuple(made), selector, tuple(taints))


def _pool(
    planned: PoolPlan,
    way: Way,
    around: Surroundings,
    cluster: pulumi.Input[str],
    account: pulumi.Input[str] | None,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
    ordered: str | None,
) -> c.NodePool:
    flexible = way.capacity is Capacity.FLEX_START
    return c.NodePool(
        # No name of ours: one that is replaced is made before the old one goes.
        limited(f"{around.name}-pool-{way.name}", LONGEST_LOGICAL),
        cluster=cluster,
        node_locations=list(planned.zones),
        initial_node_count=0,
        autoscaling=c.NodePoolAutoscalingArgs(
            total_min_node_count=way.min_nodes, total_max_node_count=way.max_nodes, location_policy="ANY"
        ),
        management=c.NodePoolManagementArgs(auto_repair=not flexible, auto_upgrade=True),
        # No GPU is spare for a node that would come first.
        upgrade_settings=c.NodePoolUpgradeSettingsArgs(strategy="SURGE", max_surge=0, max_unavailable=1),
        node_drain_configs=[c.NodePoolNodeDrainConfigArgs(respect_pdb_during_node_pool_deletion=True)],
        network_config=_network(planned),
        placement_policy=c.NodePoolPlacementPolicyArgs(type="COMPACT") if planned.several_nodes else None,
        node_config=_node_config(planned, way, around, account, ordered),
        opts=child(
            parent,
            provider=around.provider,
            depends_on=list(after),
            ignore_changes=["initialNodeCount"],
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="120m", delete="90m"),
        ),
    )


def _network(planned: PoolPlan) -> c.NodePoolNetworkConfigArgs:
    joined = planned.several_nodes and has_own_networks(planned.machine.id)
    return c.NodePoolNetworkConfigArgs(
        enable_private_nodes=True, accelerator_network_profile="auto" if joined else None
    )


def _node_config(
    planned: PoolPlan, way: Way, around: Surroundings, account: pulumi.Input[str] | None, ordered: str | None
) -> c.NodePoolNodeConfigArgs:
    machine, spot = planned.machine, way.capacity is Capacity.SPOT
    taints = [*dialect.taints(machine), *([SPOT_TAINT] if spot else [])]
    labels = {POOL_LABEL: planned.name}
    if ordered:
        taints.append({"key": COMPUTE_CLASS, "value": ordered, "effect": "NoSchedule"})
        labels[COMPUTE_CLASS] = ordered
    ssds = local_ssds(machine)
    return c.NodePoolNodeConfigArgs(
        machine_type=machine.id,
        image_type="COS_CONTAINERD",
        service_account=account,
        oauth_scopes=SCOPES,
        metadata={"disable-legacy-endpoints": "true"},
        guest_accelerators=_accelerators(planned),
        boot_disk=c.NodePoolNodeConfigBootDiskArgs(
            disk_type=boot_disk_type(machine.id), size_gb=planned.decision.boot_disk_gib
        ),
        ephemeral_storage_local_ssd_config=c.NodePoolNodeConfigEphemeralStorageLocalSsdConfigArgs(local_ssd_count=ssds)
        if ssds
        else None,
        gcfs_config=c.NodePoolNodeConfigGcfsConfigArgs(enabled=True),  # image streaming
        gvnic=c.NodePoolNodeConfigGvnicArgs(enabled=True),
        spot=spot or None,
        flex_start=way.capacity is Capacity.FLEX_START or None,
        max_run_duration=WEEK if way.capacity is Capacity.FLEX_START else None,
        reservation_affinity=_reservation(planned, way),
        shielded_instance_config=c.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_secure_boot=True, enable_integrity_monitoring=True
        ),
        workload_metadata_config=c.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
        kubelet_config=c.NodePoolNodeConfigKubeletConfigArgs(insecure_kubelet_readonly_port_enabled="FALSE"),
        labels=labels,
        taints=[_taint(taint) for taint in taints],
        resource_labels={**around.labels, **planned.billing},
    )


def _accelerators(planned: PoolPlan) -> list[c.NodePoolNodeConfigGuestAcceleratorArgs] | None:
    if planned.accelerator is None:
        return None
    names = base.accelerator_names()[planned.accelerator]
    return [
        c.NodePoolNodeConfigGuestAcceleratorArgs(
            type=names.of_machine(planned.machine.id),
            count=planned.machine.gpu_count,
            gpu_driver_installation_config=c.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
                gpu_driver_version="DEFAULT"
            ),
        )
    ]


def _reservation(planned: PoolPlan, way: Way) -> c.NodePoolNodeConfigReservationAffinityArgs | None:
    """Nodes on demand use a reservation that fits, as GKE does unasked: it is paid for anyway. Others cannot."""
    if way.capacity in (Capacity.SPOT, Capacity.FLEX_START):
        return c.NodePoolNodeConfigReservationAffinityArgs(consume_reservation_type="NO_RESERVATION")
    if way.capacity is not Capacity.RESERVATION or planned.reservation is None:
        return None
    return c.NodePoolNodeConfigReservationAffinityArgs(
        consume_reservation_type="SPECIFIC_RESERVATION",
        key="compute.googleapis.com/reservation-name",
        values=[planned.reservation.name],
    )


def _taint(taint: Mapping[str, str]) -> c.NodePoolNodeConfigTaintArgs:
    return c.NodePoolNodeConfigTaintArgs(key=taint["key"], value=taint["value"], effect=EFFECTS[taint["effect"]])


def _compute_class(
    name: str, pools: Sequence[c.NodePool], kubernetes: k8s.Provider, parent: pulumi.Resource
) -> k8s.apiextensions.CustomResource:
    """Where one pool has no machine, GKE tries the next, and comes back when it can."""
    return k8s.apiextensions.CustomResource(
        f"{name}-compute-class",
        api_version="cloud.google.com/v1",
        kind="ComputeClass",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name),
        spec={
            "priorities": [{"nodepools": [pool.name]} for pool in pools],
            "activeMigration": {"optimizeRulePriority": False},
            "nodePoolAutoCreation": {"enabled": False},
            "whenUnsatisfiable": "DoNotScaleUp",
        },
        opts=child(parent, provider=kubernetes),
    )
