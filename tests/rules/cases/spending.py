"""Examples of the rules about what a stack costs and whose it is."""

from __future__ import annotations

import json
from typing import Any

from modelberth.catalog import catalog
from modelberth.observed import UNKNOWN
from modelberth.resources import Options
from tests.rules.cases import Case, Seen
from tests.rules.samples import deployment, vllm

L4 = "g2-standard-8"
_L4_USD = catalog().price(L4).usd_per_hour
_SPOT_USD = catalog().price(L4, "spot").usd_per_hour
_L40S_USD = catalog().price("g6e.2xlarge").usd_per_hour
_LABELS = {"owner": "platform", "model": "llama", "env": "prod", "cost-center": "1"}


def pool(most: Any = 4, machine: Any = L4, **config: Any) -> Seen:
    node = {"machineType": machine, "guestAccelerators": [{"type": "nvidia-l4", "count": 1}], **config}
    scaling = {} if most is None else {"autoscaling": {"totalMinNodeCount": 0, "totalMaxNodeCount": most}}
    return "gcp:container/nodePool:NodePool", {"nodeLocations": ["us-central1-a"], "nodeConfig": node, **scaling}


def nodes(most: Any = 4, *machines: str) -> Seen:
    scaling = {"minSize": 0, "maxSize": most, "desiredSize": 0}
    return "aws:eks/nodeGroup:NodeGroup", {
        "instanceTypes": list(machines or ("g6e.2xlarge",)),
        "scalingConfig": scaling,
    }


def budget(usd: float) -> dict[str, Any]:
    return {"usd_per_hour": usd}


_SERVER = {"apiVersion": "apps/v1", **deployment(vllm())}
_SERVER["spec"] = {"replicas": 2, **_SERVER["spec"]}
WITHIN = (
    Case("CS-11", "without a budget nothing is too much", (pool(400),)),
    Case("CS-11", "a budget of exactly that is kept", (pool(4),), boundary=True, thresholds=budget(4 * _L4_USD)),
    Case(
        "CS-11",
        "one node more is too much",
        (pool(5),),
        f"5 x {L4} at {_L4_USD:.2f} (on-demand) = {5 * _L4_USD:.2f} USD per hour",
        boundary=True,
        thresholds=budget(4 * _L4_USD),
    ),
    Case(
        "CS-11", "the way out is how many nodes are left", (pool(5),), "at most 4 nodes", thresholds=budget(4 * _L4_USD)
    ),
    Case(
        "CS-11",
        "pools of two clouds are counted together",
        (pool(2), nodes(2)),
        "too much",
        thresholds=budget(2 * _L4_USD + _L40S_USD),
    ),
    Case("CS-11", "spot costs less", (pool(4, spot=True),), thresholds=budget(4 * _SPOT_USD)),
    Case(
        "CS-11",
        "the dearest machine of a pool counts",
        (nodes(1, "g6e.xlarge", "g6e.2xlarge"),),
        "1 x g6e.2xlarge",
        thresholds=budget(_L40S_USD - 0.01),
    ),
    Case(
        "CS-11",
        "what a model takes of it is told",
        (pool(5), _SERVER),
        "of it meta-llama/Llama-3.1-8B-Instruct: 2 x nvidia-l4",
        thresholds=budget(1),
    ),
    Case(
        "CS-11",
        "an unknown price is told",
        (pool(2), nodes(2, "x9.mega")),
        "machine type is not in the catalog",
        advice=True,
        thresholds=budget(99),
    ),
    Case(
        "CS-11",
        "unknown prices do not hide what is too much",
        (pool(5), nodes(2, "x9.mega")),
        "unknown, its machine type",
        thresholds=budget(1),
    ),
    Case(
        "CS-11",
        "a bound that is not known yet is a doubt",
        (pool(UNKNOWN),),
        "cannot decide whether the node pools stay within the budget",
        undecided=True,
        thresholds=budget(99),
    ),
    Case(
        "CS-11",
        "a machine that is not known yet is a doubt",
        (pool(4, UNKNOWN),),
        "cannot decide",
        undecided=True,
        thresholds=budget(99),
    ),
    Case("CS-11", "a pool that stays off costs nothing", (pool(0),), thresholds=budget(0.01)),
)


def bucket(**inputs: Any) -> Seen:
    return "gcp:storage/bucket:Bucket", inputs


def provider(type_: str, **inputs: Any) -> Seen:
    return f"pulumi:providers:{type_}", inputs


_OF_PROVIDER = Options(provider="urn:pulumi:dev::project::pulumi:providers:aws::r1")
_TAGS = json.dumps({"tags": _LABELS})
LABELLED = (
    Case("CS-14", "a bucket with every label is fine", (bucket(labels=_LABELS),)),
    Case("CS-14", "a bucket without labels is nobody's", (bucket(),), "labels: nobody can tell"),
    Case(
        "CS-14",
        "one label that is missing is named",
        (bucket(labels={k: v for k, v in _LABELS.items() if k != "env"}),),
        "env missing",
    ),
    Case(
        "CS-14",
        "keys are spelled as clouds allow",
        (bucket(labels={"Owner": "a", "model": "b", "ENV": "c", "cost_center": "d"}),),
    ),
    Case("CS-14", "labels that are not known yet are left alone", (bucket(labels=UNKNOWN),)),
    Case("CS-14", "labels of a provider count", (bucket(labels={}, effectiveLabels=_LABELS),)),
    Case(
        "CS-14",
        "tags of a provider count",
        (("aws:s3/bucket:Bucket", {}), provider("aws", defaultTags=_TAGS)),
        options=_OF_PROVIDER,
    ),
    Case(
        "CS-14",
        "a cluster of many models names none",
        (("aws:eks/cluster:Cluster", {"tags": {k: v for k, v in _LABELS.items() if k != "model"}}),),
    ),
    Case("CS-14", "a pool is labelled where its machines are", (pool(),), "nodeConfig.resourceLabels: nobody"),
    Case("CS-14", "what costs nothing needs no label", (("gcp:serviceaccount/account:Account", {}), _SERVER)),
    Case("CS-14", "a team chooses its keys", (bucket(labels={"team": "a"}),), thresholds={"required": ("team",)}),
)
CASES = (*WITHIN, *LABELLED)
