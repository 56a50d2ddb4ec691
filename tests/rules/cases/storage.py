"""Examples of the rules about buckets, disks and file systems."""

from __future__ import annotations

import json
from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.resources import Options
from tests.rules.cases import Case, Seen
from tests.rules.samples import deployment, vllm

POD = (
    "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p.svc.id.goog"
    "/subject/ns/models/sa/chat"
)


def gcs(name: str = "example-weights", **changes: Any) -> Seen:
    guarded = {
        "name": name,
        "publicAccessPrevention": "enforced",
        "uniformBucketLevelAccess": True,
        "lifecycleRules": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 1}}],
    }
    return "gcp:storage/bucket:Bucket", {k: v for k, v in (guarded | changes).items() if v is not None}


def grant(member: Any = POD, role: Any = "roles/storage.objectViewer", bucket: Any = "example-weights") -> Seen:
    return "gcp:storage/bucketIAMMember:BucketIAMMember", {"bucket": bucket, "role": role, "member": member}


def s3(name: str = "example-weights", **changes: Any) -> Seen:
    return "aws:s3/bucket:Bucket", {"bucket": name, **changes}


def block(bucket: Any = "example-weights", **changes: Any) -> Seen:
    every = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    return "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", {
        "bucket": bucket,
        **dict.fromkeys(every, True),
        **changes,
    }


def versions(status: Any = "Enabled", bucket: Any = "example-weights") -> Seen:
    inputs = {"bucket": bucket, "versioningConfiguration": {"status": status}}
    return "aws:s3/bucketVersioning:BucketVersioning", inputs


def tidy(bucket: Any = "example-weights") -> Seen:
    rules = [{"id": "uploads", "status": "Enabled", "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1}}]
    return "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", {"bucket": bucket, "rules": rules}


def policy(*statements: Any, bucket: Any = "example-weights") -> Seen:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return "aws:s3/bucketPolicy:BucketPolicy", {"bucket": bucket, "policy": text}


TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::example-weights", "arn:aws:s3:::example-weights/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
FOR_ALL = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", "Resource": "*"}
UNKNOWN_POLICY: Seen = ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "example-weights", "policy": UNKNOWN})
ACCOUNT: Seen = ("aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock", block()[1])
_WHOLE = (block(), versions(), policy(TLS_ONLY), tidy())


def acl(canned: str) -> Seen:
    return "aws:s3/bucketAcl:BucketAcl", {"bucket": "example-weights", "acl": canned}


def mounting(bucket: Any) -> dict[str, Any]:
    """A server whose weights are files of a bucket."""
    csi = {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": {"bucketName": bucket}}
    mounted = vllm(volumeMounts=[{"name": "weights", "mountPath": "/weights"}])
    volumes = [{"name": "weights", "csi": csi}]
    served = deployment(
        mounted, pod={"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}, "volumes": volumes}
    )
    return {"apiVersion": "apps/v1", **served}


def claimed(read_only: bool = True, **more: Any) -> dict[str, Any]:
    mount = {"name": "weights", "mountPath": "/weights", "readOnly": read_only}
    volume = {"name": "weights", "persistentVolumeClaim": {"claimName": "weights", "readOnly": read_only}}
    return {"apiVersion": "apps/v1", **deployment(vllm(volumeMounts=[mount], **more), pod={"volumes": [volume]})}


CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "weights"}, "spec": {}}
BOUND = {**CLAIM, "spec": {"volumeName": "bucket"}}


def shown(reclaimed: str) -> dict[str, Any]:
    """A bucket as a volume, kept or deleted when its claim goes."""
    spec = {"persistentVolumeReclaimPolicy": reclaimed, "csi": {"driver": "s3.csi.aws.com"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "bucket"}, "spec": spec}


_BARE = Options(protect=False)
_KEPT = Options(protect=True, retain_on_delete=True)

GUARDED = (
    Case("CS-07", "a guarded bucket is fine", (gcs(),)),
    Case(
        "CS-07",
        "weights may not become public",
        (gcs(publicAccessPrevention="inherited"),),
        "everyone would be accepted",
    ),
    Case(
        "CS-07", "nothing said about the public is not enough", (gcs(publicAccessPrevention=None),), "would be accepted"
    ),
    Case(
        "CS-07",
        "another bucket that may become public is advice",
        (gcs("access-logs", publicAccessPrevention=None),),
        "would be accepted",
        advice=True,
    ),
    Case(
        "CS-07",
        "a bucket of logs of models holds no weights",
        (gcs("models-logs", softDeletePolicy={"retentionDurationSeconds": 0}),),
        "is gone",
        advice=True,
    ),
    Case(
        "CS-07",
        "what is not known yet is a doubt",
        (gcs(publicAccessPrevention=UNKNOWN),),
        "cannot decide whether the public is kept out",
        undecided=True,
    ),
    Case(
        "CS-07", "permissions of objects are refused", (gcs(uniformBucketLevelAccess=False),), "permissions of its own"
    ),
    Case(
        "CS-07",
        "weights that are gone are refused",
        (gcs(softDeletePolicy={"retentionDurationSeconds": 0}),),
        "is gone",
    ),
    Case(
        "CS-07",
        "versions are as good as a week",
        (gcs(softDeletePolicy={"retentionDurationSeconds": 0}, versioning={"enabled": True}),),
    ),
    Case("CS-07", "a key of your own may be asked for", (gcs(),), "key of the cloud", thresholds={"own_keys": True}),
    Case(
        "CS-07", "everyone is refused", (gcs("docs"), grant("allUsers", bucket="docs")), "everyone may use the bucket"
    ),
    Case("CS-07", "everyone who has an account is everyone", (grant("allAuthenticatedUsers"),), "everyone may use"),
    Case(
        "CS-07",
        "one member among others is enough",
        (
            (
                "gcp:storage/bucketIAMBinding:BucketIAMBinding",
                {"bucket": "b", "role": "r", "members": ["user:a@example.com", "allUsers"]},
            ),
        ),
        "members[1]: everyone",
    ),
    Case(
        "CS-07",
        "a policy as text lets everyone in",
        (
            (
                "gcp:storage/bucketIAMPolicy:BucketIAMPolicy",
                {"bucket": "b", "policyData": json.dumps({"bindings": [{"role": "r", "members": ["allUsers"]}]})},
            ),
        ),
        "everyone may use",
    ),
    Case(
        "CS-07",
        "an access control list lets everyone in",
        (("gcp:storage/bucketACL:BucketACL", {"bucket": "b", "roleEntities": ["READER:allUsers"]}),),
        "everyone may use",
    ),
    Case("CS-07", "a member that is not known yet cannot open a closed bucket", (gcs(), grant(UNKNOWN))),
    Case(
        "CS-07",
        "a member that is not known yet may open another",
        (gcs("docs", publicAccessPrevention=None), grant(UNKNOWN, bucket="docs")),
        "cannot decide whether nothing in the bucket is public",
        undecided=True,
    ),
    Case(
        "CS-07",
        "a bucket that pods mount holds weights",
        (gcs("chat-7b", publicAccessPrevention=None), mounting("chat-7b")),
        "would be accepted",
    ),
    Case(
        "CS-07",
        "a bucket that pods read holds weights",
        (gcs("chat-7b", publicAccessPrevention=None), grant(bucket="chat-7b")),
        "would be accepted",
    ),
    Case(
        "CS-07",
        "a bucket that a server names holds weights",
        (
            gcs("chat-7b", publicAccessPrevention=None),
            {"apiVersion": "apps/v1", **deployment(vllm("--model", "gs://chat-7b/llama"))},
        ),
        "would be accepted",
    ),
    Case(
        "CS-07",
        "a label says what a bucket holds",
        (gcs("chat-7b", publicAccessPrevention=None, labels={"content": "weights"}),),
        "would be accepted",
    ),
    Case("CS-07", "a guarded bucket with what belongs to it is fine", (s3(), *_WHOLE)),
    Case(
        "CS-07", "a bucket without its block is refused", (s3(), versions(), policy(TLS_ONLY)), "keeps the public out"
    ),
    Case(
        "CS-07",
        "another bucket without its block is advice",
        (s3("access-logs"), policy(TLS_ONLY, bucket="access-logs"), versions(bucket="access-logs")),
        "keeps the public out",
        advice=True,
    ),
    Case(
        "CS-07",
        "the block of another bucket is no block",
        (s3(), s3("other"), block("other"), versions(), policy(TLS_ONLY)),
        "keeps the public out",
    ),
    Case("CS-07", "the account may close every bucket", (s3(), ACCOUNT, versions(), policy(TLS_ONLY))),
    Case(
        "CS-07",
        "a block that is half open is refused",
        (s3(), block(restrictPublicBuckets=False), versions(), policy(TLS_ONLY)),
        "restrictPublicBuckets is off",
    ),
    Case(
        "CS-07",
        "a block that is not known yet is a doubt",
        (s3(), block(blockPublicAcls=UNKNOWN), versions(), policy(TLS_ONLY)),
        "cannot decide whether the public is kept out",
        undecided=True,
    ),
    Case(
        "CS-07",
        "a block for a bucket that is not known yet is that of the only one",
        (s3(), block(UNKNOWN), versions(bucket=UNKNOWN), policy(TLS_ONLY)),
    ),
    Case(
        "CS-07",
        "versions that are suspended are none",
        (s3(), block(), versions("Suspended"), policy(TLS_ONLY)),
        "versioningConfiguration.status: what is deleted",
    ),
    Case("CS-07", "no versions are none", (s3(), block(), policy(TLS_ONLY)), "is gone"),
    Case(
        "CS-07",
        "unencrypted connections are advised against",
        (s3(), block(), versions()),
        "answers without encryption",
        advice=True,
    ),
    Case(
        "CS-07",
        "an object may not have owners of its own",
        (
            s3(),
            *_WHOLE,
            (
                "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
                {"bucket": "example-weights", "rule": {"objectOwnership": "ObjectWriter"}},
            ),
        ),
        "permissions of its own",
    ),
    Case(
        "CS-07",
        "a policy for everyone is refused",
        (s3(), block(), versions(), policy(TLS_ONLY, FOR_ALL)),
        "policy: everyone may use",
    ),
    Case(
        "CS-07",
        "a policy for everyone of one network is fine",
        (
            s3(),
            block(),
            versions(),
            policy(TLS_ONLY, FOR_ALL | {"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}}),
        ),
    ),
    Case("CS-07", "a public list is refused", (s3(), *_WHOLE, acl("public-read")), "everyone may use"),
    Case("CS-07", "a private list is fine", (s3(), *_WHOLE, acl("private"))),
    Case(
        "CS-07", "a public list of the bucket itself is refused", (s3("docs", acl="public-read"),), "everyone may use"
    ),
    Case(
        "CS-07",
        "a policy that is not known yet cannot open a closed bucket",
        (s3(), block(), versions(), UNKNOWN_POLICY),
    ),
    Case(
        "CS-07",
        "a policy that is not known yet may open another",
        (s3(), versions(), UNKNOWN_POLICY),
        "cannot decide whether nothing in the bucket is public",
        undecided=True,
    ),
)
KEPT = (
    Case("CS-08", "weights that are kept are fine", (gcs(),), options=_KEPT),
    Case(
        "CS-08",
        "weights that one command deletes are refused",
        (gcs(forceDestroy=True),),
        "forceDestroy: deleting",
        options=_KEPT,
    ),
    Case(
        "CS-08",
        "what is not known yet is a doubt",
        (gcs(forceDestroy=UNKNOWN),),
        "deleted only when it is empty",
        undecided=True,
        options=_KEPT,
    ),
    Case("CS-08", "another bucket may be emptied", (gcs("access-logs", forceDestroy=True),), options=_BARE),
    Case("CS-08", "weights are protected", (gcs(),), "options.protect", options=_BARE),
    Case(
        "CS-08",
        "weights are retained where that is told",
        (gcs(),),
        "options.retainOnDelete",
        options=Options(protect=True, retain_on_delete=False),
    ),
    Case("CS-08", "what a pack cannot see is no finding", (gcs(),), options=Options(protect=True)),
    Case("CS-08", "broken uploads are advice", (gcs(lifecycleRules=None),), "broken off", advice=True, options=_KEPT),
    Case(
        "CS-08",
        "a bucket that pods mount is protected",
        (gcs("chat-7b"), mounting("chat-7b")),
        "options.protect",
        options=_BARE,
    ),
    Case("CS-08", "a bucket of the other cloud is protected", (s3(), *_WHOLE), "options.protect", options=_BARE),
    Case(
        "CS-08", "its broken uploads are advice", (s3(), block(), versions()), "broken off", advice=True, options=_KEPT
    ),
    Case("CS-08", "its rule for broken uploads may be a resource", (s3(), *_WHOLE), options=_KEPT),
    Case(
        "CS-08",
        "a claim that nothing fills is advice",
        (CLAIM, claimed()),
        "fills the volume again",
        advice=True,
        options=_BARE,
    ),
    Case("CS-08", "a claim that a server fills is fine", (CLAIM, claimed(read_only=False)), options=_BARE),
    Case("CS-08", "a claim that nobody serves from is fine", (CLAIM,), options=_BARE),
    Case("CS-08", "a claim of a volume that stays holds nothing", (BOUND, shown("Retain"), claimed()), options=_BARE),
    Case(
        "CS-08",
        "a claim of a volume that goes with it is one like others",
        (BOUND, shown("Delete"), claimed()),
        "fills the volume again",
        advice=True,
        options=_BARE,
    ),
)


def efs(**inputs: Any) -> Seen:
    return "aws:efs/fileSystem:FileSystem", inputs


def ebs(**inputs: Any) -> Seen:
    return "aws:ebs/volume:Volume", inputs


def storage_class(**parameters: Any) -> dict[str, Any]:
    named = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}}
    return {**named, "provisioner": "ebs.csi.aws.com", "parameters": parameters}


LUSTRE: Seen = ("aws:fsx/lustreFileSystem:LustreFileSystem", {"deploymentType": "PERSISTENT_2"})
FILESTORE: Seen = ("gcp:filestore/instance:Instance", {"tier": "ZONAL"})
ENCRYPTED = (
    Case("CS-17", "an encrypted file system is fine", (efs(encrypted=True),)),
    Case("CS-17", "a file system that says nothing is not encrypted", (efs(),), "unless the account"),
    Case("CS-17", "a file system in the clear is refused", (efs(encrypted=False),), "is not encrypted"),
    Case(
        "CS-17",
        "what is not known yet is a doubt",
        (efs(encrypted=UNKNOWN),),
        "cannot decide whether what is stored",
        undecided=True,
    ),
    Case("CS-17", "a disk in the clear is refused", (ebs(encrypted=False),), "is not encrypted"),
    Case("CS-17", "an encrypted disk is fine", (ebs(encrypted="true"),)),
    Case("CS-17", "a disk is as its snapshot is", (ebs(snapshotId="snap-1"),)),
    Case("CS-17", "what is always encrypted is fine", (LUSTRE, FILESTORE, ("gcp:compute/disk:Disk", {"size": 9}))),
    Case("CS-17", "a class of disks in the clear is refused", (storage_class(encrypted="false"),), "is not encrypted"),
    Case(
        "CS-17",
        "a class that says nothing is as the account is",
        (storage_class(type="gp3"),),
        "unless the account",
        advice=True,
    ),
    Case("CS-17", "a class of encrypted disks is fine", (storage_class(encrypted="true"),)),
    Case("CS-17", "keys of your own may be asked for", (LUSTRE,), "key of the cloud", thresholds={"own_keys": True}),
    Case(
        "CS-17",
        "keys of your own are known later",
        (("aws:fsx/lustreFileSystem:LustreFileSystem", {"kmsKeyId": UNKNOWN}),),
        thresholds={"own_keys": True},
    ),
    Case(
        "CS-17", "keys of the other cloud may be asked for", (FILESTORE,), "kmsKeyName", thresholds={"own_keys": True}
    ),
)
CASES = (*GUARDED, *KEPT, *ENCRYPTED)
