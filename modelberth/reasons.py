"""Why a plan chose what it chose, and why what also fits was not taken."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.fabric import crossing, fabric_of
from modelberth.memory import shape_of
from modelberth.names import Objective
from modelberth.placement import Candidate, Choice, Loser, exchange_cost, replicas_per_node
from modelberth.resolve import Reason
from modelberth.spec import ServiceSpec


def reasons_for(spec: ServiceSpec, best: Candidate, choice: Choice) -> Iterator[Reason]:
    """Machine type, tensor parallel size and how replicas share nodes."""
    yield Reason("machine type", best.site.machine.id, _why_best(spec.objective, best, len(choice.others) + 1))
    if not best.sizing.accelerator.gpu:
        return
    size = best.sizing.tensor_parallel
    stated = "the fewest GPUs that hold the model, its KV cache and the rest"
    if best.stages > 1:
        stated = "the GPUs of a node"
    if spec.tensor_parallel:
        stated = "as stated"
    elif spec.objective is not Objective.COST_PER_HOUR:
        stated = f"best by {spec.objective}"
    exchange = exchange_cost(best.site.machine, best.sizing.model, size, spec.context)
    yield Reason("tensor parallel size", str(size), f"{stated}; {exchange}" if exchange else stated)
    if best.stages > 1:
        yield Reason("pipeline parallel size", str(best.stages), _why_stages(spec, best))
        return
    many = replicas_per_node(size, best.site.machine)
    if many > 1:
        count = best.site.machine.gpu_count
        why = f"a node has {count} GPUs, a replica takes {size}: up to {many} replicas share a node"
        yield Reason("replicas", str(spec.most_replicas), why)


def _why_best(objective: Objective, best: Candidate, fitting: int) -> str:
    price = "no price is known"
    if best.usd_per_hour is not None:
        price = f"{best.usd_per_hour:.2f} USD per hour on demand"
    if best.speed and objective is Objective.COST_PER_TOKEN:
        tokens = f"{best.usd_per_million_tokens:.2f} USD per million tokens, prompts and answers counted"
        return f"cheapest per token of {fitting} that fit, {tokens}; {price}"
    if best.speed and objective is Objective.LATENCY:
        return f"fastest of {fitting} that fit, {best.speed.tpot_ms:.1f} ms per output token; {price}"
    if best.usd_per_hour is None:
        return "smallest that fits; no price is known"
    return f"cheapest of {fitting} that fit, {price}" if fitting > 1 else f"the only one that fits, {price}"


def _why_stages(spec: ServiceSpec, best: Candidate) -> str:
    """Why several nodes share a copy, over what, and what passes between them."""
    machine = best.site.machine
    stated = "as stated" if spec.pipeline_parallel else "no single node of what is allowed holds the model"
    passes = crossing(machine, shape_of(best.sizing.model), spec.tokens_per_request)
    return f"{stated}; one node after another computes each token, joined by {fabric_of(machine)}: {passes}"


def over_nodes(best: Candidate, other: Candidate) -> Loser:
    """What would take several nodes for one copy."""
    if best.stages > 1:
        return also_fits(best, other, Objective.COST_PER_HOUR)
    price = f" for {other.usd_per_hour:.2f} USD per hour" if other.usd_per_hour is not None else ""
    why = f"fits only with {other.stages} nodes per replica{price}; pipeline_parallel: {other.stages} would take it"
    return Loser(other.label, why)


def also_fits(best: Candidate, other: Candidate, objective: Objective) -> Loser:
    """What the best one beat, and by how much."""
    if other.speed and objective is Objective.COST_PER_TOKEN:
        return Loser(other.label, f"fits, but costs {other.usd_per_million_tokens:.2f} USD per million tokens")
    if other.speed and objective is Objective.LATENCY:
        return Loser(other.label, f"fits, but takes {other.speed.tpot_ms:.1f} ms per output token")
    if other.usd_per_hour is None:
        return Loser(other.label, "fits, but no price is known")
    if best.usd_per_hour is not None and other.usd_per_hour > best.usd_per_hour:
        more = other.usd_per_hour - best.usd_per_hour
        return Loser(other.label, f"fits, but costs {more:.2f} USD per hour more")
    return Loser(other.label, "fits for the same price with more than is needed")
