"""Our sums and arguments against what a real llama-server printed on a real card, as recorded in tests/data/gpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.catalog import catalog
from modelberth.engines.base import setup_of
from modelberth.memory import Setup, llamacpp
from modelberth.memory.gguf import file_bytes
from modelberth.memory.llama_graph import host_bytes
from modelberth.plan import Plan, sizing_of
from modelberth.units import GIB, MIB
from tests.modelberth.samples import plan_of, refusal
from tests.proofs import GPU, claims

RECORD: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "gpu" / "llamacpp-b11434-h100.yaml").read_text(encoding="utf-8")
)
PRINTED = 0.006
"""Sizes are printed in MiB with two decimals."""

proves = claims("llamacpp", RECORD["engine_version"], GPU)


def planned(start: dict[str, Any]) -> Plan:
    kept = {} if start["kv_cache_dtype"] == "auto" else {"kv_cache_dtype": start["kv_cache_dtype"]}
    return plan_of(
        model=RECORD["model"],
        engine=RECORD["engine"],
        engine_version=RECORD["engine_version"],
        quantization=RECORD["quantization"],
        accelerators=[RECORD["gpu"]],
        context=start["context"],
        concurrency=start["concurrency"],
        **kept,
    )


def setup(start: dict[str, Any]) -> Setup:
    made = planned(start)
    return setup_of(sizing_of(made.decision, made.model))


def name(start: dict[str, Any]) -> str:
    return f"{start['concurrency']}x{start['context']}-{start['kv_cache_dtype']}"


STARTED = [start for start in RECORD["starts"] if start["started"]]
starts = pytest.mark.parametrize("start", STARTED, ids=name)


@proves("arguments as rendered: it starts with every layer on the card, the startup probe fails and then passes")
@starts
def test_what_was_started_is_what_is_rendered(start: dict[str, Any]) -> None:
    made = planned(start)
    assert start["arguments"].split() == list(made.launch.args)
    assert RECORD["health"] == [0, 503, 200]
    assert (RECORD["chat"], RECORD["sigterm_exit"]) == (200, 0)


@proves("tensors and KV cache on the card are the bytes that we compute")
@starts
def test_weights_and_cache_are_exact(start: dict[str, Any]) -> None:
    ours = setup(start)
    file, every = file_bytes(ours.shape, RECORD["quantization"]), range(ours.shape.layers + 1)
    assert llamacpp.device_bytes(file, every) / MIB == pytest.approx(start["device_mib"]["weights"], abs=PRINTED)
    kept = llamacpp.memory(ours).least_kv
    assert kept
    assert kept.amount_bytes / MIB == start["device_mib"]["kv_cache"]


@proves("the compute buffer is within 3 % of our term, with a KV cache in f16 and in q8_0")
@starts
def test_the_compute_buffer_is_what_the_graph_says(start: dict[str, Any]) -> None:
    ours = setup(start)
    term = llamacpp.memory(ours).term("activation")
    assert term
    assert term.amount_bytes / MIB == pytest.approx(start["device_mib"]["activation"], rel=0.03)
    slots = llamacpp.slots_of(ours)
    step = llamacpp.step_of(ours.shape, slots, ours.engine_version)
    host = start["host_mib"]["compute"] + start["host_mib"]["output"]
    assert host_bytes(ours.shape, step, slots.count) / MIB == pytest.approx(host, rel=0.01)


@proves("what the card holds beside the buffers is within the range of our allowance")
@starts
def test_the_rest_of_the_card_is_within_the_range_of_its_term(start: dict[str, Any]) -> None:
    memory = llamacpp.memory(setup(start))
    term = memory.term("runtime")
    assert term
    low, high = term.range_bytes
    assert low <= start["at_exit_mib"]["unaccounted"] * MIB <= high
    buffers = sum(start["device_mib"].values())
    assert low <= (start["process_mib"]["after_load"] - buffers) * MIB <= high


@proves("what remains for the KV cache is within the range of our sum")
@starts
def test_the_kv_budget_is_within_its_range(start: dict[str, Any]) -> None:
    low, high = llamacpp.memory(setup(start)).kv_budget_range_bytes
    seen = start["at_exit_mib"]["free"] + start["device_mib"]["kv_cache"]
    assert low / MIB <= seen <= high / MIB


@proves("the most slots that a plan allows start and answer; one more is refused here, and runs out of memory there")
def test_the_fullest_plan_starts_and_one_slot_more_does_not() -> None:
    fullest = max(STARTED, key=lambda start: start["concurrency"])
    (beyond,) = (start for start in RECORD["starts"] if not start["started"])
    assert beyond["concurrency"] == fullest["concurrency"] + 1
    assert "out of memory" in beyond["error"]
    assert planned(fullest)
    assert refusal(lambda: planned(beyond))


def test_the_card_is_as_large_as_the_catalog_says() -> None:
    (total,) = {start["at_exit_mib"]["total"] for start in STARTED}
    assert total * MIB / GIB == pytest.approx(catalog().gpu(RECORD["gpu"]).visible_memory_gib, abs=0.01)


@proves("its metrics page has every metric that we read")
def test_the_page_has_every_metric_that_is_read() -> None:
    read = {row.name for row in catalog().metrics if row.engine == RECORD["engine"]}
    assert read
    assert read <= set(RECORD["metrics"])
