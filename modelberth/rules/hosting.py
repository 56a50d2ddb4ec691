"""Whether a pool's nodes can host a pod, and what is missing where they cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from modelberth.catalog import catalog
from modelberth.clouds import gpu_from_labels
from modelberth.clouds.base import ARCH, INSTANCE_TYPE
from modelberth.clouds.pool_facts import ZONE
from modelberth.clouds.pools import NodeKind, Pool, names_spot
from modelberth.manifests import GPU_RESOURCE
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.needs import CPU, DISK, MEMORY, Condition, need_of, selected, tolerated
from modelberth.units import cores, gib


class Lack(NamedTuple):
    """One thing that a pool lacks: how far it makes the pool from the pod, the pod's field, the way out."""

    distance: int
    node: Node
    message: str
    remedy: str


class Hidden(NamedTuple):
    """A value that decides and is only known after apply, with the resource that has it."""

    resource: Resource
    node: Node


@dataclass(frozen=True)
class Hosting:
    """What one pool is to one pod: it lacks something, or a value hides whether it does, or it can host it."""

    pool: Pool[Resource]
    lacks: tuple[Lack, ...] = ()
    hidden: tuple[Hidden, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether it can host the pod, as far as anybody can tell."""
        return not self.lacks and not self.hidden

    @property
    def distance(self) -> int:
        """How much is missing."""
        return sum(lack.distance for lack in self.lacks)


def hosting(pod: Pod, pool: Pool[Resource]) -> Hosting:
    """The best that any kind of node of this pool is to the pod."""
    found = [_of_kind(pod, pool, kind, way) for kind in pool.kinds for way in selected(pod)]
    if not found:
        doubt = pool.doubt("machine type")
        return Hosting(pool, (), (Hidden(doubt.resource, doubt.node),) if doubt else ())
    best = min(found, key=lambda each: (each.distance, len(each.hidden)))
    if pool.complete or _whatever_the_kind(found):
        return best
    doubt = pool.doubt("machine type")
    open_ended = Hosting(pool, (), (Hidden(doubt.resource, doubt.node),) if doubt else ())
    return open_ended if best.lacks or doubt else best


def _whatever_the_kind(found: Iterable[Hosting]) -> bool:
    """Whether a pool that may also make other nodes lacks the same for each: its own labels and taints."""
    return all(any(lack.distance == _OWN for lack in each.lacks) for each in found)


_OWN, _SIZE, _COUNT, _OTHER_GPU, _NO_GPU = 2, 3, 4, 16, 32


def _of_kind(pod: Pod, pool: Pool[Resource], kind: NodeKind, way: tuple[Condition, ...]) -> Hosting:
    lacks: list[Lack] = []
    hidden: list[Hidden] = []
    gpus = need_of(pod, GPU_RESOURCE)
    count = int(gpus.amount)
    if count:
        lacks.extend(_gpus(count, gpus.node, pool, kind))
        doubt = pool.doubt("machine type", "accelerators") if kind.gpus is None else None
        hidden.extend([Hidden(doubt.resource, doubt.node)] if doubt else [])
    for condition in way:
        lack, doubt = _label(pod, pool, kind, condition, on_gpu=bool(count))
        lacks.extend([lack] if lack else [])
        hidden.extend([doubt] if doubt else [])
    for lack, doubt in _taints(pod, pool, kind, on_gpu=bool(count or gpus.unknown)):
        lacks.extend([lack] if lack else [])
        hidden.extend([doubt] if doubt else [])
    for lack, doubt in _sizes(pod, pool, kind):
        lacks.extend([lack] if lack else [])
        hidden.extend([doubt] if doubt else [])
    if any(lack.distance >= _OTHER_GPU for lack in lacks):
        lacks = [lack for lack in lacks if lack.distance >= _OTHER_GPU][:1]
    return Hosting(pool, tuple(lacks), tuple(dict.fromkeys(hidden)))


def _gpus(count: int, node: Node, pool: Pool[Resource], kind: NodeKind) -> Iterator[Lack]:
    if kind.gpus is None or kind.gpus >= count:
        return
    asked = f"requests {count} {'GPU' if count == 1 else 'GPUs'}"
    if not kind.gpus:
        yield Lack(_NO_GPU, node, f"{asked}, its nodes have none", "a pool of machines with GPUs")
        return
    where = f" ({kind.machine.id})" if kind.machine else ""
    message = f"{asked}, its nodes{where} have {kind.gpus}"
    yield Lack(_COUNT, node, message, f"{GPU_RESOURCE}: {kind.gpus}{_larger(count, pool, kind)}")


def _larger(count: int, pool: Pool[Resource], kind: NodeKind) -> str:
    rows = catalog().machines(gpu=kind.gpu, cloud=pool.cloud) if kind.gpu else ()
    fitting = sorted((row.gpu_count, row.vcpu, row.id) for row in rows if row.gpu_count >= count)
    return f", or machine type {fitting[0][2]} with {fitting[0][0]}" if fitting else ""


def _label(
    pod: Pod, pool: Pool[Resource], kind: NodeKind, condition: Condition, *, on_gpu: bool
) -> tuple[Lack | None, Hidden | None]:
    values = kind.values(condition.key)
    named = gpu_from_labels({condition.key: condition.wanted[0]}) if len(condition.wanted) == 1 else None
    if condition.operator == "In" and named and on_gpu and kind.gpu and named != kind.gpu and kind.gpus:
        wanted, there = catalog().gpu(named).name, catalog().gpu(kind.gpu).name
        message = f"asks for {wanted}, its nodes have {there}"
        return Lack(
            _OTHER_GPU, condition.node, message, f"{_own_label(kind)}, or a pool of machines with {wanted}"
        ), None
    met = condition.met(values)
    if met is False:
        if condition.key == INSTANCE_TYPE and kind.machine:
            remedy = f"{INSTANCE_TYPE}: {kind.machine.id}, or a pool of the machine type that is selected"
            return Lack(
                _SIZE, condition.node, f"selects another machine type, its nodes are {kind.machine.id}", remedy
            ), None
        told = "its nodes do not have" if not values else "has another value on its nodes"
        ways = _own_label(kind) if named else "put the label on the pool, or select one that its nodes have"
        return Lack(_OWN, condition.node, f"selects nodes by a label that {told}", ways), None
    if met is None:
        return None, _hidden_label(pod, pool, kind, condition, values)
    return None, None


def _hidden_label(
    pod: Pod, pool: Pool[Resource], kind: NodeKind, condition: Condition, values: tuple[str, ...] | None
) -> Hidden | None:
    if condition.unknown:
        return Hidden(pod.resource, condition.unknown)
    stated = pool.stated_labels[condition.key]
    if values is None and stated.unknown:
        return Hidden(pool.resource, stated)
    doubt = pool.doubt(*_hiding(condition, kind)) if values is None else None
    return Hidden(doubt.resource, doubt.node) if doubt else None


def _hiding(condition: Condition, kind: NodeKind) -> tuple[str, ...]:
    """The facts of a pool that its nodes get this label from."""
    facts = ("labels",) if not kind.labels_known else ()
    if condition.key == ZONE:
        return (*facts, "zones")
    if names_spot(condition.key):
        return (*facts, "capacity")
    by_gpu = any(gpu_from_labels({condition.key: value}) for value in condition.wanted)
    return (*facts, "accelerators", "machine type") if by_gpu or condition.key in (INSTANCE_TYPE, ARCH) else facts


def _own_label(kind: NodeKind) -> str:
    """How nodes of this kind are selected by their GPU."""
    for key, values in kind.labels.items():
        for value in values or ():
            if gpu_from_labels({key: value}) == kind.gpu and not key.endswith("/instance-type"):
                return f"{key}: {value}"
    return f"{INSTANCE_TYPE}: {kind.machine.id}" if kind.machine else "select a label that its nodes have"


def _taints(
    pod: Pod, pool: Pool[Resource], kind: NodeKind, *, on_gpu: bool
) -> Iterator[tuple[Lack | None, Hidden | None]]:
    tolerations = pod.spec["tolerations"]
    for taint in kind.taints:
        if taint.effect not in ("NoSchedule", "NoExecute") or not taint.certain:
            continue
        answer = tolerated(pod, taint.key, taint.value, taint.effect, on_gpu)
        if answer is False:
            which = f"the taint {taint.node.path} of the pool" if taint.node else f"the taint {taint.key} of its nodes"
            remedy = f"a toleration of that taint: its key, operator Exists, effect {taint.effect}"
            yield Lack(_OWN, tolerations, f"does not tolerate {which}", remedy), None
        elif answer is None:
            hidden = next((each for each in _parts(tolerations) if each.unknown), None)
            yield (
                None,
                Hidden(pod.resource, hidden) if hidden else Hidden(pool.resource, (taint.node or pool.node)["value"]),
            )
    doubt = pool.doubt("taints")
    if doubt and not kind.taints_known:
        yield None, Hidden(doubt.resource, doubt.node)


def _parts(tolerations: Node) -> Iterator[Node]:
    yield tolerations
    for each in tolerations.elements():
        yield from (each, *(each[name] for name in ("key", "operator", "effect", "value")))


def _sizes(pod: Pod, pool: Pool[Resource], kind: NodeKind) -> Iterator[tuple[Lack | None, Hidden | None]]:
    machine = kind.machine.id if kind.machine else "its machine type"
    offered = (
        (CPU, Decimal(kind.cpu_millicores) / 1000 if kind.cpu_millicores is not None else None, _cpu),
        (MEMORY, kind.most_memory_bytes, _bytes),
        (DISK, kind.most_ephemeral_bytes, _bytes),
    )
    for resource, most, told in offered:
        need = need_of(pod, resource)
        if most is None:
            doubt = pool.doubt("machine type", "boot disk") if need.amount else None
            if doubt and (kind.machine is None or resource == DISK):
                yield None, Hidden(doubt.resource, doubt.node)
            continue
        if need.amount > most:
            message = f"needs {told(need.amount)} of {resource}, a node of {machine} leaves {told(Decimal(most))}"
            remedy = f"at most {told(Decimal(most))} of {resource} in all its containers, or a larger machine type"
            yield Lack(_SIZE, need.node, message, remedy), None
        elif need.unknown:
            yield None, Hidden(pod.resource, need.unknown)


def _cpu(amount: Decimal) -> str:
    return cores(int(amount * 1000))


def _bytes(amount: Decimal) -> str:
    return gib(float(amount))
