"""Copies that several nodes share, under the real LeaderWorkerSet controller, scheduler and API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.conftest import Project, pods_of
from toolchain.cluster import Cluster, down, lws, up
from toolchain.kube import Kube, KubeError, Manifest

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "405b-on-two-nodes" / "resources.yaml"
INDEX, GROUP = "leaderworkerset.sigs.k8s.io/worker-index", "leaderworkerset.sigs.k8s.io/group-index"
ZONE = "topology.kubernetes.io/zone"
NODES = [
    {"machine": "a3-megagpu-8g", "count": 3, "zone": "us-central1-a"},
    {"machine": "a3-megagpu-8g", "count": 3, "zone": "us-central1-c"},
]
LARGE = {
    "model": "meta-llama/Llama-3.1-405B-Instruct",
    "quantization": "bf16",
    "context": 32768,
    "concurrency": 16,
    "typical_tokens": 6000,
    "replicas": 2,
    "pool": "h100",
    "weights": "shared",
}
KEYS = {
    "pools": {
        "h100": {
            "accelerators": ["nvidia-h100-80gb"],
            "machine_types": ["a3-megagpu-8g"],
            "zones": ["us-central1-a", "us-central1-c"],
            "max_nodes": 6,
        }
    },
    "weights": {"shared": {"kind": "claim", "size_gib": 1600, "access_mode": "ReadWriteMany"}},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own: nodes with eight GPUs, and the controller, whose webhooks see every pod of a group."""
    folder = tmp_path_factory.mktemp("groups")
    (folder / "nodes.yaml").write_text(yaml.safe_dump(NODES))
    try:
        made = up(folder / "cluster", folder / "nodes.yaml")
        lws.install(made)
        yield made
    finally:
        down(folder / "cluster", purge=True)


@pytest.fixture(scope="module")
def kube(cluster: Cluster) -> Kube:
    return Kube(cluster.kubeconfig)


@pytest.fixture(scope="module")
def stack(make_project: Any) -> Project:
    """Two replicas of two nodes each, up."""
    project: Project = make_project()
    project.write({"large": LARGE}, **KEYS)
    made = project.pulumi("up", "--yes")
    assert made.returncode == 0, made.stdout + made.stderr
    return project


def leader_worker_set(**changes: Any) -> Manifest:
    """The one of the golden case, in the namespace ``default``."""
    golden = next(each for each in yaml.safe_load_all(GOLDEN.read_text()) if each["type"].endswith(":LeaderWorkerSet"))[
        "inputs"
    ]
    return {**golden, "metadata": {**golden["metadata"], "namespace": "default", "name": "golden"}} | changes


def groups(kube: Kube, project: Project) -> dict[str, dict[str, Manifest]]:
    """Group -> index -> pod, of the groups that are complete and ready."""
    found: dict[str, dict[str, Manifest]] = {}
    for pod in pods_of(kube, project.namespace, "large"):
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
        if conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
            found.setdefault(pod["metadata"]["labels"][GROUP], {})[pod["metadata"]["labels"][INDEX]] = pod
    return {name: members for name, members in found.items() if len(members) == 2}


def uids(members: dict[str, Manifest]) -> dict[str, str]:
    return {index: pod["metadata"]["uid"] for index, pod in members.items()}


def test_the_golden_case_passes_the_real_definition_and_its_webhooks(kube: Kube) -> None:
    kept = kube.apply(leader_worker_set(), dry_run=True)
    assert kept["spec"]["leaderWorkerTemplate"] | {"size": 2} == kept["spec"]["leaderWorkerTemplate"]
    assert kube.find(kube.path(kept)) is None


def test_the_definition_and_the_webhooks_are_not_asleep(kube: Kube) -> None:
    spec = leader_worker_set()["spec"]
    wrong = {**spec, "leaderWorkerTemplate": {**spec["leaderWorkerTemplate"], "restartPolicy": "Always"}}
    with pytest.raises(KubeError, match="restartPolicy"):
        kube.apply(leader_worker_set(spec=wrong), dry_run=True)
    with pytest.raises(KubeError, match="admission webhook"):
        kube.apply(leader_worker_set(spec={**spec, "replicas": -1}), dry_run=True)


def test_every_replica_is_a_group_of_a_leader_and_a_worker_with_a_node_each(stack: Project, kube: Kube) -> None:
    found = groups(kube, stack)
    assert {name: sorted(members) for name, members in found.items()} == {"0": ["0", "1"], "1": ["0", "1"]}
    nodes = [pod["spec"]["nodeName"] for members in found.values() for pod in members.values()]
    assert len(set(nodes)) == 4


def test_the_nodes_of_a_group_are_in_one_zone_and_the_groups_in_two(stack: Project, kube: Kube) -> None:
    zones = {node["metadata"]["name"]: node["metadata"]["labels"][ZONE] for node in kube.list("/api/v1/nodes")}
    used = [{zones[pod["spec"]["nodeName"]] for pod in members.values()} for members in groups(kube, stack).values()]
    assert [len(each) for each in used] == [1, 1]
    assert used[0] != used[1]


def test_the_controller_fills_in_what_the_arguments_refer_to(stack: Project, kube: Kube) -> None:
    for name, members in groups(kube, stack).items():
        for index, pod in members.items():
            (container,) = pod["spec"]["containers"]
            given = {variable["name"]: variable.get("value") for variable in container["env"]}
            leader = members["0"]
            host, subdomain = leader["metadata"]["name"], leader["spec"]["subdomain"]
            assert given["LWS_WORKER_INDEX"] == index
            assert given["LWS_LEADER_ADDRESS"] == f"{host}.{subdomain}.{stack.namespace}", name
            assert "$(LWS_LEADER_ADDRESS)" in container["args"]


def test_only_leaders_are_behind_the_service(stack: Project, kube: Kube) -> None:
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{stack.namespace}/endpointslices"
    found = kube.list(slices, labels="kubernetes.io/service-name=large")
    behind = {endpoint["targetRef"]["name"] for each in found for endpoint in each["endpoints"]}
    assert behind == {members["0"]["metadata"]["name"] for members in groups(kube, stack).values()}


def test_a_second_up_changes_nothing(stack: Project) -> None:
    again = stack.pulumi("up", "--yes", "--expect-no-changes")
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_lost_worker_restarts_its_group_as_a_whole_and_no_other(stack: Project, kube: Kube) -> None:
    before = groups(kube, stack)
    kube.delete(f"/api/v1/namespaces/{stack.namespace}/pods/{before['0']['1']['metadata']['name']}")

    def recreated() -> dict[str, dict[str, Manifest]] | None:
        after = groups(kube, stack)
        return after if "0" in after and not set(uids(after["0"]).values()) & set(uids(before["0"]).values()) else None

    after = kube.wait(recreated, 90.0, what="both pods of the group anew")
    assert uids(after["1"]) == uids(before["1"])


def test_a_change_rolls_group_by_group(stack: Project, kube: Kube) -> None:
    before = groups(kube, stack)
    stack.write({"large": LARGE | {"concurrency": 17}}, **KEYS)
    changed = stack.pulumi("up", "--yes")
    assert changed.returncode == 0, changed.stdout + changed.stderr

    def rolled() -> bool:
        after = groups(kube, stack)
        wanted = all(
            "17" in pod["spec"]["containers"][0]["args"] for members in after.values() for pod in members.values()
        )
        return len(after) == 2 and wanted

    kube.wait(rolled, 120.0, what="both groups with the new arguments")
    assert not set(uids(groups(kube, stack)["0"]).values()) & set(uids(before["0"]).values())
