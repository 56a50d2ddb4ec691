"""EKS clusters: aws:eks/cluster:Cluster, as pulumi-aws sends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.clouds.facts import Fact, both, either, flag, holds, narrow, opposite
from modelberth.node import Node

CLUSTERS = frozenset({"aws:eks/cluster:Cluster"})
_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_ENCRYPTS_UNASKED = (1, 28)
"""From here on EKS encrypts all API data with a key of its own: docs.aws.amazon.com/eks, envelope-encryption."""


class Release(Row):
    """One Kubernetes version of EKS: the last days of standard and of extended support."""

    version: Text
    standard_until: date
    extended_until: date


@cache
def releases() -> Mapping[str, Release]:
    """The versions whose dates are known."""
    return index(read_rows(files("modelberth.clouds") / "eks_versions.yaml", Release), lambda row: row.version)


def control_plane(cluster: Node, today: date) -> Iterator[Fact]:
    """Everything that one cluster shows about its control plane."""
    yield from _endpoint(cluster["vpcConfig"])
    yield _logs(cluster["enabledClusterLogTypes"])
    yield _encryption(cluster)
    yield from _version(cluster["version"], today)


def _endpoint(vpc: Node) -> Iterator[Fact]:
    """The public endpoint is on unless it is switched off, and open to all unless networks are named."""
    public = flag(vpc["endpointPublicAccess"], default=True)
    private = flag(vpc["endpointPrivateAccess"], default=False)
    blocks = vpc["publicAccessCidrs"]
    named = both(True if blocks.unknown else any(blocks.each()), narrow(blocks))
    yield Fact(
        "only named networks reach the control plane",
        either(opposite(public), named),
        blocks if public else vpc["endpointPublicAccess"],
        "the public endpoint of the control plane answers everyone",
        "vpcConfig.endpointPublicAccess: false with endpointPrivateAccess: true, "
        "or publicAccessCidrs with the networks of those who deploy",
    )
    yield Fact(
        "the control plane has an endpoint",
        either(public, private),
        vpc["endpointPrivateAccess"],
        "the control plane has neither a public nor a private endpoint, which is refused",
        "vpcConfig.endpointPrivateAccess: true",
    )


def _logs(types: Node) -> Fact:
    found = {each.text() for each in types.each()}
    missing = [each for each in _LOGS if each not in found]
    return Fact(
        "every log of the control plane is kept",
        holds(types, *_LOGS),
        types,
        f"logs of the control plane that are not kept: {', '.join(missing)}",
        f"enabledClusterLogTypes: [{', '.join(_LOGS)}]",
    )


def _encryption(cluster: Node) -> Fact:
    encryption = cluster["encryptionConfig"]
    key = encryption.at("provider", "keyArn")
    keyed = None if encryption.unknown else key.stated
    version = _parsed(cluster["version"].text())
    unasked = version is None or version >= _ENCRYPTS_UNASKED
    return Fact(
        "secrets are encrypted with a key of yours",
        both(keyed, holds(encryption["resources"], "secrets")),
        encryption,
        "secrets are encrypted with a key of the cloud alone" if unasked else "secrets are stored as they are",
        "encryptionConfig with provider.keyArn and resources: [secrets]",
        minor=unasked,
    )


def _version(stated: Node, today: date) -> Iterator[Fact]:
    """Nothing stated is the newest; a version without dates here is newer than they are."""
    topic = "the Kubernetes version is maintained"
    if stated.unknown:
        yield Fact(topic, None, stated, "", "")
        return
    release = releases().get(".".join(map(str, _parsed(stated.text()) or ())))
    newest = max(releases(), key=lambda version: _parsed(version) or (0, 0))
    oldest = min(releases(), key=lambda version: _parsed(version) or (0, 0))
    parsed = _parsed(stated.text())
    remedy = f"version: {newest} or newer, one minor version at a time"
    if parsed and release is None and parsed < (_parsed(oldest) or (0, 0)):
        yield Fact(topic, False, stated, "the version is older than any that is still offered", remedy)
    elif release and today > release.extended_until:
        lacks = f"extended support of {release.version} ended on {release.extended_until.isoformat()}: no new clusters"
        yield Fact(topic, False, stated, f"{lacks}, old ones are upgraded unasked", remedy)
    elif release and today > release.standard_until:
        lacks = f"standard support of {release.version} ended on {release.standard_until.isoformat()}"
        yield Fact(topic, False, stated, f"{lacks}: each hour of the cluster costs more", remedy, minor=True)


def _parsed(version: str) -> tuple[int, int] | None:
    major, _, minor = version.partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None
