"""What a deployer must be allowed follows from the types that a stack registers, and no type is forgotten."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.catalog import catalog
from modelberth.clouds import aws_limits, aws_permissions, commands, gcp_limits, gcp_permissions, kinds, live
from modelberth.clouds.permissions import Unlisted, needs, rows
from modelberth.clouds.quotas import needs as needs_of
from modelberth.names import Capacity
from tests.judges.terraform_plan import tables
from tests.providers.tables import document

ROOT = Path(__file__).resolve().parents[2]
STACKS, GOLDEN = ROOT / "tests" / "judges" / "stacks", ROOT / "tests" / "golden"
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
    assert set(role["includedPermissions"]) < set(gcp_permissions.permissions(types("gke")))


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
def golden_stacks() -> tuple[frozenset[str], ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = (yaml.load_all(path.read_text(), loader) for path in sorted(GOLDEN.glob("*/resources.yaml")))
    return tuple(frozenset(each["type"] for each in registrations) for registrations in found)


def golden_types() -> frozenset[str]:
    return frozenset().union(*golden_stacks())


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


def test_iam_spells_built_in_objects_by_their_kind_and_tells_no_custom_resource_from_another() -> None:
    policy, scaled = "kubernetes:networking.k8s.io/v1:NetworkPolicy", "kubernetes:keda.sh/v1alpha1:ScaledObject"
    made = gcp_permissions.objects([policy, scaled])
    assert {each.rpartition(".")[0] for each in made} == {"container.networkPolicies", "container.thirdPartyObjects"}
    assert {each.rpartition(".")[2] for each in made} == {"create", "delete", "get", "list", "update"}


def test_what_only_shows_that_an_object_is_ready_is_read_by_iam_too() -> None:
    allowed = set(gcp_permissions.objects(["kubernetes:apps/v1:Deployment"]))
    assert {each for each in allowed if "replicaSets" in each} == {
        "container.replicaSets.get",
        "container.replicaSets.list",
    }


def test_the_deployers_role_grants_no_role_and_the_one_that_does_has_a_condition() -> None:
    role = yaml.safe_load(gcp_permissions.custom_role(types("gke")))["includedPermissions"]
    assert set(gcp_permissions.permissions(types("gke"))) - set(role) == set(gcp_permissions.GRANTS)
    said = yaml.safe_load(gcp_permissions.condition(["roles/two", "roles/one"]))
    assert said["expression"].endswith(".hasOnly(['roles/one', 'roles/two'])")


def test_a_command_takes_what_the_longest_row_says_that_it_begins_as() -> None:
    assert commands.to_run(["gcloud compute networks list --project=p"]) == ("compute.networks.list",)
    assert commands.to_run(["gcloud compute networks subnets list --project=p"]) == ("compute.subnetworks.list",)


def test_commands_without_a_row_are_named_at_once_and_where_to_add_them() -> None:
    with pytest.raises(Unlisted, match=r"to run gcloud dns zones list; gcloud sql list: add it to .*commands\.yaml"):
        commands.to_run(["gcloud sql list", "gcloud dns zones list", "gcloud kms keys list --location=l"])


def test_whatever_a_recovery_lists_and_whatever_asks_for_quotas_has_a_row_and_no_row_is_for_nothing() -> None:
    asked = [row.list for each in live.types() if (row := live.live(each)) and row.list]
    machines, ways = catalog().machines(), tuple(Capacity)
    wanted = [need for each in machines for way in ways for need in needs_of(each, 1, way) or ()]
    asked += map(str, (*gcp_limits.asks(tables_of("permission_tables").GKE, wanted),))
    asked += map(str, (*aws_limits.asks(tables_of("permission_tables").EKS, wanted),))
    assert commands.to_run(asked)
    assert [row for row in commands.rows() if not any(each.startswith(f"{row} ") for each in asked)] == []


# --- what a target can register ---------------------------------------------------------------------------------------


@functools.cache
def tables_of(name: str) -> Any:
    """A module of scripts/, which is no package."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize("target", ["gke", "eks", "existing"])
def test_every_type_that_a_target_can_register_has_a_row(target: str) -> None:
    can = tables_of("permission_tables").registered(target)
    gcp_permissions.permissions(can)
    aws_permissions.permissions(can)
    assert kinds.access(can).namespace


@pytest.mark.parametrize(("target", "clouds"), [("gke", {"gcp:"}), ("eks", {"aws:"}), ("existing", set[str]())])
def test_whatever_a_golden_stack_registers_its_target_can(target: str, clouds: set[str]) -> None:
    can, seen = tables_of("permission_tables").registered(target), set[str]()
    for registrations in golden_stacks():
        theirs = {token for token in registrations if not token.startswith(("pulumi:", "modelberth:"))}
        if {token[:4] for token in theirs if token.startswith(("gcp:", "aws:"))} == clouds:
            seen |= theirs
    assert len(seen) > 10
    assert sorted(seen - can) == []


@pytest.mark.parametrize(
    "token",
    [
        "kubernetes:core/v1:ConfigMap",
        "kubernetes:monitoring.coreos.com/v1:PodMonitor",
        "kubernetes:monitoring.coreos.com/v1:PrometheusRule",
        "kubernetes:keda.sh/v1alpha1:ScaledObject",
        "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute",
        "kubernetes:networking.gke.io/v1:HealthCheckPolicy",
        "kubernetes:networking.gke.io/v1:GCPBackendPolicy",
        "kubernetes:networking.k8s.io/v1:Ingress",
        "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet",
    ],
)
def test_options_that_no_golden_stack_of_a_cloud_takes_are_counted(token: str) -> None:
    assert token in tables_of("permission_tables").registered("gke")


def test_what_only_groups_of_nodes_or_a_karpenter_need_is_counted() -> None:
    can = tables_of("permission_tables").registered("eks")
    assert {"aws:ec2/securityGroup:SecurityGroup", "aws:ec2/placementGroup:PlacementGroup"} < can
    assert {"kubernetes:karpenter.sh/v1:NodePool", "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"} < can
    assert not any(".gke.io/" in each for each in can)


def test_a_new_kind_in_a_component_is_found_and_stops_the_generator_until_it_has_a_row() -> None:
    source = (
        "import pulumi_kubernetes as k8s\nimport pulumi_aws as aws\nbatch = k8s.batch.v1\nAPI = 'ghost.io/v1'\n"
        "batch.CronJob('a')\naws.sqs.Queue('b')\nk8s.apiextensions.CustomResource('c', api_version=API, kind='Ghost')\n"
    )
    found = tables_of("registered_types").in_source("components/new.py", source)
    assert found == {"kubernetes:batch/v1:CronJob", "aws:sqs/queue:Queue", "kubernetes:ghost.io/v1:Ghost"}
    with pytest.raises(Unlisted, match=r"batch/CronJob, ghost\.io/Ghost"):
        kinds.access(found)
    with pytest.raises(Unlisted, match="aws:sqs/queue:Queue"):
        aws_permissions.permissions(found)


def test_a_custom_resource_whose_kind_cannot_be_read_off_stops_the_generator() -> None:
    source = "import pulumi_kubernetes as k8s\nk8s.apiextensions.CustomResource('c', api_version=a, kind=b)\n"
    with pytest.raises(tables_of("registered_types").UnreadableKind, match=r"components/new\.py:2 makes"):
        tables_of("registered_types").in_source("components/new.py", source)
