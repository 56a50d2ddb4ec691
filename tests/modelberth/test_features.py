"""Adapters, drafts, parsers and KV cache on the node: what is launched, sized, fetched, refused and locked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelberth import compatibility
from modelberth.catalog import catalog
from modelberth.decision import Decision, digest
from modelberth.engines import ENGINES, read
from modelberth.features import LABELS
from modelberth.findings import Level
from modelberth.lock import changes, outgrown
from modelberth.memory.extras import LORA_RANKS, slot_rank
from modelberth.names import SpeculativeMethod
from modelberth.plan import Plan
from modelberth.units import GIB
from tests.modelberth.lines import ADAPTER
from tests.modelberth.samples import LLAMA_8B, QWEN_7B, by_path, container, plan_of, refusal, stack_of

L40S: dict[str, Any] = {"accelerators": ["nvidia-l40s"]}
DRAFTED: dict[str, Any] = {"model": "Qwen/Qwen3-8B", **L40S}
DRAFT = {"method": "draft_model", "model": "Qwen/Qwen3-0.6B", "tokens": 3}
SHARED = {"weights": {"w": {"kind": "claim", "size_gib": 100, "access_mode": "ReadWriteMany"}}}
GGUF_DRAFT = "Qwen/Qwen2.5-0.5B-Instruct-GGUF"
OTHER_DRAFT = {"id": "Qwen/Qwen2.5-0.5B-Instruct", "revision": "a" * 40}
SQL, TICKETS = ADAPTER, ADAPTER | {"name": "tickets", "rank": 24}
WITH_FEATURE: dict[str, dict[str, Any]] = {
    "multi_lora": {"adapters": [SQL]},
    "runtime_adapters": {"adapters": [SQL], "runtime_adapter_loading": True},
    "draft_model": {"speculative": DRAFT},
    "ngram": {"speculative": {"method": "ngram", "tokens": 4}},
    "eagle": {"speculative": DRAFT | {"method": "eagle"}},
    "eagle3": {"speculative": DRAFT | {"method": "eagle3"}},
    "mtp": {"speculative": {"method": "mtp", "tokens": 1}},
    "tool_calls": {"tool_call_parser": "hermes"},
    "reasoning": {"reasoning_parser": "qwen3"},
    "kv_offload": {"kv_offload_gib": 8},
}


def after(made: Plan, flag: str) -> str:
    return made.launch.args[made.launch.args.index(flag) + 1]


def terms(made: Plan) -> dict[str, int]:
    assert made.fit.memory
    return {term.name: term.amount_bytes for term in made.fit.memory.terms}


def kv_bytes(made: Plan) -> int:
    assert made.fit.memory
    return made.fit.memory.kv_budget_bytes


# --- adapters


def test_adapters_are_served_under_their_names_from_slots_of_the_next_rank_there_is() -> None:
    made = plan_of(adapters=[SQL, TICKETS], **L40S)
    assert (after(made, "--max-loras"), after(made, "--max-lora-rank")) == ("2", "32")
    first = made.launch.args.index("--lora-modules") + 1
    assert [word.partition("=")[0] for word in made.launch.args[first : first + 2]] == ["sql", "tickets"]


def test_a_slot_is_as_large_as_the_next_rank_that_vllm_has() -> None:
    assert [slot_rank(rank) for rank in (1, 2, 8, 24, 300, 512)] == [1, 8, 8, 32, 320, 512]
    assert all(slot_rank(rank) == rank for rank in LORA_RANKS)


def test_adapters_take_what_their_slots_take_from_the_kv_cache() -> None:
    plain, made = plan_of(**L40S), plan_of(adapters=[SQL, TICKETS], **L40S)
    per_layer = 8192 + 5120 + 5120 + 8192 + 3 * (4096 + 14336)
    assert terms(made)["LoRA slots"] == 2 * 32 * 32 * per_layer * 2
    assert terms(made)["LoRA vocabulary"] == 2 * 32 * 2 * (128256 + 4096) * 2
    assert kv_bytes(plain) - kv_bytes(made) == terms(made)["LoRA slots"] + terms(made)["LoRA vocabulary"]


def test_every_adapter_has_a_download_of_its_own_and_leaves_the_others_as_they_are() -> None:
    one, two = plan_of(adapters=[SQL], **L40S).launch.fetch, plan_of(adapters=[SQL, TICKETS], **L40S).launch.fetch
    assert [step.beside for step in two] == ["", "adapter-sql", "adapter-tickets"]
    assert two[:2] == one
    assert dict(two[1].env)["REVISION"] == SQL["revision"]
    assert len({step.folder for step in two}) == 2 + 1


def test_the_path_of_a_module_is_the_folder_that_its_download_fills() -> None:
    made = plan_of(adapters=[SQL], **L40S)
    assert after(made, "--lora-modules") == f"sql=/weights/{made.launch.fetch[1].folder}"


def test_one_more_adapter_is_said_to_restart_the_pods() -> None:
    before, now = plan_of(adapters=[SQL], **L40S).decision, plan_of(adapters=[SQL, TICKETS], **L40S).decision
    told = [change for change in changes({"chat": before}, {"chat": now}) if "tickets" in str(change)]
    assert told


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({"adapters": [SQL, SQL]}, "adapters[1].name", "sql names 2 adapters"),
        ({"adapters": [SQL | {"rank": 513}]}, "adapters", "more than vLLM has slots for"),
        ({"adapters": [SQL | {"source": "../../etc"}]}, "adapters[0].source", "must be a repository"),
        ({"adapters": [SQL | {"source": "../.."}]}, "adapters[0].source", "must be a repository"),
        ({"adapters": [SQL | {"source": "org/..."}]}, "adapters[0].source", "must be a repository"),
        ({"adapters": [SQL | {"source": "./name"}]}, "adapters[0].source", "must be a repository"),
        ({"adapters": [SQL | {"name": f"a{n}"} for n in range(65)]}, "adapters", "65 adapters are more"),
        ({"adapters": [SQL | {"name": "a" * 36}]}, "adapters[0].name", "4 characters of chat and 36 of the adapter"),
        ({"runtime_adapter_loading": True}, "runtime_adapter_loading", "needs at least one adapter"),
        ({"adapters": [SQL], "weights": "w"}, "adapters", "cannot be told an adapter's revision"),
    ],
)
def test_adapters_that_cannot_be_served_are_refused_where_they_stand(
    fields: dict[str, Any], path: str, said: str
) -> None:
    keys = {"weights": {"w": {"kind": "hub"}}} if "weights" in fields else {}
    findings = by_path(refusal(lambda: plan_of(keys=keys, **L40S, **fields)))
    assert said in findings[f"services.chat.{path}"].message


def test_adapters_of_experts_are_unknown_not_guessed() -> None:
    fields = {"model": "Qwen/Qwen3-30B-A3B", "adapters": [SQL], "accelerators": ["nvidia-h100-80gb"]}
    assert "adapters of experts" in str([each.message for each in refusal(lambda: plan_of(**fields))])


def test_adapters_are_loaded_while_it_runs_only_where_that_is_asked_for_and_with_a_warning() -> None:
    name = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
    quiet, asked = plan_of(adapters=[SQL], **L40S), plan_of(adapters=[SQL], runtime_adapter_loading=True, **L40S)
    assert name not in dict(quiet.launch.env)
    assert dict(asked.launch.env)[name] == "True"
    (warned,) = (each for each in asked.findings if each.code == "runtime-adapters")
    several = plan_of(adapters=[SQL], runtime_adapter_loading=True, weights="w", replicas=2, keys=SHARED, **L40S)
    assert any("reaches one replica" in each.message for each in several.findings)
    assert (warned.level, "load any adapter" in warned.message) == (Level.WARNING, True)


# --- drafts


def test_n_grams_take_no_weights() -> None:
    made = plan_of(speculative={"method": "ngram", "tokens": 4}, **L40S)
    config = json.loads(after(made, "--speculative-config"))
    assert (config["method"], config["num_speculative_tokens"]) == ("ngram", 4)
    assert terms(made) == terms(plan_of(**L40S))


def test_a_draft_model_takes_its_weights_and_its_layers_of_the_kv_cache() -> None:
    plain, made = plan_of(**DRAFTED), plan_of(speculative=DRAFT, **DRAFTED)
    assert 1.0 * GIB < terms(made)["draft model"] < 1.6 * GIB
    assert made.fit.memory
    assert plain.fit.memory
    drafted = 28 * 8 * 2 * 128 * 2
    assert made.fit.memory.kv_bytes_per_token - plain.fit.memory.kv_bytes_per_token == drafted


def test_a_draft_model_is_fetched_beside_the_weights_and_loaded_from_there() -> None:
    made = plan_of(speculative=DRAFT, **DRAFTED)
    assert [step.beside for step in made.launch.fetch] == ["", "draft-model"]
    assert json.loads(after(made, "--speculative-config"))["model"] == f"/weights/{made.launch.fetch[1].folder}"


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({"speculative": DRAFT, **L40S}, "speculative.model", "has a vocabulary of 151936"),
        (
            {"speculative": DRAFT | {"model": GGUF_DRAFT}, "model": QWEN_7B},
            "speculative.model",
            "drafts of 16 bit only",
        ),
        ({"speculative": DRAFT | {"model": "Qwen/Qwen3-8B-FP8"}, **DRAFTED}, "speculative.model", "16 bit"),
        ({"speculative": DRAFT | {"method": "eagle3"}, **DRAFTED}, "speculative.method", "knows no head"),
        ({"speculative": DRAFT | {"method": "eagle"}, **DRAFTED}, "speculative.method", "knows no head"),
        (
            {"speculative": DRAFT | {"model": OTHER_DRAFT}, "model": QWEN_7B, "quantization": "q4_k_m"},
            "speculative.model.revision",
            f"belongs to {OTHER_DRAFT['id']}, the q4_k_m weights come from {GGUF_DRAFT}",
        ),
        ({"speculative": DRAFT | {"model": "nobody/knows"}, **DRAFTED}, "speculative.model", "cannot be sized"),
        ({"speculative": {"method": "mtp", "tokens": 1}, **L40S}, "speculative.method", "multi-token prediction"),
    ],
)
def test_drafts_that_cannot_be_sized_or_understood_are_refused(fields: dict[str, Any], path: str, said: str) -> None:
    findings = refusal(lambda: plan_of(**fields))
    assert said in by_path(findings)[f"services.chat.{path}"].message


@pytest.mark.parametrize(
    "wished",
    [
        {"method": "draft_model", "tokens": 3},
        {"method": "ngram", "model": "Qwen/Qwen3-0.6B", "tokens": 3},
        {"method": "medusa", "tokens": 3},
        {"method": "ngram", "tokens": 33},
    ],
)
def test_a_method_has_a_model_where_it_needs_one_and_only_there(wished: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="speculative"):
        stack_of(speculative=wished)


def test_llama_cpp_drafts_with_a_file_of_the_same_format() -> None:
    wished = {"method": "draft_model", "model": "Qwen/Qwen2.5-0.5B-Instruct", "tokens": 8}
    made = plan_of(model=QWEN_7B, quantization="q4_k_m", speculative=wished)
    assert after(made, "--spec-draft-model").endswith(f"/{made.decision.beside[0].file}")
    assert {"draft model", "draft KV cache", "draft activation"} <= set(terms(made))


def test_another_revision_of_the_draft_than_the_one_locked_is_outgrown() -> None:
    wished = {"id": "Qwen/Qwen3-0.6B", "revision": "a" * 40}
    decision = plan_of(speculative=DRAFT | {"model": wished}, **DRAFTED).decision
    for revision, said in (("a", ()), ("b", (f"the draft's revision is {'b' * 40}, locked {'a' * 40}",))):
        now = stack_of(speculative=DRAFT | {"model": wished | {"revision": revision * 40}}, **DRAFTED)
        assert outgrown("chat", now, decision) == said


# --- parsers


@pytest.mark.parametrize(
    ("engine", "flags"),
    [
        ("vllm", ("--tool-call-parser", "--reasoning-parser")),
        ("sglang", ("--tool-call-parser", "--reasoning-parser")),
        ("tensorrt_llm", ("--tool_parser", "--reasoning_parser")),
    ],
)
def test_parsers_are_passed_by_the_engines_own_flags(engine: str, flags: tuple[str, str]) -> None:
    version = catalog().engine(engine).default_version
    tool = compatibility.parsers(engine, version, "tool_call_parser")[0]
    reasoning = compatibility.parsers(engine, version, "reasoning_parser")[0]
    made = plan_of(
        engine=engine,
        accelerators=["nvidia-h100-80gb"],
        tool_call_parser=tool,
        reasoning_parser=reasoning,
    )
    assert (after(made, flags[0]), after(made, flags[1])) == (tool, reasoning)
    assert ("--enable-auto-tool-choice" in made.launch.args) is (engine == "vllm")


def test_a_parser_that_the_version_does_not_have_is_refused_with_the_names_it_has() -> None:
    findings = by_path(refusal(lambda: plan_of(tool_call_parser="llama3_jsno", **L40S)))
    finding = findings["services.chat.tool_call_parser"]
    assert "did you mean 'llama3_json'?" in finding.message
    assert "hermes" in finding.remedy


def test_a_parser_of_a_newer_version_is_none_of_an_older_one() -> None:
    newest, older = (compatibility.parsers("vllm", version, "tool_call_parser") for version in ("0.33.0", "0.28.0"))
    assert "step5" in set(newest) - set(older)
    assert set(older) <= set(newest)


# --- KV cache on the node


def test_kv_cache_that_leaves_the_gpu_is_memory_of_the_pod_and_lies_in_its_shared_memory() -> None:
    plain, made = plan_of(**L40S), plan_of(kv_offload_gib=8, **L40S)
    assert (after(made, "--kv-offloading-size"), after(made, "--kv-offloading-backend")) == ("8", "native")
    assert made.decision.host.shm_mib - plain.decision.host.shm_mib == 8 * 1024
    assert made.decision.host.memory_mib - plain.decision.host.memory_mib == 8 * 1024
    assert kv_bytes(made) == kv_bytes(plain)


def test_more_kv_cache_than_the_node_has_memory_fits_nowhere() -> None:
    assert "of the node's memory" in str(refusal(lambda: plan_of(kv_offload_gib=4096, **L40S)))


# --- every engine


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("feature", sorted(LABELS))
def test_what_an_engine_is_not_started_with_is_refused_with_a_reason_and_a_way_out(engine: str, feature: str) -> None:
    row = compatibility.feature(engine, feature)
    assert row
    if row.launched:
        return
    found = [
        each
        for each in refusal(lambda: plan_of(engine=engine, **WITH_FEATURE[feature]))
        if each.code == "feature" and LABELS[feature] in each.message
    ]
    assert found
    assert all(row.note and row.note in each.message and each.remedy for each in found)


def test_every_method_of_drafting_is_a_feature() -> None:
    assert {method.value for method in SpeculativeMethod} <= set(LABELS)


def test_triton_is_started_with_none_of_them() -> None:
    wished = {"engine": "tensorrt_llm", "packaging": "triton", "accelerators": ["nvidia-h100-80gb"]}
    findings = by_path(refusal(lambda: plan_of(reasoning_parser="qwen3", **wished)))
    assert findings["services.chat.reasoning_parser"].remedy == "packaging: serve"


# --- locks and reading


def locked(**fields: Any) -> Decision:
    return plan_of(**L40S, **fields).decision


def test_a_decision_without_features_has_the_digest_it_always_had() -> None:
    decision = locked()
    assert (decision.adapters, decision.speculative, decision.kv_offload_gib) == (None, None, None)
    assert digest(decision) == digest(Decision.model_validate(decision.model_dump(exclude_none=True)))
    assert digest(decision) != digest(locked(adapters=[SQL]))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"adapters": [SQL, TICKETS]}, "adapter tickets is not locked"),
        ({}, "adapter sql is locked, and no longer asked for"),
        ({"adapters": [SQL | {"revision": "f" * 40}]}, "adapter sql is another one"),
        ({"adapters": [SQL | {"rank": 8}]}, "adapter sql is another one"),
        ({"adapters": [SQL], "speculative": {"method": "ngram", "tokens": 2}}, "speculative is ngram of 2 tokens"),
        ({"adapters": [SQL], "kv_offload_gib": 4}, "kv_offload_gib is 4, locked None"),
    ],
)
def test_a_lock_with_other_features_is_outgrown(fields: dict[str, Any], said: str) -> None:
    decision = locked(adapters=[SQL])
    assert outgrown("chat", stack_of(adapters=[SQL], **L40S), decision) == ()
    assert any(said in each for each in outgrown("chat", stack_of(**L40S, **fields), decision))


@pytest.mark.parametrize(
    ("args", "fact"),
    [
        (["--enable-lora"], {"lora_slots": 1, "lora_rank": 16}),
        (["--enable-lora", "--max-loras", "4", "--max-lora-rank", "64"], {"lora_slots": 4, "lora_rank": 64}),
        (["--max-loras", "4"], {"lora_slots": 0}),
        (["--kv-offloading-size", "2.5"], {"kv_offload_bytes": int(2.5 * GIB)}),
        (['--speculative-config={"method": "ngram", "num_speculative_tokens": 3}'], {"method": "ngram"}),
        (
            ['--speculative-config={"method":"eagle3","model":"a/b","num_speculative_tokens":2}'],
            {"method": "eagle3", "draft": "a/b", "draft_tokens": 2},
        ),
    ],
)
def test_what_a_hand_written_line_carries_is_a_fact(args: list[str], fact: dict[str, Any]) -> None:
    seen = read({"image": "vllm/vllm-openai:v0.33.0", "args": [LLAMA_8B, *args]})
    assert seen
    assert {name: getattr(seen.extras, name) for name in fact} == fact
    assert seen.undecided == ()


@pytest.mark.parametrize(
    "args",
    [
        ["--enable-lora", "--max-loras", "many"],
        ["--speculative-config", "{not json"],
        ["--speculative-config", '{"method": "medusa", "num_speculative_tokens": 3}'],
        ["--speculative-config", '{"method": "ngram"}'],
        ["--speculative-config", '{"method":"draft_model","model":"/models/small","num_speculative_tokens":2}'],
    ],
)
def test_what_it_carries_and_nobody_can_size_is_undecided(args: list[str]) -> None:
    seen = read({"image": "vllm/vllm-openai:v0.33.0", "args": [LLAMA_8B, *args]})
    assert seen
    assert seen.undecided


def test_an_adapter_of_llama_server_whose_path_tells_no_rank_is_undecided() -> None:
    made = plan_of(quantization="q4_k_m", adapters=[SQL | {"source": "example-org/lora-gguf/sql.gguf"}])
    seen = read(container(made.launch))
    assert seen
    assert (seen.extras.lora_slots, seen.extras.lora_rank) == (1, 16)
    told = container(made.launch)
    told["args"] = [word.replace("/rank-16", "") for word in told["args"]]
    changed = read(told)
    assert changed
    assert [name for name, _ in changed.undecided] == ["lora_scaled"]


def test_adapters_that_do_not_fit_beside_the_model_are_no_plan() -> None:
    many = [SQL | {"name": f"a{n}", "rank": 256} for n in range(64)]
    findings = refusal(lambda: plan_of(adapters=many, accelerators=["nvidia-l4"], tensor_parallel=1))
    assert "fits nothing that is allowed" in findings[0].message
