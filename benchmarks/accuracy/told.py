"""What the estimator is told about a measured row: nothing that was measured but the memory that the card shows."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelberth.catalog import Model, catalog
from modelberth.errors import UnknownName

TRUTH = Path(__file__).parent / "truth"
Row = Mapping[str, str]

GPUS = {
    "H100-80GB": "nvidia-h100-80gb",
    "H200-141GB": "nvidia-h200-141gb",
    "B200-180GB": "nvidia-b200",
    "B300-288GB": "nvidia-b300",
    "GB200-192GB": "nvidia-gb200",
    "GB300-288GB": "nvidia-gb300",
    "GB300": "nvidia-gb300",
    "GH200-96GB": "nvidia-gh200-96gb",
    "H20-96GB": "nvidia-h20-96gb",
    "A100-80GB": "nvidia-a100-80gb",
    "L40S-48GB": "nvidia-l40s",
    "L4-24GB": "nvidia-l4",
    "A10G-24GB": "nvidia-a10g",
    "T4-16GB": "nvidia-t4",
    "RTX3090": "nvidia-rtx-3090",
    "RTX4090": "nvidia-rtx-4090",
    "RTX5090": "nvidia-rtx-5090",
    "RTX5090-32GB": "nvidia-rtx-5090",
    "RTX5080-16GB": "nvidia-rtx-5080",
    "RTX-PRO-6000-96GB": "nvidia-rtx-pro-6000",
    "RTXA6000": "nvidia-rtx-a6000",
    "RTX4070-8GB": "nvidia-rtx-4070-8gb",
    "MI300X-192GB": "amd-mi300x",
    "MI325X-256GB": "amd-mi325x",
    "MI355X-288GB": "amd-mi355x",
    "MI355X": "amd-mi355x",
    "DGX Spark GB10": "nvidia-gb10",
    "h100_sxm": "nvidia-h100-80gb",
    "h200_sxm": "nvidia-h200-141gb",
    "b200_sxm": "nvidia-b200",
    "b300_sxm": "nvidia-b300",
    "gb200": "nvidia-gb200",
    "gb300": "nvidia-gb300",
}
MODELS = {
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Qwen3-32B-NVFP4": "Qwen/Qwen3-32B",
    "zhipuai/GLM-5": "zai-org/GLM-5",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-ai/DeepSeek-R1",
    "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-ai/DeepSeek-V3",
}
QUANTIZATIONS = {
    "bf16": "bf16",
    "fp16": "fp16",
    "fp8": "fp8",
    "w8a8": "int8",
    "int8": "int8",
    "mxfp4": "mxfp4",
    "mxfp4 (fp8 act)": "mxfp4",
    "nvfp4": "nvfp4",
    "awq": "awq",
    "int4": "gptq",
    "int4-autoround": "gptq",
    "bnb4": "nf4",
}
SPEED_QUANTIZATIONS = QUANTIZATIONS | {"fp8_block": "fp8", "int4_wo": "gptq"}
KV_CACHE_DTYPES = {"bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "fp8_ds_mla": "fp8", "int8_per_token_head": "int8"}
ENGINES = {
    "vllm": "vllm",
    "sglang": "sglang",
    "trt": "tensorrt_llm",
    "tensorrt-llm": "tensorrt_llm",
    "trtllm": "tensorrt_llm",
    "ollama": "ollama",
}
LEAST_CONTEXT = 4096
"""What a deployment that is known to run, and states no context, must at least hold."""


def read(table: str, truth: Path = TRUTH) -> list[dict[str, str]]:
    """The rows of one table, as text."""
    with (truth / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str | None) -> float | None:
    """The number that a cell holds, None when it holds none."""
    try:
        return float(text or "")
    except ValueError:
        return None


def model_named(name: str) -> Model | None:
    """The catalog's model of this id or alias."""
    try:
        return catalog().model(name)
    except UnknownName:
        return None


def version(text: str | None) -> str | None:
    """The version that a cell names, "~0.11" as 0.11; "V0" alone is 0.6.6, a bound (">=0.21") is none."""
    if (text or "").strip().upper().startswith("V0"):
        return "0.6.6"
    match = re.match(r"[~v]*(\d+\.\d+(?:\.\d+)?(?:rc\d+|\.post\d+)?)", text or "")
    return match[1] if match else None


def deployments(truth: Path = TRUTH) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Every deployment of a known engine and model with what the estimator is told about it."""
    rows = read("deployments", truth)
    return [(r, deployment(r)) for r in rows if r["engine"] in ENGINES and r["tp"] and model_named(r["arch_key"])]


def deployment(r: Row) -> dict[str, Any]:
    """The row of the estimator for one deployment."""
    flags = r["other_flags"]
    context = number(r["max_model_len"])
    if not context and not r["outcome"].startswith("fails"):
        context = LEAST_CONTEXT
    tensor = int(r["tp"] or 1)
    named_by_size = re.search(r"GiB|B/token|KB", r["model_id"])
    return _stated(
        id=r["id"],
        model=r["arch_key"] or r["model_id"],
        checkpoint=None if named_by_size else r["model_id"],
        quantization=_quantization(r),
        kv_cache_dtype=KV_CACHE_DTYPES.get(r["kv_dtype"]),
        engine=ENGINES.get(r["engine"]),
        engine_version=version(r["engine_version"]),
        gpu=GPUS.get(r["gpu"]),
        gpu_memory_gib=_memory_gib(r),
        tensor_parallel=tensor,
        pipeline_parallel=int(r["pp"] or 1),
        context=_whole(context),
        gpu_memory_utilization=number(r["gpu_mem_util"]),
        max_num_seqs=_whole(number(r["max_num_seqs"]) or _flag("max-num-seqs", flags)),
        max_num_batched_tokens=_whole(_flag("max-num-batched-tokens", flags)),
        enforce_eager=True if "enforce-eager" in flags else None,
        expert_parallel=tensor if re.search(r"\bEP\b", flags) else None,
    )


def serving(truth: Path = TRUTH) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Every measured speed of a known model with what the estimator is told about it.

    Left out: rows that state no format of the weights, and tensor parallel ranks that do not divide the attention heads
    (a run cannot have had them).
    """
    rows = [(r, serving_row(r)) for r in read("serving_speed", truth) if r["tp"] and float(r["batch_size"] or 0) > 0]
    return [(r, told) for r, told in rows if told.get("quantization") and _divides(told)]


def serving_row(r: Row) -> dict[str, Any]:
    """The row of the estimator for one measured speed."""
    quantization = QUANTIZATIONS.get(r["gemm_quant"] or r["precision"]) or SPEED_QUANTIZATIONS.get(r["gemm_quant"])
    return _stated(
        id=r["id"],
        model=MODELS.get(r["model"], r["model"]),
        quantization=quantization,
        engine=ENGINES[r["engine"]],
        engine_version=version(r["engine_version"]),
        gpu=GPUS[r["system"]],
        tensor_parallel=int(r["tp"]),
        pipeline_parallel=int(r["pp"] or 1),
        data_parallel=max(1, int(r["attention_dp"] or 1)),
        expert_parallel=int(r["moe_ep"] or 1) or 1,
        batch=int(float(r["batch_size"])),
        input_tokens=int(r["isl"]),
        output_tokens=int(r["osl"]),
    )


def _stated(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _whole(value: float | None) -> int | None:
    return int(value) if value else None


def _flag(name: str, flags: str) -> float | None:
    match = re.search(rf"{name} (\d+)", flags)
    return float(match[1]) if match else None


def _quantization(r: Row) -> str | None:
    if r["weights_quant"] == "fp4":
        return "mxfp4" if r["gpu"].startswith("MI") else "nvfp4"
    return QUANTIZATIONS.get(r["weights_quant"])


def _memory_gib(r: Row) -> float | None:
    """What the card shows: the row's own column, or the figure in the card's name; 80 GB cards show 79.15 GiB."""
    in_name = re.search(r"\(([\d.]+) GiB\)", r["gpu"])
    stated = number(r["total_gpu_gib"]) or (float(in_name[1]) if in_name else None)
    return stated or (79.15 if r["gpu"] == "80GB GPU" else None)


def _divides(told: Mapping[str, Any]) -> bool:
    model = model_named(told["model"])
    return model is not None and model.num_attention_heads % told["tensor_parallel"] == 0
