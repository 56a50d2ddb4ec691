"""Examples of WH-08 and WH-09."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.stacks import APP, autoscaler, budget, server

NO_BUDGET = "no PodDisruptionBudget selects its pods"
STUCK = "can be drained"
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
_OURS = {"matchLabels": APP}


def _two(**more: Any) -> dict[str, Any]:
    return server(**{"spec_replicas": 2} | more)


def _at_least(amount: Any, replicas: Any = 2) -> tuple[dict[str, Any], ...]:
    return (server(spec_replicas=replicas), budget(maxUnavailable=None, minAvailable=amount))


def _constraint(key: str, selector: Any = _OURS) -> dict[str, Any]:
    return {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}


def _spread(*constraints: Any, **more: Any) -> tuple[dict[str, Any], ...]:
    return (_two(topologySpreadConstraints=list(constraints), **more),)


def _anti(required: bool, key: str = HOST) -> dict[str, Any]:
    term = {"topologyKey": key, "labelSelector": _OURS}
    if required:
        return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    weighted = {"weight": 100, "podAffinityTerm": term}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}}


_BOTH = (_constraint(HOST), _constraint(ZONE))
_ONE_ZONE = {"nodeSelector": {ZONE: "us-central1-a"}}
_EXCLUSIVE = {"leaderworkerset.sigs.k8s.io/exclusive-topology": "rack"}
_GROUPS = server(kind="LeaderWorkerSet")
APART = "nothing keeps its 2 replicas apart"
CASES = (
    Case("WH-08", "two replicas with a budget pass", (_two(), budget())),
    Case("WH-08", "two without one may go at once", (_two(),), NO_BUDGET, boundary=True),
    Case("WH-08", "one needs none", (server(),), boundary=True),
    Case("WH-08", "one that may become two does", (server(), autoscaler(minReplicas=1, maxReplicas=2)), NO_BUDGET),
    Case("WH-08", "a budget of others is none", (_two(), budget({"matchLabels": {"app": "web"}})), NO_BUDGET),
    Case(
        "WH-08",
        "a budget of another namespace is none",
        (_two(), budget() | {"metadata": {"namespace": "web"}}),
        NO_BUDGET,
    ),
    Case("WH-08", "groups are guarded too", (_GROUPS,), NO_BUDGET),
    Case("WH-08", "a group's budget passes", (_GROUPS, budget())),
    Case("WH-08", "a StatefulSet is guarded too", (_two(kind="StatefulSet"),), NO_BUDGET),
    Case("WH-08", "what runs on every node is not evicted", (server(kind="DaemonSet"),)),
    Case("WH-08", "no disruption at all is a drain that hangs", (_two(), budget(maxUnavailable=0)), STUCK),
    Case("WH-08", "nor is 0%", (_two(), budget(maxUnavailable="0%")), STUCK),
    Case("WH-08", "1% is rounded up to one", (_two(), budget(maxUnavailable="1%"))),
    Case("WH-08", "one of two may go", _at_least(1), boundary=True),
    Case("WH-08", "two of two hang", _at_least(2), STUCK, boundary=True),
    Case("WH-08", "half of two may go", _at_least("50%"), boundary=True),
    Case("WH-08", "51% of two are both", _at_least("51%"), STUCK, boundary=True),
    Case("WH-08", "one of one hangs", _at_least(1, 1), STUCK),
    Case("WH-08", "what an autoscaler leaves counts", (*_at_least(1), autoscaler(minReplicas=1, maxReplicas=4)), STUCK),
    Case("WH-08", "more than it keeps may go", (*_at_least(1), autoscaler(minReplicas=2, maxReplicas=4))),
    Case(
        "WH-08",
        "a ScaledObject may leave none",
        (*_at_least(1), autoscaler(kind="ScaledObject", maxReplicaCount=4)),
        STUCK,
    ),
    Case(
        "WH-08",
        "an unhealthy pod may be evicted",
        (_two(), budget(unhealthyPodEvictionPolicy=None)),
        "holds up the drain",
    ),
    Case("WH-08", "two budgets for one pod refuse all", (_two(), budget(), budget({})), "two budgets"),
    Case("WH-08", "a budget that says nothing is told", (_two(), budget(maxUnavailable=None)), "neither"),
    Case("WH-08", "an unknown number is open", (_two(), budget(maxUnavailable=UNKNOWN)), "whether", undecided=True),
    Case("WH-08", "unknown replicas are open", _at_least(1, UNKNOWN), "whether", undecided=True),
    Case(
        "WH-08",
        "an unknown selector is open",
        (_two(), budget({"matchLabels": {"app": UNKNOWN}})),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-08",
        "unknown replicas without a budget are open",
        (server(spec_replicas=UNKNOWN),),
        "whether",
        undecided=True,
    ),
    Case("WH-09", "nodes and zones pass", _spread(*_BOTH)),
    Case("WH-09", "two replicas side by side do not", (_two(),), APART, boundary=True),
    Case("WH-09", "one replica has nobody to be apart from", (server(),), boundary=True),
    Case("WH-09", "one that may become two does", (server(), autoscaler(minReplicas=1, maxReplicas=2)), "apart"),
    Case(
        "WH-09",
        "a constraint that counts others keeps nothing apart",
        _spread(_constraint(HOST, {"matchLabels": {"app": "web"}})),
        APART,
    ),
    Case("WH-09", "a constraint that counts nothing keeps nothing apart", _spread(_constraint(HOST, None)), APART),
    Case("WH-09", "nodes alone are advised to be zones too", _spread(_constraint(HOST)), "by zone", advice=True),
    Case("WH-09", "zones alone are advised to be nodes too", _spread(_constraint(ZONE)), "by node", advice=True),
    Case("WH-09", "in one zone nodes are enough", _spread(_constraint(HOST), **_ONE_ZONE)),
    Case(
        "WH-09",
        "anti-affinity keeps apart",
        (_two(affinity=_anti(True), topologySpreadConstraints=[_constraint(ZONE)]),),
    ),
    Case(
        "WH-09", "a wish for it does too", (_two(affinity=_anti(False), topologySpreadConstraints=[_constraint(ZONE)]),)
    ),
    Case(
        "WH-09",
        "groups that share no rack are apart",
        (_GROUPS | {"metadata": {"name": "chat", "annotations": _EXCLUSIVE}},),
        "by zone",
        advice=True,
    ),
    Case("WH-09", "groups are asked by their leaders", (_GROUPS,), "leaderTemplate"),
    Case(
        "WH-09", "unknown constraints are open", (_two(topologySpreadConstraints=UNKNOWN),), "whether", undecided=True
    ),
    Case("WH-09", "unknown replicas are open", (server(spec_replicas=UNKNOWN),), "whether", undecided=True),
    Case("WH-08", "a budget of both figures is refused", (_two(), budget(minAvailable=1)), "says both"),
)
