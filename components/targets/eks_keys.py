"""What the parts of an EKS cluster share: where it is, the key that encrypts, log groups, policies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from modelberth.targets import Eks

from ..options import child

VERSION = "2012-10-17"
"""Of the policy language."""
RETENTION_DAYS = 365
DELETION_DAYS = 30


@dataclass(frozen=True)
class Surroundings:
    """What a cluster and its pools share: names, tags, provider."""

    name: str
    prefix: str
    of: Eks
    labels: Mapping[str, str]
    provider: aws.Provider
    parent: pulumi.Resource


@dataclass(frozen=True)
class Key:
    """The key for secrets, logs and weights: its ARN, and its alias where it is made, which is known before it is."""

    arn: pulumi.Input[str]
    alias: str | None = None


def key(around: Surroundings) -> Key:
    """The key that exists, or one that is made: kept when the stack goes, for what it encrypted needs it."""
    of = around.of
    if of.kms_key:
        return Key(of.kms_key)
    alias = f"alias/{around.prefix}"
    kept = child(around.parent, provider=around.provider, protect=of.deletion_protection, retain_on_delete=True)
    made = aws.kms.Key(
        f"{around.name}-key",
        description=f"Secrets, logs and weights of {around.prefix}",
        enable_key_rotation=True,
        deletion_window_in_days=DELETION_DAYS,
        policy=_key_policy(around),
        tags=dict(around.labels),
        opts=kept,
    )
    aws.kms.Alias(  # goes with the stack: the next one of that name gives it to a key of its own
        f"{around.name}-key",
        name=alias,
        target_key_id=made.id,
        opts=child(around.parent, provider=around.provider),
    )
    return Key(made.arn, alias)


def _key_policy(around: Surroundings) -> str:
    """The account decides by its own policies; CloudWatch Logs may encrypt this cluster's log groups and no others
    (docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html).
    """
    of = around.of
    groups = [
        f"arn:{of.partition}:logs:{of.region}:{of.account}:log-group:/aws/{kind}/{around.prefix}*"
        for kind in ("eks", "vpc")
    ]
    uses = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    return policy(
        {
            "Sid": "Account",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{of.partition}:iam::{of.account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{of.region}.amazonaws.com"},
            "Action": uses,
            "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
        },
    )


def log_group(around: Surroundings, which: str, name: str, key: Key) -> aws.cloudwatch.LogGroup:
    """Logs for a year, encrypted. AWS would make a group that keeps them for ever."""
    return aws.cloudwatch.LogGroup(
        f"{around.name}-{which}",
        name=name,
        retention_in_days=RETENTION_DAYS,
        kms_key_id=key.arn,
        opts=child(around.parent, provider=around.provider),
    )


def policy(*statements: Mapping[str, Any]) -> str:
    """A policy of statements."""
    return json.dumps({"Version": VERSION, "Statement": list(statements)})


def through_storage(around: Surroundings, key: Key, actions: Sequence[str]) -> Mapping[str, Any]:
    """A statement that lets S3 use the key for whoever may read or write an object, and nobody use it alone. A key that
    is made is named by its alias, so that what the statement allows is known before the key is.
    """
    of = around.of
    condition: dict[str, Any] = {"StringEquals": {"kms:ViaService": f"s3.{of.region}.amazonaws.com"}}
    if key.alias:
        condition["ForAnyValue:StringEquals"] = {"kms:ResourceAliases": key.alias}
    named = f"arn:{of.partition}:kms:{of.region}:{of.account}:key/*" if key.alias else of.kms_key
    return {"Effect": "Allow", "Action": list(actions), "Resource": [named], "Condition": condition}


def document(*allowed: tuple[Sequence[str], Sequence[str]]) -> str:
    """A policy that allows actions on resources and nothing else."""
    return policy(*({"Effect": "Allow", "Action": list(do), "Resource": list(on)} for do, on in allowed))


def trust(service: str, *more: str) -> str:
    """Who may take a role: one service of AWS."""
    actions = ["sts:AssumeRole", *more]
    return policy({"Effect": "Allow", "Principal": {"Service": service}, "Action": actions})
