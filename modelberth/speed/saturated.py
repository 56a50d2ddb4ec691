"""The most output tokens per second that a replica gives: as many requests as its KV cache holds."""

from __future__ import annotations

from dataclasses import replace

from modelberth.speed.estimate import MOST_REQUESTS, Server, Speed, estimate
from modelberth.speed.work import Traffic

MOST_SEQUENCES = 1024
"""Requests that engines let in at once on data centre GPUs when nobody says (vLLM 0.33.0, engine/arg_utils.py)."""


def saturated(server: Server, traffic: Traffic, held: float, max_num_seqs: int | None = None) -> Speed:
    """Speed at the fullest batch: a data parallel rank holds ``held`` requests and lets ``max_num_seqs`` in."""
    requests = min(held, max_num_seqs or MOST_SEQUENCES, MOST_REQUESTS / server.ranks.data)
    return estimate(server, replace(traffic, requests=requests))
