"""The command ``modelberth fit``: does a model fit a GPU, or which GPU and machine of the whole catalog holds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from modelberth import report
from modelberth.catalog import catalog
from modelberth.engines.choice import DEFAULT
from modelberth.errors import ModelberthError, UnknownName, suggest
from modelberth.findings import Level
from modelberth.fit import Verdict
from modelberth.names import Objective
from modelberth.objective import Goal, speed_of
from modelberth.placement import Candidate, Demand, exchange_cost, grouped
from modelberth.search import Cards, Question, Search, longest_context, most_requests, question, search, tried
from modelberth.speed import Speed, Traffic
from modelberth.units import tokens

SCHEMA_VERSION = 1
MOST_ROWS = 12
MOST_REASONS = 8


def fit_command(
    model: Annotated[str, typer.Argument(help="Model id, or a repository that stores it in another format.")],
    gpu: Annotated[str | None, typer.Option("--gpu", help="GPU id; default: the whole catalog is searched.")] = None,
    tensor_parallel: Annotated[
        int | None,
        typer.Option("--tensor-parallel", "--tp", min=1, help="GPUs per replica; default: the fewest that fit."),
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens one request may hold; default: the model's maximum.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests held at once.")] = 1,
    typical_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a request; default: context.")] = None,
    quantization: Annotated[str | None, typer.Option(help="Format of the weights; default: as stored.")] = None,
    kv_cache_dtype: Annotated[str, typer.Option(help="Type of the KV cache.")] = "auto",
    engine: Annotated[str, typer.Option(help="Engine id.")] = DEFAULT,
    objective: Annotated[str, typer.Option(help="cost_per_hour, cost_per_token or latency.")] = "cost_per_hour",
    input_tokens: Annotated[int | None, typer.Option(min=1, help="Prompt tokens of one request, for speed.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of one answer, for speed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Does a model fit: with how much context, how many requests, on which GPUs and machines, and at what price."""
    goal = _goal(objective, concurrency, input_tokens, output_tokens)
    demand = Demand(typical_tokens, tensor_parallel=tensor_parallel, goal=goal)
    asked = question(
        model,
        engine,
        demand,
        context=context,
        concurrency=concurrency,
        quantization=quantization,
        kv_cache_dtype=kv_cache_dtype,
    )
    if gpu is None:
        holds = _everywhere(search(asked), as_json)
    else:
        holds = _on_one(asked, tried(asked, catalog().gpu(gpu), tensor_parallel), as_json)
    if not holds:
        raise typer.Exit(1)


def _goal(objective: str, concurrency: int, input_tokens: int | None, output_tokens: int | None) -> Goal:
    if objective not in list(Objective):
        known = [each.value for each in Objective]
        raise UnknownName("objective", objective, suggest(objective, known) or known)
    if (input_tokens is None) != (output_tokens is None):
        raise ModelberthError("speed needs both --input-tokens and --output-tokens")
    wanted = Objective(objective)
    if input_tokens is None or output_tokens is None:
        if wanted is not Objective.COST_PER_HOUR:
            raise ModelberthError(f"objective {wanted} needs --input-tokens and --output-tokens")
        return Goal()
    return Goal(wanted, Traffic(concurrency, input_tokens, output_tokens))


def _on_one(asked: Question, answers: list[Cards], as_json: bool) -> bool:
    last = answers[-1]
    fits = last.fit.verdict is Verdict.FITS
    largest = longest_context(asked, last) if fits else None
    most = most_requests(asked, last) if fits else None
    found = _speed(asked, last)
    if as_json:
        content = {"schema_version": SCHEMA_VERSION, "tensor_parallel": last.count, **report.fit_json(last.fit)}
        content |= {
            "largest_context_at_concurrency_tokens": largest,
            "most_requests": most,
            "speed": report.speed_json(found),
        }
        typer.echo(json.dumps(content, indent=1))
        return fits
    for each in answers:
        typer.echo(f"{each.label}: {each.fit.verdict}, {each.fit.why}")
    if last.fit.memory and last.fit.memory.assumes:
        typer.echo(f"assumes {last.fit.memory.assumes}")
    typer.echo("\n".join(report.table(("memory of one GPU", "GiB", "arithmetic"), report.memory_rows(last.fit))))
    if largest and most:
        at_once = asked.sizing.concurrency or 1
        held = f"{tokens(most)} of {tokens(last.fit.request_tokens or 0)} tokens"
        typer.echo(f"largest context with {at_once} at once: {tokens(largest)}; most requests at once: {held}")
    if found:
        typer.echo(f"speed: {report.speed_words(found)}")
    for note in last.fit.notes:
        if note.level is not Level.ERROR:
            typer.echo(f"{note.level}: {note.message}")
    return fits


def _speed(asked: Question, cards: Cards) -> Speed | None:
    traffic, memory = asked.demand.goal.traffic, cards.fit.memory
    if traffic is None or memory is None:
        return None
    return speed_of(asked.engine.name, cards.placed(asked.sizing), memory, traffic)


def _everywhere(found: Search, as_json: bool) -> bool:
    typer.echo(json.dumps(_search_json(found), indent=1) if as_json else "\n".join(_search_text(found)))
    return bool(found.ranked) or found.smallest is not None


def _search_text(found: Search) -> Iterator[str]:
    asked = found.question.sizing
    held = f"{tokens(asked.context)} tokens of context, {tokens(asked.concurrency or 1)} at once"
    engine = f"{found.question.engine.name} {asked.engine_version}"
    yield f"{asked.model.id} as {asked.quantization} with {engine}: {held}"
    single, smallest = found.cheapest_single, found.smallest
    yield (
        f"smallest: {smallest.label}, {smallest.memory_gib:,.0f} GiB" if smallest else "no GPU of the catalog holds it"
    )
    if single:
        yield f"cheapest single GPU: {single.label}, {single.usd_per_hour:.2f} USD per hour"
    yield ""
    if found.ranked:
        rows = [(each.label, _price(each), _merits(each)) for each in found.ranked[:MOST_ROWS]]
        yield from report.table(("machine type", "USD per hour", "holds"), rows)
        if len(found.ranked) > MOST_ROWS:
            yield f"  and {len(found.ranked) - MOST_ROWS} more: see --json"
        yield ""
    rows = [(each.label, each.fit.verdict.value, each.fit.why) for each in found.cards if _unsold(each)]
    yield from report.table(("GPUs without a machine type", "", ""), rows)
    yield ""
    reasons = list(grouped(found.losers))
    yield from report.table(("not", "", "because"), [(names, "", why) for names, why in reasons[:MOST_REASONS]])
    if len(reasons) > MOST_REASONS:
        yield f"  and {len(reasons) - MOST_REASONS} more reasons: see --json"


def _unsold(cards: Cards) -> bool:
    return not catalog().machines(gpu=cards.gpu.id)


def _price(candidate: Candidate) -> str:
    return f"{candidate.usd_per_hour:.2f}" if candidate.usd_per_hour is not None else "unknown"


def _merits(candidate: Candidate) -> str:
    merits = [candidate.fit.why.removeprefix("holds ")]
    if candidate.usd_per_million_tokens is not None:
        merits.append(f"{candidate.usd_per_million_tokens:.2f} USD per million tokens")
    if candidate.speed and candidate.speed.tpot_ms:
        merits.append(report.speed_words(candidate.speed))
    sizing, machine = candidate.sizing, candidate.site.machine
    merits.append(exchange_cost(machine, sizing.model, sizing.tensor_parallel, sizing.context))
    return "; ".join(filter(None, merits))


def _search_json(found: Search) -> dict[str, Any]:
    asked, smallest, single = found.question.sizing, found.smallest, found.cheapest_single
    return {
        "schema_version": SCHEMA_VERSION,
        "model": asked.model.id,
        "engine": found.question.engine.name,
        "engine_version": asked.engine_version,
        "quantization": asked.quantization,
        "context_tokens": asked.context,
        "concurrency": asked.concurrency,
        "objective": found.question.demand.goal.objective.value,
        "smallest": smallest and {"gpu": smallest.gpu.id, "gpus": smallest.count},
        "cheapest_single_gpu": single and single.site.machine.id,
        "machines": [_candidate_json(each) for each in found.ranked],
        "gpus": [
            {"gpu": each.gpu.id, "gpus": each.count, "verdict": each.fit.verdict.value, "why": each.fit.why}
            for each in found.cards
        ],
        "losers": [{"option": loser.label, "why": loser.why} for loser in found.losers],
    }


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "machine_type": candidate.site.machine.id,
        "cloud": candidate.site.machine.cloud,
        "accelerator": candidate.sizing.accelerator.id,
        "tensor_parallel": candidate.sizing.tensor_parallel,
        "pipeline_parallel": candidate.stages,
        "nodes": candidate.nodes,
        "usd_per_hour": candidate.usd_per_hour,
        "usd_per_million_tokens": candidate.usd_per_million_tokens,
        "largest_context_tokens": candidate.fit.largest_context,
        "requests": candidate.fit.requests,
        "speed": report.speed_json(candidate.speed),
    }
