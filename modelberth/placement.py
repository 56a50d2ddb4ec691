"""Which machines could hold a service, which one is cheapest, and why each other one lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from modelberth.catalog import Machine, catalog
from modelberth.clouds import node_profile
from modelberth.engines import Accelerator, Engine, Sizing
from modelberth.fit import Fit, Verdict, fit
from modelberth.host import ephemeral_mib, usable_memory_bytes
from modelberth.units import MIB, gib

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Site:
    """A kind of node that may be used: a machine type, the pool it belongs to, and how many there may be."""

    machine: Machine
    pool: str | None = None
    max_nodes: int | None = None


@dataclass(frozen=True)
class Candidate:
    """One way to hold one replica."""

    site: Site
    sizing: Sizing
    fit: Fit
    nodes: int
    usd_per_hour: float | None

    @property
    def label(self) -> str:
        """Machine type and GPUs used, as the plan prints them."""
        gpu = self.sizing.accelerator.gpu
        if gpu is None:
            return f"{self.site.machine.id} (cpu)"
        return f"{self.site.machine.id} ({self.sizing.tensor_parallel} x {gpu.name})"


@dataclass(frozen=True)
class Loser:
    """What was not chosen, and why."""

    label: str
    why: str


def grouped(losers: Iterable[Loser]) -> Iterator[tuple[str, str]]:
    """(labels, reason): losers that share a reason share a line, two of them named."""
    labels: dict[str, list[str]] = {}
    for loser in losers:
        labels.setdefault(loser.why, []).append(loser.label)
    for why, names in labels.items():
        yield ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else ""), why


@dataclass(frozen=True)
class Choice:
    """The outcome: the best candidate (None: nothing fits), the ones that also fit, and the losers with reasons."""

    best: Candidate | None
    others: tuple[Candidate, ...]
    losers: tuple[Loser, ...]
    unknown: str | None = None


def nodes_needed(replicas: int, gpus_per_replica: int, machine: Machine) -> int:
    """Nodes for all replicas: as many as fit on one node share it; a CPU replica takes a node of its own."""
    per_node = machine.gpu_count // gpus_per_replica if gpus_per_replica else 1
    return -(-replicas // max(1, per_node))


def accelerator_of(machine: Machine) -> Accelerator:
    """What a model may use on this machine: one of its GPUs, or the memory left for pods."""
    if machine.gpu:
        gpu = catalog().gpu(machine.gpu)
        return Accelerator(gpu, gpu.visible_memory_bytes)
    return Accelerator(None, usable_memory_bytes(node_profile(machine.id)))


def choose(
    engine: Engine,
    wanted: Sizing,
    sites: tuple[Site, ...],
    *,
    typical_tokens: int,
    replicas: int,
    tensor_parallel: int | None,
    download_bytes: int = 0,
) -> Choice:
    """Try every site and tensor parallel size; cheapest first, then fewest GPUs, then least memory.

    ``download_bytes`` is what each pod downloads to its own ephemeral storage.
    """
    fitting: list[Candidate] = []
    losers: list[Loser] = []
    answers: dict[tuple[str, int, int], Fit] = {}

    def answer(sizing: Sizing) -> Fit:
        """One sum per kind of accelerator and size: machines with the same GPU share it."""
        key = (sizing.accelerator.id, sizing.accelerator.memory_bytes, sizing.tensor_parallel)
        if key not in answers:
            answers[key] = fit(engine, sizing, typical_tokens)
        return answers[key]

    for site in sites:
        last: Candidate | None = None
        for last in _candidates(answer, wanted, site, replicas, tensor_parallel):
            if last.fit.verdict is Verdict.FITS and not _hindrance(last, download_bytes):
                fitting.append(last)
                break
        else:
            if last and last.fit.verdict is Verdict.UNKNOWN:
                return Choice(None, (), tuple(losers), unknown=last.fit.why)
            losers.append(_loser(site, last, tensor_parallel, download_bytes))
    ranked = sorted(fitting, key=_rank)
    return Choice(ranked[0] if ranked else None, tuple(ranked[1:]), tuple(losers))


def _candidates(
    answer: Callable[[Sizing], Fit], wanted: Sizing, site: Site, replicas: int, tensor_parallel: int | None
) -> Iterator[Candidate]:
    accelerator = accelerator_of(site.machine)
    price = catalog().price(site.machine.id)
    for size in (tensor_parallel,) if tensor_parallel else TENSOR_PARALLEL_SIZES:
        if size > max(1, site.machine.gpu_count):
            continue
        sizing = replace(wanted, accelerator=accelerator, tensor_parallel=size)
        nodes = nodes_needed(replicas, size if site.machine.gpu else 0, site.machine)
        cost = nodes * price.usd_per_hour if price else None
        yield Candidate(site, sizing, answer(sizing), nodes, cost)


def _loser(site: Site, last: Candidate | None, tensor_parallel: int | None, download_bytes: int) -> Loser:
    if last is None:
        why = f"has {site.machine.gpu_count} GPUs in a node, tensor_parallel {tensor_parallel} needs as many"
        return Loser(site.machine.id, why)
    return Loser(last.label, _hindrance(last, download_bytes) if last.fit.verdict is Verdict.FITS else last.fit.why)


def _hindrance(candidate: Candidate, download_bytes: int) -> str:
    """Why a candidate whose memory fits cannot be had all the same; empty when it can."""
    site, machine = candidate.site, candidate.site.machine
    if site.max_nodes is not None and candidate.nodes > site.max_nodes:
        return f"needs {candidate.nodes} nodes, pool {site.pool} may have {site.max_nodes}"
    share = candidate.sizing.tensor_parallel / machine.gpu_count if machine.gpu else 1
    offered = node_profile(machine.id).allocatable_ephemeral_bytes * share
    needed = ephemeral_mib(download_bytes, on_gpu=bool(machine.gpu)) * MIB
    if needed > offered:
        return f"a pod downloads to {gib(needed)} of ephemeral storage, its share of a node is {gib(offered)}"
    return ""


def _rank(candidate: Candidate) -> tuple[bool, float, int, float, str]:
    memory = candidate.sizing.accelerator.memory_bytes * candidate.sizing.tensor_parallel
    price = candidate.usd_per_hour
    return (price is None, price or 0.0, candidate.sizing.tensor_parallel, memory, candidate.site.machine.id)
