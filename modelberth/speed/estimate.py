"""Time per output token, time to first token and throughput of one replica under steady load, with a checked range.

Calibrated: vLLM 0.11 to 0.19, SGLang 0.5.6 to 0.5.10 and TensorRT-LLM 1.0 to 1.3 on H100, H200, B200 and B300, up to
eight GPUs joined by NVLink, 1 to 2,048 requests at once, prompts of 1,000 to 8,192 and answers of 100 to 8,192 tokens,
in bf16, fp8, nvfp4 and mxfp4. Other GPUs of the same compute capabilities follow from bandwidth, FLOPS and link, int4
from mxfp4. Other engines, older or consumer GPUs and pipeline stages have no measured row and are "not known". Images
in the prompt and speculative decoding are left out: the first costs time, the second saves some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isqrt

from modelberth.catalog import Gpu
from modelberth.catalog.schema import TensorDtype
from modelberth.memory.shapes import Shape
from modelberth.memory.weights import ONE, Ranks, Stored
from modelberth.speed.constants import Spread, constants
from modelberth.speed.explain import Term, tpot_terms, ttft_terms
from modelberth.speed.formulas import first_token_ms, step_ms
from modelberth.speed.work import Traffic, Work, work_of

ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "tensorrt_llm": "TensorRT-LLM"}
CAPABILITIES = frozenset({(9, 0), (10, 0), (10, 3)})
"""Compute capabilities with measured rows: Hopper and Blackwell data centre GPUs."""
FORMATS = frozenset({"bf16", "fp16", "fp8", "nvfp4", "mxfp4", "gptq", "awq"})
MOST_REQUESTS = 2048
MOST_GPUS = 8
CREDIBLE = 4.0
LONGEST_CONTEXT = 32_768
"""Tokens of a request; the longest measured one has 9,216."""


@dataclass(frozen=True)
class Server:
    """One replica. ``expert_ranks`` hold whole experts (1: every rank a slice of each).

    ``selected_tokens`` is what sparse attention reads per query (index_topk in config.json).
    """

    engine: str
    gpu: Gpu
    shape: Shape
    stored: Stored
    ranks: Ranks = ONE
    expert_ranks: int = 1
    selected_tokens: int | None = None
    kv_cache_dtype: str = "auto"

    @property
    def cache_dtype(self) -> str:
        """What "auto" comes to: an fp8 cache for nvfp4 checkpoints, and for all quantized ones on TensorRT-LLM.

        Both follow what ModelOpt checkpoints ask for (kv_cache_quant_algo in hf_quant_config.json; TensorRT-LLM,
        KvCacheConfig.dtype, NVIDIA/TensorRT-LLM pull request 16240), and held-out models are estimated better so.
        """
        if self.kv_cache_dtype != "auto":
            return self.kv_cache_dtype
        quantization = self.stored.quantization
        states = quantization == "nvfp4" or (self.engine == "tensorrt_llm" and quantization not in ("bf16", "fp16"))
        return "fp8" if states else "bf16"


@dataclass(frozen=True)
class Speed:
    """Milliseconds per output token and to the first token, output tokens per second of the whole replica.

    Ranges hold nine measured rows in ten of models left out of the fit. ``running`` requests decode at once on a data
    parallel rank: fewer than asked for when the KV cache is full. Everything is None with a ``reason`` where nothing
    was measured; ``notes`` say what was read differently than stated.
    """

    tpot_ms: float | None = None
    ttft_ms: float | None = None
    output_tokens_per_s: float | None = None
    running: float | None = None
    tpot_range_ms: tuple[float, float] | None = None
    ttft_range_ms: tuple[float, float] | None = None
    output_tokens_per_s_range: tuple[float, float] | None = None
    tpot_terms: tuple[Term, ...] = ()
    ttft_terms: tuple[Term, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()


def estimate(server: Server, traffic: Traffic, most_requests: float | None = None) -> Speed:
    """Speed under a closed loop of ``traffic``.

    ``most_requests`` of ``traffic.context`` tokens fit the KV cache of a data parallel rank (None: all that are asked).
    """
    reason = "; ".join(unknown(server, traffic))
    if reason:
        return Speed(reason=f"not known: {reason}")
    fit = constants()
    running = running_requests(traffic.requests, most_requests)
    work = work_at(server, replace(traffic, requests=running))
    kernels = fit[f"kernels_{server.engine}"]
    step = step_ms(work, fit.value, kernels)
    tpot = sum(step.values())
    waiting = traffic.requests / running - 1
    first = first_token_ms(work, fit.value, fit[f"first_launch_ms_{server.engine}"], tpot, waiting)
    ttft = sum(first.values())
    tpot_range, ttft_range = _around(tpot, fit.tpot), _around(ttft, fit.ttft)
    data = server.ranks.data
    slow, fast = (_throughput(traffic, data, ttft_range[end], tpot_range[end]) for end in (1, 0))
    return Speed(
        tpot_ms=tpot,
        ttft_ms=ttft,
        output_tokens_per_s=_throughput(traffic, data, ttft, tpot),
        running=running,
        tpot_range_ms=tpot_range,
        ttft_range_ms=ttft_range,
        output_tokens_per_s_range=(slow, fast),
        tpot_terms=tpot_terms(step, work, fit, server.gpu),
        ttft_terms=ttft_terms(first, work, fit),
    )


def work_at(server: Server, traffic: Traffic) -> Work:
    """What one GPU of this server does under this traffic."""
    return work_of(
        server.shape,
        server.stored,
        server.gpu,
        server.ranks,
        traffic,
        server.selected_tokens,
        server.cache_dtype,
    )


def running_requests(asked: float, most: float | None) -> float:
    """Requests that decode at once: the smaller of the two, rounded where they meet (requests differ in length).

    A cache that holds fewer than four is a matter of whether the engine starts at all, not of its speed.
    """
    if most is None or most < CREDIBLE:
        return asked
    return asked / (1 + (asked / most) ** 8) ** (1 / 8)


def as_measured(server: Server, traffic: Traffic) -> tuple[Server, Traffic, tuple[str, ...]]:
    """The ranks that a row of the measured corpus ran on.

    The corpus multiplies ranks where experts are parallel: the same run stands in it, equal to the last digit, as
    tensor parallel 8 with expert parallel 8 and as tensor parallel 64 with expert parallel 8. More ranks than NVLink
    joins, whose number is the square of the expert ranks (or equal to them, and of both tensor and data parallel), are
    read as that root, and a note says so.
    """
    ranks, experts = server.ranks, server.expert_ranks
    gpus = ranks.tensor * ranks.data
    root = isqrt(gpus)
    squared = experts == root or (experts == gpus and ranks.tensor == ranks.data)
    if gpus <= server.gpu.nvlink_domain or root * root != gpus or not squared:
        return server, traffic, ()
    data = 1 if ranks.data == 1 else root
    read = replace(server, ranks=Ranks(root // data, ranks.pipeline, data), expert_ranks=root)
    note = f"{gpus} ranks with expert parallel {experts} are read as {root} GPUs: NVLink joins no {gpus}"
    return read, replace(traffic, requests=traffic.requests * ranks.data / data), (note,)


def unknown(server: Server, traffic: Traffic) -> Iterator[str]:
    """What no measured row covers."""
    gpu, ranks, shape = server.gpu, server.ranks, server.shape
    if server.engine not in ENGINES:
        yield f"no measured row of {server.engine}, only of {', '.join(ENGINES.values())}"
    if gpu.cc not in CAPABILITIES or TensorDtype.BF16 not in gpu.dense_tflops:
        yield f"no measured row of a GPU like {gpu.name}, only of compute capability 9.0, 10.0 and 10.3"
    if server.stored.quantization not in FORMATS:
        yield f"no measured row in {server.stored.quantization}, only in {', '.join(sorted(FORMATS))}"
    if ranks.pipeline > 1:
        yield "no measured row with pipeline stages"
    if ranks.tensor * ranks.data > gpu.nvlink_domain:
        yield f"{ranks.tensor * ranks.data} ranks are more than the {gpu.nvlink_domain} that NVLink joins"
    elif ranks.tensor * ranks.data > MOST_GPUS:
        yield f"no measured row of a replica with more than {MOST_GPUS} GPUs"
    elif ranks.tensor * ranks.data > 1 and gpu.link_gb_per_s is None:
        yield f"the catalog lacks the link rate of {gpu.name}"
    if shape.heads % ranks.tensor:
        yield f"{shape.heads} attention heads are not divisible by tensor parallel {ranks.tensor}"
    if traffic.requests * ranks.data > MOST_REQUESTS:
        yield f"no measured row with more than {MOST_REQUESTS:,} requests at once"
    if traffic.input_tokens + traffic.output_tokens > LONGEST_CONTEXT:
        yield f"no measured row near {traffic.input_tokens + traffic.output_tokens:,} tokens per request"
    if traffic.requests <= 0 or traffic.input_tokens < 1 or traffic.output_tokens < 1:
        yield "requests, input_tokens and output_tokens are positive numbers"


def _around(amount: float, spread: Spread) -> tuple[float, float]:
    return amount * spread.low, amount * spread.high


def _throughput(traffic: Traffic, data_ranks: int, ttft_ms: float, tpot_ms: float) -> float:
    """Output tokens per second when every request goes round once in a first token and its followers."""
    round_ms = ttft_ms + (traffic.output_tokens - 1) * tpot_ms
    return traffic.requests * data_ranks * traffic.output_tokens * 1e3 / round_ms
