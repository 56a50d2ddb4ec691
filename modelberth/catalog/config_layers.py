"""What kinds of layers a ``config.json`` describes: by what they keep of a request, and by feed-forward.

Names and defaults as in Hugging Face transformers 5.23.0 (src/transformers/models/<name>/configuration_<name>.py) and
the configurations that publishers ship with their own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelberth.catalog.config_fields import MOST_EXPERTS, MOST_LAYERS, MOST_TOKENS, MOST_WIDTH, Fields

_FULL = frozenset({"full_attention", "attention", "full", "global", "global_attention", "minimax_m3_sparse"}) | {
    "deepseek_sparse_attention"
}
_SLIDING = frozenset({"sliding_attention", "sliding", "local", "local_attention", "chunked_attention"})
_LINEAR = frozenset({"linear_attention", "mamba", "kda", "conv"})
_PATTERN = {"M": "mamba", "*": "attention", "E": "moe", "-": "mlp"}


@dataclass(frozen=True)
class Kinds:
    """Layers by kind; ``moe`` is None where the model has no experts to count."""

    layers: int
    full: int
    sliding: int = 0
    linear: int = 0
    window: int | None = None
    moe: int | None = None
    mlp: int | None = None


def attention_kinds(config: Fields, layers: int, *, period: int | None = None, chunked: bool = False) -> Kinds:
    """Layers by what they keep. ``period``: every so many-th layer is full where the configuration does not say."""
    window = config.size("sliding_window", "sliding_window_size", most=MOST_TOKENS)
    named = config.items("layer_types")
    if named is not None:
        kinds = _named_layers(config, named, layers)
        chunk = config.size("attention_chunk_size", most=MOST_TOKENS) if chunked else None
        return _with_window(config, kinds, chunk or window)
    if chunked:
        return _chunked(config, layers)
    listed = config.items("hybrid_layer_pattern")
    if listed is not None:
        sliding = _ones(config, "hybrid_layer_pattern", listed, layers)
        return _with_window(config, Kinds(layers, layers - sliding, sliding), window)
    linear = config.section("linear_attn_config")
    if linear is not None:
        full = len(linear.items("full_attn_layers", most=MOST_LAYERS) or ())
        if not 0 <= full <= layers:
            linear.problem("full_attn_layers", f"{full} layers of {layers}")
        return Kinds(layers, full, linear=layers - full)
    interval = config.size("full_attention_interval", most=MOST_LAYERS)
    if interval:
        return Kinds(layers, layers // interval, linear=layers - layers // interval)
    return _by_period(config, layers, window, period)


def _by_period(config: Fields, layers: int, window: int | None, period: int | None) -> Kinds:
    _, pattern = config.raw("sliding_window_pattern", "_sliding_window_pattern")
    if isinstance(pattern, str) and 0 < len(pattern) <= MOST_LAYERS and window:
        letters = pattern.upper()
        sliding = sum(letters[layer % len(letters)] == "L" for layer in range(layers))
        return _with_window(config, Kinds(layers, layers - sliding, sliding), window)
    if not isinstance(pattern, str):
        period = config.size("sliding_window_pattern", "_sliding_window_pattern", most=MOST_LAYERS) or period
    if period:
        full = layers // period
        return _with_window(config, Kinds(layers, full, layers - full), window)
    if not window or config.flag("use_sliding_window") is False:
        return Kinds(layers, layers)
    context = config.size("max_position_embeddings", most=MOST_TOKENS)
    if context and window >= context:
        return Kinds(layers, layers)
    first = config.count("max_window_layers", most=MOST_LAYERS) if config.flag("use_sliding_window") else 0
    full = min(first or 0, layers)
    return Kinds(layers, full, layers - full, window=window)


def _chunked(config: Fields, layers: int) -> Kinds:
    """Llama 4: layers without rotary positions see everything, the others a chunk."""
    chunk = config.size("attention_chunk_size", most=MOST_TOKENS)
    rotary = config.items("no_rope_layers", most=MOST_LAYERS)
    if rotary:
        full = layers - _ones(config, "no_rope_layers", rotary, layers)
    else:
        full = layers // (config.size("no_rope_layer_interval", most=MOST_LAYERS) or 4)
    return Kinds(layers, full, layers - full, window=chunk) if chunk else Kinds(layers, layers)


def _with_window(config: Fields, kinds: Kinds, window: int | None) -> Kinds:
    if kinds.sliding and not window:
        config.problem("sliding_window", "missing, although there are sliding layers")
    return replace(kinds, window=window) if kinds.sliding else kinds


def _named_layers(config: Fields, named: Sequence[Any], layers: int) -> Kinds:
    """Counts the first ``layers`` names; some publishers list their draft layers behind them."""
    if len(named) < layers:
        config.problem("layer_types", f"{len(named):,} items for {layers:,} layers")
    counts = {"full": 0, "sliding": 0, "linear": 0}
    for index, name in enumerate(named[:layers]):
        kind = _kind(name)
        if kind is None:
            config.problem(f"layer_types[{index}]", "not a kind of layer that is known")
            break
        counts[kind] += 1
    return Kinds(layers, **counts)


def _kind(name: object) -> str | None:
    for kind, names in (("full", _FULL), ("sliding", _SLIDING), ("linear", _LINEAR)):
        if isinstance(name, str) and name in names:
            return kind
    return None


def _ones(config: Fields, name: str, items: Sequence[Any], layers: int) -> int:
    if len(items) < layers:
        config.problem(name, f"{len(items):,} items for {layers:,} layers")
    if any(not isinstance(item, int) or item not in (0, 1) for item in items[:layers]):
        config.problem(name, "not all items are 0 or 1")
        return 0
    return sum(items[:layers])


def block_kinds(config: Fields) -> Kinds | None:
    """Nemotron-H: blocks hold either a mixer or a feed-forward, written as letters or as names."""
    letters = config.text("hybrid_override_pattern", most=MOST_LAYERS)
    blocks: Sequence[Any] | None
    if letters is not None:
        blocks = [_PATTERN.get(letter, letter) for letter in letters]
    else:
        blocks = config.items("layers_block_type", most=MOST_LAYERS)
    if not blocks:
        config.problem("hybrid_override_pattern", "missing, as is layers_block_type")
        return None
    names = ("attention", "mamba", "moe", "mlp")
    counts = {name: sum(block == name for block in blocks) for name in names}
    if sum(counts.values()) != len(blocks):
        config.problem("hybrid_override_pattern", "holds a kind of block that is not known")
    stated = config.size("num_hidden_layers", most=MOST_LAYERS)
    if stated and stated != len(blocks):
        config.problem("num_hidden_layers", f"{stated} layers, but {len(blocks)} blocks are listed")
    return Kinds(len(blocks), counts["attention"], linear=counts["mamba"], moe=counts["moe"], mlp=counts["mlp"])


def moe_layers(config: Fields, layers: int) -> int:
    """Layers with experts."""
    named = config.items("mlp_layer_types", most=MOST_LAYERS)
    if named is not None:
        return sum(name in ("sparse", "moe", "hash_moe") for name in named[:layers])
    listed = config.raw("moe_layers")[1]
    if isinstance(listed, list):
        return min(len(config.items("moe_layers", most=MOST_LAYERS) or ()), layers)
    dense = min(config.count("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index") or 0, layers)
    if isinstance(config.raw("moe_layer_freq")[1], list):
        return _ones(config, "moe_layer_freq", config.items("moe_layer_freq", most=MOST_LAYERS) or (), layers)
    enumerated = config.raw("moe_layers_enum")[1]
    if isinstance(enumerated, str):
        return min(enumerated[:10_000].count(",") + 1, layers)
    step = config.size("moe_layer_freq", "interleave_moe_layer_step", "decoder_sparse_step", most=MOST_LAYERS) or 1
    if config.raw("moe_layer_freq")[0]:
        return sum(layer % step == 0 for layer in range(dense, layers))
    only_dense = len(config.items("mlp_only_layers", most=MOST_LAYERS) or ())
    return max(0, (layers - dense) // step - only_dense)


def widths_by_block(config: Fields, hidden: int, heads: int) -> tuple[Kinds, int, dict[int, int]] | None:
    """DeciLM: kinds, KV heads and feed-forward widths of blocks that differ, some without attention, some without MLP.

    Source: vLLM 0.33.0, model_executor/models/nemotron_nas.py (_ffn_mult_to_intermediate_size, DeciLMDecoderLayer).
    """
    blocks = config.items("block_configs", most=MOST_LAYERS)
    if not blocks:
        config.problem("block_configs", "missing")
        return None
    groups: set[int] = set()
    widths: dict[int, int] = {}
    full = 0
    for index, block in enumerate(blocks):
        section = Fields({"block": block}, f"{config.path}block_configs[{index}].", config.problems).section("block")
        attention = section.section("attention") if section else None
        feed_forward = section.section("ffn") if section else None
        if attention is None or feed_forward is None or len(config.problems) > 20:
            config.problem(f"block_configs[{index}]", "has no attention or no ffn")
            break
        if attention.flag("replace_with_linear") or feed_forward.flag("replace_with_linear"):
            attention.problem("replace_with_linear", "blocks replaced by one linear layer are not known")
            break
        if not attention.flag("no_op"):
            full += 1
            groups.add(attention.integer("n_heads_in_group", most=heads) or 1)
        if not feed_forward.flag("no_op"):
            width = _multiplied(feed_forward, hidden)
            widths[width] = widths.get(width, 0) + 1
    if len(groups) != 1:
        config.problem("block_configs", "KV heads differ from block to block")
        return None
    return Kinds(len(blocks), full), heads // groups.pop(), widths


def _multiplied(feed_forward: Fields, hidden: int) -> int:
    stated = feed_forward.size("intermediate_size", most=MOST_WIDTH)
    if stated:
        return stated
    _, factor = feed_forward.raw("ffn_mult")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < MOST_EXPERTS:
        feed_forward.problem("ffn_mult", "not a positive number")
        return 1
    width = int(2 * factor * hidden / 3)
    return -(-width // 256) * 256
