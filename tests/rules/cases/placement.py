"""Where pods can run, and what machine types come with."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case, Seen
from tests.rules.samples import GKE, deployment, vllm

CLUSTER: Seen = ("gcp:container/cluster:Cluster", {"location": "us-central1", "removeDefaultNodePool": True})
LABEL = "example.com/pool"
TAINT = {"key": "example.com/models", "value": "yes", "effect": "NO_SCHEDULE"}
TOLERATES = [{"key": "example.com/models", "operator": "Exists", "effect": "NoSchedule"}]


def gke(machine: Any = "g2-standard-24", gpu: Any = "nvidia-l4", count: Any = 2, **config: Any) -> Seen:
    """A node pool of GKE."""
    attached = [{"type": gpu, "count": count}] if gpu else []
    node = {"machineType": machine, "guestAccelerators": attached} | config
    scaling = {"totalMinNodeCount": 0, "totalMaxNodeCount": 4}
    return "gcp:container/nodePool:NodePool", {"autoscaling": scaling, "nodeConfig": node}


def eks(*machines: Any, **more: Any) -> Seen:
    """A managed node group of EKS."""
    scaling = {"minSize": 0, "maxSize": 4, "desiredSize": 0}
    return "aws:eks/nodeGroup:NodeGroup", {"instanceTypes": list(machines), "scalingConfig": scaling} | more


def karpenter(*requirements: tuple[str, str, list[Any]], **more: Any) -> Seen:
    """A NodePool of Karpenter."""
    listed = [{"key": key, "operator": operator, "values": values} for key, operator, values in requirements]
    spec = {"requirements": listed, "nodeClassRef": {"group": "karpenter.k8s.aws"}} | more
    properties = {"metadata": {"name": "gpu"}, "spec": {"template": {"spec": spec}, "limits": {"nvidia.com/gpu": 8}}}
    return "kubernetes:karpenter.sh/v1:NodePool", properties


def pod(gpus: Any = 1, asks: dict[str, Any] | None = None, kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    """A Deployment that serves on these GPUs; ``asks`` are further requests."""
    container = vllm(gpus=gpus)
    container["resources"]["requests"] = asks or {}
    return {"apiVersion": "apps/v1"} | deployment(container, kind=kind, pod=spec)


ON_L4 = {GKE: "nvidia-l4"}
GROUP = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": "server"},
    "spec": {
        "leaderWorkerTemplate": {
            "size": 2,
            "leaderTemplate": {"spec": {"nodeSelector": ON_L4, "containers": [vllm(gpus=2)]}},
            "workerTemplate": {"spec": {"nodeSelector": ON_L4, "containers": [vllm(gpus=4)]}},
        }
    },
}


def hosted(says: str, *there: Any, red: str | None = None, **more: Any) -> Case:
    return Case("SZ-06", says, (CLUSTER, *there), red, **more)


_HOSTED = (
    hosted("a pool with the GPUs, label and room hosts the pod", gke(), pod(2, nodeSelector=ON_L4)),
    Case("SZ-06", "a stack without pools is on a cluster that exists", (pod(8, nodeSelector=ON_L4),)),
    hosted("as many GPUs as a node has are enough", gke(), pod(2), boundary=True),
    hosted("one more is not", gke(), pod(3), red="requests 3 GPUs, its nodes (g2-standard-24) have 2", boundary=True),
    hosted("the larger machine type is named", gke(), pod(3), red="machine type g2-standard-48 with 4"),
    hosted("another GPU is named", gke(), pod(nodeSelector={GKE: "nvidia-h100-80gb"}), red="its nodes have NVIDIA L4"),
    hosted(
        "labels of another way to name GPUs are not on the nodes",
        gke(),
        pod(nodeSelector={"karpenter.k8s.aws/instance-gpu-name": "l4"}),
        red=f"{GKE}: nvidia-l4",
    ),
    hosted("a label that the pool states is found", gke(labels={LABEL: "a"}), pod(nodeSelector={LABEL: "a"})),
    hosted("a label that it does not state is missed", gke(), pod(nodeSelector={LABEL: "a"}), red="do not have"),
    hosted(
        "a label of another value is missed", gke(labels={LABEL: "b"}), pod(nodeSelector={LABEL: "a"}), red="another"
    ),
    hosted("labels of feature discovery may be there", gke(), pod(nodeSelector={"nvidia.com/gpu.family": "ada"})),
    hosted(
        "a zone that the pool has not is missed",
        (gke()[0], gke()[1] | {"nodeLocations": ["us-central1-a"]}),
        pod(nodeSelector={"topology.kubernetes.io/zone": "us-central1-b"}),
        red="another value",
    ),
    hosted("a taint that is tolerated is none", gke(taints=[TAINT]), pod(tolerations=TOLERATES)),
    hosted("a taint that is not tolerated is told", gke(taints=[TAINT]), pod(), red="nodeConfig.taints[0]"),
    hosted(
        "the taint of GPUs needs no toleration where GPUs are requested",
        gke(taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]),
        pod(),
    ),
    hosted("CPU up to what a node leaves fits", gke(), pod(2, {"cpu": "23870m"}), boundary=True),
    hosted("more CPU does not", gke(), pod(2, {"cpu": "23871m"}), red="g2-standard-24 leaves 23870m", boundary=True),
    hosted("memory up to what a node leaves fits", gke(), pod(2, {"memory": 93195303936}), boundary=True),
    hosted("more memory does not", gke(), pod(2, {"memory": 93195303937}), red="leaves 86.79 GiB", boundary=True),
    hosted("a boot disk may be too small", gke(diskSizeGb=50), pod(2, {"ephemeral-storage": "60Gi"}), red="ephemeral"),
    hosted(
        "local disks of a pool are not counted against it",
        gke(ephemeralStorageLocalSsdConfig={"localSsdCount": 1}),
        pod(2, {"ephemeral-storage": "200Gi"}),
    ),
    hosted(
        "requests of all containers and sidecars add up",
        gke(),
        pod(
            2,
            {"cpu": 20},
            initContainers=[{"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": 4}}}],
        ),
        red="needs 24 of cpu",
    ),
    hosted(
        "an init container counts alone",
        gke(),
        pod(2, {"cpu": 20}, initContainers=[{"name": "i", "resources": {"requests": {"cpu": 20}}}]),
    ),
    hosted(
        "a larger init container counts instead",
        gke(),
        pod(2, {"cpu": 4}, initContainers=[{"name": "i", "resources": {"requests": {"cpu": 30}}}]),
        red="needs 30 of cpu",
    ),
    hosted("CPU that is unknown decides", gke(), pod(2, {"cpu": UNKNOWN}), red="cannot decide", undecided=True),
    hosted("a machine type that is unknown decides", gke(UNKNOWN, None), pod(2), red="cannot decide", undecided=True),
    hosted(
        "a label that is unknown decides",
        gke(labels={LABEL: UNKNOWN}),
        pod(nodeSelector={LABEL: "a"}),
        red="nodeConfig.labels",
        undecided=True,
    ),
    hosted("a taint that is unknown decides", gke(taints=[UNKNOWN]), pod(), red="cannot decide", undecided=True),
    hosted(
        "a boot disk that is unknown decides",
        gke(diskSizeGb=UNKNOWN),
        pod(2, {"ephemeral-storage": "60Gi"}),
        red="nodeConfig.diskSizeGb",
        undecided=True,
    ),
    hosted(
        "a zone that is unknown decides",
        (gke()[0], gke()[1] | {"nodeLocations": [UNKNOWN]}),
        pod(nodeSelector={"topology.kubernetes.io/zone": "us-central1-b"}),
        red="nodeLocations[0]",
        undecided=True,
    ),
    hosted(
        "a requirement that is unknown decides",
        karpenter(("node.kubernetes.io/instance-type", "In", [UNKNOWN])),
        pod(4),
        red="cannot decide",
        undecided=True,
    ),
    hosted(
        "a toleration that is unknown decides",
        gke(taints=[TAINT]),
        pod(tolerations=[UNKNOWN]),
        red="spec.tolerations[0]",
        undecided=True,
    ),
    hosted(
        "an unknown value of a pool that is too small anyway decides nothing",
        gke(taints=[UNKNOWN]),
        pod(4),
        red="requests 4 GPUs",
    ),
    hosted("a pool that fits makes up for one that is unknown", gke(UNKNOWN, None), gke(), pod(2)),
    hosted("a worker of a group needs a node as well", gke(), GROUP, red="workerTemplate"),
    hosted(
        "a bare Pod is placed like any other",
        gke(),
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [vllm(gpus=4)]}},
        red="requests 4 GPUs",
    ),
    hosted("a StatefulSet is placed like any other", gke(), pod(4, kind="StatefulSet"), red="requests 4 GPUs"),
    hosted("a cluster without GPUs is told", gke("e2-standard-8", None), pod(), red="its nodes have none"),
    Case(
        "SZ-06",
        "a pool without GPUs beside a cluster that exists is only a hint",
        (gke("e2-standard-8", None), pod()),
        "its nodes have none",
        advice=True,
    ),
    hosted("other devices are left to those who know them", gke(), pod(0, {"amd.com/gpu": 8})),
    hosted(
        "devices that join nodes and huge pages do not hide that GPUs are too few",
        gke(),
        pod(4, {"vpc.amazonaws.com/efa": 1, "hugepages-2Mi": "5Gi"}),
        red="requests 4 GPUs",
    ),
    hosted("nor are they counted as GPUs", gke(), pod(2, {"vpc.amazonaws.com/efa": 32, "hugepages-2Mi": "5Gi"})),
    hosted(
        "a cluster that makes nodes as pods ask for them hosts the pod",
        ("gcp:container/cluster:Cluster", {"enableAutopilot": True}),
        pod(8),
    ),
    hosted(
        "every affinity term is a way to a node",
        gke(),
        pod(
            affinity={
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": GKE, "operator": "In", "values": ["nvidia-tesla-t4"]}]},
                            {
                                "matchExpressions": [
                                    {"key": GKE, "operator": "In", "values": ["nvidia-tesla-a100", "nvidia-l4"]}
                                ]
                            },
                        ]
                    }
                }
            }
        ),
    ),
    hosted("a node group hosts what its nodes have", eks("g6.12xlarge"), pod(4)),
    hosted("a node group with fewer GPUs does not", eks("g6.xlarge", "g6.2xlarge"), pod(4), red="g6.12xlarge with 4"),
    hosted(
        "nodes of a node group do not carry Karpenter's labels",
        eks("g6.xlarge"),
        pod(nodeSelector={"karpenter.k8s.aws/instance-gpu-name": "l4"}),
        red="way out: node.kubernetes.io/instance-type",
    ),
    hosted("memory that only some nodes of a type have is not refused", eks("g6.xlarge"), pod(1, {"memory": "14.5Gi"})),
    hosted(
        "a NodePool hosts what any of its machine types has",
        karpenter(("karpenter.k8s.aws/instance-gpu-name", "In", ["l4"])),
        pod(4),
    ),
    hosted(
        "a NodePool of smaller machine types does not",
        karpenter(("node.kubernetes.io/instance-type", "In", ["g6.xlarge"])),
        pod(4),
        red="requests 4 GPUs",
    ),
)


def machine(says: str, *there: Any, red: str | None = None, **more: Any) -> Case:
    return Case("SZ-07", says, there, red, **more)


_MACHINES = (
    machine("what a machine type comes with is right", gke()),
    machine("accelerators may be left to the machine type", gke(gpu=None)),
    machine("another GPU is not on this machine type", gke(gpu="nvidia-tesla-a100"), red="comes with 2 x nvidia-l4"),
    machine("another count is not either", gke(count=1), red="count: 2"),
    machine("H100s of megagpu machines have a name of their own", gke("a3-megagpu-8g", "nvidia-h100-mega-80gb", 8)),
    machine(
        "the usual name of an H100 is not theirs",
        gke("a3-megagpu-8g", "nvidia-h100-80gb", 8),
        red="nvidia-h100-mega-80gb",
    ),
    machine("GPUs are attached to N1 machines", gke("n1-standard-8", "nvidia-tesla-t4", 2)),
    machine("not to others", gke("n2-standard-8", "nvidia-tesla-t4", 1), red="cannot be attached to n2-standard-8"),
    machine("not in any number", gke("n1-standard-8", "nvidia-tesla-t4", 3), red="1, 2, 4"),
    machine("an L4 is on G2 machines only", gke("n1-standard-8", "nvidia-l4", 1), red="g2-standard-4"),
    machine("a size that its family has not is unknown", gke("g2-standard-6", None), red="g2-standard-4"),
    machine("machine types that the catalog does not list pass", gke("n2d-custom-8-16384", None)),
    machine("a GPU that is unknown decides", gke(gpu=UNKNOWN), red="cannot decide", undecided=True),
    machine("a count that is unknown decides", gke(count=UNKNOWN), red="cannot decide", undecided=True),
    machine("a machine type that is unknown decides", gke(UNKNOWN), red="cannot decide", undecided=True),
    machine(
        "a pool inside a cluster is read",
        (
            "gcp:container/cluster:Cluster",
            {
                "nodePools": [
                    {
                        "nodeConfig": {
                            "machineType": "g2-standard-24",
                            "guestAccelerators": [{"type": "nvidia-l4", "count": 8}],
                        }
                    }
                ]
            },
        ),
        red="nodePools[0].nodeConfig.guestAccelerators[0].count",
    ),
    machine("a family without this size is told", eks("g6.3xlarge"), red="g6.2xlarge"),
    machine("an instance type of its family passes", eks("g6.12xlarge", amiType="AL2023_x86_64_NVIDIA")),
    machine(
        "an image of another architecture does not boot",
        eks("g5g.xlarge", amiType="AL2023_x86_64_NVIDIA"),
        red="AL2023_ARM_64_NVIDIA",
    ),
    machine(
        "an image without driver leaves the GPUs unused",
        eks("g6.xlarge", amiType="AL2023_x86_64_STANDARD"),
        red="no driver",
        advice=True,
    ),
    machine("an image that is unknown decides", eks("g6.xlarge", amiType=UNKNOWN), red="cannot decide", undecided=True),
    machine(
        "Karpenter knows GPUs by short names",
        karpenter(("karpenter.k8s.aws/instance-gpu-name", "In", ["nvidia-l4"])),
        red="l4",
        advice=True,
    ),
    machine(
        "a class with the accelerators of its machine type is right",
        (
            "kubernetes:cloud.google.com/v1:ComputeClass",
            {"spec": {"priorities": [{"machineType": "g2-standard-24", "gpu": {"type": "nvidia-l4", "count": 2}}]}},
        ),
    ),
    machine(
        "a class with others is not",
        (
            "kubernetes:cloud.google.com/v1:ComputeClass",
            {"spec": {"priorities": [{"machineType": "g2-standard-24", "gpu": {"type": "nvidia-l4", "count": 4}}]}},
        ),
        red="spec.priorities[0].gpu.count",
    ),
)

CASES: tuple[Case, ...] = (*_HOSTED, *_MACHINES)
