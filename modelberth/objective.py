"""What "best" means: cost per hour, cost per token or latency, and the speed that the last two need."""

from __future__ import annotations

from dataclasses import dataclass

from modelberth import speed
from modelberth.engines import Sizing
from modelberth.engines.base import setup_of
from modelberth.memory import Memory
from modelberth.names import Objective
from modelberth.speed import Server, Speed, Traffic


@dataclass(frozen=True)
class Goal:
    """The objective, the traffic of one replica that speed is estimated under, and the most it may cost.

    ``traffic`` is needed by every objective but cost per hour.
    """

    objective: Objective = Objective.COST_PER_HOUR
    traffic: Traffic | None = None
    budget_usd_per_hour: float | None = None

    @property
    def needs_speed(self) -> bool:
        """Whether candidates whose speed is not known lose."""
        return self.objective is not Objective.COST_PER_HOUR


def speed_of(engine: str, sizing: Sizing, memory: Memory, traffic: Traffic) -> Speed:
    """Speed of one replica under ``traffic``, with the requests that its KV cache holds."""
    gpu = sizing.accelerator.gpu
    if gpu is None:
        return Speed(reason="not known: no measured row of a CPU")
    if sizing.extras.method:
        return Speed(reason="not known: it depends on how many drafted tokens are accepted")
    setup = setup_of(sizing)
    server = Server(
        engine=engine,
        gpu=gpu,
        shape=setup.shape,
        stored=setup.stored,
        ranks=setup.ranks,
        selected_tokens=sizing.model.index_topk,
        kv_cache_dtype=sizing.kv_cache_dtype,
    )
    held = memory.kv.concurrency(max(0, memory.kv_budget_bytes), int(traffic.context))
    return speed.estimate(server, traffic, held)


def usd_per_million_tokens(usd_per_hour: float, replicas: int, found: Speed, traffic: Traffic) -> float | None:
    """What a million tokens cost, prompts and answers counted, when all replicas are busy; None without a speed."""
    if not found.output_tokens_per_s:
        return None
    per_answer_token = (traffic.input_tokens + traffic.output_tokens) / traffic.output_tokens
    tokens_per_hour = replicas * found.output_tokens_per_s * per_answer_token * 3600
    return usd_per_hour / tokens_per_hour * 1e6
