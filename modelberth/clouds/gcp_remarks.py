"""What the fields of GKE pools and clusters say beside their size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

from modelberth.catalog import catalog
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Positive, Row, Text
from modelberth.clouds.base import accelerator_names
from modelberth.clouds.gcp_pools import CLOUD, CLUSTER, COMPUTE_CLASS, NODE_POOL
from modelberth.clouds.pool_facts import Registered, each_of, machine_named
from modelberth.clouds.remarks import About, Remark, meant
from modelberth.node import Node

TYPES = frozenset({CLUSTER, NODE_POOL, COMPUTE_CLASS})


class Attachable(Row):
    """A GPU that is attached to machine types of one family, and how many at a time."""

    accelerator: Text
    family: Text
    counts: tuple[Positive, ...]


@cache
def attachable() -> tuple[Attachable, ...]:
    """Every GPU that is attached rather than built in."""
    return read_rows(files("modelberth.clouds") / "attachable.yaml", Attachable)


def remarks(resource: Registered) -> Iterator[Remark]:
    """Everything that is to be said about a resource."""
    for config in _configs(resource):
        yield from _machine(config["machineType"], each_of(config["guestAccelerators"]))
    if resource.type == COMPUTE_CLASS:
        for way in each_of(resource.node["spec"]["priorities"]):
            yield from _machine(way["machineType"], [way["gpu"]] if way["gpu"].stated else [])


def _configs(resource: Registered) -> Iterator[Node]:
    """The node configurations that a resource states for pools that stay."""
    root = resource.node
    if resource.type == NODE_POOL:
        yield root["nodeConfig"]
    if resource.type == CLUSTER:
        for pool in each_of(root["nodePools"]):
            yield pool["nodeConfig"]
        if not root["removeDefaultNodePool"].flag() and root["nodeConfig"].stated:
            yield root["nodeConfig"]


def _machine(machine_type: Node, accelerators: Iterable[Node]) -> Iterator[Remark]:
    """Whether a machine type exists and has the accelerators that are stated for it."""
    name = machine_type.text()
    machine = machine_named(name, CLOUD)
    entries = [each for each in accelerators if each["count"].whole() != 0]
    if machine is None:
        yield from _unknown_type(machine_type)
    for entry in entries:
        yield from _attached(machine_type, entry)


def _unknown_type(machine_type: Node) -> Iterator[Remark]:
    name = machine_type.text()
    known = tuple(machine.id for machine in catalog().machines(cloud=CLOUD))
    family = name.rpartition("-")[0]
    siblings = tuple(each.id for each in catalog().machines(cloud=CLOUD) if each.gpu or each.gpu_slice)
    of_family = tuple(each for each in siblings if each.rpartition("-")[0] == family)
    if of_family and "custom" not in name:
        message = f"machine type unknown: {family} comes as {', '.join(of_family)}"
        yield Remark(About.MACHINE, machine_type, message, meant(name, of_family))
    elif name and (near := meant(name, known, most=0)):
        message = f"machine type unknown to the catalog; did you mean {near}?"
        yield Remark(About.MACHINE, machine_type, message, near, advice=True)


def _attached(machine_type: Node, entry: Node) -> Iterator[Remark]:
    written, count = entry["type"], entry["count"]
    machine = machine_named(machine_type.text(), CLOUD)
    hidden = next((node for node in (machine_type, entry, written, count) if node.unknown), None)
    if hidden:
        yield Remark(About.MACHINE, hidden, "", "")
        return
    name, number = written.text().rpartition("/")[2], count.whole()
    if machine and (machine.gpu or machine.gpu_slice):
        gpu = machine.gpu or (machine.gpu_slice.gpu if machine.gpu_slice else "")
        names = accelerator_names()[gpu]
        own, of_type = names.gke_machines.get(machine.id, names.gke[0]), machine.gpu_count or 1
        if (written.stated and name != own) or (count.stated and number != of_type):
            wrong = written if name != own else count
            message = f"{machine.id} comes with {of_type} x {own}, nothing else"
            yield Remark(About.MACHINE, wrong, message, f"type: {own}, count: {of_type}")
        return
    family = machine_type.text().partition("-")[0]
    rows = [row for row in attachable() if row.family == family]
    if not rows:
        if machine or not machine_type.stated:
            yield Remark(About.MACHINE, written, _no_gpus(machine.id if machine else ""), _machines_with(name))
        return
    row = next((each for each in rows if each.accelerator == name), None)
    if row is None:
        allowed = tuple(each.accelerator for each in rows)
        message = f"{family} machine types take {', '.join(allowed)}, nothing else"
        yield Remark(About.MACHINE, written, message, _machines_with(name) if _known(name) else meant(name, allowed))
    elif number not in row.counts:
        counts = ", ".join(map(str, row.counts))
        yield Remark(About.MACHINE, count, f"{row.accelerator} is attached {counts} at a time", f"count: {counts}")


def _no_gpus(machine: str) -> str:
    return f"GPUs cannot be attached to {machine or 'the default machine type'}"


def _known(name: str) -> bool:
    return any(name in (*row.gke, *row.gke_machines.values()) for row in accelerator_names().values())


def _machines_with(name: str) -> str:
    """Machine types that come with this accelerator, or the accelerators there are."""
    for gpu, row in accelerator_names().items():
        if name in (*row.gke, *row.gke_machines.values()):
            found = [machine.id for machine in catalog().machines(gpu=gpu, cloud=CLOUD)]
            if found:
                return f"a machine type that has it: {', '.join(found[:4])}"
    names = tuple(name for row in accelerator_names().values() for name in row.gke)
    return f"a machine type that comes with GPUs, and its accelerator: {meant(name, names)}"
