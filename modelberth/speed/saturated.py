"""The most output tokens per second that a replica gives: as many requests as its KV cache holds."""

from __future__ import annotations

from modelberth.speed.estimate import MOST_REQUESTS, Server, Speed, estimate
from modelberth.speed.work import Traffic


def saturated(
    server: Server, input_tokens: int, output_tokens: int, most_requests: float, max_num_seqs: int = 1024
) -> Speed:
    """Speed at the fullest batch: a data parallel rank holds ``most_requests`` and lets ``max_num_seqs`` in."""
    requests = min(most_requests, max_num_seqs, MOST_REQUESTS / server.ranks.data)
    return estimate(server, Traffic(requests, input_tokens, output_tokens))
