"""Quotas of an AWS account as the aws command prints them.

The document holds ServiceQuota of the Service Quotas API, which says limits and not what is in use
(docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ServiceQuota.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter

from modelberth.clouds.limits import Ask, Limit
from modelberth.clouds.quotas import QuotaNeed
from modelberth.targets import Eks


@dataclass(frozen=True)
class _Quota:
    QuotaArn: str
    QuotaCode: str
    Value: float | None = None


@dataclass(frozen=True)
class _Quotas:
    Quotas: list[_Quota]


def asks(of: Eks, needs: Iterable[QuotaNeed]) -> Iterator[Ask]:
    """The command that prints what is needed."""
    if any(need.code for need in needs):
        words = ("aws", "service-quotas", "list-service-quotas", "--service-code", "ec2")
        yield Ask((*words, "--region", of.region, "--output", "json"))


def limits(text: str) -> tuple[Limit, ...]:
    """What the document says; a quota without a value is not known. Raises ValueError for any other document."""
    found = TypeAdapter(_Quotas).validate_json(text).Quotas
    return tuple(_limit(each, each.Value) for each in found if each.Value is not None)


def _limit(quota: _Quota, value: float) -> Limit:
    _, _, _, region, account, _ = quota.QuotaArn.split(":", 5)
    return Limit(account, region, quota.QuotaCode, value)


def how_to_raise(of: Eks, need: QuotaNeed, amount: int) -> str:
    """The command that asks for a larger limit."""
    words = "aws service-quotas request-service-quota-increase --service-code ec2"
    return f"{words} --quota-code {need.code} --desired-value {amount} --region {of.region}"
