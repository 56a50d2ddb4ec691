"""``quantization_config`` of a ``config.json`` (or ``quantization`` of an ``hf_quant_config.json``) -> stored formats.

Read by what the producers write: transformers (fp8, awq, gptq, bitsandbytes, mxfp4; utils/quantization_config.py),
compressed-tensors (config_groups, ignore) and NVIDIA ModelOpt (quant_algo, exclude_modules, quantized_layers). Patterns
among the module names are matched by the words in them and never run as regular expressions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from modelberth.catalog.config_fields import MOST_ITEMS, Fields, name_of
from modelberth.names import Quantization

_METHODS = {
    "fp8": Quantization.FP8,
    "fbgemm_fp8": Quantization.FP8,
    "w8a8_fp8": Quantization.FP8,
    "awq": Quantization.AWQ,
    "awq_marlin": Quantization.AWQ,
    "gptq": Quantization.GPTQ,
    "gptq_marlin": Quantization.GPTQ,
    "auto-round": Quantization.GPTQ,
    "mxfp4": Quantization.MXFP4,
    "w8a8_int8": Quantization.INT8,
    "blockwise_int8": Quantization.INT8,
    "experts_int8": Quantization.INT8,
}
_QUARK = {"fp4": Quantization.MXFP4, "fp8_e4m3": Quantization.FP8, "int8": Quantization.INT8} | dict.fromkeys(
    ("int4", "uint4"), Quantization.AWQ
)
_ALGORITHMS = {
    "FP8": Quantization.FP8,
    "FP8_PER_CHANNEL_PER_TOKEN": Quantization.FP8,
    "FP8_PB_WO": Quantization.FP8,
    "MXFP8": Quantization.FP8,
    "NVFP4": Quantization.NVFP4,
    "W4A16_NVFP4": Quantization.NVFP4,
    "NVFP4_AWQ": Quantization.NVFP4,
    "W4A8_NVFP4_FP8": Quantization.NVFP4,
    "MXFP4": Quantization.MXFP4,
    "W4A16_MXFP4": Quantization.MXFP4,
    "W4A16_AWQ": Quantization.AWQ,
    "W4A8_AWQ": Quantization.AWQ,
    "W8A8_SQ_PER_CHANNEL": Quantization.INT8,
    "INT8_SQ": Quantization.INT8,
}
MOST_NAMES = 5_000
MOST_LETTERS = 300
_MIXED = "MIXED_PRECISION"
_SKIPPED = ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "llm_int8_skip_modules", "exclude")

_ROLES = tuple(
    (role, re.compile(pattern))
    for role, pattern in (
        ("", r"mtp|nextn|norm|conv1d|bias$|e_score|eh_proj|shared_head|indexers_proj|weights_proj"),
        ("vision", r"visi|visual|vit\b|projector|multi_modal|patch_merge|audio|image"),
        ("output", r"lm_head|^\*?\.?head\b|output_layer"),
        ("embedding", r"embed|\bwte\b|tok_embeddings"),
        ("router", r"router|shared_expert_gate|(?:mlp|moe|ffn|mixer|feed_forward)\.gate\b|^gate$"),
        ("shared_experts", r"shared_expert|shared_mlp|share_expert"),
        ("experts", r"expert"),
        ("indexer", r"index"),
        ("linear_attention", r"linear_attn|mamba|ssm|mixer\.(?:in|out)_proj"),
        ("attn_output", r"attn\.(?:o_proj|out_proj|dense)"),
        ("attention_inputs", r"attn\.(?:[qkv]_|kv_|qkv|w?qkv|fused)|attn\\?\.\(?[qkv]"),
        ("attention", r"attn|attention|mixer\.[qkvo]_proj"),
        ("mlp", r"mlp|ffn|feed_forward|block_sparse_moe|mixer\.(?:up|down)_proj|(?:gate|up|down)_proj"),
    )
)
_NUMBER = re.compile(r"\d+")
_LAYER = re.compile(r"(?:layers?|blocks|\bh)\\?\.(\d{1,4})\b")


@dataclass
class Formats:
    """How a checkpoint is stored: the main format, its group size where stated, and what differs from it by role."""

    quantization: Quantization | None = None
    group_size: int | None = None
    symmetric: bool | None = None
    by_role: dict[str, Quantization] = field(default_factory=dict[str, Quantization])


def formats_of(config: Fields, layers_by_role: dict[str, int], dtype: str | None) -> Formats:
    """The formats of a checkpoint whose model has this many layers of each role. Problems go to ``config``."""
    section = config.section("quantization_config", "compression_config")
    if section is None:
        name = (dtype or "").removeprefix("torch.")
        plain = {"bfloat16": Quantization.BF16, "float16": Quantization.FP16, "half": Quantization.FP16}
        return Formats(plain.get(name))
    found = _main_format(section)
    skipped = [str(item) for name in _SKIPPED for item in section.items(name) or () if isinstance(item, str)]
    mixed = _quantized_layers(section)
    if mixed:
        return _mixed_formats(section, mixed, skipped, layers_by_role)
    if found.quantization is not None:
        found.by_role = _unquantized(set(_covered_roles(section, skipped, layers_by_role)), found.quantization)
    return found


def _unquantized(roles: set[str], quantization: Quantization) -> dict[str, Quantization]:
    """What stays 16 bit; embeddings, output layer, routers and towers do so anyway."""
    if {"attn_output", "attention_inputs"} <= roles:
        roles |= {"attention"}
    partly = {"attn_output": quantization} if "attention_inputs" in roles and "attention" not in roles else {}
    names = {"attention" if role == "attention_inputs" else role for role in roles}
    names -= {"embedding", "output", "vision", "router"} | ({"attn_output"} if "attention" in names else set())
    return dict.fromkeys(sorted(names), Quantization.BF16) | partly


def _main_format(section: Fields) -> Formats:
    method, algorithm = section.text("quant_method"), section.text("quant_algo")
    group = section.size("group_size", most=2**16)
    if algorithm is not None and algorithm.upper() != _MIXED:
        if algorithm.upper() not in _ALGORITHMS:
            section.problem("quant_algo", f"{name_of(algorithm)} is not known")
        return Formats(_ALGORITHMS.get(algorithm.upper()))
    if method == "compressed-tensors" or (method is None and section.raw("config_groups")[0]):
        return _from_groups(section)
    if method == "bitsandbytes":
        return Formats(Quantization.INT8 if section.flag("load_in_8bit") else Quantization.NF4)
    if method == "quark":
        return _from_quark(section)
    if method in ("awq", "awq_marlin", "gptq", "gptq_marlin", "auto-round"):
        bits = section.integer("bits", "w_bit", most=16)
        if bits == 8:
            return Formats(Quantization.INT8)
        if bits != 4:
            section.problem("bits", "only 4 and 8 are known")
        return Formats(_METHODS[method], group if group not in (None, 128) else None)
    if method in _METHODS or algorithm is not None:
        return Formats(_METHODS.get(method or ""))
    section.problem("quant_method", f"{name_of(method)} is not known" if method else "missing")
    return Formats()


def _from_quark(section: Fields) -> Formats:
    """AMD Quark: one global format (vLLM 0.33.0, model_executor/layers/quantization/quark/quark.py)."""
    overall = section.section("global_quant_config")
    weight = overall.section("weight") if overall else None
    dtype = weight.text("dtype") if weight else None
    if dtype not in _QUARK:
        section.problem("global_quant_config.weight.dtype", f"{name_of(dtype)} is not known" if dtype else "missing")
    return Formats(_QUARK.get(dtype or ""))


def _from_groups(section: Fields) -> Formats:
    """compressed-tensors: the first group that has weights decides."""
    groups = section.section("config_groups")
    for name in list(groups.content)[:64] if groups else ():
        group = groups.section(name) if groups else None
        weights = group.section("weights") if group else None
        if weights is None:
            continue
        bits, kind = weights.integer("num_bits", most=64), weights.text("type")
        size = weights.size("group_size", most=2**16)
        match bits, kind:
            case 8, "float":
                return Formats(Quantization.FP8)
            case 8, "int":
                return Formats(Quantization.INT8)
            case 4, "int":
                return Formats(Quantization.GPTQ, size if size != 128 else None, weights.flag("symmetric"))
            case 4, "float":
                return Formats(Quantization.MXFP4 if size == 32 else Quantization.NVFP4)
            case _:
                weights.problem("num_bits", "only 8 and 4 bits of type int or float are known")
                return Formats()
    section.problem("config_groups", "no group says how weights are stored")
    return Formats()


def _quantized_layers(section: Fields) -> dict[str, Counter[Quantization]]:
    """ModelOpt's mixed precision: how often each role is stored in each format."""
    layers = section.section("quantized_layers")
    found: dict[str, Counter[Quantization]] = defaultdict(Counter)
    roles = _Roles(section)
    for name, stored in islice(layers.content.items(), MOST_ITEMS) if layers else ():
        algorithm: object = cast("dict[str, Any]", stored).get("quant_algo") if isinstance(stored, dict) else None
        known = _ALGORITHMS.get(algorithm.upper()) if isinstance(algorithm, str) else None
        role = roles.of(str(name))
        if known and role:
            role = "attention" if role in ("attn_output", "attention_inputs") else role
            found[role][known] += 1
    return found


def _mixed_formats(
    section: Fields, mixed: dict[str, Counter[Quantization]], skipped: Iterable[str], layers_by_role: dict[str, int]
) -> Formats:
    """The format of the experts (or the feed-forwards) names the checkpoint; roles without one are 16 bit, or fp8."""
    formats = {role: counts.most_common(1)[0][0] for role, counts in mixed.items()}
    main = next(filter(None, (formats.get(role) for role in ("experts", "mlp", "attention"))), None)
    rest_is_fp8 = section.text("quant_method") == "fp8"
    rest = Quantization.FP8 if rest_is_fp8 else Quantization.BF16
    every = ("attention", "indexer", "linear_attention", "mlp", "shared_experts", "experts")
    present = [role for role in every if layers_by_role.get(role)]
    stored = {role: formats.get(role, rest) for role in present}
    if not rest_is_fp8:
        stored |= dict.fromkeys(
            (role for role in _covered_roles(section, skipped, layers_by_role) if role in stored), rest
        )
    stored |= {role: formats[role] for role in ("output", "embedding") if role in formats}
    plain = ("output", "embedding")
    return Formats(main, by_role={role: kind for role, kind in stored.items() if kind != main or role in plain})


def _covered_roles(section: Fields, names: Iterable[str], layers_by_role: dict[str, int]) -> list[str]:
    """Roles that these names cover in at least half of their layers; a name without a layer number means all."""
    layers: dict[str, set[int]] = defaultdict(set)
    everywhere: set[str] = set()
    roles = _Roles(section)
    for name in names:
        role = roles.of(name)
        if not role:
            continue
        numbers = _LAYER.findall(name[:MOST_LETTERS])
        if numbers:
            layers[role].update(map(int, numbers))
        else:
            everywhere.add(role)
    often = {role for role, found in layers.items() if 2 * len(found) >= _layers_with(role, layers_by_role) > 0}
    return sorted(everywhere | often)


def _layers_with(role: str, layers_by_role: dict[str, int]) -> int:
    return layers_by_role.get("attention" if role in ("attn_output", "attention_inputs") else role, 1)


class _Roles:
    """Roles of module names; names that differ only in numbers are looked at once."""

    def __init__(self, section: Fields) -> None:
        self._section = section
        self._met: dict[str, str] = {}

    def of(self, name: str) -> str:
        key = _NUMBER.sub("0", name[:MOST_LETTERS].lower())
        if key not in self._met:
            if len(self._met) == MOST_NAMES:
                self._section.problem("modules", f"more than {MOST_NAMES:,} different names")
            if len(self._met) >= MOST_NAMES:
                return ""
            self._met[key] = next((role for role, pattern in _ROLES if pattern.search(key)), "")
        return self._met[key]


def stored_formats(config: dict[str, Any], quantization: dict[str, Any]) -> dict[str, Any]:
    """A ``config.json`` with the content of the ``hf_quant_config.json`` beside it, as :func:`formats_of` reads it."""
    content = quantization.get("quantization", quantization)
    return config | {"quantization_config": {"quant_method": "modelopt"} | content}
