"""What weights add to a pod: a volume, variables, annotations, and where the pod's identity is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from .targets.base import Bucket, Target

BUCKET = "MODELBERTH_BUCKET"
"""Name of the variable that holds a bucket's name, which is known only when the bucket is there."""


@dataclass(frozen=True)
class Mounted:
    """One store in the pods of one service. ``volume`` is named ``weights``; None where nothing is mounted.

    ``reads`` is whether the pods themselves reach a bucket, and so their identity's server.
    """

    volume: k8s.core.v1.VolumeArgs | None = None
    read_only: bool = True
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    after: tuple[pulumi.Resource, ...] = ()
    reads: bool = False


NOTHING = Mounted()
"""Pods that download for themselves."""


def of_claim(claim: pulumi.Input[str], *, read_only: bool) -> Mounted:
    """A claim that is mounted."""
    source = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=claim, read_only=read_only)
    return Mounted(k8s.core.v1.VolumeArgs(name="weights", persistent_volume_claim=source), read_only)


def of_bucket(
    name: str,
    bucket: Bucket,
    account: pulumi.Input[str],
    target: Target,
    parent: pulumi.Resource,
    *,
    read_only: bool,
    files: bool,
) -> Mounted:
    """A bucket that pods of one ServiceAccount may read, or fill; as ``files``, or read by the engine itself."""
    granted = tuple(target.may_read(name, bucket, account, parent, write=not read_only))
    after = (*bucket.made, *granted)
    if not files:
        return Mounted(None, read_only, {}, {BUCKET: bucket.name}, after, reads=True)
    attached = target.attach(name, bucket, parent, read_only=read_only)
    return Mounted(attached.volume, read_only, attached.annotations, {}, (*after, *attached.made), reads=True)
