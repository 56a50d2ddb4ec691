"""A plan as people and machines read it: aligned text, Markdown, JSON. Figures only, no judgement of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from modelberth.costs import Bill, Cost
from modelberth.decision import digest
from modelberth.fit import Fit
from modelberth.lock import Settled, advice
from modelberth.placement import Loser, grouped
from modelberth.plan import SCHEMA_VERSION, Plan
from modelberth.pools import PoolPlan
from modelberth.quotas import NONE, Quotas, Wanted, shown
from modelberth.rollout import Rollout
from modelberth.scaling import Scaling
from modelberth.speed import Speed
from modelberth.units import GIB, duration, gib, tokens

Row = tuple[str, str, str]


def as_json(settled: Settled) -> dict[str, Any]:
    """Every figure of every plan, with a schema version. Units are in the names."""
    return {
        "schema_version": SCHEMA_VERSION,
        "services": {plan.service: _service_json(plan) for plan in settled.plans},
        "usd_per_hour": total_usd_per_hour(settled.plans),
        "pools": {pool.name: _pool_json(pool) for pool in settled.pools},
        "pool_changes": [str(change) for change in settled.pool_changes],
        "cost": bill_json(settled.bill) if settled.bill.costs else None,
        "quotas": _quotas_json(settled.quotas),
        "better_plan": [str(change) for change in settled.better],
        "findings": [
            {"code": f.code, "level": f.level.value, "path": f.path, "message": f.message, "remedy": f.remedy}
            for f in advice(settled)
        ],
    }


def total_usd_per_hour(plans: Iterable[Plan]) -> float | None:
    """The sum over services; None as soon as one is unknown."""
    prices = [plan.usd_per_hour for plan in plans]
    return round(sum(p for p in prices if p is not None), 4) if None not in prices else None


def _service_json(plan: Plan) -> dict[str, Any]:
    return {
        "decision": plan.decision.model_dump(mode="json"),
        "digest": digest(plan.decision),
        "locked": plan.locked,
        "replicas": plan.spec.most_replicas,
        "scaling": plan.scaling and _scaling_json(plan.scaling),
        "nodes": plan.nodes,
        "usd_per_hour": plan.usd_per_hour,
        "usd_per_million_tokens": plan.usd_per_million_tokens,
        "speed": speed_json(plan.speed),
        "price_as_of": plan.price_as_of,
        "fit": fit_json(plan.fit),
        "image": plan.launch.image,
        "args": list(plan.launch.args),
        "rollout": asdict(plan.rollout),
        "url": plan.door.url if plan.door else None,
        "reasons": [{"subject": r.subject, "choice": r.choice, "why": r.why} for r in plan.reasons],
        "losers": [{"option": loser.label, "why": loser.why} for loser in plan.losers],
    }


def _scaling_json(scaling: Scaling) -> dict[str, Any]:
    return {
        "min": scaling.min,
        "max": scaling.max,
        "signal": scaling.signal.value,
        "metric": scaling.metric.name if scaling.metric else None,
        "threshold": scaling.threshold,
        "scaler": scaling.scaler.value,
        "cooldown_s": scaling.cooldown_s,
    }


def speed_json(found: Speed | None) -> dict[str, Any] | None:
    """Speed under the stated traffic with its ranges; the reason where it is not known; None where none was asked."""
    if found is None:
        return None
    if found.tpot_ms is None:
        return {"reason": found.reason}
    return {
        "tpot_ms": found.tpot_ms,
        "tpot_range_ms": found.tpot_range_ms,
        "ttft_ms": found.ttft_ms,
        "ttft_range_ms": found.ttft_range_ms,
        "output_tokens_per_s": found.output_tokens_per_s,
        "output_tokens_per_s_range": found.output_tokens_per_s_range,
    }


def speed_words(found: Speed) -> str:
    """The same in one line."""
    if found.tpot_ms is None or found.ttft_ms is None or found.output_tokens_per_s is None:
        return found.reason or "not known"
    each = f"{found.tpot_ms:.1f} ms per output token, the first after {found.ttft_ms:,.0f} ms"
    return f"{each}, {found.output_tokens_per_s:,.0f} output tokens per second"


def fit_json(fit: Fit) -> dict[str, Any]:
    """One fit, per accelerator."""
    memory = fit.memory
    return {
        "verdict": fit.verdict.value,
        "why": fit.why,
        "largest_context_tokens": fit.largest_context,
        "requests": fit.requests,
        "request_tokens": fit.request_tokens,
        "spare_bytes": fit.spare_bytes,
        "memory": memory
        and {
            "capacity_bytes": memory.capacity_bytes,
            "budget_bytes": memory.budget_bytes,
            "terms": [
                {"name": t.name, "bytes": t.amount_bytes, "why": t.why, "source": t.source} for t in memory.terms
            ],
            "kv_bytes_per_token": memory.kv_bytes_per_token,
            "kv_budget_bytes": memory.kv_budget_bytes,
            "kv_budget_range_bytes": list(memory.kv_budget_range_bytes),
            "kv_tokens": memory.kv_tokens,
        },
    }


def as_text(settled: Settled) -> str:
    """Aligned tables: per service what was decided, the memory of one accelerator, why, and what lost."""
    return "\n".join(_lines(settled, table, heading="{}"))


def as_markdown(settled: Settled) -> str:
    """The same for pull requests."""
    return "\n".join(_lines(settled, _markdown_table, heading="### {}"))


def _lines(settled: Settled, draw: Any, heading: str) -> Iterator[str]:
    for plan in settled.plans:
        yield heading.format(title(plan))
        yield ""
        yield from draw(("", "decided", "why"), decided(plan))
        yield ""
        yield from draw(("memory of one " + _unit(plan), "GiB", "arithmetic"), memory_rows(plan.fit))
        yield ""
        if plan.stores:
            yield from (f"  {line}" for line in plan.stores.lines())
            yield ""
        if plan.losers:
            yield from draw(("instead of", "", "because"), [(option, "", why) for option, why in _losers(plan.losers)])
            yield ""
    yield from _pools_and_bill(settled, draw, heading)
    for finding in advice(settled):
        yield f"{finding.level}: {finding.path}: {finding.message}" + (f" ({finding.remedy})" if finding.remedy else "")
    yield f"total: {_total(settled)}"


def _total(settled: Settled) -> str:
    """What all costs: the bill where the stack makes what it pays for, else the machines of the services."""
    if not (known := settled.bill).costs:
        return _machines(settled.plans)
    more = f"; unknown: {', '.join(known.unknown)}" if known.unknown else ""
    return f"{known.usd_per_hour:.2f} USD per hour, {known.usd_per_month:,.0f} per month, as far as it is known{more}"


def _machines(plans: Iterable[Plan]) -> str:
    cost = total_usd_per_hour(plans)
    return f"{cost:.2f} USD per hour on demand" if cost is not None else "no price is known for every machine"


def _pools_and_bill(settled: Settled, draw: Any, heading: str) -> Iterator[str]:
    """Node pools that are made, and what the whole stack costs component by component."""
    if settled.pools:
        yield heading.format("node pools")
        yield ""
        yield from draw(("pool", "nodes", "how"), [_pool_row(pool) for pool in settled.pools])
        yield ""
    if settled.bill.costs:
        yield heading.format("cost")
        yield ""
        yield from draw(("component", "USD per hour", "because"), [_cost_row(cost) for cost in settled.bill.costs])
        yield f"  the services' machines alone, at list price: {_machines(settled.plans)}"
        yield ""
    if rows := [*_quota_rows(settled.quotas)]:
        yield heading.format("quotas of the account")
        yield ""
        yield from draw(("quota", "needed", "by the services' nodes; at most by max_nodes in every way"), rows)
        yield ""


def _quota_rows(quotas: Quotas) -> Iterator[Row]:
    for each in quotas.wanted:
        yield shown(each), str(each.need.amount), f"{each.need.told}, at most {each.at_most}: {', '.join(each.paths)}"
    for gap in quotas.unknown:
        yield f"of {gap.machine_type}, {gap.capacity}", "unknown", f"no source says which it is: {gap.path}"


def _quotas_json(quotas: Quotas) -> dict[str, Any] | None:
    """Each quota with what is wanted of it, and nodes of which nobody knows what they count against."""
    wanted = [_quota_json(each) for each in quotas.wanted]
    return {"wanted": wanted, "unknown": [asdict(gap) for gap in quotas.unknown]} if quotas != NONE else None


def _quota_json(each: Wanted) -> dict[str, Any]:
    need = each.need
    amounts = {f"needed_{need.unit}": need.amount, f"at_most_{need.unit}": each.at_most}
    return {"name": need.name, "code": need.code, "region": each.region, **amounts, "paths": list(each.paths)}


def _pool_row(pool: PoolPlan) -> Row:
    ways = ", ".join(f"{way.capacity} {way.min_nodes} to {way.max_nodes}" for way in pool.ways)
    nodes = f"{pool.needed_nodes} x {pool.machine.id}"
    reserved = f" from {pool.reservation.name}" if pool.reservation else ""
    close = ", close together" if pool.several_nodes else ""
    return (
        pool.name,
        nodes,
        f"{ways}{reserved}; {', '.join(pool.zones)}{close}; boot disk {pool.decision.boot_disk_gib} GiB",
    )


def _cost_row(cost: Cost) -> Row:
    figure = "unknown" if cost.usd_per_hour is None else f"{cost.usd_per_hour:.4f}"
    return cost.component, figure, cost.why + (f" of {cost.as_of}" if cost.as_of else "")


def bill_json(bill: Bill) -> dict[str, Any]:
    """What a stack costs, for programs: components, sums of what is known, and what is not."""
    rows = [{**asdict(cost), "usd_per_month": cost.usd_per_month} for cost in bill.costs]
    return {
        "components": rows,
        "known_usd_per_hour": round(bill.usd_per_hour, 4),
        "known_usd_per_month": round(bill.usd_per_month, 2),
        "unknown": list(bill.unknown),
    }


def _pool_json(pool: PoolPlan) -> dict[str, Any]:
    return {
        "decision": pool.decision.model_dump(mode="json"),
        "needed_nodes": pool.needed_nodes,
        "node_pools": [asdict(way) for way in pool.ways],
    }


def title(plan: Plan) -> str:
    """One line: what is served and on what."""
    decision = plan.decision
    hardware = f"{plan.nodes} x {decision.machine_type}"
    return f"{plan.service}: {decision.model} on {hardware} with {decision.engine} {decision.engine_version}"


def decided(plan: Plan) -> list[Row]:
    """The decisions of a plan with their reasons."""
    decision, why = plan.decision, {reason.subject: reason.why for reason in plan.reasons}
    locked = "locked" if plan.locked else ""
    budget = duration(decision.startup_budget_s)
    asked = f"; the spec asks {tokens(plan.spec.context)}" if plan.spec.context < decision.context else ""
    rows = [
        ("engine", f"{decision.engine} {decision.engine_version}", why.get("engine", locked)),
        ("weights", f"{decision.quantization}, {gib(decision.source.stored_bytes)} stored", _stored_where(plan, why)),
        ("machine type", f"{plan.nodes} x {decision.machine_type}", why.get("machine type", locked)),
    ]
    if decision.on_gpu:
        size = f"{decision.tensor_parallel}"
        rows.append(("tensor parallel size", size, why.get("tensor parallel size", locked)))
    if decision.pipeline_parallel > 1:
        stages = str(decision.pipeline_parallel)
        rows.append(("pipeline parallel size", stages, why.get("pipeline parallel size", locked)))
    rows += [
        ("context", f"{tokens(decision.context)} tokens", f"one request may hold{asked}"),
        ("concurrency", f"{decision.concurrency} requests", plan.fit.why),
        *_beside(plan),
        ("storage", _storage(plan), f"filled once in about {duration(plan.fetch_s)}" if plan.launch.fetch else ""),
        ("start-up", duration(decision.load_s), f"once weights are there; given up after {budget}"),
        *_shared(plan, why),
        *([("autoscaling", f"{plan.scaling.words} ({plan.scaling.scaler})", plan.scaling.why)] if plan.scaling else []),
        ("rollout", _steps(plan.rollout), plan.rollout.why),
        *([("door", plan.door.summary, plan.door.why)] if plan.door else []),
        *([("speed", "of one replica", speed_words(plan.speed))] if plan.speed else []),
        ("cost", _cost(plan), f"list price of {plan.price_as_of}" if plan.price_as_of else "unknown"),
    ]
    return rows


def _beside(plan: Plan) -> list[Row]:
    """What is served beside the model."""
    decision, spec, rows = plan.decision, plan.spec, list[Row]()
    if decision.adapters:
        names = ", ".join(adapter.name for adapter in decision.adapters)
        rows.append(("adapters", names, "fetched beside the weights; one more or another revision restarts the pods"))
    drafting = decision.speculative
    if drafting:
        by = f" by {drafting.model}" if drafting.model else ""
        rows.append(("drafts", f"{drafting.method}{by}", f"{drafting.tokens} tokens proposed at a time, as stated"))
    if spec.tool_call_parser:
        rows.append(("tool calls", spec.tool_call_parser, "read from the text by this parser, as stated"))
    if spec.reasoning_parser:
        rows.append(("reasoning", spec.reasoning_parser, "told from the answer by this parser, as stated"))
    if decision.kv_offload_gib:
        rows.append(("KV offload", f"{decision.kv_offload_gib} GiB", "of the node's memory, for KV cache that leaves"))
    return rows


def _shared(plan: Plan, why: dict[str, str]) -> list[Row]:
    """Replicas, where there are several or a node has room for several."""
    if "replicas" not in why:
        return []
    return [("replicas", str(plan.spec.most_replicas), why["replicas"])]


def _steps(rollout: Rollout) -> str:
    return "surge 1" if rollout.max_surge else "one at a time"


def _stored_where(plan: Plan, why: dict[str, str]) -> str:
    fallen = why.get("fallback")
    return f"{fallen}: {_source(plan)}" if fallen else _source(plan)


def _source(plan: Plan) -> str:
    source = plan.decision.source
    name = f"{source.repository}/{source.file}" if source.file else source.repository
    return f"{name} @ {source.revision[:12]}" if source.revision else name


def _storage(plan: Plan) -> str:
    storage = plan.decision.storage
    size = f" of {storage.size_gib} GiB" if storage.size_gib else ""
    return f"{storage.kind}{size}" + (f" ({storage.store})" if storage.store else "")


def _cost(plan: Plan) -> str:
    if plan.usd_per_hour is None:
        return "unknown"
    each = f", {plan.usd_per_million_tokens:.2f} per million tokens" if plan.usd_per_million_tokens else ""
    most = f" with all {plan.scaling.max} replicas" if plan.scaling and plan.scaling.max > 1 else ""
    return f"{plan.usd_per_hour:.2f} USD per hour{most}{each}"


def memory_rows(fit: Fit) -> list[Row]:
    """The memory of one accelerator, term by term."""
    memory = fit.memory
    if memory is None:
        return [("unknown", "", fit.why)]
    share = f"{memory.budget_bytes / memory.capacity_bytes:.2f} of {memory.capacity_bytes / GIB:,.2f} GiB visible"
    rows: list[Row] = [("budget", f"{memory.budget_bytes / GIB:,.2f}", share)]
    rows += [(f"- {term.name}", f"{term.amount_bytes / GIB:,.2f}", term.why) for term in memory.terms]
    rows.append(
        (
            "= KV cache",
            f"{memory.kv_budget_bytes / GIB:,.2f}",
            f"{tokens(memory.kv_tokens)} tokens at {memory.kv_bytes_per_token:,} B each: {memory.kv_why}",
        )
    )
    low, high = memory.kv_budget_range_bytes
    rows.append(
        ("  at least", f"{low / GIB:,.2f}", f"on nine starts in ten, at most {high / GIB:,.2f}: sized for the least")
    )
    if fit.spare_bytes is not None:
        rows.append(("  left over", f"{fit.spare_bytes / GIB:,.2f}", "when all requests are held"))
    return rows


def _unit(plan: Plan) -> str:
    return "GPU" if plan.decision.on_gpu else "node"


def _losers(losers: Sequence[Loser]) -> Iterator[tuple[str, str]]:
    """Losers grouped by their reason, at most five groups."""
    groups = list(grouped(losers))
    yield from groups[:5]
    if len(groups) > 8:
        yield f"{len(groups) - 8} more kinds of machine", "see --json"


def table(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    """An aligned text table; a middle column of figures is right-aligned."""
    columns = [head, *rows]
    first = max(len(row[0]) for row in columns)
    second = max(len(row[1]) for row in columns)
    number = all(_is_figure(row[1]) for row in rows)
    for row in columns:
        middle = row[1].rjust(second) if number else row[1].ljust(second)
        yield f"  {row[0].ljust(first)}  {middle}  {row[2]}".rstrip()


def _is_figure(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").isdigit()


def _markdown_table(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---|---|---|"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
