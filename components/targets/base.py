"""What every target offers, whether it creates a cluster or finds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from modelberth.parts import Monitoring


@dataclass(frozen=True)
class Placed:
    """How pods reach the nodes of a decision: labels that select them and taints that they tolerate."""

    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, str], ...]
    zones: tuple[str, ...] = ()


class Target(pulumi.ComponentResource):
    """A cluster with a namespace for services and one Kubernetes provider for everything in it."""

    namespace: pulumi.Output[str]
    """Namespace of the services."""

    provider: k8s.Provider
    node_labels: str
    storage_class: str | None
    labels: Mapping[str, str]
    pod_annotations: Mapping[str, str]
    monitoring: Monitoring = Monitoring()
    """What the cluster has to watch services with."""
