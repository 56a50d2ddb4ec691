"""An EKS stack in plain pulumi-aws, from nothing to nothing under the real engine. The tests build on each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.judges.cloud_checks import Failed, checkov_cloud
from tests.judges.terraform_plan import exported
from tests.providers import moto
from tests.providers.conftest import Project, changing

pytestmark = pytest.mark.engine

BUCKET = "aws:s3/bucket:Bucket"
CLUSTER = "aws:eks/cluster:Cluster"
GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


@pytest.fixture(scope="module")
def stack(make_project: Callable[..., Project]) -> Project:
    return make_project("eks")


def test_up_makes_everything(stack: Project) -> None:
    stack.up()
    assert len(stack.cloud.objects()) == 18
    assert stack.only(GROUP).id.startswith(f"{stack.only(CLUSTER).id}:l40s-")


def test_outputs_are_what_the_cloud_computes(stack: Project) -> None:
    outputs = stack.outputs()
    assert outputs["template_version"] == 1
    assert outputs["scaling_group"].startswith("eks-l40s-")
    assert outputs["security_group"].startswith("sg-")
    assert outputs["tags"] == {"team": "llm"}


def test_checkov_reads_the_exported_stack_and_what_belongs_to_what(stack: Project, tmp_path: Path) -> None:
    (judged,) = checkov_cloud(tmp_path, exported(stack.resources()))
    assert {
        Failed("CKV2_AWS_6", "aws_s3_bucket.weights"),  # its public access block is found by reference
        Failed("CKV_AWS_21", "aws_s3_bucket.weights"),  # and so is its versioning
        Failed("CKV_AWS_79", "aws_launch_template.l40s"),
    } <= judged.passed
    assert {
        Failed("CKV_AWS_58", "aws_eks_cluster.llm"),  # the program encrypts no secrets
        Failed("CKV2_AWS_61", "aws_s3_bucket.weights"),
        Failed("CKV_AWS_55", "aws_s3_bucket_public_access_block.weights"),
    } <= judged.failed


def test_a_server_of_the_apis_takes_every_request_and_shows_what_was_sent(stack: Project) -> None:
    assert moto.problems(stack.cloud.objects()) == []


def test_a_second_up_changes_nothing(stack: Project) -> None:
    since = len(stack.cloud.calls())
    stack.up("--expect-no-changes")
    assert stack.cloud.calls()[since:] == []


def test_a_changed_template_is_a_new_version_that_rolls_the_group_in_place(stack: Project) -> None:
    before, since = stack.only(GROUP).id, len(stack.cloud.calls())
    stack.settings |= {"disk_gib": 300}
    stack.up()
    assert changing(stack, since) == [("update", TEMPLATE), ("update", GROUP)]
    assert stack.only(GROUP).id == before
    assert stack.only(GROUP).inputs["launchTemplate"]["version"] == "2"


def test_another_capacity_type_replaces_the_group_and_the_new_one_comes_first(stack: Project) -> None:
    before, since = stack.only(GROUP).id, len(stack.cloud.calls())
    stack.settings |= {"capacity_type": "SPOT"}
    stack.up()
    assert changing(stack, since) == [("create", GROUP), ("delete", GROUP)]
    assert stack.only(GROUP).id != before


def test_a_change_behind_the_engines_back_is_seen_by_refresh_and_undone_by_up(stack: Project) -> None:
    scaling = {"minSize": 0, "desiredSize": 2, "maxSize": 7}
    stack.cloud.drift(stack.only(GROUP), scalingConfig=scaling)
    assert "maxSize" in stack.refresh("--diff")
    stack.up()
    assert stack.only(GROUP).inputs["scalingConfig"] == {"minSize": 0, "desiredSize": 0, "maxSize": 2}


def test_a_protected_cluster_survives_destroy(stack: Project) -> None:
    stack.settings |= {"deletion_protection": True}
    stack.up()
    assert "deletionProtection" in stack.destroy(refused=True)
    assert stack.only(CLUSTER)


def test_destroy_leaves_nothing_once_protection_is_off(stack: Project) -> None:
    stack.settings |= {"deletion_protection": False}
    stack.up()
    stack.destroy()
    assert stack.cloud.objects() == []
    assert stack.resources() == []
