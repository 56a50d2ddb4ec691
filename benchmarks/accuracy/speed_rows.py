"""Measured rows of truth/serving_speed.csv as what the estimator is told and what was measured."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import isqrt
from pathlib import Path

from modelberth.catalog import Model, catalog
from modelberth.memory import shape_of, stored_as
from modelberth.memory.kv import kv_bytes_per_token
from modelberth.memory.shapes import Shape
from modelberth.memory.weights import Ranks, safetensors_bytes
from modelberth.speed.estimate import Server
from modelberth.speed.work import Traffic, stored_kind

TRUTH = Path(__file__).parent / "truth" / "serving_speed.csv"
GPUS = {
    "h100_sxm": "nvidia-h100-80gb",
    "h200_sxm": "nvidia-h200-141gb",
    "b200_sxm": "nvidia-b200",
    "b300_sxm": "nvidia-b300",
    "gb200": "nvidia-gb200",
}
MODELS = {
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "zhipuai/GLM-5": "zai-org/GLM-5",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-ai/DeepSeek-R1",
    "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-ai/DeepSeek-V3",
}
FAMILIES = {"deepseek-ai/DeepSeek-R1": "DeepSeek R1 and V3", "deepseek-ai/DeepSeek-V3": "DeepSeek R1 and V3"}
"""Models of one shape are held out together."""
ENGINES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrt_llm"}
QUANTIZATIONS = {"fp8": "fp8", "fp8_block": "fp8", "nvfp4": "nvfp4", "fp4": "nvfp4", "bf16": "bf16", "int4_wo": "gptq"}
GB = 1e9


@dataclass(frozen=True)
class Row:
    """One measured row. ``stated`` is what the estimator is told, ``run`` the ranks that it ran on."""

    id: str
    model: str
    stated: tuple[Server, Traffic]
    run: tuple[Server, Traffic]
    tpot_ms: float
    ttft_ms: float | None
    repeated: bool

    @property
    def family(self) -> str:
        """What is left out of the fit together."""
        return FAMILIES.get(self.model, self.model.rpartition("/")[2])


def rows() -> list[Row]:
    """Rows whose quantization is stated and whose tensor parallel ranks divide the attention heads."""
    seen: set[tuple[object, ...]] = set()
    found = []
    with TRUTH.open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            row = _row(cells)
            if row is None:
                continue
            server, traffic = row.run
            same = (row.model, server.gpu.id, server.engine, server.ranks, traffic, round(row.tpot_ms, 3))
            found.append(replace(row, repeated=same in seen))
            seen.add(same)
    return found


def _row(cells: dict[str, str]) -> Row | None:
    quantization = QUANTIZATIONS.get(cells["gemm_quant"] or cells["precision"])
    model_id = MODELS.get(cells["model"], cells["model"])
    model = model_named(model_id)
    tensor, experts = int(cells["tp"]), int(cells["moe_ep"] or 1) or 1
    if quantization is None or model.num_attention_heads % tensor:
        return None
    data = max(1, int(cells["attention_dp"] or 1))
    server = Server(
        engine=ENGINES[cells["engine"]],
        gpu=catalog().gpu(GPUS[cells["system"]]),
        shape=_shape(model_id),
        stored=stored_as(model, quantization, None, None),
        ranks=Ranks(tensor, 1, data),
        expert_ranks=experts,
        selected_tokens=model.index_topk,
    )
    traffic = Traffic(float(cells["batch_size"]), int(cells["isl"]), int(cells["osl"]))
    run = _as_run(server, traffic) if cells["attention_dp"] else (server, traffic)
    ttft = float(cells["ttft_ms"]) if cells["ttft_ms"] else None
    return Row(cells["id"], model_id, (server, traffic), run, float(cells["tpot_ms"]), ttft, False)


def model_named(model_id: str) -> Model:
    """The catalog's row."""
    return catalog().model(model_id)


@cache
def _shape(model_id: str) -> Shape:
    return shape_of(model_named(model_id))


def _as_run(server: Server, traffic: Traffic) -> tuple[Server, Traffic]:
    """The ranks of the run: rows that state ranks = expert ranks squared ran on their root (doubles prove it)."""
    stated, experts = server.ranks, server.expert_ranks
    gpus = stated.tensor * stated.data
    root = isqrt(gpus)
    squared = experts > 1 and gpus == experts * experts
    both = experts > 1 and stated.tensor == stated.data and gpus == experts
    if not (squared or both):
        return server, traffic
    ranks = Ranks(root) if stated.data == 1 else Ranks(1, 1, root)
    requests = traffic.requests * stated.data / ranks.data
    return replace(server, ranks=ranks, expert_ranks=root), replace(traffic, requests=requests)


def requests_with_room(server: Server, traffic: Traffic) -> float | None:
    """Requests that the KV cache of one data parallel rank holds, roughly; None where hardly four fit (not credible).

    92 % of the card without 2 GB and the weights; fp8 cache on Blackwell and TensorRT-LLM, as those runs were started.
    """
    shape, ranks, gpu = server.shape, server.ranks, server.gpu
    dtype = "fp8" if server.engine == "tensorrt_llm" or (gpu.cc and gpu.cc[0] >= 10) else "bf16"
    exceptions = tuple((part.name, stored_kind(part, server.stored, shape)) for part in shape.parts)
    stored = replace(server.stored, exceptions=exceptions)
    free = 0.92 * gpu.visible_memory_bytes - safetensors_bytes(shape, stored, ranks) - 2 * GB
    room = free / (kv_bytes_per_token(shape, dtype, ranks.tensor) * traffic.context)
    return room if room > 4 else None


def groups(found: list[Row]) -> Iterator[tuple[str, list[str]]]:
    """(what is left out, its value of each row) of the three cross validations."""
    yield "model", [row.family for row in found]
    yield "GPU", [row.run[0].gpu.id for row in found]
    yield "engine", [row.run[0].engine for row in found]
