"""What a deployer must be allowed follows from the types that a stack registers, and no type is forgotten."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.clouds import aws_permissions, gcp_permissions, kinds
from modelberth.clouds.permissions import Unlisted, needs, rows
from tests.judges.terraform_plan import tables
from tests.providers.tables import document

STACKS = Path(__file__).resolve().parents[1] / "judges" / "stacks"
GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BUCKET, CLUSTER = "gcp:storage/bucket:Bucket", "aws:eks/cluster:Cluster"
FLOW_LOG, NODES = "aws:ec2/flowLog:FlowLog", "aws:eks/nodeGroup:NodeGroup"


def types(cloud: str) -> set[str]:
    return {each["type"] for each in yaml.safe_load((STACKS / f"{cloud}.yaml").read_text())["resources"]}


def statements(*wanted: str) -> list[dict[str, Any]]:
    return [each for text in aws_permissions.policies(wanted) for each in json.loads(text)["Statement"]]


@pytest.mark.parametrize("cloud", ["gcp", "aws"])
def test_every_type_that_a_stand_in_knows_has_a_row(cloud: str) -> None:
    assert sorted(document(cloud)["types"].keys() - rows(cloud).keys()) == []


@pytest.mark.parametrize("cloud", ["gcp", "aws"])
def test_every_row_is_of_a_type_that_exists(cloud: str) -> None:
    assert sorted(rows(cloud).keys() - tables()["types"].keys()) == []


@pytest.mark.parametrize("cloud", ["gcp", "aws"])
def test_every_type_can_be_made_and_read_back(cloud: str) -> None:
    assert [row.type for row in rows(cloud).values() if not (row.create and row.read)] == []


def test_the_call_that_makes_something_at_a_stand_in_is_allowed() -> None:
    described = document("aws")["types"].items()
    made = {token: row["operation"].partition("/")[0] for token, row in described if "operation" in row}
    assert len(made) > 10
    assert sorted(call for token, call in made.items() if call not in rows("aws")[token].create) == []


def test_all_types_without_a_row_are_named_at_once_and_where_to_add_them() -> None:
    with pytest.raises(Unlisted) as caught:
        needs("gcp", [BUCKET, "gcp:spanner/instance:Instance", "gcp:bigtable/table:Table"])
    assert str(caught.value) == (
        "no row says what a deployer needs for gcp:bigtable/table:Table, gcp:spanner/instance:Instance: "
        "add it to modelberth/clouds/permissions_gcp.yaml"
    )


def test_a_clouds_permissions_are_those_of_its_own_types_only() -> None:
    assert gcp_permissions.permissions([CLUSTER, "kubernetes:apps/v1:Deployment"]) == ()
    assert aws_permissions.permissions([BUCKET]) == ()
    assert aws_permissions.policies([BUCKET]) == ()


def test_a_bucket_alone_takes_what_buckets_take_and_nothing_else() -> None:
    assert gcp_permissions.permissions([BUCKET, BUCKET]) == (
        "storage.buckets.create",
        "storage.buckets.delete",
        "storage.buckets.get",
        "storage.buckets.update",
        "storage.objects.list",
    )


def test_only_what_runs_as_an_account_asks_for_acting_as_one() -> None:
    assert gcp_permissions.ACT_AS in gcp_permissions.permissions(["gcp:container/nodePool:NodePool"])
    assert gcp_permissions.ACT_AS not in gcp_permissions.permissions([BUCKET])


def test_two_types_take_what_either_takes_once() -> None:
    both = gcp_permissions.permissions(types("gke"))
    assert both == tuple(sorted(set(both)))
    assert set(gcp_permissions.permissions([BUCKET])) < set(both)


def test_the_custom_role_is_one_that_gcloud_reads() -> None:
    role = yaml.safe_load(gcp_permissions.custom_role(types("gke")))
    assert role.keys() == {"title", "description", "stage", "includedPermissions"}
    assert tuple(role["includedPermissions"]) == gcp_permissions.permissions(types("gke"))


def test_an_action_has_its_operations_name_or_the_one_that_the_table_says() -> None:
    assert aws_permissions.action("eks.CreateNodegroup") == "eks:CreateNodegroup"
    assert aws_permissions.action("s3.HeadBucket") == "s3:ListBucket"


def test_every_other_name_is_of_an_operation_that_some_row_calls() -> None:
    called = {call for row in rows("aws").values() for call in row.calls}
    assert sorted(aws_permissions.other_names().keys() - called) == []


def test_the_policies_allow_the_actions_and_each_in_one_statement() -> None:
    allowed = [action for each in statements(*types("eks")) for action in each["Action"]]
    assert sorted(allowed) == list(aws_permissions.permissions(types("eks")))


def test_a_role_may_only_be_handed_to_the_services_that_get_one() -> None:
    passed = {each["Sid"]: each for each in statements(CLUSTER, FLOW_LOG, NODES)}["PassRole"]
    assert passed["Condition"] == {
        "StringEquals": {
            "iam:PassedToService": ["ec2.amazonaws.com", "eks.amazonaws.com", "vpc-flow-logs.amazonaws.com"]
        }
    }


def test_linked_roles_may_only_be_made_for_the_services_that_want_one() -> None:
    made = {each["Sid"]: each for each in statements(CLUSTER, NODES)}["CreateServiceLinkedRole"]
    assert made["Condition"]["StringEquals"]["iam:AWSServiceName"] == [
        "eks-nodegroup.amazonaws.com",
        "eks.amazonaws.com",
    ]
    assert "CreateServiceLinkedRole" not in {each["Sid"] for each in statements("aws:s3/bucket:Bucket")}


def test_no_policy_is_longer_than_a_managed_policy_may_be_whatever_a_stack_registers() -> None:
    documents = aws_permissions.policies(rows("aws"))
    lengths = [len(json.dumps(json.loads(each), separators=(",", ":"))) for each in documents]
    assert len(lengths) > 1
    assert max(lengths) <= aws_permissions.LONGEST_POLICY


def test_no_action_is_a_wildcard() -> None:
    every = (*aws_permissions.permissions(rows("aws")), *gcp_permissions.permissions(rows("gcp")))
    assert [each for each in every if "*" in each] == []


@functools.cache
def golden_types() -> frozenset[str]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = (yaml.load_all(path.read_text(), loader) for path in GOLDEN.glob("*/resources.yaml"))
    return frozenset(each["type"] for registrations in found for each in registrations)


def test_every_type_that_our_stacks_register_has_a_row() -> None:
    gcp_permissions.permissions(golden_types())
    aws_permissions.permissions(golden_types())


def test_every_kind_that_our_components_render_has_a_row() -> None:
    found = kinds.access(golden_types())
    assert found.cluster
    assert found.namespace


def test_a_deployment_asks_for_itself_and_for_seeing_what_shows_that_it_is_ready() -> None:
    found = kinds.access(["kubernetes:apps/v1:Deployment"])
    assert found.cluster == ()
    assert set(found.namespace) == {
        kinds.Rule("", kinds.WATCHED, ("events", "persistentvolumeclaims", "pods")),
        kinds.Rule("apps", kinds.WATCHED, ("replicasets",)),
        kinds.Rule("apps", kinds.MANAGED, ("deployments",)),
    }


def test_what_is_managed_is_not_listed_again_as_watched() -> None:
    rules = kinds.access(["kubernetes:apps/v1:Deployment", "kubernetes:core/v1:PersistentVolumeClaim"]).namespace
    (managed,) = (rule for rule in rules if "persistentvolumeclaims" in rule.resources)
    assert managed.verbs == kinds.MANAGED


def test_what_lies_in_no_namespace_is_asked_for_in_the_cluster() -> None:
    found = kinds.access(["kubernetes:core/v1:Namespace", "kubernetes:core/v1:Service"])
    assert found.cluster == (kinds.Rule("", kinds.MANAGED, ("namespaces",)),)
    assert "namespaces" not in {resource for rule in found.namespace for resource in rule.resources}


def test_a_claim_asks_how_its_class_binds_and_classes_lie_in_no_namespace() -> None:
    found = kinds.access(["kubernetes:core/v1:PersistentVolumeClaim"])
    assert found.cluster == (kinds.Rule("storage.k8s.io", kinds.WATCHED, ("storageclasses",)),)


def test_a_release_of_helm_and_components_are_no_objects() -> None:
    others = ["kubernetes:helm.sh/v3:Release", "kubernetes:yaml:ConfigFile", "modelberth:index:LLMService"]
    assert kinds.access(others) == kinds.Access((), ())


def test_a_kind_without_a_row_is_named() -> None:
    with pytest.raises(Unlisted, match=r"what batch/CronJob, ghost\.io/Ghost is called in its API: add it to"):
        kinds.access(["kubernetes:batch/v1:CronJob", "kubernetes:ghost.io/v1:Ghost", "kubernetes:batch/v1:Job"])


def test_the_roles_are_two_of_rbac_and_one_where_nothing_lies_outside_namespaces() -> None:
    both = list(yaml.safe_load_all(kinds.cluster_roles(golden_types())))
    assert [each["metadata"]["name"] for each in both] == ["modelberth-deployer", "modelberth-deployer-namespaced"]
    (one,) = yaml.safe_load_all(kinds.cluster_roles(["kubernetes:core/v1:Service"]))
    assert one["metadata"]["name"] == "modelberth-deployer-namespaced"
    assert one["rules"] == [
        {"apiGroups": [""], "resources": ["endpoints"], "verbs": list(kinds.WATCHED)},
        {"apiGroups": [""], "resources": ["services"], "verbs": list(kinds.MANAGED)},
    ]
