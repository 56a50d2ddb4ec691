"""What a person says of a cluster on Amazon Elastic Kubernetes Service."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from modelberth.fields import Misfit
from modelberth.parts import Part
from modelberth.targets.fields import (
    AwsAccount,
    AwsRegion,
    AwsZone,
    AwsZones,
    Callers,
    Elsewhere,
    IamArn,
    KmsArn,
    KubernetesVersion,
    RoleArn,
    SubnetId,
    SystemPool,
    VpcId,
    elsewhere_by_name,
)

PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
"""Partitions beside aws by what their regions begin with (docs.aws.amazon.com/general, ARNs)."""
SYSTEM_DISK_GIB = 50
"""Boot disk of a system node."""


_CLUSTER = re.compile(r"[A-Za-z0-9][-_A-Za-z0-9]{0,99}")
_NAMED = "at most 100 letters, digits, '-' and '_', a letter or digit first"
"""docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html, name."""


class EksNetwork(Part):
    """A VPC that exists, with a private subnet in each zone."""

    vpc: VpcId
    """Id of the VPC."""
    subnets: dict[AwsZone, SubnetId] = Field(min_length=1)
    """Zone -> id of its private subnet."""

    @model_validator(mode="after")
    def _each_its_own(self) -> EksNetwork:
        ids = list(self.subnets.values())
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise Misfit(f"subnets: {', '.join(twice)} lies in one zone, and is named for several", "one for each zone")
        return self


class Eks(Part):
    """A cluster on Amazon Elastic Kubernetes Service, made or found."""

    account: AwsAccount
    """Account id, in quotes; any other account is refused."""
    region: AwsRegion
    """Region of the cluster."""
    zones: AwsZones
    """Zones that node pools may use; a cluster that is made needs two."""
    cluster: Annotated[Elsewhere, BeforeValidator(elsewhere_by_name, json_schema_input_type=str | Elsewhere)] | None = (
        None
    )
    """A cluster that exists, by name or {stack, output}; default: one is made."""
    network: EksNetwork | None = None
    """A network that exists; default: one is made, private, with a NAT. Needed with a cluster that exists."""
    node_role: RoleArn | None = None
    """Role of the nodes of a cluster that exists; default: one is made."""
    version: KubernetesVersion = "1.35"
    """Minor version of Kubernetes, in quotes."""
    administrators: tuple[IamArn, ...] = ()
    """Roles that administrate the cluster, the deploying one among them; a cluster that is made needs one."""
    callers: Callers = ()
    """Networks that may reach the control plane from outside; default: none, whoever deploys is inside the network."""
    kms_key: KmsArn | None = None
    """KMS key for secrets, logs and weights, that of a bucket that exists too; default: one is made with a cluster or a
    bucket."""
    system: SystemPool = SystemPool(machine_type="m7i.xlarge", min_nodes=2)
    """Nodes for what is not a model."""
    provisioner: Literal["groups", "cluster-autoscaler", "karpenter"] = "groups"
    """Who makes nodes for models: managed node groups of as many as the services need at most, groups that a Cluster
    Autoscaler of yours scales, or a Karpenter of yours."""
    device_plugin: bool = True
    """Whether NVIDIA's device plugin is installed; false where something else does it."""
    efa_plugin: bool = True
    """Whether the device plugin of EFA is installed where nodes share a copy of a model; false where something else
    does it."""
    deletion_protection: bool = True
    """Whether the cluster refuses to be deleted until this is false."""

    @property
    def partition(self) -> str:
        """Partition of the region, as ARNs spell it."""
        return next((name for start, name in PARTITIONS.items() if self.region.startswith(start)), "aws")

    @property
    def system_disk_gib(self) -> int:
        """Boot disk of a system node."""
        return SYSTEM_DISK_GIB

    @property
    def first_system_nodes(self) -> int:
        """System nodes that a cluster begins with."""
        return self.system.min_nodes

    @property
    def nats(self) -> int:
        """NATs of a network that is made: one in each zone."""
        return len(self.zones)

    @model_validator(mode="after")
    def _zones_of_the_region(self) -> Eks:
        strangers = [zone for zone in self.zones if not zone.startswith(self.region)]
        if strangers:
            raise ValueError(f"zones: {', '.join(strangers)} lie outside region {self.region}")
        missing = [zone for zone in self.zones if self.network and zone not in self.network.subnets]
        if missing:
            raise ValueError(f"network.subnets: no subnet is named for {', '.join(missing)}")
        if self.kms_key and (place := self.kms_key.split(":")[3]) != self.region:
            raise Misfit(f"kms_key: is a key in {place}, the cluster is in {self.region}", "a key in its region")
        if self.cluster and self.cluster.name and not _CLUSTER.fullmatch(self.cluster.name):
            raise Misfit(f"cluster: must be a cluster's name: {_NAMED}", "the name alone, as the cloud lists it")
        return self

    @model_validator(mode="after")
    def _found_or_made(self) -> Eks:
        if self.cluster is None:
            if len(self.zones) < 2:
                raise ValueError("zones: a cluster that is made has subnets in at least two zones; pools may name one")
            if not self.administrators:
                raise ValueError("administrators: name the role that deploys, or nobody could reach the cluster")
            return self
        if self.network is None:
            raise ValueError("network: name the VPC and the subnets of the cluster that exists")
        given = [name for name in ("version", "administrators", "callers", "system") if name in self.model_fields_set]
        if given:
            raise ValueError(f"{', '.join(given)}: belongs to a cluster that is made, not to one that exists")
        return self
