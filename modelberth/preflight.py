"""What an existing cluster lacks for a stack, judged from what was seen of it. Nothing is asked here.

Each finding says what is missing, who installs it and how; nothing is ever installed silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row
from modelberth.clouds import node_selector
from modelberth.findings import Finding, Level
from modelberth.offered import makes_nodes
from modelberth.plan import Plan
from modelberth.requirements import Named, Ref, created, named, needs
from modelberth.spec import StackSpec, WeightsSpec

GPU = "nvidia.com/gpu"
OLDEST_MINOR, NEWEST_MINOR = 30, 36
"""Minors of Kubernetes 1 that workloads are checked against. A sleep before the end of a pod is on since 1.30."""

PLUGIN_INSTALLED_BY = (
    "the NVIDIA device plugin is installed by you, or by the cloud on its GPU nodes: "
    "helm install nvdp nvidia-device-plugin --repo https://nvidia.github.io/k8s-device-plugin --namespace nvidia"
)
SECURITY_LEVEL = "pod-security.kubernetes.io/enforce"


class OneNodeDriver(Row):
    """A CSI driver whose volumes one node at a time may mount."""

    id: str
    name: str
    instead: str


@cache
def one_node_drivers() -> Mapping[str, OneNodeDriver]:
    """By the name that StorageClasses call it."""
    return index(read_rows(files("modelberth.catalog") / "storage.yaml", OneNodeDriver), lambda row: row.id)


@dataclass(frozen=True)
class Node:
    """A node that takes pods, with the GPUs that its device plugin offers."""

    name: str
    labels: Mapping[str, str]
    gpus: int


@dataclass(frozen=True)
class StorageClass:
    """One of the cluster's storage classes."""

    name: str
    provisioner: str
    default: bool


@dataclass(frozen=True)
class Space:
    """The services' namespace, where it exists. ``strangers`` are workloads in it that are not ours."""

    ours: bool
    security_level: str
    strangers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What was seen of a named object: keys of a Secret, (name, protocol, host) of a Gateway's listeners."""

    keys: frozenset[str] = frozenset()
    listeners: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Questions:
    """What must be seen of a cluster to judge a stack."""

    namespace: str
    refs: tuple[Ref, ...]
    created: tuple[tuple[str, str], ...]
    apis: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """What was seen of a cluster. None where we may not look.

    ``served`` holds (API, kind), and (API, "") for every API that answers; ``objects`` None for one that does not
    exist; ``refused`` (verb, kind) of ours that may not be created, ``unseen`` what else the credentials may not read.
    """

    server: str
    minor: int
    served: frozenset[tuple[str, str]]
    nodes: tuple[Node, ...] | None
    storage_classes: tuple[StorageClass, ...] | None
    space: Space | None
    objects: Mapping[Ref, Seen | None]
    autoscaled: bool = False
    refused: tuple[tuple[str, str], ...] = ()
    unseen: frozenset[Ref] = field(default_factory=frozenset[Ref])


def questions(stack: StackSpec, plans: Sequence[Plan]) -> Questions:
    """What to look at."""
    refs = tuple(dict.fromkeys(each.ref for each in named(stack, plans)))
    ours = created(plans)
    apis = {need.api for need in needs(plans)} | {api for api, _ in ours} | {ref.api for ref in refs}
    return Questions(stack.target.namespace, refs, ours, tuple(sorted(apis)))


def judge(stack: StackSpec, plans: Sequence[Plan], seen: Snapshot) -> list[Finding]:
    """Everything that is missing, errors and warnings, most basic first. Nodes that the stack makes are not missing."""
    return [
        *_version(seen),
        *_leave(stack, seen),
        *_namespace(stack, seen),
        *_apis(plans, seen),
        *_nodes(stack, [each for each in plans if not makes_nodes(stack, each.decision.pool)], seen),
        *_storage(stack, plans, seen),
        *_objects(stack, plans, seen),
    ]


def _found(path: str, message: str, way_out: str, level: Level = Level.ERROR) -> Finding:
    return Finding("preflight", path, message, way_out, level)


def _version(seen: Snapshot) -> Iterator[Finding]:
    if seen.minor < OLDEST_MINOR:
        message = f"{seen.server} is Kubernetes 1.{seen.minor}; pods of ours need 1.{OLDEST_MINOR} or newer"
        yield _found("target", message, "upgrade the cluster")
    if seen.minor > NEWEST_MINOR:
        message = f"{seen.server} is Kubernetes 1.{seen.minor}, newer than the 1.{NEWEST_MINOR} that is checked here"
        yield _found("target", message, "a newer modelberth", Level.WARNING)


def _leave(stack: StackSpec, seen: Snapshot) -> Iterator[Finding]:
    kinds: dict[str, list[str]] = {}
    for verb, kind in seen.refused:
        kinds.setdefault(kind, []).append(verb)
    if kinds:
        listed = ", ".join(f"{' and '.join(verbs)} {kind}" for kind, verbs in kinds.items())
        message = f"these credentials may not: {listed}"
        out = f"a Role in namespace {stack.target.namespace} (kubectl auth can-i --list shows what they may)"
        yield _found("target", message, out)


def _namespace(stack: StackSpec, seen: Snapshot) -> Iterator[Finding]:
    space, name = seen.space, stack.target.namespace
    if space is None or space.ours:
        return
    path, out = "target.namespace", "a namespace of the services' own; it is created"
    if space.strangers:
        message = f"{name} exists and runs {', '.join(space.strangers)}, which would be deleted with the stack"
        yield _found(path, message, out)
        return
    message = f"{name} exists and was not made by a stack: it is taken over, and deleted with the stack"
    if space.security_level != "restricted":
        message += f"; its Pod Security level becomes restricted (now {space.security_level or 'not set'})"
    yield _found(path, message, out, Level.WARNING)


def _apis(plans: Sequence[Plan], seen: Snapshot) -> Iterator[Finding]:
    missing: dict[tuple[str, str, str, str], list[str]] = {}
    for need in needs(plans):
        if (need.api, need.kind) not in seen.served:
            missing.setdefault((need.path, need.api, need.name, need.installed_by), []).append(need.kind)
    for (path, api, name, installed_by), kinds in missing.items():
        lacks = f"{' and no '.join(kinds)} ({api})" if kinds != [""] else api
        message = f"the cluster has no {lacks}: {name} is installed by you, not by this stack"
        yield _found(path, message, installed_by)


def _nodes(stack: StackSpec, plans: Sequence[Plan], seen: Snapshot) -> Iterator[Finding]:
    if not plans:
        return
    if seen.nodes is None:
        out = "leave to list nodes, or count them by hand"
        yield _found("pools", "nodes may not be listed: GPUs are not checked", out, Level.WARNING)
        return
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Plan]] = {}
    for plan in plans:
        groups.setdefault((plan.decision.pool or "", _labels(stack, plan)), []).append(plan)
    for (pool, labels), users in groups.items():
        path = f"pools.{pool}" if pool else f"services.{users[0].service}"
        matching = [node for node in seen.nodes if all(node.labels.get(key) == value for key, value in labels)]
        yield from _enough(path, labels, users, matching, seen)


def _labels(stack: StackSpec, plan: Plan) -> tuple[tuple[str, str], ...]:
    pool = stack.pools.get(plan.decision.pool or "")
    decision = plan.decision
    gpu = decision.accelerator if decision.on_gpu else None
    stated = dict(pool.node_selector) if pool else {}
    implied = node_selector(decision.machine_type, gpu, stack.target.node_labels.value)
    return tuple(sorted((stated or implied).items()))


def _enough(
    path: str, labels: tuple[tuple[str, str], ...], users: Sequence[Plan], nodes: Sequence[Node], seen: Snapshot
) -> Iterator[Finding]:
    level = Level.WARNING if seen.autoscaled else Level.ERROR
    grows = "the cluster's autoscaler must add them" if seen.autoscaled else "nodes for the pool, or fewer replicas"
    shown = " and ".join(f"{key}={value}" for key, value in labels)
    if not nodes:
        yield _found(path, f"no node that takes pods has {shown}", f"correct the pool, or {grows}", level)
        return
    wanted = sum(plan.spec.fewest_replicas * plan.decision.gpus_per_replica for plan in users)
    offered = sum(node.gpus for node in nodes)
    on_gpu = any(plan.decision.on_gpu for plan in users)
    if on_gpu and not offered:
        message = f"{_count(len(nodes), 'node')} with {shown} and none offers {GPU}: no device plugin"
        yield _found(path, message, PLUGIN_INSTALLED_BY)
    elif offered < wanted:
        message = f"services need {wanted} GPUs, {_count(len(nodes), 'node')} with {shown} offer {offered}"
        yield _found(path, message, grows, level)
    elif not on_gpu and len(nodes) < (needed := sum(plan.spec.fewest_replicas for plan in users)):
        message = f"services need {_count(needed, 'node')}, {len(nodes)} with {shown} take pods"
        yield _found(path, message, grows, level)
    largest = max(plan.decision.tensor_parallel if plan.decision.on_gpu else 0 for plan in users)
    if offered and largest > max(node.gpus for node in nodes):
        message = f"a pod needs {largest} GPUs of one node, no node with {shown} offers more than "
        yield _found(path, f"{message}{max(node.gpus for node in nodes)}", "correct machine_types of the pool")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _storage(stack: StackSpec, plans: Sequence[Plan], seen: Snapshot) -> Iterator[Finding]:
    if seen.storage_classes is None:
        if any(plan.decision.storage.kind == "claim" for plan in plans):
            out = "leave to list storage classes"
            yield _found("target.storage_class", "storage classes may not be listed", out, Level.WARNING)
        return
    known = {each.name: each for each in seen.storage_classes}
    asked: dict[tuple[str | None, str], tuple[str, WeightsSpec]] = {}
    for plan in plans:
        store = stack.weights_of(plan.spec)
        if plan.decision.storage.kind == "claim":
            where = f"weights.{plan.spec.weights}" if plan.spec.weights else "target"
            asked.setdefault((store.storage_class or stack.target.storage_class, store.access_mode), (where, store))
    for (name, mode), (where, store) in asked.items():
        path = f"{where}.storage_class" if store.storage_class else "target.storage_class"
        default = next((each for each in seen.storage_classes if each.default), None)
        chosen = known.get(name) if name else default
        if chosen is None:
            message = f"there is no storage class {name}" if name else "the cluster has no default storage class"
            yield _found(path, message, f"one of: {', '.join(sorted(known)) or 'none exist; install a CSI driver'}")
        elif mode == "ReadWriteMany" and (driver := one_node_drivers().get(chosen.provisioner)):
            message = f"{chosen.name} makes {driver.name}, which one node at a time can mount: not ReadWriteMany"
            yield _found(f"{where}.access_mode", message, driver.instead)


def _objects(stack: StackSpec, plans: Sequence[Plan], seen: Snapshot) -> Iterator[Finding]:
    done: set[tuple[Ref, tuple[str, ...], str]] = set()
    for each in named(stack, plans):
        if (each.ref, each.keys, each.listener) in done or (each.ref.api, each.ref.kind) not in seen.served:
            continue
        done.add((each.ref, each.keys, each.listener))
        level = Level.ERROR if each.vital else Level.WARNING
        if each.ref in seen.unseen:
            yield _found(each.path, f"{each.ref} may not be read: not checked", "leave to get it", Level.WARNING)
            continue
        there = seen.objects.get(each.ref)
        if there is None:
            out = each.way_out
            if seen.space is None and each.ref.namespace == stack.target.namespace:
                out = f"kubectl create namespace {each.ref.namespace} first; {out}"
            yield _found(each.path, f"{each.ref} does not exist", out, level)
            continue
        yield from _inside(each, there, level, plans)


def _inside(each: Named, there: Seen, level: Level, plans: Sequence[Plan]) -> Iterator[Finding]:
    missing = [key for key in each.keys if key not in there.keys]
    if missing:
        yield _found(each.path, f"{each.ref} has no key {' and '.join(missing)}", each.way_out, level)
    if not each.listener:
        return
    listener = next((found for found in there.listeners if found[0] == each.listener), None)
    names = ", ".join(name for name, _, _ in there.listeners) or "none"
    if listener is None:
        yield _found(f"{each.path}.listener", f"{each.ref} has no listener {each.listener}", f"one of: {names}")
        return
    if listener[1] not in ("HTTPS", "TLS"):
        message = f"listener {each.listener} of {each.ref} speaks {listener[1]}: an API key would cross it in the clear"
        yield _found(f"{each.path}.listener", message, "a listener with protocol HTTPS")
    hosts = [plan.spec.expose.host for plan in plans if plan.spec.expose and each.path.startswith(_of(plan))]
    for host in hosts:
        if not _answers(listener[2], host):
            message = f"listener {each.listener} of {each.ref} answers {listener[2]}, not {host}"
            yield _found(f"{each.path}.listener", message, "a listener whose hostname includes the host")


def _of(plan: Plan) -> str:
    return f"services.{plan.service}.expose"


def _answers(pattern: str, host: str) -> bool:
    return pattern in ("", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))
