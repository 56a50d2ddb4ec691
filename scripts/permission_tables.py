"""What a deployer must be allowed for each target, for docs/targets: from the types that its stacks can register.

A type that no row speaks of stops the generator, and so does a command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import registered_types

from modelberth.catalog import catalog
from modelberth.clouds import aws_limits, aws_permissions, commands, gcp_limits, gcp_permissions, kinds
from modelberth.clouds.quotas import QuotaNeed, needs
from modelberth.names import Capacity
from modelberth.targets import Eks, Gke

GKE = Gke(project="example-dev", project_number="123456789012", region="us-central1", zones=("us-central1-a",))
EKS = Eks(
    account="123456789012",
    region="us-east-1",
    zones=("us-east-1a", "us-east-1b"),
    administrators=("arn:aws:iam::123456789012:role/deployer",),
)
ELSEWHERE = {"eks": ".gke.io"}
"""Target -> end of the API groups whose objects nobody carries out there."""
Roles = Callable[[Iterable[str]], str]


def registered(target: str) -> frozenset[str]:
    """Every type that stacks of a target can register and something there carries out."""
    types = registered_types.registered(target)
    return frozenset(each for each in types if f"{ELSEWHERE.get(target)}/" not in each)


def _yaml(text: str) -> str:
    return f"```yaml\n{text}```"


def _custom_role(types: Iterable[str]) -> str:
    return _yaml(gcp_permissions.custom_role(types))


def _role_in_clusters(types: Iterable[str]) -> str:
    about = "Makes, changes and removes the Kubernetes objects of a modelberth stack in every cluster of the project."
    return _yaml(gcp_permissions.role("modelberth deployer in clusters", about, gcp_permissions.objects(types)))


def _granting_role(types: Iterable[str]) -> str:
    about = "Grants roles of the project. Bind it with its condition only."
    wanted = (each for each in gcp_permissions.permissions(types) if each in gcp_permissions.GRANTS)
    return _yaml(gcp_permissions.role("modelberth grants", about, wanted))


def _condition(types: Iterable[str]) -> str:
    roles = registered_types.constant("components/targets/gke_cluster.py", "NODE_ROLES")
    return _yaml(gcp_permissions.condition(roles))  # type: ignore[reportArgumentType]


def _policies(types: Iterable[str]) -> str:
    return "\n\n".join(f"```json\n{each}\n```" for each in aws_permissions.policies(types))


def _in_the_cluster(types: Iterable[str]) -> str:
    return _yaml(kinds.cluster_roles(types))


def _listed(allowed: Iterable[str]) -> str:
    return "\n".join(f"- `{each}`" for each in allowed)


def _to_recover(types: Iterable[str]) -> str:
    return _listed(commands.to_recover(types))


def _quotas(cloud: str) -> tuple[QuotaNeed, ...]:
    """Every quota that a machine of a cloud counts against."""
    machines = [each for each in catalog().machines() if each.cloud == cloud]
    return tuple(need for each in machines for way in Capacity for need in needs(each, 1, way) or ())


def _to_ask_google() -> str:
    return _listed(commands.to_run(map(str, gcp_limits.asks(GKE, _quotas("gcp")))))


def _to_ask_amazon() -> str:
    return _listed(commands.to_run(map(str, aws_limits.asks(EKS, _quotas("aws")))))


def _written(target: str, roles: Roles) -> str:
    return roles(registered(target))


TABLES: dict[str, Callable[[], str]] = {
    "cloud permissions gke": partial(_written, "gke", _custom_role),
    "cloud grants gke": partial(_written, "gke", _granting_role),
    "condition of grants gke": partial(_written, "gke", _condition),
    "cluster permissions by iam gke": partial(_written, "gke", _role_in_clusters),
    "to recover gke": partial(_written, "gke", _to_recover),
    "to ask quotas gke": _to_ask_google,
    "cloud permissions eks": partial(_written, "eks", _policies),
    "to ask quotas eks": _to_ask_amazon,
    **{
        f"cluster permissions {target}": partial(_written, target, _in_the_cluster)
        for target in registered_types.TARGETS
    },
}
