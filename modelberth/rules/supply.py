"""How many nodes there may be, and how sure it is that they are there: bounds, spot, scarce GPUs, disks of one zone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelberth.catalog import catalog
from modelberth.clouds.pools import Pool, asks_for_spot, is_zonal, names_spot, pools
from modelberth.clouds.pools_remarks import About, remarks
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, IN_PROD, Profile, Rule, Settings, Severity, Threshold, undecided
from modelberth.rules.facts import remarked
from modelberth.rules.hosting import Hidden, hosting
from modelberth.rules.needs import in_one_zone, selected
from modelberth.rules.relations import is_called, replicas, same_namespace

_MOST_NODES = Threshold("most_nodes", 32, "The most nodes that one pool with GPUs may grow to.", least=1, most=15000)
_SCARCE = Threshold(
    "scarce",
    (
        "nvidia-a100-80gb",
        "nvidia-b200",
        "nvidia-b300",
        "nvidia-gb200",
        "nvidia-gb300",
        "nvidia-h100-80gb",
        "nvidia-h200-141gb",
    ),
    "GPUs that a cloud may not have when they are asked for.",
)


def _bounded(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for remark in remarks(resource, About.BOUNDS):
        yield remarked("CS-10", BOUNDED.question, remark)
    for pool in pools((resource,)):
        yield from _bounds(pool, settings)


def _bounded_with_others(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """Pools whose size only another resource tells: zones of the cluster, a template's machine type."""
    alone = {
        (pool.resource, pool.node.path): list(_bounds(pool, settings))
        for resource in inventory.resources
        for pool in pools((resource,))
    }
    for pool in pools(inventory.resources):
        for finding in _bounds(pool, settings):
            if finding not in alone[pool.resource, pool.node.path]:
                yield pool.resource, finding


def _bounds(pool: Pool[Resource], settings: Settings) -> Iterator[Finding]:
    at, most = pool.bounds.path, settings["most_nodes"]
    hidden = pool.doubt("machine type") if pool.has_gpus is None else None
    if hidden and hidden.resource is pool.resource and (pool.most_nodes or 0) > most:
        yield undecided("CS-10", BOUNDED.question, hidden.node)
    if not pool.has_gpus or not pool.kinds:
        return
    least = pool.least_nodes or 0
    if at and pool.most_nodes is not None and least > pool.most_nodes:
        message = f"at least {least} nodes are more than at most {pool.most_nodes}: the cloud refuses it"
        yield Finding("CS-10", at, message, f"a least number of at most {pool.most_nodes}, or a most of {least}")
    doubt = pool.doubt("bounds") or (pool.doubt("zones") if pool.bounded and pool.most_nodes is None else None)
    if doubt:
        yield undecided("CS-10", BOUNDED.question, doubt.node)
    elif pool.bounded is False and at:
        message = "the pool has no upper bound: a mistake in one autoscaler buys GPUs until the quota ends"
        yield Finding("CS-10", at, message, f"a limit of nodes or GPUs for at most {most:g} nodes")
    elif pool.most_nodes is not None and pool.most_nodes > most:
        gpus = pool.gpus_per_node
        total = f" with {pool.most_nodes * gpus} GPUs" if gpus else ""
        zones = f" over {len(pool.zones)} zones" if pool.zones and len(pool.zones) > 1 else ""
        message = f"the pool may grow to {pool.most_nodes} nodes{total}{zones}, at most {most:g} are meant"
        yield Finding("CS-10", at, message, f"at most {most:g} nodes in all zones together, or a higher most_nodes")
    elif pool.scales is False:
        message = "the number of nodes is fixed: GPUs are paid for while nothing uses them"
        yield Finding("CS-10", at, message, "a least and a most number of nodes", Level.WARNING)
    if settings.profile is Profile.DEV and pool.scales and pool.least_nodes:
        message = f"{pool.least_nodes} GPU nodes stay when nobody works"
        yield Finding("CS-10", at, message, "a least number of 0", Level.WARNING)


def _survives(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    there = pools(inventory.resources)
    for resource in inventory.resources:
        for pod in resource.pods if resource.workloads else ():
            at, hidden = _on_spot(pod, there)
            if at is None and hidden is None:
                continue
            wrong = _too_few(pod, inventory)
            if isinstance(wrong, Node):
                yield resource, undecided("CS-12", SURVIVES.question, wrong)
            elif hidden and wrong.level is Level.ERROR:
                yield hidden.resource, undecided("CS-12", SURVIVES.question, hidden.node)
            elif at:
                path = at.path or "spec"
                yield resource, Finding("CS-12", path, wrong.message, wrong.remedy, wrong.level)
            break


def _on_spot(pod: Pod, there: Iterable[Pool[Resource]]) -> tuple[Node | None, Hidden | None]:
    """(where a pod says that it runs on nodes that may be taken away, else a value that hides it)."""
    asked = [
        next((c for c in way if c.operator == "In" and asks_for_spot(c.key, c.wanted)), None) for way in selected(pod)
    ]
    if all(asked) and asked[0]:
        return asked[0].node, None
    unknown = [next((c.unknown for c in way if c.unknown and names_spot(c.key)), None) for way in selected(pod)]
    if all(unknown) and unknown[0]:
        return None, Hidden(pod.resource, unknown[0])
    possible = [pool for pool in there if not hosting(pod, pool).lacks]
    if not possible or any(pool.capacity.firm for pool in possible):
        return None, None
    if all(pool.capacity.spot for pool in possible):
        return pod.spec["nodeSelector"], None
    doubts = [pool.doubt("capacity") for pool in possible if not pool.capacity.spot]
    known = [Hidden(doubt.resource, doubt.node) for doubt in doubts if doubt]
    return None, known[0] if known and len(known) == len(doubts) else None


def _too_few(pod: Pod, inventory: Inventory) -> Finding | Node:
    """What is wrong with running on nodes that may be taken away; a node where that hangs on an unknown value."""
    root, firm = pod.resource.node, "nodes that are not spot"
    size = root["spec"]["leaderWorkerTemplate"]["size"]
    if size.unknown:
        return size
    if (size.whole() or 1) > 1:
        message = f"all {size.whole()} pods of a group stop when one of their nodes is taken away, and spot nodes are"
        return Finding("CS-12", "", message, firm)
    count = replicas(inventory, pod.resource)
    if count.least is None and count.least_at.unknown:
        return count.least_at
    if (count.least or 0) < 2:
        message = "the only replica runs on nodes that are taken away within two minutes' notice"
        return Finding("CS-12", "", message, f"at least 2 replicas with some of them on {firm}, or {firm}")
    message = f"all {count.least} replicas run on spot nodes, which may be taken away at the same time"
    return Finding("CS-12", "", message, f"some replicas on {firm}", Level.WARNING)


def _there_when_asked(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    for pool in pools(inventory.resources):
        scarce = sorted(pool.gpu_ids.intersection(settings["scarce"]))
        held = pool.capacity
        sure = any((held.reserved, held.block, held.flex_start, held.queued)) or held.reserved is None
        if scarce and not sure and pool.zones and len(pool.zones) < 2 and len(pool.kinds) < 2:
            name = catalog().gpu(scarce[0]).name
            message = f"{name} in one zone and without a reservation may not be there when a node is needed"
            remedy = "name a reservation, wait for capacity by a flexible start, or give the pool a second zone"
            yield pool.resource, Finding("CS-13", pool.node.path or pool.bounds.path, message, remedy, Level.WARNING)


def _disks_follow(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    there = [pool for pool in pools(inventory.resources) if pool.zones and len(pool.zones) > 1]
    for pod in inventory.pods if there else ():
        if not pod.serves or in_one_zone(pod):
            continue
        pool = next((each for each in there if hosting(pod, each).possible), None)
        if pool is None:
            continue
        for resource, claim in _claims(pod, inventory):
            if _stays(claim, inventory):
                zones = len(pool.zones or ())
                message = (
                    f"the disk is in one zone, the nodes are in {zones}: its pod waits when that zone has no GPU left"
                )
                remedy = "volumeBindingMode: WaitForFirstConsumer and one zone, or storage that all zones reach"
                yield resource, Finding("CS-16", claim.path, message, remedy, Level.WARNING)


def _claims(pod: Pod, inventory: Inventory) -> Iterator[tuple[Resource, Node]]:
    """The specifications of the volumes that a pod claims, with the resource that states them."""
    for template in pod.resource.node["spec"]["volumeClaimTemplates"].elements():
        yield pod.resource, template["spec"]
    for volume in pod.spec["volumes"].elements():
        own = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
        if own.stated:
            yield pod.resource, own
        name = volume["persistentVolumeClaim"]["claimName"]
        for claim in inventory.of_kind("PersistentVolumeClaim") if name.text() else ():
            if is_called(claim, name) and same_namespace(claim, pod.resource) is not False:
                yield claim, claim.node["spec"]


def _stays(claim: Node, inventory: Inventory) -> bool:
    """Whether a volume is a disk of one zone that is chosen before the pod's node is."""
    modes = {mode.text() for mode in claim["accessModes"].elements()}
    if not modes or not modes <= {"ReadWriteOnce", "ReadWriteOncePod"} or claim["storageClassName"].unknown:
        return False
    name = claim["storageClassName"].text()
    found = (each for each in inventory.of_kind("StorageClass") if name and each.object_name.text() == name)
    storage = next(found, None)
    waits = storage is not None and storage.node["volumeBindingMode"].text() == "WaitForFirstConsumer"
    return not waits and is_zonal(storage) is not False


BOUNDED = Rule(
    id="CS-10",
    name="gpu-pool-bounded",
    title="Pools with GPUs are bounded",
    question="whether the pool is bounded",
    why="GPU nodes are most of what a stack costs; a pool without a bound spends what one mistake asks for.",
    remediation="State the most nodes of all zones together, and 0 as the least where nobody waits.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    source="per-zone limits: cloud.google.com/kubernetes-engine/docs/concepts/cluster-autoscaler; karpenter.sh, limits",
    check=_bounded,
    across=_bounded_with_others,
    thresholds=(_MOST_NODES,),
)
SURVIVES = Rule(
    id="CS-12",
    name="spot-survived",
    title="Serving survives that a spot node is taken away",
    question="whether serving survives that a spot node is taken away",
    why="A spot node goes within 30 seconds to two minutes, and a disruption budget does not hold it.",
    remediation="Run two replicas or more, some of them on other nodes; keep groups of several nodes off spot.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    foreign=ADVICE,
    source="cloud.google.com/kubernetes-engine/docs/concepts/spot-vms; docs.aws.amazon.com/AWSEC2, spot interruptions",
    across=_survives,
)
THERE = Rule(
    id="CS-13",
    name="capacity-named",
    title="Scarce GPUs are reserved or have a second place",
    question="whether scarce GPUs are there when they are needed",
    why="A zone runs out of scarce GPUs: the pool stays in error, and pods wait.",
    remediation="Name a reservation, a capacity block or a flexible start, or give the pool a second zone.",
    severity=Severity.MEDIUM,
    levels=ADVICE,
    source="GCE_STOCKOUT and InsufficientInstanceCapacity, which the clouds answer with when a zone is out of them",
    across=_there_when_asked,
    thresholds=(_SCARCE,),
)
DISKS = Rule(
    id="CS-16",
    name="disk-zone",
    title="Disks are where the nodes are",
    question="whether disks are where the nodes are",
    why="A disk of one zone holds its pod there, also when that zone has no GPU left.",
    remediation="Keep weights where all zones reach them, or keep pool and disk in one zone.",
    severity=Severity.MEDIUM,
    levels=ADVICE,
    source="kubernetes.io/docs/concepts/storage/storage-classes, volume binding mode",
    across=_disks_follow,
)
RULES = (BOUNDED, SURVIVES, THERE, DISKS)
