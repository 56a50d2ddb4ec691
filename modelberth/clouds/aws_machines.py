"""Machines of EC2 and what guards them, as pulumi-aws sends it: launch templates, node groups, security groups."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from modelberth.clouds.facts import Fact, both, either, equals, flag, narrow, opposite
from modelberth.clouds.ports import SSH
from modelberth.node import Node

_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
_ACCOUNT = "aws:ebs/encryptionByDefault:EncryptionByDefault"
_ALL_PROTOCOLS = ("-1", "all")
_TCP = ("tcp", "6", *_ALL_PROTOCOLS)


def _template(template: Node) -> Iterator[Fact]:
    yield from _metadata(template["metadataOptions"])
    for interface in template["networkInterfaces"].each():
        address = interface["associatePublicIpAddress"]
        yield Fact(
            "machines have no public address",
            opposite(flag(address, default=False)),
            address,
            "every machine has a public address",
            "associatePublicIpAddress: false, with a NAT gateway for what they download",
        )
    for volume in _volumes(template):
        if volume["encrypted"].unknown or volume["encrypted"].flag() is False:
            yield _encrypted(volume, flag(volume["encrypted"], default=False))


def _metadata(options: Node) -> Iterator[Fact]:
    """One hop ends at the machine: a pod is one further. That is EC2's default; tokens are not."""
    off = equals(options["httpEndpoint"], "disabled")
    yield Fact(
        "machine credentials cost a session token",
        either(off, equals(options["httpTokens"], "required")),
        options["httpTokens"],
        "any process that can send a request reads the machine's credentials from the metadata service",
        "metadataOptions with httpTokens: required and httpPutResponseHopLimit: 1",
    )
    hops = options["httpPutResponseHopLimit"]
    near = None if hops.unknown else (hops.whole() or 1) <= 1
    yield Fact(
        "pods cannot reach the machine's credentials",
        either(off, near),
        hops,
        f"the metadata service answers {hops.whole() or 'several'} hops away: pods read the machine's credentials",
        "metadataOptions.httpPutResponseHopLimit: 1, and an identity of their own for pods",
    )


def _volumes(template: Node) -> Iterator[Node]:
    for mapping in template["blockDeviceMappings"].each():
        volume = mapping["ebs"]
        if volume.stated:
            yield volume


def _encrypted(volume: Node, answer: bool | None) -> Fact:
    return Fact(
        "disks of machines are encrypted",
        answer,
        volume["encrypted"],
        "a disk of the machines is not encrypted",
        "encrypted: true",
    )


def _unsaid_disks(template: Node) -> Iterator[Fact]:
    """Disks without a word: encrypted only where the account says so. A snapshot's disk is as the snapshot is."""
    for volume in _volumes(template):
        if not volume["encrypted"].unknown and volume["encrypted"].flag() is None and not volume["snapshotId"].stated:
            yield _encrypted(volume, answer=False)


def _node_group(group: Node) -> Iterator[Fact]:
    access = group["remoteAccess"]
    key, sources = access["ec2SshKey"], access["sourceSecurityGroupIds"]
    opened = None if access.unknown else key.stated
    limited = True if sources.unknown else any(sources.elements())
    yield Fact(
        "nobody outside may try to log in",
        either(opposite(opened), None if access.unknown else limited),
        sources,
        f"a key without source groups opens port {SSH} of every node to everyone",
        "no remoteAccess, or remoteAccess.sourceSecurityGroupIds",
    )


def _group_inline(group: Node) -> Iterator[Fact]:
    rules = group["ingress"]
    for rule in rules.each():
        anyone = opposite(both(narrow(rule["cidrBlocks"]), narrow(rule["ipv6CidrBlocks"])))
        yield _no_ssh(rule, anyone, rule["protocol"])


def _group_rule(rule: Node) -> Iterator[Fact]:
    incoming = equals(rule["type"], "ingress")
    anyone = opposite(both(narrow(rule["cidrBlocks"]), narrow(rule["ipv6CidrBlocks"])))
    yield _no_ssh(rule, both(incoming, anyone), rule["protocol"])


def _ingress_rule(rule: Node) -> Iterator[Fact]:
    blocks = [rule["cidrIpv4"], rule["cidrIpv6"]]
    listed = Node([each.value for each in blocks if each.stated], rule["cidrIpv4"].path)
    yield _no_ssh(rule, opposite(narrow(listed)), rule["ipProtocol"])


def _no_ssh(rule: Node, anyone: bool | None, protocol: Node) -> Fact:
    first, last = rule["fromPort"], rule["toPort"]
    if protocol.unknown or first.unknown or last.unknown:
        reached = None
    else:
        name = str(protocol.value).lower()
        low, high = first.whole(), last.whole()
        within = low is not None and high is not None and low <= SSH <= high
        reached = name in _ALL_PROTOCOLS or (name in _TCP and within)
    return Fact(
        "nobody outside may try to log in",
        opposite(both(anyone, reached)),
        rule if rule.path else first,
        f"the security group lets everyone reach port {SSH}",
        "the networks of those who administer, or Session Manager and no such rule",
    )


def start_scripts(type_: str, node: Node) -> Iterator[tuple[Node, str]]:
    """User data as text: a launch template holds it in base64."""
    if type_ != _TEMPLATE:
        return
    stated = node["userData"]
    try:
        yield stated, base64.b64decode(stated.text(), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        yield stated, stated.text()


def encrypts_unasked(type_: str, node: Node) -> bool:
    """Whether the account encrypts every new disk."""
    return type_ == _ACCOUNT and flag(node["enabled"], default=True) is True


HARDENED = {
    _TEMPLATE: _template,
    "aws:eks/nodeGroup:NodeGroup": _node_group,
    "aws:ec2/securityGroup:SecurityGroup": _group_inline,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _group_inline,
    "aws:ec2/securityGroupRule:SecurityGroupRule": _group_rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _ingress_rule,
}
DISKS = {_TEMPLATE: _unsaid_disks}
