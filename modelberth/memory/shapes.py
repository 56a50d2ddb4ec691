"""Which models can be sized, and how many parameters they have, from their shapes.

Sized today: dense decoders whose layers all keep a full KV cache (multi-head, grouped-query, multi-query attention).
Everything else is :class:`Unsized` with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelberth.catalog import Model
from modelberth.memory.terms import Unsized


@dataclass(frozen=True)
class _Family:
    """What distinguishes one decoder family's parameter list from plain Llama."""

    qkv_bias: bool = False
    qk_norm: bool = False


_DENSE = {
    "LlamaForCausalLM": _Family(),
    "MistralForCausalLM": _Family(),
    "Qwen2ForCausalLM": _Family(qkv_bias=True),
    "Qwen3ForCausalLM": _Family(qk_norm=True),
}
"""Parameter lists as in the modeling files of Hugging Face transformers (src/transformers/models/<family>)."""


@dataclass(frozen=True)
class Shape:
    """A dense decoder: what sizing needs, every number known. Sizes are element counts."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    qkv_bias: bool
    qk_norm: bool

    @property
    def norms(self) -> int:
        """Elements of all normalisation weights."""
        per_layer = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        return self.layers * per_layer + self.hidden

    def linear(self, tensor_parallel: int = 1) -> int:
        """Elements of all linear layers on one rank; KV heads fewer than ranks are replicated.

        Source: vLLM 0.33.0, model_executor/layers/linear.py, QKVParallelLinear: ``max(1, total_kv_heads // tp)``.
        """
        q_and_o = 2 * self.hidden * self.heads * self.head_dim // tensor_parallel
        k_and_v = 2 * self.hidden * kv_heads_per_rank(self.kv_heads, tensor_parallel) * self.head_dim
        mlp = 3 * self.hidden * self.intermediate // tensor_parallel
        return self.layers * (q_and_o + k_and_v + mlp)

    def biases(self, tensor_parallel: int = 1) -> int:
        """Elements of the attention biases on one rank."""
        if not self.qkv_bias:
            return 0
        heads = self.heads // tensor_parallel + 2 * kv_heads_per_rank(self.kv_heads, tensor_parallel)
        return self.layers * heads * self.head_dim

    @property
    def embeddings(self) -> int:
        """Elements of the embedding and, where it is not tied to it, the output layer."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.linear() + self.biases() + self.norms + self.embeddings


def kv_heads_per_rank(kv_heads: int, tensor_parallel: int) -> int:
    """KV heads that one tensor parallel rank holds: at least one, replicated when there are fewer heads than ranks."""
    return max(1, kv_heads // tensor_parallel)


def shape_of(model: Model) -> Shape:
    """The shape of a model that can be sized. Raises :class:`Unsized` for the others, naming what is in the way."""
    family = _DENSE.get(model.architecture)
    special = {
        "a mixture of experts": model.num_experts,
        "multi-head latent attention": model.kv_lora_rank,
        "sliding window layers": model.sliding_layers,
        "linear attention or state space layers": model.linear_layers,
        "a vision encoder": model.has_vision,
    }
    reasons = [name for name, value in special.items() if value]
    if family is None and not reasons:
        reasons = [f"architecture {model.architecture}"]
    if reasons:
        raise Unsized(f"{model.id} has {' and '.join(reasons)}, which cannot be sized yet")
    needed = {
        "num_layers": model.num_layers,
        "intermediate_size": model.intermediate_size,
        "vocab_size": model.vocab_size,
        "tie_embeddings": model.tie_embeddings,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing or family is None:
        raise Unsized(f"the catalog lacks {', '.join(missing)} of {model.id}")
    return Shape(
        layers=model.num_layers or 0,
        hidden=model.hidden_size,
        heads=model.num_attention_heads,
        kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        intermediate=model.intermediate_size or 0,
        vocab=model.vocab_size or 0,
        tied=bool(model.tie_embeddings),
        qkv_bias=family.qkv_bias,
        qk_norm=family.qk_norm,
    )
