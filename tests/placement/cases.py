"""Services that fill a node of one machine type, and what the planner says of the next smaller one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from modelberth import parse
from modelberth import plan as planner
from modelberth.catalog import Machine, catalog
from modelberth.clouds import NodeProfile, node_profile
from modelberth.decision import Host
from modelberth.findings import Refused
from modelberth.host import gpu_memory_bytes
from modelberth.placement import kind_of
from modelberth.plan import Plan, plan
from modelberth.units import GIB

GPU = "nvidia.com/gpu"
ASKED = {"cpu": "cpu_millicores", "memory": "memory_mib", "ephemeral-storage": "ephemeral_mib"}
"""Resources as Kubernetes calls them, and where a plan states them."""
ON_GPUS: tuple[dict[str, Any], ...] = (
    {"model": "meta-llama/Llama-3.3-70B-Instruct"},
    {"model": "meta-llama/Llama-3.1-8B-Instruct"},
    {"model": "meta-llama/Llama-3.1-8B-Instruct", "quantization": "fp16"},
    {"model": "Qwen/Qwen2.5-1.5B-Instruct", "quantization": "fp16"},
)
"""The largest first; fp16 for GPUs that have no bfloat16."""
ON_CPUS: tuple[dict[str, Any], ...] = (
    {"model": "Qwen/Qwen2.5-7B-Instruct", "quantization": "q4_k_m"},
    {"model": "Qwen/Qwen2.5-1.5B-Instruct", "quantization": "q4_k_m"},
)


@dataclass(frozen=True)
class Smaller:
    """The node that comes next below: another machine type, or the same one with a GPU less (``machine`` is None)."""

    label: str
    profile: NodeProfile
    machine: Machine | None


@dataclass(frozen=True)
class Case:
    """One service on one node of ``machine``, all of whose replicas share it."""

    name: str
    machine: Machine
    what: str
    service: dict[str, Any]
    plan: Plan

    @property
    def host(self) -> Host:
        """What each pod asks beside GPUs."""
        return self.plan.decision.host

    @property
    def copies(self) -> int:
        """Pods on the node."""
        return self.plan.spec.replicas

    @property
    def gpus(self) -> int:
        """GPUs of each pod."""
        return self.plan.decision.gpus_per_pod

    @property
    def pool(self) -> dict[str, Any]:
        """The pool that holds this machine type and nothing else."""
        return _pool(self.machine)


def unplanned() -> Iterator[tuple[Machine, str]]:
    """Machine types that nothing is planned on, with the planner's reason."""
    for machine in catalog().machines():
        if not any(case.machine.id == machine.id for case in cases()):
            yield machine, _refusal(machine)


@cache
def cases() -> tuple[Case, ...]:
    """Every case, in the order of the catalog."""
    return tuple(case for machine in catalog().machines() for case in _of(machine))


def smaller(machine: Machine) -> tuple[Smaller, ...]:
    """What comes next below: of all machine types of the same cloud, processor and accelerator, and of the same family.

    Below is what offers less of something and no more of anything. Where there is no such type with a GPU, a node with
    one GPU less; nothing below the smallest machine types without one.
    """
    others = [other for other in catalog().machines(cloud=machine.cloud) if _alike(machine, other)]
    below = [other for other in others if _offers(other) != _offers(machine) and _within(other, machine)]
    relatives = [other for other in below if family(other) == family(machine)]
    found = [max(some, key=lambda other: (_offers(other), other.id)) for some in (below, relatives) if some]
    if found or not machine.gpu_count:
        return tuple(Smaller(best.id, node_profile(best.id), best) for best in dict.fromkeys(found))
    own, left = node_profile(machine.id), str(machine.gpu_count - 1)
    less = replace(own, capacity={**own.capacity, GPU: left}, allocatable={**own.allocatable, GPU: left})
    return (Smaller("one GPU less", less, None),)


def family(machine: Machine) -> str:
    """What a cloud's machine types of one kind have in common in their names: "m7i", "c3-standard"."""
    return re.split(r"[.-][^.-]*$", machine.id.replace(".metal-", ".metal"))[0]


def lacking(case: Case, below: Smaller) -> tuple[str, ...]:
    """What the planner says the smaller node has too little of for these pods; nothing where they belong there too.

    The same service is planned on that machine type: there it is refused, or its pods ask less because there is less.
    """
    if below.machine is None or below.machine.gpu_count < case.gpus:
        return (GPU,)
    fewer = (GPU,) if below.machine.gpu_count < case.gpus * case.copies else ()
    one = {**case.service, "replicas": 1} if fewer else case.service
    try:
        there = planned(below.machine, one).decision.host
    except Refused as refused:
        (finding,) = refused.findings
        assert finding.code == "does-not-fit", finding
        return (*fewer, "ephemeral-storage" if "ephemeral storage" in finding.message else "memory")
    less = (name for name, field in ASKED.items() if getattr(there, field) < getattr(case.host, field))
    return (*fewer, *less)


def planned(machine: Machine, service: dict[str, Any]) -> Plan:
    """The plan of one service that may have one node of this machine type. Raises :class:`Refused`."""
    stack = {
        "target": {"kind": "existing", "node_labels": machine.cloud},
        "pools": {"only": {**_pool(machine), "max_nodes": 1}},
        "weights": {"shared": SHARED},
        "services": {"only": service},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "_nearest", lambda *_: "")  # the way out of a refusal: most of its time, and not asked
        return plan("only", parse.stack(stack))


SHARED = {"kind": "claim", "access_mode": "ReadWriteMany", "size_gib": 1000}
"""Weights of several replicas."""


def _of(machine: Machine) -> Iterator[Case]:
    if machine.gpu_slice:
        return
    if not machine.gpu:
        yield from _found(machine, "full memory", _filled_with_requests(machine))
        return
    whole = _first(machine, ON_GPUS, {"tensor_parallel": machine.gpu_count})
    yield from _found(machine, "all GPUs", whole)
    yield from _found(machine, "all GPUs, full memory", _filled_with_cache(machine, whole))
    sizes = [size for size in (1, 2, 4) if size < machine.gpu_count]
    for size in sizes:
        copies = {"tensor_parallel": size, "replicas": machine.gpu_count // size, "weights": "shared"}
        found = _filled_with_cache(machine, _first(machine, ON_GPUS[1:], copies))
        if found:
            yield from _found(machine, f"{machine.gpu_count // size} copies, full memory", found)
            return


def _found(machine: Machine, what: str, service: dict[str, Any] | None) -> Iterator[Case]:
    if service:
        suffix = {"all GPUs": "a", "all GPUs, full memory": "b"}.get(what, "c")
        name = f"{machine.id.replace('.', '-')}-{suffix}"
        yield Case(name, machine, what, service, planned(machine, service))


def _first(machine: Machine, models: tuple[dict[str, Any], ...], fields: dict[str, Any]) -> dict[str, Any] | None:
    for model in models:
        service = {**model, "context": 4096, "concurrency": 1, **fields}
        if _holds(machine, service):
            return service
    return None


def _filled_with_cache(machine: Machine, service: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same service with as much KV cache in the node's memory as the planner lets it have."""
    if service is None:
        return None
    least, offered = gpu_memory_bytes(machine, service["tensor_parallel"], 0)
    for count in range((offered - least) // GIB, 0, -1):
        filled = {**service, "kv_offload_gib": count}
        if _holds(machine, filled):
            return filled
    return None


def _filled_with_requests(machine: Machine) -> dict[str, Any] | None:
    """A service on CPUs with as many requests at once as the planner lets it have."""
    service = _first(machine, ON_CPUS, {})
    if service is None:
        return None
    memory = planned(machine, service).fit.memory
    assert memory
    for count in range(memory.kv_budget_range_bytes[0] // memory.kv_bytes_for(service["context"]), 0, -1):
        filled = {**service, "concurrency": count}
        if _holds(machine, filled):
            return filled
    return None


def _holds(machine: Machine, service: dict[str, Any]) -> bool:
    try:
        return planned(machine, service).nodes == 1
    except Refused:
        return False


def _refusal(machine: Machine) -> str:
    """Why the smallest service is refused there."""
    with pytest.raises(Refused) as refused:
        planned(machine, {**ON_CPUS[1], "context": 512, "concurrency": 1})
    return refused.value.findings[0].message.partition(f"{machine.id}: ")[2]


def _pool(machine: Machine) -> dict[str, Any]:
    return {"accelerators": [kind_of(machine)], "machine_types": [machine.id], "max_nodes": 3}


def _alike(one: Machine, other: Machine) -> bool:
    return (one.arch, one.gpu, one.gpu_slice) == (other.arch, other.gpu, other.gpu_slice)


def _offers(machine: Machine) -> tuple[int, int, int]:
    found = node_profile(machine.id)
    return machine.gpu_count, found.allocatable_cpu_millicores, found.allocatable_memory_bytes


def _within(one: Machine, other: Machine) -> bool:
    return all(few <= many for few, many in zip(_offers(one), _offers(other), strict=True))


def sample() -> tuple[Case, ...]:
    """The cases of one machine type per cloud, processor and GPU: the second smallest, which has one below."""
    kinds: dict[tuple[str, str, str | None], list[Machine]] = {}
    for machine in sorted(catalog().machines(), key=_offers):
        if machine.gpu_slice is None:
            kinds.setdefault((machine.cloud, machine.arch, machine.gpu), []).append(machine)
    chosen = {machines[min(1, len(machines) - 1)].id for machines in kinds.values()}
    return tuple(case for case in cases() if case.machine.id in chosen)
