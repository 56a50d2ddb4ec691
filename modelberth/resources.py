"""What is judged: one resource as a program registers it, a manifest states it or an exported stack recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from modelberth.manifests import Workload, pod_templates, workloads
from modelberth.node import Node

KUBERNETES = "kubernetes:"
HELM_RELEASE = "kubernetes:helm.sh/v3:Release"
_OTHER_GROUPS = ("helm.sh", "kustomize", "yaml")
"""What the Kubernetes provider has beside objects of an API: releases, and components that register objects."""
PART_OF = "app.kubernetes.io/part-of"
OURS = "modelberth"


@dataclass(frozen=True)
class Options:
    """Resource options that rules read. ``retain_on_delete`` is None where it is not told: a policy pack cannot see it.

    Timeouts are in seconds, None where the provider's default holds. ``provider`` is the URN of an explicit or default
    provider, empty where it is not told.
    """

    protect: bool | None = None
    retain_on_delete: bool | None = None
    create_timeout_s: float | None = None
    update_timeout_s: float | None = None
    provider: str = ""


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource. ``properties`` are inputs as plain data, with :data:`~modelberth.observed.UNKNOWN` where a value is
    only known after apply.

    ``type`` is a Pulumi type token ("kubernetes:apps/v1:Deployment", "gcp:container/nodePool:NodePool"), also for what
    comes from a file. ``name`` is the logical name, ``parent`` a URN, ``dependencies`` are URNs, ``place`` is the file
    it comes from. ``from_program`` is False for manifests read from files: they have no options.
    """

    type: str
    name: str
    properties: Mapping[str, Any]
    urn: str = ""
    options: Options = Options()
    parent: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    place: str = ""
    from_program: bool = True

    @cached_property
    def kind(self) -> str:
        """The last part of the type: "Deployment", "NodePool"."""
        return self.type.rpartition(":")[2]

    @property
    def group(self) -> str:
        """The Kubernetes API group of an object ("apps", "core", "keda.sh"), empty for anything else."""
        return self.api_version.rpartition("/")[0]

    @property
    def api_version(self) -> str:
        """The API version as the type has it ("apps/v1", "core/v1"), empty for what is no Kubernetes object."""
        return self.type.split(":")[1] if self.is_kubernetes else ""

    @cached_property
    def is_kubernetes(self) -> bool:
        """Whether it is a Kubernetes object (no provider, no Helm release)."""
        if not self.type.startswith(KUBERNETES) or self.type.count(":") != 2:
            return False
        return self.type.split(":")[1].partition("/")[0] not in _OTHER_GROUPS

    @property
    def node(self) -> Node:
        """Its properties, to be read without raising."""
        return Node(self.properties, "")

    @cached_property
    def labels(self) -> Node:
        """The labels of a Kubernetes object."""
        return self.node.at("metadata", "labels")

    @cached_property
    def namespace(self) -> Node:
        """The namespace of a Kubernetes object; nothing stated means the provider's or kubectl's."""
        return self.node.at("metadata", "namespace")

    @cached_property
    def object_name(self) -> Node:
        """``metadata.name``; nothing stated means that it is made up when the object is created."""
        return self.node.at("metadata", "name")

    @property
    def shown_name(self) -> str:
        """The name by which a person knows it: "namespace/name" of a Kubernetes object, else its logical name."""
        if not self.is_kubernetes:
            return self.name
        namespace = "?" if self.namespace.unknown else self.namespace.text() or "default"
        return f"{namespace}/{self.object_name.text() or self.name}"

    @property
    def subject(self) -> str:
        """Kind and name, as a person knows it: "Deployment models/chat"."""
        return f"{self.kind} {self.shown_name}"

    @cached_property
    def ours(self) -> bool:
        """Whether our components wrote it: the rules about what they always do hold for it."""
        return self.labels[PART_OF].text() == OURS

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that it makes."""
        if not self.is_kubernetes:
            return ()
        serving = self.workloads
        return tuple(
            Pod(self, role, template, tuple(w for w in serving if _inside(w.path, template["spec"].path)))
            for role, template in pod_templates(self.node, self.kind)
        )

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """Its containers that serve a model."""
        return workloads({**self.properties, "kind": self.kind}) if self.is_kubernetes else ()


@dataclass(frozen=True, eq=False)
class Pod:
    """The pods of one template. ``serving`` are its containers that serve a model; workers of a group have none."""

    resource: Resource
    role: str
    template: Node
    serving: tuple[Workload, ...]

    @cached_property
    def spec(self) -> Node:
        """The pod's specification."""
        return self.template["spec"]

    @cached_property
    def labels(self) -> Node:
        """The labels of the pods."""
        return self.template.at("metadata", "labels")

    @cached_property
    def containers(self) -> tuple[Node, ...]:
        """The containers that run together; one that is unknown as a whole is among them."""
        return tuple(self.spec["containers"].each())

    @cached_property
    def init_containers(self) -> tuple[Node, ...]:
        """Those that run before, and sidecars that start before."""
        return tuple(self.spec["initContainers"].each())

    @cached_property
    def all_containers(self) -> tuple[Node, ...]:
        """Every container, as rules about security see them."""
        return (*self.containers, *self.init_containers)

    @property
    def serves(self) -> bool:
        """Whether it serves a model, or works for one that does (a worker of a group)."""
        return bool(self.resource.workloads)

    def container_at(self, workload: Workload) -> Node:
        """The container of a workload."""
        return next((c for c in self.containers if c.path == workload.path), Node(None, workload.path))


def _inside(path: str, spec: str) -> bool:
    return path == spec or path.startswith((f"{spec}.", f"{spec}[")) or spec.startswith(path)
