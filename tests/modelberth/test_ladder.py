"""`quantization: auto` where 16 bit fits nothing: the next format with a known checkpoint, and why."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth.lock import outgrown
from modelberth.plan import Plan, replay
from modelberth.report import decided
from tests.modelberth.samples import LLAMA_70B, plan_of, refusal, stack_of

BIG: dict[str, Any] = {"model": LLAMA_70B, "context": 8192, "concurrency": 4}


def on(gpu: str, **fields: Any) -> Plan:
    return plan_of(**BIG | {"accelerators": [gpu]} | fields)


def test_four_bits_are_taken_where_sixteen_fit_nothing() -> None:
    made = on("nvidia-a100-80gb", tensor_parallel=1)
    assert (made.decision.quantization, made.decision.tensor_parallel) == ("awq", 1)
    assert "AWQ" in made.decision.source.repository
    (why,) = (row[2] for row in decided(made) if row[0] == "weights")
    assert why.startswith("bf16 fits nothing that is allowed, and this is the next best")


def test_fp8_comes_first_where_the_gpu_computes_in_it_and_is_skipped_where_not() -> None:
    small: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B-Instruct", "context": 8192, "concurrency": 2}
    ada = plan_of(**small, gpu_memory_utilization=0.6, accelerators=["nvidia-l4"], tensor_parallel=1)
    ampere = plan_of(**small, gpu_memory_utilization=0.6, accelerators=["nvidia-a10g"], tensor_parallel=1)
    assert (ada.decision.quantization, ampere.decision.quantization) == ("fp8", "awq")


def test_what_fits_in_sixteen_bits_stays_in_them() -> None:
    assert on("nvidia-a100-80gb").decision.quantization == "bf16"


@pytest.mark.parametrize("fields", [{"quantization": "bf16"}, {"model": "Qwen/Qwen3-235B-A22B"}])
def test_a_stated_format_and_a_model_without_a_smaller_checkpoint_are_refused_as_before(fields: dict[str, Any]) -> None:
    (finding,) = refusal(lambda: on("nvidia-l4", tensor_parallel=1, **fields))
    assert finding.code == "does-not-fit"


def test_what_fits_in_no_format_is_refused_with_the_figures_of_the_first() -> None:
    (finding,) = refusal(lambda: on("nvidia-l4", tensor_parallel=1))
    assert (finding.code, "needs 13" in finding.message) == ("does-not-fit", True)


def test_the_lock_of_a_fallen_format_holds() -> None:
    fields = BIG | {"accelerators": ["nvidia-a100-80gb"], "tensor_parallel": 1}
    decision = plan_of(**fields).decision
    assert outgrown("chat", stack_of(**fields), decision) == ()
    assert replay("chat", stack_of(**fields), decision).decision == decision
