"""Buckets, disks and file systems in the words of no cloud, and what is said about them in resources of their own."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.clouds import aws_storage, gcp_storage
from modelberth.clouds.buckets import Part
from modelberth.clouds.facts import Fact, read
from modelberth.node import Node

BUCKETS = gcp_storage.BUCKETS | aws_storage.BUCKETS
"""Types of buckets."""
SAID_ALONE = {**gcp_storage.SAID_ALONE, **aws_storage.SAID_ALONE}
"""Topics that only a bucket itself can say something about, by its type."""
_PARTS = {**gcp_storage.PARTS, **aws_storage.PARTS}
_VOLUMES = {**gcp_storage.VOLUMES, **aws_storage.VOLUMES}
_NAMED_BY = {**gcp_storage.NAMED_BY, **aws_storage.NAMED_BY}


def bucket(type_: str, node: Node) -> tuple[Fact, ...]:
    """What a bucket says about itself."""
    return read({**gcp_storage.OF_BUCKET, **aws_storage.OF_BUCKET}, type_, node)


def part(type_: str, node: Node) -> Part | None:
    """What another resource says about a bucket, and which; None for any other resource."""
    reader = _PARTS.get(type_)
    return reader(node) if reader else None


def opened(type_: str, node: Node) -> tuple[Fact, ...]:
    """What one resource alone shows about the public: whether it lets everyone in."""
    return read({**gcp_storage.OPENED, **aws_storage.OPENED}, type_, node)


def closes_every_bucket(type_: str, node: Node) -> bool:
    """Whether this resource keeps the public out of every bucket of the account."""
    return aws_storage.closes_every_bucket(type_, node)


def encrypted(type_: str, node: Node) -> tuple[Fact, ...]:
    """Whether a disk or file system is encrypted."""
    return read(_VOLUMES, type_, node)


def bucket_of_volume(volume: Node) -> Node | None:
    """The bucket that a pod's volume or a PersistentVolume shows as files, by the driver that does it."""
    driver = volume["driver"].text()
    return _NAMED_BY[driver](volume) if driver in _NAMED_BY else None


def bucket_names(text: str) -> Iterator[str]:
    """Names of buckets in an address such as gs://NAME/folder."""
    for scheme in (*gcp_storage.SCHEMES, *aws_storage.SCHEMES):
        if text.startswith(scheme):
            yield text.removeprefix(scheme).partition("/")[0]


def bucket_scheme(cloud: str) -> str:
    """How addresses in buckets of this cloud begin, as engines read them."""
    return {"aws": aws_storage.SCHEMES, "gcp": gcp_storage.SCHEMES}[cloud][0]


def labels(node: Node) -> Node:
    """The labels or tags of a bucket, whichever its cloud calls them."""
    return node["labels"] if node["labels"].stated else node["tags"]
