"""Bytes of the tensors of a GGUF file, per layer.

The mixture of types follows ggml-org/llama.cpp@b11434:src/llama-quant.cpp (tensor_allows_quantization,
llama_tensor_get_type_impl, tensor_type_fallback), run without an importance matrix and without overrides by name; what
stays float32 follows conversion/base.py of the same build. Files of publishers with mixtures of their own differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from modelberth.memory.shapes import Part, Role, Shape
from modelberth.memory.terms import Unsized

BYTES_PER_BLOCK = {
    "f32": (4, 1),
    "f16": (2, 1),
    "bf16": (2, 1),
    "q8_0": (34, 32),
    "q4_0": (18, 32),
    "q4_1": (20, 32),
    "q5_0": (22, 32),
    "q5_1": (24, 32),
    "iq4_nl": (18, 32),
    "iq4_xs": (136, 256),
    "mxfp4": (17, 32),
    "q2_k": (84, 256),
    "q3_k": (110, 256),
    "q4_k": (144, 256),
    "q5_k": (176, 256),
    "q6_k": (210, 256),
}
"""(bytes, elements) of one block of a ggml tensor type. Source: llama.cpp@b11434:ggml/src/ggml-common.h (block_*)."""

_BASE = {f"q{bits}_k_{size}": f"q{bits}_k" for bits in (2, 3, 4, 5) for size in "sml"} | {"fp16": "f16"}

_FALLBACK = {"q2_k": "q4_0", "q3_k": "q4_0", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0", "iq4_xs": "iq4_nl"}

_FUSED_QKV = frozenset({"Phi3ForCausalLM", "ChatGLMModel", "DbrxForCausalLM"})
"""Architectures whose files hold queries, keys and values in one tensor (src/models/phi3.cpp, chatglm.cpp)."""

_SEVENTY = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "DeciLMForCausalLM"})
"""Architectures whose 80-layer models count as LLM_TYPE_70B (src/models/llama.cpp, qwen2.cpp, deci.cpp)."""


@dataclass(frozen=True)
class FileBytes:
    """Tensor bytes of one file: the input embedding, every layer, the output layer with its norm."""

    embedding: int
    layers: tuple[int, ...]
    output: int
    tied: bool

    @property
    def total(self) -> int:
        """All tensors of the file."""
        return self.embedding + sum(self.layers) + self.output

    @property
    def output_on_device(self) -> int:
        """The output layer where it is computed: a tied one is a second copy of the embedding."""
        return self.output + (self.embedding if self.tied else 0)


def gguf_bytes(shape: Shape, file_type: str) -> int:
    """Tensor bytes of a GGUF file of the text model (a vision encoder is a file of its own).

    ``file_type`` is llama-quantize's name in lower case, or ``mxfp4`` for experts in mxfp4 and the rest in q8_0.
    Raises :class:`Unsized` for a type that is not in :data:`BYTES_PER_BLOCK`.
    """
    return file_bytes(shape, file_type).total


@lru_cache(maxsize=1024)
def file_bytes(shape: Shape, file_type: str) -> FileBytes:
    """The same per layer."""
    layers = [0] * shape.layers
    ends = {Role.EMBEDDING: 0, Role.OUTPUT: 0}
    for tensor in tensors(shape, file_type):
        if tensor.layer is not None:
            layers[tensor.layer] += tensor.bytes
        elif tensor.part.role in ends:
            ends[tensor.part.role] += tensor.bytes
        else:
            each, rest = divmod(tensor.bytes, shape.layers)
            layers = [amount + each for amount in layers]
            ends[Role.OUTPUT] += rest
    return FileBytes(ends[Role.EMBEDDING], tuple(layers), ends[Role.OUTPUT], shape.tied)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file, stored as the ggml type ``kind``; without a layer: of the whole model, or of all layers."""

    part: Part
    layer: int | None
    kind: str
    elements: int

    @property
    def bytes(self) -> int:
        """Whole blocks."""
        return _size(self.elements, self.kind)


def tensors(shape: Shape, file_type: str) -> Iterator[Tensor]:
    """The tensors of the text model. Raises :class:`Unsized` as :func:`gguf_bytes` does."""
    base = _BASE.get(file_type, file_type)
    if base not in BYTES_PER_BLOCK:
        raise Unsized(f"{file_type} is no GGUF file type whose mixture is known")
    mixture = _Mixture(shape, file_type, base)
    for part in shape.parts:
        if part.role is Role.VISION:
            continue
        if part.role in (Role.EMBEDDING, Role.OUTPUT):
            yield Tensor(part, None, mixture.end(part), part.elements)
        elif part.rows == 1 or part.layers > shape.layers:
            yield Tensor(part, None, "f32", part.elements)
        else:
            yield from mixture.tensors(part)


def _size(elements: int, kind: str) -> int:
    size, count = BYTES_PER_BLOCK[kind]
    return -(-elements * size // count)


def positions(count: int, layers: int) -> Sequence[int]:
    """Which layers a kind of ``count`` among ``layers`` has: the rarer kind ends each group, the other fills it.

    So it is in Gemma, Qwen3-Next and gpt-oss (config.json, layer_types).
    """
    if count >= layers:
        return range(layers)
    if 2 * count > layers:
        rarer = set(positions(layers - count, layers))
        return [layer for layer in range(layers) if layer not in rarer]
    step = round(layers / count)
    if step * count > layers:
        return [(index + 1) * layers // count - 1 for index in range(count)]
    return range(step - 1, step * count, step)


class _Mixture:
    """The type of every tensor of one file."""

    def __init__(self, shape: Shape, file_type: str, base: str) -> None:
        self.shape = shape
        self.file_type = file_type
        self.base = base
        self.gqa = shape.heads // max(1, shape.kv_heads)
        self.seventy = shape.layers == 80 and shape.architecture in _SEVENTY and self.gqa > 1
        self.delta_net = any(part.name == "ssm_beta_alpha" for part in shape.parts)
        self.value_layers = sorted({at for part in shape.parts if self._is_value(part) for at in self._layers(part)})

    def end(self, part: Part) -> str:
        """The type of the embedding or the output layer."""
        if self.base in ("f16", "bf16", "f32"):
            return self.base
        if self.file_type == "mxfp4":
            return "q8_0"
        if part.role is Role.OUTPUT or self.shape.tied:
            coarse = part.columns % BYTES_PER_BLOCK[self.base][1] != 0
            return "q8_0" if coarse or self.base == "q8_0" else _fitting("q6_k", part.columns)
        return _fitting(self.base, part.columns)

    def tensors(self, part: Part) -> Iterator[Tensor]:
        """One per layer that holds the part; several where the file has it in pieces."""
        for rows, columns, category in self._stored(part):
            elements = rows * columns * part.per_layer
            for order, layer in enumerate(self._layers(part)):
                yield Tensor(part, layer, self._kind(part, category, columns, order, layer), elements)

    def _stored(self, part: Part) -> Iterator[tuple[int, int, str]]:
        """(rows, columns, category) of the tensors that the file has for a part."""
        if part.name == "attn_kv_b":
            # Keys and values apart, the keys transposed (conversion/deepseek.py, attn_k_b and attn_v_b).
            heads = self.shape.heads
            values = next(p.columns for p in self.shape.parts if p.name == "attn_output") // heads
            yield heads * part.columns, part.rows // heads - values, "other"
            yield heads * values, part.columns, "other"
        elif part.name == "ssm_in" and self.delta_net:
            # Queries, keys and values in attn_qkv, the gate in attn_gate (conversion/qwen.py).
            gate = next(p.columns for p in self.shape.parts if p.name == "ssm_out")
            yield part.rows - gate, part.columns, "attn_v"
            yield gate, part.columns, "other"
        else:
            yield part.rows, part.columns, self._category(part)

    def _category(self, part: Part) -> str:
        if part.name in ("attn_q", "attn_k") and self.shape.architecture in _FUSED_QKV:
            return "attn_v"
        if part.name in ("attn_v", "attn_k", "attn_output"):
            return part.name
        return "ffn_down" if part.name.startswith("ffn") and part.name.endswith("_down") else "other"

    def _is_value(self, part: Part) -> bool:
        return part.name == "attn_v" or (part.name == "ssm_in" and self.delta_net)

    def _layers(self, part: Part) -> Sequence[int]:
        layers = self.shape.layers
        if self.shape.moe_layers and part.role is Role.MLP and part.layers + self.shape.moe_layers == layers:
            if not self.shape.architecture.startswith("Llama4"):
                return range(part.layers)
        elif part.role in (Role.EXPERTS, Role.SHARED_EXPERTS, Role.ROUTER) and 2 * part.layers > layers:
            return range(layers - part.layers, layers)
        return positions(part.layers, layers)

    def _kind(self, part: Part, category: str, columns: int, order: int, layer: int) -> str:
        if part.name == "ssm_conv1d" or part.name.startswith("ffn_gate_inp"):
            return "f32"
        if self.base in ("f16", "bf16", "f32"):
            return self.base
        if part.name == "per_layer_model_proj":
            return "f16"
        if self.file_type == "mxfp4":
            return "mxfp4" if part.role is Role.EXPERTS else "q8_0"
        match category:
            case "attn_v":
                kind = self._values(self.value_layers.index(layer))
            case "attn_k":
                kind = "q8_0" if self.shape.experts == 8 else self.base
            case "ffn_down":
                kind = self._down(layer if self.shape.experts else order)
            case "attn_output":
                kind = self._attention_output()
            case _:
                kind = self.base
        return _fitting(kind, columns)

    def _values(self, order: int) -> str:
        kind = self.base
        match self.file_type:
            case "q2_k":
                kind = "q4_k" if self.gqa >= 4 else "q3_k"
            case "q2_k_s" if self.gqa >= 4:
                kind = "q4_k"
            case "q3_k_m":
                kind = "q5_k" if order < 2 else "q4_k"
            case "q3_k_l":
                kind = "q5_k"
            case "iq4_nl" | "iq4_xs" if self.gqa >= 4:
                kind = "q5_k"
            case "q4_k_m" | "q5_k_m" if _more_bits(order, len(self.value_layers)):
                kind = "q6_k"
            case "q4_k_s" if order < 4:
                kind = "q5_k"
            case _:
                pass
        if self.seventy and kind in ("q3_k", "q4_k"):
            kind = "q5_k"
        return "q8_0" if self.shape.experts == 8 else kind

    def _down(self, order: int) -> str:
        layers = self.shape.layers
        match self.file_type:
            case "q2_k":
                return "q3_k"
            case "q2_k_s" if order < layers // 8:
                return "q4_k"
            case "q3_k_m":
                return "q5_k" if order < layers // 16 else "q4_k"
            case "q3_k_l":
                return "q5_k"
            case "q4_k_s" | "iq4_nl" | "iq4_xs" if order < layers // 8:
                return "q5_k"
            case "q4_k_m" | "q5_k_m" if _more_bits(order, layers):
                return "q6_k"
            case _:
                return self.base

    def _attention_output(self) -> str:
        if self.shape.experts == 8:
            five = ("q2_k", "q3_k_s", "q3_k_m", "q4_k_s", "q4_k_m", "iq4_nl", "iq4_xs")
            return "q5_k" if self.file_type in five else self.base
        return {"q2_k": "q3_k", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}.get(self.file_type, self.base)


def _fitting(kind: str, columns: int) -> str:
    if columns % BYTES_PER_BLOCK[kind][1] == 0:
        return kind
    wider = _FALLBACK.get(kind, "f16")
    return wider if columns % BYTES_PER_BLOCK[wider][1] == 0 else "f16"


def _more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
