"""Which resource of a stack another one refers to: by what a property is computed from, else by what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modelberth.clouds.pool_facts import AnyResource, Registered
from modelberth.node import Node

BY_NAME = (
    ("gcp:container/nodePool:NodePool", "cluster", "gcp:container/cluster:Cluster", "name"),
    ("aws:eks/nodeGroup:NodeGroup", "clusterName", "aws:eks/cluster:Cluster", "name"),
    ("gcp:storage/bucketIAM", "bucket", "gcp:storage/bucket:Bucket", "name"),
    ("aws:s3/bucket", "bucket", "aws:s3/bucket:Bucket", "bucket"),
)
"""Types that begin like this, the field that names another resource, its type and the field with its name."""
_NAMES = ("id", "name", "bucket", "arn", "selfLink")


def refers(resource: Registered, reference: Node, target: Registered) -> bool | None:
    """Whether a property of one resource names another; None where it is only known after apply.

    Where the engine tells what a property is computed from, that decides. Otherwise the last part of what is written
    is compared with the last part of the names of the other (a path, an ARN or a URL ends in them); one that is named
    when it is made has none yet.
    """
    urns = _sources(resource, reference)
    if target.urn and urns:
        return target.urn in urns
    if reference.unknown:
        return None
    said = _last(reference.text())
    names = {_last(target.node[each].text()) for each in _NAMES} - {""}
    return said in names if names else (None if said else False)


def target_of(resource: Registered, reference: Node, among: Iterable[AnyResource]) -> AnyResource | None:
    """The resource that a property names; the only one there is where nobody can tell."""
    candidates: Sequence[AnyResource] = list(among)
    answers = [refers(resource, reference, each) for each in candidates]
    if True in answers:
        return candidates[answers.index(True)]
    return candidates[0] if answers == [None] else None


def of_types(resources: Iterable[AnyResource], *types: str) -> list[AnyResource]:
    """The resources of these types."""
    return [each for each in resources if each.type in types]


def _sources(resource: Registered, reference: Node) -> tuple[str, ...]:
    top = reference.path.partition(".")[0].partition("[")[0]
    return resource.property_dependencies.get(top, ())


def _last(text: str) -> str:
    return text.rpartition("/")[2].rpartition(":")[2]
