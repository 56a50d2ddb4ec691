"""Node pools with GPUs: identity, upkeep, taints and drivers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelberth.clouds.pools import Pool, pools
from modelberth.clouds.pools_remarks import About, linked_remarks, remarks
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.manifests import GPU_RESOURCE
from modelberth.resources import Resource
from modelberth.rules.base import IN_PROD, Check, Rule, Settings, Severity, StackCheck, undecided
from modelberth.rules.facts import remarked

_REPELS = ("NoSchedule", "NoExecute")


def _about(rule_id: str, question: str, *about: About) -> Check:
    def check(resource: Resource, settings: Settings) -> Iterable[Finding]:
        return (remarked(rule_id, question, remark) for remark in remarks(resource, *about))

    return check


def _linked(rule_id: str, question: str, *about: About) -> StackCheck:
    def across(inventory: Inventory, settings: Settings) -> Iterable[tuple[Resource, Finding]]:
        for resource in inventory.resources:
            for remark in linked_remarks(resource, inventory.resources, *about):
                yield resource, remarked(rule_id, question, remark)

    return across


def _kept(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pool in pools((resource,)):
        yield from _untainted(pool)
    for remark in remarks(resource, About.DRIVER):
        yield remarked("CS-15", _KEPT, remark)
    for pod in resource.pods:
        for toleration in pod.spec["tolerations"].elements() if pod.serves else ():
            if toleration["operator"].text() == "Exists" and not toleration["key"].stated:
                message = "tolerates every taint: the pod also goes to nodes that are kept for others or are failing"
                remedy = f"key: {GPU_RESOURCE}, or the keys of the pool's own taints"
                yield Finding("CS-15", toleration.path, message, remedy, Level.WARNING)


def _kept_by_others(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """Pools of which only another resource tells that they have GPUs."""
    alone = {pool.resource for resource in inventory.resources for pool in pools((resource,)) if pool.has_gpus is None}
    for pool in pools(inventory.resources) if alone else ():
        if pool.resource in alone and pool.has_gpus:
            yield from ((pool.resource, finding) for finding in _untainted(pool))


def _untainted(pool: Pool[Resource]) -> Iterator[Finding]:
    if not pool.kinds or any(taint.effect in _REPELS for taint in pool.stated_taints):
        return
    doubt = pool.doubt("taints") or (pool.doubt("machine type") if pool.has_gpus is None else None)
    if pool.has_gpus is not False and doubt and doubt.resource is pool.resource:
        yield undecided("CS-15", _KEPT, doubt.node)
    elif pool.has_gpus and not doubt and pool.stated_taints_at.path:
        added = any(taint.key == GPU_RESOURCE and not taint.certain for kind in pool.kinds for taint in kind.taints)
        message = "pods that need no GPU fill the nodes, and hold on to them when they should go"
        if added:
            message = "whether the nodes are kept for pods with GPUs depends on which pool was made first"
        level = Level.WARNING if added else Level.ERROR
        remedy = f"a taint with key {GPU_RESOURCE}, value present and effect {pool.no_schedule}"
        yield Finding("CS-15", pool.stated_taints_at.path, message, remedy, level)


_IDENTITY = "whether the nodes have an account of their own"
_METADATA = "whether pods are kept from the identity of their node"
_UPKEEP = "whether nodes are repaired and boot what they should"
_KEPT = "whether the nodes are kept for pods that need GPUs"

IDENTITY = Rule(
    id="CS-01",
    name="node-identity",
    title="Nodes have an account of their own",
    question=_IDENTITY,
    why="Whoever breaks out of one container acts as its node: with the default account as an editor of the project.",
    remediation="Give the pool a service account with only what nodes need.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    source="CIS GKE Benchmark 5.2.1; cloud.google.com/kubernetes-engine/docs/how-to/hardening-your-cluster",
    check=_about("CS-01", _IDENTITY, About.IDENTITY),
    across=_linked("CS-01", _IDENTITY, About.IDENTITY),
)
METADATA = Rule(
    id="CS-02",
    name="workload-identity",
    title="Pods have identities of their own",
    question=_METADATA,
    why="Without it every pod of a node can read the node's token and act with the node's rights.",
    remediation="Turn workload identity on for the cluster and keep the pools on its metadata server.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    source="CIS GKE Benchmark 5.2.2 and 5.4.1; CKV_GCP_69",
    check=_about("CS-02", _METADATA, About.METADATA),
    across=_linked("CS-02", _METADATA, About.METADATA),
)
UPKEEP = Rule(
    id="CS-03",
    name="node-upkeep",
    title="Nodes are repaired, upgraded, and boot what they should",
    question=_UPKEEP,
    why="A node with a lost GPU takes pods and fails them; one that is never patched is taken over.",
    remediation="Leave repair and upgrades on, run the hardened image of the cloud, and verify the boot.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="CIS GKE Benchmark 5.5.1 to 5.5.7; CKV_GCP_9, 10, 22, 68, 70; unsigned drivers: NVIDIA/gpu-operator#1726",
    check=_about("CS-03", _UPKEEP, About.UPKEEP, About.SHIELD),
)
KEPT = Rule(
    id="CS-15",
    name="gpu-nodes-kept",
    title="GPU nodes are kept for pods that need GPUs, with a driver that is chosen",
    question=_KEPT,
    why="Other pods on a GPU node take its CPU and memory, and keep the autoscaler from giving it back.",
    remediation="State the taint nvidia.com/gpu on the pool; tolerate taints by name.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="cloud.google.com/kubernetes-engine/docs/how-to/gpus; aws.github.io/aws-eks-best-practices, GPU nodes",
    check=_kept,
    across=_kept_by_others,
)
RULES = (IDENTITY, METADATA, UPKEEP, KEPT)
