"""Labels and tags of what is billed: which resources are, and what their labels are called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modelberth.node import Node


@dataclass(frozen=True)
class Billed:
    """A kind of resource that costs. ``labels`` are where they are stated; ``shared`` is what serves many models."""

    labels: tuple[str, ...]
    shared: bool = False


_BILLED: Mapping[str, Billed] = {
    "gcp:container/cluster:Cluster": Billed(("resourceLabels",), shared=True),
    "gcp:container/nodePool:NodePool": Billed(("nodeConfig", "resourceLabels")),
    "gcp:storage/bucket:Bucket": Billed(("labels",)),
    "gcp:compute/disk:Disk": Billed(("labels",)),
    "gcp:compute/regionDisk:RegionDisk": Billed(("labels",)),
    "gcp:filestore/instance:Instance": Billed(("labels",)),
    "gcp:lustre/instance:Instance": Billed(("labels",)),
    "aws:eks/cluster:Cluster": Billed(("tags",), shared=True),
    "aws:eks/nodeGroup:NodeGroup": Billed(("tags",)),
    "aws:s3/bucket:Bucket": Billed(("tags",)),
    "aws:s3/bucketV2:BucketV2": Billed(("tags",)),
    "aws:ebs/volume:Volume": Billed(("tags",)),
    "aws:efs/fileSystem:FileSystem": Billed(("tags",)),
    "aws:fsx/lustreFileSystem:LustreFileSystem": Billed(("tags",)),
    "aws:fsx/openZfsFileSystem:OpenZfsFileSystem": Billed(("tags",)),
    "aws:lb/loadBalancer:LoadBalancer": Billed(("tags",), shared=True),
    "aws:ec2/natGateway:NatGateway": Billed(("tags",), shared=True),
}
_EFFECTIVE = ("effectiveLabels", "pulumiLabels", "tagsAll")
"""Where providers show the labels with those that they add themselves."""


def billed(type_: str) -> Billed | None:
    """How a resource of this type is labelled; None for what costs nothing by itself."""
    return _BILLED.get(type_)


def sources(node: Node, kind: Billed) -> tuple[Node, ...]:
    """Where the labels of a resource are, its own first."""
    return (node.at(*kind.labels), *(node[each] for each in _EFFECTIVE))


def of_provider(provider: Node) -> Iterator[str]:
    """Keys of the labels that a provider puts on everything. A provider's settings are JSON in a text."""
    for stated in (provider["defaultLabels"], provider["defaultTags"]):
        parsed = stated
        if stated.text():
            try:
                parsed = Node(json.loads(stated.text()), stated.path)
            except (ValueError, RecursionError):
                continue
        yield from parsed.names()
        yield from parsed["tags"].names()


def plain(key: str) -> str:
    """A key in the one spelling that every cloud allows: cost_center, Cost-Center and CostCenter are the same."""
    return re.sub(r"[^a-z0-9]", "", key.lower())
