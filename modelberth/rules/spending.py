"""What a stack costs, within which budget, and who is asked about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.catalog import catalog
from modelberth.catalog.schema import Price
from modelberth.clouds import labels
from modelberth.clouds.pools import NodeKind, Pool, pools
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.resources import Resource
from modelberth.rules.base import ADVICE, IN_PROD, Rule, Settings, Severity, Threshold, undecided
from modelberth.rules.evaluation import evaluate

_BUDGET = Threshold(
    "usd_per_hour",
    0.0,
    "The most that all node pools may cost per hour at list price, all nodes on; 0: no budget.",
    least=0,
)
_KEYS = Threshold(
    "required", ("owner", "model", "env", "cost-center"), "Keys of labels or tags that everything billed has to have."
)
_SHARED_KEYS = frozenset({"model"})
"""What a cluster or a balancer of many models cannot say."""
_DECIDES = ("bounds", "machine type", "capacity")


@dataclass(frozen=True)
class Cost:
    """What one pool costs at its largest. ``usd_per_hour`` is None where nobody can tell, and ``why`` says why."""

    pool: Pool[Resource]
    kind: NodeKind | None = None
    price: Price | None = None
    why: str = ""

    @property
    def usd_per_hour(self) -> float | None:
        """Of all its nodes together."""
        if self.price is None or self.pool.most_nodes is None:
            return None
        return self.pool.most_nodes * self.price.usd_per_hour

    @property
    def line(self) -> str:
        """The pool in one line, with the arithmetic."""
        if self.price is None or self.kind is None or self.usd_per_hour is None:
            return f"- {self.pool.name}: unknown, {self.why}"
        each = f"{self.pool.most_nodes} x {self.price.machine} at {self.price.usd_per_hour:.2f} ({self.price.capacity})"
        dated = f"list price of {self.price.region}, {self.price.as_of.isoformat()}"
        return f"- {self.pool.name}: {each} = {self.usd_per_hour:.2f} USD per hour; {dated}"


def _within_budget(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    budget = float(settings["usd_per_hour"])
    if not budget:
        return
    costs = [_cost(pool) for pool in pools(inventory.resources)]
    known = sum(cost.usd_per_hour or 0 for cost in costs)
    if known > budget:
        yield _over(costs, inventory, known, budget)
        return
    for cost in costs:
        doubt = cost.pool.doubt(*_DECIDES)
        if doubt:
            yield cost.pool.resource, undecided("CS-11", WITHIN_BUDGET.question, doubt.node)
        elif cost.usd_per_hour is None:
            yield cost.pool.resource, _open_ended(cost, known, budget)


def _over(costs: list[Cost], inventory: Inventory, known: float, budget: float) -> tuple[Resource, Finding]:
    dearest = max(costs, key=lambda cost: cost.usd_per_hour or 0)
    head = (
        f"the node pools cost up to {known:.2f} USD per hour, the budget is {budget:.2f}: {known - budget:.2f} too much"
    )
    message = "\n    ".join([head, *(cost.line for cost in costs), *_models(costs, inventory)])
    price, most = dearest.price, dearest.pool.most_nodes or 0
    left = budget - (known - (dearest.usd_per_hour or 0))
    fewer = int(left // price.usd_per_hour) if price and price.usd_per_hour else 0
    ways = [f"a budget of {known:.2f}"]
    if 0 < fewer < most:
        ways.insert(0, f"at most {fewer} nodes in {dearest.pool.name}")
    else:
        ways.insert(0, f"smaller machines or fewer nodes in {dearest.pool.name}")
    return dearest.pool.resource, Finding("CS-11", _path(dearest.pool), message, "; or ".join(ways))


def _open_ended(cost: Cost, known: float, budget: float) -> Finding:
    """Nothing bounds what a pool without a bound costs; a price that is missing is only said."""
    unbounded = cost.pool.bounded is False
    message = f"{known:.2f} of {budget:.2f} USD per hour are known, and what {cost.pool.name} costs is not: {cost.why}"
    remedy = "an upper bound for the pool" if unbounded else "compare its price with the budget by hand"
    return Finding("CS-11", _path(cost.pool), message, remedy, Level.ERROR if unbounded else Level.WARNING)


def _cost(pool: Pool[Resource]) -> Cost:
    """The dearest machine that a pool may choose, as often as it may."""
    if pool.bounded is False:
        return Cost(pool, why="it has no upper bound")
    if pool.most_nodes is None:
        return Cost(pool, why="how many nodes it may have is not known")
    if pool.most_nodes == 0 and pool.kinds:
        kind = pool.kinds[0]
        return Cost(pool, kind, _price(kind, pool))
    priced = [(kind, _price(kind, pool)) for kind in pool.kinds]
    missing = [kind for kind, price in priced if price is None]
    if missing or not pool.complete or not priced:
        named = sorted({kind.machine.id for kind in missing if kind.machine})
        listed = f"no price is known for {', '.join(named)}" if named else "its machine type is not in the catalog"
        return Cost(pool, why=listed if priced else "it chooses its machines itself")
    kind, price = max(priced, key=lambda each: each[1].usd_per_hour if each[1] else 0)
    return Cost(pool, kind, price)


def _price(kind: NodeKind, pool: Pool[Resource]) -> Price | None:
    if kind.machine is None:
        return None
    spot = kind.spot or pool.capacity.spot
    found = catalog().price(kind.machine.id, "spot") if spot and not pool.capacity.firm else None
    return found or catalog().price(kind.machine.id)


def _models(costs: list[Cost], inventory: Inventory) -> Iterator[str]:
    """What each model's share is: its GPUs at the price per GPU of the cheapest pool that has them."""
    for _, workload in inventory.serving:
        found, gpus, replicas = evaluate(workload), workload.replica_gpus, workload.replicas
        if not (found.model and gpus and replicas and workload.gpu):
            continue
        shares = [
            cost.price.usd_per_hour / cost.kind.gpus
            for cost in costs
            if cost.price and cost.kind and cost.kind.gpus and cost.kind.gpu == workload.gpu
        ]
        if shares:
            usd = min(shares) * gpus * replicas
            yield f"- of it {found.model.id}: {gpus * replicas} x {workload.gpu} = {usd:.2f} USD per hour"


def _path(pool: Pool[Resource]) -> str:
    return pool.bounds.path or pool.node.path or "nodes"


def _labelled(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    required: tuple[str, ...] = tuple(settings["required"])
    for resource in inventory.resources:
        kind = labels.billed(resource.type)
        if kind is None:
            continue
        stated = labels.sources(resource.node, kind)
        provider = inventory.by_urn.get(resource.options.provider)
        added = labels.of_provider(provider.node) if provider else ()
        there = {labels.plain(key) for key in (*(name for each in stated for name in each.names()), *added)}
        wanted = [key for key in required if not (kind.shared and key in _SHARED_KEYS)]
        missing = [key for key in wanted if labels.plain(key) not in there]
        if missing and not any(each.unknown for each in stated):
            message = f"nobody can tell from the bill what this is for: {', '.join(missing)} missing"
            remedy = f"{stated[0].path} with {', '.join(missing)}, or labels of the provider for everything"
            yield resource, Finding("CS-14", stated[0].path, message, remedy)


WITHIN_BUDGET = Rule(
    id="CS-11",
    name="within-budget",
    title="The node pools stay within the budget",
    question="whether the node pools stay within the budget",
    why="One node with eight GPUs costs more in a day than most services in a month.",
    remediation="Lower the upper bounds, choose smaller machines, or raise the budget on purpose.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="list prices of modelberth/catalog/prices; EKS best practices for cost, purchase options",
    across=_within_budget,
    thresholds=(_BUDGET,),
)
LABELLED = Rule(
    id="CS-14",
    name="billed-is-labelled",
    title="What is billed says whose it is",
    question="whether what is billed says whose it is",
    why="A GPU that nobody owns is never switched off.",
    remediation="Put labels or tags on the resource, or let the provider put them on everything.",
    severity=Severity.LOW,
    levels=ADVICE,
    source="requiredlabels of the Gatekeeper library; CKV_GCP_21 of checkov",
    across=_labelled,
    thresholds=(_KEYS,),
)
RULES = (WITHIN_BUDGET, LABELLED)
