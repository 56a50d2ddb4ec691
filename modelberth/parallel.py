"""Which numbers of ranks an engine accepts for a model, and the reason for every refusal.

Read off the engines' own checks; each refusal names its source. Vision towers are no reason to refuse: vLLM runs them
whole on every rank where their heads do not divide (0.33.0, model_executor/models/vision.py, since 0.13), SGLang pads
their heads (0.5.22, srt/layers/attention/vision_utils.py). Experts in MXFP4 and NVFP4 are none either: the width of a
rank is padded to whole blocks (vLLM 0.33.0, layers/fused_moe/oracle/mxfp4.py, layers/fused_moe/config.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.catalog import Model
from modelberth.findings import Finding
from modelberth.memory.shapes import Shape
from modelberth.memory.weights import PADDED_VOCAB, SIXTEEN_BIT, Ranks
from modelberth.units import ceil_to
from modelberth.versions import key

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8, 16)
"""What is tried: the numbers of GPUs in machines on offer."""

STAGES = (2, 3, 4)
"""Nodes that may share one copy, tried where no single node holds it."""

NVFP4_GROUP = 16
INTEGER_GROUP = 128
"""Weights that share a scale where the checkpoint states nothing else (AutoAWQ, GPTQModel)."""

EXPERT_WIDTH = "expert width"
REFINED_BLOCKS = ("0.29", 32)
"""vLLM, from this version: blocks of fp8 scales of experts are cut finer while loading, down to this many weights
(``refine_fp8_moe_block_shape``, model_executor/layers/fused_moe/oracle/fp8.py)."""

HALVED_GROUPS = {"vllm": ("0.7.3", frozenset({"awq", "gptq"})), "sglang": ("0", frozenset({"awq"}))}
"""Engine -> (from this version, formats): groups of experts that Marlin cannot take are halved while loading
(layers/quantization/moe_wna16.py of vLLM 0.7.3 to 0.33.0 and of SGLang 0.5.5 to 0.5.22). Not of compressed-tensors
files, which vLLM refuses (compressed_tensors_moe_wna16.py of 0.33.0)."""

FINEST_GROUP = 32
"""Weights down to which they are halved (the same files)."""

NO_STAGES = "it has no pipeline stages"
_EXCHANGES_PER_LAYER = 2
_BYTES_PER_ELEMENT = 2


@dataclass(frozen=True)
class Refusal:
    """One reason why an engine does not start with these ranks. ``field`` is the name of the number in a spec."""

    field: str
    message: str
    source: str


@dataclass(frozen=True)
class _Rules:
    """What one engine asks. ``checks`` is where it says so."""

    checks: str
    replicates_kv_heads: bool = True
    splits_vocabulary: bool = False
    stages: bool = True
    no_nodes: str = ""
    """Why stages of several nodes are not started here; empty where they are."""
    data: bool = True
    experts: bool = True
    uneven_experts: bool = False
    groups_of_quantized_mamba: bool = False
    by_layers: bool = False


_LAYERS_ONLY = "llama.cpp b11434, src/llama-model.cpp: layers are dealt out whole"
_RULES = {
    "vllm": _Rules(
        "vLLM 0.33.0, config/model.py and model_executor/layers", splits_vocabulary=True, uneven_experts=True
    ),
    "sglang": _Rules("SGLang 0.5.22, srt/layers and srt/models", groups_of_quantized_mamba=True),
    "tensorrt_llm": _Rules(
        "TensorRT-LLM@00547a2, tensorrt_llm/_torch/modules/attention.py and models/modeling_utils.py",
        no_nodes="it starts on several nodes through mpirun only, which is not rendered",
    ),
    "tgi": _Rules(
        "TGI@db931fc, server/text_generation_server/models",
        replicates_kv_heads=False,
        stages=False,
        data=False,
        experts=False,
    ),
    "llamacpp": _Rules(_LAYERS_ONLY, by_layers=True, stages=False, data=False, experts=False),
    "ollama": _Rules(_LAYERS_ONLY, by_layers=True, stages=False, data=False, experts=False),
}


@dataclass(frozen=True)
class Served:
    """What is split: a model in a format, by an engine of a version (both as in the catalog)."""

    engine: str
    version: str
    model: Model
    quantization: str
    expert_parallel: bool = False


def refusals(served: Served, ranks: Ranks) -> tuple[Refusal, ...]:
    """Everything that keeps the engine from starting with these ranks; empty when it starts."""
    rules, model = _RULES[served.engine], served.model
    found = [*_stages(rules, model, ranks), *_experts(rules, served, ranks)]
    if ranks.data > 1 and not rules.data:
        found.append(("data_parallel", f"{served.engine} has no data parallel ranks: start more replicas"))
    if rules.by_layers and model.num_layers and ranks.tensor > model.num_layers:
        found.append(("tensor_parallel", f"{ranks.tensor} GPUs are more than the {model.num_layers} layers"))
    elif ranks.tensor > 1 and not rules.by_layers:
        messages = [*_heads(rules, served, ranks.tensor), *_widths(served, ranks.tensor)]
        messages += [*_scales(served, ranks.tensor), *_vocabulary(rules, model, ranks.tensor)]
        found += [("tensor_parallel", message) for message in messages]
    return tuple(Refusal(field, message, rules.checks) for field, message in found)


def no_nodes(engine: str) -> str:
    """Why the engine is not started on several nodes that share a model, layer by layer; empty where it is."""
    rules = _RULES[engine]
    return rules.no_nodes if rules.stages else NO_STAGES


def tensor_sizes(served: Served, most: int = 16) -> tuple[int, ...]:
    """Tensor parallel sizes that the engine accepts, one stage, smallest first."""
    return tuple(n for n in range(1, most + 1) if not refusals(served, Ranks(n)))


def findings(served: Served, ranks: Ranks) -> Iterator[Finding]:
    """The first refusal of each number as an error, with the sizes that would do."""
    first = {refusal.field: refusal for refusal in reversed(refusals(served, ranks))}
    for field, refusal in first.items():
        way_out = ""
        if field == "tensor_parallel":
            way_out = f"one of {', '.join(map(str, tensor_sizes(served)))}"
        yield Finding(field.replace("_", "-"), field, refusal.message, way_out)


def exchanged_bytes(shape: Shape, tensor_parallel: int, tokens: int) -> int:
    """Bytes that each rank sends while ``tokens`` pass through the model: two sums over all ranks per layer.

    A sum over n ranks sends 2 (n - 1) / n of the 16-bit activations (ring all-reduce, NCCL's own busbw factor); after
    attention and after the feed-forward (Shoeybi et al. 2019, Megatron-LM, section 3).
    """
    activations = tokens * shape.hidden * _BYTES_PER_ELEMENT
    return 2 * (tensor_parallel - 1) * activations * _EXCHANGES_PER_LAYER * shape.layers // tensor_parallel


def _stages(rules: _Rules, model: Model, ranks: Ranks) -> Iterator[tuple[str, str]]:
    if ranks.pipeline > 1 and not rules.stages:
        yield "pipeline_parallel", NO_STAGES
    elif model.num_layers and ranks.pipeline > model.num_layers:
        yield "pipeline_parallel", f"{ranks.pipeline} stages are more than the {model.num_layers} layers of {model.id}"


def _experts(rules: _Rules, served: Served, ranks: Ranks) -> Iterator[tuple[str, str]]:
    if not served.expert_parallel:
        return
    experts, shares = served.model.num_experts or 0, ranks.expert
    if not rules.experts:
        yield "expert_parallel", f"{served.engine} has no expert parallel ranks"
    elif not experts:
        yield "expert_parallel", f"{served.model.id} has no experts"
    elif experts < shares or (experts % shares and not rules.uneven_experts):
        yield "expert_parallel", _divides(shares, f"{experts} experts", served.model)


def _heads(rules: _Rules, served: Served, size: int) -> Iterator[str]:
    """Query heads are split evenly, KV heads split or replicated evenly, heads of linear attention and Mamba split."""
    model = served.model
    if model.num_attention_heads % size:
        yield _divides(size, f"{model.num_attention_heads} attention heads", model)
        return
    even = {
        "attention heads of sliding layers": model.sliding_attention_heads,
        "linear attention key heads": model.linear_num_key_heads,
        "linear attention value heads": model.linear_num_value_heads,
        "Mamba heads": model.mamba_num_heads,
    }
    yield from (_divides(size, f"{heads} {name}", model) for name, heads in even.items() if heads and heads % size)
    if not model.kv_lora_rank:
        for heads in {model.num_kv_heads, model.global_kv_heads or model.num_kv_heads}:
            if heads % size and (size % heads or not rules.replicates_kv_heads):
                yield _divides(size, f"{heads} KV heads", model)
    groups = model.mamba_groups or 1
    may_replicate = not rules.groups_of_quantized_mamba or served.quantization in SIXTEEN_BIT
    if model.mamba_groups and groups % size and not (groups == 1 and may_replicate):
        yield _divides(size, f"{groups} Mamba groups", model)


def _vocabulary(rules: _Rules, model: Model, size: int) -> Iterator[str]:
    padded = ceil_to(model.vocab_size or 0, PADDED_VOCAB)
    if rules.splits_vocabulary and padded % size:
        yield _divides(size, f"vocabulary of {padded}", model)


def _widths(served: Served, size: int) -> Iterator[str]:
    """Feed-forwards are cut in equal slices."""
    for name, width in _feed_forwards(served):
        if width % size:
            yield _divides(size, f"{name} {width}", served.model)


def _scales(served: Served, size: int) -> Iterator[str]:
    """A rank holds whole groups of the weights that share a scale.

    vLLM: ``verify_group_size_divides_partition``, ``validate_fp8_block_shape``, ``validate_fp8_block_shape_moe``;
    SGLang has the same checks in srt/layers/quantization/fp8.py and marlin_utils.py.
    """
    model, group = served.model, _group(served)
    if group is None:
        return
    for name, width in _feed_forwards(served):
        experts = name == EXPERT_WIDTH
        if _is_quantized(served, "experts" if experts else "mlp"):
            yield from _whole_groups(served, name, width, size, _expert_group(served, group) if experts else group)
    if _is_quantized(served, "attention"):
        width = model.num_attention_heads * (model.v_head_dim or model.head_dim)
        yield from _whole_groups(served, "attention width", width, size, group)


def _whole_groups(served: Served, name: str, width: int, size: int, group: int) -> Iterator[str]:
    if width % size == 0 and (width // size) % group:
        share = f"{width // size} of the {name} {width} on each of {size} ranks"
        scale = f"the {group} weights that share one {served.quantization} scale"
        yield f"{share} is no multiple of {scale} in {served.model.id}"


def _feed_forwards(served: Served) -> Iterator[tuple[str, int]]:
    model = served.model
    if model.num_experts and not served.expert_parallel:
        yield EXPERT_WIDTH, model.moe_intermediate_size or model.intermediate_size or 0
    dense = model.dense_intermediate_size or model.intermediate_size
    if dense and (not model.num_experts or model.first_k_dense or model.dense_intermediate_size):
        yield "feed-forward width", dense
    for width in model.mlp_widths or ():
        yield "feed-forward width", width


def _group(served: Served) -> int | None:
    """Weights along a row that share a scale; None where a scale covers whole rows or the layout is not stated."""
    stated = served.model.group_size if served.model.quantization == served.quantization else None
    match served.quantization:
        case "awq" | "gptq":
            return stated or INTEGER_GROUP
        case "nvfp4":
            return NVFP4_GROUP
        case "fp8":
            return stated
        case _:
            return None


def _expert_group(served: Served, group: int) -> int:
    """The same for experts: 1 where slices are padded, less where scales are refined or groups halved while loading."""
    if served.quantization == "nvfp4":
        return 1
    halved_since, formats = HALVED_GROUPS.get(served.engine, ("0", frozenset()))
    if served.quantization in formats and key(served.version) >= key(halved_since) and not served.model.symmetric:
        return min(group, FINEST_GROUP)
    since, finest = REFINED_BLOCKS
    refines = served.engine == "vllm" and key(served.version) >= key(since)
    return min(group, finest) if served.quantization == "fp8" and refines else group


def _is_quantized(served: Served, role: str) -> bool:
    stated = served.model.formats.get(role) if served.model.quantization == served.quantization else None
    return stated is None or stated.value == served.quantization


def _divides(size: int, what: str, model: Model) -> str:
    return f"{size} does not divide the {what} of {model.id}"
