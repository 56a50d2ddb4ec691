"""What pods on nodes that share a copy of a model ask for, to reach each other over what joins those nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelberth.clouds import aws_fabric
from modelberth.targets import Target

RESOURCES = frozenset({aws_fabric.EFA})
"""Devices of such networks: pods ask for them beside what they compute with."""


@dataclass(frozen=True)
class Devices:
    """What one pod asks for (resource -> quantity, spelled as the API server gives it back), and what its image must
    have to use it.
    """

    resources: Mapping[str, str]
    libraries: str


def devices(target: Target, machine_type: str) -> Devices | None:
    """What each pod of a group asks for on nodes that the target makes for groups; None where there is nothing to ask
    for.
    """
    if target.eks is None:
        return None
    resources = aws_fabric.pod_resources(machine_type, pages=target.eks.provisioner != "karpenter")
    return Devices(resources, aws_fabric.LIBRARIES) if resources else None


__all__ = ["RESOURCES", "Devices", "devices"]
