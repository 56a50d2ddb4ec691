"""Which machine: the cheapest that holds the service, and a reason for every other."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth import parse
from modelberth.catalog import catalog
from modelberth.engines import ENGINES
from modelberth.errors import ModelberthError
from modelberth.lock import settle
from modelberth.names import Objective
from modelberth.objective import Goal, usd_per_million_tokens
from modelberth.placement import (
    Candidate,
    Choice,
    Demand,
    Loser,
    Site,
    accelerator_of,
    choose,
    exchange_cost,
    grouped,
    kind_of,
    nodes_needed,
    replicas_per_node,
)
from modelberth.speed import Speed, Traffic
from tests.modelberth.samples import (
    L4_POOL,
    LLAMA_70B,
    by_path,
    document,
    plan_of,
    refusal,
    sizing_on,
    stack_document,
)

CHAT = Traffic(requests=8, input_tokens=1000, output_tokens=300)
EVERYWHERE = tuple(Site(machine) for machine in catalog().machines() if machine.gpu)


def sites(*machines: str, max_nodes: int | None = None) -> tuple[Site, ...]:
    return tuple(Site(catalog().machine(machine), "pool", max_nodes) for machine in machines)


def chosen(
    where: tuple[Site, ...],
    *,
    replicas: int = 1,
    tensor_parallel: int | None = None,
    goal: Goal | None = None,
    **fields: Any,
) -> Choice:
    wanted = sizing_on("nvidia-l4", **{"concurrency": 1} | fields)
    demand = Demand(wanted.context, replicas, tensor_parallel, goal=goal or Goal())
    return choose(ENGINES["vllm"], wanted, where, demand)


def best_of(choice: Choice) -> Candidate:
    assert choice.best is not None
    return choice.best


def every(choice: Choice) -> tuple[Candidate, ...]:
    return (best_of(choice), *choice.others)


def test_the_cheapest_machine_that_holds_the_service_wins_whatever_the_order() -> None:
    names = ["g2-standard-48", "a2-highgpu-1g", "g2-standard-8", "g2-standard-4"]
    for order in (names, names[::-1]):
        choice = chosen(sites(*order))
        assert best_of(choice).site.machine.id == "g2-standard-4"
        assert next(other.site.machine.id for other in choice.others) == "g2-standard-8"


def test_costs_of_the_others_are_never_below_the_best() -> None:
    choice = chosen(EVERYWHERE)
    known = [each.usd_per_hour for each in every(choice) if each.usd_per_hour is not None]
    assert known == sorted(known)
    assert len(known) > 20


def test_a_machine_without_a_price_is_only_taken_when_no_other_fits() -> None:
    assert catalog().price("a3-ultragpu-8g") is None
    assert best_of(chosen(sites("a3-ultragpu-8g", "p5.48xlarge"))).site.machine.id == "p5.48xlarge"
    assert best_of(chosen(sites("a3-ultragpu-8g"))).usd_per_hour is None


def test_the_fewest_gpus_that_hold_the_model_are_taken() -> None:
    sizes = {}
    for machine in ("a2-ultragpu-1g", "a2-ultragpu-2g", "a2-ultragpu-8g"):
        best = chosen(sites(machine), model=LLAMA_70B, context=4096).best
        sizes[machine] = best and best.sizing.tensor_parallel
    assert sizes == {"a2-ultragpu-1g": None, "a2-ultragpu-2g": 2, "a2-ultragpu-8g": 2}


def test_a_stated_size_is_kept_even_where_fewer_gpus_would_do() -> None:
    assert best_of(chosen(sites("g2-standard-48"), tensor_parallel=4)).sizing.tensor_parallel == 4


def test_every_site_that_is_not_chosen_has_a_reason() -> None:
    where = sites("g4dn.xlarge", "g2-standard-8", "g2-standard-24", "a2-ultragpu-1g", "g6f.xlarge")
    choice = chosen(where, model="meta-llama/Llama-3.1-405B-Instruct", tensor_parallel=2)
    reasons = {loser.label.split()[0]: loser.why for loser in choice.losers}
    assert choice.best is None
    assert reasons["g2-standard-8"] == "has 1 GPUs in a node, tensor_parallel 2 needs as many"
    assert "before any KV cache" in reasons["g2-standard-24"]
    assert set(reasons) == {site.machine.id for site in where}


def test_every_machine_of_the_catalog_is_taken_or_has_its_reason() -> None:
    choice = chosen(tuple(Site(machine) for machine in catalog().machines()), model=LLAMA_70B)
    seen = {each.site.machine.id for each in (*every(choice), *choice.spanning)}
    seen |= {loser.label.split()[0] for loser in choice.losers}
    assert seen == {machine.id for machine in catalog().machines()}
    assert all(loser.why for loser in choice.losers)


def test_a_slice_of_a_gpu_goes_by_its_gpu_and_holds_nothing() -> None:
    machine = catalog().machine("g6f.xlarge")
    assert kind_of(machine) == "nvidia-l4"
    with pytest.raises(ModelberthError, match="a part of one NVIDIA L4: nothing is sized"):
        accelerator_of(machine)


def test_a_machine_whose_node_is_not_known_loses_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalog().machine("g6.xlarge")
    unknown = Site(known.model_copy(update={"id": "g9.large"}))
    choice = chosen((unknown, *sites("g2-standard-8")))
    assert best_of(choice).site.machine.id == "g2-standard-8"
    assert [loser.label for loser in choice.losers] == ["g9.large"]


def test_a_gpu_that_lacks_the_number_format_says_so() -> None:
    (loser,) = chosen(sites("g4dn.xlarge")).losers
    assert loser.why.endswith("bfloat16 needs compute capability 8.0")


def test_a_size_that_does_not_divide_the_heads_is_not_the_reason_where_memory_is() -> None:
    choice = chosen(sites("g2-standard-96"), model="Qwen/Qwen2.5-7B-Instruct", context=32_768, concurrency=200)
    (loser,) = (*choice.losers, *(Loser(each.label, each.fit.why) for each in choice.spanning))
    assert "does not divide" not in loser.why


def test_ranks_never_leave_a_node_and_stages_are_only_tried_where_no_node_holds_the_model() -> None:
    choice = chosen(sites("p5.48xlarge", "p5en.48xlarge"), model="meta-llama/Llama-3.1-405B-Instruct")
    assert best_of(choice).site.machine.id == "p5en.48xlarge"
    assert best_of(choice).stages == 1
    (over,) = choice.spanning
    assert (over.site.machine.id, over.sizing.tensor_parallel, over.stages, over.nodes) == ("p5.48xlarge", 8, 2, 2)
    price = catalog().price("p5.48xlarge")
    assert price is not None
    assert over.usd_per_hour == pytest.approx(2 * price.usd_per_hour)
    assert over.label.startswith("p5.48xlarge (2 nodes of 8 x ")


def test_a_pool_with_too_few_nodes_for_the_stages_is_no_way_out() -> None:
    assert chosen(sites("p5.48xlarge", max_nodes=1), model="meta-llama/Llama-3.1-405B-Instruct").spanning == ()


def test_what_only_fits_when_the_engine_is_lucky_loses_as_too_close_to_call() -> None:
    choice = chosen(sites("g2-standard-8"), context=36_000)
    assert choice.best is None
    (loser,) = choice.losers
    assert loser.why.startswith("too close to call, the KV cache gets 3.")


def test_losers_with_the_same_reason_share_a_line() -> None:
    losers = [Loser("a", "small"), Loser("b", "small"), Loser("c", "dear"), Loser("d", "small")]
    assert list(grouped(losers)) == [("a, b and 1 more", "small"), ("c", "dear")]


def cost_over(candidate: Candidate) -> str:
    sizing = candidate.sizing
    return exchange_cost(candidate.site.machine, sizing.model, sizing.tensor_parallel, 8192)


def test_ranks_over_pcie_say_what_they_cost_and_nvlink_costs_nothing_worth_saying() -> None:
    over_pcie = best_of(chosen(sites("g2-standard-48"), tensor_parallel=4))
    assert cost_over(over_pcie) == (
        "over PCIe at 32 GB/s per GPU, 1/14 of an H100's NVLink: "
        "exchanges take at least 201 ms of a prompt of 8,192 tokens"
    )
    assert cost_over(best_of(chosen(sites("p5.48xlarge"), tensor_parallel=4))) == ""
    assert cost_over(best_of(chosen(sites("g2-standard-48")))) == ""


def test_the_cost_of_pcie_stands_in_the_plan() -> None:
    made = plan_of(accelerators=["nvidia-l4"], tensor_parallel=2)
    (why,) = (reason.why for reason in made.reasons if reason.subject == "tensor parallel size")
    assert why.startswith("as stated; over PCIe at 32 GB/s per GPU")


def test_latency_takes_the_least_time_per_token_whatever_it_costs_and_of_equals_the_cheaper() -> None:
    choice = chosen(EVERYWHERE, goal=Goal(Objective.LATENCY, CHAT))
    speeds = [(each.speed, each.usd_per_hour) for each in every(choice) if each.speed and each.speed.tpot_ms]
    times = [round(speed.tpot_ms or 0, 1) for speed, _ in speeds]
    assert times == sorted(times)
    ranks = [
        (round(speed.tpot_ms or 0, 1), round(speed.ttft_ms or 0), usd if usd is not None else float("inf"))
        for speed, usd in speeds
    ]
    assert ranks == sorted(ranks)
    assert len(times) == len(every(choice)) > 10
    assert best_of(choice).sizing.tensor_parallel == 8


def test_cost_per_token_is_what_the_nodes_cost_over_what_the_replicas_answer() -> None:
    choice = chosen(EVERYWHERE, replicas=2, goal=Goal(Objective.COST_PER_TOKEN, CHAT))
    best = best_of(choice)
    assert best.speed is not None
    assert best.speed.output_tokens_per_s is not None
    assert best.usd_per_hour is not None
    tokens_per_hour = 2 * best.speed.output_tokens_per_s * 3600 * 1300 / 300
    assert best.usd_per_million_tokens == pytest.approx(best.usd_per_hour / tokens_per_hour * 1e6)
    costs = [each.usd_per_million_tokens or 0 for each in every(choice)]
    assert costs == sorted(costs)


def test_what_has_no_known_speed_never_wins_by_speed() -> None:
    choice = chosen(EVERYWHERE, goal=Goal(Objective.LATENCY, CHAT))
    assert all(each.speed and each.speed.tpot_ms for each in every(choice))
    (why, *_) = (loser.why for loser in choice.losers if loser.label.startswith("g2-standard-8"))
    assert why.startswith("fits, but its speed is not known: no measured row of a GPU like NVIDIA L4")


def test_without_a_price_there_is_no_cost_per_token() -> None:
    choice = chosen(sites("a3-ultragpu-8g"), goal=Goal(Objective.COST_PER_TOKEN, CHAT))
    assert choice.best is None
    assert choice.fits_unranked
    assert {loser.why for loser in choice.losers} == {"fits, but no price is known"}


def test_a_budget_bounds_what_speed_may_cost() -> None:
    free = best_of(chosen(EVERYWHERE, goal=Goal(Objective.LATENCY, CHAT)))
    bounded = best_of(chosen(EVERYWHERE, goal=Goal(Objective.LATENCY, CHAT, budget_usd_per_hour=20)))
    assert (free.usd_per_hour or 0) > 20 >= (bounded.usd_per_hour or 0)


def test_an_unknown_speed_has_no_cost_per_token() -> None:
    assert usd_per_million_tokens(1.0, 1, Speed(reason="not known"), CHAT) is None


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


def test_replicas_that_share_a_node_stand_in_the_plan() -> None:
    assert replicas_per_node(2, catalog().machine("g2-standard-48")) == 2
    pool = {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-48"], "max_nodes": 1}
    made = plan_of(keys={"pools": {"l4": pool}}, concurrency=2)
    (reason,) = (each for each in made.reasons if each.subject == "replicas")
    assert reason.why == "a node has 4 GPUs, a replica takes 1: up to 4 replicas share a node"


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
