"""What every target offers, whether it creates a cluster or finds one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from modelberth.parts import Monitoring
from modelberth.pools import PoolPlan
from modelberth.spec import Target as TargetSpec
from modelberth.targets.fields import Elsewhere

from ..args import MonitoringArgs


@dataclass(frozen=True)
class Placed:
    """How pods reach the nodes of a decision: labels that select them and taints that they tolerate."""

    node_selector: Mapping[str, pulumi.Input[str]]
    tolerations: tuple[Mapping[str, str], ...]
    zones: tuple[str, ...] = ()
    pools: tuple[pulumi.Resource, ...] = ()
    """Node pools that must be there before pods are awaited."""
    preferred: tuple[tuple[str, str], ...] = ()
    """Labels of nodes that pods take rather than others, the best first."""
    group_resources: Mapping[str, str] = field(default_factory=dict[str, str])
    """What each pod of a copy on several nodes asks for beside its GPUs: resource -> quantity."""


@dataclass(frozen=True)
class MadePool:
    """What a target made of a planned pool. ``selector`` and ``taints`` are those of its nodes alone."""

    resources: tuple[pulumi.Resource, ...]
    selector: Mapping[str, pulumi.Input[str]]
    taints: tuple[Mapping[str, str], ...] = ()
    preferred: tuple[tuple[str, str], ...] = ()
    """Labels of nodes that pods take rather than others, the best first; empty where the target orders them."""
    group_resources: Mapping[str, str] = field(default_factory=dict[str, str])
    """What each pod of a copy on several nodes asks for beside its GPUs, spelled as the API server gives it back."""


@dataclass(frozen=True)
class Bucket:
    """A bucket with weights. ``address`` is what engines read it by, such as scheme://name."""

    name: pulumi.Output[str]
    address: pulumi.Output[str]
    made: tuple[pulumi.Resource, ...] = ()
    prefix: str = ""
    """Folder that everything lies in; empty: the bucket itself."""


@dataclass(frozen=True)
class Attached:
    """A bucket as files in a pod: the volume named ``weights``, and annotations that its driver asks pods for."""

    volume: k8s.core.v1.VolumeArgs
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    made: tuple[pulumi.Resource, ...] = ()
    """What was made for it and must be there before pods."""


@dataclass(frozen=True)
class IdentityServer:
    """Where pods get their identity: a link-local address that a NetworkPolicy must let through."""

    cidr: str
    ports: tuple[int, ...]


class ManagedClusterArgs(TypedDict):
    """What every cluster that a cloud runs is told beside its own part."""

    namespace: NotRequired[str]
    """Namespace of the services; it is created."""
    storage_class: NotRequired[str]
    """StorageClass of weights volumes; default: the target's own choice."""
    labels: NotRequired[dict[str, str]]
    """Labels for every Kubernetes object."""
    billing: NotRequired[dict[str, str]]
    """Labels or tags for everything that is billed."""
    pod_annotations: NotRequired[dict[str, str]]
    """Annotations for every pod."""
    monitoring: NotRequired[MonitoringArgs]
    """What the cluster has to watch services with."""


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
    zones: tuple[str, ...] = ()
    """Zones that pools may use; empty where nobody said."""
    spec: TargetSpec
    """The same as a stack file would say it: what services on this target are planned by."""
    makes_pools = False
    """Whether node pools are created, rather than found."""
    identity_servers: tuple[IdentityServer, ...] = ()
    """Where pods that read a bucket get their identity."""

    @property
    def exports(self) -> Mapping[str, pulumi.Output[str]]:
        """What another stack needs to use the same cluster."""
        return {}

    def node_pool(self, planned: PoolPlan, parent: pulumi.Resource) -> MadePool:
        """Make the node pools of a plan, one for each way to get machines."""
        raise NotImplementedError

    def bucket(
        self, name: str, existing: pulumi.Input[str] | None, labels: Mapping[str, str], parent: pulumi.Resource
    ) -> Bucket:
        """A private bucket for weights that outlives the stack, or one that ``existing`` names."""
        raise NotImplementedError

    def may_read(
        self, name: str, bucket: Bucket, account: pulumi.Input[str], parent: pulumi.Resource, *, write: bool = False
    ) -> Sequence[pulumi.Resource]:
        """Let pods of one ServiceAccount read a bucket, or with ``write`` fill it, and nothing else."""
        raise NotImplementedError

    def attach(self, name: str, bucket: Bucket, parent: pulumi.Resource, *, read_only: bool) -> Attached:
        """A bucket as files in pods."""
        raise NotImplementedError


def found_cluster(of: Elsewhere | None, path: str) -> pulumi.Input[str] | None:
    """The name of a cluster that exists, as the spec says it at ``path`` or another stack exports it; None for none."""
    if of is None or of.stack is None:
        return of and of.name
    return pulumi.StackReference(of.stack).outputs.apply(lambda outputs: _exported(of, outputs, path))


def _exported(of: Elsewhere, outputs: Mapping[str, Any], path: str) -> str:
    if of.output not in outputs:
        known = ", ".join(sorted(outputs)) or "none"
        raise pulumi.RunError(f"{path}.output: stack {of.stack} has no output {of.output}; it has: {known}")
    return outputs[of.output]


def namespaced(target: Target, name: str, namespace: str, opts: pulumi.ResourceOptions) -> k8s.core.v1.Namespace:
    """The namespace of the services, at the restricted pod security level."""
    return k8s.core.v1.Namespace(
        f"{name}-namespace",
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=namespace,
            labels={"pod-security.kubernetes.io/enforce": "restricted", **target.labels},
        ),
        opts=opts,
    )
