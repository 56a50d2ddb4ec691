"""What clouds' own fields say about pools and clusters, whatever cloud they are of."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.clouds import aws_remarks, gcp_remarks
from modelberth.clouds.pool_facts import Registered
from modelberth.clouds.remarks import About, Remark

__all__ = ["About", "Remark", "remarks"]


def remarks(resource: Registered, *about: About) -> Iterator[Remark]:
    """What is to be said about one resource, of these subjects."""
    for cloud in (gcp_remarks, aws_remarks):
        if resource.type in cloud.TYPES:
            yield from (remark for remark in cloud.remarks(resource) if remark.about in about)
