"""How many nodes there may be, and how sure it is that they are there."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case, Seen
from tests.rules.cases.placement import GROUP, eks, gke, karpenter, pod

ZONES = ["us-central1-a", "us-central1-b", "us-central1-c"]
L4 = ("karpenter.k8s.aws/instance-gpu-name", "In", ["l4"])


def pool(machine: str = "g2-standard-24", **more: Any) -> Seen:
    """A GKE pool with fields of its own."""
    gpu, count = ("nvidia-h100-80gb", 8) if machine.startswith("a3") else ("nvidia-l4", 2)
    type_, properties = gke(machine, gpu, count)
    return type_, properties | more


def scaled(**bounds: Any) -> Seen:
    return pool(autoscaling=bounds)


def spot(**more: Any) -> Seen:
    return gke(spot=True, **more)


def replicas(count: Any, **more: Any) -> dict[str, Any]:
    made = pod(2, **more)
    return made | {"spec": made["spec"] | {"replicas": count}}


def scaler(least: Any) -> dict[str, Any]:
    spec = {"minReplicas": least, "scaleTargetRef": {"kind": "Deployment", "name": "server"}}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "s"}, "spec": spec}


def claim(mode: str = "ReadWriteOnce", storage: Any = None) -> dict[str, Any]:
    spec = {"accessModes": [mode], "storageClassName": storage}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "weights"}, "spec": spec}


def storage(binding: str = "Immediate", **parameters: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "disks"},
        "provisioner": "pd.csi.storage.gke.io",
        "volumeBindingMode": binding,
        "parameters": parameters,
    }


def case(rule: str, says: str, *there: Any, red: str | None = None, **more: Any) -> Case:
    return Case(rule, says, there, red, **more)


CLAIMS = {"volumes": [{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}]}
WIDE = pool(nodeLocations=ZONES)
LIMITLESS = (karpenter(L4)[0], karpenter(L4)[1] | {"spec": karpenter(L4)[1]["spec"] | {"limits": None}})
RESERVED = {"consumeReservationType": "SPECIFIC_RESERVATION", "key": "k", "values": ["r"]}

CASES: tuple[Case, ...] = (
    case(
        "CS-10", "a total within the bound is right", scaled(totalMinNodeCount=0, totalMaxNodeCount=32), boundary=True
    ),
    case("CS-10", "one node more is not", scaled(totalMaxNodeCount=33), red="33 nodes with 66 GPUs", boundary=True),
    case(
        "CS-10",
        "limits per zone are multiplied",
        pool(autoscaling={"maxNodeCount": 11}, nodeLocations=ZONES),
        red="33 nodes with 66 GPUs over 3 zones",
        boundary=True,
    ),
    case(
        "CS-10",
        "limits per zone within the bound are right",
        pool(autoscaling={"minNodeCount": 0, "maxNodeCount": 10}, nodeLocations=ZONES),
        boundary=True,
    ),
    case(
        "CS-10",
        "zones of the cluster multiply as well",
        ("gcp:container/cluster:Cluster", {"name": "c", "nodeLocations": ZONES, "removeDefaultNodePool": True}),
        pool(autoscaling={"maxNodeCount": 11}, cluster="c"),
        red="over 3 zones",
    ),
    case(
        "CS-10", "the bound is a threshold", scaled(totalMaxNodeCount=3), red="at most 2", thresholds={"most_nodes": 2}
    ),
    case("CS-10", "no bound at all is told", scaled(totalMinNodeCount=0), red="no upper bound"),
    case(
        "CS-10",
        "a bound that is unknown decides",
        scaled(totalMaxNodeCount=UNKNOWN),
        red="cannot decide",
        undecided=True,
    ),
    case(
        "CS-10",
        "a fixed number is a hint",
        pool(autoscaling=None, nodeCount=2, nodeLocations=ZONES),
        red="fixed",
        advice=True,
    ),
    case(
        "CS-10",
        "too many fixed nodes are told",
        pool(autoscaling=None, nodeCount=12, nodeLocations=ZONES),
        red="36 nodes",
    ),
    case("CS-10", "pools without GPUs are not bounded here", gke("e2-standard-8", None)),
    case("CS-10", "a node group is bounded by its maximum", eks("g6.xlarge")),
    case(
        "CS-10",
        "too large a node group is told",
        eks("g6.xlarge", scalingConfig={"minSize": 0, "maxSize": 40, "desiredSize": 0}),
        red="40 nodes with 40 GPUs",
    ),
    case("CS-10", "a NodePool with limits is bounded", karpenter(L4)),
    case("CS-10", "a NodePool without is not", LIMITLESS, red="no upper bound"),
    case(
        "CS-10",
        "pools that a cluster makes are bounded",
        ("gcp:container/cluster:Cluster", {"clusterAutoscaling": {"enabled": True, "resourceLimits": []}}),
        red="without any bound",
    ),
    *(
        case(
            "CS-10",
            f"{what} of a cluster's own pools may not be known yet",
            ("gcp:container/cluster:Cluster", {"clusterAutoscaling": scaling}),
            red="cannot decide",
            undecided=True,
        )
        for what, scaling in {
            "bounds": {"enabled": True, "resourceLimits": UNKNOWN},
            "whether there are": {"enabled": UNKNOWN},
            "everything": UNKNOWN,
        }.items()
    ),
    case(
        "CS-10",
        "bounds of pools that a cluster does not make are no matter",
        ("gcp:container/cluster:Cluster", {"clusterAutoscaling": {"enabled": False, "resourceLimits": UNKNOWN}}),
    ),
    case(
        "CS-10",
        "nodes that stay are told while developing",
        scaled(totalMinNodeCount=1, totalMaxNodeCount=2),
        red="1 GPU nodes stay",
        advice=True,
        profile=Profile.DEV,
    ),
    case("CS-12", "nodes that stay need nothing", gke(), replicas(1)),
    case("CS-12", "one replica does not survive", spot(), replicas(1), red="at least 2 replicas"),
    case("CS-12", "no number is one replica", spot(), pod(2), red="at least 2 replicas"),
    case("CS-12", "several replicas want some that stay", spot(), replicas(2), red="all 2 replicas", advice=True),
    case("CS-12", "a second pool that stays is a floor", spot(), gke(), replicas(2)),
    case("CS-12", "an autoscaler's least counts", spot(), pod(2), scaler(3), red="all 3 replicas", advice=True),
    case("CS-12", "replicas that are unknown decide", spot(), replicas(UNKNOWN), red="spec.replicas", undecided=True),
    case(
        "CS-12", "capacity that is unknown decides", gke(spot=UNKNOWN), replicas(1), red="cannot decide", undecided=True
    ),
    case(
        "CS-12",
        "a pod may ask for spot nodes of a cluster that exists",
        replicas(1, nodeSelector={"cloud.google.com/gke-spot": "true"}),
        red="at least 2 replicas",
    ),
    case(
        "CS-12",
        "the other cloud's label asks as well",
        replicas(1, nodeSelector={"karpenter.sh/capacity-type": "spot"}),
        red="at least 2 replicas",
    ),
    case(
        "CS-12",
        "asking for nodes that stay is right",
        replicas(1, nodeSelector={"karpenter.sh/capacity-type": "on-demand"}),
    ),
    case(
        "CS-12", "a group does not survive", spot(machine="g2-standard-48", count=4), GROUP, red="all 2 pods of a group"
    ),
    case(
        "CS-12",
        "a spot node group is told",
        eks("g6.xlarge", capacityType="SPOT"),
        pod(1) | {"spec": pod(1)["spec"] | {"replicas": 1}},
        red="at least 2 replicas",
    ),
    case(
        "CS-13",
        "scarce GPUs in one zone are a hint",
        pool("a3-highgpu-8g", nodeLocations=ZONES[:1]),
        red="H100",
        advice=True,
        boundary=True,
    ),
    case("CS-13", "a second zone is a second place", pool("a3-highgpu-8g", nodeLocations=ZONES[:2]), boundary=True),
    case(
        "CS-13",
        "a reservation is there",
        (
            gke()[0],
            gke("a3-highgpu-8g", "nvidia-h100-80gb", 8, reservationAffinity=RESERVED)[1] | {"nodeLocations": ZONES[:1]},
        ),
    ),
    case(
        "CS-13",
        "a flexible start waits",
        (gke()[0], gke("a3-highgpu-8g", "nvidia-h100-80gb", 8, flexStart=True)[1] | {"nodeLocations": ZONES[:1]}),
    ),
    case(
        "CS-13",
        "what is scarce is a threshold",
        pool(nodeLocations=ZONES[:1]),
        red="L4",
        advice=True,
        thresholds={"scarce": ("nvidia-l4",)},
    ),
    case("CS-13", "other GPUs may be in one zone", pool(nodeLocations=ZONES[:1])),
    case(
        "CS-16",
        "a disk of one zone among several is a hint",
        WIDE,
        pod(2, **CLAIMS),
        claim(),
        red="the nodes are in 3",
        advice=True,
    ),
    case("CS-16", "nodes of one zone are where the disk is", pool(nodeLocations=ZONES[:1]), pod(2, **CLAIMS), claim()),
    case("CS-16", "storage that all reach is no disk", WIDE, pod(2, **CLAIMS), claim("ReadOnlyMany")),
    case(
        "CS-16",
        "a disk that waits for its pod is softer",
        WIDE,
        pod(2, **CLAIMS),
        claim(storage="disks"),
        storage("WaitForFirstConsumer"),
    ),
    case(
        "CS-16",
        "one that does not wait is a hint",
        WIDE,
        pod(2, **CLAIMS),
        claim(storage="disks"),
        storage(),
        red="WaitForFirstConsumer",
        advice=True,
    ),
    case(
        "CS-16",
        "a disk of two zones is reached",
        WIDE,
        pod(2, **CLAIMS),
        claim(storage="disks"),
        storage(**{"replication-type": "regional-pd"}),
    ),
    case(
        "CS-16",
        "disks of a StatefulSet are meant as well",
        WIDE,
        (lambda made: made | {"spec": made["spec"] | {"volumeClaimTemplates": [claim()]}})(pod(2, kind="StatefulSet")),
        red="spec.volumeClaimTemplates[0].spec",
        advice=True,
    ),
    case(
        "CS-16",
        "a pod that stays in one zone is with its disk",
        WIDE,
        pod(2, nodeSelector={"topology.kubernetes.io/zone": "us-central1-a"}, **CLAIMS),
        claim(),
    ),
    Case(
        "CS-10",
        "a least above the most is refused",
        (eks("g6.2xlarge", scalingConfig={"minSize": 5, "maxSize": 4, "desiredSize": 5}),),
        "at least 5 nodes are more than at most 4",
    ),
)
