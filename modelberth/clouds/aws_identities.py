"""Who may do what in AWS: roles that pods act as, and the policies they have, as pulumi-aws sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from modelberth.clouds.aws_policies import Statement, statements
from modelberth.clouds.grants import LATER, Breadth, Grant, Who
from modelberth.clouds.links import of_types, target_of
from modelberth.clouds.pool_facts import AnyResource
from modelberth.node import Node

ANNOTATION = "eks.amazonaws.com/role-arn"
_ROLE = "aws:iam/role:Role"
_POLICY = "aws:iam/policy:Policy"
_INLINE = "aws:iam/rolePolicy:RolePolicy"
_ATTACHED = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
_ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
_PODS = "pods.eks.amazonaws.com"
_BY_TOKEN = "sts:assumerolewithwebidentity"  # noqa: S105 - an action, no token
_MANAGED = {
    "AdministratorAccess": Breadth.OWNS,
    "PowerUserAccess": Breadth.OWNS,
    "AmazonS3FullAccess": Breadth.OWNS,
    "AmazonS3ReadOnlyAccess": Breadth.READS,
}
"""Policies that AWS keeps and that are for every bucket: docs.aws.amazon.com/aws-managed-policy."""
_OWNING = ("s3:deletebucket", "s3:putbucketpolicy")
_WRITING = ("s3:putobject", "s3:deleteobject")
_READING = ("s3:getobject",)
_REMEDY = "s3:GetObject on the folder and s3:ListBucket on the one bucket"


def grants(resources: Sequence[AnyResource]) -> Iterator[tuple[AnyResource, Grant]]:
    """What the roles that pods act as are granted, each with the resource that says it."""
    policies = of_types(resources, _POLICY)
    roles, associations = of_types(resources, _ROLE), of_types(resources, _ASSOCIATION)
    for role in roles:
        own = [each for each in associations if target_of(each, each.node["roleArn"], roles) is role]
        accounts = tuple((_known(each.node["namespace"]), _known(each.node["serviceAccount"])) for each in own)
        if not (accounts or _trusts_pods(role.node["assumeRolePolicy"])):
            continue
        for by, document in _documents(role, resources, policies):
            for breadth, wide in [_managed(document)] if _is_managed(document) else _spoken(document):
                name = role.node["name"].text() or None
                yield by, Grant(document, Who.PODS, breadth, wide, _REMEDY, False, True, accounts, name)


def _documents(
    role: AnyResource, resources: Sequence[AnyResource], policies: Sequence[AnyResource]
) -> Iterator[tuple[AnyResource, Node]]:
    """Documents, and the names of policies that are kept elsewhere."""
    roles = of_types(resources, _ROLE)
    for inline in _stated(role.node["inlinePolicies"]):
        yield role, inline["policy"]
    for arn in _stated(role.node["managedPolicyArns"]):
        yield from _named(role, arn, policies)
    for own in of_types(resources, _INLINE):
        if target_of(own, own.node["role"], roles) is role:
            yield own, own.node["policy"]
    for attachment in of_types(resources, _ATTACHED):
        if target_of(attachment, attachment.node["role"], roles) is role:
            yield from _named(attachment, attachment.node["policyArn"], policies)


def _stated(policies: Node) -> Iterator[Node]:
    """What a role itself lists. AWS computes the list from resources beside a role that says nothing, so in a preview
    it is not known as a whole.
    """
    if not policies.unknown:
        yield from policies.each()


def _named(by: AnyResource, arn: Node, policies: Sequence[AnyResource]) -> Iterator[tuple[AnyResource, Node]]:
    if _is_managed(arn):
        yield by, arn
    elif policy := target_of(by, arn, policies):
        yield policy, policy.node["policy"]
    elif arn.unknown:
        yield by, arn


def _is_managed(arn: Node) -> bool:
    return arn.text().startswith("arn:") and ":iam::aws:policy/" in arn.text()


def _managed(arn: Node) -> tuple[Breadth, bool]:
    return _MANAGED.get(arn.text().rpartition("/")[2], Breadth.NOTHING), True


def _spoken(document: Node) -> Iterator[tuple[Breadth, bool]]:
    if document.unknown:
        yield Breadth.UNKNOWN, False
        return
    for statement in statements(document):
        if statement.allows:
            wide = any(each in ("*", "arn:aws:s3:::*", "arn:aws:s3:::*/*") for each in statement.resources)
            yield _breadth(statement), wide


def _breadth(statement: Statement) -> Breadth:
    """Actions on a bucket need its own name as resource: what is for its objects alone only writes."""
    objects = bool(statement.resources) and all("/" in each for each in statement.resources)
    if statement.all_actions_but or set(statement.actions) & {"*", "s3:*"}:
        return Breadth.OWNS
    if _allows(statement, _OWNING) and not objects:
        return Breadth.OWNS
    if _allows(statement, _WRITING):
        return Breadth.WRITES
    return Breadth.READS if _allows(statement, _READING) else Breadth.NOTHING


def _allows(statement: Statement, actions: tuple[str, ...]) -> bool:
    return any(fnmatchcase(action, pattern) for action in actions for pattern in statement.actions)


def _trusts_pods(trust: Node) -> bool:
    """What is computed is computed from a cluster's address: other principals are plain names."""
    return trust.unknown or any(
        statement.allows
        and (_PODS in statement.principals or (_BY_TOKEN in statement.actions and _of_cluster(statement)))
        for statement in statements(trust)
    )


def _of_cluster(statement: Statement) -> bool:
    return any("oidc-provider/oidc.eks." in principal for principal in statement.principals)


def _known(name: Node) -> str:
    return LATER if name.unknown else name.text()
