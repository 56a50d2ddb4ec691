"""Buckets for weights on Amazon S3, who may read them, and how pods see them as files."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from ..options import child
from .base import Attached, Bucket
from .eks_cluster import POD_IDENTITY
from .eks_keys import Key, Surroundings, policy, through_storage, trust
from .names import limited

core, meta = k8s.core.v1, k8s.meta.v1
READ = ("s3:GetObject",)
WRITE = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
LIST = ("s3:ListBucket",)
DECRYPT, ENCRYPT = ("kms:Decrypt",), ("kms:Decrypt", "kms:GenerateDataKey")
NONCURRENT_DAYS = 7
CLASS = ""
"""No StorageClass: the claim is bound to its volume by name."""
SIZE = "1200Gi"
"""The driver ignores it, and the API asks for one."""


def found(existing: pulumi.Input[str]) -> Bucket:
    """The bucket that exists."""
    name = pulumi.Output.from_input(existing)
    return Bucket(name, pulumi.Output.concat("s3://", name))


def make(
    name: str,
    labels: Mapping[str, str],
    around: Surroundings,
    key: Key,
    parent: pulumi.Resource,
) -> Bucket:
    """A bucket in the cluster's region."""
    of, logical = around.of, f"{name}-bucket"
    kept = child(parent, provider=around.provider, protect=True, retain_on_delete=True)
    bucket = aws.s3.Bucket(
        logical,
        bucket=limited(f"{of.account}-{around.prefix}-{name}", 63),
        force_destroy=False,
        tags={**around.labels, **labels},
        opts=kept,
    )
    made: list[pulumi.Resource] = [bucket]
    made += [
        aws.s3.BucketPublicAccessBlock(
            logical,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=kept,
        ),
        aws.s3.BucketOwnershipControls(
            logical,
            bucket=bucket.id,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=kept,
        ),
        aws.s3.BucketVersioning(
            logical,
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=kept,
        ),
        _encryption(logical, bucket, key, kept),
        _lifecycle(logical, bucket, kept),
        aws.s3.BucketPolicy(logical, bucket=bucket.id, policy=bucket.arn.apply(_tls_only), opts=kept),
    ]
    return Bucket(bucket.bucket, pulumi.Output.concat("s3://", bucket.bucket), tuple(made))


def _encryption(
    logical: str, bucket: aws.s3.Bucket, key: Key, opts: pulumi.ResourceOptions
) -> aws.s3.BucketServerSideEncryptionConfiguration:
    by = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
        sse_algorithm="aws:kms", kms_master_key_id=key.arn
    )
    rule = aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
        apply_server_side_encryption_by_default=by, bucket_key_enabled=True
    )
    return aws.s3.BucketServerSideEncryptionConfiguration(logical, bucket=bucket.id, rules=[rule], opts=opts)


def _lifecycle(
    logical: str, bucket: aws.s3.Bucket, opts: pulumi.ResourceOptions
) -> aws.s3.BucketLifecycleConfiguration:
    whole = aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="")
    return aws.s3.BucketLifecycleConfiguration(
        logical,
        bucket=bucket.id,
        rules=[
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id="uploads",
                status="Enabled",
                filter=whole,
                abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                    days_after_initiation=1
                ),
            ),
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id="replaced",
                status="Enabled",
                filter=whole,
                noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                    noncurrent_days=NONCURRENT_DAYS
                ),
            ),
        ],
        opts=opts,
    )


def _tls_only(arn: str) -> str:
    return policy(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def may_use(
    name: str,
    bucket: Bucket,
    namespace: pulumi.Input[str],
    account: pulumi.Input[str],
    around: Surroundings,
    cluster: aws.eks.Cluster,
    key: Key | None,
    parent: pulumi.Resource,
    *,
    write: bool,
) -> list[pulumi.Resource]:
    """A role for the pods of one ServiceAccount, which may use this bucket and nothing else: no key of a user.

    ``key`` is None for a bucket that exists and whose key nobody named: its owner lets the role use that.
    """
    own, logical = child(parent, provider=around.provider), f"{name}-{'writer' if write else 'reader'}"
    role = aws.iam.Role(
        logical,
        name=limited(f"{around.prefix}-{logical}", 64),
        assume_role_policy=trust(*POD_IDENTITY),
        tags=dict(around.labels),
        opts=own,
    )

    opens = [through_storage(around, key, ENCRYPT if write else DECRYPT)] if key else []

    def allowed(found: str) -> str:
        arn = f"arn:{around.of.partition}:s3:::{found}"
        return policy(
            {"Effect": "Allow", "Action": list(WRITE if write else READ), "Resource": [f"{arn}/*"]},
            {"Effect": "Allow", "Action": list(LIST), "Resource": [arn]},
            *opens,
        )

    may = aws.iam.RolePolicy(
        logical,
        name="weights",
        role=role.name,
        policy=bucket.name.apply(allowed),
        opts=own,
    )
    tied = aws.eks.PodIdentityAssociation(
        logical,
        cluster_name=cluster.name,
        namespace=namespace,
        service_account=account,
        role_arn=role.arn,
        opts=child(parent, provider=around.provider, depends_on=[may]),
    )
    return [tied]


def attach(
    name: str,
    bucket: Bucket,
    namespace: pulumi.Input[str],
    labels: Mapping[str, str],
    kubernetes: k8s.Provider,
    around: Surroundings,
    parent: pulumi.Resource,
    *,
    read_only: bool,
) -> Attached:
    """The bucket as a volume and its claim: Mountpoint's driver makes none by itself.

    The driver reads with the identity of each pod, which is awslabs/mountpoint-s3-csi-driver's
    ``authenticationSource: pod``. Files belong to the group that pods run as.
    """
    mode, own = "ReadOnlyMany" if read_only else "ReadWriteMany", child(parent, provider=kubernetes)
    name = f"{name}-{'files' if read_only else 'filled'}"
    named = limited(f"{around.prefix}-{name}", 63)
    options = [f"region={around.of.region}", *(["read-only"] if read_only else ["allow-delete", "allow-overwrite"])]
    options += [f"prefix={bucket.prefix}/"] if bucket.prefix else []
    claim = limited(name, 63)
    volume = core.PersistentVolume(
        name,
        metadata=meta.ObjectMetaArgs(name=named, labels=dict(labels)),
        spec=core.PersistentVolumeSpecArgs(
            capacity={"storage": SIZE},
            access_modes=[mode],
            storage_class_name=CLASS,
            persistent_volume_reclaim_policy="Retain",
            claim_ref=core.ObjectReferenceArgs(namespace=namespace, name=claim),
            mount_options=options,
            csi=core.CSIPersistentVolumeSourceArgs(
                driver="s3.csi.aws.com",
                volume_handle=named,
                volume_attributes={"bucketName": bucket.name, "authenticationSource": "pod"},
            ),
        ),
        opts=own,
    )
    made = core.PersistentVolumeClaim(
        name,
        metadata=meta.ObjectMetaArgs(name=claim, namespace=namespace, labels=dict(labels)),
        spec=core.PersistentVolumeClaimSpecArgs(
            access_modes=[mode],
            storage_class_name=CLASS,
            volume_name=named,
            resources=core.VolumeResourceRequirementsArgs(requests={"storage": SIZE}),
        ),
        opts=own,
    )
    source = core.PersistentVolumeClaimVolumeSourceArgs(
        claim_name=made.metadata.name,  # type: ignore[reportAttributeAccessIssue]
        read_only=read_only,
    )
    return Attached(core.VolumeArgs(name="weights", persistent_volume_claim=source), made=(volume, made))
