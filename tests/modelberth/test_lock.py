"""What was decided stays decided until the spec asks for more or somebody asks for a new plan."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from modelberth.catalog import Catalog, Price
from modelberth.decision import Decision, digest
from modelberth.errors import ModelberthError
from modelberth.findings import Refused
from modelberth.lock import advice, changes, dump, load, outgrown, settle
from modelberth.memory import vllm as memory_of_vllm
from modelberth.memory.vllm import Allowance
from modelberth.parse import stack
from modelberth.spec import StackSpec
from tests.modelberth.samples import (
    CPU_POOL,
    L4_POOL,
    LLAMA_8B,
    QWEN_7B,
    document,
    plan_of,
    refusal,
    stack_document,
    stack_of,
)

POOLS = {"pools": {"l4": L4_POOL, "cpu": CPU_POOL}}
A100 = {"accelerators": ["nvidia-a100-80gb"], "machine_types": ["a2-ultragpu-1g"], "max_nodes": 2}


def chat(*, keys: dict[str, Any] | None = None, **fields: Any) -> StackSpec:
    return stack_of(keys=POOLS if keys is None else keys, **{"typical_tokens": 3000} | fields)


@pytest.fixture
def locked() -> dict[str, Decision]:
    """The lock of one chat service on an L4."""
    return dict(settle(chat(), {}).lock)


def test_a_lock_file_says_what_was_decided(locked: dict[str, Decision]) -> None:
    assert load(dump(locked), "dev.plan.yaml") == locked


def test_a_lock_file_is_the_same_text_whatever_the_order_of_services(locked: dict[str, Decision]) -> None:
    two = {"chat": locked["chat"], "aaa": locked["chat"]}
    assert dump(two) == dump(dict(reversed(two.items())))
    assert dump(two).startswith("# What was decided")


def test_a_lock_that_satisfies_the_spec_holds(locked: dict[str, Decision]) -> None:
    settled = settle(chat(), locked)
    assert settled.lock == locked
    assert settled.plans[0].locked
    assert settled.better == settled.new == ()


def test_a_new_price_moves_no_machine_and_the_report_says_what_a_fresh_plan_would_change(
    locked: dict[str, Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, pools = Catalog.price, {"pools": {"l4": L4_POOL, "a100": A100}}

    def dear_l4(self: Catalog, machine: str, capacity: str = "on-demand", *, region: str | None = None) -> Price | None:
        price = old(self, machine, capacity)
        return price.model_copy(update={"usd_per_hour": 99.0}) if price and machine.startswith("g2-") else price

    monkeypatch.setattr(Catalog, "price", dear_l4)
    settled = settle(chat(keys=pools), locked)
    assert settled.lock == locked
    assert settled.plans[0].usd_per_hour == 99.0
    assert ("machine_type", "g2-standard-8", "a2-ultragpu-1g") in {(c.field, c.before, c.after) for c in settled.better}
    assert "would change machine_type: g2-standard-8 -> a2-ultragpu-1g" in " ".join(
        finding.message for finding in advice(settled)
    )


def test_a_new_default_of_the_catalog_moves_nothing(
    locked: dict[str, Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Catalog.engine
    monkeypatch.setattr(
        Catalog, "engine", lambda self, name: old(self, name).model_copy(update={"default_version": "0.32.0"})
    )
    settled = settle(chat(), locked)
    assert settled.plans[0].decision.engine_version == "0.33.0"
    assert {change.field for change in settled.better} == {"engine_version"}


def graphs(gib: float, *, low: float | None = None, high: float | None = None) -> dict[str, Allowance]:
    """What CUDA graphs take, as the memory model of vLLM states it."""
    return {"dense": Allowance("0", gib, gib if low is None else low, gib if high is None else high)}


def test_a_new_constant_moves_nothing_while_the_decision_still_fits(
    locked: dict[str, Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_of_vllm, "CUDA_GRAPHS", graphs(0.4))
    assert settle(chat(), locked).lock == locked


def test_a_decision_that_no_longer_fits_is_refused_with_the_command(
    locked: dict[str, Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_of_vllm, "CUDA_GRAPHS", graphs(4.0))
    (finding,) = refusal(lambda: settle(chat(), locked, stack_name="dev"))
    assert finding.code == "does-not-fit"
    assert finding.remedy == "run: modelberth plan --update dev"


def test_a_decision_that_has_become_too_close_to_call_holds_with_a_warning(
    locked: dict[str, Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_of_vllm, "CUDA_GRAPHS", graphs(0.4, low=0.1, high=4.0))
    settled = settle(chat(), locked)
    assert settled.lock == locked
    (finding,) = (each for each in advice(settled) if each.code == "too-close")
    assert finding.message.startswith("too close to call")


@pytest.mark.parametrize(
    ("fields", "keys", "said"),
    [
        ({"context": 16384}, {}, "context is 16384, locked 8192"),
        ({"concurrency": 9}, {}, "concurrency is 9, locked 8"),
        ({"model": QWEN_7B}, {}, f"model is {QWEN_7B}, locked {LLAMA_8B}"),
        ({"model": {"id": LLAMA_8B, "revision": "1" * 40}}, {}, "model.revision is 1111"),
        ({"quantization": "fp8"}, {}, "quantization is fp8, locked bf16"),
        ({"engine": "llamacpp"}, {}, "engine is llamacpp, locked vllm"),
        ({"engine_version": "0.32.0"}, {}, "engine_version is 0.32.0, locked 0.33.0"),
        ({}, {"defaults": {"engine_versions": {"vllm": "0.32.0"}}}, "engine_version is 0.32.0, locked 0.33.0"),
        ({"gpu_memory_utilization": 0.9}, {}, "gpu_memory_utilization is 0.9, locked 0.92"),
        ({"kv_cache_dtype": "fp8"}, {}, "kv_cache_dtype is fp8, locked auto"),
        (
            {"accelerators": ["nvidia-a100-80gb"]},
            {"pools": POOLS["pools"] | {"a100": A100}},
            "accelerators are nvidia-a100-80gb, locked nvidia-l4",
        ),
        ({"pool": "cpu"}, {}, "pool is cpu, locked l4"),
        ({}, {"pools": {"a100": A100}}, "there is no pool l4 any more"),
        ({}, {"pools": {"l4": L4_POOL | {"machine_types": ["g2-standard-12"]}}}, "pool l4 no longer has g2-standard-8"),
        ({"weights": "w"}, {"weights": {"w": {"kind": "hub"}}}, "weights are w (hub), locked of its own"),
    ],
)
def test_a_spec_that_asks_for_more_is_told_what_and_which_command(
    locked: dict[str, Decision], fields: dict[str, Any], keys: dict[str, Any], said: str
) -> None:
    (finding,) = refusal(lambda: settle(chat(keys=POOLS | keys, **fields), locked, stack_name="dev"))
    assert (finding.code, finding.path) == ("outgrown", "services.chat")
    assert said in finding.message
    assert finding.remedy == "run: modelberth plan --update dev"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tensor_parallel": 2}, "tensor_parallel 2 needs as many"),
        ({"pool": "l40"}, "no pool is called 'l40'; did you mean 'l4'?"),
        ({"model": "meta-llama/Llama-3.1-8B-Instuct"}, "did you mean 'meta-llama/Llama-3.1-8B-Instruct'"),
        ({"context": 10**6}, "131072"),
    ],
)
def test_what_no_plan_could_give_is_said_before_the_lock_is_blamed(
    locked: dict[str, Decision], fields: dict[str, Any], said: str
) -> None:
    (finding,) = refusal(lambda: settle(chat(**fields), locked, stack_name="dev"))
    assert said in finding.message + finding.remedy
    assert "--update" not in finding.remedy


def test_a_claim_that_others_must_read_too_outgrows_one_that_only_one_node_can() -> None:
    def spec(mode: str) -> StackSpec:
        return chat(
            keys=POOLS | {"weights": {"w": {"kind": "claim", "size_gib": 40, "access_mode": mode}}}, weights="w"
        )

    before = settle(spec("ReadWriteOnce"), {}).lock
    (finding,) = refusal(lambda: settle(spec("ReadWriteMany"), before))
    assert "access_mode is ReadWriteMany, locked ReadWriteOnce" in finding.message


@pytest.mark.parametrize(
    "fields", [{"context": 4096, "typical_tokens": 2000}, {"concurrency": 2}, {"engine": "vllm"}, {"pool": "l4"}]
)
def test_a_spec_that_asks_for_less_or_the_same_keeps_the_lock(
    locked: dict[str, Decision], fields: dict[str, Any]
) -> None:
    settled = settle(chat(**fields), locked)
    assert settled.lock == locked
    assert settled.better == ()


def test_an_update_plans_anew(locked: dict[str, Decision]) -> None:
    settled = settle(chat(context=16384), locked, update=True)
    assert settled.lock["chat"].context == 16384
    assert [str(change) for change in changes(locked, settled.lock)] == ["chat: context 8192 -> 16384"]


def test_changes_of_machines_come_first(locked: dict[str, Decision]) -> None:
    both = locked | {"aaa": locked["chat"]}
    after = {
        "aaa": locked["chat"].model_copy(update={"context": 4096}),
        "chat": plan_of(keys={"pools": {"a100": A100}}).decision,
        "new": locked["chat"],
    }
    found = changes(both, after)
    replaced = [change.replaces_machines for change in found]
    assert replaced == sorted(replaced, reverse=True)
    assert {change.field for change in found if change.replaces_machines} == {"accelerator", "machine_type"}
    assert "new: service absent -> planned" in {str(change) for change in found}
    assert "chat: service planned -> absent" in {str(change) for change in changes(locked, {})}


def test_a_service_without_a_lock_is_planned_in_dev_and_refused_in_prod(locked: dict[str, Decision]) -> None:
    assert settle(chat(), {}).new == ("chat",)
    (finding,) = refusal(lambda: settle(chat(profile="prod"), {}, stack_name="live"))
    assert finding.code == "unlocked"
    assert finding.remedy == "run: modelberth plan --update live"
    settle(chat(profile="prod"), locked)


def test_a_first_plan_of_prod_is_made_on_request() -> None:
    assert settle(chat(profile="prod"), {}, update=True).new == ("chat",)


def test_a_new_service_is_planned_beside_locked_ones(locked: dict[str, Decision]) -> None:
    services = {"chat": document(typical_tokens=3000), "draft": document(model=QWEN_7B, pool="cpu", concurrency=2)}
    settled = settle(stack(stack_document(services, **POOLS)), locked)
    assert [each.locked for each in settled.plans] == [True, False]
    assert settled.new == ("draft",)
    assert settled.lock["chat"] == locked["chat"]


def test_problems_of_several_services_are_told_together(locked: dict[str, Decision]) -> None:
    services = {"chat": document(context=16384), "draft": document(model="acme/none")}
    paths = [finding.path for finding in refusal(lambda: settle(stack(stack_document(services, **POOLS)), locked))]
    assert paths == ["services.chat", "services.draft.model"]


def test_the_digest_follows_the_decision_and_nothing_else(
    locked: dict[str, Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = locked["chat"]
    before = digest(decision)
    assert len(before) == 64
    assert digest(decision.model_copy(update={"context": 8193})) != before
    monkeypatch.setattr(Catalog, "price", lambda self, machine, capacity="on-demand", *, region=None: None)
    assert digest(settle(chat(), locked).lock["chat"]) == before
    assert digest(plan_of(keys=POOLS, typical_tokens=3000).decision) == before


def test_nothing_is_outgrown_by_the_spec_it_was_made_from(locked: dict[str, Decision]) -> None:
    assert outgrown("chat", chat(), locked["chat"]) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "dev.plan.yaml: expected a mapping"),
        ("a: [1", "dev.plan.yaml, line 2: "),
        ("services: {}", "dev.plan.yaml: schema_version None is not 1"),
        ("schema_version: 2\nservices: {}", "dev.plan.yaml: schema_version 2 is not 1"),
        ("schema_version: 1\nservices: 3", "dev.plan.yaml: services must be a mapping"),
        ("schema_version: 1\nservices: {chat: 3}", "dev.plan.yaml: services.chat"),
        ("schema_version: 1\nservices: {chat: {model: a}}", "dev.plan.yaml: services.chat.engine: "),
        ("schema_version: 1\nschema_version: 1\n", "dev.plan.yaml, line 2: a key appears twice"),
    ],
)
def test_a_file_that_is_no_lock_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(ModelberthError) as caught:
        load(text, "dev.plan.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("machine_type", "g2-standard-9", "g2-standard-9"),
        ("engine", "sglang", "sglang"),
        ("tensor_parallel", 0, "tensor_parallel"),
        ("context", -5, "context"),
        ("context", "many", "context"),
        ("quantization", "q9", "q9"),
        ("accelerator", "nvidia-h100-80gb", "accelerator"),
    ],
)
def test_a_lock_edited_by_hand_into_nonsense_is_refused(
    locked: dict[str, Decision], field: str, value: object, says: str
) -> None:
    content = yaml.safe_load(dump(locked))
    content["services"]["chat"][field] = value
    with pytest.raises(ModelberthError) as caught:
        settle(chat(), load(yaml.safe_dump(content), "dev.plan.yaml"))
    assert says in str(caught.value)


def test_an_entry_of_a_service_that_is_gone_is_dropped(locked: dict[str, Decision]) -> None:
    assert set(settle(chat(), locked | {"gone": locked["chat"]}).lock) == {"chat"}


def test_a_refused_stack_writes_no_lock(locked: dict[str, Decision]) -> None:
    with pytest.raises(Refused):
        settle(chat(context=0x7FFFFFFF), locked, update=True)
