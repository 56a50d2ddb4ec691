"""Small models of several families: a catalog row, and the GGUF file that llama.cpp's converter would make of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from modelberth.catalog import Model
from tests.judges.gguf_file import Tensor, Value, vocabulary, write

WINDOW = 1024


def _row(architecture: str, **facts: Any) -> Model:
    common: dict[str, Any] = {
        "id": f"tiny/{architecture}",
        "architecture": architecture,
        "hidden_size": 1024,
        "num_attention_heads": 8,
        "num_kv_heads": 2,
        "head_dim": 128,
        "vocab_size": 2000,
        "tie_embeddings": False,
        "source": "made for a test",
        "as_of": date(2026, 11, 22),
    }
    return Model(**{**common, **facts})


LLAMA = _row("LlamaForCausalLM", num_layers=6, intermediate_size=4096)
WIDE_LLAMA = _row("LlamaForCausalLM", num_layers=4, intermediate_size=6144, hidden_size=2048, num_attention_heads=16)
MIXTURE = _row(
    "Qwen3MoeForCausalLM",
    num_layers=4,
    intermediate_size=768,
    moe_intermediate_size=768,
    num_experts=16,
    experts_per_token=4,
)
GEMMA = _row(
    "Gemma3ForCausalLM",
    num_layers=6,
    intermediate_size=4096,
    num_kv_heads=4,
    tie_embeddings=True,
    sliding_window=WINDOW,
    sliding_layers=5,
    full_attention_layers=1,
)
LATENT = _row(
    "DeepseekV3ForCausalLM",
    num_layers=4,
    intermediate_size=1024,
    num_attention_heads=32,
    num_kv_heads=32,
    head_dim=192,
    q_lora_rank=256,
    kv_lora_rank=512,
    qk_rope_dim=64,
    qk_nope_dim=128,
    v_head_dim=128,
    moe_intermediate_size=256,
    num_experts=8,
    experts_per_token=2,
    num_shared_experts=1,
    first_k_dense=1,
)
HYBRID = _row(
    "Qwen3_5ForConditionalGeneration",
    num_layers=4,
    intermediate_size=2048,
    head_dim=256,
    attention_output_gate=True,
    linear_layers=3,
    full_attention_layers=1,
    linear_num_key_heads=4,
    linear_num_value_heads=8,
    linear_key_head_dim=128,
    linear_value_head_dim=128,
    linear_conv_kernel=4,
)

ARCHITECTURES = {
    LLAMA.architecture: "llama",
    MIXTURE.architecture: "qwen3moe",
    GEMMA.architecture: "gemma3",
    LATENT.architecture: "deepseek2",
    HYBRID.architecture: "qwen35",
}
ROTARY_SECTIONS = [11, 11, 10, 0]


def make(model: Model, path: Path) -> None:
    """The file of a model, all tensors q8_0 and vectors f32."""
    write(path, _metadata(model), list(_tensors(model)))


def _metadata(model: Model) -> dict[str, Value]:
    name = ARCHITECTURES[model.architecture]
    facts: dict[str, Value | None] = {
        "context_length": 131072,
        "embedding_length": model.hidden_size,
        "block_count": model.num_layers,
        "feed_forward_length": model.intermediate_size,
        "vocab_size": model.vocab_size,
        "attention.head_count": model.num_attention_heads,
        "attention.head_count_kv": model.num_kv_heads,
        "attention.key_length": model.head_dim,
        "attention.value_length": model.head_dim,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.sliding_window": model.sliding_window,
        "rope.dimension_count": model.qk_rope_dim or model.head_dim,
        "expert_count": model.num_experts,
        "expert_used_count": model.experts_per_token,
        "expert_feed_forward_length": model.moe_intermediate_size,
    }
    if model.kv_lora_rank:
        width = model.kv_lora_rank + (model.qk_rope_dim or 0)
        facts |= {
            "attention.head_count_kv": 1,
            "attention.key_length": width,
            "attention.value_length": model.kv_lora_rank,
            "attention.key_length_mla": model.head_dim,
            "attention.value_length_mla": model.v_head_dim,
            "attention.q_lora_rank": model.q_lora_rank,
            "attention.kv_lora_rank": model.kv_lora_rank,
            "expert_shared_count": model.num_shared_experts,
            "leading_dense_block_count": model.first_k_dense,
            "expert_weights_scale": 2.5,
            "expert_gating_func": 2,
        }
    if model.linear_layers:
        facts |= {
            "rope.dimension_count": 2 * sum(ROTARY_SECTIONS),
            "rope.dimension_sections": ROTARY_SECTIONS,
            "ssm.conv_kernel": model.linear_conv_kernel,
            "ssm.inner_size": (model.linear_num_value_heads or 0) * (model.linear_value_head_dim or 0),
            "ssm.state_size": model.linear_key_head_dim,
            "ssm.time_step_rank": model.linear_num_value_heads,
            "ssm.group_count": model.linear_num_key_heads,
            "full_attention_interval": (model.num_layers or 0) // (model.full_attention_layers or 1),
        }
    stated = {f"{name}.{key}": value for key, value in facts.items() if value is not None}
    return {"general.architecture": name, **stated, **vocabulary(model.vocab_size or 0)}


def _tensors(model: Model) -> Iterator[Tensor]:
    hidden, vocab = model.hidden_size, model.vocab_size or 0
    yield Tensor("token_embd.weight", (hidden, vocab))
    if not model.tie_embeddings:
        yield Tensor("output.weight", (hidden, vocab))
    yield Tensor("output_norm.weight", (hidden,), "f32")
    for layer in range(model.num_layers or 0):
        for tensor in (*_mixer(model, layer), *_feed_forward(model, layer)):
            yield Tensor(f"blk.{layer}.{tensor.name}", tensor.sizes, tensor.kind)


def _mixer(model: Model, layer: int) -> Iterator[Tensor]:
    if model.kv_lora_rank:
        return _latent_attention(model)
    full_every = (model.num_layers or 0) // (model.full_attention_layers or 1)
    if model.linear_layers and (layer + 1) % full_every:
        return _delta_net(model)
    return _attention(model)


def _delta_net(model: Model) -> Iterator[Tensor]:
    hidden, heads, width = model.hidden_size, model.linear_num_value_heads or 0, model.linear_value_head_dim or 0
    keys = (model.linear_num_key_heads or 0) * (model.linear_key_head_dim or 0)
    values = heads * width
    yield from (Tensor(f"{norm}.weight", (hidden,), "f32") for norm in ("attn_norm", "post_attention_norm"))
    yield Tensor("attn_qkv.weight", (hidden, 2 * keys + values))
    yield Tensor("attn_gate.weight", (hidden, values))
    yield Tensor("ssm_conv1d.weight", (model.linear_conv_kernel or 0, 2 * keys + values), "f32")
    yield Tensor("ssm_beta.weight", (hidden, heads))
    yield Tensor("ssm_alpha.weight", (hidden, heads))
    yield Tensor("ssm_out.weight", (values, hidden))
    yield Tensor("ssm_norm.weight", (width,), "f32")
    yield Tensor("ssm_dt.bias", (heads,), "f32")
    yield Tensor("ssm_a", (heads,), "f32")


def _attention(model: Model) -> Iterator[Tensor]:
    hidden, queries, keys = (
        model.hidden_size,
        model.num_attention_heads * model.head_dim,
        model.num_kv_heads * model.head_dim,
    )
    norms = ["attn_norm", "post_attention_norm" if model.linear_layers else "ffn_norm"]
    if model.architecture.startswith("Gemma"):
        norms += ["post_attention_norm", "post_ffw_norm"]
    yield from (Tensor(f"{norm}.weight", (hidden,), "f32") for norm in norms)
    if model.architecture != LLAMA.architecture:
        yield from (Tensor(f"attn_{of}_norm.weight", (model.head_dim,), "f32") for of in "qk")
    yield Tensor("attn_q.weight", (hidden, queries * (2 if model.attention_output_gate else 1)))
    yield Tensor("attn_k.weight", (hidden, keys))
    yield Tensor("attn_v.weight", (hidden, keys))
    yield Tensor("attn_output.weight", (queries, hidden))


def _latent_attention(model: Model) -> Iterator[Tensor]:
    hidden, heads = model.hidden_size, model.num_attention_heads
    rank, low, rope = model.kv_lora_rank or 0, model.q_lora_rank or 0, model.qk_rope_dim or 0
    nope, values = model.qk_nope_dim or 0, model.v_head_dim or 0
    for name, width in (("attn_norm", hidden), ("ffn_norm", hidden), ("attn_q_a_norm", low), ("attn_kv_a_norm", rank)):
        yield Tensor(f"{name}.weight", (width,), "f32")
    yield Tensor("attn_q_a.weight", (hidden, low))
    yield Tensor("attn_q_b.weight", (low, heads * (nope + rope)))
    yield Tensor("attn_kv_a_mqa.weight", (hidden, rank + rope))
    yield Tensor("attn_k_b.weight", (nope, rank, heads))
    yield Tensor("attn_v_b.weight", (rank, values, heads))
    yield Tensor("attn_output.weight", (heads * values, hidden))


def _feed_forward(model: Model, layer: int) -> Iterator[Tensor]:
    hidden, experts, width = model.hidden_size, model.num_experts or 0, model.moe_intermediate_size or 0
    if not experts or layer < (model.first_k_dense or 0):
        yield from _mlp("", hidden, model.intermediate_size or 0)
        return
    yield Tensor("ffn_gate_inp.weight", (hidden, experts), "f32")
    yield from _mlp("_exps", hidden, width, experts)
    if model.num_shared_experts:
        yield from _mlp("_shexp", hidden, width * model.num_shared_experts)


def _mlp(suffix: str, hidden: int, width: int, *experts: int) -> Iterator[Tensor]:
    yield Tensor(f"ffn_gate{suffix}.weight", (hidden, width, *experts))
    yield Tensor(f"ffn_up{suffix}.weight", (hidden, width, *experts))
    yield Tensor(f"ffn_down{suffix}.weight", (width, hidden, *experts))
