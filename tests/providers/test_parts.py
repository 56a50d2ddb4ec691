"""All types that stacks are made of: made, left alone, changed in place and deleted under the real engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.providers import moto
from tests.providers.backend import Backend
from tests.providers.conftest import Project, changing

pytestmark = pytest.mark.engine

GKE = "gcp:container/cluster:Cluster"


@pytest.fixture(scope="module")
def amazon(make_project: Callable[..., Project]) -> Project:
    return make_project("aws_parts")


@pytest.fixture(scope="module")
def google(make_project: Callable[..., Project]) -> Project:
    project = make_project("gcp_parts", ring="llm", role="llm.reader")
    backend = Backend("gcp", project.cloud)
    backend.configured({"project": "demo-project", "region": "us-central1"})
    backend.put(GKE, {"name": "found", "location": "us-central1", "initialNodeCount": 1})
    return project


def test_the_parts_of_aws_are_made_and_known(amazon: Project) -> None:
    amazon.up()
    amazon.up("--expect-no-changes")
    assert amazon.outputs()["account"] == "123456789012"
    (group,) = amazon.cloud.objects("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert group.id == amazon.only("aws:ec2/vpc:Vpc").outputs["defaultSecurityGroupId"]


def test_a_server_of_the_apis_takes_the_parts_of_aws_and_shows_what_was_sent(amazon: Project) -> None:
    assert moto.problems(amazon.cloud.objects()) == []


def test_tags_texts_and_days_change_in_place(amazon: Project) -> None:
    since = len(amazon.cloud.calls())
    amazon.settings |= {"team": "platform", "days": 3}
    amazon.up()
    assert sorted(changing(amazon, since)) == [
        ("update", "aws:ec2/vpc:Vpc"),
        ("update", "aws:kms/key:Key"),
        ("update", "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"),
        ("update", "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"),
    ]


def test_the_parts_of_aws_go_again(amazon: Project) -> None:
    amazon.destroy()
    assert amazon.cloud.objects() == []


def test_the_parts_of_google_are_made_beside_a_cluster_that_is_there(google: Project) -> None:
    google.up()
    google.up("--expect-no-changes")
    assert google.outputs()["number"] == "123456789012"
    assert google.outputs()["endpoint"] == google.only(GKE).outputs["endpoint"]


def test_labels_and_titles_change_in_place_and_a_text_of_a_firewall_too(google: Project) -> None:
    since = len(google.cloud.calls())
    google.settings |= {"team": "platform"}
    google.up()
    assert sorted(changing(google, since)) == [
        ("update", "gcp:compute/firewall:Firewall"),
        ("update", "gcp:kms/cryptoKey:CryptoKey"),
        ("update", "gcp:projects/iAMCustomRole:IAMCustomRole"),
        ("update", "gcp:storage/bucket:Bucket"),
    ]


def test_a_found_cluster_stays_when_all_else_goes(google: Project) -> None:
    google.destroy()
    assert [each.type for each in google.cloud.objects()] == [GKE]
