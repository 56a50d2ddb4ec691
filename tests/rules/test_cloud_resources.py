"""What cases cannot show: dates, and resources that are tied by what they are computed from."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from modelberth.findings import Level
from modelberth.inventory import Inventory
from modelberth.observed import UNKNOWN
from modelberth.resources import Options, Resource
from modelberth.rules.base import Settings
from tests.rules.cases import Case, Seen, clusters, storage
from tests.rules.samples import rule


def stack(*there: Seen | dict[str, Any], **computed: tuple[int, str]) -> Inventory:
    """Resources of one stack; ``r1=(0, "bucket")`` computes that property of the second from the first."""
    resources = list(Case("", "", there).resources)
    for name, (source, prop) in computed.items():
        index = int(name[1:])
        resources[index] = replace(resources[index], property_dependencies={prop: (resources[source].urn,)})
    return Inventory(tuple(resources))


def across(rule_id: str, inventory: Inventory) -> list[tuple[str, str]]:
    asked = rule(rule_id)
    found = asked.over(inventory, Settings(values=asked.defaults))
    return [(by.name if by else "", str(finding)) for by, finding in found if finding.level is Level.ERROR]


@pytest.mark.parametrize(
    ("today", "said", "level"),
    [
        (date(2026, 7, 29), "", None),
        (date(2026, 7, 30), "standard support of 1.33 ended on 2026-07-29", Level.WARNING),
        (date(2027, 7, 29), "standard support of 1.33 ended on 2026-07-29", Level.WARNING),
        (date(2027, 7, 30), "extended support of 1.33 ended on 2027-07-29", Level.ERROR),
    ],
)
def test_a_version_is_maintained_until_the_last_day_of_its_support(today: date, said: str, level: Level | None) -> None:
    (cluster,) = Case("CS-05", "", (clusters.eks(version="1.33"),)).resources
    found = rule("CS-05").about(cluster, Settings(today=today))
    assert [(said in finding.message, finding.level) for finding in found] == ([(True, level)] if said else [])


def test_a_block_belongs_to_the_bucket_that_it_is_computed_from() -> None:
    parts = (storage.block(UNKNOWN), storage.versions(bucket=UNKNOWN))
    tied = stack(storage.s3(), storage.s3("docs"), *parts, r2=(0, "bucket"), r3=(0, "bucket"))
    assert across("CS-07", tied) == []
    swapped = stack(storage.s3(), storage.s3("docs"), *parts, r2=(1, "bucket"), r3=(1, "bucket"))
    assert {by for by, _ in across("CS-07", swapped)} == {"r0"}


def test_a_bucket_from_which_a_server_is_computed_holds_weights() -> None:
    open_bucket = storage.gcs("chat-7b", publicAccessPrevention=None)
    assert across("CS-07", stack(open_bucket, storage.mounting(UNKNOWN), r1=(0, "spec")))
    assert not across("CS-07", stack(open_bucket, storage.mounting("elsewhere")))


def test_a_member_that_is_computed_from_an_account_is_not_everyone() -> None:
    account: Seen = ("gcp:serviceaccount/account:Account", {"accountId": "uploader"})
    there = (account, storage.gcs("docs", publicAccessPrevention=None), storage.grant(UNKNOWN, bucket="docs"))
    assert across("CS-07", stack(*there))
    assert across("CS-07", stack(*there, r2=(0, "member"))) == []


def test_options_are_no_matter_for_what_comes_from_a_file() -> None:
    type_, inputs = storage.gcs()
    written = Resource(type_, "weights", inputs, options=Options(protect=False), from_program=False)
    assert rule("CS-08").about(written, Settings()) == []
    assert rule("CS-08").about(replace(written, from_program=True), Settings())
