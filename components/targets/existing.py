"""A cluster that exists: reached by a kubeconfig, which may be computed; nodes are selected, never created."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from modelberth import parse
from modelberth.parts import Monitoring
from modelberth.targets import Target as TargetSpec

from ..args import MonitoringArgs
from ..naming import token
from ..options import child, refused, register
from .base import Target, namespaced


class ExistingClusterArgs(TypedDict):
    """How to reach the cluster and what to call things in it."""

    kubeconfig: NotRequired[pulumi.Input[str]]
    """Path or content of a kubeconfig; may be computed by another resource."""
    context: NotRequired[str]
    """Context of the kubeconfig."""
    namespace: NotRequired[str]
    """Namespace of the services; it is created."""
    node_labels: NotRequired[str]
    """How nodes name their accelerators: gcp, aws or generic."""
    storage_class: NotRequired[str]
    """StorageClass of weights volumes."""
    labels: NotRequired[dict[str, str]]
    """Labels for every object."""
    pod_annotations: NotRequired[dict[str, str]]
    """Annotations for every pod."""
    monitoring: NotRequired[MonitoringArgs]
    """What the cluster has to watch services with."""


class ExistingCluster(Target):
    """One provider, one namespace with the restricted pod security level."""

    def __init__(self, name: str, args: ExistingClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        self.monitoring = monitoring_of(args)
        super().__init__(token("ExistingCluster"), name, {}, opts)
        self.spec = spec_of(args)
        self.node_labels = self.spec.node_labels.value
        self.storage_class = args.get("storage_class")
        self.labels: Mapping[str, str] = args.get("labels", {})
        self.pod_annotations: Mapping[str, str] = args.get("pod_annotations", {})
        self.provider = k8s.Provider(
            f"{name}-kubernetes",
            kubeconfig=args.get("kubeconfig"),
            context=args.get("context"),
            enable_server_side_apply=True,
            opts=child(self),
        )
        own = child(self, provider=self.provider)
        namespace = namespaced(self, name, args.get("namespace", "modelberth"), own)
        self.namespace = namespace.metadata.name  # type: ignore[reportAttributeAccessIssue]
        register(self)


def spec_of(args: ExistingClusterArgs) -> TargetSpec:
    """What a stack file would say of this cluster; a mistake is refused before anything is registered."""
    said = {"kind": "existing", "node_labels": args.get("node_labels", "generic")}
    return refused(lambda: parse.part(TargetSpec, said, "target"))


def monitoring_of(args: ExistingClusterArgs) -> Monitoring:
    """What the arguments say about monitoring; a mistake is refused before anything is registered."""
    return refused(lambda: parse.part(Monitoring, dict(args.get("monitoring", {})), "monitoring"))
