"""What a deployer is allowed on Google Cloud, as custom roles."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .kinds import BUILT_IN, Rule, access, kinds
from .permissions import needs

ACT_AS = "iam.serviceAccounts.actAs"
GRANTS = ("resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy")
"""What lets its holder grant roles of the project, every role that no condition takes away."""
CONDITION = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly({roles})"
"""Which roles may be granted and taken (cloud.google.com/iam/docs/setting-limits-on-granting-roles)."""
IN_CLUSTERS = {
    "get": "get",
    "list": "list",
    "watch": "list",
    "create": "create",
    "patch": "update",
    "delete": "delete",
}
"""Verbs of Kubernetes as IAM spells them (cloud.google.com/kubernetes-engine/docs/reference/api-permissions)."""
OTHERS = "thirdPartyObjects"
"""What IAM calls custom resources of every kind: it tells none from another."""
_NO_KINDS = {"endpoints": "endpoints", "events": "events", "replicasets": "replicaSets"}
"""Resources that are watched and never made."""


def permissions(types: Iterable[str]) -> tuple[str, ...]:
    """The least permissions that make, change and remove resources of some types, sorted.

    Raises :class:`~modelberth.clouds.permissions.Unlisted` for a type without a row.
    """
    found = needs("gcp", types)
    calls = {call for row in found for call in row.calls}
    return tuple(sorted(calls | ({ACT_AS} if any(row.acts_as for row in found) else set())))


def objects(types: Iterable[str]) -> tuple[str, ...]:
    """What IAM must allow for Kubernetes objects of some types where no RBAC does, for a whole project."""
    found = access(types)
    rules = (*found.cluster, *found.namespace)
    return tuple(sorted({each for rule in rules for each in _of_rule(rule)}))


def _of_rule(rule: Rule) -> Iterable[str]:
    for resource in rule.resources:
        name = _spelled(resource) if rule.group in BUILT_IN else OTHERS
        yield from (f"container.{name}.{IN_CLUSTERS[verb]}" for verb in rule.verbs)


def _spelled(resource: str) -> str:
    """A resource as IAM spells it: ``networkPolicies`` for ``networkpolicies``, by the capitals of its kind."""
    for row in kinds().values():
        if row.resource == resource:
            same = sum(1 for one, other in zip(row.kind.lower(), resource, strict=False) if one == other)
            return f"{row.kind[:1].lower()}{row.kind[1:same]}{resource[same:]}"
    return _NO_KINDS[resource]


def custom_role(types: Iterable[str]) -> str:
    """The role as YAML, for ``gcloud iam roles create ID --project=PROJECT --file=FILE``, without granting roles."""
    about = "Makes, changes and removes what a modelberth stack registers on Google Cloud."
    return role("modelberth deployer", about, (each for each in permissions(types) if each not in GRANTS))


def role(title: str, about: str, allowed: Iterable[str]) -> str:
    """A custom role as YAML."""
    lines = [f"title: {title}", f"description: {about}", "stage: GA", "includedPermissions:"]
    return "\n".join([*lines, *(f"- {each}" for each in allowed)]) + "\n"


def condition(roles: Iterable[str]) -> str:
    """A condition as YAML, for ``--condition-from-file``: nothing but some roles may be granted."""
    expression = CONDITION.format(roles=json.dumps(sorted(roles)).replace('"', "'"))
    return f'title: only roles of nodes\nexpression: "{expression}"\n'
