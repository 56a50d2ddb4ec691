"""Nodes of GKE's node pools.

Labels: kubernetes/autoscaler cluster-autoscaler/cloudprovider/gce and cloud.google.com/kubernetes-engine/docs, pages
"Run GPUs in GKE Standard node pools", "Spot VMs", "About ephemeral storage"; some are known from clusters only.
Reservations of local SSDs: cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes.
"""

from __future__ import annotations

from typing import Any

from modelberth.clouds import DEFAULT_BOOT_DISK_GIB
from modelberth.names import Capacity
from modelberth.units import GIB
from tests.providers.cloud import Object
from tests.providers.limits import Size
from tests.providers.node_groups import NodeGroup, local_disk, profile, tainted

GPU = "nvidia.com/gpu"
GKE = "cloud.google.com/"
LOCAL_SSD_GIB = 375
LOCAL_SSD_RESERVED_GIB = (0, 50, 75, 100)
"""Of that many disks, the last of as many or more."""
CHANGES_IN_PLACE = ("labels", "taints", "effectiveTaints", "resourceLabels", "tags", "resourceManagerTags")


def node_group(owner: str, pool: Object, cluster: Object) -> NodeGroup | str:
    """The nodes of a pool, or why none are made."""
    node = pool.outputs["nodeConfig"]
    machine_type = node["machineType"]
    boot_gib = node.get("bootDisk", {}).get("sizeGb") or node.get("diskSizeGb") or DEFAULT_BOOT_DISK_GIB
    found = profile(machine_type, boot_gib)
    if found is None:
        return f"no nodes: the machine type {machine_type} is not in the catalog"
    name, zones = pool.outputs["name"], pool.outputs["nodeLocations"]
    upgrade = pool.inputs.get("upgradeSettings", {})
    drains = [each.get("respectPdbDuringNodePoolDeletion") for each in pool.inputs.get("nodeDrainConfigs", [])]
    gpus, gpu_labels = _gpus(node, found.capacity.get(GPU))
    arm = [taint for taint in found.taints if taint["key"] == "kubernetes.io/arch"]
    disk = node.get("ephemeralStorageLocalSsdConfig")
    return NodeGroup(
        owner=owner,
        cloud="gcp",
        prefix=f"gke-{cluster.outputs['name'][:16]}-{name[:22]}",
        suffix="",
        profile=found,
        labels={**found.labels, **_labels(name, node, cluster), **gpu_labels, **node.get("labels", {})},
        taints=[*tainted(node.get("effectiveTaints", [])), *arm],
        zones=zones,
        wanted=_wanted(pool.inputs, len(zones)),
        made_from=[{k: v for k, v in node.items() if k not in CHANGES_IN_PLACE}, pool.outputs.get("version")],
        disk_bytes=_local(disk, found.machine.local_nvme_gb) if disk is not None else None,
        resources={GPU: str(gpus)} if gpus else {},
        surge=upgrade.get("strategy") == "BLUE_GREEN" or upgrade.get("maxSurge", 1) > 0,
        respects_budgets=any(drains),
    )


def size(inputs: dict[str, Any], cluster: Object) -> Size:
    """What counts of a pool for the limits of the account."""
    node = inputs.get("nodeConfig", {})
    zones = inputs.get("nodeLocations") or cluster.outputs.get("nodeLocations", [])
    reserved = node.get("reservationAffinity", {}).get("consumeReservationType") == "SPECIFIC_RESERVATION"
    way = Capacity.SPOT if node.get("spot") else Capacity.FLEX_START if node.get("flexStart") else Capacity.ON_DEMAND
    return Size(
        f"{cluster.id}/{inputs.get('name')}",
        node.get("machineType", "e2-medium"),
        zones,
        _wanted(inputs, max(len(zones), 1)),
        Capacity.RESERVATION if reserved else way,
    )


def _wanted(inputs: dict[str, Any], zones: int) -> int:
    scaling = inputs.get("autoscaling", {})
    if "totalMaxNodeCount" in scaling:
        return scaling["totalMaxNodeCount"]
    if "maxNodeCount" in scaling:
        return scaling["maxNodeCount"] * zones
    return inputs.get("nodeCount", inputs.get("initialNodeCount", 0)) * zones


def _gpus(node: dict[str, Any], usual: str | None) -> tuple[int, dict[str, str]]:
    """GPUs that the device plugin registers, which needs a driver, and labels that say so."""
    given = next(iter(node.get("guestAccelerators", [])), None)
    if given is None:
        return int(usual or 0), {}
    driver = given.get("gpuDriverInstallationConfig", {}).get("gpuDriverVersion", "DEFAULT")
    labels = {
        f"{GKE}gke-accelerator": given["type"],
        f"{GKE}gke-accelerator-count": str(given["count"]),
        f"{GKE}gke-gpu-driver-version": {"INSTALLATION_DISABLED": "disabled"}.get(driver, driver.lower()),
    }
    sharing = given.get("gpuSharingConfig")
    clients = 1
    if sharing:
        clients = sharing["maxSharedClientsPerGpu"]
        labels[f"{GKE}gke-gpu-sharing-strategy"] = sharing["gpuSharingStrategy"].lower().replace("_", "-")
        labels[f"{GKE}gke-max-shared-clients-per-gpu"] = str(clients)
    return 0 if driver == "INSTALLATION_DISABLED" else given["count"] * clients, labels


def _labels(pool: str, node: dict[str, Any], cluster: Object) -> dict[str, str]:
    kind = "spot" if node.get("spot") else "flex-start" if node.get("flexStart") else "standard"
    labels = {
        f"{GKE}gke-nodepool": pool,
        f"{GKE}gke-provisioning": kind,
        f"{GKE}gke-os-distribution": "ubuntu" if "UBUNTU" in node["imageType"] else "cos",
        f"{GKE}gke-boot-disk": node.get("bootDisk", {}).get("diskType") or node.get("diskType") or "pd-balanced",
        f"{GKE}machine-family": node["machineType"].split("-")[0],
    }
    given = {"gke-spot": node.get("spot"), "gke-flex-start": node.get("flexStart")}
    given |= {"gke-preemptible": node.get("preemptible")}
    given["gke-ephemeral-storage-local-ssd"] = "ephemeralStorageLocalSsdConfig" in node
    given["gke-local-nvme-ssd"] = "localNvmeSsdBlockConfig" in node
    labels |= {f"{GKE}{key}": "true" for key, value in given.items() if value}
    reserved = node.get("reservationAffinity", {})
    if reserved.get("consumeReservationType") == "SPECIFIC_RESERVATION" and reserved.get("values"):
        labels |= {f"{GKE}reservation-name": reserved["values"][0].rpartition("/")[2]}
    if (
        "workloadIdentityConfig" in cluster.inputs
        and node.get("workloadMetadataConfig", {}).get("mode") != "GCE_METADATA"
    ):
        labels["iam.gke.io/gke-metadata-server-enabled"] = "true"
    return labels


def _local(config: dict[str, Any], bundled_gb: float | None) -> tuple[int, int]:
    """Machine types that come with disks name none."""
    disks = config.get("localSsdCount") or round((bundled_gb or 0) / LOCAL_SSD_GIB)
    reserved = LOCAL_SSD_RESERVED_GIB[min(disks, len(LOCAL_SSD_RESERVED_GIB) - 1)]
    return local_disk(disks * LOCAL_SSD_GIB * GIB, reserved * GIB)


__all__ = ["node_group", "size"]
