"""Memory of a model on an engine, as named terms in bytes."""

from modelberth.memory.kv import kv_bytes_per_token
from modelberth.memory.shapes import Shape, shape_of
from modelberth.memory.terms import Memory, Term, Unsized
from modelberth.memory.weights import gguf_bytes, safetensors_bytes

__all__ = ["Memory", "Shape", "Term", "Unsized", "gguf_bytes", "kv_bytes_per_token", "safetensors_bytes", "shape_of"]
