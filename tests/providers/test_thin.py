"""The thinnest path: one bucket comes, stays and goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.providers.conftest import Project

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def stack(make_project: Callable[..., Project]) -> Project:
    return make_project("bucket")


def test_a_preview_makes_nothing(stack: Project) -> None:
    assert "gcp:storage:Bucket" in stack.preview()
    assert stack.cloud.objects() == []
    assert stack.cloud.calls() == []


def test_up_makes_the_bucket_under_a_made_up_name(stack: Project) -> None:
    stack.up()
    bucket = stack.only("gcp:storage/bucket:Bucket")
    assert bucket.id.startswith("weights-")
    assert len(bucket.id) == len("weights-") + 7
    assert stack.outputs() == {"url": f"gs://{bucket.id}"}


def test_a_second_up_changes_nothing(stack: Project) -> None:
    stack.up("--expect-no-changes")


def test_destroy_leaves_nothing(stack: Project) -> None:
    stack.destroy()
    assert stack.cloud.objects() == []
    assert stack.resources() == []
