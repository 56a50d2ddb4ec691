"""The rows that ``modelberth estimate`` reads: how a model is served, in the words of the engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelberth.errors import ModelberthError, suggest
from modelberth.names import Quantization

Count = Annotated[int, Field(strict=True, ge=1, le=2**31)]
Size = Annotated[int, Field(strict=True, ge=1, le=4096)]
Name = Annotated[str, Field(max_length=300)]
Version = Annotated[str, Field(max_length=300, pattern=r"^~?[a-z]?\d[\w.+-]*$")]
MOST_PROBLEMS = 20
"""Problems of one row that are spelled out."""


class Row(BaseModel):
    """How a model is served. All but the model (or its config), the engine and the GPU (or its memory) is optional.

    ``gpu_memory_gib`` is what the card shows to the engine and wins over the catalog's figure. GPUs are tensor x
    pipeline x data parallel. ``batch`` counts requests that decode at once on one data parallel rank.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())

    id: Any = None
    model: Name | None = None
    config: dict[str, Any] | None = None
    checkpoint: Name | None = None
    checkpoint_bytes: Annotated[int, Field(strict=True, ge=1, le=2**50)] | None = None
    quantization: Annotated[Quantization, Field(strict=False)] | None = None
    kv_cache_dtype: Literal["auto", "bf16", "fp16", "fp8", "int8", "q8_0", "q4_0"] = "auto"
    engine: Literal["vllm", "sglang", "tgi", "tensorrt_llm", "llamacpp", "ollama"]
    engine_version: Version | None = None
    gpu: Name | None = None
    gpu_memory_gib: Annotated[float, Field(gt=0, le=100_000)] | None = None
    tensor_parallel: Size = 1
    pipeline_parallel: Size = 1
    data_parallel: Size = 1
    expert_parallel: Size = 1
    context: Count | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    max_num_seqs: Count | None = None
    max_num_batched_tokens: Count | None = None
    enforce_eager: bool | None = None
    lora_slots: Annotated[int, Field(strict=True, ge=0, le=4096)] = 0
    lora_rank: Annotated[int, Field(strict=True, ge=1, le=4096)] = 16
    draft_model: Name | None = None
    kv_offload_gib: Annotated[float, Field(ge=0, le=100_000)] = 0
    batch: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None


def row_of(content: Mapping[str, Any]) -> Row:
    """The row of a JSON object. Raises :class:`ModelberthError` with everything that is wrong with it."""
    try:
        return Row.model_validate({name: value for name, value in content.items() if value is not None})
    except (ValidationError, RecursionError) as error:
        raise ModelberthError(_in_words(error)) from None


def _in_words(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    problems = error.errors(include_url=False, include_input=False)
    more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
    return "; ".join([_one_problem(each) for each in problems[:MOST_PROBLEMS]] + more)


def _one_problem(problem: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "row"
    if problem["type"] == "extra_forbidden":
        near = suggest(field, Row.model_fields, limit=1)
        return f"{field[:60]}: not a field" + (f", did you mean {near[0]}?" if near else "")
    return f"{field}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
