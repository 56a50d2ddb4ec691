"""Bytes of the weights, on one tensor parallel rank or in one GGUF file."""

from __future__ import annotations

from collections import Counter
from math import ceil

from modelberth.memory.shapes import Shape
from modelberth.memory.terms import Unsized
from modelberth.units import ceil_to

BYTES_PER_QUANTIZED_PARAMETER = {
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1 + 4 / (128 * 128),  # an fp32 scale per block of 128 x 128; per-channel scales are smaller
    "int8": 1.0,
    "awq": 0.5 + 2.5 / 128,  # groups of 128: a 16-bit scale and a 4-bit zero point
    "gptq": 0.5 + 2.5 / 128,
    "nvfp4": 0.5 + 1 / 16,  # an fp8 scale per 16
    "mxfp4": 0.5 + 1 / 32,  # an e8m0 scale per 32
    "nf4": 0.5 + 4 / 64,  # an fp32 absmax per 64
}
"""Bytes per parameter of a quantized linear layer, scales included: the storage layouts of the formats themselves
(compressed-tensors, AutoAWQ and GPTQ packing, OCP MX, bitsandbytes). Embeddings and output layer stay 16 bit."""

PADDED_VOCAB = 64
"""vLLM pads the vocabulary to a multiple of this (model_executor/layers/vocab_parallel_embedding.py)."""


def safetensors_bytes(shape: Shape, quantization: str, tensor_parallel: int = 1) -> int:
    """Weights on one rank, in bytes, for formats that vLLM-like engines load. Raises KeyError for a GGUF type."""
    per_parameter = BYTES_PER_QUANTIZED_PARAMETER[quantization]
    vocab = ceil_to(shape.vocab, PADDED_VOCAB) // tensor_parallel
    embeddings = vocab * shape.hidden * (1 if shape.tied else 2)
    sixteen_bit = embeddings + shape.norms + shape.biases(tensor_parallel)
    return ceil(shape.linear(tensor_parallel) * per_parameter + sixteen_bit * 2)


BYTES_PER_BLOCK = {
    "f32": (4, 1),
    "f16": (2, 1),
    "q8_0": (34, 32),
    "q4_0": (18, 32),
    "q4_1": (20, 32),
    "q5_0": (22, 32),
    "q5_1": (24, 32),
    "iq4_nl": (18, 32),
    "q2_k": (84, 256),
    "q3_k": (110, 256),
    "q4_k": (144, 256),
    "q5_k": (176, 256),
    "q6_k": (210, 256),
}
"""(bytes, elements) of one block of a ggml tensor type. Source: llama.cpp, ggml/src/ggml-common.h (block_* structs)."""

_BASE_TYPE = {"q3_k_s": "q3_k", "q3_k_m": "q3_k", "q3_k_l": "q3_k", "q4_k_s": "q4_k", "q4_k_m": "q4_k"} | {
    "q5_k_s": "q5_k",
    "q5_k_m": "q5_k",
}

_FALLBACK = {"q2_k": "iq4_nl", "q3_k": "iq4_nl", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}


def gguf_bytes(shape: Shape, file_type: str) -> int:
    """Tensor bytes of a GGUF file of a dense Llama-like model, without an importance matrix.

    The mixture of types follows llama.cpp's src/llama-quant.cpp (llama_tensor_get_type): the output layer is q6_k, some
    attn_v and ffn_down tensors get more bits, tensors whose rows are no multiple of the block take a wider type.
    Raises :class:`Unsized` where that code would choose a type whose size is not in :data:`BYTES_PER_BLOCK`.
    """
    elements: Counter[str] = Counter()
    hidden, attention, kv = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for layer in range(shape.layers):
        for tensor, rows, columns in (
            ("attn_q", attention, hidden),
            ("attn_k", kv, hidden),
            ("attn_v", kv, hidden),
            ("attn_output", hidden, attention),
            ("ffn_gate", shape.intermediate, hidden),
            ("ffn_up", shape.intermediate, hidden),
            ("ffn_down", hidden, shape.intermediate),
        ):
            kind = _tensor_type(tensor, file_type, layer, shape)
            elements[_fitting(kind, columns)] += rows * columns
    base, output = _BASE_TYPE.get(file_type, file_type), _output_type(file_type)
    elements[_fitting(output if shape.tied else base, hidden)] += shape.vocab * hidden
    if not shape.tied:
        elements[_fitting(output, hidden)] += shape.vocab * hidden
    elements["f32"] += shape.norms + shape.biases()
    return sum(ceil(count * _rate(kind)) for kind, count in elements.items())


def _rate(kind: str) -> float:
    if kind not in BYTES_PER_BLOCK:
        raise Unsized(f"a tensor would be stored as {kind}, whose size is not known here")
    size, count = BYTES_PER_BLOCK[kind]
    return size / count


def _output_type(file_type: str) -> str:
    return file_type if file_type in ("q8_0", "f16") else "q6_k"


def _fitting(kind: str, columns: int) -> str:
    if kind in ("f16", "f32") or columns % BYTES_PER_BLOCK[kind][1] == 0:
        return kind
    wider = _FALLBACK.get(kind, "f16")
    return wider if columns % 32 == 0 else "f16"


def _more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _tensor_type(tensor: str, file_type: str, layer: int, shape: Shape) -> str:
    base = _BASE_TYPE.get(file_type, file_type)
    match tensor:
        case "attn_v":
            return _attn_v_type(file_type, base, layer, shape)
        case "ffn_down":
            return _ffn_down_type(file_type, base, layer, shape.layers)
        case "attn_output":
            return {"q2_k": "q3_k", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}.get(file_type, base)
        case _:
            return base


def _attn_v_type(file_type: str, base: str, layer: int, shape: Shape) -> str:
    kind = base
    if file_type == "q2_k":
        kind = "q4_k" if shape.heads // shape.kv_heads >= 4 else "q3_k"
    elif file_type == "q3_k_m":
        kind = "q5_k" if layer < 2 else "q4_k"
    elif file_type == "q3_k_l" or (file_type == "q4_k_s" and layer < 4):
        kind = "q5_k"
    elif file_type in ("q4_k_m", "q5_k_m") and _more_bits(layer, shape.layers):
        kind = "q6_k"
    if shape.layers == 80 and shape.heads // shape.kv_heads == 8 and kind in ("q3_k", "q4_k"):
        kind = "q5_k"
    return kind


def _ffn_down_type(file_type: str, base: str, layer: int, layers: int) -> str:
    if file_type == "q2_k":
        return "q3_k"
    if file_type == "q3_k_m":
        return "q5_k" if layer < layers // 16 else "q4_k"
    if file_type == "q3_k_l" or (file_type == "q4_k_s" and layer < layers // 8):
        return "q5_k"
    if file_type in ("q4_k_m", "q5_k_m") and _more_bits(layer, layers):
        return "q6_k"
    return base
