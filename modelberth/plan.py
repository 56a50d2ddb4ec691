"""From a spec to a plan: a decision, the arithmetic behind it, the container it means, and the reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from modelberth import ladder
from modelberth.advice import advice, unsizable
from modelberth.catalog import Model, catalog
from modelberth.decision import Decision, Host
from modelberth.doors import Door, door
from modelberth.engines import ENGINES, Launch, Sizing, Wishes
from modelberth.engines.beside import extras_of
from modelberth.errors import UnknownName
from modelberth.findings import Finding, Refused, errors
from modelberth.fit import Fit, fit
from modelberth.host import cpu_host, fetch_seconds, gpu_host
from modelberth.names import Quantization
from modelberth.objective import Goal, speed_of, usd_per_million_tokens
from modelberth.offered import may_have, price, region, zones
from modelberth.placement import (
    UNPLACED,
    Candidate,
    Choice,
    Demand,
    Loser,
    Site,
    accelerator_of,
    choose,
    grouped,
    kind_of,
)
from modelberth.reasons import also_fits, over_nodes, reasons_for
from modelberth.resolve import Reason, Resolved, resolve
from modelberth.rollout import Rollout, Share, rollout
from modelberth.scaling import Scaling, scaling
from modelberth.scaling import findings as scaling_findings
from modelberth.spec import ServiceSpec, StackSpec
from modelberth.speed import Speed, Traffic
from modelberth.storage import StorageChoice
from modelberth.stores import Nodes, own_download_bytes, stored, stored_bytes

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """One service, planned. ``nodes`` and ``usd_per_hour`` (on-demand list price, None when unknown) are those of all
    replicas, of the most there may be where their number follows the load.

    ``speed`` is that of one replica under the spec's traffic, None when it states none; ``usd_per_million_tokens``
    counts prompts and answers.
    """

    service: str
    spec: ServiceSpec
    decision: Decision
    model: Model
    fit: Fit
    launch: Launch
    nodes: int
    usd_per_hour: float | None
    price_as_of: str | None
    fetch_s: int
    reasons: tuple[Reason, ...]
    losers: tuple[Loser, ...]
    findings: tuple[Finding, ...]
    rollout: Rollout
    locked: bool = False
    speed: Speed | None = None
    usd_per_million_tokens: float | None = None
    scaling: Scaling | None = None
    monitored: bool = False
    """Whether the Prometheus operator is told about it."""
    door: Door | None = None
    stores: StorageChoice | None = None
    """The ranking of places for the weights, where the planner was asked and the plan is new."""


def plan(name: str, stack: StackSpec) -> Plan:
    """Plan one service of a stack from scratch. Raises :class:`Refused` with everything that stands in the way."""
    resolved = _resolved(name, stack)
    try:
        return _planned(name, stack, resolved)
    except Refused as refused:
        for step in ladder.below(stack.services[name], resolved, refused.findings):
            with suppress(Refused):
                smaller = ladder.because(_resolved(name, ladder.asking(stack, name, step)), resolved)
                return _planned(name, stack, smaller, step)
        raise


def _resolved(name: str, stack: StackSpec) -> Resolved:
    resolved, problems = resolve(name, stack)
    if resolved is None or errors(problems):
        raise Refused(problems)
    return resolved


def _planned(name: str, stack: StackSpec, resolved: Resolved, step: Quantization | None = None) -> Plan:
    """The plan in one format; ``step`` where it is one that `auto` falls to."""
    spec, path = stack.services[name], f"services.{name}"
    sizing = _wanted(spec, resolved)
    engine = ENGINES[resolved.engine]
    sites = tuple(_sites(spec, stack, resolved))
    sites = ladder.computing(sites, resolved, step) if step else sites
    choice = choose(engine, sizing, sites, _demand(spec, stack, resolved))
    if choice.best is None:
        raise Refused([_nothing_fits(path, spec, stack, resolved, choice)])
    best = choice.best
    decision, stores = _decision(name, spec, stack, resolved, best)
    reasons = (*resolved.reasons, *reasons_for(spec, best, choice))
    also = (also_fits(best, other, spec.objective) for other in choice.others)
    no_gpu = (
        Loser(machine.id, f"has no GPU, {resolved.engine} is planned on GPUs") for machine in resolved.without_gpu
    )
    over = (over_nodes(best, other) for other in choice.spanning)
    losers = (*also, *over, *choice.losers, *no_gpu)
    made = assemble(name, stack, decision, resolved, best.fit, reasons, losers)
    return replace(made, stores=stores) if stores else made


def replay(name: str, stack: StackSpec, decision: Decision) -> Plan:
    """The plan of a decision that was made before: same machine, same arguments, today's arithmetic."""
    resolved, problems = resolve(name, stack, decision.engine_version)
    if resolved is None or errors(problems):
        raise Refused(problems)
    answer = fit(ENGINES[decision.engine], sizing_of(decision, resolved.model), stack.services[name].tokens_per_request)
    reasons = (Reason("decision", "locked", "decided before and written in the plan lock"),)
    return assemble(name, stack, decision, resolved, answer, reasons, (), locked=True)


def assemble(
    name: str,
    stack: StackSpec,
    decision: Decision,
    resolved: Resolved,
    answer: Fit,
    reasons: tuple[Reason, ...],
    losers: tuple[Loser, ...],
    *,
    locked: bool = False,
) -> Plan:
    """Everything that follows from a decision."""
    spec = stack.services[name]
    machine = catalog().machine(decision.machine_type)
    listed = price(stack.target, machine.id)
    share = Share(decision, spec.most_replicas, spec.spread, spec.fewest_replicas)
    launch = ENGINES[decision.engine].launch(decision, wishes(name, stack))
    usd = share.nodes * listed.usd_per_hour if listed else None
    speed = _speed(spec, decision, resolved.model, answer)
    return Plan(
        service=name,
        spec=spec,
        decision=decision,
        model=resolved.model,
        fit=answer,
        launch=launch,
        nodes=share.nodes,
        usd_per_hour=usd,
        price_as_of=listed.as_of.isoformat() if listed else None,
        fetch_s=fetch_seconds(
            sum(source.stored_bytes for source in (decision.source, *decision.beside)),
            catalog().engine(decision.engine).image_gib,
        ),
        reasons=reasons,
        losers=losers,
        findings=(
            *advice(name, stack, decision, resolved.model, answer, usd),
            *unsizable(name, spec, decision, launch),
            *scaling_findings(name, spec, stack, decision),
        ),
        rollout=rollout(share, stack),
        locked=locked,
        speed=speed,
        usd_per_million_tokens=_per_million(spec, speed, usd),
        scaling=scaling(spec, stack, decision),
        monitored=stack.defaults.monitoring.operator,
        door=door(spec.called(name), spec, decision.engine, launch),
    )


def _demand(spec: ServiceSpec, stack: StackSpec, resolved: Resolved) -> Demand:
    budget = spec.budget.usd_per_hour if spec.budget else None
    return Demand(
        typical_tokens=spec.tokens_per_request,
        replicas=spec.most_replicas,
        tensor_parallel=spec.tensor_parallel,
        pipeline_parallel=spec.pipeline_parallel,
        download_bytes=own_download_bytes(spec, stack, resolved),
        goal=Goal(spec.objective, _traffic(spec), budget),
        region=region(stack.target),
    )


def _traffic(spec: ServiceSpec) -> Traffic | None:
    """What one replica answers when it is busy: ``concurrency`` requests of the stated lengths."""
    stated = spec.traffic
    return Traffic(spec.concurrency, stated.input_tokens, stated.output_tokens) if stated else None


def _speed(spec: ServiceSpec, decision: Decision, model: Model, answer: Fit) -> Speed | None:
    traffic = _traffic(spec)
    if traffic is None or answer.memory is None:
        return None
    return speed_of(decision.engine, sizing_of(decision, model), answer.memory, traffic)


def _per_million(spec: ServiceSpec, speed: Speed | None, usd: float | None) -> float | None:
    traffic = _traffic(spec)
    if speed is None or usd is None or traffic is None:
        return None
    return usd_per_million_tokens(usd, spec.most_replicas, speed, traffic)


def together(stack: StackSpec, plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """The same plans, each rolled out beside the others: what one takes of a pool is no spare room of another."""
    shares = {
        each.service: Share(each.decision, each.spec.most_replicas, each.spec.spread, each.spec.fewest_replicas)
        for each in plans
    }
    return tuple(
        replace(
            each,
            rollout=rollout(
                shares[each.service],
                stack,
                [share for service, share in shares.items() if service != each.service],
            ),
        )
        for each in plans
    )


def wishes(name: str, stack: StackSpec) -> Wishes:
    """What shapes the container but not the plan."""
    spec, defaults = stack.services[name], stack.defaults
    return Wishes(
        service=name,
        api_key=spec.api_key,
        token=spec.token,
        image=spec.image,
        image_digest=spec.image_digest,
        registry=defaults.registry,
        hub_endpoint=defaults.hub_endpoint,
        weights_path=stack.weights_of(spec).path,
        allow_pickle=stack.weights_of(spec).allow_pickle,
        tool_call_parser=spec.tool_call_parser,
        reasoning_parser=spec.reasoning_parser,
        runtime_adapter_loading=spec.runtime_adapter_loading,
        packaging=spec.packaging,
        extra_args=spec.extra_args,
    )


def sizing_of(decision: Decision, model: Model) -> Sizing:
    """The memory question that a decision answers."""
    return Sizing(
        model=model,
        engine_version=decision.engine_version,
        quantization=decision.quantization,
        accelerator=accelerator_of(catalog().machine(decision.machine_type)),
        context=decision.context,
        concurrency=decision.concurrency,
        tensor_parallel=decision.tensor_parallel,
        pipeline_parallel=decision.pipeline_parallel,
        kv_cache_dtype=decision.kv_cache_dtype,
        gpu_memory_utilization=decision.gpu_memory_utilization,
        max_num_batched_tokens=decision.max_num_batched_tokens,
        stored_bytes=decision.source.stored_bytes if decision.source.file else None,
        repository=decision.source.repository,
        extras=extras_of(decision.adapters, decision.speculative, decision.kv_offload_gib),
    )


def _wanted(spec: ServiceSpec, resolved: Resolved) -> Sizing:
    return Sizing(
        model=resolved.model,
        engine_version=resolved.engine_version,
        quantization=resolved.quantization,
        accelerator=UNPLACED,
        context=spec.context,
        concurrency=spec.concurrency,
        kv_cache_dtype=spec.kv_cache_dtype.value,
        gpu_memory_utilization=spec.gpu_memory_utilization,
        stored_bytes=resolved.source.stored_bytes if resolved.source.file else None,
        repository=resolved.source.repository,
        extras=resolved.beside.extras,
    )


def _sites(spec: ServiceSpec, stack: StackSpec, resolved: Resolved) -> Iterator[Site]:
    if not stack.pools:
        yield from (Site(machine) for machine in resolved.machines)
        return
    for name in sorted(stack.pools):
        if spec.pool in (None, name):
            pool = stack.pools[name]
            for machine in resolved.machines:
                if may_have(pool, machine, stack.target) and kind_of(machine) in pool.accelerators:
                    yield Site(machine, name, pool.max_nodes)


def _decision(
    name: str, spec: ServiceSpec, stack: StackSpec, resolved: Resolved, best: Candidate
) -> tuple[Decision, StorageChoice | None]:
    machine, gpus = best.site.machine, best.sizing.tensor_parallel if best.sizing.accelerator.gpu else 0
    pool = stack.pools.get(best.site.pool or "")
    pool_zones = zones(pool, stack.target, machine.id) if pool else stack.target.zones
    nodes = Nodes(machine, gpus, best.sizing.pipeline_parallel, pool_zones)
    kept = stored(name, spec, stack, resolved, nodes)
    downloads = stored_bytes(resolved) if kept.storage.kind == "hub" else 0
    memory = best.fit.memory
    needed = 0
    if memory:
        most_used = memory.budget_bytes - memory.kv_budget_range_bytes[0]
        needed = most_used + spec.concurrency * memory.kv_bytes_for(spec.context)
    held = (memory.held_bytes * gpus if memory else 0) + kept.buffer_bytes * gpus
    shared = resolved.beside.extras.kv_offload_bytes
    host: Host = gpu_host(machine, gpus, downloads, held, shared) if gpus else cpu_host(machine, needed, downloads)
    decided = Decision(
        model=spec.model.id,
        engine=resolved.engine,
        engine_version=resolved.engine_version,
        quantization=resolved.quantization,
        kv_cache_dtype=spec.kv_cache_dtype.value,
        source=resolved.source,
        accelerator=best.sizing.accelerator.id,
        machine_type=machine.id,
        pool=best.site.pool,
        tensor_parallel=best.sizing.tensor_parallel,
        pipeline_parallel=best.sizing.pipeline_parallel,
        context=spec.context,
        concurrency=spec.concurrency,
        storage=kept.storage,
        host=host,
        load_s=kept.load_s,
        startup_budget_s=kept.startup_budget_s,
        adapters=resolved.beside.adapters,
        speculative=resolved.beside.speculative,
        kv_offload_gib=resolved.beside.kv_offload_gib,
        **ENGINES[resolved.engine].defaults(best.sizing),
    )
    return decided, kept.choice


def _nothing_fits(path: str, spec: ServiceSpec, stack: StackSpec, resolved: Resolved, choice: Choice) -> Finding:
    if choice.unknown:
        out = "serve a model whose parts the catalog knows"
        return Finding("unknown", f"{path}.model", f"cannot be sized: {choice.unknown}", out)
    if choice.fits_unranked:
        ranked_out = [loser for loser in choice.losers if loser.why.startswith("fits, but")]
        shown = "; ".join(f"{labels}: {why}" for labels, why in list(grouped(ranked_out))[:4])
        out = "objective: cost_per_hour needs no speed" + ("; or raise the budget" if spec.budget else "")
        return Finding("objective", f"{path}.objective", f"nothing can be ranked by {spec.objective}: {shown}", out)
    if not choice.losers:
        allowed = ", ".join(spec.accelerators) or "any"
        return Finding(
            "no-machine", path, f"no machine type offers the accelerators allowed ({allowed})", _pools(stack)
        )
    tried = list(grouped(choice.losers))
    shown = "; ".join(f"{labels}: {why}" for labels, why in tried[:6])
    more = f"; and {len(tried) - 6} more kinds of machine" if len(tried) > 6 else ""
    return Finding(
        "does-not-fit", path, f"fits nothing that is allowed: {shown}{more}", _nearest(spec, stack, resolved)
    )


def _pools(stack: StackSpec) -> str:
    offered = "; ".join(f"{name}: {', '.join(pool.accelerators)}" for name, pool in sorted(stack.pools.items()))
    return f"pools offer {offered}" if offered else ""


def _nearest(spec: ServiceSpec, stack: StackSpec, resolved: Resolved) -> str:
    """The cheapest machine of the whole catalog that would do, and smaller wishes that would fit."""
    everywhere = (Site(m) for m in catalog().machines() if (kind_of(m) == "cpu") == (resolved.machines[0].gpu is None))
    outcome = choose(ENGINES[resolved.engine], _wanted(spec, resolved), everywhere, _demand(spec, stack, resolved))
    if outcome.best is None:
        return "no machine type of the catalog would hold it: lower context or concurrency, or quantize"
    best = outcome.best
    price = f", {best.usd_per_hour:.2f} USD per hour" if best.usd_per_hour is not None else ""
    return f"the nearest that would do: {best.label}{price}; or lower context or concurrency, or quantize"


__all__ = [
    "SCHEMA_VERSION",
    "Plan",
    "Reason",
    "Refused",
    "UnknownName",
    "plan",
    "replay",
    "sizing_of",
    "together",
    "wishes",
]
