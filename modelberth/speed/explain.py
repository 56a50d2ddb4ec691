"""The terms of a speed estimate in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelberth.catalog import Gpu
from modelberth.speed.constants import Constants
from modelberth.speed.work import Work


@dataclass(frozen=True)
class Term:
    """One part of the sum, in milliseconds. ``why`` is the arithmetic in words, ``source`` its origin."""

    name: str
    amount_ms: float
    why: str
    source: str


def tpot_terms(step: Mapping[str, float], work: Work, fit: Constants, gpu: Gpu) -> tuple[Term, ...]:
    """One decode step, part by part."""
    rate = f"{gpu.memory_bandwidth_gb_per_s:,.0f} GB/s"
    matrices = work.weight_bytes + work.four_bit_bytes + work.output_bytes
    why = {
        "weights": f"{matrices / 1e9:.2f} GB of weights read at {rate}, {work.requests:.0f} tokens multiplied",
        "experts": f"{work.expert_bytes / 1e9:.2f} GB of touched experts read at {rate}, their products",
        "cache": f"{work.cache_bytes / 1e9:.2f} GB of KV cache and states read at {rate}, attention over them",
        "kernels": f"{work.layers:.0f} layers, what their kernels take whatever their size",
        "exchange": f"two all-reduces in each of {work.layers:.0f} layers" if work.hops else "one GPU: nothing",
        "prompts": f"{work.arrivals * work.input_tokens:.0f} prompt tokens of other requests per step and rank",
        "requests": f"{work.requests:.0f} requests x {fit['request_ms'] * 1e3:.0f} us of sampling and scheduling",
    }
    return _terms(step, why, fit.source)


def ttft_terms(first: Mapping[str, float], work: Work, fit: Constants) -> tuple[Term, ...]:
    """The first token, part by part."""
    why = {
        "prompt": f"{work.input_tokens:.0f} prompt tokens through {work.layers:.0f} layers",
        "queue": f"prompts ahead in the closed loop of {work.requests * work.data_ranks:.0f} requests",
        "steps": "the step under way and the one that samples",
        "frontend": "tokenization and transport",
        "cache_full": "waiting for room in the KV cache" if first["cache_full"] > 1 else "the KV cache has room",
    }
    return _terms(first, why, fit.source)


def _terms(amounts: Mapping[str, float], why: Mapping[str, str], source: str) -> tuple[Term, ...]:
    return tuple(Term(name, amount, why[name], source) for name, amount in amounts.items())
