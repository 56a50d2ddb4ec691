"""Where services run, as a person says it: a cluster that exists, or one of a cloud's."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, model_validator

from modelberth.fields import LabelKey, Name, ObjectName, Text, own_namespace
from modelberth.parts import Part
from modelberth.targets.eks import Eks
from modelberth.targets.gke import Gke

__all__ = ["Eks", "Gke", "NodeLabels", "Target"]


class NodeLabels(StrEnum):
    """How the nodes of a cluster name their accelerators."""

    GCP = "gcp"
    AWS = "aws"
    GENERIC = "generic"


_OF_CLOUD = {"gke": NodeLabels.GCP, "eks": NodeLabels.AWS}
_OF_EXISTING = ("kubeconfig", "context", "node_labels", "preflight")


def _labelled_by_its_cloud(value: Any) -> Any:
    """Nodes of a managed cluster are labelled its cloud's way: nobody states it."""
    if isinstance(value, Mapping):
        stated = cast("Mapping[str, Any]", value)
        dialect = _OF_CLOUD.get(str(stated.get("kind")))
        if dialect and "node_labels" not in stated:
            return {**stated, "node_labels": dialect.value}
    return value


class Target(Part):
    """Where services run."""

    kind: Literal["existing", "gke", "eks"]
    """existing: a cluster that is there, reached by a kubeconfig; gke, eks: one of that cloud, made or found."""
    gke: Gke | None = None
    """The cluster, for kind gke."""
    eks: Eks | None = None
    """The cluster, for kind eks."""
    kubeconfig: Text | None = None
    """Path of the kubeconfig, relative to the project; default: the usual places."""
    context: Text | None = None
    """Context of the kubeconfig."""
    namespace: Annotated[Name, AfterValidator(own_namespace)] = "modelberth"
    """Namespace of the services; it is created."""
    node_labels: NodeLabels = NodeLabels.GENERIC
    """How the nodes of a cluster that exists name their accelerators; those of gke and eks do it their cloud's way."""
    storage_class: ObjectName | None = None
    """StorageClass of weights volumes; default: the cluster's default class."""
    pod_annotations: dict[LabelKey, Text] = Field(default_factory=dict)
    """Annotations for every pod."""
    preflight: bool = True
    """Whether an existing cluster is asked what it lacks before anything is created."""

    @model_validator(mode="before")
    @classmethod
    def _dialect(cls, value: Any) -> Any:
        return _labelled_by_its_cloud(value)

    @model_validator(mode="after")
    def _one_cluster(self) -> Target:
        for kind in _OF_CLOUD:
            given = getattr(self, kind) is not None
            if given != (self.kind == kind):
                raise ValueError(
                    f"{kind}: is required for kind {kind}" if self.kind == kind else f"{kind}: belongs to kind {kind}"
                )
        if self.kind in _OF_CLOUD:
            given = [name for name in _OF_EXISTING if name in self.model_fields_set]
            if self.node_labels is _OF_CLOUD[self.kind] and "node_labels" in given:
                given.remove("node_labels")
            if given:
                raise ValueError(f"{', '.join(given)}: belongs to kind existing")
        return self

    @property
    def makes_pools(self) -> bool:
        """Whether node pools are created, rather than found."""
        return self.kind in _OF_CLOUD

    @property
    def pools_grow(self) -> bool:
        """Whether nodes come when pods wait for them, up to a pool's most: not where a number of them is made."""
        return self.eks is None or self.eks.provisioner != "groups"

    @property
    def managed(self) -> Gke | Eks | None:
        """What is said of a cloud's cluster; None for one that is only reached."""
        return self.gke or self.eks

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones that pools may use, as far as the target says."""
        return self.managed.zones if self.managed else ()
