"""S3, EBS, EFS and FSx, as pulumi-aws sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from modelberth.clouds.aws_policies import Statement, statements
from modelberth.clouds.buckets import CLOSED, KEPT, OWN_KEY, PRIVATE, RECOVERABLE, TIDY, TLS, UNIFORM, Part
from modelberth.clouds.facts import Fact, both, either, equals, flag, opposite
from modelberth.node import Node

BUCKETS = frozenset({"aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2"})
SCHEMES = ("s3://",)
_BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
_PUBLIC_ACLS = ("public-read", "public-read-write", "authenticated-read")
_EVERYONE = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)
_ACCOUNT = "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock"
_CSI_DISK = ("ebs.csi.aws.com", "kubernetes.io/aws-ebs")


def _bucket(bucket: Node) -> Iterator[Fact]:
    """A new bucket keeps the public out and ignores access control lists (since April 2023) until somebody differs."""
    yield Fact(
        CLOSED,
        False,
        bucket["bucket"],
        "nothing in this stack keeps the public out of the bucket",
        f"a BucketPublicAccessBlock with {', '.join(f'{each}: true' for each in _BLOCKS)}",
    )
    versioning = bucket["versioning"]["enabled"]
    yield _recoverable(flag(versioning, default=False), versioning)
    yield Fact(
        TLS,
        False,
        bucket["bucket"],
        "the bucket also answers without encryption",
        'a BucketPolicy that denies s3:* to everyone when aws:SecureTransport is "false"',
    )
    keys = bucket["serverSideEncryptionConfiguration"]["rule"]["applyServerSideEncryptionByDefault"]["kmsMasterKeyId"]
    yield _own_key(keys)
    yield Fact(
        KEPT,
        opposite(flag(bucket["forceDestroy"], default=False)),
        bucket["forceDestroy"],
        "deleting the bucket deletes all that is in it, without a question",
        "forceDestroy: false",
    )
    days = [rule["abortIncompleteMultipartUploadDays"] for rule in bucket["lifecycleRules"].each()]
    yield _tidy(either(*(None if each.unknown else each.stated for each in days)), bucket["lifecycleRules"])


def _recoverable(answer: bool | None, node: Node) -> Fact:
    lacks = "what is deleted or overwritten is gone"
    return Fact(RECOVERABLE, answer, node, lacks, "a BucketVersioning with versioningConfiguration.status: Enabled")


def _own_key(key: Node) -> Fact:
    remedy = "a BucketServerSideEncryptionConfiguration with sseAlgorithm: aws:kms and kmsMasterKeyId"
    return Fact(OWN_KEY, key.stated, key, "the bucket is encrypted with a key of the cloud", remedy)


def _tidy(answer: bool | None, node: Node) -> Fact:
    lacks = "parts of uploads that were broken off are paid for until somebody finds them"
    return Fact(
        TIDY, answer, node, lacks, "a lifecycle rule with abortIncompleteMultipartUpload.daysAfterInitiation: 1"
    )


def _access_block(block: Node) -> Part:
    """What is not stated is off."""
    return Part(block["bucket"], tuple(_blocked(block, each) for each in _BLOCKS))


def _blocked(block: Node, name: str) -> Fact:
    lacks = f"{name} is off: the public may be let in"
    return Fact(CLOSED, flag(block[name], default=False), block[name], lacks, f"{name}: true")


def _versioning(resource: Node) -> Part:
    status = resource["versioningConfiguration"]["status"]
    return Part(resource["bucket"], (_recoverable(equals(status, "Enabled"), status),))


def _ownership(resource: Node) -> Part:
    ownership = resource["rule"]["objectOwnership"]
    fact = Fact(
        UNIFORM,
        equals(ownership, "BucketOwnerEnforced"),
        ownership,
        "each object may have permissions of its own, which nobody sees in the bucket's",
        "rule.objectOwnership: BucketOwnerEnforced",
    )
    return Part(resource["bucket"], (fact,))


def _encryption(resource: Node) -> Part:
    rules = [rule["applyServerSideEncryptionByDefault"] for rule in resource["rules"].each()]
    return Part(resource["bucket"], tuple(_own_key(rule["kmsMasterKeyId"]) for rule in rules))


def _lifecycle(resource: Node) -> Part:
    days = [rule["abortIncompleteMultipartUpload"]["daysAfterInitiation"] for rule in resource["rules"].each()]
    return Part(
        resource["bucket"], (_tidy(either(*(None if d.unknown else d.stated for d in days)), resource["rules"]),)
    )


def _acl(resource: Node) -> Part:
    canned = resource["acl"]
    grantees = [grant["grantee"]["uri"] for grant in resource["accessControlPolicy"]["grants"].each()]
    facts = [_private(canned, opposite(equals(canned, *_PUBLIC_ACLS)))]
    facts += [_private(each, opposite(equals(each, *_EVERYONE))) for each in grantees]
    return Part(resource["bucket"], tuple(facts))


def _private(node: Node, answer: bool | None) -> Fact:
    return Fact(PRIVATE, answer, node, "everyone may use the bucket", "name those who may, not everyone")


def _policy(resource: Node) -> Part:
    stated = resource["policy"]
    if stated.unknown:
        tls = Fact(TLS, None, stated, "", "")
        return Part(resource["bucket"], (_private(stated, None), tls))
    told = list(statements(stated))
    public = any(each.allows and each.to_everyone and not each.conditions for each in told)
    facts = [_private(stated, not public)]
    if any(_denies_plain(each) for each in told):
        facts.append(Fact(TLS, True, stated, "", ""))
    return Part(resource["bucket"], tuple(facts))


def _denies_plain(statement: Statement) -> bool:
    return not statement.allows and statement.to_everyone and "aws:securetransport" in statement.conditions


def closes_every_bucket(type_: str, node: Node) -> bool:
    """Whether the account keeps the public out, whatever a bucket says."""
    return type_ == _ACCOUNT and both(*(flag(node[each], default=False) for each in _BLOCKS)) is True


def _inline_opened(bucket: Node) -> Iterator[Fact]:
    yield _private(bucket["acl"], opposite(equals(bucket["acl"], *_PUBLIC_ACLS)))


def _of_part(part: Callable[[Node], Part]) -> Callable[[Node], tuple[Fact, ...]]:
    return lambda node: part(node).facts


def _disk(volume: Node) -> Iterator[Fact]:
    if not volume["snapshotId"].stated or volume["encrypted"].stated:
        yield _encrypted(volume["encrypted"], "encrypted: true")
    if volume["encrypted"].flag():
        yield _with_own_key(volume["kmsKeyId"])


def _files(system: Node) -> Iterator[Fact]:
    """EFS encrypts only what is asked for when it is made; FSx encrypts always."""
    yield _encrypted(system["encrypted"], "encrypted: true, which makes a new file system")
    if system["encrypted"].flag():
        yield _with_own_key(system["kmsKeyId"])


def _always(system: Node) -> Iterator[Fact]:
    yield _with_own_key(system["kmsKeyId"])


def _storage_class(kind: Node) -> Iterator[Fact]:
    """What a StorageClass does not say is as the account says."""
    of_disks = equals(kind["provisioner"], *_CSI_DISK)
    stated = kind["parameters"]["encrypted"]
    fact = _encrypted(stated, 'parameters.encrypted: "true"')
    yield replace(fact, holds=either(opposite(of_disks), fact.holds), minor=not stated.stated)


def _encrypted(stated: Node, remedy: str) -> Fact:
    lacks = "what is stored is not encrypted unless the account says so"
    if stated.flag() is False:
        lacks = "what is stored is not encrypted"
    return Fact("what is stored is encrypted", flag(stated, default=False), stated, lacks, remedy)


def _with_own_key(key: Node) -> Fact:
    return Fact(
        "it is encrypted with a key of yours", key.stated, key, "it is encrypted with a key of the cloud", key.path
    )


def _volume_bucket(volume: Node) -> Node:
    return volume["volumeAttributes"]["bucketName"]


SAID_ALONE = dict.fromkeys(BUCKETS, frozenset({KEPT}))
OF_BUCKET = dict.fromkeys(BUCKETS, _bucket)
PARTS: Mapping[str, Callable[[Node], Part]] = {
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _access_block,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _ownership,
    "aws:s3/bucketPolicy:BucketPolicy": _policy,
    **{
        f"aws:s3/{name[0].lower()}{name[1:]}{v}:{name}{v}": reader
        for name, reader in (
            ("BucketVersioning", _versioning),
            ("BucketAcl", _acl),
            ("BucketLifecycleConfiguration", _lifecycle),
            ("BucketServerSideEncryptionConfiguration", _encryption),
        )
        for v in ("", "V2")
    },
}
OPENED = {
    **dict.fromkeys(BUCKETS, _inline_opened),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of_part(_access_block),
    "aws:s3/bucketPolicy:BucketPolicy": _of_part(_policy),
    "aws:s3/bucketAcl:BucketAcl": _of_part(_acl),
    "aws:s3/bucketAclV2:BucketAclV2": _of_part(_acl),
}
VOLUMES = {
    "aws:ebs/volume:Volume": _disk,
    "aws:efs/fileSystem:FileSystem": _files,
    "aws:fsx/lustreFileSystem:LustreFileSystem": _always,
    "aws:fsx/openZfsFileSystem:OpenZfsFileSystem": _always,
    "aws:fsx/ontapFileSystem:OntapFileSystem": _always,
    "kubernetes:storage.k8s.io/v1:StorageClass": _storage_class,
}
NAMED_BY = {"s3.csi.aws.com": _volume_bucket}
