"""What only Amazon's cloud does: defaults of the provider, EKS clusters, node groups and launch templates."""

from __future__ import annotations

from typing import Any

from tests.providers import aws_nodes
from tests.providers.cloud import Object, State
from tests.providers.limits import Size
from tests.providers.node_groups import NodeGroup

ACCOUNT = "123456789012"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
POOL = "aws:eks/nodeGroup:NodeGroup"
CLUSTER = "aws:eks/cluster:Cluster"
SUBNET = "aws:ec2/subnet:Subnet"
VPC = "aws:ec2/vpc:Vpc"
ALREADY, MISSING, INVALID = (
    f"api error {name}" for name in ("ResourceInUseException", "ResourceNotFoundException", "InvalidParameterException")
)


def context(config: dict[str, Any], inputs: dict[str, Any], state: State) -> dict[str, Any]:
    """What templates know beside the inputs."""
    known: dict[str, Any] = {"account": ACCOUNT, "region": config.get("region", ""), "nodeGroupNamePrefix": ""}
    subnets = inputs.get("vpcConfig", {}).get("subnetIds", []) if isinstance(inputs.get("vpcConfig"), dict) else []
    for vpc in state.of_type(VPC):
        if vpc.id == inputs.get("vpcId"):
            known["vpcDefaultGroup"] = vpc.outputs["defaultSecurityGroupId"]
    for subnet in state.of_type(SUBNET):
        if subnet.id in subnets:
            known["vpcId"] = subnet.inputs.get("vpcId", "")
    return known


def needed(token: str, inputs: dict[str, Any], config: dict[str, Any], types: dict[str, Any]) -> str:
    """What neither the resource nor the provider says."""
    return "" if inputs.get("region") or config.get("region") or "region" not in types["inputs"] else "region"


def definitions() -> list[dict[str, Any]]:
    """Definitions of the kinds that every cluster of this cloud serves: none."""
    return []


def cluster_of(inputs: dict[str, Any], state: State) -> Object | None:
    """The cluster that a node group's inputs name."""
    return next((each for each in state.of_type(CLUSTER) if each.outputs["name"] == inputs.get("clusterName")), None)


def node_group(owner: str, group: Object, state: State) -> NodeGroup | str:
    """The nodes of a managed node group, or why none are made."""
    template = _template(group.inputs["launchTemplate"], state) if "launchTemplate" in group.inputs else None
    return aws_nodes.node_group(owner, group, template, state)


def size(inputs: dict[str, Any], state: State) -> Size | None:
    """What counts of a node group for the limits of the account."""
    template = _template(inputs["launchTemplate"], state) if "launchTemplate" in inputs else None
    return aws_nodes.size(inputs, template, state)


def _template(given: dict[str, Any], state: State) -> Object | None:
    wanted = (given.get("id"), given.get("name"))
    return next(
        (each for each in state.of_type(TEMPLATE) if each.id == wanted[0] or each.outputs["name"] == wanted[1]), None
    )


def refusal(token: str, inputs: dict[str, Any], state: State) -> str:
    """Why the API would not take inputs that the schema lets through; empty when it would."""
    if token == CLUSTER:
        zones = {each.inputs.get("availabilityZone") for each in _subnets(inputs["vpcConfig"]["subnetIds"], state)}
        if len(zones) < 2:
            return "subnets specified must be in at least two different AZs"
    return _group(inputs, state) if token == POOL else ""


def _subnets(ids: list[str], state: State) -> list[Object]:
    return [each for each in state.of_type(SUBNET) if each.id in ids]


def _group(inputs: dict[str, Any], state: State) -> str:
    scaling = inputs["scalingConfig"]
    if not scaling["minSize"] <= scaling["desiredSize"] <= scaling["maxSize"]:
        return "desired capacity must lie between the minimum and the maximum size"
    if "launchTemplate" not in inputs:
        return ""
    template, version = _template(inputs["launchTemplate"], state), inputs["launchTemplate"]["version"]
    if template is None:
        return "the launch template does not exist"
    if not version.isdigit() and version not in ("$Latest", "$Default"):
        return f"launch template version {version!r} is no version"
    if version.isdigit() and int(version) > template.outputs["latestVersion"]:
        return f"launch template version {version} does not exist"
    return _combined(inputs, template)


def _combined(inputs: dict[str, Any], template: Object) -> str:
    """Why a managed node group cannot have a launch template."""
    if template.inputs.get("instanceType") and inputs.get("instanceTypes"):
        return "instance types cannot be given in both the launch template and the node group"
    for key in ("iamInstanceProfile", "instanceInitiatedShutdownBehavior", "hibernationOptions"):
        if template.inputs.get(key):
            return f"{key} is not allowed in the launch template of a managed node group"
    if any(each.get("subnetId") for each in template.inputs.get("networkInterfaces", [])):
        return "a subnet is not allowed in the network interfaces of a managed node group's launch template"
    if template.inputs.get("imageId") and inputs.get("amiType", "CUSTOM") != "CUSTOM":
        return "an AMI type cannot be given with a launch template that has an image"
    market = template.inputs.get("instanceMarketOptions", {}).get("marketType")
    if (market == "capacity-block") != (inputs.get("capacityType") == "CAPACITY_BLOCK"):
        return "capacity type CAPACITY_BLOCK and the template's market type capacity-block need each other"
    return ""


def labelled(inputs: dict[str, Any], found: dict[str, Any], config: dict[str, Any]) -> None:
    """Tags as they are in the cloud: those of the provider beside the resource's."""
    if "tagsAll" in found:
        found["tagsAll"] = {**config.get("defaultTags", {}).get("tags", {}), **inputs.get("tags", {})}


def answered(token: str, inputs: dict[str, Any], found: dict[str, Any], state: State) -> None:
    """Add what the cloud computes and no template can say."""
    if token == POOL:
        cluster = cluster_of(inputs, state)
        assert cluster is not None
        found["version"] = inputs.get("version", cluster.outputs["version"])
        template = _template(inputs["launchTemplate"], state) if "launchTemplate" in inputs else None
        if template is not None:
            found["launchTemplate"] = {**inputs["launchTemplate"], "id": template.id, "name": template.outputs["name"]}


def updated(token: str, found: Object) -> None:
    """What an update changes beside the inputs: each change of a launch template is a new version of it."""
    if token == TEMPLATE:
        found.outputs["latestVersion"] += 1
        if found.inputs.get("updateDefaultVersion"):
            found.outputs["defaultVersion"] = found.outputs["latestVersion"]


def invoked(token: str, arguments: dict[str, Any], config: dict[str, Any], state: State) -> dict[str, Any] | None:
    """The answer to a function, or None for one that the stand-in does not answer."""
    region = config.get("region", "")
    if token == "aws:index/getCallerIdentity:getCallerIdentity":
        return {
            "id": ACCOUNT,
            "accountId": ACCOUNT,
            "arn": f"arn:aws:iam::{ACCOUNT}:user/stand-in",
            "userId": "AIDASTANDIN",
        }
    if token == "aws:index/getRegion:getRegion":
        return {"id": region, "name": region, "region": region, "description": region, "endpoint": ""}
    if token == "aws:index/getPartition:getPartition":
        return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
    if token == "aws:eks/getCluster:getCluster":
        found = next((each for each in state.of_type(CLUSTER) if each.outputs["name"] == arguments["name"]), None)
        return {**found.outputs, "id": found.id} if found else None
    return None
