"""What is launched, on every version of every engine: the version has the flags, and `read` gives back the facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, read
from modelberth.engines.flags import FlagTable, table
from modelberth.findings import Refused
from modelberth.names import Packaging
from modelberth.observed import Observed
from modelberth.placement import accelerator_of
from modelberth.plan import Plan, sizing_of
from tests.modelberth.lines import Case, cases
from tests.modelberth.samples import container
from tests.proofs import DUMP, claims_of_cases

proves = claims_of_cases(DUMP)


@pytest.fixture(params=cases(), ids=str, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="module")
def plan(case: Case) -> Plan:
    try:
        return case.plan
    except Refused as refused:
        said = " ".join(finding.message for finding in refused.findings)
        if case.version not in said:
            raise
        pytest.skip(f"this version cannot: {said}")


@pytest.fixture(scope="module")
def observed(plan: Plan) -> Observed:
    seen = read(container(plan.launch))
    assert seen is not None
    return seen


def table_of(case: Case, plan: Plan) -> FlagTable | None:
    """None for an engine that takes no flags."""
    if plan.spec.packaging is Packaging.TRITON:
        return table("triton", catalog().engine(case.engine).triton_releases[case.version])
    try:
        return table(case.engine, case.version)
    except FileNotFoundError:
        return None


def words_of(plan: Plan) -> list[tuple[str, ...]]:
    group = plan.launch.group
    return [plan.launch.args, *([group.args] if group else [])]


def test_every_engine_is_tried_on_every_version() -> None:
    tried = {(case.engine, case.version) for case in cases()}
    assert tried == {(name, version) for name in ENGINES for version in catalog().engine(name).versions}


@proves("the version has every flag that is written for golden specs and shipped stacks")
def test_the_version_takes_every_flag_that_is_written(case: Case, plan: Plan) -> None:
    for words in words_of(plan):
        not_taken = ENGINES[case.engine].unknown_flags(words, case.version)
        assert [word for word in not_taken if word.startswith("-")] == []


def test_every_flag_is_spelled_out_and_gets_what_it_takes(case: Case, plan: Plan) -> None:
    known = table_of(case, plan)
    if known is None:
        assert not [word for words in words_of(plan) for word in words if word.startswith("-")]
        return
    for words in words_of(plan):
        for index, word in enumerate(words):
            if word.startswith("-") and not word[1:].replace(".", "").isdigit():
                assert word in known.flags, word
                followed = index + 1 < len(words) and not words[index + 1].startswith("--")
                assert followed == (known.flags[word][1] not in ("none", "off")), (word, known.flags[word])


def test_a_flag_that_is_written_cannot_be_said_again_by_arguments_of_ones_own(case: Case, plan: Plan) -> None:
    own = len(plan.spec.extra_args)
    for words in words_of(plan):
        written = [word for word in words[: len(words) - own] if word.startswith("--")]
        managed = ENGINES[case.engine].managed_flags(tuple(written))
        assert [word for word in written if word not in managed] == []


def test_a_flag_that_no_version_has_would_be_noticed(case: Case, plan: Plan) -> None:
    words = (*plan.launch.args, "--no-such-flag-anywhere", "1")
    assert "--no-such-flag-anywhere" in ENGINES[case.engine].unknown_flags(words, case.version)


def test_engine_and_version_are_read_from_the_image(plan: Plan, observed: Observed) -> None:
    assert (observed.engine, observed.engine_version) == (plan.decision.engine, plan.decision.engine_version)
    assert not observed.version_assumed


def test_nothing_that_is_launched_is_undecided_when_it_is_read(observed: Observed) -> None:
    assert observed.undecided == ()
    assert not observed.anonymous_path or observed.model


def test_the_repository_that_is_served_is_read_back(plan: Plan, observed: Observed) -> None:
    assert observed.model in (plan.decision.source.repository, plan.decision.model)


def test_the_format_is_read_back_or_is_what_the_repository_stores(plan: Plan, observed: Observed) -> None:
    stored = catalog().checkpoint(observed.model) if observed.model else None
    implied = stored.quantization if stored else plan.model.quantization
    sixteen_bit = {"float16": "fp16", "half": "fp16", "bfloat16": "bf16"}.get(observed.dtype or "")
    assert (observed.quantization or sixteen_bit or implied) == plan.decision.quantization


def test_the_sizing_that_was_planned_is_the_sizing_that_is_read(case: Case, plan: Plan, observed: Observed) -> None:
    decision = plan.decision
    planned = sizing_of(decision, plan.model)
    engine = ENGINES[case.engine]
    again = engine.sizing(observed, plan.model, accelerator_of(catalog().machine(decision.machine_type)))
    assert (again.engine_version, again.accelerator) == (planned.engine_version, planned.accelerator)
    for fact in (
        "context", "concurrency", "tensor_parallel", "pipeline_parallel", "data_parallel",
        "max_num_batched_tokens", "gpu_memory_utilization", "enforce_eager",
    ):  # fmt: skip
        if fact == "enforce_eager" and "--enforce-eager" in plan.spec.extra_args:
            assert again.enforce_eager
            continue
        assert getattr(again, fact) == getattr(planned, fact), fact
    assert planned.kv_cache_dtype in ("auto", again.kv_cache_dtype)


def test_what_is_carried_beside_the_model_is_read_back_as_it_was_sized(
    case: Case, plan: Plan, observed: Observed
) -> None:
    planned, seen = sizing_of(plan.decision, plan.model), observed.extras
    for fact in ("lora_slots", "method", "draft_tokens", "kv_offload_bytes"):
        assert getattr(seen, fact) == getattr(planned.extras, fact), fact
    memory = ENGINES[case.engine].memory
    assert memory(replace(planned, extras=seen)) == memory(planned)
