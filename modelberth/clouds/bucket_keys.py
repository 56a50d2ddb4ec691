"""What opens a bucket that exists, where it is encrypted with a key of its own."""

from __future__ import annotations

from modelberth.targets import Target


def closed(target: Target, bucket: str) -> tuple[str, str] | None:
    """What is wrong where pods may read a bucket and not use its key, and the way out; None where they need not.

    S3 asks whoever reads for the key (docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html); Cloud
    Storage uses it by itself (cloud.google.com/storage/docs/encryption/customer-managed-keys).
    """
    if target.eks is None or target.eks.kms_key:
        return None
    message = f"pods may read {bucket} and use no key: encrypted with one of KMS, it answers AccessDenied as they start"
    return (
        message,
        "their roles in the key's policy, or kms_key of the target where the key lies in its region; else nothing",
    )
