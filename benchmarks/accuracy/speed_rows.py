"""Measured rows of truth/serving_speed.csv as what the estimator is told and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

from benchmarks.accuracy.told import number, serving
from modelberth.catalog import catalog
from modelberth.memory import shape_of, stored_as
from modelberth.memory.kv import kv_bytes_per_token
from modelberth.memory.weights import Ranks, safetensors_bytes
from modelberth.speed.estimate import Server
from modelberth.speed.work import Traffic, stored_kind

FAMILIES = {"deepseek-ai/DeepSeek-R1": "DeepSeek R1 and V3", "deepseek-ai/DeepSeek-V3": "DeepSeek R1 and V3"}
"""Models of one shape are held out together."""
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
    for cells, told in serving():
        row = _row(cells, told)
        server, traffic = row.run
        same = (row.model, server.gpu.id, server.engine, server.ranks, traffic, round(row.tpot_ms, 3))
        found.append(replace(row, repeated=same in seen))
        seen.add(same)
    return found


def _row(cells: Mapping[str, str], told: Mapping[str, Any]) -> Row:
    model = catalog().model(told["model"])
    server = Server(
        engine=told["engine"],
        gpu=catalog().gpu(told["gpu"]),
        shape=shape_of(model),
        stored=stored_as(model, told["quantization"], None, None),
        ranks=Ranks(told["tensor_parallel"], told["pipeline_parallel"], told["data_parallel"]),
        expert_ranks=told["expert_parallel"],
        selected_tokens=model.index_topk,
    )
    traffic = Traffic(told["batch"], told["input_tokens"], told["output_tokens"])
    run = _as_run(server, traffic) if cells["attention_dp"] else (server, traffic)
    return Row(
        id=told["id"],
        model=model.id,
        stated=(server, traffic),
        run=run,
        tpot_ms=float(cells["tpot_ms"]),
        ttft_ms=number(cells["ttft_ms"]),
        repeated=False,
    )


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
