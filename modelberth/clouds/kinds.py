"""What a deployer is allowed in a cluster: rules of RBAC from the kinds of objects that a stack registers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text

from .permissions import Unlisted

MANAGED = ("get", "list", "watch", "create", "patch", "delete")
"""What the provider does with an object: server-side apply is a patch, and needs ``create`` for what is not there."""
WATCHED = ("get", "list", "watch")
"""What it does with what shows whether an object is ready."""
BUILT_IN = frozenset(
    {"", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "scheduling.k8s.io", "storage.k8s.io"}
)
"""API groups that every server has; what lies in any other is a custom resource."""
_PREFIX = "kubernetes:"
_NO_OBJECTS = ("helm.sh", "kustomize", "yaml")


class Kind(Row):
    """A kind of object. ``watches`` are resources that show whether it is ready, ``group/resource`` or core's."""

    group: str
    kind: Text
    resource: Text
    namespaced: bool = True
    watches: tuple[Text, ...] = ()


@dataclass(frozen=True, order=True)
class Rule:
    """A rule of RBAC: one API group, and resources that are all allowed the same."""

    group: str
    verbs: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True)
class Access:
    """Rules for the whole cluster, and rules for each namespace of the stack."""

    cluster: tuple[Rule, ...]
    namespace: tuple[Rule, ...]


@cache
def kinds() -> Mapping[tuple[str, str], Kind]:
    """Every kind that has a row, by group and kind."""
    return index(read_rows(files("modelberth.clouds") / "kinds.yaml", Kind), lambda row: (row.group, row.kind))


def access(types: Iterable[str]) -> Access:
    """The least rules for Kubernetes objects of some type tokens (``kubernetes:apps/v1:Deployment``).

    Types of other packages are passed over. Raises :class:`~modelberth.clouds.permissions.Unlisted` with all kinds that
    have no row.
    """
    asked = {_group_kind(type_) for type_ in types if _is_object(type_)}
    if unlisted := sorted("/".join(filter(None, each)) for each in asked - kinds().keys()):
        raise Unlisted(
            f"no row says what {', '.join(unlisted)} is called in its API: add it to modelberth/clouds/kinds.yaml"
        )
    found = [kinds()[each] for each in asked]
    managed = {(row.group, row.resource) for row in found}
    watched = {_resource(each) for row in found for each in row.watches} - managed
    apart = {(row.group, row.resource) for row in kinds().values() if not row.namespaced}
    allowed = dict.fromkeys(managed, MANAGED) | dict.fromkeys(watched, WATCHED)
    return Access(
        cluster=_rules({each: verbs for each, verbs in allowed.items() if each in apart}),
        namespace=_rules({each: verbs for each, verbs in allowed.items() if each not in apart}),
    )


def cluster_roles(types: Iterable[str], name: str = "modelberth-deployer") -> str:
    """Two ClusterRoles as YAML: one to bind in the cluster, one to bind in each namespace of the stack.

    A ClusterRole without rules is left out.
    """
    found = access(types)
    documents = [_role(name, found.cluster), _role(f"{name}-namespaced", found.namespace)]
    return "---\n".join(each for each in documents if each)


def _role(name: str, rules: tuple[Rule, ...]) -> str:
    if not rules:
        return ""
    lines = ["apiVersion: rbac.authorization.k8s.io/v1", "kind: ClusterRole", "metadata:", f"  name: {name}", "rules:"]
    for rule in rules:
        lines += [
            f'- apiGroups: ["{rule.group}"]',
            f"  resources: [{', '.join(rule.resources)}]",
            f"  verbs: [{', '.join(rule.verbs)}]",
        ]
    return "\n".join(lines) + "\n"


def _rules(allowed: Mapping[tuple[str, str], tuple[str, ...]]) -> tuple[Rule, ...]:
    together: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), verbs in allowed.items():
        together[group, verbs].append(resource)
    return tuple(sorted(Rule(group, verbs, tuple(sorted(resources))) for (group, verbs), resources in together.items()))


def _is_object(type_: str) -> bool:
    return (
        type_.startswith(_PREFIX) and type_.count(":") == 2 and type_.split(":")[1].partition("/")[0] not in _NO_OBJECTS
    )


def _group_kind(type_: str) -> tuple[str, str]:
    _, version, kind = type_.split(":")
    group = version.rpartition("/")[0]
    return ("" if group == "core" else group), kind.removesuffix("Patch")


def _resource(written: str) -> tuple[str, str]:
    group, _, resource = written.rpartition("/")
    return group, resource
