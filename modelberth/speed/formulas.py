"""Milliseconds of a decode step and of a first token, part by part, from a :class:`Work` and the fitted constants.

Plain arithmetic without branches, so that the fit can put arrays of measured rows where one estimate puts numbers.

A step is a sequence of kernels. Where a kernel both reads and computes, the larger of the two counts (joined as
squares, since neither overlaps perfectly); what kernels take whatever their size is counted per layer; exchanges
between GPUs are latency and bytes. In the closed loop that measured rows come from, every finished request brings a new
prompt, so each step also carries its share of other requests' prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import e

from modelberth.speed.work import Work

MS = 1e3
CHUNK_TOKENS = 8192
"""A full chunk of prompts: what a step takes at most by default on 80 GB cards (vLLM 0.33.0, engine/arg_utils.py)."""


def either(first: float, second: float) -> float:
    """Two things that partly overlap: more than the larger, less than the sum."""
    return (first * first + second * second) ** 0.5


def step_ms(work: Work, c: Mapping[str, float], kernels: float) -> dict[str, float]:
    """Parts of one decode step in ms. ``kernels`` is the engine's factor on what kernels take whatever their size."""
    decode = decode_ms(work, c, kernels)
    prompts = prompts_ms(work, c)
    carries = 1 - e ** -(work.arrivals * work.data_ranks)
    busy = prompts / carries + decode["weights"] + decode["experts"] + decode["cache"]
    launch = carries * (either(c["prompt_launch_ms"] * work.layers, busy) - busy)
    return decode | {"prompts": prompts + launch, "requests": c["request_ms"] * work.requests}


def decode_ms(work: Work, c: Mapping[str, float], kernels: float) -> dict[str, float]:
    """The step without prompts and host work."""
    return {
        "weights": _weights_ms(work, c),
        "experts": _experts_ms(work, c),
        "cache": either(c["cache_read"] * work.cache_bytes / work.memory_bytes_per_s, c["compute"] * work.attention_s)
        * MS,
        "kernels": kernels_ms(work, c) * kernels,
        "exchange": c["all_reduce_ms"] * work.hops
        + c["exchange"] * work.exchange_s * work.requests * work.data_ranks * MS,
    }


def _weights_ms(work: Work, c: Mapping[str, float]) -> float:
    read = c["weight_read"] * (work.weight_bytes + work.output_bytes) + c["four_bit_read"] * work.four_bit_bytes
    computed = c["compute"] * work.requests * (work.matmul_s + work.output_s)
    return either(read / work.memory_bytes_per_s, computed) * MS


def _experts_ms(work: Work, c: Mapping[str, float]) -> float:
    read = c["expert_read"] * work.expert_bytes / work.memory_bytes_per_s
    return either(read, c["expert_compute"] * work.requests * work.expert_s) * c["hopper_experts"] ** work.hopper * MS


def kernels_ms(work: Work, c: Mapping[str, float]) -> float:
    """What kernels take whatever their size: start, sequence and tails, by kind of layer."""
    experts = c["expert_layer_ms"] * work.expert_layers * c["hopper_experts"] ** work.hopper
    layers = (
        c["attention_layer_ms"] * work.attention_layers
        + c["latent_layer_ms"] * work.latent_layers
        + c["state_layer_ms"] * work.state_layers
        + c["index_layer_ms"] * work.index_layers
    )
    small = c["routing_ms"] * work.routing + c["quantize_ms"] * work.quantized_inputs
    return (layers + experts + small) * c["hopper_kernels"] ** work.hopper


def prompts_ms(work: Work, c: Mapping[str, float]) -> float:
    """The prompt tokens that land on one step, on average."""
    tokens = work.arrivals * work.input_tokens
    carries = 1 - e ** -(work.arrivals * work.data_ranks)
    return _prefill_ms(work, c, tokens, carries * work.other_expert_bytes)


def prompt_ms(work: Work, c: Mapping[str, float]) -> float:
    """One prompt alone."""
    return _prefill_ms(work, c, work.input_tokens, work.expert_bytes + work.other_expert_bytes)


def _prefill_ms(work: Work, c: Mapping[str, float], tokens: float, expert_bytes: float) -> float:
    dense = c["prompt_compute"] * tokens * (work.matmul_s + work.prompt_attention_s)
    read = c["expert_read"] * expert_bytes / work.memory_bytes_per_s
    experts = either(c["expert_compute"] * tokens * work.expert_s, read) * c["hopper_experts"] ** work.hopper
    return (dense + experts + c["prompt_exchange"] * tokens * work.exchange_s * work.data_ranks) * MS


def first_token_ms(
    work: Work, c: Mapping[str, float], launch_ms: float, tpot_ms: float, waiting: float
) -> dict[str, float]:
    """Parts of the time to the first token in ms.

    ``launch_ms`` is what one layer of a prompt takes at least on this engine; ``waiting`` the requests that the KV
    cache has no room for, per running one.
    """
    prompt = c["first_prompt"] * prompt_ms(work, c)
    launch = launch_ms * work.layers
    chunk = c["queue_launch"] * launch * work.input_tokens / CHUNK_TOKENS
    queue = c["queue"] * work.requests * work.data_ranks * either(prompt, chunk)
    return {
        "prompt": c["own_prompt"] * either(prompt, launch),
        "queue": queue,
        "steps": c["first_steps"] * tpot_ms,
        "frontend": c["frontend_ms"],
        "cache_full": waiting * work.output_tokens * tpot_ms,
    }
