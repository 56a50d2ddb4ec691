"""Examples of the rules about clusters and machines."""

from __future__ import annotations

import base64
from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case, Seen

PLANTED = "AKIA" + "Q7WERTZUIOPASDF1"


def gke(**changes: Any) -> Seen:
    closed = {
        "networkingMode": "VPC_NATIVE",
        "datapathProvider": "ADVANCED_DATAPATH",
        "enableIntranodeVisibility": True,
        "privateClusterConfig": {"enablePrivateNodes": True, "enablePrivateEndpoint": False},
        "masterAuthorizedNetworksConfig": {"cidrBlocks": [{"cidrBlock": "203.0.113.0/24"}]},
    }
    return "gcp:container/cluster:Cluster", _stated(closed | changes)


def pool(**changes: Any) -> Seen:
    return "gcp:container/nodePool:NodePool", {"cluster": "models", **changes}


def eks(**changes: Any) -> Seen:
    guarded = {
        "version": "1.35",
        "vpcConfig": {"endpointPublicAccess": False, "endpointPrivateAccess": True},
        "encryptionConfig": {"provider": {"keyArn": "arn:aws:kms:eu-central-1:1:key/k"}, "resources": ["secrets"]},
        "enabledClusterLogTypes": ["api", "audit", "authenticator", "controllerManager", "scheduler"],
    }
    return "aws:eks/cluster:Cluster", _stated(guarded | changes)


def template(**changes: Any) -> Seen:
    hardened = {
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1.0},
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 200, "encrypted": "true"}}],
    }
    return "aws:ec2/launchTemplate:LaunchTemplate", _stated(hardened | changes)


def public(*blocks: Any) -> dict[str, Any]:
    return {"endpointPublicAccess": True, "endpointPrivateAccess": True, "publicAccessCidrs": list(blocks)}


def ebs(**volume: Any) -> list[dict[str, Any]]:
    return [{"deviceName": "/dev/xvda", "ebs": volume}]


def script(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def firewall(**changes: Any) -> Seen:
    open_door = {"allows": [{"protocol": "tcp", "ports": ["22"]}], "sourceRanges": ["0.0.0.0/0"]}
    return "gcp:compute/firewall:Firewall", _stated(open_door | changes)


def group(**rule: Any) -> Seen:
    return "aws:ec2/securityGroup:SecurityGroup", {"ingress": [rule]}


def group_rule(**rule: Any) -> Seen:
    return "aws:ec2/securityGroupRule:SecurityGroupRule", {"type": "ingress", "protocol": "tcp", **rule}


def ingress_rule(**rule: Any) -> Seen:
    return "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", {"ipProtocol": "tcp", **rule}


def nodes(**changes: Any) -> Seen:
    return "aws:eks/nodeGroup:NodeGroup", {"clusterName": "models", "scalingConfig": {"maxSize": 2}, **changes}


def _stated(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}


_SSH = {"fromPort": 22, "toPort": 22, "protocol": "tcp"}
_EVERYONE = "answers everyone"
_ENCRYPTED_BY_DEFAULT = ("aws:ebs/encryptionByDefault:EncryptionByDefault", {"enabled": True})

NETWORK = (
    Case("CS-04", "a closed cluster is fine", (gke(),)),
    Case(
        "CS-04",
        "a cluster that names no networks answers everyone",
        (gke(masterAuthorizedNetworksConfig=None),),
        _EVERYONE,
    ),
    Case("CS-04", "a list of nobody outside is fine", (gke(masterAuthorizedNetworksConfig={}),)),
    Case(
        "CS-04",
        "the whole internet is no named network",
        (
            gke(
                masterAuthorizedNetworksConfig={"cidrBlocks": [{"cidrBlock": "10.0.0.0/8"}, {"cidrBlock": "0.0.0.0/0"}]}
            ),
        ),
        _EVERYONE,
    ),
    Case(
        "CS-04",
        "half of the internet is the internet",
        (gke(masterAuthorizedNetworksConfig={"cidrBlocks": [{"cidrBlock": "128.0.0.0/7"}]}),),
        _EVERYONE,
        boundary=True,
    ),
    Case(
        "CS-04",
        "a block of 16 million addresses is a network",
        (gke(masterAuthorizedNetworksConfig={"cidrBlocks": [{"cidrBlock": "10.0.0.0/8"}]}),),
        boundary=True,
    ),
    Case(
        "CS-04",
        "every machine of the cloud is not a named network",
        (gke(masterAuthorizedNetworksConfig={"gcpPublicCidrsAccessEnabled": True}),),
        _EVERYONE,
    ),
    Case(
        "CS-04",
        "the DNS endpoint alone is fine",
        (
            gke(
                masterAuthorizedNetworksConfig=None,
                controlPlaneEndpointsConfig={
                    "dnsEndpointConfig": {"allowExternalTraffic": True},
                    "ipEndpointsConfig": {"enabled": False},
                },
            ),
        ),
    ),
    Case(
        "CS-04",
        "a private endpoint alone is fine",
        (
            gke(
                masterAuthorizedNetworksConfig=None,
                privateClusterConfig={"enablePrivateNodes": True, "enablePrivateEndpoint": True},
            ),
        ),
    ),
    Case(
        "CS-04",
        "networks that are not known yet are a doubt",
        (gke(masterAuthorizedNetworksConfig={"cidrBlocks": [{"cidrBlock": UNKNOWN}]}),),
        "cannot decide whether only named networks reach the control plane",
        undecided=True,
    ),
    Case("CS-04", "pods by routes are refused", (gke(networkingMode="ROUTES"),), "reached by routes"),
    Case("CS-04", "nothing said is VPC-native", (gke(networkingMode=None),)),
    Case("CS-04", "traffic inside a node has to be visible", (gke(enableIntranodeVisibility=None),), "no flow log"),
    Case(
        "CS-04",
        "network policies need somebody to enforce them",
        (gke(datapathProvider=None),),
        "enforces network policies",
    ),
    Case("CS-04", "the older network policy is fine", (gke(datapathProvider=None, networkPolicy={"enabled": True}),)),
    Case(
        "CS-04",
        "an autopilot cluster decides most for itself",
        (gke(enableAutopilot=True, datapathProvider=None, enableIntranodeVisibility=None),),
    ),
    Case("CS-04", "public nodes are refused", (gke(privateClusterConfig=None),), "public address"),
    Case(
        "CS-04",
        "whether nodes are public may not be known yet",
        (gke(privateClusterConfig={"enablePrivateNodes": UNKNOWN}),),
        "cannot decide whether nodes have no public address",
        undecided=True,
    ),
    Case(
        "CS-04",
        "pools may say it for themselves",
        (gke(privateClusterConfig=None), pool(networkConfig={"enablePrivateNodes": True})),
    ),
    Case(
        "CS-04",
        "one pool that says nothing is public",
        (gke(privateClusterConfig=None), pool(networkConfig={"enablePrivateNodes": True}), pool()),
        "public address",
    ),
    Case(
        "CS-04",
        "a pool may not go against its cluster",
        (gke(), pool(networkConfig={"enablePrivateNodes": False})),
        "networkConfig.enablePrivateNodes: every node of this pool",
    ),
    Case(
        "CS-04",
        "nonsense is left to the API",
        (gke(networkingMode=[], enableIntranodeVisibility="true", networkPolicy="on"),),
    ),
)
CONTROL_PLANE = (
    Case("CS-05", "a guarded cluster is fine", (eks(),)),
    Case("CS-05", "nothing said about the endpoint means everyone", (eks(vpcConfig={"subnetIds": ["s"]}),), _EVERYONE),
    Case("CS-05", "named networks are fine", (eks(vpcConfig=public("203.0.113.0/24", "2001:db8::/32")),)),
    Case("CS-05", "everyone is not a network", (eks(vpcConfig=public("0.0.0.0/0")),), _EVERYONE),
    Case("CS-05", "everyone in IPv6 is not a network", (eks(vpcConfig=public("203.0.113.0/24", "::/0")),), _EVERYONE),
    Case("CS-05", "seven bits are too few", (eks(vpcConfig=public("128.0.0.0/7")),), _EVERYONE, boundary=True),
    Case("CS-05", "eight bits are a network", (eks(vpcConfig=public("10.0.0.0/8")),), boundary=True),
    Case(
        "CS-05",
        "networks that are not known yet are a doubt",
        (eks(vpcConfig=public(UNKNOWN)),),
        "cannot decide whether only named networks",
        undecided=True,
    ),
    Case(
        "CS-05",
        "a cluster needs an endpoint",
        (eks(vpcConfig={"endpointPublicAccess": False}),),
        "neither a public nor a private",
    ),
    Case(
        "CS-05",
        "every log is kept",
        (eks(enabledClusterLogTypes=["api", "audit"]),),
        "authenticator, controllerManager",
    ),
    Case("CS-05", "no log is kept", (eks(enabledClusterLogTypes=None),), "api, audit"),
    Case(
        "CS-05",
        "logs that are not known yet are a doubt",
        (eks(enabledClusterLogTypes=["api", UNKNOWN]),),
        "cannot decide whether every log",
        undecided=True,
    ),
    Case(
        "CS-05", "a key of the cloud is advised against", (eks(encryptionConfig=None),), "key of the cloud", advice=True
    ),
    Case(
        "CS-05",
        "an old version stores secrets as they are",
        (eks(encryptionConfig=None, version="1.27"),),
        "as they are",
    ),
    Case(
        "CS-05",
        "a version that is not known yet is a doubt",
        (eks(version=UNKNOWN),),
        "version is maintained",
        undecided=True,
    ),
    Case("CS-05", "a version before all others is refused", (eks(version="1.21"),), "older than any"),
    Case("CS-05", "a newer version than the table is fine", (eks(version="1.44"),)),
    Case("CS-05", "no version is the newest", (eks(version=None),)),
)
MACHINES = (
    Case("CS-06", "a hardened template is fine", (template(),)),
    Case(
        "CS-06",
        "metadata without a token is refused",
        (template(metadataOptions={"httpTokens": "optional", "httpPutResponseHopLimit": 1}),),
        "metadataOptions.httpTokens: any process",
    ),
    Case("CS-06", "nothing said means no token", (template(metadataOptions=None),), "any process"),
    Case("CS-06", "no metadata at all is fine", (template(metadataOptions={"httpEndpoint": "disabled"}),)),
    Case(
        "CS-06",
        "two hops reach a pod",
        (template(metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": 2}),),
        "2 hops away",
        boundary=True,
    ),
    Case(
        "CS-06",
        "one hop reaches no pod",
        (template(metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": "1"}),),
        boundary=True,
    ),
    Case(
        "CS-06",
        "metadata that is not known yet is a doubt",
        (template(metadataOptions={"httpTokens": UNKNOWN}),),
        "cannot decide whether machine credentials cost a session token",
        undecided=True,
    ),
    Case(
        "CS-06",
        "a public address is refused",
        (template(networkInterfaces=[{"associatePublicIpAddress": "true"}]),),
        "public address",
    ),
    Case(
        "CS-06",
        "a disk in the clear is refused",
        (template(blockDeviceMappings=ebs(encrypted="false")),),
        "not encrypted",
    ),
    Case(
        "CS-06",
        "a disk that says nothing is in the clear",
        (template(blockDeviceMappings=ebs(volumeSize=9)),),
        "not encrypted",
    ),
    Case(
        "CS-06",
        "an account may encrypt every disk",
        (template(blockDeviceMappings=ebs(volumeSize=9)), _ENCRYPTED_BY_DEFAULT),
    ),
    Case("CS-06", "a disk is as its snapshot is", (template(blockDeviceMappings=ebs(snapshotId="snap-1")),)),
    Case(
        "CS-06",
        "a disk that is not known yet is a doubt",
        (template(blockDeviceMappings=UNKNOWN),),
        "cannot decide whether disks of machines are encrypted",
        undecided=True,
    ),
    Case(
        "CS-06",
        "a credential in a script is refused",
        (template(userData=script(f"export K={PLANTED}")),),
        "holds a credential",
    ),
    Case("CS-06", "a script without one is fine", (template(userData=script("#!/bin/sh\nset -eu\nexec /start\n")),)),
    Case(
        "CS-06", "a script of bytes is left alone", (template(userData=base64.b64encode(b"\x1f\x8b\x08\xff").decode()),)
    ),
    Case(
        "CS-06",
        "a script that is not known yet is a doubt that only advises",
        (template(userData=UNKNOWN),),
        "cannot decide whether what machines run",
        undecided=True,
        advice=True,
    ),
    Case("CS-06", "a key without groups opens SSH", (nodes(remoteAccess={"ec2SshKey": "ops"}),), "port 22"),
    Case(
        "CS-06",
        "a key with groups is fine",
        (nodes(remoteAccess={"ec2SshKey": "ops", "sourceSecurityGroupIds": ["sg-1"]}),),
    ),
    Case("CS-06", "nodes without a key are fine", (nodes(),)),
    Case("CS-06", "an open group is refused", (group(**_SSH, cidrBlocks=["0.0.0.0/0"]),), "port 22"),
    Case("CS-06", "an open group in IPv6 is refused", (group(**_SSH, ipv6CidrBlocks=["::/0"]),), "port 22"),
    Case("CS-06", "a group for an office is fine", (group(**_SSH, cidrBlocks=["203.0.113.0/24"]),)),
    Case(
        "CS-06",
        "a group for the web is fine",
        (group(fromPort=443, toPort=443, protocol="tcp", cidrBlocks=["0.0.0.0/0"]),),
    ),
    Case(
        "CS-06",
        "a range with SSH in it is refused",
        (group_rule(fromPort=0, toPort=22, cidrBlocks=["0.0.0.0/0"]),),
        "port 22",
        boundary=True,
    ),
    Case(
        "CS-06",
        "a range that ends before SSH is fine",
        (group_rule(fromPort=0, toPort=21, cidrBlocks=["0.0.0.0/0"]),),
        boundary=True,
    ),
    Case(
        "CS-06",
        "what goes out is fine",
        (group_rule(type="egress", fromPort=0, toPort=0, protocol="-1", cidrBlocks=["0.0.0.0/0"]),),
    ),
    Case("CS-06", "all protocols contain SSH", (ingress_rule(ipProtocol="-1", cidrIpv4="0.0.0.0/0"),), "port 22"),
    Case(
        "CS-06",
        "another group is not everyone",
        (ingress_rule(fromPort=22, toPort=22, referencedSecurityGroupId="sg-1"),),
    ),
    Case(
        "CS-06",
        "sources that are not known yet are a doubt",
        (ingress_rule(fromPort=22, toPort=22, cidrIpv4=UNKNOWN),),
        "cannot decide whether nobody outside may try to log in",
        undecided=True,
    ),
    Case(
        "CS-06", "unknown sources of the web are no matter", (ingress_rule(fromPort=443, toPort=443, cidrIpv4=UNKNOWN),)
    ),
    Case("CS-06", "an open firewall is refused", (firewall(),), "port 22"),
    Case("CS-06", "a firewall without sources is open", (firewall(sourceRanges=None),), "port 22"),
    Case("CS-06", "a firewall for tagged machines is fine", (firewall(sourceRanges=None, sourceTags=["bastion"]),)),
    Case("CS-06", "a firewall for the proxy is fine", (firewall(sourceRanges=["35.235.240.0/20"]),)),
    Case("CS-06", "a firewall for the web is fine", (firewall(allows=[{"protocol": "tcp", "ports": ["80", 443]}]),)),
    Case(
        "CS-06",
        "a range of ports with SSH is refused",
        (firewall(allows=[{"protocol": "tcp", "ports": ["20-30"]}]),),
        "port 22",
    ),
    Case("CS-06", "a firewall for what goes out is fine", (firewall(direction="EGRESS"),)),
    Case("CS-06", "a firewall that is off is fine", (firewall(disabled=True),)),
)
CASES = (*NETWORK, *CONTROL_PLANE, *MACHINES)
