"""Which machine: the cheapest that holds the service, and a reason for every other."""

from __future__ import annotations

import pytest

from modelberth import parse
from modelberth.catalog import catalog
from modelberth.engines import ENGINES
from modelberth.lock import settle
from modelberth.placement import Loser, Site, accelerator_of, choose, grouped, nodes_needed
from tests.modelberth.samples import L4_POOL, LLAMA_70B, by_path, document, plan_of, refusal, sizing_on, stack_document


def sites(*machines: str, max_nodes: int | None = None) -> tuple[Site, ...]:
    return tuple(Site(catalog().machine(machine), "pool", max_nodes) for machine in machines)


def chosen(where: tuple[Site, ...], *, replicas: int = 1, tensor_parallel: int | None = None, **fields: object):
    wanted = sizing_on("nvidia-l4", **fields)
    return choose(
        ENGINES["vllm"],
        wanted,
        where,
        typical_tokens=wanted.context,
        replicas=replicas,
        tensor_parallel=tensor_parallel,
    )


def test_the_cheapest_machine_that_holds_the_service_wins_whatever_the_order() -> None:
    names = ["g2-standard-48", "a2-highgpu-1g", "g2-standard-8", "g2-standard-4"]
    for order in (names, names[::-1]):
        choice = chosen(sites(*order), concurrency=4)
        assert choice.best is not None
        assert choice.best.site.machine.id == "g2-standard-4"
        assert next(other.site.machine.id for other in choice.others) == "g2-standard-8"


def test_costs_of_the_others_are_never_below_the_best() -> None:
    choice = chosen(tuple(Site(machine) for machine in catalog().machines()))
    assert choice.best is not None
    assert choice.best.usd_per_hour is not None
    known = [other.usd_per_hour for other in choice.others if other.usd_per_hour is not None]
    assert min(known) >= choice.best.usd_per_hour
    assert known == sorted(known)


def test_a_machine_without_a_price_is_only_taken_when_no_other_fits() -> None:
    assert catalog().price("a3-ultragpu-8g") is None
    choice = chosen(sites("a3-ultragpu-8g", "p5.48xlarge"))
    assert choice.best is not None
    assert choice.best.site.machine.id == "p5.48xlarge"
    alone = chosen(sites("a3-ultragpu-8g"))
    assert alone.best is not None
    assert alone.best.usd_per_hour is None


def test_the_fewest_gpus_that_hold_the_model_are_taken() -> None:
    sizes = {}
    for machine in ("a2-ultragpu-1g", "a2-ultragpu-2g", "a2-ultragpu-8g"):
        best = chosen(sites(machine), model=LLAMA_70B, concurrency=1).best
        sizes[machine] = best and best.sizing.tensor_parallel
    assert sizes == {"a2-ultragpu-1g": None, "a2-ultragpu-2g": 2, "a2-ultragpu-8g": 2}


def test_a_stated_size_is_kept_even_where_fewer_gpus_would_do() -> None:
    best = chosen(sites("g2-standard-48"), tensor_parallel=4).best
    assert best is not None
    assert best.sizing.tensor_parallel == 4


def test_every_site_that_is_not_chosen_has_a_reason() -> None:
    where = sites("g4dn.xlarge", "g2-standard-8", "g2-standard-24", "a2-ultragpu-1g")
    choice = chosen(where, model=LLAMA_70B, concurrency=1, tensor_parallel=2)
    reasons = {loser.label.split()[0]: loser.why for loser in choice.losers}
    assert choice.best is None
    assert reasons["g2-standard-8"] == "has 1 GPUs in a node, tensor_parallel 2 needs as many"
    assert "before any KV cache" in reasons["g2-standard-24"]
    assert set(reasons) == {site.machine.id for site in where}


def test_losers_with_the_same_reason_share_a_line() -> None:
    losers = [Loser("a", "small"), Loser("b", "small"), Loser("c", "dear"), Loser("d", "small")]
    assert list(grouped(losers)) == [("a, b and 1 more", "small"), ("c", "dear")]


@pytest.mark.parametrize(
    ("machine", "replicas", "gpus", "nodes"),
    [
        ("g2-standard-8", 3, 1, 3),
        ("g2-standard-48", 4, 1, 1),
        ("g2-standard-48", 5, 1, 2),
        ("g2-standard-48", 2, 4, 2),
        ("g2-standard-48", 3, 2, 2),
        ("c3-standard-8", 2, 0, 2),
    ],
)
def test_replicas_share_a_node_as_far_as_its_gpus_go(machine: str, replicas: int, gpus: int, nodes: int) -> None:
    assert nodes_needed(replicas, gpus, catalog().machine(machine)) == nodes


def test_a_pool_that_is_too_small_for_the_replicas_says_how_many_nodes_they_need() -> None:
    choice = chosen(sites("g2-standard-8", max_nodes=2), replicas=3, concurrency=1)
    assert choice.best is None
    assert [loser.why for loser in choice.losers] == ["needs 3 nodes, pool pool may have 2"]


def test_services_that_share_a_pool_are_counted_together() -> None:
    services = {name: document(pool="l4", concurrency=1) for name in ("chat", "draft", "third")}
    spec = parse.stack(stack_document(services, pools={"l4": L4_POOL}))
    finding = by_path(refusal(lambda: settle(spec, {})))["pools.l4.max_nodes"]
    assert finding.message == "services need 3 nodes (chat 1, draft 1, third 1), the pool may have 2"
    assert finding.remedy.startswith("max_nodes: 3")


def test_a_volume_for_one_node_cannot_serve_several_replicas() -> None:
    (finding,) = refusal(lambda: plan_of(replicas=2))
    assert finding.message == "2 replicas on several nodes cannot share a ReadWriteOnce volume"


@pytest.mark.parametrize("store", [{"kind": "hub"}, {"kind": "claim", "access_mode": "ReadWriteMany"}])
def test_weights_that_every_node_can_reach_serve_several_replicas(store: dict[str, str]) -> None:
    made = plan_of(keys={"weights": {"w": store}}, weights="w", replicas=2)
    assert made.spec.replicas == made.nodes == 2


def test_a_cpu_node_offers_what_kubernetes_and_the_system_leave() -> None:
    machine = catalog().machine("c3-standard-8")
    assert accelerator_of(machine).id == "cpu"
    assert accelerator_of(machine).memory_bytes < machine.memory_gib * 2**30 * 0.85
