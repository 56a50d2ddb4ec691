"""A plan as text, Markdown and JSON: the same figures, aligned, with units and sums that add up."""

from __future__ import annotations

import json
import re

import pytest

from modelberth import report
from modelberth.lock import Settled, settle
from modelberth.parse import stack
from modelberth.units import GIB
from tests.modelberth.samples import CPU_POOL, L4_POOL, QWEN_7B, document, stack_document, stack_of


@pytest.fixture(scope="module")
def settled() -> Settled:
    services = {
        "chat": document(typical_tokens=3000, pool="l4"),
        "draft": document(model=QWEN_7B, pool="cpu", concurrency=4),
    }
    return settle(stack(stack_document(services, pools={"l4": L4_POOL, "cpu": CPU_POOL})), {})


def test_json_is_plain_json_with_a_schema_version(settled: Settled) -> None:
    document = report.as_json(settled)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema_version"] == 1
    assert list(document["services"]) == ["chat", "draft"]


def test_terms_in_json_add_up_to_the_budget(settled: Settled) -> None:
    for service in report.as_json(settled)["services"].values():
        memory = service["fit"]["memory"]
        assert sum(term["bytes"] for term in memory["terms"]) + memory["kv_budget_bytes"] == memory["budget_bytes"]


def test_the_total_is_the_sum_of_the_services_and_unknown_when_one_is(settled: Settled) -> None:
    document = report.as_json(settled)
    prices = [service["usd_per_hour"] for service in document["services"].values()]
    assert document["usd_per_hour"] == pytest.approx(sum(prices))
    pool = {"accelerators": ["nvidia-h200-141gb"], "machine_types": ["a3-ultragpu-8g"], "max_nodes": 1}
    unpriced = settle(stack_of(keys={"pools": {"h200": pool}}), {})
    assert report.as_json(unpriced)["usd_per_hour"] is None
    assert report.as_text(unpriced).endswith("total: no price is known for every machine")


def test_every_service_has_its_heading_and_its_tables(settled: Settled) -> None:
    text = report.as_text(settled)
    assert "chat: meta-llama/Llama-3.1-8B-Instruct on 1 x g2-standard-8 with vllm 0.33.0" in text
    assert "draft: Qwen/Qwen2.5-7B-Instruct on 1 x c3-standard-8 with llamacpp b11434" in text
    assert text.count("memory of one GPU") == text.count("memory of one node") == 1


def test_columns_are_aligned_and_no_line_ends_in_blanks(settled: Settled) -> None:
    lines = report.as_text(settled).splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    head = next(line for line in lines if "memory of one GPU" in line)
    rows = lines[lines.index(head) + 1 : lines.index("", lines.index(head))]
    assert len(rows) >= 6
    assert all(row[: head.index("GiB")].strip() and row[head.index("GiB") - 3 :].strip() for row in rows)
    ends = {len(row[: head.index("GiB") + 3].rstrip()) for row in rows}
    assert ends == {head.index("GiB") + 3}


def test_figures_are_right_aligned_and_words_left_aligned() -> None:
    figures = list(
        report.table(("memory", "GiB", "why"), [("weights", "14.96", "a"), ("= KV", "-0.50", ""), ("x", "4", "b")])
    )
    assert figures == [
        "  memory     GiB  why",
        "  weights  14.96  a",
        "  = KV     -0.50",
        "  x            4  b",
    ]
    assert list(report.table(("", "decided", "why"), [("engine", "vllm", "a")]))[1] == "  engine  vllm     a"


def test_markdown_tables_have_three_columns_in_every_row(settled: Settled) -> None:
    rows = [line for line in report.as_markdown(settled).splitlines() if line.startswith("|")]
    assert rows
    assert {line.replace("\\|", "").count("|") for line in rows} == {4}


def test_markdown_and_text_tell_the_same(settled: Settled) -> None:
    text, markdown = report.as_text(settled), report.as_markdown(settled)
    for service in ("chat", "draft"):
        assert f"### {service}: " in markdown
    memory = settled.plans[0].fit.memory
    assert memory is not None
    low, high = memory.kv_budget_range_bytes
    held = (f"{memory.kv_tokens:,} tokens", f"{low / GIB:,.2f}", f"at most {high / GIB:,.2f}: sized for the least")
    for figure in ("14.96", "20.27", *held, "claim of 35 GiB"):
        assert figure in text
        assert figure in markdown


def test_a_pipe_in_a_cell_does_not_break_a_markdown_table() -> None:
    made = settle(stack_of(typical_tokens=3000), {})
    assert "\\|" not in report.as_markdown(made)
    rows = list(report._markdown_table(("a", "b", "c"), [("x|y", "", "")]))
    assert rows[-1] == "| x\\|y |  |  |"


def test_a_plan_without_losers_has_no_empty_table(settled: Settled) -> None:
    assert "instead of" not in report.as_text(settled)


def test_many_losers_are_cut_to_five_lines_and_json_has_them_all() -> None:
    made = settle(stack_of(typical_tokens=3000), {})
    lines = report.as_text(made).splitlines()
    start = next(i for i, line in enumerate(lines) if "instead of" in line)
    assert lines[start + 6].split()[1:5] == ["more", "kinds", "of", "machine"]
    assert len(report.as_json(made)["services"]["chat"]["losers"]) > 50


def test_a_locked_plan_says_so() -> None:
    first = settle(stack_of(typical_tokens=3000), {})
    again = settle(stack_of(typical_tokens=3000), first.lock)
    assert report.as_json(again)["services"]["chat"]["locked"] is True
    assert re.search(r"vllm 0\.33\.0 +locked", report.as_text(again))


def test_speed_and_cost_per_token_stand_where_traffic_is_stated() -> None:
    traffic = {"input_tokens": 1000, "output_tokens": 300}
    fast = settle(stack_of(accelerators=["nvidia-h100-80gb"], traffic=traffic), {})
    service = report.as_json(fast)["services"]["chat"]
    low, high = service["speed"]["tpot_range_ms"]
    assert low < service["speed"]["tpot_ms"] < high
    assert service["usd_per_million_tokens"] > 0
    text = report.as_text(fast)
    assert f"{service['speed']['tpot_ms']:.1f} ms per output token, the first after " in text
    assert f", {service['usd_per_million_tokens']:.2f} per million tokens" in text


def test_a_speed_that_is_not_known_says_why() -> None:
    slow = settle(stack_of(accelerators=["nvidia-l40s"], traffic={"input_tokens": 1000, "output_tokens": 300}), {})
    service = report.as_json(slow)["services"]["chat"]
    assert service["speed"]["reason"].startswith("not known: no measured row of a GPU like NVIDIA L40S")
    assert service["usd_per_million_tokens"] is None
    assert service["speed"]["reason"] in report.as_text(slow)


MADE = {
    "target": {
        "kind": "gke",
        "gke": {
            "project": "example-dev",
            "project_number": "123456789012",
            "region": "us-central1",
            "zones": ["us-central1-a"],
        },
    },
    "pools": {"l4": {"accelerators": ["nvidia-l4"], "capacity": ["spot"], "max_nodes": 2}},
}


def test_where_all_is_made_the_one_total_is_that_of_all_components_with_what_is_unknown() -> None:
    made = settle(stack_of(keys=MADE, typical_tokens=3000, pool="l4"), {})
    text, known = report.as_text(made), made.bill
    assert text.count("total: ") == 1
    assert text.splitlines()[-1] == (
        f"total: {known.usd_per_hour:.2f} USD per hour, {known.usd_per_month:,.0f} per month, as far as it is known; "
        "unknown: NAT with addresses and traffic, encryption key, logs and flow logs"
    )
    alone = report.total_usd_per_hour(made.plans)
    assert f"the services' machines alone, at list price: {alone:.2f} USD per hour on demand" in text
    assert report.as_json(made)["usd_per_hour"] == alone
    assert report.as_json(made)["cost"]["known_usd_per_hour"] == round(known.usd_per_hour, 4)


def test_what_is_found_and_not_made_has_no_place_in_the_bill() -> None:
    gke = MADE["target"]["gke"] | {
        "cluster": "theirs",
        "kms_key": "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k",
    }
    made = settle(stack_of(keys=MADE | {"target": {"kind": "gke", "gke": gke}}, pool="l4"), {})
    told = [cost.component for cost in made.bill.costs]
    assert [each for each in told if not each.startswith(("pool l4", "weights"))] == []


def test_the_disks_of_the_system_pool_are_on_the_bill() -> None:
    made = settle(stack_of(keys=MADE, pool="l4"), {})
    (disks,) = [cost for cost in made.bill.costs if cost.component.startswith("system pool: boot disks")]
    assert disks.usd_per_month == pytest.approx(100 * 0.1)
