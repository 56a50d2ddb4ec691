"""The StorageClass of volumes on EKS, which brings none that is encrypted, fast and a default."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from .eks_keys import Surroundings
from .names import limited

IOPS, MIB_PER_S = 4000, 1000
"""MiB that a volume reads per second, and the operations that it needs for them: four for each. The 125 MiB/s that come
with gp3 read the weights of an 8B model in two minutes (docs.aws.amazon.com/ebs, General Purpose SSD volumes).
"""


def fast(around: Surroundings, opts: pulumi.ResourceOptions) -> str:
    """Name of a class of encrypted gp3 volumes, made where pods are, that grow and carry the stack's tags."""
    name = limited(f"{around.prefix}-gp3", 63)
    tags = {f"tagSpecification_{n}": f"{key}={value}" for n, (key, value) in enumerate(around.labels.items(), 1)}
    k8s.storage.v1.StorageClass(
        f"{around.name}-volumes",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name),
        provisioner="ebs.csi.aws.com",
        parameters={
            "type": "gp3",
            "encrypted": "true",
            "iops": str(IOPS),
            "throughput": str(MIB_PER_S),
            **tags,
        },
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        reclaim_policy="Delete",
        opts=opts,
    )
    return name
