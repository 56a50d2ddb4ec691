"""What is known about the labels of nodes, whatever cloud they are of: values, how zones are called, whose nodes."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import cache

from modelberth.catalog import catalog
from modelberth.clouds import aws, gcp, generic
from modelberth.clouds.base import INSTANCE_TYPE, accelerator_names

MANAGED = ("cloud.google.com/", "eks.amazonaws.com/", "karpenter.k8s.aws/")
"""Whose labels nodes of managed clusters have: their API servers add the toleration of a device to pods that request
it."""
_ZONES = {
    gcp.ACCELERATOR: re.compile(r"[a-z]+-[a-z]+\d+-[a-z]"),
    aws.GPU_NAME: re.compile(r"[a-z]{2}(-[a-z]+)+-\d[a-z]|[a-z]{2}(-[a-z]+)+-\d-[a-z]+-\d[a-z]"),
}


def may_be_zone(text: str, labels: Container[str]) -> bool:
    """Whether a zone may be called so where nodes have these labels."""
    patterns = (pattern for label, pattern in _ZONES.items() if label in labels)
    return all(pattern.fullmatch(text) for pattern in patterns)


@cache
def known_values() -> Mapping[str, frozenset[str]]:
    """Label -> every value that nodes are known to have in it."""
    rows = accelerator_names().values()
    return {
        gcp.ACCELERATOR: frozenset(name for row in rows for name in (*row.gke, *row.gke_machines.values())),
        aws.GPU_NAME: frozenset(row.karpenter for row in rows if row.karpenter),
        generic.PRODUCT: frozenset(name for row in rows for name in row.products),
        INSTANCE_TYPE: frozenset(machine.id for machine in catalog().machines()),
    }
