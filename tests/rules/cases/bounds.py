"""Replicas that a stack states and that have no place."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case, Seen
from tests.rules.stacks import APP, autoscaler, made, server

_HOST, _ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
_SLOW = {"scaleDown": {"stabilizationWindowSeconds": 3600}}
_QUOTA = "requests.nvidia.com/gpu"


def _pool(most: Any = 2, machine: str = "g2-standard-8", gpus: int = 1, zones: Any = ("a", "b")) -> Seen:
    node = {"machineType": machine, "guestAccelerators": [{"type": "nvidia-l4", "count": gpus}]}
    bounds = {"totalMinNodeCount": 0, "totalMaxNodeCount": most}
    names = [f"us-central1-{zone}" for zone in zones]
    return "gcp:container/nodePool:NodePool", {"nodeLocations": names, "autoscaling": bounds, "nodeConfig": node}


def _replicas(count: Any, **more: Any) -> dict[str, Any]:
    return server(spec_replicas=count, **more)


def _apart(key: str, labels: Any = None, **more: Any) -> dict[str, Any]:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": APP if labels is None else labels}} | more
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _quota(gpus: Any, **more: Any) -> dict[str, Any]:
    found = made("Service", {"hard": {_QUOTA: gpus}} | more)
    return found | {"apiVersion": "v1", "kind": "ResourceQuota"}


def _case(says: str, *there: Any, red: str | None = None, **more: Any) -> Case:
    return Case("SZ-15", says, there, red, **more)


WAIT = "the others wait for ever"
CASES = (
    _case("as many replicas as the pools hold have a place", _replicas(2), _pool(), boundary=True),
    _case("one more than the pools hold waits", _replicas(3), _pool(), red=f"for 2 replicas: {WAIT}", boundary=True),
    _case("replicas that nothing states are one", _replicas(None), _pool()),
    _case("replicas that are computed are open", _replicas(UNKNOWN), _pool(), red="have a place", undecided=True),
    _case("replicas without pools in the stack may have any", _replicas(30)),
    _case("a pool whose bound is unknown may hold any", _replicas(30), _pool(UNKNOWN)),
    _case(
        "replicas beyond a pool that an autoscaler governs are its matter",
        _replicas(3),
        _pool(),
        autoscaler(maxReplicas=2, behavior=_SLOW),
    ),
    _case("replicas may be apart by node", _replicas(2, affinity=_apart(_HOST)), _pool()),
    _case(
        "replicas apart by node need as many nodes",
        _replicas(2, affinity=_apart(_HOST)),
        _pool(1, "g2-standard-24", 2),
        red=f"2 replicas may not share a node, and the pools r1 have at most 1: {WAIT}",
    ),
    _case(
        "replicas apart by zone need as many zones",
        _replicas(2, affinity=_apart(_ZONE)),
        _pool(zones="a"),
        red="may not share a zone",
    ),
    _case("replicas apart by zone in two zones have a place", _replicas(2, affinity=_apart(_ZONE)), _pool()),
    _case(
        "replicas apart from others share a zone", _replicas(2, affinity=_apart(_ZONE, {"app": "b"})), _pool(zones="a")
    ),
    _case(
        "replicas apart from those of another revision share a zone",
        _replicas(2, affinity=_apart(_ZONE, matchLabelKeys=["pod-template-hash"])),
        _pool(zones="a"),
    ),
    _case("a quota of as many GPUs is met", _replicas(2), _quota("2"), boundary=True),
    _case(
        "a quota of one GPU less refuses a replica", _replicas(2), _quota("1"), red="request 2 GPUs, the quota gives 1"
    ),
    _case("a quota of others' pods is none of its business", _replicas(2), _quota("1", scopes=["BestEffort"])),
    _case(
        "a quota of another namespace is none of its business",
        _replicas(2),
        _quota("1") | {"metadata": {"namespace": "b"}},
    ),
    _case("a quota that is computed is open", _replicas(2), _quota(UNKNOWN), red="have a place", undecided=True),
    _case(
        "anti-affinity that is computed is open",
        _replicas(2, affinity=UNKNOWN),
        _pool(1, "g2-standard-24", 2),
        red="have a place",
        undecided=True,
    ),
    _case("anti-affinity that is computed needs no place beside enough", _replicas(2, affinity=UNKNOWN), _pool()),
    _case(
        "a quota of a namespace that is computed is open",
        _replicas(2),
        _quota("1") | {"metadata": {"namespace": UNKNOWN}},
        red="metadata.namespace",
        undecided=True,
    ),
)
