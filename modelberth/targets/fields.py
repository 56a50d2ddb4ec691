"""Field types that targets share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from modelberth.fields import Cidr, Misfit, Text, Whole, each_once
from modelberth.parts import Part


def _matching(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value):
            return value
        raise ValueError(f"must be {what}")

    return AfterValidator(check)


GoogleProject = Annotated[
    Text,
    _matching(
        r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]", "a project id: 6 to 30 lower-case letters, digits and '-'"
    ),
]
"""cloud.google.com/resource-manager/docs/creating-managing-projects: 6 to 30 characters, begins with a letter."""
GoogleProjectNumber = Annotated[Text, _matching(r"\d{6,20}", "the project's number, as text of digits")]
GoogleRegion = Annotated[Text, _matching(r"[a-z]+-[a-z]+\d{1,2}", "a region, such as us-central1")]
GoogleZone = Annotated[Text, _matching(r"[a-z]+-[a-z]+\d{1,2}-[a-z]", "a zone, such as us-central1-a")]
AwsAccount = Annotated[Text, _matching(r"\d{12}", "an account id, as text of 12 digits")]
AwsRegion = Annotated[Text, _matching(r"[a-z]{2}(-[a-z]+)+-\d", "a region, such as eu-central-1")]
AwsZone = Annotated[
    Text,
    _matching(
        r"[a-z]{2}(-[a-z]+)+-\d[a-g]", "an availability zone, such as eu-central-1a (local zones are not supported)"
    ),
]
SubnetId = Annotated[Text, _matching(r"subnet-[0-9a-f]{8,17}", "a subnet's id")]
VpcId = Annotated[Text, _matching(r"vpc-[0-9a-f]{8,17}", "a VPC's id")]
KubernetesVersion = Annotated[Text, _matching(r"1\.\d{2}", "a minor version as text, such as '1.35'")]
"""Quoted in YAML: 1.30 without quotes is the number 1.3."""


IamArn = Annotated[
    Text,
    _matching(r"arn:aws[-a-z]*:iam::\d{12}:(role|user)/\S+", "a role's or user's ARN, arn:aws:iam::ACCOUNT:role/NAME"),
]
"""docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html: neither groups nor sessions of roles."""
RoleArn = Annotated[
    Text, _matching(r"arn:aws[-a-z]*:iam::\d{12}:role/\S+", "a role's ARN, arn:aws:iam::ACCOUNT:role/NAME")
]
KmsArn = Annotated[
    Text,
    _matching(r"arn:aws[-a-z]*:kms:[a-z0-9-]+:\d{12}:key/\S+", "a key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID"),
]
GoogleKey = Annotated[
    Text,
    _matching(
        r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+",
        "a key's full name, projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY",
    ),
]


class Elsewhere(Part):
    """A cluster that exists: its name, or the output of another stack that holds it."""

    name: Text | None = None
    """Name of the cluster."""
    stack: Text | None = None
    """Stack whose outputs name it: ORGANIZATION/PROJECT/STACK."""
    output: Text = "cluster_name"
    """Output of that stack which holds the name; stacks of this program export cluster_name."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Elsewhere:
        if (self.name is None) == (self.stack is None):
            raise Misfit(
                "names a cluster, or the stack that has it: one of the two", "cluster: NAME, or {stack: STACK}"
            )
        return self


def elsewhere_by_name(value: object) -> object:
    """A bare name is short for ``{name: ...}``."""
    return {"name": value} if isinstance(value, str) else value


class SystemPool(Part):
    """Nodes for what is not a model: DNS, controllers, metrics."""

    machine_type: Text
    """Machine type."""
    min_nodes: Whole = 1
    """Fewest nodes."""
    max_nodes: Whole = 4
    """Most nodes."""

    @model_validator(mode="after")
    def _bounds(self) -> SystemPool:
        if self.min_nodes > self.max_nodes:
            raise Misfit(f"min_nodes: {self.min_nodes} is more than max_nodes, {self.max_nodes}", "at most max_nodes")
        return self


Callers = Annotated[tuple[Cidr, ...], Field(max_length=50)]
"""Networks that may reach a control plane."""

GoogleZones = Annotated[tuple[GoogleZone, ...], AfterValidator(each_once), Field(min_length=1)]
AwsZones = Annotated[tuple[AwsZone, ...], AfterValidator(each_once), Field(min_length=1)]
