"""Does it fit: yes, no or unknown, with the largest context and the number of requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, Accelerator, Sizing
from modelberth.findings import Finding
from modelberth.fit import Fit, Verdict, fit, sizer
from modelberth.memory import Memory, Term, Uniform
from modelberth.units import GIB
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, QWEN_7B, sizing_on

VLLM, LLAMACPP = ENGINES["vllm"], ENGINES["llamacpp"]


def on_cpu(memory_gib: float, **fields: Any) -> Sizing:
    sizing = sizing_on("nvidia-l4", QWEN_7B, quantization="q4_k_m", stored_bytes=4_683_074_240, **fields)
    return replace(sizing, engine_version="b11434", accelerator=Accelerator(None, int(memory_gib * GIB)))


@pytest.mark.parametrize("gpu", ["nvidia-l4", "nvidia-a10g", "nvidia-rtx-4090"])
def test_an_8b_model_in_16_bit_fits_one_card_of_24_gb_with_a_stated_context(gpu: str) -> None:
    assert fit(VLLM, sizing_on(gpu, context=8192, concurrency=1)).verdict is Verdict.FITS


@pytest.mark.parametrize("gpu", ["nvidia-l4", "nvidia-a10g", "nvidia-rtx-4090"])
def test_with_its_full_context_it_does_not(gpu: str) -> None:
    answer = fit(VLLM, sizing_on(gpu, context=131_072, concurrency=1))
    assert answer.verdict is Verdict.DOES_NOT_FIT
    assert "16.00 GiB of KV cache per GPU" in answer.why
    assert f"largest context that fits: {answer.largest_context:,}" in answer.why


def test_the_largest_context_fits_and_one_token_more_does_not() -> None:
    largest = fit(VLLM, sizing_on("nvidia-l4", context=131_072, concurrency=1)).largest_context
    assert largest is not None
    assert fit(VLLM, sizing_on("nvidia-l4", context=largest, concurrency=1)).verdict is Verdict.FITS
    assert fit(VLLM, sizing_on("nvidia-l4", context=largest + 1, concurrency=1)).verdict is not Verdict.FITS


def test_the_number_of_requests_fits_and_one_more_does_not() -> None:
    held = fit(VLLM, sizing_on("nvidia-l4", concurrency=10), typical_tokens=3000).requests
    assert held is not None
    assert fit(VLLM, sizing_on("nvidia-l4", concurrency=held), 3000).verdict is Verdict.FITS
    over = fit(VLLM, sizing_on("nvidia-l4", concurrency=held + 1), 3000)
    assert over.verdict is not Verdict.FITS
    assert f"holds {held} of {held + 1} requests of 3,000 tokens at once" in over.why


@dataclass(frozen=True)
class Made:
    """An engine whose sum is what a test says."""

    made: Memory
    name: str = "made"
    reads_gguf: bool = False
    reserves_context: bool = False

    def objections(self, sizing: Sizing) -> list[Finding]:
        return []

    def memory(self, sizing: Sizing) -> Memory:
        return self.made


def memory_of(spread_gib: int = 0, outside_gib: int = 0) -> Memory:
    """A card of 100 GiB, 80 of them budget, 10 of them for the cache give or take, a GiB for 1,000 tokens."""
    terms = (Term("all", 70 * GIB, "", "", (70 - spread_gib) * GIB, (70 + spread_gib) * GIB),)
    outside = (Term("beside", outside_gib * GIB, "", ""),)
    return Memory("made", 100 * GIB, 80 * GIB, terms, Uniform(GIB // 1000, 1, ""), outside)


def answer_of(memory: Memory, context: int, concurrency: int = 1, *, slots: bool = False) -> Fit:
    sizing = sizing_on("nvidia-l4", context=context, concurrency=concurrency)
    return fit(Made(memory, reserves_context=slots), sizing)


@pytest.mark.parametrize(
    ("context", "verdict"),
    [
        (7_000, Verdict.FITS),
        (7_001, Verdict.UNKNOWN),
        (10_000, Verdict.UNKNOWN),
        (13_000, Verdict.UNKNOWN),
        (13_001, Verdict.DOES_NOT_FIT),
    ],
)
def test_it_fits_when_the_least_holds_it_and_does_not_when_the_most_lacks_it(context: int, verdict: Verdict) -> None:
    answer = answer_of(memory_of(spread_gib=3), context)
    assert answer.verdict is verdict
    assert answer.largest_context == 7_000


def test_too_close_to_call_says_between_which_figures() -> None:
    answer = answer_of(memory_of(spread_gib=3), 10_000)
    assert answer.memory is not None
    assert answer.why.startswith("too close to call, the KV cache gets 7.00 GiB to 13.00 GiB: one request of 10,000 ")
    assert answer.why.endswith("largest context that fits: 7,000")


def test_an_exact_sum_is_never_too_close() -> None:
    assert answer_of(memory_of(), 10_000).verdict is Verdict.FITS
    assert answer_of(memory_of(), 10_001).verdict is Verdict.DOES_NOT_FIT


def test_requests_are_counted_on_the_least_too() -> None:
    assert answer_of(memory_of(spread_gib=3), 1_000).requests == 7
    assert answer_of(memory_of(spread_gib=3), 1_000, 8).verdict is Verdict.UNKNOWN
    assert answer_of(memory_of(spread_gib=3), 1_000, 14).verdict is Verdict.DOES_NOT_FIT


def test_one_request_of_the_whole_context_must_fit_however_short_requests_usually_are() -> None:
    sizing = sizing_on("nvidia-l4", context=9_000, concurrency=2)
    assert fit(Made(memory_of(spread_gib=3)), sizing, typical_tokens=1_000).verdict is Verdict.UNKNOWN
    assert fit(Made(memory_of()), sizing, typical_tokens=1_000).verdict is Verdict.FITS


def test_slots_are_held_all_together_or_not_at_all() -> None:
    assert answer_of(memory_of(spread_gib=3), 1_000, 7, slots=True).verdict is Verdict.FITS
    assert answer_of(memory_of(spread_gib=3), 1_001, 7, slots=True).verdict is Verdict.UNKNOWN
    assert answer_of(memory_of(spread_gib=3), 1_000, 7, slots=True).largest_context == 1_000


def test_what_is_taken_beside_the_budget_must_fit_the_card() -> None:
    assert answer_of(memory_of(outside_gib=20), 1_000).verdict is Verdict.FITS
    over = answer_of(memory_of(outside_gib=21), 1_000)
    assert over.verdict is Verdict.DOES_NOT_FIT
    assert over.why == "takes about 21.00 GiB beside its budget, 20.00 GiB of the card are left for that"


def test_what_may_be_less_beside_the_budget_is_too_close_to_call() -> None:
    beside = Term("beside", 21 * GIB, "", "", low_bytes=20 * GIB)
    close = answer_of(replace(memory_of(), outside=(beside,)), 1_000)
    assert close.verdict is Verdict.UNKNOWN
    assert close.why.startswith("too close to call: takes about 21.00 GiB beside its budget")
    over = replace(beside, low_bytes=20 * GIB + 1)
    assert answer_of(replace(memory_of(), outside=(over,)), 1_000).verdict is Verdict.DOES_NOT_FIT


def test_an_engine_without_a_memory_model_is_not_known() -> None:
    with pytest.raises(KeyError):
        sizer("triton")


def test_the_guides_manifest_leaves_no_room_for_one_request_of_the_default_context() -> None:
    answer = fit(VLLM, sizing_on("nvidia-a100-80gb", LLAMA_70B, tensor_parallel=2, context=131_072, concurrency=256))
    assert answer.verdict is Verdict.DOES_NOT_FIT
    assert answer.memory is not None
    assert answer.memory.kv_bytes_for(131_072) == 20 * GIB
    assert answer.memory.kv_budget_bytes < 6 * GIB
    assert 25_000 < (answer.largest_context or 0) < 40_000


def test_weights_that_exceed_the_budget_are_said_in_gib() -> None:
    answer = fit(VLLM, sizing_on("nvidia-l4", LLAMA_70B))
    assert answer.verdict is Verdict.DOES_NOT_FIT
    assert answer.why.endswith("GiB before any KV cache, may take 20.27 GiB")


def test_what_is_left_is_the_kv_cache_minus_the_requests_held() -> None:
    answer = fit(VLLM, sizing_on("nvidia-l4", concurrency=8), typical_tokens=3000)
    assert answer.memory is not None
    assert answer.spare_bytes == answer.memory.kv_budget_bytes - 8 * answer.memory.kv_bytes_for(3000)


def test_pages_share_the_cache_and_slots_reserve_it() -> None:
    paged = fit(VLLM, sizing_on("nvidia-l4", concurrency=4), typical_tokens=1000)
    slots = fit(LLAMACPP, on_cpu(12, concurrency=4), typical_tokens=1000)
    assert paged.request_tokens == 1000
    assert slots.request_tokens == 8192


def test_slots_divide_the_context_between_them() -> None:
    one, four = (fit(LLAMACPP, on_cpu(7, context=4096, concurrency=count)).largest_context for count in (1, 4))
    assert one is not None
    assert four is not None
    assert one // 4 - 256 < four <= one // 4


def test_too_many_slots_are_counted_together() -> None:
    answer = fit(LLAMACPP, on_cpu(6, concurrency=4))
    assert answer.verdict is Verdict.DOES_NOT_FIT
    assert answer.why.startswith("4 requests of 8,192 tokens need 1.75 GiB of KV cache of memory")


def test_what_cannot_be_sized_is_unknown_never_fits() -> None:
    strange = catalog().model(LLAMA_8B).model_copy(update={"id": "a/b", "architecture": "NobodyKnowsForCausalLM"})
    answer = fit(VLLM, replace(sizing_on("nvidia-h200-141gb"), model=strange))
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.memory is None
    assert answer.why == "the parts of architecture NobodyKnowsForCausalLM (a/b) are not known"


def test_a_model_without_a_stated_maximum_is_sized_with_a_note() -> None:
    row = catalog().model(LLAMA_8B).model_copy(update={"max_position": None})
    for engine, sizing in (
        (VLLM, replace(sizing_on("nvidia-l4", concurrency=1), model=row)),
        (LLAMACPP, replace(on_cpu(16), model=row)),
    ):
        answer = fit(engine, sizing)
        assert answer.verdict is Verdict.FITS
        assert f"the catalog states no maximum context of {LLAMA_8B}" in {note.message for note in answer.notes}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"quantization": "q4_k_m"}, "vLLM does not load q4_k_m"),
        ({"quantization": "nf4"}, "vLLM does not load nf4"),
        ({"tensor_parallel": 3}, "3 does not divide the 32 attention heads"),
        ({"context": 131_073}, "131073 is more than the 131072 tokens"),
        ({"kv_cache_dtype": "q8_0"}, "vLLM has no q8_0 KV cache"),
    ],
)
def test_an_objection_of_the_engine_is_the_reason(fields: dict[str, Any], why: str) -> None:
    answer = fit(VLLM, sizing_on("nvidia-l4", **fields))
    assert answer.verdict is Verdict.DOES_NOT_FIT
    assert why in answer.why


@pytest.mark.parametrize(
    ("gpu", "fields", "why"),
    [
        ("nvidia-t4", {}, "vLLM does not load bf16 on NVIDIA T4: bfloat16 needs compute capability 8.0"),
        (
            "nvidia-t4",
            {"quantization": "fp16", "kv_cache_dtype": "fp8"},
            "fp8 KV cache needs compute capability 8.0",
        ),
        ("nvidia-b200", {"quantization": "int8"}, "vLLM does not load int8 on NVIDIA B200"),
    ],
)
def test_a_gpu_that_lacks_the_type_is_refused(gpu: str, fields: dict[str, Any], why: str) -> None:
    assert why in fit(VLLM, sizing_on(gpu, **fields)).why


def test_a_format_that_a_gpu_only_stores_is_noted() -> None:
    notes = {note.code for note in fit(VLLM, sizing_on("nvidia-a100-80gb", quantization="fp8")).notes}
    assert notes == {"weight-only"}
    assert fit(VLLM, sizing_on("nvidia-h100-80gb", quantization="fp8")).notes == ()
