"""Node pools with GPUs: identity, upkeep, taints and drivers."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case, Seen
from tests.rules.cases.placement import TAINT, eks, gke, karpenter, pod

ACCOUNT = "nodes@project.iam.gserviceaccount.com"
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
IDENTITY = {"workloadIdentityConfig": {"workloadPool": "project.svc.id.goog"}, "removeDefaultNodePool": True}


def cluster(**more: Any) -> Seen:
    return "gcp:container/cluster:Cluster", IDENTITY | more


def kept(**more: Any) -> Seen:
    """A pool that no rule has anything to say about."""
    config = {
        "serviceAccount": ACCOUNT,
        "workloadMetadataConfig": {"mode": "GKE_METADATA"},
        "shieldedInstanceConfig": {"enableSecureBoot": True},
        "taints": [GPU_TAINT],
        "guestAccelerators": [
            {
                "type": "nvidia-l4",
                "count": 2,
                "gpuDriverInstallationConfig": {"gpuDriverVersion": "DEFAULT"},
            }
        ],
    }
    return gke(**(config | more))


def managed(**more: Any) -> Seen:
    type_, properties = kept()
    return type_, properties | {"management": more}


def case(rule: str, says: str, *there: Any, red: str | None = None, **more: Any) -> Case:
    return Case(rule, says, there, red, **more)


BY_HAND = {
    "type": "nvidia-l4",
    "count": 2,
    "gpuDriverInstallationConfig": {"gpuDriverVersion": "INSTALLATION_DISABLED"},
}
LATEST = {"type": "nvidia-l4", "count": 2, "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"}}
SPARE = {"shieldedInstanceConfig": {"enableIntegrityMonitoring": False, "enableSecureBoot": True}}

CASES: tuple[Case, ...] = (
    case("CS-01", "an account of its own is right", kept()),
    case("CS-01", "no account is the default one", kept(serviceAccount=None), red="default compute account"),
    case(
        "CS-01",
        "the default account by name is told",
        kept(serviceAccount="123-compute@developer.gserviceaccount.com"),
        red="default compute account",
    ),
    case(
        "CS-01",
        "wide scopes of the default account are told",
        kept(serviceAccount="default", oauthScopes=["https://www.googleapis.com/auth/cloud-platform"]),
        red="every API",
    ),
    case("CS-01", "an unknown account decides", kept(serviceAccount=UNKNOWN), red="cannot decide", undecided=True),
    case("CS-01", "a default pool that is removed needs no account", cluster()),
    case(
        "CS-01",
        "a default pool that stays needs one",
        cluster(removeDefaultNodePool=False, nodeConfig={}),
        red="nodeConfig.serviceAccount",
    ),
    case("CS-02", "the metadata server of the cluster is right", cluster(), kept()),
    case(
        "CS-02", "that of the machine is not", kept(workloadMetadataConfig={"mode": "GCE_METADATA"}), red="identity of"
    ),
    case(
        "CS-02",
        "an unknown mode decides",
        kept(workloadMetadataConfig={"mode": UNKNOWN}),
        red="cannot decide",
        undecided=True,
    ),
    case(
        "CS-02",
        "a cluster without identities for pods is told",
        cluster(workloadIdentityConfig=None),
        red="workloadPool: PROJECT_ID.svc.id.goog",
    ),
    case("CS-02", "identities that are computed are there", cluster(workloadIdentityConfig={"workloadPool": UNKNOWN})),
    case(
        "CS-02",
        "a pool should state its mode",
        kept(workloadMetadataConfig=None),
        red="by default",
        advice=True,
    ),
    case(
        "CS-02", "a cluster that manages its nodes has them", cluster(enableAutopilot=True, workloadIdentityConfig=None)
    ),
    case("CS-03", "repair and upgrades are on by themselves", kept()),
    case("CS-03", "repair may be stated", managed(autoRepair=True, autoUpgrade=True)),
    case("CS-03", "no repair is told", managed(autoRepair=False), red="autoRepair: true"),
    case("CS-03", "unknown repair decides", managed(autoRepair=UNKNOWN), red="cannot decide", undecided=True),
    case("CS-03", "no upgrades are a hint", managed(autoUpgrade=False), red="maintenance window", advice=True),
    case("CS-03", "another image is a hint", kept(imageType="UBUNTU_CONTAINERD"), red="COS_CONTAINERD", advice=True),
    case("CS-03", "the usual image passes", kept(imageType="cos_containerd")),
    case("CS-03", "no integrity monitoring is told", kept(**SPARE), red="enableIntegrityMonitoring: true"),
    case(
        "CS-03",
        "integrity that is unknown decides",
        kept(shieldedInstanceConfig={"enableIntegrityMonitoring": UNKNOWN}),
        red="cannot decide",
        undecided=True,
    ),
    case("CS-03", "no secure boot is a hint", kept(shieldedInstanceConfig=None), red="enableSecureBoot", advice=True),
    case(
        "CS-03",
        "drivers by hand and secure boot exclude each other unless signed",
        kept(guestAccelerators=[BY_HAND]),
        red="signed",
        advice=True,
    ),
    case(
        "CS-03", "drivers by hand need no secure boot", kept(guestAccelerators=[BY_HAND], shieldedInstanceConfig=None)
    ),
    case("CS-03", "nodes that are not shielded are told", cluster(enableShieldedNodes=False), red="control plane"),
    case(
        "CS-03", "unknown shielding decides", cluster(enableShieldedNodes=UNKNOWN), red="cannot decide", undecided=True
    ),
    case(
        "CS-03",
        "no release channel is a hint",
        cluster(releaseChannel={"channel": "UNSPECIFIED"}),
        red="REGULAR",
        advice=True,
    ),
    case("CS-15", "a tainted pool is kept", kept()),
    case("CS-15", "any taint keeps a pool", kept(taints=[TAINT])),
    case(
        "CS-15",
        "a taint that the cloud adds sometimes is better stated",
        kept(taints=[]),
        red="made first",
        advice=True,
    ),
    case("CS-15", "a node group without taint is told", eks("g6.xlarge"), red="effect NO_SCHEDULE"),
    case("CS-15", "a tainted node group is kept", eks("g6.xlarge", taints=[GPU_TAINT])),
    case(
        "CS-15",
        "a taint that only prefers keeps nothing",
        eks("g6.xlarge", taints=[GPU_TAINT | {"effect": "PREFER_NO_SCHEDULE"}]),
        red="effect NO_SCHEDULE",
    ),
    case(
        "CS-15", "taints that are unknown decide", eks("g6.xlarge", taints=UNKNOWN), red="cannot decide", undecided=True
    ),
    case("CS-15", "a machine type that is unknown decides", eks(UNKNOWN), red="cannot decide", undecided=True),
    case("CS-15", "nodes without GPUs need no taint", eks("m7i.4xlarge"), gke("e2-standard-8", None)),
    case(
        "CS-15",
        "a NodePool of GPUs needs a taint",
        karpenter(("karpenter.k8s.aws/instance-gpu-name", "In", ["l4"])),
        red="effect NoSchedule",
    ),
    case(
        "CS-15",
        "a tainted NodePool is kept",
        karpenter(("karpenter.k8s.aws/instance-gpu-name", "In", ["l4"]), taints=[GPU_TAINT | {"effect": "NoSchedule"}]),
    ),
    case(
        "CS-15",
        "a driver that is left to the cloud is a hint",
        kept(guestAccelerators=[{"type": "nvidia-l4", "count": 2}]),
        red="gpuDriverVersion: DEFAULT",
        advice=True,
    ),
    case(
        "CS-15",
        "the latest driver is for one image only",
        kept(guestAccelerators=[LATEST], imageType="UBUNTU_CONTAINERD"),
        red="Container-Optimized OS",
    ),
    case(
        "CS-15",
        "tolerating everything is a hint",
        pod(tolerations=[{"operator": "Exists"}]),
        red="every taint",
        advice=True,
    ),
    case(
        "CS-15",
        "tolerating one key is right",
        pod(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]),
    ),
)
