"""Buckets for weights on Google Cloud, who may read them, and how pods see them as files."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s

from ..options import child
from .base import Attached, Bucket
from .gke_cluster import Key, Surroundings
from .names import limited

core = k8s.core.v1
WEEK_S = 7 * 24 * 3600
READ, WRITE = "roles/storage.objectViewer", "roles/storage.objectUser"
READ_OPTIONS = "implicit-dirs,metadata-cache:ttl-secs:-1,file-cache:enable-parallel-downloads:false"
WRITE_OPTIONS = "implicit-dirs"


def found(existing: pulumi.Input[str]) -> Bucket:
    """The bucket that exists. Cloud Storage opens what its key encrypted for whoever may read it."""
    name = pulumi.Output.from_input(existing)
    return Bucket(name, pulumi.Output.concat("gs://", name))


def make(
    name: str,
    labels: Mapping[str, str],
    around: Surroundings,
    key: Key,
    parent: pulumi.Resource,
) -> Bucket:
    """A bucket in the cluster's region."""
    bucket = gcp.storage.Bucket(
        f"{name}-bucket",
        name=limited(f"{around.of.project}-{around.prefix}-{name}".replace("google", "g"), 63),
        location=around.of.region.upper(),
        uniform_bucket_level_access=True,
        public_access_prevention="enforced",
        versioning=gcp.storage.BucketVersioningArgs(enabled=True),
        soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=WEEK_S),
        encryption=gcp.storage.BucketEncryptionArgs(default_kms_key_name=key.name),
        lifecycle_rules=[
            gcp.storage.BucketLifecycleRuleArgs(
                action=gcp.storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
                condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=1),
            ),
            gcp.storage.BucketLifecycleRuleArgs(
                action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
                condition=gcp.storage.BucketLifecycleRuleConditionArgs(days_since_noncurrent_time=7),
            ),
        ],
        force_destroy=False,
        labels={**around.labels, **labels},
        opts=child(
            parent,
            provider=around.provider,
            protect=True,
            retain_on_delete=True,
            depends_on=list(key.grants),
        ),
    )
    return Bucket(bucket.name, pulumi.Output.concat("gs://", bucket.name), (bucket,))


def may_use(
    name: str,
    bucket: Bucket,
    namespace: pulumi.Input[str],
    account: pulumi.Input[str],
    around: Surroundings,
    parent: pulumi.Resource,
    *,
    write: bool,
) -> list[pulumi.Resource]:
    """A grant on the bucket alone to the pods of one ServiceAccount: no account of Google's, no key.

    The principal is spelled with the project's number, then its id
    (cloud.google.com/kubernetes-engine/docs/how-to/workload-identity).
    """
    pool = f"projects/{around.of.project_number}/locations/global/workloadIdentityPools/{around.of.project}.svc.id.goog"
    member = pulumi.Output.format("principal://iam.googleapis.com/{0}/subject/ns/{1}/sa/{2}", pool, namespace, account)
    return [
        gcp.storage.BucketIAMMember(
            f"{name}-{'writer' if write else 'reader'}",
            bucket=bucket.name,
            role=WRITE if write else READ,
            member=member,
            opts=child(parent, provider=around.provider),
        )
    ]


def attach(bucket: Bucket, *, read_only: bool) -> Attached:
    """The bucket by GKE's own driver, whose sidecar reads with the pod's identity."""
    options = READ_OPTIONS if read_only else WRITE_OPTIONS
    source = core.CSIVolumeSourceArgs(
        driver="gcsfuse.csi.storage.gke.io",
        read_only=read_only,
        volume_attributes={
            "bucketName": bucket.name,
            "mountOptions": ",".join([options, *([f"only-dir:{bucket.prefix}"] if bucket.prefix else [])]),
        },
    )
    return Attached(core.VolumeArgs(name="weights", csi=source), {"gke-gcsfuse/volumes": "true"})
