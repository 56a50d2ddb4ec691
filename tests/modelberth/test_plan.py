"""From a spec to a decision: what is chosen, why, and that nothing but the spec and the facts chooses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from modelberth import parse
from modelberth.catalog import catalog
from modelberth.clouds import node_profile
from modelberth.findings import Level
from modelberth.host import cpu_host, gpu_host
from modelberth.lock import settle
from modelberth.plan import plan
from tests.modelberth.samples import (
    CPU_POOL,
    L4_POOL,
    LLAMA_8B,
    LLAMA_70B,
    QWEN_7B,
    ROOT,
    document,
    plan_of,
    refusal,
    stack_document,
    stack_of,
)


def test_an_8b_model_goes_to_the_cheapest_24_gb_card_in_the_format_it_is_stored_in() -> None:
    made = plan_of(typical_tokens=3000)
    decision = made.decision
    assert (decision.engine, decision.quantization, decision.accelerator) == ("vllm", "bf16", "nvidia-l4")
    assert (decision.tensor_parallel, decision.context, decision.concurrency) == (1, 8192, 8)
    assert decision.source.repository == LLAMA_8B
    assert len(decision.source.revision or "") == 40


def test_defaults_that_matter_to_sizing_are_part_of_the_decision() -> None:
    decision = plan_of(typical_tokens=3000).decision
    assert decision.gpu_memory_utilization == 0.92
    assert decision.max_num_batched_tokens == 2048


def test_stated_wishes_are_decided_as_stated() -> None:
    decision = plan_of(
        tensor_parallel=2, gpu_memory_utilization=0.85, kv_cache_dtype="fp8", engine_version="0.32.0"
    ).decision
    assert (decision.tensor_parallel, decision.gpu_memory_utilization) == (2, 0.85)
    assert (decision.kv_cache_dtype, decision.engine_version) == ("fp8", "0.32.0")


def test_an_engine_version_of_the_stack_holds_for_services_that_state_none() -> None:
    keys = {"defaults": {"engine_versions": {"vllm": "0.32.0"}}}
    assert plan_of(keys=keys).decision.engine_version == "0.32.0"
    assert plan_of(keys=keys, engine_version="0.33.0").decision.engine_version == "0.33.0"


def test_every_choice_and_every_loser_has_its_reason() -> None:
    made = plan_of(typical_tokens=3000)
    assert {reason.subject for reason in made.reasons} >= {
        "engine",
        "quantization",
        "machine type",
        "tensor parallel size",
    }
    assert all(reason.why for reason in made.reasons)
    assert len(made.losers) > 50
    assert all(loser.label and loser.why for loser in made.losers)


def test_cpu_nodes_alone_mean_llama_cpp_with_the_usual_gguf() -> None:
    made = plan_of(model=QWEN_7B, accelerators=["cpu"], concurrency=4)
    assert (made.decision.engine, made.decision.quantization, made.decision.accelerator) == (
        "llamacpp",
        "q4_k_m",
        "cpu",
    )
    assert made.decision.source.file == "Qwen2.5-7B-Instruct-Q4_K_M.gguf"
    assert made.decision.gpus_per_replica == 0


@pytest.mark.parametrize(("quantization", "engine"), [("q4_k_m", "llamacpp"), ("awq", "vllm"), ("auto", "vllm")])
def test_the_format_chooses_the_engine(quantization: str, engine: str) -> None:
    assert plan_of(quantization=quantization).decision.engine == engine


def test_a_quantization_is_served_from_a_repository_that_stores_it() -> None:
    decision = plan_of(quantization="awq").decision
    assert decision.source.repository == "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4"
    assert decision.model == LLAMA_8B


def test_a_repository_of_gguf_files_may_be_named_and_gives_the_file_asked_for() -> None:
    repository = "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF"
    assert plan_of(model=repository).decision.source.file == "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf"
    assert plan_of(model=repository, quantization="q6_k").decision.source.file == "Meta-Llama-3.1-8B-Instruct-Q6_K.gguf"
    (finding,) = refusal(lambda: plan_of(model=repository, quantization="awq"))
    assert finding.path == "services.chat.quantization"
    assert "q2_k" in finding.message


def test_an_alias_is_served_from_its_own_repository() -> None:
    alias = "meta-llama/Meta-Llama-3.1-8B-Instruct"
    decision = plan_of(model=alias).decision
    assert (decision.model, decision.source.repository) == (alias, alias)


def test_a_format_that_nobody_is_known_to_store_is_refused_with_the_formats_that_are() -> None:
    (finding,) = refusal(lambda: plan_of(model="meta-llama/Llama-3.1-405B-Instruct", quantization="q4_k_m"))
    assert finding.path == "services.chat.quantization"
    assert finding.remedy == "known: awq, fp8"


def test_only_machines_of_the_named_pool_are_considered() -> None:
    made = plan_of(keys={"pools": {"l4": L4_POOL, "cpu": CPU_POOL}}, pool="l4", typical_tokens=3000)
    assert (made.decision.pool, made.decision.machine_type) == ("l4", "g2-standard-8")
    assert made.losers == ()


def test_without_a_pool_name_any_pool_that_fits_will_do() -> None:
    pools = {
        "l4": L4_POOL,
        "a100": {"accelerators": ["nvidia-a100-80gb"], "machine_types": ["a2-ultragpu-2g"], "max_nodes": 1},
    }
    made = plan_of(keys={"pools": pools}, model=LLAMA_70B, concurrency=2)
    assert (made.decision.pool, made.decision.tensor_parallel) == ("a100", 2)


def test_what_does_not_fit_the_pools_names_the_cheapest_machine_that_would_do() -> None:
    (finding,) = refusal(lambda: plan_of(keys={"pools": {"l4": L4_POOL}}, model=LLAMA_70B))
    cheapest = plan_of(model=LLAMA_70B)
    expected = f"{cheapest.decision.machine_type} ({cheapest.decision.tensor_parallel} x "
    assert finding.remedy.startswith(f"the nearest that would do: {expected}")
    assert f"{cheapest.usd_per_hour:.2f} USD per hour" in finding.remedy


def test_the_price_is_that_of_all_nodes() -> None:
    weights = {"weights": {"w": {"kind": "hub"}}}
    one = plan_of(keys=weights, weights="w", typical_tokens=3000)
    three = plan_of(keys=weights, weights="w", typical_tokens=3000, replicas=3)
    assert one.usd_per_hour is not None
    assert three.usd_per_hour == pytest.approx(3 * one.usd_per_hour)
    assert three.nodes == 3
    assert three.price_as_of


def test_a_budget_below_the_price_is_refused_and_one_above_is_not() -> None:
    price = plan_of(typical_tokens=3000).usd_per_hour or 0
    (finding,) = refusal(
        lambda: settle(stack_of(typical_tokens=3000, budget={"usd_per_hour": round(price - 0.01, 2)}), {})
    )
    assert finding.path == "services.chat.budget"
    assert f"{price:.2f} USD per hour is over the budget" in finding.message
    settle(stack_of(typical_tokens=3000, budget={"usd_per_hour": price}), {})


def test_a_budget_without_a_price_is_not_taken_for_met() -> None:
    spec = stack_of(
        accelerators=["nvidia-h200-141gb"],
        budget={"usd_per_hour": 1000},
        keys={
            "pools": {
                "h200": {"accelerators": ["nvidia-h200-141gb"], "machine_types": ["a3-ultragpu-8g"], "max_nodes": 1}
            }
        },
    )
    (finding,) = refusal(lambda: settle(spec, {}))
    assert finding.code == "budget-unknown"
    assert "no price is known for a3-ultragpu-8g" in finding.message


@pytest.mark.parametrize(("profile", "level"), [("dev", Level.WARNING), ("prod", Level.ERROR)])
def test_an_unpinned_revision_is_a_warning_in_dev_and_an_error_in_prod(profile: str, level: Level) -> None:
    model = "meta-llama/Meta-Llama-3.1-8B-Instruct"
    found = {finding.code: finding.level for finding in plan_of(model=model, profile=profile).findings}
    assert found["revision"] is level
    pinned = plan_of(model={"id": model, "revision": "0" * 40}, profile=profile)
    assert "revision" not in {finding.code for finding in pinned.findings}
    assert pinned.decision.source.revision == "0" * 40


def test_a_revision_belongs_to_the_repository_that_is_served() -> None:
    (finding,) = refusal(lambda: plan_of(model={"id": LLAMA_8B, "revision": "1" * 40}, quantization="awq"))
    awq = "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4"
    assert finding.path == "services.chat.model.revision"
    assert finding.remedy == f"model: {{id: {awq}, revision: its commit}}"
    assert plan_of(model={"id": awq, "revision": "1" * 40}).decision.source.revision == "1" * 40


def test_weights_from_the_hub_need_no_claim_and_room_in_the_pod() -> None:
    claim = plan_of(typical_tokens=3000).decision
    hub = plan_of(keys={"weights": {"w": {"kind": "hub"}}}, weights="w", typical_tokens=3000).decision
    assert (claim.storage.kind, hub.storage.kind) == ("claim", "hub")
    assert (claim.storage.size_gib or 0) * 2**30 > 2 * claim.source.stored_bytes
    assert hub.storage.size_gib is None
    assert hub.host.ephemeral_mib - claim.host.ephemeral_mib >= hub.source.stored_bytes / 2**20


def test_a_pod_never_asks_more_than_its_share_of_the_node() -> None:
    for machine in catalog().machines():
        node = node_profile(machine.id)
        if machine.gpu:
            hosts = [(gpu_host(machine, gpus, 0), machine.gpu_count // gpus) for gpus in {1, machine.gpu_count}]
        else:
            hosts = [(cpu_host(machine, 2**30, 0), 1)]
        for host, pods in hosts:
            assert pods * host.cpu_millicores <= node.allocatable_cpu_millicores, machine.id
            assert pods * host.memory_mib * 2**20 <= node.allocatable_memory_bytes, machine.id
            assert 0 < host.shm_mib < host.memory_mib


def test_a_pod_that_is_not_ready_is_given_time_beyond_the_estimate() -> None:
    decision = plan_of(typical_tokens=3000).decision
    assert decision.startup_budget_s > decision.load_s > 60


SCRIPT = """
import json, sys
from pathlib import Path
from modelberth import parse, report
from modelberth.lock import settle
print(json.dumps(report.as_json(settle(parse.stack(json.loads(sys.argv[1])), {}))))
"""


def test_the_same_spec_gives_the_same_plan_under_any_hash_seed() -> None:
    services = {"chat": document(typical_tokens=3000), "large": document(model=LLAMA_70B, concurrency=1)}
    a100 = {"accelerators": ["nvidia-a100-80gb"], "machine_types": ["a2-ultragpu-4g", "a2-ultragpu-2g"], "max_nodes": 4}
    pools = {"l4": L4_POOL, "spare": L4_POOL, "cpu": CPU_POOL, "a100": a100, "other": a100}
    content = json.dumps(stack_document(services, pools=pools))
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, content],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_the_order_in_which_services_and_pools_are_written_does_not_matter() -> None:
    services = {
        "chat": document(pool="l4", typical_tokens=3000),
        "draft": document(model=QWEN_7B, pool="cpu", concurrency=4),
    }
    pools = {"l4": L4_POOL, "cpu": CPU_POOL}
    written = parse.stack(stack_document(services, pools=pools))
    turned = parse.stack(stack_document(dict(reversed(services.items())), pools=dict(reversed(pools.items()))))
    for name in services:
        assert plan(name, written).decision == plan(name, turned).decision


TRAFFIC = {"input_tokens": 1000, "output_tokens": 300}


def test_without_an_objective_the_cheapest_machine_is_chosen_whatever_the_traffic() -> None:
    assert plan_of(traffic=TRAFFIC).decision == plan_of().decision


def test_latency_takes_more_gpus_than_the_model_needs() -> None:
    cheap, fast = plan_of(), plan_of(objective="latency", traffic=TRAFFIC)
    assert fast.decision.tensor_parallel > cheap.decision.tensor_parallel
    (why,) = (reason.why for reason in fast.reasons if reason.subject == "machine type")
    assert re.match(r"fastest of \d+ that fit, \d+\.\d ms per output token; \d+\.\d\d USD per hour on demand", why)


def test_cost_per_token_says_what_the_others_cost() -> None:
    made = plan_of(objective="cost_per_token", traffic=TRAFFIC)
    assert made.usd_per_million_tokens is not None
    (why,) = (reason.why for reason in made.reasons if reason.subject == "machine type")
    assert why.startswith("cheapest per token of ")
    assert f"{made.usd_per_million_tokens:.2f} USD per million" in why
    others = [
        float(found[1])
        for loser in made.losers
        if (found := re.match(r"fits, but costs ([\d.]+) USD per m", loser.why))
    ]
    assert min(others) >= round(made.usd_per_million_tokens, 2)


def test_a_budget_bounds_the_objective() -> None:
    bounded = plan_of(objective="latency", traffic=TRAFFIC, budget={"usd_per_hour": 20})
    assert bounded.usd_per_hour is not None
    assert bounded.usd_per_hour <= 20
    assert "fits, but costs 142.42 USD per hour, more than the budget of 20.00" in {
        loser.why for loser in bounded.losers
    }


def test_every_machine_of_the_catalog_stands_in_a_plan_that_names_none() -> None:
    made = plan_of()
    seen = {loser.label.split()[0] for loser in made.losers} | {made.decision.machine_type}
    assert seen == {machine.id for machine in catalog().machines()}
    (why,) = {loser.why for loser in made.losers if loser.label.startswith("c3-")}
    assert why == "has no GPU, vllm is planned on GPUs"


def test_memory_of_a_cpu_pod_is_what_the_engine_may_take_at_most() -> None:
    made = plan_of(model=QWEN_7B, accelerators=["cpu"], concurrency=4)
    memory = made.fit.memory
    assert memory is not None
    most = memory.budget_bytes - memory.kv_budget_range_bytes[0] + 4 * memory.kv_bytes_for(8192)
    assert made.decision.host.memory_mib * 2**20 >= most > memory.used_bytes + 4 * memory.kv_bytes_for(8192)
