"""What the fields of GKE pools and clusters say beside their size.

Defaults: hashicorp/terraform-provider-google website/docs/r/container_node_pool and container_cluster (repair,
upgrades, shielded nodes and integrity monitoring are on unless a manifest says otherwise, secure boot is not).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files

from modelberth.catalog import catalog
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Positive, Row, Text
from modelberth.clouds.base import accelerator_names
from modelberth.clouds.gcp_compute_class import COMPUTE_CLASS
from modelberth.clouds.gcp_pools import CLOUD, CLUSTER, NODE_POOL
from modelberth.clouds.pool_facts import Registered, machine_named
from modelberth.clouds.remarks import About, Remark, meant
from modelberth.node import Node

TYPES = frozenset({CLUSTER, NODE_POOL, COMPUTE_CLASS})


SERVICE_ACCOUNT = "gcp:serviceaccount/account:Account"
_DEFAULT_ACCOUNT = re.compile(r"default|\d+-compute@developer\.gserviceaccount\.com", re.ASCII)


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
    """Everything that a resource says by itself."""
    for config in _configs(resource):
        yield from _machine(config["machineType"], config["guestAccelerators"].each())
        yield from _identity(config)
        yield from _metadata(config["workloadMetadataConfig"]["mode"])
        yield from _shield(config)
        yield from _driver(config)
    if resource.type == COMPUTE_CLASS:
        for way in resource.node["spec"]["priorities"].each():
            yield from _machine(way["machineType"], [way["gpu"]] if way["gpu"].stated else [])
    if resource.type == CLUSTER:
        yield from _cluster(resource.node)
    for management in _managements(resource):
        yield from _management(management)


def linked_remarks(resource: Registered, others: Sequence[Registered]) -> Iterator[Remark]:
    """What a resource says only together with others: an account that another one makes."""
    made = {other.urn for other in others if other.type == SERVICE_ACCOUNT and other.urn}
    computed_from = {urn for urns in resource.property_dependencies.values() for urn in urns}
    for config in _configs(resource):
        account = config["serviceAccount"]
        if account.unknown and not made.intersection(computed_from):
            yield Remark(About.IDENTITY, account, "", "")


def _configs(resource: Registered) -> Iterator[Node]:
    """The node configurations that a resource states for pools that stay."""
    root = resource.node
    if resource.type == NODE_POOL:
        yield root["nodeConfig"]
    if resource.type == CLUSTER:
        for pool in root["nodePools"].each():
            yield pool["nodeConfig"]
        if not root["removeDefaultNodePool"].flag() and root["nodeConfig"].stated:
            yield root["nodeConfig"]


def _machine(machine_type: Node, accelerators: Iterable[Node]) -> Iterator[Remark]:
    """Whether a machine type exists and has the accelerators that are stated for it."""
    name = machine_type.text()
    machine = machine_named(name, CLOUD)
    entries = [each for each in accelerators if each["count"].whole() != 0]
    if machine_type.unknown:
        yield Remark(About.MACHINE, machine_type, "", "")
        return
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
    hidden = next((node for node in (entry, written, count) if node.unknown), None)
    if hidden:
        yield Remark(About.MACHINE, hidden, "", "")
        return
    name, number = written.text().rpartition("/")[2], count.whole()
    if machine and (machine.gpu or machine.gpu_slice):
        gpu = machine.gpu or (machine.gpu_slice.gpu if machine.gpu_slice else "")
        names = accelerator_names()[gpu]
        own, of_type = names.of_machine(machine.id), machine.gpu_count or 1
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


def _managements(resource: Registered) -> Iterator[Node]:
    root = resource.node
    if resource.type == NODE_POOL:
        yield root["management"]
    elif resource.type == CLUSTER:
        yield from (pool["management"] for pool in root["nodePools"].each())


def _identity(config: Node) -> Iterator[Remark]:
    account = config["serviceAccount"]
    if account.unknown:
        return
    if not account.text() or _DEFAULT_ACCOUNT.fullmatch(account.text()):
        scopes = [each.text().rpartition("/")[2] for each in config["oauthScopes"].each()]
        wide = ", with access to every API of the project" if "cloud-platform" in scopes else ""
        message = f"nodes act as the project's default compute account{wide}"
        remedy = "serviceAccount: an account of its own with roles/container.defaultNodeServiceAccount"
        yield Remark(About.IDENTITY, account, message, remedy)


def _metadata(mode: Node) -> Iterator[Remark]:
    if not mode.stated:
        message = "what pods learn of the node's identity is left to what the cluster has by default"
        yield Remark(About.METADATA, mode, message, "mode: GKE_METADATA", advice=True)
        return
    if mode.unknown or mode.text() not in ("", "GKE_METADATA", "MODE_UNSPECIFIED"):
        message = "pods can take the identity of their node from the metadata server"
        yield Remark(About.METADATA, mode, message, "mode: GKE_METADATA")


def _management(management: Node) -> Iterator[Remark]:
    repair, upgrade = management["autoRepair"], management["autoUpgrade"]
    if repair.unknown or repair.flag() is False:
        message = "nodes that fail are not repaired: a GPU that is lost stays lost"
        yield Remark(About.UPKEEP, repair, message, "autoRepair: true")
    if upgrade.flag() is False:
        message = "nodes are not upgraded: security fixes of kernel and driver do not arrive"
        yield Remark(About.UPKEEP, upgrade, message, "autoUpgrade: true, with a maintenance window", advice=True)


def _shield(config: Node) -> Iterator[Remark]:
    image, shield = config["imageType"], config["shieldedInstanceConfig"]
    if image.text() and not image.text().upper().startswith("COS"):
        message = "the nodes do not run Container-Optimized OS"
        yield Remark(About.UPKEEP, image, message, "imageType: COS_CONTAINERD", advice=True)
    integrity, boot = shield["enableIntegrityMonitoring"], shield["enableSecureBoot"]
    if integrity.unknown or integrity.flag() is False:
        message = "nobody notices a boot sequence that was tampered with"
        yield Remark(About.SHIELD, integrity, message, "enableIntegrityMonitoring: true")
    by_hand = any(
        _driver_version(each).text() == "INSTALLATION_DISABLED" for each in config["guestAccelerators"].each()
    )
    if boot.flag() and by_hand:
        message = "drivers that are not installed by GKE must be signed to be loaded with secure boot"
        yield Remark(About.SHIELD, boot, message, "gpuDriverVersion: DEFAULT, or enableSecureBoot: false", advice=True)
    elif not boot.unknown and not boot.flag() and not by_hand:
        message = "nodes start unsigned boot components"
        yield Remark(About.SHIELD, boot, message, "enableSecureBoot: true", advice=True)


def _driver_version(accelerator: Node) -> Node:
    return accelerator["gpuDriverInstallationConfig"]["gpuDriverVersion"]


def _driver(config: Node) -> Iterator[Remark]:
    image = config["imageType"]
    ubuntu = image.text().upper().startswith("UBUNTU")
    for each in config["guestAccelerators"].each():
        version = _driver_version(each)
        if each.unknown or each["count"].whole() == 0 or (version.unknown and not ubuntu):
            continue
        if version.unknown or (image.unknown and version.text() == "LATEST"):
            yield Remark(About.DRIVER, version if version.unknown else image, "", "")
            continue
        if version.text() == "LATEST" and ubuntu:
            message = "the latest driver is only installed on Container-Optimized OS"
            yield Remark(About.DRIVER, version, message, "gpuDriverVersion: DEFAULT, or imageType: COS_CONTAINERD")
        elif not version.stated:
            message = "which driver is installed depends on the version of the cluster"
            yield Remark(About.DRIVER, version, message, "gpuDriverVersion: DEFAULT or LATEST", advice=True)


def _cluster(root: Node) -> Iterator[Remark]:
    if root["enableAutopilot"].flag() or root["enableAutopilot"].unknown:
        return
    pool = root["workloadIdentityConfig"]["workloadPool"]
    if root["workloadIdentityConfig"].unknown or not pool.stated:
        message = "pods have no identity of their own and act as their node"
        yield Remark(About.METADATA, pool, message, "workloadPool: PROJECT_ID.svc.id.goog")
    if root["releaseChannel"]["channel"].text() == "UNSPECIFIED":
        message = "the cluster is in no release channel: its versions are nobody's task"
        yield Remark(
            About.UPKEEP, root["releaseChannel"]["channel"], message, "channel: REGULAR or STABLE", advice=True
        )
    shielded = root["enableShieldedNodes"]
    if shielded.unknown or shielded.flag() is False:
        message = "nodes do not prove to the control plane what they are"
        yield Remark(About.SHIELD, shielded, message, "enableShieldedNodes: true")
    yield from _own_pools(root["clusterAutoscaling"])


def _own_pools(scaling: Node) -> Iterator[Remark]:
    """Pools that the cluster makes by itself, within limits of the whole cluster."""
    enabled, limits = scaling["enabled"], scaling["resourceLimits"]
    if enabled.flag() is False or not enabled.stated:
        return
    if limits.unknown or (enabled.unknown and not limits.value):
        yield Remark(About.BOUNDS, limits if enabled.flag() else enabled, "", "")
    elif not limits.value:
        message = "the cluster makes pools of its own without any bound"
        yield Remark(About.BOUNDS, limits, message, "resourceLimits: a maximum of cpu, memory, each GPU")
