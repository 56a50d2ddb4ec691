"""Names that several layers share: formats of weights, ways to get a machine, what a plan is best at."""

from __future__ import annotations

from enum import StrEnum


class Quantization(StrEnum):
    """How the weights are stored; ``auto`` lets the plan choose."""

    AUTO = "auto"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    INT8 = "int8"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"
    AWQ = "awq"
    GPTQ = "gptq"
    NF4 = "nf4"
    F16 = "f16"
    Q2_K = "q2_k"
    Q3_K_S = "q3_k_s"
    Q3_K_M = "q3_k_m"
    Q3_K_L = "q3_k_l"
    Q4_0 = "q4_0"
    Q4_1 = "q4_1"
    Q4_K_S = "q4_k_s"
    Q4_K_M = "q4_k_m"
    Q5_0 = "q5_0"
    Q5_1 = "q5_1"
    Q5_K_S = "q5_k_s"
    Q5_K_M = "q5_k_m"
    Q6_K = "q6_k"
    Q8_0 = "q8_0"

    @property
    def is_gguf(self) -> bool:
        """Whether llama.cpp and Ollama read it, and nobody else."""
        return self.value == "f16" or (self.value[0] == "q" and self.value[1].isdigit())


class Capacity(StrEnum):
    """Ways to get a machine."""

    RESERVATION = "reservation"
    ON_DEMAND = "on-demand"
    FLEX_START = "flex-start"
    SPOT = "spot"


class Spread(StrEnum):
    """How replicas are spread: ``prefer`` is over zones and nodes where there is room."""

    PREFER = "prefer"
    NODES = "nodes"
    ZONES = "zones"
    NONE = "none"


class SpeculativeMethod(StrEnum):
    """Who drafts: a smaller model, tokens seen before, a head trained for it, the model's own extra layers."""

    DRAFT_MODEL = "draft_model"
    NGRAM = "ngram"
    EAGLE = "eagle"
    EAGLE3 = "eagle3"
    MTP = "mtp"

    @property
    def has_weights(self) -> bool:
        """Whether the drafts come from weights of their own repository."""
        return self in (self.DRAFT_MODEL, self.EAGLE, self.EAGLE3)


class Packaging(StrEnum):
    """What an engine is started inside of."""

    SERVE = "serve"
    TRITON = "triton"


class Objective(StrEnum):
    """What the best of several machines is best at."""

    COST_PER_HOUR = "cost_per_hour"
    COST_PER_TOKEN = "cost_per_token"  # noqa: S105
    LATENCY = "latency"


class Signal(StrEnum):
    """What replicas follow. ``custom`` is a query or metric of the user's own."""

    QUEUE = "queue"
    RUNNING = "running"
    KV_CACHE = "kv_cache"
    CUSTOM = "custom"


class Scaler(StrEnum):
    """Who changes the number of replicas; both are installed by whoever runs the cluster."""

    KEDA = "keda"
    HPA = "hpa"


class Measure(StrEnum):
    """What an engine tells about itself; which metric that is depends on engine and version."""

    QUEUE = "queue"
    RUNNING = "running"
    KV_CACHE = "kv_cache"
    PREEMPTIONS = "preemptions"
    REQUESTS = "requests"
    ERRORS = "errors"
    PROMPT_TOKENS = "prompt_tokens"
    GENERATION_TOKENS = "generation_tokens"
    TTFT = "ttft"
    ITL = "itl"
    E2E = "e2e"


class DoorKind(StrEnum):
    """What a service is reached through from outside its cluster."""

    GATEWAY = "gateway"
    INGRESS = "ingress"


class Controller(StrEnum):
    """Who carries a door out: it decides which annotations and policies hold source ranges, timeouts and affinity."""

    ENVOY_GATEWAY = "envoy-gateway"
    GKE_GATEWAY = "gke-gateway"
    INGRESS_NGINX = "ingress-nginx"
    OTHER = "other"


class Affinity(StrEnum):
    """Which replica a request goes to: any, the one of its session, or the one that holds most of its prompt."""

    NONE = "none"
    SESSION = "session"
    PREFIX = "prefix"
