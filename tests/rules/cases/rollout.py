"""Rolling updates: of figures that the API refuses, and of pods that hold the volume of the next one."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import GKE, vllm

WHOLE_NODE = {"nodeSelector": {GKE: "nvidia-l4", "node.kubernetes.io/instance-type": "g2-standard-8"}}
TWO_GPUS = {"nodeSelector": {GKE: "nvidia-l4", "node.kubernetes.io/instance-type": "g2-standard-24"}}
VOLUMES = [{"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}}]


def served(strategy: Any = None, *, pod: Any = WHOLE_NODE, replicas: Any = 1, **more: Any) -> dict[str, Any]:
    spec = {"containers": [vllm()], "volumes": VOLUMES} | pod | more
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": "models"},
        "spec": {"replicas": replicas, "strategy": strategy, "template": {"spec": spec}},
    }


def group(**rolling: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [vllm()]} | WHOLE_NODE}
    strategy = {"type": "RollingUpdate", "rollingUpdateConfiguration": rolling}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "server"},
        "spec": {"rolloutStrategy": strategy, "leaderWorkerTemplate": {"size": 1, "workerTemplate": template}},
    }


def claim(*modes: Any, **more: Any) -> dict[str, Any]:
    spec = {"accessModes": list(modes) or ["ReadWriteOnce"], "resources": {"requests": {"storage": "40Gi"}}} | more
    metadata = {"name": "weights", "namespace": "models"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def rolling(surge: Any = None, unavailable: Any = None) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def case(says: str, *there: dict[str, Any], red: str | None = None, **more: Any) -> Case:
    return Case("SZ-17", says, there, red, **more)


HELD = "the new pod waits for a volume of mode ReadWriteOnce"
NEAR = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}

CASES = (
    case("one pod less at a time is taken", served(rolling(0, 1)), boundary=True),
    case("neither more nor less is refused", served(rolling(0, 0)), red="both 0: the API refuses it", boundary=True),
    case("neither more nor less is refused as shares too", served(rolling("0%", "0%")), red="both 0"),
    case("a group without either is refused", group(maxSurge=0, maxUnavailable=0), red="both 0"),
    case("a group lets one be missing unless it is told otherwise", group(maxSurge=0)),
    case("the default surges on to a volume that one node holds", served(), claim(), red=HELD),
    case(
        "the default of a quarter lets none of three be missing",
        served(rolling(1, 0)),
        claim("ReadWriteOncePod"),
        red="mode ReadWriteOncePod",
    ),
    case("one that stops first frees the volume", served(rolling(0, 1)), claim()),
    case("pods that all stop first free the volume", served({"type": "Recreate"}), claim()),
    case("a volume of many nodes is shared", served(), claim("ReadWriteMany")),
    case("a volume that is a folder of the node is there again", served(), claim(storageClassName="local-path")),
    case("a node with room for both may take both", served(pod=TWO_GPUS), claim()),
    case(
        "a node of unknown size may take both",
        served(pod={"nodeSelector": {GKE: "nvidia-l4"}}),
        claim(),
        red="unless it starts on the same node",
        advice=True,
    ),
    case("pods that stay together share the volume", served(affinity={"podAffinity": NEAR}), claim()),
    case("an unknown surge leaves it open", served(rolling(UNKNOWN, 0)), claim(), red="only known", undecided=True),
    case(
        "an unknown surge may be refused without any volume",
        served(rolling(UNKNOWN, 0)),
        red="only known after apply",
        undecided=True,
    ),
    case(
        "an unknown claim may be the one that is held",
        served(volumes=[{"name": "weights", "persistentVolumeClaim": {"claimName": UNKNOWN}}]),
        claim(),
        red="only known after apply",
        undecided=True,
    ),
    case("an unknown number of replicas may be one", served(replicas=UNKNOWN), claim(), red="only", undecided=True),
    case("an unknown strategy leaves it open", served(UNKNOWN), claim(), red="only known", undecided=True),
    case("an unknown surge does not matter where one pod may be missing", served(rolling(UNKNOWN, 1)), claim()),
    case(
        "a claim of another namespace is another",
        served(),
        claim() | {"metadata": {"name": "weights", "namespace": "x"}},
    ),
    case("figures of the wrong type say nothing", served(rolling(["a"], {"b": 1})), claim()),
    case(
        "figures of a rolling update beside another strategy are refused",
        served({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}, pod=TWO_GPUS, replicas=2),
        red="type Recreate and rollingUpdate contradict each other",
    ),
)
