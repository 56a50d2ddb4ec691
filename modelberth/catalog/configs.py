"""A model's own ``config.json`` -> :class:`~modelberth.catalog.schema.Model`: bounded, every problem in one error.

Field names and class defaults as in Hugging Face transformers 5.23.0 (src/transformers/models/<name>/
configuration_<name>.py) and, for models that ship their own code, as in vLLM 0.33.0 (vllm/model_executor/models).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from pydantic import ValidationError

from modelberth.catalog.config_attention import attention_values
from modelberth.catalog.config_families import FAMILIES, REFUSED, WRAPPERS, Family
from modelberth.catalog.config_fields import (
    MOST_EXPERTS,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_TOKENS,
    MOST_VOCABULARY,
    Fields,
    name_of,
    shown,
)
from modelberth.catalog.config_formats import formats_of
from modelberth.catalog.config_layers import Kinds, attention_kinds, block_kinds, moe_layers, widths_by_block
from modelberth.catalog.config_towers import tower_parameters
from modelberth.catalog.schema import Model
from modelberth.errors import ModelberthError
from modelberth.names import Quantization

_TEXT = ("text_config", "llm_config", "language_config")
MOST_PROBLEMS = 20


class ConfigError(ModelberthError):
    """A ``config.json`` that does not describe a model we can size; lists every problem with its field."""

    def __init__(self, id: str, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        more = len(self.problems) - MOST_PROBLEMS
        listed = [*self.problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        super().__init__(f"config.json of {id}: " + "; ".join(listed))


def model_of(config: Mapping[str, Any], id: str, *, source: str = "its config.json", as_of: date = date.min) -> Model:
    """The model that a ``config.json`` describes, under this id.

    Raises :class:`ConfigError` listing every problem: an architecture that is not known or not described here, a field
    that is missing, of the wrong type or out of bounds, layers that contradict each other.
    """
    if not isinstance(config, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - rows come from outside
        raise ConfigError(id, [f"the whole: {shown(config)} is not an object"])
    problems: list[str] = []
    described = _described(Fields(config, "", problems))
    if described is None:
        raise ConfigError(id, problems)
    values = _Reader(config, *described, problems).values()
    if problems:
        raise ConfigError(id, problems)
    known = {name: value for name, value in values.items() if value is not None}
    try:
        return Model.model_validate({"id": id, "source": source, "as_of": as_of} | known)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise ConfigError(id, found) from None


def _described(top: Fields) -> tuple[str, Family] | None:
    """The architecture of the language model and its family; None and a problem when it is not described here."""
    architecture = _architecture(top)
    if architecture is None or architecture not in WRAPPERS:
        family = _family(top, architecture)
        return (architecture, family) if architecture and family else None
    name, tower = WRAPPERS[architecture]
    section = top.section(name)
    if section is None:
        top.problem(name, "missing")
        return None
    inside = _architecture(section)
    family = _family(section, inside)
    return (inside, replace(family, tower=tower)) if inside and family else None


def _architecture(config: Fields) -> str | None:
    named = config.items("architectures", most=16)
    if named and isinstance(named[0], str):
        return named[0]
    config.problem("architectures", "missing: a list with the name of the model's class")
    return None


def _family(config: Fields, architecture: str | None) -> Family | None:
    if architecture is None:
        return None
    if architecture in REFUSED:
        config.problem("architectures", f"{architecture} is not described here: {REFUSED[architecture]}")
    elif architecture not in FAMILIES:
        config.problem("architectures", f"{name_of(architecture)} is not known")
    return FAMILIES.get(architecture)


@dataclass
class _Reader:
    """Reads one configuration; ``text`` is the section of the language model."""

    config: Mapping[str, Any]
    architecture: str
    family: Family
    problems: list[str]
    top: Fields = field(init=False)
    text: Fields = field(init=False)

    def __post_init__(self) -> None:
        self.top = Fields(self.config, "", self.problems)
        section = self.top.section(*_TEXT)
        content, path = (section.content, section.path) if section else (self.config, "")
        self.text = Fields(content, path, self.problems, self.family.defaults)

    def values(self) -> dict[str, Any]:
        kinds, blocks = self._kinds()
        if kinds is None:
            return {}
        attention = attention_values(self.text, kinds, self._hidden(), self._heads())
        values = self._sizes(kinds) | self._experts(kinds) | self._extras(kinds)
        values |= {name: value for name, value in attention.items() if value is not None} | blocks
        values |= self._stored(kinds, values)
        self._check(values, kinds)
        return values

    def _kinds(self) -> tuple[Kinds | None, dict[str, Any]]:
        text = self.text
        if self.family.blocks == "nemotron_h":
            return block_kinds(text), {}
        layers = text.integer("num_hidden_layers", "num_layers", "n_layer", "n_layers", most=MOST_LAYERS)
        if layers is None:
            self._missing("num_hidden_layers", "num_layers", "n_layer", "n_layers")
            return None, {}
        if self.family.blocks == "deci":
            found = widths_by_block(text, self._hidden(), self._heads())
            if found is None:
                return None, {}
            kinds, kv_heads, widths = found
            width = max(widths, default=None)
            return kinds, {"num_kv_heads": kv_heads, "mlp_widths": widths, "intermediate_size": width}
        if self.family.blocks == "full":
            return Kinds(layers, layers), {}
        kinds = attention_kinds(text, layers, period=self.family.period, chunked=self.family.blocks == "chunked")
        return kinds, {}

    def _hidden(self) -> int:
        return self.text.integer("hidden_size", "n_embd", "d_model") or 0

    def _heads(self) -> int:
        return self.text.integer("num_attention_heads", "n_head", "n_heads", most=MOST_HEADS) or 0

    def _sizes(self, kinds: Kinds) -> dict[str, Any]:
        text, hidden, heads = self.text, self._hidden(), self._heads()
        for value, names in (
            (hidden, ("hidden_size", "n_embd", "d_model")),
            (heads, ("num_attention_heads", "n_head")),
        ):
            if not value:
                self._missing(*names)
        head_dim = text.integer("head_dim", "kv_channels", "attention_head_dim", most=2**16)
        if head_dim is None and heads and hidden:
            head_dim = hidden // heads
            if hidden % heads and not text.raw("kv_lora_rank")[0]:
                text.problem("num_attention_heads", f"hidden_size {hidden:,} is no multiple of {heads:,}, no head_dim")
        tied = text.flag("tie_word_embeddings")
        if tied is None:
            tied = self.top.flag("tie_word_embeddings") if self.text.path else None
        vocabulary = text.integer("padded_vocab_size", "vocab_size", most=MOST_VOCABULARY)
        if vocabulary is None:
            self._missing("vocab_size")
        return {
            "architecture": self.architecture,
            "native_dtype": self._dtype(),
            "num_layers": kinds.layers,
            "hidden_size": hidden,
            "num_attention_heads": heads,
            "num_kv_heads": self._kv_heads() or heads,
            "head_dim": head_dim,
            "intermediate_size": self._width(),
            "vocab_size": vocabulary,
            "max_position": text.integer(
                "max_position_embeddings", "max_sequence_length", "seq_length", "max_seq_len", most=MOST_TOKENS
            ),
            "tie_embeddings": self.family.tied if tied is None else tied,
            "full_attention_layers": kinds.full,
            "sliding_layers": kinds.sliding,
            "linear_layers": kinds.linear,
            "sliding_window": kinds.window,
        }

    def _width(self) -> int | None:
        """Width of the dense feed-forwards; Gemma 3n lists one per layer."""
        text = self.text
        _, value = text.raw("intermediate_size")
        if isinstance(value, list):
            widths = text.items("intermediate_size", most=MOST_LAYERS) or ()
            sound = [width for width in widths if isinstance(width, int) and 0 < width < 2**22]
            layers = text.raw("num_hidden_layers", "n_layer", "num_layers")[1]
            if len(set(sound)) != 1 or len(sound) != len(widths) or layers not in (None, len(widths)):
                text.problem("intermediate_size", "not one and the same whole number for every layer")
                return None
            return sound[0]
        inner = text.section("ffn_config")
        names = ("intermediate_size", "ff_intermediate_size", "ffn_hidden_size", "n_inner")
        return text.size(*names) or (inner.size("ffn_hidden_size") if inner else None)

    def _kv_heads(self) -> int | None:
        text = self.text
        if text.flag("multi_query_attention"):
            return text.integer("multi_query_group_num", most=MOST_HEADS)
        inner = text.section("attn_config")
        if inner is not None:
            return inner.integer("kv_n_heads", most=MOST_HEADS)
        return text.integer("num_key_value_heads", "num_attention_groups", "num_kv_heads", most=MOST_HEADS)

    def _experts(self, kinds: Kinds) -> dict[str, Any]:
        text = self.text
        inner = text.section("ffn_config") if text.raw("ffn_config")[0] else None
        names = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
        experts = text.size(*names, most=MOST_EXPERTS) or (inner and inner.size("moe_num_experts", most=MOST_EXPERTS))
        layers = kinds.moe if kinds.moe is not None else (moe_layers(text, kinds.layers) if experts else 0)
        if not experts or text.flag("enable_moe_block") is False or not layers:
            return {"mlp_layers": kinds.mlp}
        names = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_top_k")
        active = text.integer(*names, "moe_k", "moe_topk", most=experts) or (
            inner and inner.integer("moe_top_k", most=experts)
        )
        if not active:
            self._missing(*names)
        width = text.size("moe_intermediate_size", "expert_intermediate_size") or self._width()
        if not width:
            self._missing("moe_intermediate_size")
        shared = text.count("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", most=MOST_EXPERTS)
        together = text.size(
            "shared_expert_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "share_expert_dim",
            "shared_intermediate_size",
        )
        if self.family.shared_experts is not None and shared is None:
            shared = self.family.shared_experts
        return {
            "num_experts": experts,
            "experts_per_token": active,
            "num_shared_experts": shared if shared is not None else (1 if together else None),
            "moe_intermediate_size": width,
            "first_k_dense": text.count("first_k_dense_replace", most=MOST_LAYERS),
            "moe_layers": layers,
            "mlp_layers": kinds.mlp,
            "shared_expert_intermediate_size": together or None,
            "dense_intermediate_size": text.size("intermediate_size_mlp", "dense_intermediate_size"),
            "moe_latent_size": text.size("moe_latent_size", "routed_expert_hidden_size"),
        }

    def _extras(self, kinds: Kinds) -> dict[str, Any]:
        """What single families add."""
        text = self.text
        shared, width = text.size("num_kv_shared_layers", most=kinds.layers), self._width()
        values: dict[str, Any] = {
            "attention_output_gate": text.flag("attn_output_gate") or None,
            "mtp_layers": text.count("num_nextn_predict_layers", "mtp_num_hidden_layers", most=MOST_LAYERS),
            "kv_shared_layers": shared,
            "per_layer_input_size": text.size("hidden_size_per_layer_input"),
        }
        if text.flag("use_double_wide_mlp") and shared and width:
            values["mlp_widths"] = {width: kinds.layers - shared, 2 * width: shared}
        return values

    def _stored(self, kinds: Kinds, values: dict[str, Any]) -> dict[str, Any]:
        text, hidden = self.text, self._hidden()
        moe = values.get("moe_layers") or 0
        mlp = values.get("mlp_layers")
        layers_by_role = {
            "attention": kinds.full + kinds.sliding,
            "indexer": kinds.full if values.get("index_head_dim") else 0,
            "linear_attention": kinds.linear,
            "experts": moe,
            "shared_experts": moe if values.get("num_shared_experts") else 0,
            "mlp": mlp if mlp is not None else kinds.layers - (0 if self.family.dense_beside_experts else moe),
        }
        where = text if text.raw("quantization_config", "compression_config")[0] else self.top
        formats = formats_of(where, layers_by_role, values.get("native_dtype") or self._dtype())
        if text.text("expert_dtype") == "fp4" and formats.quantization == Quantization.FP8:
            formats.by_role["experts"] = Quantization.MXFP4
        if text.raw("linear_attn_config")[0] and "attention" in formats.by_role:
            formats.by_role["linear_attention"] = formats.by_role["attention"]
        towers = any(self.top.raw(name)[0] for name in ("vision_config", "audio_config", "vit_config", "visual"))
        return {
            "quantization": formats.quantization,
            "group_size": formats.group_size,
            "symmetric": formats.symmetric,
            "formats": formats.by_role,
            "has_vision": towers,
            "vision_parameters": tower_parameters(self.top, self.family.tower, hidden) if towers else None,
        }

    def _dtype(self) -> str | None:
        return self.text.text("dtype", "torch_dtype") or self.top.text("dtype", "torch_dtype")

    def _check(self, values: dict[str, Any], kinds: Kinds) -> None:
        heads, kv_heads = values["num_attention_heads"], values["num_kv_heads"]
        if heads and kv_heads and heads % kv_heads and not values.get("kv_lora_rank"):
            self.text.problem("num_key_value_heads", f"{heads:,} heads are no multiple of {kv_heads:,}")
        dense = values.get("mlp_layers")
        dense = kinds.layers - (values.get("moe_layers") or 0) if dense is None else dense
        if dense and not (values["intermediate_size"] or values.get("dense_intermediate_size")):
            self._missing("intermediate_size")

    def _missing(self, *names: str) -> None:
        if not self.text.raw(*names)[0]:
            self.text.problem(names[0], "missing")
