"""Volume claims of pods: which object of the stack they are, who may attach them at once, and whether size is real."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from modelberth.catalog import catalog
from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.clouds.base import HOSTNAME
from modelberth.inventory import Inventory
from modelberth.manifests import Workload
from modelberth.node import Node
from modelberth.resources import Pod, Resource

CLAIM = "PersistentVolumeClaim"
ONE_NODE, ONE_POD = "ReadWriteOnce", "ReadWriteOncePod"
_ON_ITS_NODE = ("local", "hostpath", "host-path")
"""In names of storage classes whose volumes are folders of one node (local-path of k3s, csi-hostpath)."""


class ElasticDriver(Row):
    """A CSI driver whose volumes are as large as what is in them: the size of a claim says nothing."""

    id: Text
    name: Text


@cache
def elastic_drivers() -> frozenset[str]:
    """Their names, as storage classes state them."""
    rows = read_rows(files("modelberth.catalog") / "elastic_volumes.yaml", ElasticDriver)
    return frozenset(index(rows, lambda row: row.id))


@dataclass(frozen=True, eq=False)
class Claimed:
    """A claim that a pod mounts. ``resource`` is None where it is not in the stack, or not known which it is; then
    ``unknown`` is the value that hides it.
    """

    volume: Node
    resource: Resource | None = None
    unknown: Node | None = None


def claimed(volume: Node, pod: Pod, inventory: Inventory) -> Claimed | None:
    """The claim behind a volume of a pod; None for a volume of another kind."""
    source = volume["persistentVolumeClaim"]
    if volume.unknown or not source.stated:
        return None
    name = source["claimName"]
    if name.unknown:
        of_spec = pod.resource.property_dependencies.get("spec", pod.resource.dependencies)
        named = (inventory.by_urn.get(urn) for urn in of_spec)
        found = [each for each in named if each is not None and each.kind == CLAIM]
        if len(found) == 1:
            return Claimed(volume, found[0])
        return Claimed(volume, unknown=name if any(inventory.of_kind(CLAIM)) else None)
    near = [each for each in inventory.of_kind(CLAIM) if _together(each.namespace, pod.resource.namespace)]
    same = next((each for each in near if name.text() in (each.object_name.text(), _logical(each))), None)
    nameless = next((each.object_name for each in near if each.object_name.unknown), None)
    return Claimed(volume, same, nameless if same is None else None)


def _logical(claim: Resource) -> str:
    return "" if claim.object_name.stated else claim.name


def _together(one: Node, other: Node) -> bool:
    return not one.text() or not other.text() or one.text() == other.text()


def modes(claim: Node) -> frozenset[str]:
    """The access modes of a claim's specification."""
    return frozenset(mode.text() for mode in claim["accessModes"].elements() if mode.text())


def open_modes(claim: Node) -> Node | None:
    """An access mode that is only known after apply."""
    stated = claim["accessModes"]
    return next((each for each in (stated, *stated.elements()) if each.unknown), None)


def of_one_node(claim: Node) -> bool:
    """Whether a volume is attached to one node at a time."""
    found = modes(claim)
    return bool(found) and found <= {ONE_NODE, ONE_POD}


def on_its_node(claim: Node) -> bool:
    """Whether the volume is a folder of a node, so that its pods run there in any case."""
    name = claim["storageClassName"].text().lower()
    return any(part in name for part in _ON_ITS_NODE)


def has_a_size(claim: Node, inventory: Inventory) -> bool | None:
    """Whether a claim's volume is as large as it says; None where the class may be one that ignores it."""
    if any(claim[name].stated for name in ("volumeName", "selector", "dataSource", "dataSourceRef")):
        return None
    name = claim["storageClassName"].text()
    classes = [each for each in inventory.of_kind("StorageClass") if name and each.object_name.text() == name]
    if classes:
        return classes[0].node["provisioner"].text() not in elastic_drivers()
    return True if of_one_node(claim) else None


def fits_on_one_node(workload: Workload, pods: int) -> bool | None:
    """Whether so many pods of a workload find a place on one node; None where nothing tells how large it is."""
    if workload.machine is None or not workload.gpus:
        return None
    return workload.gpus * pods <= catalog().machine(workload.machine).gpu_count


def kept_together(pod: Pod) -> bool:
    """Whether all pods run on one node because their specification says so."""
    if pod.spec["nodeName"].stated or pod.spec["nodeSelector"][HOSTNAME].stated:
        return True
    near = pod.spec.at("affinity", "podAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return any(term["topologyKey"].text() == HOSTNAME for term in near.elements())
