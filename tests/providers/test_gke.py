"""A GKE stack in plain pulumi-gcp, from nothing to nothing under the real engine. The tests build on each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.judges.cloud_checks import Failed, checkov_cloud
from tests.judges.terraform_plan import exported
from tests.providers.conftest import Project, changing

pytestmark = pytest.mark.engine

BUCKET = "gcp:storage/bucket:Bucket"
CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"


@pytest.fixture(scope="module")
def stack(make_project: Callable[..., Project]) -> Project:
    return make_project("gke")


def pool(stack: Project) -> str:
    """The id of the GPU pool."""
    (found,) = (each.id for each in stack.cloud.objects(POOL) if "guestAccelerators" in each.inputs["nodeConfig"])
    return found


def test_a_preview_makes_nothing(stack: Project) -> None:
    assert "gcp:container:NodePool" in stack.preview()
    assert stack.cloud.objects() == []
    assert stack.cloud.calls() == []


def test_a_wrong_input_stops_a_preview_and_is_named_by_its_path(stack: Project) -> None:
    stack.settings["nodes"] = 0
    text = stack.preview(refused=True)
    del stack.settings["nodes"]
    assert "autoscaling.totalMaxNodeCount: expected at least 1, got 0" in text


def test_up_makes_everything_under_made_up_names(stack: Project) -> None:
    stack.up()
    assert len(stack.cloud.objects()) == 9
    bucket = stack.only(BUCKET)
    assert bucket.id.startswith("weights-")
    assert len(bucket.id) == len("weights-") + 7
    assert stack.only(CLUSTER).id.startswith("projects/demo-project/locations/us-central1/clusters/llm-")


def test_outputs_are_what_the_cloud_computes(stack: Project) -> None:
    outputs = stack.outputs()
    assert outputs["bucket"] == f"gs://{stack.only(BUCKET).id}"
    assert [url.rsplit("/", 3)[1] for url in outputs["groups"]] == ["us-central1-a"]


def test_a_gpu_pool_beside_a_plain_one_gets_the_taint_of_gke(stack: Project) -> None:
    assert stack.outputs()["taints"] == ["nvidia.com/gpu"]


def test_checkov_reads_the_exported_stack_and_what_belongs_to_what(stack: Project, tmp_path: Path) -> None:
    (judged,) = checkov_cloud(tmp_path, exported(stack.resources()))
    assert {
        Failed("CKV_GCP_29", "google_storage_bucket.weights"),
        Failed("CKV_GCP_70", "google_container_cluster.llm"),
    } <= judged.passed
    assert {
        Failed("CKV_GCP_68", "google_container_node_pool.l4"),  # no secure boot
        Failed("CKV_GCP_64", "google_container_cluster.llm"),
        Failed("CKV2_GCP_18", "google_compute_network.llm"),
    } <= judged.failed


def test_a_second_up_changes_nothing(stack: Project) -> None:
    since = len(stack.cloud.calls())
    stack.up("--expect-no-changes")
    assert stack.cloud.calls()[since:] == []


def test_a_label_and_a_limit_change_in_place(stack: Project) -> None:
    before, since = pool(stack), len(stack.cloud.calls())
    stack.settings |= {"label": "l4-large", "nodes": 4}
    stack.up()
    assert changing(stack, since) == [("update", POOL)]
    assert pool(stack) == before
    (changed,) = (each for each in stack.cloud.objects(POOL) if each.id == before)
    assert changed.outputs["nodeConfig"]["labels"] == {"pool": "l4-large"}
    assert changed.outputs["nodeConfig"]["effectiveTaints"]


def test_spot_replaces_a_pool_without_a_name_and_the_new_one_comes_first(stack: Project) -> None:
    before, since = pool(stack), len(stack.cloud.calls())
    stack.settings |= {"spot": True}
    stack.up()
    assert changing(stack, since) == [("create", POOL), ("delete", POOL)]
    assert pool(stack) != before


def test_a_pool_with_a_name_of_its_own_goes_before_its_replacement_comes(stack: Project) -> None:
    stack.settings |= {"pool_name": "gpu"}
    stack.up()
    since = len(stack.cloud.calls())
    stack.settings |= {"spot": False}
    stack.up()
    assert changing(stack, since) == [("delete", POOL), ("create", POOL)]


def test_a_change_behind_the_engines_back_is_seen_by_refresh_and_undone_by_up(stack: Project) -> None:
    bucket = stack.only(BUCKET)
    stack.cloud.drift(bucket, publicAccessPrevention="inherited")
    assert "publicAccessPrevention" in stack.refresh("--diff")
    since = len(stack.cloud.calls())
    stack.up()
    assert changing(stack, since) == [("update", BUCKET)]
    assert stack.only(BUCKET).inputs["publicAccessPrevention"] == "enforced"


def test_what_somebody_deleted_is_made_again_after_a_refresh(stack: Project) -> None:
    (gone,) = (each for each in stack.cloud.objects(POOL) if each.id == pool(stack))
    stack.cloud.remove(gone)
    stack.refresh()
    stack.up()
    assert pool(stack) == gone.id


def test_a_protected_cluster_and_a_bucket_that_is_not_empty_survive_destroy(stack: Project) -> None:
    stack.settings |= {"deletion_protection": True}
    stack.up()
    with stack.cloud.changed() as state:
        state.of_type(BUCKET)[0].contents = 3
    text = stack.destroy("--continue-on-error", refused=True)
    assert "deletionProtection" in text
    assert "is not empty" in text
    assert {BUCKET, CLUSTER} <= {each.type for each in stack.cloud.objects()}


def test_a_bucket_under_the_engines_own_protection_survives_destroy(stack: Project) -> None:
    stack.settings |= {"deletion_protection": False, "protect": True}
    stack.up()
    assert "protect" in stack.destroy(refused=True)
    assert stack.only(BUCKET)


def test_destroy_leaves_nothing_once_protection_is_off(stack: Project) -> None:
    with stack.cloud.changed() as state:
        state.of_type(BUCKET)[0].contents = 0
    stack.settings |= {"protect": False}
    stack.up()
    stack.destroy()
    assert stack.cloud.objects() == []
    assert stack.resources() == []
