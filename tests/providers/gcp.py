"""What only Google's cloud does: defaults of the provider, GKE clusters and their node pools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.providers import gcp_nodes
from tests.providers.cloud import Object, State
from tests.providers.limits import Size
from tests.providers.node_groups import NodeGroup
from tests.providers.tables import document
from tests.providers.values import unknown

CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
WITH_GPU = ("a2-", "a3-", "a4-", "a4x-", "g2-", "g4-")
LABELLED = {"goog-pulumi-provisioned": "true"}
ALREADY, MISSING, INVALID = (f"googleapi: Error {code}" for code in (409, 404, 400))


def accelerators() -> dict[str, dict[str, list[int]]]:
    """Machine type -> accelerator -> counts."""
    return document("gcp")["accelerators"]


def context(config: dict[str, Any], inputs: dict[str, Any], state: State) -> dict[str, Any]:
    """What templates know beside the inputs."""
    known = {key: config[key] for key in ("project", "region", "zone") if config.get(key)}
    if cluster := _cluster(inputs.get("cluster"), state):
        known["clusterId"] = cluster.id
        known["project"] = cluster.outputs["project"]
    return known


def needed(token: str, inputs: dict[str, Any], config: dict[str, Any], types: dict[str, Any]) -> str:
    """Which of project, region and zone neither the resource nor the provider says."""
    regional = token.startswith("gcp:compute/")
    asked = [key for key in ("project", "region") if key in types["inputs"] and (key == "project" or regional)]
    return next((key for key in asked if inputs.get(key) is None and not config.get(key)), "")


def definitions() -> list[dict[str, Any]]:
    """Definitions of the kinds that every cluster of this cloud serves."""
    file = Path(__file__).with_name("gke_definitions.yaml")
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


def cluster_of(inputs: dict[str, Any], state: State) -> Object | None:
    """The cluster that a pool's inputs name."""
    return _cluster(inputs.get("cluster"), state)


def node_group(owner: str, pool: Object, state: State) -> NodeGroup | str:
    """The nodes of a pool, or why none are made."""
    home = cluster_of(pool.inputs, state)
    assert home is not None
    return gcp_nodes.node_group(owner, pool, home)


def size(inputs: dict[str, Any], state: State) -> Size | None:
    """What counts of a pool for the limits of the account."""
    home = cluster_of(inputs, state)
    return gcp_nodes.size(inputs, home) if home else None


def _cluster(given: Any, state: State) -> Object | None:
    return next((each for each in state.of_type(CLUSTER) if given in (each.id, each.outputs.get("name"))), None)


def refusal(token: str, inputs: dict[str, Any], state: State) -> str:
    """Why the API would not take inputs that the schema lets through; empty when it would."""
    return _pool(inputs, state) if token == POOL else ""


def _pool(inputs: dict[str, Any], state: State) -> str:
    node = inputs.get("nodeConfig", {})
    machine = node.get("machineType", "e2-medium")
    if machine.startswith(WITH_GPU) and machine not in accelerators():
        return f"machine type {machine} does not exist"
    for each in node.get("guestAccelerators", []):
        if unknown(machine) or unknown(each.get("type")):
            continue
        offered = accelerators().get(machine) or accelerators().get(machine.split("-")[0] + "-", {})
        if each["count"] and each["count"] not in offered.get(each["type"], []):
            return f"machine type {machine} does not come with {each['count']} x {each['type']}"
    scaling = inputs.get("autoscaling", {})
    for least, most in (("totalMinNodeCount", "totalMaxNodeCount"), ("minNodeCount", "maxNodeCount")):
        if scaling.get(least, 0) > scaling.get(most, scaling.get(least, 0)):
            return f"{least} must not be greater than {most}"
    cluster = _cluster(inputs.get("cluster"), state)
    region = "-".join((cluster.outputs.get("location", "") if cluster else "").split("-")[:2])
    for zone in inputs.get("nodeLocations", []):
        if region and not zone.startswith(f"{region}-"):
            return f"node location {zone} is not in the cluster's region {region}"
    kinds = [key for key in ("spot", "preemptible", "flexStart") if node.get(key)]
    if len(kinds) > 1:
        return f"{' and '.join(kinds)} cannot be combined"
    disk = node.get("bootDisk", {})
    for old, new in (("diskSizeGb", "sizeGb"), ("diskType", "diskType")):
        if old in node and new in disk and node[old] != disk[new]:
            return f"{old} and bootDisk.{new} differ"
    return ""


def labelled(inputs: dict[str, Any], found: dict[str, Any], config: dict[str, Any]) -> None:
    """Labels as they are in the cloud: those of the provider and its own mark beside the resource's."""
    if "pulumiLabels" in found:
        mark = LABELLED if config.get("addPulumiAttributionLabel", True) else {}
        own = inputs.get("labels", inputs.get("resourceLabels", {}))
        found["pulumiLabels"] = found["effectiveLabels"] = {**config.get("defaultLabels", {}), **own, **mark}


def answered(token: str, inputs: dict[str, Any], found: dict[str, Any], state: State) -> None:
    """Add what the cloud computes and no template can say."""
    if token == POOL:
        _answer_pool(inputs, found, state)


def _answer_pool(inputs: dict[str, Any], found: dict[str, Any], state: State) -> None:
    cluster = _cluster(inputs.get("cluster"), state)
    assert cluster is not None
    location = found.setdefault("location", cluster.outputs["location"])
    letters = [location] if location.count("-") > 1 else [f"{location}-{letter}" for letter in "abc"]
    zones = found.setdefault("nodeLocations", cluster.outputs.get("nodeLocations") or letters)
    groups = [
        f"https://www.googleapis.com/compute/v1/projects/{found['project']}/zones/{zone}/{{}}/gke-{found['name']}-grp"
        for zone in zones
    ]
    found["instanceGroupUrls"] = [each.format("instanceGroupManagers") for each in groups]
    found["managedInstanceGroupUrls"] = [each.format("instanceGroups") for each in groups]
    node = found["nodeConfig"] = {
        "machineType": "e2-medium",
        "imageType": "COS_CONTAINERD",
        **found.get("nodeConfig", {}),
    }
    taints = list(node.get("taints", []))
    others = [each for each in state.of_type(POOL) if each.id.startswith(f"{cluster.id}/")]
    plain = any(not each.inputs.get("nodeConfig", {}).get("guestAccelerators") for each in others)
    plain = plain or not cluster.inputs.get("removeDefaultNodePool")
    if node.get("guestAccelerators") and plain and not any(each["key"] == GPU_TAINT["key"] for each in taints):
        taints.append(dict(GPU_TAINT))
    node["effectiveTaints"] = taints


def updated(token: str, found: Object) -> None:
    """What an update changes beside the inputs."""
    if token == POOL:
        kept = [each for each in found.outputs["nodeConfig"].get("effectiveTaints", []) if each == GPU_TAINT]
        taints = found.outputs["nodeConfig"].get("taints", [])
        found.outputs["nodeConfig"]["effectiveTaints"] = taints + [each for each in kept if each not in taints]


def invoked(token: str, arguments: dict[str, Any], config: dict[str, Any], state: State) -> dict[str, Any] | None:
    """The answer to a function, or None for one that the stand-in does not answer."""
    project = config.get("project", "")
    if token == "gcp:organizations/getProject:getProject":
        wanted = arguments.get("projectId", project)
        return {"id": f"projects/{wanted}", "projectId": wanted, "number": "123456789012", "name": wanted, "labels": {}}
    if token == "gcp:organizations/getClientConfig:getClientConfig":
        answer = {
            "id": "client",
            "project": project,
            "region": config.get("region", ""),
            "zone": config.get("zone", ""),
        }
        return {**answer, "accessToken": "stand-in"}
    if token == "gcp:container/getCluster:getCluster":
        found = next((each for each in state.of_type(CLUSTER) if each.outputs["name"] == arguments["name"]), None)
        return {**found.outputs, "id": found.id} if found else None
    return None
