"""What clouds' own fields say about pools and clusters, whatever cloud they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelberth.clouds import aws_remarks, gcp_remarks
from modelberth.clouds.pool_facts import Registered
from modelberth.clouds.remarks import About, Remark

__all__ = ["About", "Remark", "linked_remarks", "remarks"]


def remarks(resource: Registered, *about: About) -> Iterator[Remark]:
    """What is to be said about one resource, of these subjects."""
    for cloud in (gcp_remarks, aws_remarks):
        if resource.type in cloud.TYPES:
            yield from (remark for remark in cloud.remarks(resource) if remark.about in about)


def linked_remarks(resource: Registered, others: Sequence[Registered], *about: About) -> Iterator[Remark]:
    """What is to be said about one resource only in view of the others, of these subjects."""
    if resource.type in gcp_remarks.TYPES:
        yield from (remark for remark in gcp_remarks.linked_remarks(resource, others) if remark.about in about)
