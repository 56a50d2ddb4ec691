"""Where pods can run: the stack's own pools, and machine types that have the accelerators they are said to have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelberth.clouds.pools import pools, states_cluster
from modelberth.clouds.pools_remarks import About, remarks
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, undecided
from modelberth.rules.facts import remarked
from modelberth.rules.hosting import Hosting, hosting
from modelberth.rules.needs import wants_other_devices
from modelberth.rules.validity import beside_what_clouds_take

_NO_ACCELERATOR = 16


def _hosted(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    there = pools(inventory.resources)
    if not there:
        return
    whole = states_cluster(inventory.resources)
    for pod in inventory.pods:
        if pod.serves and not _placed_by_others(pod):
            yield from _of_pod(pod, [hosting(pod, pool) for pool in there], whole=whole)


def _placed_by_others(pod: Pod) -> bool:
    """Pods that the scheduler does not place, or that ask for what no pool says of itself."""
    named = pod.spec["nodeName"].stated or pod.spec["schedulerName"].text() not in ("", "default-scheduler")
    return named or pod.resource.kind == "DaemonSet" or wants_other_devices(pod)


def _of_pod(pod: Pod, found: list[Hosting], *, whole: bool) -> Iterator[tuple[Resource, Finding]]:
    if any(each.possible for each in found):
        return
    doubts = [hidden for each in found if not each.lacks for hidden in each.hidden]
    for hidden in doubts:
        yield hidden.resource, undecided("SZ-06", HOSTED.question, hidden.node)
    if doubts:
        return
    nearest = min(found, key=lambda each: each.distance)
    lacks = nearest.lacks
    head = f"no pool of this stack can host the pod; the nearest is {nearest.pool.name}: the pod "
    message = head + "; it ".join(lack.message for lack in lacks)
    remedy = "; ".join(dict.fromkeys(lack.remedy for lack in lacks))
    elsewhere = not whole and nearest.distance >= _NO_ACCELERATOR
    level = Level.WARNING if elsewhere else Level.ERROR
    yield pod.resource, Finding("SZ-06", lacks[0].node.path, message, remedy, level)


def _machines(resource: Resource, settings: Settings) -> Iterable[Finding]:
    return (remarked("SZ-07", MACHINES.question, remark) for remark in remarks(resource, About.MACHINE))


HOSTED = Rule(
    id="SZ-06",
    name="pool-can-host",
    title="Some pool of the stack can host every serving pod",
    question="whether a pool of this stack can host the serving pods",
    why="A pod that no node can take waits forever, and an autoscaler adds no node that could not take it either.",
    remediation="Make requests, selector and tolerations of the pod agree with the pool that the finding names.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="what kube-scheduler filters by: NodeResourcesFit, NodeAffinity, TaintToleration",
    across=_hosted,
)
MACHINES = Rule(
    id="SZ-07",
    name="accelerators-of-machine-type",
    title="Machine types have the accelerators that pools state",
    question="whether the machine type has these accelerators",
    why="The cloud refuses the pool late, when everything before it has been created.",
    remediation="State the accelerator and the count that the machine type comes with.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="machine type tables: cloud.google.com/compute/docs/gpus; the catalog's machine types",
    check=beside_what_clouds_take("SZ-07", _machines),
)
RULES = (HOSTED, MACHINES)
