"""What is left of an update that was cut off: what is taken over, what is deleted, what is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from modelberth import interrupted, recovery
from modelberth.cli import app
from modelberth.clouds.live import live, types
from modelberth.errors import ModelberthError
from modelberth.recovery import LABEL, Recovery, mark

PREFIX = "urn:pulumi:dev::chat"
PROVIDER = f"{PREFIX}::pulumi:providers:gcp::google"
CLUSTER, POOL, BUCKET, ACCOUNT = (
    "gcp:container/cluster:Cluster",
    "gcp:container/nodePool:NodePool",
    "gcp:storage/bucket:Bucket",
    "gcp:serviceaccount/account:Account",
)
CLUSTER_ID = "projects/p/locations/us-central1/clusters/llm-0000000"
POOLS = "gcloud container node-pools list --project=p --location=us-central1 --cluster=llm-0000000 --format=json"
CLUSTERS = "gcloud container clusters list --project=p --location=us-central1 --format=json"
BUCKETS = "gcloud storage buckets list --project=p --format=json"
OURS = {LABEL: "chat-dev"}
Json = dict[str, Any]


def resource(type_: str, logical: str, id_: str = "", /, *, made_up: bool = True, **inputs: Any) -> Json:
    defaults = {"__defaults": ["name"]} if made_up else {}
    urn = f"{PREFIX}::{type_}::{logical}"
    state = {"urn": urn, "type": type_, "custom": True, "id": id_, "provider": f"{PROVIDER}::1", "parent": ""}
    return {**state, "inputs": {**defaults, **inputs}, "outputs": {"name": id_.rpartition("/")[2]}}


HELD = resource(CLUSTER, "llm", CLUSTER_ID, name="llm-0000000", location="us-central1")
WANTED_POOL = resource(POOL, "l4", name="l4-1111111", cluster=CLUSTER_ID)
WANTED_BUCKET = resource(BUCKET, "weights", name="weights-1111111")


def left(*wanted: Json, held: tuple[Json, ...] = (HELD,), pending: tuple[Json, ...] = ()) -> interrupted.Left:
    google = {"urn": PROVIDER, "type": "pulumi:providers:gcp", "custom": True, "id": "1"}
    google["inputs"] = {"project": "p", "region": "us-central1"}
    operations = [{"type": "creating", "resource": each} for each in pending]
    deployment = {"resources": [google, *held], "pending_operations": operations}
    steps = [{"op": "create", "urn": each["urn"], "newState": each} for each in wanted]
    return interrupted.left(json.dumps({"version": 3, "deployment": deployment}), json.dumps({"steps": steps}))


def codes(found: Recovery) -> list[str]:
    return [each.code for each in found.findings]


def taken(found: Recovery) -> list[str]:
    return [each.id for each in found.takeovers]


def test_the_cloud_is_asked_once_for_each_place_and_kind() -> None:
    second = resource(POOL, "h100", name="h100-1111111", cluster=CLUSTER_ID)
    assert recovery.questions(left(WANTED_POOL, second, WANTED_BUCKET)) == (POOLS, BUCKETS, CLUSTERS)


def test_a_pool_of_the_stacks_own_cluster_is_taken_over_whatever_name_it_got() -> None:
    found = recovery.recovery(left(WANTED_POOL), {POOLS: [{"name": "l4-abcdef0"}, {"name": "default-pool"}]})
    assert taken(found) == [f"{CLUSTER_ID}/nodePools/l4-abcdef0"]


def test_nothing_that_exists_means_nothing_to_do() -> None:
    found = recovery.recovery(left(WANTED_POOL, WANTED_BUCKET, held=()), {POOLS: [], BUCKETS: []})
    assert (found.takeovers, found.deletions, found.findings) == ((), (), ())
    assert list(recovery.told(found)) == ["nothing is left: the state holds what the cloud holds"]


def test_a_bucket_that_only_looks_like_ours_is_left_alone() -> None:
    found = recovery.recovery(left(WANTED_BUCKET, held=()), {BUCKETS: [{"name": "weights-abcdef0"}]})
    assert (taken(found), found.deletions, codes(found), found.stopping) == ([], (), ["foreign"], ())


def test_a_bucket_with_the_stacks_label_is_taken_over() -> None:
    found = recovery.recovery(left(WANTED_BUCKET, held=()), {BUCKETS: [{"name": "weights-abcdef0", "labels": OURS}]})
    assert taken(found) == ["weights-abcdef0"]


def test_a_bucket_whose_making_was_under_way_is_taken_over_by_its_name() -> None:
    begun = resource(BUCKET, "weights", name="weights-abcdef0")
    listing = [{"name": "weights-abcdef0"}, {"name": "weights-abcdef1"}]
    assert taken(recovery.recovery(left(WANTED_BUCKET, held=(), pending=(begun,)), {BUCKETS: listing})) == [
        "weights-abcdef0"
    ]


def test_what_carries_another_stacks_label_is_not_ours_though_it_lies_in_our_cluster() -> None:
    other = {"name": "l4-abcdef0", "config": {"resourceLabels": {LABEL: "chat-prod"}}}
    found = recovery.recovery(left(WANTED_POOL), {POOLS: [other], CLUSTERS: []})
    assert (taken(found), codes(found)) == ([], ["foreign"])


def test_of_two_copies_none_is_guessed() -> None:
    found = recovery.recovery(left(WANTED_POOL), {POOLS: [{"name": f"l4-abcdef{n}"} for n in "01"], CLUSTERS: []})
    assert (taken(found), [each.code for each in found.stopping]) == ([], ["several"])
    assert "gcloud container node-pools delete l4-abcdef1" in found.stopping[0].remedy


def test_one_thing_is_not_taken_over_as_two_resources() -> None:
    twin = {**WANTED_POOL, "urn": f"{PREFIX}::other${POOL}::l4"}
    found = recovery.recovery(left(WANTED_POOL, twin), {POOLS: [{"name": "l4-abcdef0"}]})
    assert (taken(found), codes(found).count("several")) == ([], 2)


def test_a_second_copy_of_what_the_state_has_is_named_for_deletion() -> None:
    pool = resource(POOL, "l4", f"{CLUSTER_ID}/nodePools/l4-1111111", name="l4-1111111", cluster=CLUSTER_ID)
    found = recovery.recovery(left(held=(HELD, pool)), {POOLS: [{"name": "l4-1111111"}, {"name": "l4-abcdef0"}]})
    deletion = "gcloud container node-pools delete l4-abcdef0 --project=p --location=us-central1 --cluster=llm-0000000"
    assert found.deletions == (deletion,)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, ([], ["foreign"])),
        ({"description": f"nodes of {LABEL}=chat-dev"}, (["nodes@p.iam.gserviceaccount.com"], [])),
        ({"description": f"nodes of {LABEL}=chat-dev-2"}, ([], ["foreign"])),
    ],
)
def test_a_name_that_the_program_gave_proves_nothing_by_itself(
    entry: Json, expected: tuple[list[str], list[str]]
) -> None:
    account = resource(ACCOUNT, "nodes", made_up=False, accountId="nodes")
    command = "gcloud iam service-accounts list --project=p --format=json"
    name = "projects/p/serviceAccounts/nodes@p.iam.gserviceaccount.com"
    found = recovery.recovery(left(account, held=()), {command: [{"name": name, **entry}]})
    assert ([each.rpartition("/")[2] for each in taken(found)], [each.code for each in found.stopping]) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("chat-dev", 1), ("chat-dev-net", 1), ("p-chat-dev", 1), ("chat-device", 0), ("net", 0)]
)
def test_a_name_that_holds_project_and_stack_is_the_stacks_own(name: str, expected: int) -> None:
    network = resource("gcp:compute/network:Network", "net", made_up=False, name=name)
    command = "gcloud compute networks list --project=p --format=json"
    assert len(taken(recovery.recovery(left(network, held=()), {command: [{"name": name}]}))) == expected


def test_what_can_be_made_twice_is_not_looked_for() -> None:
    member = resource("gcp:projects/iAMMember:IAMMember", "nodes", made_up=False, project="p", role="roles/x")
    assert recovery.questions(left(member, held=())) == ()


def test_where_a_thing_would_lie_must_be_known_to_look_for_it() -> None:
    pool = resource(POOL, "l4", name="l4-1111111", cluster="04da6b54-80e4-46f7-96ec-b56ff0331ba9")
    found = left(pool, held=())
    assert recovery.questions(found) == ()
    assert codes(recovery.recovery(found, {})) == ["unasked"]


def test_a_command_that_failed_is_said_and_stops() -> None:
    found = recovery.recovery(left(WANTED_BUCKET, held=()), {})
    assert [each.code for each in found.stopping] == ["unanswered"]


def test_a_kind_that_nobody_can_list_is_named_when_its_making_was_under_way() -> None:
    begun = resource("gcp:pubsub/topic:Topic", "events", name="events-abcdef0")
    found = recovery.recovery(left(begun, held=(), pending=(begun,)), {})
    assert [each.code for each in found.stopping] == ["unlisted"]
    assert "pulumi import gcp:pubsub/topic:Topic events ID" in found.stopping[0].remedy


def test_no_name_becomes_a_word_of_a_shell() -> None:
    hostile = resource(POOL, "l4", name="l4-1111111", cluster="projects/p;id/locations/x/clusters/$(id)")
    (question,) = recovery.questions(left(hostile, held=()))
    assert "--project='p;id'" in question
    assert "--cluster='$(id)'" in question


DEPLOYMENTS = "kubectl get namespaces,deployment.v1.apps --namespace=models --output=json"
NAMESPACE = {
    **resource("kubernetes:core/v1:Namespace", "models", "models", made_up=False),
    "outputs": {"metadata": {"name": "models", "uid": "u-1"}},
}


def deployment(id_: str = "") -> Json:
    name = id_.rpartition("/")[2] or "chat-11111111"
    metadata = {"name": name, "namespace": "models", "annotations": {"pulumi.com/autonamed": "true"}}
    token = "kubernetes:apps/v1:Deployment"
    return resource(token, "chat", id_, made_up=False, apiVersion="apps/v1", kind="Deployment", metadata=metadata)


@pytest.mark.parametrize(("uid", "expected"), [("u-1", ["models/chat-abcdef01"]), ("u-2", [])])
def test_an_object_is_taken_over_in_the_stacks_own_namespace_of_the_same_cluster(uid: str, expected: list[str]) -> None:
    listing = [
        {"kind": "Namespace", "metadata": {"name": "models", "uid": uid}},
        {"kind": "Deployment", "metadata": {"name": "chat-abcdef01", "namespace": "models"}},
    ]
    found = left(deployment(), held=(NAMESPACE,))
    assert recovery.questions(found) == (DEPLOYMENTS,)
    assert taken(recovery.recovery(found, {DEPLOYMENTS: listing})) == expected


def test_a_job_is_taken_over_with_the_word_that_the_next_update_makes_it_anew() -> None:
    metadata = {"name": "fetch-11111111", "namespace": "models", "annotations": {"pulumi.com/autonamed": "true"}}
    job = resource(
        "kubernetes:batch/v1:Job", "fetch", made_up=False, kind="Job", apiVersion="batch/v1", metadata=metadata
    )
    found = left(job, held=(NAMESPACE,))
    (question,) = recovery.questions(found)
    listing: list[Json] = [
        {"kind": "Namespace", "metadata": {"name": "models", "uid": "u-1"}},
        {"kind": "Job", "metadata": {"name": "fetch-abcdef01", "namespace": "models"}},
    ]
    (line,) = recovery.told(recovery.recovery(found, {question: listing}))
    assert line.startswith(
        "take over: kubernetes:batch/v1:Job fetch is models/fetch-abcdef01; the next update makes it"
    )


def test_a_second_deployment_is_named_for_deletion() -> None:
    listing = [
        {"kind": "Namespace", "metadata": {"name": "models", "uid": "u-1"}},
        {"kind": "Deployment", "metadata": {"name": "chat-abcdef01", "namespace": "models"}},
    ]
    found = left(held=(NAMESPACE, deployment("models/chat-11111111")))
    assert recovery.recovery(found, {DEPLOYMENTS: listing}).deletions == (
        "kubectl delete deployment.v1.apps chat-abcdef01 --namespace=models",
    )


def test_the_import_file_names_parent_and_provider() -> None:
    pool = {**WANTED_POOL, "parent": HELD["urn"]}
    found = recovery.recovery(left(pool), {POOLS: [{"name": "l4-abcdef0"}]})
    document = json.loads(recovery.import_file(found.takeovers))
    (entry,) = document["resources"]
    assert entry["logicalName"] == "l4"
    assert {document["nameTable"][entry[key]] for key in ("parent", "provider")} == {HELD["urn"], PROVIDER}


@pytest.mark.parametrize(("state", "preview"), [("no", "{}"), ("{}", "{}"), ('{"deployment": {}}', "{}"), ("{}", "no")])
def test_other_files_are_refused(state: str, preview: str) -> None:
    with pytest.raises(ModelberthError):
        interrupted.left(state, preview)


def test_marks_are_labels_of_every_cloud() -> None:
    assert mark("My.Project", "dev") == "my-project-dev"
    assert len(mark("x" * 80, "dev")) == 63


@pytest.mark.parametrize("token", types())
def test_every_row_can_be_asked_and_answered(token: str) -> None:
    row = live(token)
    assert row
    assert row.again or (row.id and row.list)


def test_the_commands_write_what_pulumi_imports(tmp_path: Any) -> None:
    google = {"urn": PROVIDER, "type": "pulumi:providers:gcp", "custom": True, "id": "1", "inputs": {"project": "p"}}
    state, preview, lists, to = (tmp_path / name for name in ("state.json", "preview.json", "lists", "import.json"))
    state.write_text(json.dumps({"deployment": {"resources": [google]}}))
    preview.write_text(json.dumps({"steps": [{"op": "create", "newState": WANTED_BUCKET}]}))
    lists.mkdir()
    common = ["--state", str(state), "--preview", str(preview), "--lists", str(lists)]
    asked = CliRunner().invoke(app, ["recover", "questions", *common])
    assert asked.stdout == f"{BUCKETS} > {lists / '0.json'}\n"
    assert CliRunner().invoke(app, ["recover", "match", *common, "--to", str(to)]).exit_code == 1
    (lists / "0.json").write_text(json.dumps([{"name": "weights-abcdef0", "labels": OURS}]))
    done = CliRunner().invoke(app, ["recover", "match", *common, "--to", str(to)])
    assert done.exit_code == 0
    assert "take over: gcp:storage/bucket:Bucket weights is weights-abcdef0" in done.stdout
    assert json.loads(to.read_text())["resources"][0]["id"] == "weights-abcdef0"
