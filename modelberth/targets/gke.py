"""What a person says of a cluster on Google Kubernetes Engine."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from modelberth.fields import Misfit, Text
from modelberth.parts import Part
from modelberth.targets.fields import (
    Callers,
    Elsewhere,
    GoogleKey,
    GoogleProject,
    GoogleProjectNumber,
    GoogleRegion,
    GoogleZones,
    SystemPool,
    elsewhere_by_name,
)

_CLUSTER = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_NAMED = "at most 40 lower-case letters, digits and '-', a letter first"
"""cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters, name."""
SYSTEM_DISK_GIB = 100
"""What GKE gives by default."""


class GkeNetwork(Part):
    """A network that exists, with its subnetwork in the cluster's region."""

    network: Text
    """Name of the network."""
    subnetwork: Text
    """Name of the subnetwork."""
    pods_range: Text
    """Secondary range of the subnetwork for pods."""
    services_range: Text
    """Secondary range for services."""


class Gke(Part):
    """A cluster on Google Kubernetes Engine, made or found."""

    project: GoogleProject
    """Project id."""
    project_number: GoogleProjectNumber
    """Number of the project, in quotes: identities of pods and of Google's own agents are spelled with it."""
    region: GoogleRegion
    """Region of the cluster."""
    zones: GoogleZones
    """Zones that node pools may use; accelerators are sold in few of them."""
    cluster: Annotated[Elsewhere, BeforeValidator(elsewhere_by_name, json_schema_input_type=str | Elsewhere)] | None = (
        None
    )
    """A regional cluster that exists, by name or {stack, output}; default: one is made."""
    network: GkeNetwork | None = None
    """A network that exists; default: one is made, private, with a NAT."""
    callers: Callers = ()
    """Networks that may reach the control plane; default: none by address, callers log in at its DNS endpoint."""
    release_channel: Literal["RAPID", "REGULAR", "STABLE", "EXTENDED"] = "REGULAR"
    """Who decides the version: GKE's channel."""
    kms_key: GoogleKey | None = None
    """Cloud KMS key for secrets and weights, its full resource name; default: made with a cluster or a bucket."""
    system: SystemPool = SystemPool(machine_type="n2-standard-4")
    """Nodes for what is not a model."""
    deletion_protection: bool = True
    """Whether the cluster and the key refuse to be deleted until this is false."""

    @property
    def system_disk_gib(self) -> int:
        """Boot disk of a system node."""
        return SYSTEM_DISK_GIB

    @property
    def first_system_nodes(self) -> int:
        """System nodes that a cluster begins with: one in each zone, as has the pool before it that GKE makes first."""
        return len(self.zones)

    @property
    def nats(self) -> int:
        """NATs of a network that is made: one for all zones."""
        return 1

    @model_validator(mode="after")
    def _zones_of_the_region(self) -> Gke:
        strangers = [zone for zone in self.zones if not zone.startswith(f"{self.region}-")]
        if strangers:
            raise ValueError(f"zones: {', '.join(strangers)} lie outside region {self.region}")
        if self.kms_key and (place := self.kms_key.split("/")[3]) != self.region:
            raise Misfit(f"kms_key: is a key in {place}, the cluster is in {self.region}", "a key in its region")
        if self.cluster and self.cluster.name and not _CLUSTER.fullmatch(self.cluster.name):
            raise Misfit(f"cluster: must be a cluster's name: {_NAMED}", "the name alone, as the cloud lists it")
        return self

    @model_validator(mode="after")
    def _found_or_made(self) -> Gke:
        given = [name for name in ("network", "callers", "release_channel", "system") if name in self.model_fields_set]
        if self.cluster and given:
            raise ValueError(f"{', '.join(given)}: belongs to a cluster that is made, not to one that exists")
        return self
