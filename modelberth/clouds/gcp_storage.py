"""Cloud Storage, disks and Filestore, as pulumi-gcp sends them. At rest everything is encrypted, unasked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from modelberth.clouds.buckets import CLOSED, KEPT, OWN_KEY, PRIVATE, RECOVERABLE, TIDY, UNIFORM, Part
from modelberth.clouds.facts import Fact, either, equals, flag, opposite
from modelberth.node import Node, fields_of

BUCKETS = frozenset({"gcp:storage/bucket:Bucket"})
SCHEMES = ("gs://",)
_EVERYONE = ("allUsers", "allAuthenticatedUsers")
_PUBLIC_ACLS = ("publicRead", "publicReadWrite", "authenticatedRead")
_WEEK_S = 604800


def _bucket(bucket: Node) -> Iterator[Fact]:
    prevention, uniform = bucket["publicAccessPrevention"], bucket["uniformBucketLevelAccess"]
    yield Fact(
        CLOSED,
        equals(prevention, "enforced"),
        prevention,
        "a grant to everyone would be accepted",
        "publicAccessPrevention: enforced",
    )
    yield Fact(
        UNIFORM,
        flag(uniform, default=False),
        uniform,
        "each object may have permissions of its own, which nobody sees in the bucket's",
        "uniformBucketLevelAccess: true",
    )
    yield _recoverable(bucket)
    key = bucket.at("encryption", "defaultKmsKeyName")
    yield Fact(
        OWN_KEY, key.stated, key, "the bucket is encrypted with a key of the cloud", "encryption.defaultKmsKeyName"
    )
    yield Fact(
        KEPT,
        opposite(flag(bucket["forceDestroy"], default=False)),
        bucket["forceDestroy"],
        "deleting the bucket deletes all that is in it, without a question",
        "forceDestroy: false",
    )
    actions = [rule.at("action", "type") for rule in bucket["lifecycleRules"].each()]
    yield Fact(
        TIDY,
        either(*(equals(each, "AbortIncompleteMultipartUpload") for each in actions)),
        bucket["lifecycleRules"],
        "parts of uploads that were broken off are paid for until somebody finds them",
        "a lifecycle rule with action.type: AbortIncompleteMultipartUpload and condition.age: 1",
    )


def _recoverable(bucket: Node) -> Fact:
    """A new bucket keeps what is deleted for a week unless that is switched off."""
    kept = bucket.at("softDeletePolicy", "retentionDurationSeconds")
    soft = None if kept.unknown else kept.whole() != 0
    return Fact(
        RECOVERABLE,
        either(soft, flag(bucket.at("versioning", "enabled"), default=False)),
        kept,
        "what is deleted or overwritten is gone",
        f"softDeletePolicy.retentionDurationSeconds: {_WEEK_S}, or versioning.enabled: true",
    )


def _grant(resource: Node) -> Part:
    members = [resource["member"]] if resource["member"].stated else list(resource["members"].each())
    return Part(resource["bucket"], tuple(_private(each) for each in members), resource["role"], tuple(members))


def _policy(resource: Node) -> Part:
    stated = resource["policyData"]
    members = [(binding["role"], member) for binding in bindings(stated) for member in binding["members"].each()]
    if stated.unknown:
        members = [(stated, stated)]
    return Part(resource["bucket"], tuple(_private(member) for _, member in members))


def _access_control(resource: Node) -> Part:
    return Part(resource["bucket"], (_private(resource["entity"]),))


def _acl(resource: Node) -> Part:
    entities = list(resource["roleEntities"].each())
    predefined = resource["predefinedAcl"]
    named = Fact(
        PRIVATE,
        opposite(equals(predefined, *_PUBLIC_ACLS)),
        predefined,
        "everyone may read what is in the bucket",
        "no public access control list",
    )
    return Part(resource["bucket"], (named, *(_private(each) for each in entities)))


def _private(member: Node) -> Fact:
    """An entity of an access control list has its role before it: READER:allUsers."""
    everyone = None if member.unknown else member.text().rpartition(":")[2] in _EVERYONE
    return Fact(PRIVATE, opposite(everyone), member, "everyone may use the bucket", "name those who may, not everyone")


def bindings(policy: Node) -> Iterator[Node]:
    """The bindings of a policy that is stated as JSON."""
    try:
        found = fields_of(json.loads(policy.text())).get("bindings")
    except (ValueError, RecursionError):
        return
    for each in Node(found, policy.path).elements():
        yield Node(each.value, policy.path)


def _own_key(*steps: str) -> Callable[[Node], Iterator[Fact]]:
    def facts(volume: Node) -> Iterator[Fact]:
        key = volume.at(*steps)
        yield Fact(
            "it is encrypted with a key of yours", key.stated, key, "it is encrypted with a key of the cloud", key.path
        )

    return facts


def _volume_bucket(volume: Node) -> Node:
    """A pod's volume names it in an attribute, a PersistentVolume in its handle."""
    attribute = volume["volumeAttributes"]["bucketName"]
    return attribute if attribute.stated else volume["volumeHandle"]


SAID_ALONE = dict.fromkeys(BUCKETS, frozenset({CLOSED, UNIFORM, RECOVERABLE, OWN_KEY, KEPT, TIDY}))
OF_BUCKET = dict.fromkeys(BUCKETS, _bucket)
PARTS: Mapping[str, Callable[[Node], Part]] = {
    "gcp:storage/bucketIAMMember:BucketIAMMember": _grant,
    "gcp:storage/bucketIAMBinding:BucketIAMBinding": _grant,
    "gcp:storage/bucketIAMPolicy:BucketIAMPolicy": _policy,
    "gcp:storage/managedFolderIamMember:ManagedFolderIamMember": _grant,
    "gcp:storage/managedFolderIamBinding:ManagedFolderIamBinding": _grant,
    "gcp:storage/bucketAccessControl:BucketAccessControl": _access_control,
    "gcp:storage/defaultObjectAccessControl:DefaultObjectAccessControl": _access_control,
    "gcp:storage/bucketACL:BucketACL": _acl,
    "gcp:storage/defaultObjectACL:DefaultObjectACL": _acl,
}


def _opened(part: Callable[[Node], Part]) -> Callable[[Node], tuple[Fact, ...]]:
    return lambda node: part(node).facts


OPENED = {type_: _opened(part) for type_, part in PARTS.items()}
VOLUMES = {
    "gcp:filestore/instance:Instance": _own_key("kmsKeyName"),
    "gcp:compute/disk:Disk": _own_key("diskEncryptionKey", "kmsKeySelfLink"),
    "gcp:compute/regionDisk:RegionDisk": _own_key("diskEncryptionKey", "kmsKeyName"),
}
NAMED_BY = {"gcsfuse.csi.storage.gke.io": _volume_bucket}
