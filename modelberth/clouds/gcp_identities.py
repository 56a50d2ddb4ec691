"""Who may do what in Google Cloud: IAM members and bindings, as pulumi-gcp sends them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.clouds.grants import ANY, Breadth, Grant, Who
from modelberth.node import Node

ANNOTATION = "iam.gke.io/gcp-service-account"
_POOL = r"iam\.googleapis\.com/projects/[^/]+/locations/global/workloadIdentityPools/[^/]+\.svc\.id\.goog"
_DIRECT = re.compile(rf"principal://{_POOL}/subject/ns/(?P<namespace>[^/]+)/sa/(?P<account>[^/]+)")
_CLASSIC = re.compile(r"serviceAccount:[^/\[\]]+\.svc\.id\.goog\[(?P<namespace>[^/\]]+)/(?P<account>[^\]]+)\]")
_MANY = re.compile(rf"principalSet://{_POOL}/.+")
_AGENTS = ("@gcp-sa-", "@gs-project-accounts.")
"""Accounts that services of the cloud itself use."""
_OWN = re.compile(
    r"serviceAccount:.+@[a-z0-9.:-]+\.iam\.gserviceaccount\.com|serviceAccount:.+-compute@developer\.gserviceaccount\.com"
)
_OF_BUCKETS = frozenset(
    {
        "gcp:storage/bucketIAMMember:BucketIAMMember",
        "gcp:storage/bucketIAMBinding:BucketIAMBinding",
        "gcp:storage/managedFolderIamMember:ManagedFolderIamMember",
        "gcp:storage/managedFolderIamBinding:ManagedFolderIamBinding",
    }
)
_OF_EVERYTHING = frozenset(
    f"gcp:{module}/iAM{kind}:IAM{kind}"
    for module in ("projects", "folder", "organizations")
    for kind in ("Member", "Binding")
)
_PRIMITIVE = {"roles/owner": Breadth.OWNS, "roles/editor": Breadth.WRITES, "roles/viewer": Breadth.READS}
_ROLES = {
    **_PRIMITIVE,
    "roles/storage.admin": Breadth.OWNS,
    "roles/storage.legacyBucketOwner": Breadth.OWNS,
    "roles/storage.objectAdmin": Breadth.WRITES,
    "roles/storage.objectUser": Breadth.WRITES,
    "roles/storage.objectCreator": Breadth.WRITES,
    "roles/storage.legacyBucketWriter": Breadth.WRITES,
    "roles/storage.legacyObjectOwner": Breadth.WRITES,
    "roles/storage.objectViewer": Breadth.READS,
    "roles/storage.legacyObjectReader": Breadth.READS,
    "roles/storage.legacyBucketReader": Breadth.READS,
}
"""cloud.google.com/storage/docs/access-control/iam-roles; any other role says nothing about buckets here."""
_REMEDY = "roles/storage.objectViewer on the one bucket"


def account_of(member: str) -> tuple[str, str] | None:
    """(namespace, ServiceAccount) of the pods that a member names; None for anyone else."""
    match = _DIRECT.fullmatch(member) or _CLASSIC.fullmatch(member)
    if match:
        return match["namespace"], match["account"]
    return (ANY, ANY) if _MANY.fullmatch(member) else None


def grants(type_: str, node: Node) -> Iterator[Grant]:
    """What one resource grants."""
    if type_ not in _OF_BUCKETS | _OF_EVERYTHING:
        return
    role = node["role"]
    members = [node["member"]] if node["member"].stated else list(node["members"].each())
    wide = type_ in _OF_EVERYTHING
    breadth = Breadth.UNKNOWN if role.unknown else _ROLES.get(role.text(), Breadth.NOTHING)
    for member in members:
        accounts = account_of(member.text())
        yield Grant(
            node=role,
            who=_who(member),
            breadth=breadth,
            wide=wide,
            remedy=_REMEDY,
            primitive=role.text() in _PRIMITIVE,
            accounts=(accounts,) if accounts else (),
            account=member.text().removeprefix("serviceAccount:") or None,
        )


def _who(member: Node) -> Who:
    if member.unknown:
        return Who.UNKNOWN
    if account_of(member.text()):
        return Who.PODS
    agent = any(each in member.text() for each in _AGENTS)
    return Who.SERVICE if _OWN.fullmatch(member.text()) and not agent else Who.PERSON
