"""Copies that several nodes share, under the real LeaderWorkerSet controller, scheduler and API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.conftest import Project, cluster_with_groups, pods_of
from toolchain import crds
from toolchain.cluster import Cluster
from toolchain.kube import Kube, KubeError, Manifest

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TWO_NODES, SGLANG = "405b-on-two-nodes", "sglang-on-two-nodes"
INDEX, GROUP = "leaderworkerset.sigs.k8s.io/worker-index", "leaderworkerset.sigs.k8s.io/group-index"
API = "leaderworkerset.x-k8s.io/v1"
ZONE = "topology.kubernetes.io/zone"
NODES = [
    {"machine": "a3-megagpu-8g", "count": 4, "zone": "us-central1-a"},
    {"machine": "a3-megagpu-8g", "count": 4, "zone": "us-central1-c"},
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
    "defaults": {"monitoring": {"prometheus": "http://prometheus.monitoring.svc:9090"}},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own: nodes with eight GPUs, and the controller, whose webhooks see every pod of a group."""
    with cluster_with_groups(tmp_path_factory.mktemp("groups"), NODES) as made:
        yield made


@pytest.fixture(scope="module")
def kube(cluster: Cluster) -> Kube:
    return Kube(cluster.kubeconfig)


@pytest.fixture(scope="module")
def stack(make_project: Any) -> Project:
    """Two replicas of two nodes each, up."""
    project: Project = make_project()
    project.write({"large": LARGE}, **KEYS)
    made = project.pulumi("up", "--yes", "--skip-preview", policies=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return project


def leader_worker_set(case: str, **changes: Any) -> Manifest:
    """The one of a golden case, in the namespace ``default``."""
    resources = yaml.safe_load_all((GOLDEN / case / "resources.yaml").read_text(encoding="utf-8"))
    (golden,) = (each["inputs"] for each in resources if each["type"].endswith(":LeaderWorkerSet"))
    return {**golden, "metadata": {**golden["metadata"], "namespace": "default", "name": "golden"}} | changes


def lost(asked: Any, kept: Any, path: str = "spec") -> Iterator[str]:
    """Paths where what the server kept is not what was asked for: each would be a difference at every `up`."""
    if isinstance(asked, dict) and isinstance(kept, dict):
        for key, value in asked.items():
            yield from lost(value, kept.get(key), f"{path}.{key}")
    elif isinstance(asked, list) and isinstance(kept, list) and len(asked) == len(kept):
        for index, value in enumerate(asked):
            yield from lost(value, kept[index], f"{path}[{index}]")
    elif asked != kept and asked != {}:
        yield path


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


@pytest.mark.parametrize("case", [TWO_NODES, SGLANG])
def test_a_golden_group_is_kept_by_the_real_definition_and_webhooks_as_it_is_written(kube: Kube, case: str) -> None:
    asked = leader_worker_set(case)
    kept = kube.apply(asked, dry_run=True)
    assert list(lost(asked["spec"], kept["spec"])) == []
    assert kube.find(kube.path(kept)) is None


def test_the_definition_and_the_webhooks_are_not_asleep(kube: Kube) -> None:
    spec = leader_worker_set(TWO_NODES)["spec"]
    wrong = {**spec, "leaderWorkerTemplate": {**spec["leaderWorkerTemplate"], "restartPolicy": "Always"}}
    with pytest.raises(KubeError, match="restartPolicy"):
        kube.apply(leader_worker_set(TWO_NODES, spec=wrong), dry_run=True)
    stuck = {"type": "RollingUpdate", "rollingUpdateConfiguration": {"maxSurge": 0, "maxUnavailable": 0}}
    with pytest.raises(KubeError, match=r"admission webhook .* must not be 0 when"):
        kube.apply(leader_worker_set(TWO_NODES, spec={**spec, "rolloutStrategy": stuck}), dry_run=True)


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
    again = stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert again.returncode == 0, again.stdout + again.stderr


def evicted(kube: Kube, pod: Manifest) -> None:
    """Deletes a pod that takes a moment to leave, as on a real node; simulated ones are gone before anyone looks."""
    held = {"apiVersion": "v1", "kind": "Pod", "metadata": {key: pod["metadata"][key] for key in ("name", "namespace")}}
    held["metadata"]["finalizers"] = ["test.modelberth.dev/leaving"]
    kube.apply(held)
    kube.delete(held)
    leader = kube.path(held).rpartition("-")[0]
    try:
        kube.wait(lambda: "deletionTimestamp" in (kube.find(leader) or pod)["metadata"], what="the leader leaves")
    finally:
        kube.apply(held | {"metadata": held["metadata"] | {"finalizers": []}})


def crashed(kube: Kube, pod: Manifest) -> None:
    """A container that ended and was started again on its node."""
    state = {"name": "server", "restartCount": 1, "image": "", "imageID": "", "ready": False}
    status = {"containerStatuses": [pod["status"]["containerStatuses"][0] | state]}
    patch = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {key: pod["metadata"][key] for key in ("name", "namespace")},
    }
    kube.apply(patch | {"status": status}, subresource="status", force=True)


@pytest.mark.parametrize("loses", [evicted, crashed])
def test_a_lost_worker_restarts_its_group_as_a_whole_and_no_other(stack: Project, kube: Kube, loses: Any) -> None:
    before = groups(kube, stack)
    loses(kube, before["0"]["1"])

    def recreated() -> dict[str, dict[str, Manifest]] | None:
        after = groups(kube, stack)
        return after if "0" in after and not set(uids(after["0"]).values()) & set(uids(before["0"]).values()) else None

    after = kube.wait(recreated, 60.0, what="both pods of the group anew")
    assert uids(after["1"]) == uids(before["1"])


def up_again(stack: Project, kube: Kube, **changes: Any) -> None:
    """`up` with another service, its plan locked anew."""
    stack.write({"large": LARGE | changes}, **KEYS)
    stack.lock()
    done = stack.pulumi("up", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout + done.stderr + on_the_cluster(kube, stack)


def on_the_cluster(kube: Kube, stack: Project) -> str:
    """What controller and scheduler say of the groups: an `up` that waits in vain does not."""
    core, apps, sets = (f"/{path}/namespaces/{stack.namespace}" for path in ("api/v1", "apis/apps/v1", f"apis/{API}"))
    kept = {path: kube.list(path) for path in (f"{sets}/leaderworkersets", f"{apps}/statefulsets", f"{core}/pods")}
    said = [{"of": each["involvedObject"]["name"], "says": each["message"]} for each in kube.list(f"{core}/events")]
    seen = {path: [{"metadata": _named(each), "status": each["status"]} for each in kept[path]] for path in kept}
    return yaml.safe_dump({**seen, "events": said})


def _named(manifest: Manifest) -> Manifest:
    kept = ("name", "generation", "labels", "deletionTimestamp")
    return {key: manifest["metadata"][key] for key in kept if key in manifest["metadata"]}


def rolled(kube: Kube, stack: Project, argument: str, *names: str) -> dict[str, dict[str, Manifest]]:
    """The groups, once they are these and all their pods were started with an argument."""

    def seen() -> dict[str, dict[str, Manifest]] | None:
        after = groups(kube, stack)
        arguments = [pod["spec"]["containers"][0]["args"] for members in after.values() for pod in members.values()]
        return after if tuple(sorted(after)) == names and all(argument in each for each in arguments) else None

    return kube.wait(seen, 60.0, what=f"groups {', '.join(names)} with {argument}, and no other")


def test_a_change_rolls_every_group(stack: Project, kube: Kube) -> None:
    before = groups(kube, stack)
    up_again(stack, kube, concurrency=17)
    after = rolled(kube, stack, "17", "0", "1")
    for name, members in after.items():
        assert not set(uids(members).values()) & set(uids(before[name]).values())


def test_groups_of_an_autoscaler_stay_and_roll_when_something_else_changes(stack: Project, kube: Kube) -> None:
    crds.install(kube, "keda")
    scaled = {"concurrency": 17, "replicas": 1, "autoscaling": {"min": 1, "max": 2}}
    up_again(stack, kube, **scaled)
    (group,) = kube.list(f"/apis/{API}/namespaces/{stack.namespace}/leaderworkersets")
    (scaler,) = kube.list(f"/apis/keda.sh/v1alpha1/namespaces/{stack.namespace}/scaledobjects")
    path = f"/apis/{API}/namespaces/{stack.namespace}/leaderworkersets/{scaler['spec']['scaleTargetRef']['name']}"
    kube.scale(path, 1, field_manager="keda-operator")
    kube.wait(lambda: sorted(groups(kube, stack)) == ["0"], 60.0, what="one group")
    up_again(stack, kube, **scaled | {"context": 16384})
    rolled(kube, stack, "16384", "0")
    after = kube.get(path)
    assert after["metadata"]["generation"] > group["metadata"]["generation"] + 1
    assert after["spec"]["replicas"] == 1


def test_nothing_of_a_group_stays_when_it_is_destroyed(stack: Project, kube: Kube) -> None:
    gone = stack.pulumi("destroy", "--yes", "--suppress-outputs")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    kube.wait(lambda: not pods_of(kube, stack.namespace, "large"), 60.0, what="no pod")
    assert kube.list(f"/apis/{API}/namespaces/{stack.namespace}/leaderworkersets") == []
