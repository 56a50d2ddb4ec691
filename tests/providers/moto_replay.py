"""AWS objects as requests to a server that answers like the APIs: `moto_replay.py PORT < objects.json`.

Runs where moto is. Each object becomes the request that the provider would send; botocore checks it against the service
model, the server takes it or not, and what it shows afterwards is compared with what was sent. Ids that the server made
replace those of the stand-in in the objects after it. Prints JSON: for each object its type, how many values came back
as they were sent, which inputs no member of the request takes, and what was wrong.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import jmespath
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

Inputs = dict[str, Any]
REFUSED = (BotoCoreError, ClientError, ResponseParserError)
STARTED_WITHIN_S = 60


@dataclass
class Row:
    """How an object of one type is made and read."""

    create: str
    """Service and method, as `ec2.create_vpc`."""
    made: str = ""
    """Where in the answer the id is."""
    arn: str = ""
    read: str = ""
    by: Callable[[Inputs, str], dict[str, Any]] = lambda inputs, id_: {}
    """Parameters of the reading call."""
    shown: str = "@"
    """Where in its answer the object is."""
    within: str = ""
    """The member of the request that holds the inputs."""
    names: dict[str, str] = field(default_factory=dict)
    beside: Callable[[Inputs], dict[str, Any]] = lambda inputs: {}
    """What the request has beside the inputs."""
    after: Callable[[Inputs, str], list[tuple[str, dict[str, Any]]]] = lambda inputs, id_: []
    """Further calls of the provider: method and parameters."""
    also: dict[str, str] = field(default_factory=dict)
    """Input -> where in what is shown it is, where the names do not say it."""
    elsewhere: tuple[str, ...] = ()
    """Inputs that `beside` and `after` send, and those that are the provider's own business."""


def one(key: str) -> Callable[[Inputs, str], dict[str, Any]]:
    """Reads by a list with the id."""
    return lambda inputs, id_: {key: [id_]}


def named(**keys: str) -> Callable[[Inputs, str], dict[str, Any]]:
    """Reads by inputs: parameter -> input."""
    return lambda inputs, id_: {key: inputs[value] for key, value in keys.items()}


def side(noun: str, shown: str, beside: Callable[[Inputs], dict[str, Any]], **more: Any) -> Row:
    """A setting of a bucket that is a resource of its own."""
    get, wrapped = f"s3.get_{noun}", (lambda inputs: {"Bucket": inputs["bucket"], **beside(inputs)})
    return Row(f"s3.put_{noun}", "", "", get, named(Bucket="bucket"), beside=wrapped, shown=shown, **more)


def permission(inputs: Inputs) -> dict[str, Any]:
    """A rule of a security group as one permission."""
    entry: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
    entry |= {member: inputs[key] for key, member in (("fromPort", "FromPort"), ("toPort", "ToPort")) if key in inputs}
    text = {"Description": inputs["description"]} if "description" in inputs else {}
    if "cidrIpv4" in inputs:
        entry["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **text}]
    if "referencedSecurityGroupId" in inputs:
        entry["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **text}]
    return {"GroupId": inputs["securityGroupId"], "IpPermissions": [entry]}


def rule(direction: str) -> Row:
    """A rule of a security group."""
    return Row(
        f"ec2.authorize_security_group_{direction}",
        "SecurityGroupRules[0].SecurityGroupRuleId",
        "",
        "ec2.describe_security_group_rules",
        one("SecurityGroupRuleIds"),
        "SecurityGroupRules[0]",
        beside=permission,
        also={
            "ipProtocol": "IpProtocol", "cidrIpv4": "CidrIpv4",
            "referencedSecurityGroupId": "ReferencedGroupInfo.GroupId",
        },
        elsewhere=(
            "securityGroupId", "ipProtocol", "cidrIpv4", "referencedSecurityGroupId", "description", "fromPort",
            "toPort",
        ),
    )  # fmt: skip


def tagged(kind: str) -> Callable[[Inputs], dict[str, Any]]:
    """Tags as EC2 takes them when something is made."""

    def make(inputs: Inputs) -> dict[str, Any]:
        tags = [{"Key": key, "Value": value} for key, value in inputs.get("tags", {}).items()]
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}

    return make


def encryption(inputs: Inputs) -> dict[str, Any]:
    """Rules of a bucket's encryption."""
    rules = []
    for each in inputs["rules"]:
        default = each["applyServerSideEncryptionByDefault"]
        given = {"SSEAlgorithm": default["sseAlgorithm"]}
        given |= {"KMSMasterKeyID": default["kmsMasterKeyId"]} if "kmsMasterKeyId" in default else {}
        rules.append(
            {"ApplyServerSideEncryptionByDefault": given, "BucketKeyEnabled": each.get("bucketKeyEnabled", False)}
        )
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def lifecycle(inputs: Inputs) -> dict[str, Any]:
    """Rules of a bucket's lifecycle."""
    members = {"id": "ID", "status": "Status"}
    nested = {
        "filter": "Filter",
        "abortIncompleteMultipartUpload": "AbortIncompleteMultipartUpload",
        "noncurrentVersionExpiration": "NoncurrentVersionExpiration",
        "expiration": "Expiration",
    }
    rules = []
    for each in inputs["rules"]:
        made = {members[key]: value for key, value in each.items() if key in members}
        for key, member in nested.items():
            if key in each:
                made[member] = {name[0].upper() + name[1:]: value for name, value in each[key].items()}
        rules.append({"Filter": {"Prefix": ""}, **made})
    return {"LifecycleConfiguration": {"Rules": rules}}


def vpc_after(inputs: Inputs, id_: str) -> list[tuple[str, dict[str, Any]]]:
    """Attributes of a network that are set when it is there."""
    attributes = [
        (key, key[0].upper() + key[1:]) for key in ("enableDnsHostnames", "enableDnsSupport") if key in inputs
    ]
    return [("modify_vpc_attribute", {"VpcId": id_, member: {"Value": inputs[key]}}) for key, member in attributes]


def no_egress(inputs: Inputs, id_: str) -> list[tuple[str, dict[str, Any]]]:
    """The provider takes away the rule that a new security group has."""
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    return [("revoke_security_group_egress", {"GroupId": id_, "IpPermissions": [everything]})]


def subnet_after(inputs: Inputs, id_: str) -> list[tuple[str, dict[str, Any]]]:
    """Addresses of machines in a subnet."""
    if "mapPublicIpOnLaunch" not in inputs:
        return []
    return [
        ("modify_subnet_attribute", {"SubnetId": id_, "MapPublicIpOnLaunch": {"Value": inputs["mapPublicIpOnLaunch"]}})
    ]


MADE_UP = ("nodeGroupName",)
"""Names that the provider makes of a prefix."""
ROWS: dict[str, Row] = {
    "aws:ec2/vpc:Vpc": Row(
        "ec2.create_vpc", "Vpc.VpcId", "", "ec2.describe_vpcs", one("VpcIds"), "Vpcs[0]", beside=tagged("vpc"),
        after=vpc_after, elsewhere=("enableDnsHostnames", "enableDnsSupport"),
    ),
    "aws:ec2/subnet:Subnet": Row(
        "ec2.create_subnet", "Subnet.SubnetId", "", "ec2.describe_subnets", one("SubnetIds"), "Subnets[0]",
        beside=tagged("subnet"), after=subnet_after, elsewhere=("mapPublicIpOnLaunch",),
    ),
    "aws:ec2/internetGateway:InternetGateway": Row(
        "ec2.create_internet_gateway", "InternetGateway.InternetGatewayId", "", "ec2.describe_internet_gateways",
        one("InternetGatewayIds"), "InternetGateways[0]", beside=tagged("internet-gateway"),
        after=lambda inputs, id_: [("attach_internet_gateway", {"InternetGatewayId": id_, "VpcId": inputs["vpcId"]})],
        also={"vpcId": "Attachments[0].VpcId"}, elsewhere=("vpcId",),
    ),
    "aws:ec2/eip:Eip": Row(
        "ec2.allocate_address", "AllocationId", "", "ec2.describe_addresses", one("AllocationIds"), "Addresses[0]",
        beside=tagged("elastic-ip"),
    ),
    "aws:ec2/natGateway:NatGateway": Row(
        "ec2.create_nat_gateway", "NatGateway.NatGatewayId", "", "ec2.describe_nat_gateways", one("NatGatewayIds"),
        "NatGateways[0]", beside=tagged("natgateway"), also={"allocationId": "NatGatewayAddresses[0].AllocationId"},
    ),
    "aws:ec2/routeTable:RouteTable": Row(
        "ec2.create_route_table", "RouteTable.RouteTableId", "", "ec2.describe_route_tables", one("RouteTableIds"),
        "RouteTables[0]", beside=tagged("route-table"),
    ),
    "aws:ec2/route:Route": Row(
        "ec2.create_route", "", "", "ec2.describe_route_tables",
        lambda inputs, id_: {"RouteTableIds": [inputs["routeTableId"]]},
        "RouteTables[0].Routes[?DestinationCidrBlock=='0.0.0.0/0'] | [0]",
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Row(
        "ec2.associate_route_table", "AssociationId", "", "ec2.describe_route_tables",
        lambda inputs, id_: {"RouteTableIds": [inputs["routeTableId"]]}, "RouteTables[0].Associations[-1]",
    ),
    "aws:ec2/securityGroup:SecurityGroup": Row(
        "ec2.create_security_group", "GroupId", "", "ec2.describe_security_groups", one("GroupIds"),
        "SecurityGroups[0]", names={"name": "GroupName"}, beside=tagged("security-group"), after=no_egress,
        elsewhere=("revokeRulesOnDelete",),
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Row(
        "ec2.describe_security_groups", "SecurityGroups[0].GroupId", "", "ec2.describe_security_groups",
        one("GroupIds"), "SecurityGroups[0]",
        beside=lambda inputs: {
            "Filters": [
                {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
                {"Name": "group-name", "Values": ["default"]},
            ]
        },
        also={"vpcId": "VpcId"}, elsewhere=("vpcId", "revokeRulesOnDelete", "ingress", "egress"),
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": rule("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": rule("egress"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Row(
        "ec2.create_vpc_endpoint", "VpcEndpoint.VpcEndpointId", "", "ec2.describe_vpc_endpoints",
        one("VpcEndpointIds"), "VpcEndpoints[0]", names={"policy": "PolicyDocument"}, beside=tagged("vpc-endpoint"),
    ),
    "aws:ec2/flowLog:FlowLog": Row(
        "ec2.create_flow_logs", "FlowLogIds[0]", "", "ec2.describe_flow_logs", one("FlowLogIds"), "FlowLogs[0]",
        names={"iamRoleArn": "DeliverLogsPermissionArn"},
        beside=lambda inputs: {
            "ResourceIds": [inputs["vpcId"]], "ResourceType": "VPC", **tagged("vpc-flow-log")(inputs)
        },
        also={"vpcId": "ResourceId"}, elsewhere=("vpcId",),
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": Row(
        "ec2.create_launch_template", "LaunchTemplate.LaunchTemplateId", "", "ec2.describe_launch_template_versions",
        lambda inputs, id_: {"LaunchTemplateId": id_, "Versions": ["$Latest"]},
        "LaunchTemplateVersions[0].LaunchTemplateData", within="LaunchTemplateData",
        beside=lambda inputs: {"LaunchTemplateName": inputs["name"]}, elsewhere=("name", "updateDefaultVersion"),
    ),
    "aws:eks/cluster:Cluster": Row(
        "eks.create_cluster", "cluster.name", "cluster.arn", "eks.describe_cluster", named(name="name"), "cluster",
        names={"vpcConfig": "resourcesVpcConfig"}, elsewhere=("enabledClusterLogTypes",),
        beside=lambda inputs: {
            "logging": {"clusterLogging": [{"types": inputs["enabledClusterLogTypes"], "enabled": True}]}
        } if inputs.get("enabledClusterLogTypes") else {},
    ),
    "aws:eks/nodeGroup:NodeGroup": Row(
        "eks.create_nodegroup", "", "", "eks.describe_nodegroup",
        named(clusterName="clusterName", nodegroupName="nodeGroupName"), "nodegroup",
        names={"nodeRoleArn": "nodeRole", "subnetIds": "subnets"}, elsewhere=("nodeGroupNamePrefix",),
    ),
    "aws:iam/role:Role": Row(
        "iam.create_role", "Role.RoleName", "Role.Arn", "iam.get_role", named(RoleName="name"), "Role",
        names={"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"}, elsewhere=("forceDetachPolicies",),
    ),
    "aws:iam/policy:Policy": Row(
        "iam.create_policy", "Policy.Arn", "Policy.Arn", "iam.get_policy", lambda inputs, id_: {"PolicyArn": id_},
        "Policy", names={"name": "PolicyName", "policy": "PolicyDocument"},
    ),
    "aws:iam/rolePolicy:RolePolicy": Row(
        "iam.put_role_policy", "", "", "iam.get_role_policy", named(RoleName="role", PolicyName="name"),
        names={"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"},
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Row(
        "iam.attach_role_policy", "", "", "iam.list_attached_role_policies", named(RoleName="role"),
        "AttachedPolicies", names={"role": "RoleName"},
    ),
    "aws:kms/key:Key": Row(
        "kms.create_key", "KeyMetadata.KeyId", "KeyMetadata.Arn", "kms.describe_key",
        lambda inputs, id_: {"KeyId": id_}, "KeyMetadata",
        after=lambda inputs, id_: [("enable_key_rotation", {"KeyId": id_})] if inputs.get("enableKeyRotation") else [],
        elsewhere=("enableKeyRotation", "deletionWindowInDays", "isEnabled"),
    ),
    "aws:kms/keyPolicy:KeyPolicy": Row(
        "kms.put_key_policy", "", "", "kms.get_key_policy",
        lambda inputs, id_: {"KeyId": inputs["keyId"], "PolicyName": "default"},
        beside=lambda inputs: {"PolicyName": "default"},
    ),
    "aws:kms/alias:Alias": Row(
        "kms.create_alias", "", "", "kms.list_aliases", lambda inputs, id_: {"KeyId": inputs["targetKeyId"]},
        "Aliases[0]", names={"name": "AliasName"},
    ),
    "aws:s3/bucket:Bucket": Row(
        "s3.create_bucket", "", "", "s3.head_bucket", named(Bucket="bucket"), elsewhere=("forceDestroy",),
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": side(
        "public_access_block", "@",
        lambda inputs: {
            "PublicAccessBlockConfiguration": {
                key[0].upper() + key[1:]: value for key, value in inputs.items() if isinstance(value, bool)
            }
        },
        elsewhere=("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"),
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": side(
        "bucket_ownership_controls", "@",
        lambda inputs: {"OwnershipControls": {"Rules": [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]}},
        elsewhere=("rule",),
    ),
    "aws:s3/bucketVersioning:BucketVersioning": side(
        "bucket_versioning", "{VersioningConfiguration: @}", lambda inputs: {}
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": side(
        "bucket_encryption", "@", encryption, elsewhere=("rules",)
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": side(
        "bucket_lifecycle_configuration", "{LifecycleConfiguration: @}", lifecycle, elsewhere=("rules",)
    ),
    "aws:s3/bucketPolicy:BucketPolicy": side("bucket_policy", "@", lambda inputs: {}),
    "aws:s3/bucketLogging:BucketLogging": side(
        "bucket_logging", "{BucketLoggingStatus: @}",
        lambda inputs: {
            "BucketLoggingStatus": {
                "LoggingEnabled": {"TargetBucket": inputs["targetBucket"], "TargetPrefix": inputs["targetPrefix"]}
            }
        },
        elsewhere=("targetBucket", "targetPrefix"),
    ),
    "aws:s3/bucketNotification:BucketNotification": side(
        "bucket_notification_configuration", "@",
        lambda inputs: {
            "NotificationConfiguration": {"EventBridgeConfiguration": {}} if inputs.get("eventbridge") else {}
        },
        elsewhere=("eventbridge",),
    ),
    "aws:cloudwatch/logGroup:LogGroup": Row(
        "logs.create_log_group", "", "", "logs.describe_log_groups",
        lambda inputs, id_: {"logGroupNamePrefix": inputs["name"]}, "logGroups[0]", names={"name": "logGroupName"},
        after=lambda inputs, id_: [
            ("put_retention_policy", {"logGroupName": inputs["name"], "retentionInDays": inputs["retentionInDays"]})
        ],
        elsewhere=("retentionInDays", "skipDestroy"), also={"retentionInDays": "retentionInDays"},
    ),
    "aws:fsx/lustreFileSystem:LustreFileSystem": Row(
        "fsx.create_file_system", "FileSystem.FileSystemId", "FileSystem.ResourceARN", "fsx.describe_file_systems",
        one("FileSystemIds"), "FileSystems[0]",
        beside=lambda inputs: {
            "FileSystemType": "LUSTRE",
            "SubnetIds": [inputs["subnetIds"]],
            "LustreConfiguration": {
                "DeploymentType": inputs["deploymentType"],
                "PerUnitStorageThroughput": inputs["perUnitStorageThroughput"],
            },
        },
        elsewhere=("subnetIds", "deploymentType", "perUnitStorageThroughput"),
    ),
}  # fmt: skip
OPERATIONS = {
    "aws:ec2/placementGroup:PlacementGroup": ("ec2.create_placement_group", {"GroupName": "a", "Strategy": "cluster"}),
    "aws:ec2/capacityReservation:CapacityReservation": (
        "ec2.create_capacity_reservation",
        {"InstanceType": "p5.48xlarge", "InstancePlatform": "Linux/UNIX", "InstanceCount": 1},
    ),
    "aws:eks/addon:Addon": ("eks.create_addon", {"clusterName": "a", "addonName": "b"}),
    "aws:eks/accessEntry:AccessEntry": ("eks.create_access_entry", {"clusterName": "a", "principalArn": "b"}),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": (
        "eks.associate_access_policy",
        {"clusterName": "a", "principalArn": "b", "policyArn": "c", "accessScope": {"type": "cluster"}},
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": (
        "eks.create_pod_identity_association",
        {"clusterName": "a", "namespace": "b", "serviceAccount": "c", "roleArn": "d"},
    ),
    "aws:fsx/dataRepositoryAssociation:DataRepositoryAssociation": (
        "fsx.create_data_repository_association",
        {"FileSystemId": "fs-0123456789abcdef0", "DataRepositoryPath": "s3://weights"},
    ),
}
"""Types that the server does not know, each with a request that it would have to answer if it did."""


def cluster_group(server: Server, inputs: Inputs, outputs: dict[str, Any]) -> dict[str, str]:
    """The security group that EKS makes with a cluster, the server does not: the stand-in's id -> that of one."""
    subnet = server.call("ec2.describe_subnets", {"SubnetIds": inputs["vpcConfig"]["subnetIds"][:1]})["Subnets"][0]
    named = {"GroupName": f"eks-cluster-sg-{inputs['name']}", "Description": "made with the cluster"}
    group = server.call("ec2.create_security_group", {**named, "VpcId": subnet["VpcId"]})
    return {outputs["vpcConfig"]["clusterSecurityGroupId"]: group["GroupId"]}


class Server:
    """The clients of one server."""

    def __init__(self, port: int) -> None:
        self._port, self._clients = port, {}

    def client(self, service: str) -> Any:
        """A client of one service."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                region_name="us-east-1",
                endpoint_url=f"http://127.0.0.1:{self._port}",
                aws_access_key_id="x",
                aws_secret_access_key="x",
                config=Config(retries={"max_attempts": 1}),
            )
        return self._clients[service]

    def call(self, what: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call a method."""
        service, _, method = what.partition(".")
        return getattr(self.client(service), method)(**parameters)

    def shape(self, what: str) -> Any:
        """The request of a method."""
        service, _, method = what.partition(".")
        client = self.client(service)
        return client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                self.client("ec2").describe_vpcs()
                return
            except REFUSED:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def member_of(shape: Any, key: str) -> str | None:
    members = {bare(each): each for each in shape.members}
    return members.get(bare(key)) or members.get(f"{bare(key)}s") or members.get(bare(key).removesuffix("s"))


def request(shape: Any, value: Any, names: dict[str, str], unsent: list[str], path: str = "") -> Any:
    """A value as the model writes it."""
    if shape.type_name == "structure":
        made = {}
        for key, each in value.items():
            member = member_of(shape, names.get(key, key) if not path else key)
            if member is None:
                unsent.append(f"{path}{key}")
            else:
                made[member] = request(shape.members[member], each, names, unsent, f"{path}{key}.")
        return made
    if shape.type_name == "list" and isinstance(value, dict) and {"Key", "Value"} == set(shape.member.members):
        return [{"Key": key, "Value": each} for key, each in value.items()]
    if shape.type_name == "list":
        items = value if isinstance(value, list) else [value]
        return [request(shape.member, each, names, unsent, path) for each in items]
    if shape.type_name == "boolean" and isinstance(value, str):
        return value == "true"
    if shape.type_name == "string" and not isinstance(value, str):
        return str(value)
    return value


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, bare(key)))
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, path)
    else:
        yield path, plain(value)


def plain(value: Any) -> Any:
    """A document is the same however it is written."""
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(json.loads(value), sort_keys=True)
    return str(value)


def compared(sent: Any, shown: Any) -> tuple[int, list[str]]:
    """How many values came back, and those that came back as others."""
    there: dict[tuple[str, ...], list[Any]] = {}
    for path, value in leaves(shown):
        there.setdefault(path, []).append(value)
    same, wrong = 0, []
    for path, value in leaves(sent):
        if path in there:
            same += value in there[path]
            wrong += [] if value in there[path] else [f"{'.'.join(path)}: sent {value}, shown {there[path]}"]
    return same, wrong


def replaced(value: Any, ids: dict[str, str]) -> Any:
    text = json.dumps(value)
    for old in sorted(ids, key=len, reverse=True):
        text = text.replace(old, ids[old])
    return json.loads(text)


def replay(server: Server, found: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """Make one object and read it."""
    row = ROWS[found["type"]]
    made_up = {key: found["outputs"][key] for key in MADE_UP if key in found["outputs"]}
    inputs = replaced({**made_up, **{key: each for key, each in found["inputs"].items() if key != "__defaults"}}, ids)
    unsent: list[str] = []
    taken = {key: each for key, each in inputs.items() if key not in (*row.elsewhere, "tags", "region", "tagsAll")}
    shape = server.shape(row.create)
    for step in filter(None, row.within.split("/")):
        shape = shape.members[step]
    sent = request(shape, taken, row.names, unsent)
    given = {**({row.within: sent} if row.within else sent), **row.beside(inputs)}
    answer = server.call(row.create, given)
    id_ = jmespath.search(row.made, answer) if row.made else found["id"]
    for old, new in (
        (found["id"], id_),
        (found["outputs"].get("arn"), jmespath.search(row.arn, answer) if row.arn else ""),
    ):
        if old and new and old != new:
            ids[old] = new
    if found["type"] == "aws:eks/cluster:Cluster":
        ids.update(cluster_group(server, inputs, found["outputs"]))
    for method, parameters in row.after(inputs, id_):
        server.call(f"{row.create.partition('.')[0]}.{method}", parameters)
    read = server.call(row.read, row.by(inputs, id_))
    read.pop("ResponseMetadata", None)
    shown = jmespath.search(row.shown, read)
    aside = sent if row.within else {**sent, **row.beside(inputs)}
    same, wrong = compared({k: v for k, v in aside.items() if k != "Filters"}, shown)
    for key, path in row.also.items():
        if key in inputs:
            value = jmespath.search(path, shown)
            same += value == inputs[key]
            wrong += [] if value == inputs[key] else [f"{key}: sent {inputs[key]}, shown {value}"]
    return {"type": found["type"], "same": same, "unsent": unsent, "wrong": wrong}


def main() -> None:
    """All objects, in the order in which they were made; then what the server does not know."""
    server = Server(int(sys.argv[1]))
    server.wait()
    ids: dict[str, str] = {}
    results = []
    for found in json.load(sys.stdin):
        if found["type"] not in ROWS:
            results.append({"type": found["type"], "missing": True})
            continue
        try:
            results.append(replay(server, found, ids))
        except (*REFUSED, KeyError) as error:
            results.append(
                {"type": found["type"], "same": 0, "unsent": [], "wrong": [f"{type(error).__name__}: {error}"]}
            )
    known = []
    for token, (what, parameters) in OPERATIONS.items():
        try:
            server.call(what, parameters)
            known.append(token)
        except REFUSED as error:
            if "Not Found</h1>" not in str(error) and "500 Internal" not in str(error):
                known.append(f"{token}: {error}")
    print(json.dumps({"objects": results, "not_asked": sorted(OPERATIONS), "now_known": known}))


if __name__ == "__main__":
    main()
