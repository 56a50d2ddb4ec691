"""Attention beyond plain heads: latent, sparse, compressed and linear attention; layers that differ.

Field names as in Hugging Face transformers 5.23.0 (src/transformers/models/<name>/configuration_<name>.py) and, for
models that ship their own code, as in vLLM 0.33.0 (vllm/model_executor/models).
"""

from __future__ import annotations

from typing import Any

from modelberth.catalog.config_fields import MOST_HEADS, MOST_LAYERS, MOST_TOKENS, Fields
from modelberth.catalog.config_layers import Kinds

Values = dict[str, Any]


def attention_values(text: Fields, kinds: Kinds, hidden: int, heads: int) -> Values:
    """Fields of a :class:`~modelberth.catalog.schema.Model` that say how its attention departs from plain heads."""
    values = _latent(text, hidden, heads) | _indexers(text, kinds) | _compressed(text, kinds) | _linear(text, kinds)
    if kinds.sliding:
        values |= _two_attentions(text)
    cross = text.items("cross_attention_layers", most=kinds.layers)
    if cross:
        values |= {"cross_attention_layers": len(cross), "full_attention_layers": kinds.layers - len(cross)}
    return values


def _latent(text: Fields, hidden: int, heads: int) -> Values:
    """Multi-head latent attention; ``head_dim`` is then that of queries and keys."""
    rope, low = text.size("qk_rope_head_dim"), text.size("q_lora_rank")
    rank = text.size("kv_lora_rank")
    if not rank:
        return {"qk_rope_dim": rope, "q_lora_rank": low, "v_head_dim": text.size("v_head_dim")}
    nope = text.size("qk_nope_head_dim")
    for value, name in ((rope, "qk_rope_head_dim"), (nope, "qk_nope_head_dim")):
        if not value and not text.raw(name)[0]:
            text.problem(name, "missing")
    return {
        "kv_lora_rank": rank,
        "q_lora_rank": low,
        "qk_rope_dim": rope,
        "qk_nope_dim": nope,
        "v_head_dim": text.size("v_head_dim") or hidden // max(heads, 1),
        "head_dim": (rope or 0) + (nope or 0),
    }


def _indexers(text: Fields, kinds: Kinds) -> Values:
    """Sparse attention: DeepSeek V3.2 and GLM 5 choose tokens, MiniMax M3 blocks of them."""
    blocks = text.section("sparse_attention_config")
    if blocks is not None:
        chosen = [item for item in blocks.items("sparse_attention_freq", most=MOST_LAYERS) or () if item == 1]
        topk = (blocks.size("sparse_topk_blocks") or 0) * (blocks.size("sparse_block_size") or 0)
        return {
            "index_num_heads": blocks.size("sparse_num_index_heads", most=MOST_HEADS),
            "index_head_dim": blocks.size("sparse_index_dim"),
            "index_topk": topk or None,
            "index_layers": len(chosen) or kinds.layers,
        }
    types = text.items("indexer_types", most=MOST_LAYERS)
    return {
        "index_num_heads": text.size("index_n_heads", most=MOST_HEADS),
        "index_head_dim": text.size("index_head_dim"),
        "index_topk": text.size("index_topk", most=MOST_TOKENS),
        "index_layers": None if types is None else sum(kind == "full" for kind in types[: kinds.layers]),
    }


def _compressed(text: Fields, kinds: Kinds) -> Values:
    """DeepSeek V4; the ratios of draft layers stand behind those of the layers. Layers of ratio 4 have an indexer."""
    ratios = text.items("compress_ratios", most=MOST_LAYERS)
    if ratios is None:
        return {}
    if len(ratios) < kinds.layers:
        text.problem("compress_ratios", f"{len(ratios)} items for {kinds.layers} layers")
    found: dict[int, int] = {}
    for ratio in ratios[: kinds.layers]:
        if isinstance(ratio, bool) or not isinstance(ratio, int) or not 0 <= ratio <= 2**20:
            text.problem("compress_ratios", "not all items are whole numbers from 0 to 1,048,576")
            break
        found[ratio] = found.get(ratio, 0) + 1
    return {
        "compressed_layers": dict(sorted(found.items())),
        "sliding_window": text.size("sliding_window", most=MOST_TOKENS),
        "index_layers": found.get(4),
        "o_lora_rank": text.size("o_lora_rank"),
        "o_groups": text.size("o_groups", most=MOST_HEADS),
    }


def _linear(text: Fields, kinds: Kinds) -> Values:
    """Layers that keep a state: Mamba-2, Kimi delta attention, gated delta nets."""
    if not kinds.linear:
        return {}
    section, names = _state_names(text)
    values: Values = {}
    for name, keys in names.items():
        values[name] = section.size(*keys, most=2**20)
        if values[name] is None and not section.raw(*keys)[0]:
            section.problem(keys[0], "missing")
    return values | {"ssm_dtype": text.text("mamba_ssm_dtype", "mamba_ssm_cache_dtype") or "float32"}


def _state_names(text: Fields) -> tuple[Fields, dict[str, tuple[str, ...]]]:
    if text.raw("mamba_num_heads", "mamba_n_heads")[0]:
        return text, {
            "mamba_num_heads": ("mamba_num_heads", "mamba_n_heads"),
            "mamba_head_dim": ("mamba_head_dim", "mamba_d_head"),
            "mamba_state_size": ("ssm_state_size", "mamba_d_state"),
            "mamba_groups": ("n_groups", "mamba_n_groups"),
            "linear_conv_kernel": ("conv_kernel", "mamba_d_conv"),
        }
    if text.raw("conv_L_cache")[0]:  # LFM2: a short convolution is all that such a layer keeps
        return text, {"linear_conv_kernel": ("conv_L_cache",)}
    delta = text.section("linear_attn_config")
    if delta is not None:
        heads = dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), ("num_heads",))
        sizes = dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), ("head_dim",))
        return delta, {**heads, **sizes, "linear_conv_kernel": ("short_conv_kernel_size",)}
    same = ("linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim")
    return text, {**{name: (name,) for name in same}, "linear_conv_kernel": ("linear_conv_kernel_dim",)}


def _two_attentions(text: Fields) -> Values:
    """Where full and sliding layers differ in heads or head sizes (Gemma 4, MiMo V2, Step 3.7)."""
    same = text.flag("attention_k_eq_v")
    other = text.section("attention_other_setting")
    heads = text.size("num_sliding_attention_heads", most=MOST_HEADS)
    values: Values = {
        "global_kv_heads": text.size("num_global_key_value_heads", most=MOST_HEADS) if same else None,
        "global_head_dim": text.size("global_head_dim", most=2**16),
        "keys_are_values": same,
        "sliding_attention_heads": heads or (other.size("num_attention_heads", most=MOST_HEADS) if other else None),
    }
    sliding = text.size("swa_num_key_value_heads", most=MOST_HEADS)
    if sliding:
        full = text.size("num_key_value_heads", most=MOST_HEADS)
        values |= {"num_kv_heads": sliding, "global_kv_heads": full}
    return values
