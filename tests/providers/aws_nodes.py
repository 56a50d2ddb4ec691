"""Nodes of EKS's managed node groups.

Labels: docs.aws.amazon.com/eks, "Simplify node lifecycle with managed node groups", and cloud-provider-aws. They have
none of Karpenter's. GPUs appear when a device plugin runs on the node, but on Bottlerocket, which has one of its own.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from modelberth.names import Capacity
from modelberth.units import GIB
from tests.providers.cloud import Object, State
from tests.providers.limits import Size
from tests.providers.node_groups import NodeGroup, local_disk, profile, tainted

GPU, EFA = "nvidia.com/gpu", "vpc.amazonaws.com/efa"
PLUGINS = {GPU: "k8s-device-plugin", EFA: "aws-efa-k8s-device-plugin"}
"""Resource -> image of the plugin that registers it."""
SUBNET = "aws:ec2/subnet:Subnet"
DEFAULT_DISK_GIB = 20
OTHERS = "karpenter.k8s.aws/"


def node_group(owner: str, group: Object, template: Object | None, state: State) -> NodeGroup | str:
    """The nodes of a managed node group, or why none are made."""
    made = template.inputs if template else {}
    machine_type = _machine_type(group.inputs, made)
    found = profile(machine_type, _disk_gib(group, made))
    if found is None:
        return f"no nodes: the machine type {machine_type} is not in the catalog"
    image = group.inputs.get("amiType", "")
    zones = _zones(group.inputs, state)
    if not zones or not all(zones):
        return "no nodes: nothing says which zones its subnets are in"
    devices = {GPU: found.capacity[GPU]} if GPU in found.capacity else {}
    if image and not re.search("NVIDIA|GPU|CUSTOM", image):
        devices = {}  # no driver
    efa = sum(each.get("interfaceType") in ("efa", "efa-only") for each in made.get("networkInterfaces", []))
    devices |= {EFA: str(efa)} if efa else {}
    builtin = {GPU} if image.startswith("BOTTLEROCKET") else set[str]()
    local = int((found.machine.local_nvme_gb or 0) * 10**9) if _raid(made) else 0
    region = zones[0][:-1]
    return NodeGroup(
        owner=owner,
        cloud="aws",
        prefix="ip-10",
        suffix=".ec2.internal" if region == "us-east-1" else f".{region}.compute.internal",
        profile=found,
        labels={
            **{key: value for key, value in found.labels.items() if not key.startswith(OTHERS)},
            "k8s.io/cloud-provider-aws": owner,
            "eks.amazonaws.com/nodegroup": group.outputs["nodeGroupName"],
            "eks.amazonaws.com/capacityType": group.inputs.get("capacityType", "ON_DEMAND"),
            **_template_labels(group, template),
            **group.inputs.get("labels", {}),
        },
        taints=tainted(group.inputs.get("taints", [])),
        zones=zones,
        wanted=group.inputs["scalingConfig"]["desiredSize"],
        made_from=[group.inputs.get(key) for key in ("instanceTypes", "amiType", "capacityType", "diskSize")]
        + [group.outputs.get("version"), group.outputs.get("releaseVersion"), _template_labels(group, template)],
        disk_bytes=local_disk(local, GIB) if local else None,
        resources={key: value for key, value in devices.items() if key in builtin},
        plugins={PLUGINS[key]: {key: value} for key, value in devices.items() if key not in builtin},
        huge_pages_mib=_huge_pages_mib(made),
        surge=group.inputs.get("updateConfig", {}).get("updateStrategy", "DEFAULT") == "DEFAULT",
    )


def size(inputs: dict[str, Any], template: Object | None, state: State) -> Size:
    """What counts of a node group for the limits of the account."""
    made = template.inputs if template else {}
    target = made.get("capacityReservationSpecification", {}).get("capacityReservationTarget")
    way = Capacity.SPOT if inputs.get("capacityType") == "SPOT" else Capacity.ON_DEMAND
    return Size(
        f"{inputs.get('clusterName')}/{inputs.get('nodeGroupName')}",
        _machine_type(inputs, made),
        _zones(inputs, state),
        inputs["scalingConfig"]["maxSize"],
        Capacity.RESERVATION if target else way,
    )


def _machine_type(inputs: dict[str, Any], template: dict[str, Any]) -> str:
    return next(iter(inputs.get("instanceTypes", [])), template.get("instanceType", "t3.medium"))


def _zones(inputs: dict[str, Any], state: State) -> list[str]:
    subnets = {each.id: each.outputs.get("availabilityZone", "") for each in state.of_type(SUBNET)}
    return [subnets.get(each, "") for each in inputs["subnetIds"]]


def _template_labels(group: Object, template: Object | None) -> dict[str, str]:
    if template is None:
        return {}
    version = str(group.inputs["launchTemplate"]["version"])
    named = {"$Latest": "latestVersion", "$Default": "defaultVersion"}.get(version)
    return {
        "eks.amazonaws.com/sourceLaunchTemplateId": template.id,
        "eks.amazonaws.com/sourceLaunchTemplateVersion": str(template.outputs[named]) if named else version,
    }


def _disk_gib(group: Object, template: dict[str, Any]) -> int:
    sizes = [each.get("ebs", {}).get("volumeSize") for each in template.get("blockDeviceMappings", [])]
    return next((size for size in sizes if size), group.inputs.get("diskSize", DEFAULT_DISK_GIB))


def _script(template: dict[str, Any]) -> str:
    return base64.b64decode(template.get("userData", "")).decode(errors="replace")


def _raid(template: dict[str, Any]) -> bool:
    """Whether nodeadm joins the local disks and puts what pods write on them."""
    return re.search(r"strategy['\"]?:\s*['\"]?RAID0", _script(template)) is not None


def _huge_pages_mib(template: dict[str, Any]) -> int:
    """What a script of the template sets aside. That images do it too is in no source, so no node is given any."""
    found = re.search(r"vm\.nr_hugepages\s*=\s*(\d+)", _script(template))
    return 2 * int(found[1]) if found else 0


__all__ = ["node_group", "size"]
