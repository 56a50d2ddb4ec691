"""Each kind of fault, and the way back from it: what there is at the end is what there would have been without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.providers import faults
from tests.providers.cloud import Fault
from tests.providers.conftest import Project

pytestmark = pytest.mark.engine

BUCKET = "gcp:storage/bucket:Bucket"
POOL = "gcp:container/nodePool:NodePool"
ALL = ["gcp:container/cluster:Cluster", POOL, BUCKET]


@pytest.fixture(scope="module")
def stack(make_project: Callable[..., Project]) -> Project:
    project = make_project("small")
    project.up()
    return project


def settled(stack: Project) -> None:
    """State and cloud hold the same, once each, and nothing is left to do."""
    stack.up("--expect-no-changes")
    assert sorted(each.type for each in stack.cloud.objects()) == sorted(ALL)
    assert {each["id"] for each in stack.resources()} == {each.id for each in stack.cloud.objects()}
    assert stack.pending() == []


def without_bucket(stack: Project) -> None:
    stack.settings["bucket"] = False
    stack.up()
    stack.settings["bucket"] = True


def test_what_the_cloud_refuses_in_whatever_way_is_made_by_the_next_up(stack: Project) -> None:
    without_bucket(stack)
    for kind in sorted(faults.REFUSING):
        stack.plan(Fault(kind, method="create", type=BUCKET))
        assert faults.MESSAGES["gcp"][kind] in stack.up(refused=True)
        assert stack.cloud.objects(BUCKET) == []
    stack.up()
    settled(stack)


@pytest.mark.parametrize("kind", sorted(faults.HALF_DONE))
def test_a_pool_that_came_but_never_worked_is_kept_and_mended(stack: Project, kind: str) -> None:
    stack.cloud.remove(stack.only(POOL))
    stack.refresh()
    stack.plan(Fault(kind, method="create", type=POOL))
    assert faults.MESSAGES["gcp"][kind] in stack.up(refused=True)
    half_done = stack.only(POOL)
    assert half_done.failed
    stack.up()
    assert stack.only(POOL).id == half_done.id
    assert not stack.only(POOL).failed
    settled(stack)


def test_a_provider_that_dies_before_it_made_anything_leaves_nothing_to_mend(stack: Project) -> None:
    without_bucket(stack)
    stack.plan(Fault("crash-before", method="create", type=BUCKET))
    assert "exited prematurely" in stack.up(refused=True)
    assert stack.cloud.objects(BUCKET) == []
    stack.up()
    settled(stack)


def test_what_a_provider_made_before_it_died_is_unknown_to_the_engine_and_can_be_imported(stack: Project) -> None:
    without_bucket(stack)
    stack.plan(Fault("crash-after", method="create", type=BUCKET))
    stack.up(refused=True)
    orphan = stack.only(BUCKET)
    assert stack.pending() == []
    assert orphan.id not in {each["id"] for each in stack.resources()}
    stack.take_over(BUCKET, "weights", orphan.id, provider="google")
    stack.up()
    assert stack.only(BUCKET).id == orphan.id
    settled(stack)


def test_an_update_that_was_done_but_never_answered_is_seen_by_refresh(stack: Project) -> None:
    stack.settings["step"] = "two"
    stack.plan(Fault("crash-after", method="update", type=BUCKET))
    stack.up(refused=True)
    assert stack.only(BUCKET).inputs["labels"] == {"step": "two"}
    stack.refresh()
    settled(stack)


def test_a_deletion_that_was_done_but_never_answered_is_seen_by_refresh(stack: Project) -> None:
    stack.settings["bucket"] = False
    stack.plan(Fault("crash-after", method="delete", type=BUCKET))
    stack.up(refused=True)
    stack.settings["bucket"] = True
    stack.refresh()
    stack.up()
    settled(stack)


def test_a_killed_engine_leaves_a_lock_and_a_pending_operation(stack: Project) -> None:
    without_bucket(stack)
    stack.plan(Fault("kill-engine-after", call=len(stack.cloud.calls()) + 1))
    stack.up(refused=True)
    assert stack.cloud.calls()[-1]["outcome"] == "kill-engine-after"
    orphan = stack.only(BUCKET)
    assert "lock" in stack.up(refused=True)
    assert stack.pulumi("cancel", "--yes").returncode == 0
    assert [each["type"] for each in stack.pending()] == ["creating"]
    stack.refresh("--clear-pending-creates")
    stack.take_over(BUCKET, "weights", orphan.id, provider="google")
    stack.up()
    assert stack.only(BUCKET).id == orphan.id
    settled(stack)


def test_a_delete_that_was_refused_is_done_by_the_next_destroy(stack: Project) -> None:
    stack.plan(Fault("throttle", method="delete"))
    assert "rateLimitExceeded" in stack.destroy(refused=True)
    stack.destroy()
    assert stack.cloud.objects() == []
