"""Three of the points of `make test-faults`: a cluster's pool, a bucket, a change that replaces."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import rounds
from tests.faults.stacks import SCENARIOS

pytestmark = pytest.mark.engine
Prepare = Callable[[rounds.Scenario], rounds.Prepared]


def point(prepared: rounds.Prepared, method: str, type_: str, logical: str) -> rounds.Call:
    """The call of the undisturbed run."""
    (found,) = (
        each
        for each in prepared.calls
        if (each.method, each.type, each.urn.rpartition("::")[2]) == (method, type_, logical)
    )
    return found


def test_an_engine_that_is_killed_while_a_pool_is_made_makes_no_second_one(prepare: Prepare) -> None:
    prepared = prepare(SCENARIOS["up"])
    call = point(prepared, "create", "gcp:container/nodePool:NodePool", "l4")
    rounds.cut_off(prepared, call, "kill-engine-after")


def test_a_bucket_that_a_dying_provider_made_is_taken_over(prepare: Prepare) -> None:
    prepared = prepare(SCENARIOS["up"])
    call = point(prepared, "create", "gcp:storage/bucket:Bucket", "weights")
    rounds.cut_off(prepared, call, "crash-after")


def test_a_pool_that_was_half_replaced_is_replaced_once(prepare: Prepare) -> None:
    prepared = prepare(SCENARIOS["change"])
    call = point(prepared, "create", "gcp:container/nodePool:NodePool", "l4")
    rounds.cut_off(prepared, call, "kill-engine-after")
