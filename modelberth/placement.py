"""Which machines could hold a service, which one is best, and why each other one lost.

Tensor parallel ranks stay inside one node, whatever joins its GPUs; pipeline stages take a node each, where the spec
states them or no single node of what is allowed holds the model, on machines that a fast fabric joins. Several replicas
share a node as far as its GPUs go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from modelberth.catalog import Gpu, Machine, Model, catalog
from modelberth.catalog.schema import Link
from modelberth.clouds import node_profile
from modelberth.engines import Accelerator, Sizing
from modelberth.errors import ModelberthError
from modelberth.fabric import no_fabric
from modelberth.fit import Fit, Sizer, Verdict, fit
from modelberth.host import ephemeral_mib, gpu_memory_bytes, usable_ephemeral_bytes, usable_memory_bytes
from modelberth.memory import shape_of
from modelberth.names import Objective
from modelberth.objective import Goal, speed_of, usd_per_million_tokens
from modelberth.parallel import STAGES, TENSOR_PARALLEL_SIZES, exchanged_bytes, no_nodes
from modelberth.speed import Speed
from modelberth.units import MIB, gib, tokens

UNPLACED = Accelerator(None, 0)
"""Where a model is before a machine is chosen."""


@dataclass(frozen=True)
class Site:
    """A kind of node that may be used: a machine type, the pool it belongs to, and how many there may be."""

    machine: Machine
    pool: str | None = None
    max_nodes: int | None = None


@dataclass(frozen=True)
class Demand:
    """What is placed: ``replicas`` copies with requests of ``typical_tokens`` (None: of the whole context).

    ``download_bytes`` is what each pod downloads to its own disk. ``region`` is where machines are priced; None: the
    usual one.
    """

    typical_tokens: int | None = None
    replicas: int = 1
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    download_bytes: int = 0
    region: str | None = None
    goal: Goal = field(default_factory=Goal)


@dataclass(frozen=True)
class Candidate:
    """One way to hold all replicas. ``speed`` is None where the objective asks for none."""

    site: Site
    sizing: Sizing
    fit: Fit
    nodes: int
    usd_per_hour: float | None
    speed: Speed | None = None
    usd_per_million_tokens: float | None = None

    @property
    def label(self) -> str:
        """Machine type and GPUs used, as the plan prints them."""
        gpu = self.sizing.accelerator.gpu
        if gpu is None:
            return f"{self.site.machine.id} (cpu)"
        nodes = f"{self.stages} nodes of " if self.stages > 1 else ""
        return f"{self.site.machine.id} ({nodes}{self.sizing.tensor_parallel} x {gpu.name})"

    @property
    def stages(self) -> int:
        """Nodes that share one copy of the model."""
        return self.sizing.pipeline_parallel

    @property
    def gpus(self) -> int:
        """GPUs of one replica; 0 on CPUs."""
        return self.sizing.tensor_parallel * self.stages if self.sizing.accelerator.gpu else 0


@dataclass(frozen=True)
class Loser:
    """What was not chosen, and why."""

    label: str
    why: str


@dataclass(frozen=True)
class Choice:
    """The outcome: the best candidate (None: nothing fits), the ones that also fit, and the losers with reasons.

    ``spanning`` fit only when several nodes share one copy; where nothing else fits, the cheapest of them is the best.
    ``unknown`` is the reason when no machine at all could be judged; ``fits_unranked`` when some hold the model and
    nothing is known that the objective ranks by.
    """

    best: Candidate | None
    others: tuple[Candidate, ...]
    losers: tuple[Loser, ...]
    spanning: tuple[Candidate, ...] = ()
    unknown: str | None = None
    fits_unranked: bool = False


def grouped(losers: Iterable[Loser]) -> Iterator[tuple[str, str]]:
    """(labels, reason): losers that share a reason share a line, two of them named."""
    labels: dict[str, list[str]] = {}
    for loser in losers:
        labels.setdefault(loser.why, []).append(loser.label)
    for why, names in labels.items():
        yield ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else ""), why


def replicas_per_node(gpus_per_replica: int, machine: Machine) -> int:
    """Replicas that share one node: as many as its GPUs hold; a CPU replica takes a node of its own."""
    return max(1, machine.gpu_count // gpus_per_replica) if gpus_per_replica else 1


def nodes_needed(replicas: int, gpus_per_replica: int, machine: Machine) -> int:
    """Nodes for all replicas, each on one node."""
    return -(-replicas // replicas_per_node(gpus_per_replica, machine))


def kind_of(machine: Machine) -> str:
    """GPU id that a spec names to get this machine, or cpu; a slice of a GPU goes by that GPU."""
    return machine.gpu or (machine.gpu_slice.gpu if machine.gpu_slice else "cpu")


def accelerator_of(machine: Machine) -> Accelerator:
    """What a model may use on this machine: one of its GPUs, or the memory left for pods.

    Raises :class:`~modelberth.errors.ModelberthError` for a machine with a slice of a GPU, and where what is left for
    pods is not known.
    """
    if machine.gpu_slice:
        whole = catalog().gpu(machine.gpu_slice.gpu).name
        raise ModelberthError(f"has a part of one {whole}: nothing is sized for a slice of a GPU")
    profile = node_profile(machine.id)
    if machine.gpu:
        gpu = catalog().gpu(machine.gpu)
        return Accelerator(gpu, gpu.visible_memory_bytes)
    return Accelerator(None, usable_memory_bytes(profile))


def choose(engine: Sizer, wanted: Sizing, sites: Iterable[Site], demand: Demand) -> Choice:
    """Try every site and tensor parallel size, and rank what fits by the demand's goal.

    By cost per hour a site is taken with the fewest GPUs that hold the model; the other objectives weigh every size.
    """
    search = _Search(engine, wanted, demand)
    for site in sites:
        search.visit(site)
    return search.outcome()


class _Search:
    """Sites are visited one by one; sums are kept per kind of accelerator, machines with the same GPU share them."""

    def __init__(self, engine: Sizer, wanted: Sizing, demand: Demand) -> None:
        self.engine, self.wanted, self.demand = engine, wanted, demand
        self.fitting: list[Candidate] = []
        self.spanning: list[Candidate] = []
        self.losers: list[Loser] = []
        self.judged = False
        self.unsized: str | None = None
        self._answers: dict[tuple[str, int, int, int], Fit] = {}
        self._speeds: dict[tuple[str, int, int], Speed] = {}

    def visit(self, site: Site) -> None:
        """Sort one site under fitting, spanning or losers."""
        try:
            accelerator = accelerator_of(site.machine)
        except ModelberthError as reason:
            self.losers.append(Loser(site.machine.id, str(reason)))
            return
        if (self.demand.pipeline_parallel or 1) > 1:
            self._visit_nodes(site, accelerator)
            return
        failed: list[Candidate] = []
        before = len(self.fitting)
        sizes, fewest = self._sizes(site), 1
        for size in sizes:
            if size < fewest and size != sizes[-1]:
                continue
            candidate = self._candidate(site, replace(self.wanted, accelerator=accelerator, tensor_parallel=size))
            fewest = _at_least(candidate)
            holds = candidate.fit.verdict is Verdict.FITS and not self._hindered(candidate)
            (self.fitting if holds else failed).append(candidate)
            if holds and not self.demand.goal.needs_speed:
                return
        if len(self.fitting) == before:
            self._lose(site, failed)

    def _visit_nodes(self, site: Site, accelerator: Accelerator) -> None:
        """The same for a stated number of nodes that share a copy: each gives as many GPUs as divide the model."""
        stages = self.demand.pipeline_parallel or 1
        failed: list[Candidate] = []
        for size in reversed(self._sizes(site)):
            sizing = replace(self.wanted, accelerator=accelerator, tensor_parallel=size, pipeline_parallel=stages)
            candidate = self._candidate(site, sizing)
            if candidate.fit.verdict is Verdict.FITS and not self._hindered(candidate):
                self.fitting.append(candidate)
                return
            failed.append(candidate)
        self._lose(site, failed)

    def outcome(self) -> Choice:
        """Everything visited, ranked."""
        goal = self.demand.goal
        ranked: list[Candidate] = []
        if goal.needs_speed:
            self.fitting, self.spanning = self.fitting + self.spanning, []
        for candidate in (self._with_speed(each) for each in self.fitting) if goal.needs_speed else self.fitting:
            reason = _unranked(candidate, goal)
            if reason:
                self.losers.append(Loser(candidate.label, reason))
            else:
                ranked.append(candidate)
        ranked.sort(key=lambda candidate: _rank(candidate, goal.objective))
        spanning = sorted(self.spanning, key=lambda each: _rank(each, Objective.COST_PER_HOUR))
        if not self.fitting and spanning:
            ranked.append(spanning.pop(0))
        return Choice(
            best=ranked[0] if ranked else None,
            others=tuple(ranked[1:]),
            losers=tuple(self.losers),
            spanning=tuple(spanning),
            unknown=None if self.judged else self.unsized,
            fits_unranked=bool(self.fitting) and not ranked,
        )

    def _sizes(self, site: Site) -> tuple[int, ...]:
        stated = self.demand.tensor_parallel
        sizes = (stated,) if stated else TENSOR_PARALLEL_SIZES
        return tuple(size for size in sizes if size <= max(1, site.machine.gpu_count))

    def _candidate(self, site: Site, sizing: Sizing) -> Candidate:
        price = catalog().price(site.machine.id, region=self.demand.region)
        stages = sizing.pipeline_parallel
        gpus = sizing.tensor_parallel if site.machine.gpu else 0
        nodes = self.demand.replicas * stages if stages > 1 else nodes_needed(self.demand.replicas, gpus, site.machine)
        return Candidate(site, sizing, self._answer(sizing), nodes, nodes * price.usd_per_hour if price else None)

    def _answer(self, sizing: Sizing) -> Fit:
        accelerator = sizing.accelerator
        key = (accelerator.id, accelerator.memory_bytes, sizing.tensor_parallel, sizing.pipeline_parallel)
        if key not in self._answers:
            self._answers[key] = fit(self.engine, sizing, self.demand.typical_tokens)
        return self._answers[key]

    def _lose(self, site: Site, tried: list[Candidate]) -> None:
        if not tried:
            stated = self.demand.tensor_parallel
            why = f"has {site.machine.gpu_count} GPUs in a node, tensor_parallel {stated} needs as many"
            self.losers.append(Loser(site.machine.id, why))
            self.judged = True
            return
        shown = max(tried, key=_telling)
        if shown.fit.verdict is Verdict.UNKNOWN and shown.fit.memory is None:
            self.unsized = shown.fit.why
        else:
            self.judged = True
        over_nodes = self._over_nodes(site, tried[-1]) if shown.fit.verdict is Verdict.DOES_NOT_FIT else None
        if over_nodes and (hindrance := self._hindered(over_nodes)):
            why = f"fits only with {over_nodes.stages} nodes per replica, and {hindrance}"
            self.losers.append(Loser(over_nodes.label, why))
        elif over_nodes:
            self.spanning.append(over_nodes)
        else:
            hindrance = self._hindered(shown) if shown.fit.verdict is Verdict.FITS else ""
            self.losers.append(Loser(shown.label, hindrance or shown.fit.why))

    def _hindered(self, candidate: Candidate) -> str:
        """Why a candidate whose memory fits cannot be had all the same; empty when it can."""
        if candidate.stages > 1:
            asked = self.demand.typical_tokens or self.wanted.context
            reason = no_fabric(candidate.site.machine, shape_of(candidate.sizing.model), asked)
            if reason:
                return reason
        return _hindrance(candidate, self.demand)

    def _over_nodes(self, site: Site, largest: Candidate) -> Candidate | None:
        """The fewest nodes that hold one copy together, when memory is all that one node lacks."""
        memory = largest.fit.memory
        if memory is None or self.demand.pipeline_parallel or no_nodes(self.engine.name):
            return None
        if largest.sizing.tensor_parallel < site.machine.gpu_count:
            return None
        fewest = -(-memory.used_bytes // memory.budget_bytes)
        for stages in (n for n in STAGES if n >= fewest):
            candidate = self._candidate(site, replace(largest.sizing, pipeline_parallel=stages))
            if candidate.fit.verdict is Verdict.FITS:
                return candidate
        return None

    def _with_speed(self, candidate: Candidate) -> Candidate:
        memory, traffic, sizing = candidate.fit.memory, self.demand.goal.traffic, candidate.sizing
        if memory is None or traffic is None:
            return candidate
        key = (sizing.accelerator.id, sizing.tensor_parallel, sizing.pipeline_parallel)
        if key not in self._speeds:
            self._speeds[key] = speed_of(self.engine.name, sizing, memory, traffic)
        found, usd = self._speeds[key], candidate.usd_per_hour
        each = usd_per_million_tokens(usd, self.demand.replicas, found, traffic) if usd is not None else None
        return replace(candidate, speed=found, usd_per_million_tokens=each)


def exchange_cost(machine: Machine, model: Model, ranks: int, count: int) -> str:
    """What tensor parallel ranks without NVLink cost in speed while ``count`` tokens pass, in words; empty where there
    is no such cost or one rank.
    """
    if ranks == 1 or machine.gpu is None or machine.gpu_interconnect is not Link.PCIE:
        return ""
    gpu = catalog().gpu(machine.gpu)
    if gpu.link_gb_per_s is None:
        return "over PCIe, whose rate is not known"
    seconds = exchanged_bytes(shape_of(model), ranks, count) / (gpu.link_gb_per_s * 1e9)
    rate = f"over PCIe at {gpu.link_gb_per_s:g} GB/s per GPU, 1/{_times_slower(gpu)} of an H100's NVLink"
    return f"{rate}: exchanges take at least {seconds * 1000:,.0f} ms of a prompt of {tokens(count)} tokens"


def _times_slower(gpu: Gpu) -> int:
    reference = catalog().gpu("nvidia-h100-80gb").link_gb_per_s or 0
    return round(reference / (gpu.link_gb_per_s or reference))


def _at_least(candidate: Candidate) -> int:
    """Ranks below which it cannot fit: no part of the sum shrinks faster than the number of ranks grows."""
    memory = candidate.fit.memory
    if memory is None:
        return 1
    least_bytes = memory.budget_bytes - memory.kv_budget_range_bytes[1]
    return -(-candidate.sizing.tensor_parallel * least_bytes // memory.budget_bytes)


def _telling(candidate: Candidate) -> tuple[bool, bool, bool, int]:
    """Which of several failures to show: a hindrance, else too close to call, else a sum, of the most GPUs."""
    answer, sized = candidate.fit, candidate.fit.memory is not None
    close = sized and answer.verdict is Verdict.UNKNOWN
    return answer.verdict is Verdict.FITS, close, sized, candidate.sizing.tensor_parallel


def _hindrance(candidate: Candidate, demand: Demand) -> str:
    """Why a candidate whose memory fits cannot be had all the same; empty when it can."""
    site, machine = candidate.site, candidate.site.machine
    if site.max_nodes is not None and candidate.nodes > site.max_nodes:
        return f"needs {candidate.nodes} nodes, pool {site.pool} may have {site.max_nodes}"
    share = candidate.sizing.tensor_parallel / machine.gpu_count if machine.gpu else 1
    offered = usable_ephemeral_bytes(node_profile(machine.id)) * share
    needed = ephemeral_mib(demand.download_bytes, on_gpu=bool(machine.gpu)) * MIB
    if needed > offered:
        return f"a pod downloads to {gib(needed)} of ephemeral storage, its share of a node is {gib(offered)}"
    return _lacks_memory(candidate)


def _lacks_memory(candidate: Candidate) -> str:
    """Why the node's own memory is too small for what a replica holds there; empty when it is not."""
    memory, gpus = candidate.fit.memory, candidate.sizing.tensor_parallel
    if memory is None or not memory.held_bytes or not candidate.site.machine.gpu:
        return ""
    needed, offered = gpu_memory_bytes(candidate.site.machine, gpus, memory.held_bytes * gpus)
    return f"needs {gib(needed)} of the node's memory, its share is {gib(offered)}" if needed > offered else ""


def _unranked(candidate: Candidate, goal: Goal) -> str:
    """Why a candidate that fits has no place in the ranking; empty when it has one."""
    if not goal.needs_speed:
        return ""
    usd, most = candidate.usd_per_hour, goal.budget_usd_per_hour
    if candidate.speed is None or candidate.speed.tpot_ms is None:
        return f"fits, but its speed is {candidate.speed.reason if candidate.speed else 'not known'}"
    if usd is None and (goal.objective is Objective.COST_PER_TOKEN or most is not None):
        return "fits, but no price is known"
    if most is not None and usd is not None and usd > most:
        return f"fits, but costs {usd:.2f} USD per hour, more than the budget of {most:.2f}"
    return ""


def _rank(candidate: Candidate, objective: Objective) -> tuple[float, float, bool, float, int, float, str]:
    """Best first; among equals (to a tenth of a ms per token) the cheaper, then fewer GPUs, then less memory."""
    found = candidate.speed
    first, second = 0.0, 0.0
    if objective is Objective.COST_PER_TOKEN:
        first = candidate.usd_per_million_tokens or 0.0
    elif objective is Objective.LATENCY and found:
        first, second = round(found.tpot_ms or 0.0, 1), round(found.ttft_ms or 0.0)
    memory = candidate.sizing.accelerator.memory_bytes * candidate.sizing.tensor_parallel
    price = candidate.usd_per_hour
    return (first, second, price is None, price or 0.0, candidate.gpus, memory, candidate.site.machine.id)
