"""The blocks that decoders are made of, as parts and caches: attention of every kind, feed-forwards, experts, states.

Parameter lists as in the modeling files of Hugging Face transformers (src/transformers/models, 4.57 and 5.23) and vLLM
0.33.0 (model_executor/models); what ranks share as in the latter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.catalog import Model
from modelberth.memory.shapes import Cache, Keeps, Part, Role, Split
from modelberth.memory.terms import Unsized


@dataclass(frozen=True)
class Family:
    """What an architecture adds to a Llama block: biases, norms of queries and keys, feed-forwards without a gate."""

    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    gate: bool = True
    norms: int = 2
    sinks: bool = False
    gdn: bool = False
    mamba: bool = False
    kda: bool = False
    short_conv: bool = False
    dense_beside_experts: bool = False
    shared_gate: bool = False
    compressed: bool = False
    irregular: bool = False
    rotary_share: float = 1.0


INDEXED_RATIO = 4
"""Layers of DeepSeek V4 that compress this many tokens into one select by an index; the others read everything."""


class Blocks:
    """Counts and widths of one model, and the parts that follow from them."""

    def __init__(self, model: Model, family: Family) -> None:
        self.model = model
        self.family = family
        self.layers = model.num_layers or 0
        self.vocab = model.vocab_size or 0
        self.sliding_layers = model.sliding_layers or 0
        self.linear_layers = model.linear_layers or 0
        full = model.full_attention_layers
        cross = model.cross_attention_layers or 0
        self.full_layers = self.layers - self.sliding_layers - self.linear_layers if full is None else full + cross
        self.moe_layers = self._moe_layers()
        self.expert_width = model.moe_intermediate_size or model.intermediate_size or 0
        stated_width = model.dense_intermediate_size or model.intermediate_size
        self.dense_width = max(model.mlp_widths or (stated_width or self.expert_width,))
        if not family.irregular and self.full_layers + self.sliding_layers + self.linear_layers != self.layers:
            raise Unsized(f"the layer kinds of {model.id} do not add up to its {self.layers} layers")

    def _moe_layers(self) -> int:
        if not self.model.num_experts:
            return 0
        if self.model.moe_layers is not None:
            return self.model.moe_layers
        return self.layers - (self.model.first_k_dense or 0)

    @property
    def mlp_layers(self) -> int:
        """Layers with a dense feed-forward."""
        if self.model.mlp_layers is not None:
            return self.model.mlp_layers
        if self.family.mamba:
            return self.layers - self.full_layers - self.linear_layers - self.moe_layers
        return self.layers if self.family.dense_beside_experts else self.layers - self.moe_layers

    @property
    def rotary_elements(self) -> int:
        """Positions x the part of a head that is rotated; 0 where the positions are not known."""
        width = self.model.qk_rope_dim or int(self.model.head_dim * self.family.rotary_share)
        return 0 if self.family.mamba else (self.model.max_position or 0) * width

    def parts(self) -> Iterator[Part]:
        """Every part of the model."""
        yield from self._embeddings()
        if self.model.compressed_layers:
            yield from self._compressed_attention(self.model.compressed_layers)
        elif self.model.kv_lora_rank:
            yield from self._latent_attention()
        else:
            yield from self._attention()
        if self.linear_layers:
            yield from self._linear_attention()
        yield from self._feed_forward()
        yield from self._norms()
        if self.model.vision_parameters:
            # Shared by the ranks unless asked otherwise (vLLM 0.33.0, mm_encoder_tp_mode: weights)
            yield Part("vision", Role.VISION, 1, self.model.vision_parameters, 1, Split.EVEN, linear=False)

    def _embeddings(self) -> Iterator[Part]:
        hidden = self.model.hidden_size
        yield Part("token_embd", Role.EMBEDDING, self.vocab, hidden, 1, Split.VOCABULARY)
        if not self.model.tie_embeddings:
            yield Part("output", Role.OUTPUT, self.vocab, hidden, 1, Split.VOCABULARY)
        if self.model.per_layer_input_size:
            width = self.model.per_layer_input_size
            yield Part("per_layer_token_embd", Role.EMBEDDING, self.vocab, width * self.layers, 1, Split.VOCABULARY)
            yield Part("per_layer_model_proj", Role.MLP, width * self.layers, hidden, 1, Split.EVEN)
            yield Part("inp_gate", Role.MLP, width, hidden, self.layers, Split.REPLICATED)
            yield Part("proj", Role.MLP, hidden, width, self.layers, Split.REPLICATED)

    def _attention(self) -> Iterator[Part]:
        model = self.model
        kinds = [(self.sliding_layers, model.num_kv_heads, model.head_dim, False)]
        global_heads = model.global_kv_heads or model.num_kv_heads
        kinds.append((self.full_layers, global_heads, model.global_head_dim or model.head_dim, True))
        for layers, kv_heads, head_dim, is_full in kinds:
            if layers:
                yield from self._attention_layers(layers, kv_heads, head_dim, is_full)
        yield from self._indexer(model.hidden_size)

    def _attention_layers(self, layers: int, kv_heads: int, head_dim: int, is_full: bool) -> Iterator[Part]:
        model, hidden = self.model, self.model.hidden_size
        values = model.v_head_dim or head_dim
        heads = (None if is_full else model.sliding_attention_heads) or model.num_attention_heads
        queries = heads * head_dim * (2 if model.attention_output_gate else 1)
        output = heads * values
        yield Part("attn_q", Role.ATTENTION, queries, hidden, layers, Split.EVEN)
        yield Part("attn_k", Role.ATTENTION, kv_heads * head_dim, hidden, layers, Split.KV_HEADS, kv_heads)
        if not (is_full and model.keys_are_values):
            yield Part("attn_v", Role.ATTENTION, kv_heads * values, hidden, layers, Split.KV_HEADS, kv_heads)
        yield Part("attn_output", Role.ATTENTION, hidden, output, layers, Split.EVEN)
        if self.family.qkv_bias:
            yield _vector("attn_q.bias", queries, layers, Split.EVEN, role=Role.ATTENTION)
            width = kv_heads * (head_dim + values)
            yield Part("attn_kv.bias", Role.ATTENTION, 1, width, layers, Split.KV_HEADS, kv_heads)
        if self.family.output_bias:
            yield _vector("attn_output.bias", hidden, layers, role=Role.ATTENTION)
        if self.family.sinks:
            yield _vector("attn_sinks", heads, layers, Split.EVEN, role=Role.ATTENTION)
        if self.family.qk_norm:
            yield _vector("attn_qk_norm", 2 * head_dim, layers)

    def _latent_attention(self) -> Iterator[Part]:
        model, hidden, layers = self.model, self.model.hidden_size, self.full_layers
        heads, rank, rope = model.num_attention_heads, model.kv_lora_rank or 0, model.qk_rope_dim or 0
        nope, values, low = model.qk_nope_dim or 0, model.v_head_dim or 0, model.q_lora_rank
        attention = Role.ATTENTION
        if low:
            yield Part("attn_q_a", attention, low, hidden, layers, Split.REPLICATED)
            yield Part("attn_q_b", attention, heads * (nope + rope), low, layers, Split.EVEN)
        else:
            yield Part("attn_q", attention, heads * (nope + rope), hidden, layers, Split.EVEN)
        yield Part("attn_kv_a_mqa", attention, rank + rope, hidden, layers, Split.REPLICATED)
        yield Part("attn_kv_b", attention, heads * (nope + values), rank, layers, Split.EVEN)
        if model.attention_output_gate:
            yield Part("attn_gate", attention, heads * values, hidden, layers, Split.EVEN)
        yield Part("attn_output", attention, hidden, heads * values, layers, Split.EVEN)
        yield _vector("attn_latent_norms", rank + (low or 0), layers)
        yield from self._indexer(low or hidden)

    def _indexer(self, inputs: int) -> Iterator[Part]:
        """What selects the tokens that sparse attention reads; ``inputs`` of its queries."""
        model = self.model
        if model.index_num_heads and model.index_head_dim:
            heads, width, hidden = model.index_num_heads, model.index_head_dim, model.hidden_size
            own = self.full_layers if model.index_layers is None else model.index_layers
            yield Part("indexer.q", Role.INDEXER, heads * width, inputs, own, Split.REPLICATED)
            yield Part("indexer.k", Role.INDEXER, width, hidden, own, Split.REPLICATED)
            yield Part("indexer.weights", Role.INDEXER, heads, hidden, own, Split.REPLICATED)

    def _compressed_attention(self, compressed: dict[int, int]) -> Iterator[Part]:
        """DeepSeek V4 (transformers 5.23, models/deepseek_v4; ranks as in vLLM 0.26.0, the same folder).

        One shared key and value head; layers that compress four tokens into one also select what they read by an index.
        """
        model, hidden, layers = self.model, self.model.hidden_size, self.layers
        head_dim, low, role = model.head_dim, model.q_lora_rank or 0, Role.ATTENTION
        width, groups = model.num_attention_heads * head_dim, model.o_groups or 1
        yield Part("attn_q_a", role, low, hidden, layers, Split.REPLICATED)
        yield Part("attn_q_b", role, width, low, layers, Split.EVEN)
        yield Part("attn_kv", role, head_dim, hidden, layers, Split.REPLICATED)
        inner = groups * (model.o_lora_rank or 0)
        yield Part("attn_output_a", role, inner, width // groups, layers, Split.EVEN)
        yield Part("attn_output_b", role, hidden, inner, layers, Split.EVEN)
        for ratio, count in compressed.items():
            if ratio <= 1:
                continue
            overlap = 2 if ratio == INDEXED_RATIO else 1
            compressor = 2 * overlap * head_dim
            yield Part("compressor", role, compressor, hidden, count, Split.REPLICATED, linear=False)
        indexed, index = compressed.get(INDEXED_RATIO, 0), model.index_head_dim or 0
        if indexed and index:
            heads = model.index_num_heads or 0
            yield Part("indexer.q", Role.INDEXER, heads * index, low, indexed, Split.REPLICATED)
            yield Part("indexer.weights", Role.INDEXER, heads, hidden, indexed, Split.REPLICATED, linear=False)
            yield Part("indexer.compressor", Role.INDEXER, 4 * index, hidden, indexed, Split.REPLICATED, linear=False)

    def _compressed_caches(self, compressed: dict[int, int]) -> Iterator[Cache]:
        width = self.model.head_dim
        for ratio, count in compressed.items():
            if ratio <= 1:
                continue
            extra = _index_bytes(self.model) if ratio == INDEXED_RATIO else 0
            name = f"compressed {ratio} to 1"
            yield Cache(name, Keeps.EVERYTHING, count, 1, width, latent=True, extra_bytes=extra, every=ratio)
        window = self.model.sliding_window or 0
        yield Cache("sliding window", Keeps.WINDOW, self.layers, 1, width, latent=True, window=window)

    def _linear_attention(self) -> Iterator[Part]:
        if self.family.mamba:
            return self._mamba()
        if self.family.short_conv:
            return self._short_convolutions()
        return self._delta_attention() if self.family.kda else self._delta_net()

    def _short_convolutions(self) -> Iterator[Part]:
        """Gated short convolutions (transformers, models/lfm2/modeling_lfm2.py, Lfm2ShortConv)."""
        layers, hidden, role = self.linear_layers, self.model.hidden_size, Role.LINEAR_ATTENTION
        yield Part("ssm_in", role, 3 * hidden, hidden, layers, Split.EVEN)
        kernel = self.model.linear_conv_kernel or 0
        yield Part("ssm_conv1d", role, hidden, kernel, layers, Split.EVEN, linear=False)
        yield Part("ssm_out", role, hidden, hidden, layers, Split.EVEN)

    def _delta_attention(self) -> Iterator[Part]:
        """Kimi delta attention with a full-rank gate (vLLM 0.33.0, models/kimi_k3/nvidia/kda.py)."""
        model, layers, hidden, role = self.model, self.linear_layers, self.model.hidden_size, Role.LINEAR_ATTENTION
        heads, head_dim = model.linear_num_value_heads or 0, model.linear_value_head_dim or 0
        width = heads * head_dim
        yield Part("ssm_in", role, 4 * width, hidden, layers, Split.EVEN)
        yield Part("ssm_f_a", role, head_dim, hidden, layers, Split.REPLICATED)
        yield Part("ssm_f_b", role, width, head_dim, layers, Split.EVEN)
        yield Part("ssm_beta", role, heads, hidden, layers, Split.EVEN, linear=False)
        yield Part("ssm_conv1d", role, 3 * width, model.linear_conv_kernel or 0, layers, Split.EVEN, linear=False)
        yield Part("ssm_out", role, hidden, width, layers, Split.EVEN)
        yield _vector("ssm_norms", width + heads + head_dim, layers)

    def _delta_net(self) -> Iterator[Part]:
        """Gated delta net (transformers, models/qwen3_next/modeling_qwen3_next.py, Qwen3NextGatedDeltaNet)."""
        model, layers, hidden = self.model, self.linear_layers, self.model.hidden_size
        keys = (model.linear_num_key_heads or 0) * (model.linear_key_head_dim or 0)
        values = (model.linear_num_value_heads or 0) * (model.linear_value_head_dim or 0)
        heads, role = model.linear_num_value_heads or 0, Role.LINEAR_ATTENTION
        yield Part("ssm_in", role, 2 * keys + 2 * values, hidden, layers, Split.EVEN)
        yield Part("ssm_beta_alpha", role, 2 * heads, hidden, layers, Split.EVEN, linear=False)
        kernel = model.linear_conv_kernel or 0
        yield Part("ssm_conv1d", role, 2 * keys + values, kernel, layers, Split.EVEN, linear=False)
        yield Part("ssm_out", role, hidden, values, layers, Split.EVEN)
        yield _vector("ssm_norms", 2 * heads + (model.linear_value_head_dim or 0), layers)

    def _mamba(self) -> Iterator[Part]:
        """Mamba-2 mixer (transformers, models/nemotron_h/modeling_nemotron_h.py, NemotronHMamba2Mixer)."""
        model, layers, hidden, role = self.model, self.linear_layers, self.model.hidden_size, Role.LINEAR_ATTENTION
        heads, groups = model.mamba_num_heads or 0, model.mamba_groups or 0
        inner, state = heads * (model.mamba_head_dim or 0), groups * (model.mamba_state_size or 0)
        yield Part("ssm_in", role, 2 * inner + 2 * state + heads, hidden, layers, Split.EVEN)
        kernel = (model.linear_conv_kernel or 0) + 1
        yield Part("ssm_conv1d", role, inner + 2 * state, kernel, layers, Split.EVEN, linear=False)
        yield Part("ssm_out", role, hidden, inner, layers, Split.EVEN)
        yield _vector("ssm_norms", 3 * heads + inner, layers)

    def _feed_forward(self) -> Iterator[Part]:
        model, hidden = self.model, self.model.hidden_size
        for width, layers in (model.mlp_widths or {self.dense_width: self.mlp_layers}).items():
            yield from self._mlp("ffn", Role.MLP, width, hidden, layers, 1, Split.EVEN)
        if self.family.mlp_bias and not model.num_experts:
            yield _vector("ffn.bias", 2 * self.dense_width + hidden, self.mlp_layers)
        if not self.moe_layers or not model.num_experts:
            return
        experts, layers = model.num_experts, self.moe_layers
        inner = model.moe_latent_size or hidden
        yield Part("ffn_gate_inp", Role.ROUTER, experts, hidden, layers, Split.REPLICATED)
        if model.moe_latent_size:
            yield Part("ffn_latent", Role.ROUTER, inner, hidden, 2 * layers, Split.REPLICATED)
        yield from self._mlp("ffn_exps", Role.EXPERTS, self.expert_width, inner, layers, experts, Split.EXPERTS)
        if self.family.mlp_bias:
            width = (2 if self.family.gate else 1) * self.expert_width + hidden
            yield Part("ffn_exps.bias", Role.EXPERTS, 1, width, layers * experts, Split.EXPERTS, per_layer=experts)
        shared = model.shared_expert_intermediate_size or (model.num_shared_experts or 0) * self.expert_width
        if shared:
            yield from self._mlp("ffn_shexp", Role.SHARED_EXPERTS, shared, hidden, layers, 1, Split.EVEN)
            if self.family.shared_gate:
                yield _vector("ffn_gate_inp_shexp", hidden, layers, role=Role.ROUTER)

    def _mlp(
        self, name: str, role: Role, width: int, inner: int, layers: int, per_layer: int, split: Split
    ) -> Iterator[Part]:
        if not layers:
            return
        count = layers * per_layer
        if self.family.gate:
            yield Part(f"{name}_gate", role, width, inner, count, split, per_layer=per_layer)
        yield Part(f"{name}_up", role, width, inner, count, split, per_layer=per_layer)
        yield Part(f"{name}_down", role, inner, width, count, split, per_layer=per_layer)

    def _norms(self) -> Iterator[Part]:
        yield _vector("norms", self.model.hidden_size, self.family.norms * self.layers + 1)

    def caches(self) -> Iterator[Cache]:
        """What each kind of layer keeps of a request."""
        model = self.model
        if model.compressed_layers:
            yield from self._compressed_caches(model.compressed_layers)
            return
        values = model.v_head_dim or model.head_dim
        if model.kv_lora_rank:
            width = model.kv_lora_rank + (model.qk_rope_dim or 0)
            own = self.full_layers if model.index_layers is None else model.index_layers
            index = _index_bytes(model)
            if index and own != self.full_layers:
                yield Cache("latent", Keeps.EVERYTHING, self.full_layers - own, 1, width, latent=True)
            yield Cache(
                "latent", Keeps.EVERYTHING, own if index else self.full_layers, 1, width, True, extra_bytes=index
            )
        elif self.full_layers:
            head_dim = model.global_head_dim or model.head_dim
            elements = head_dim + (model.v_head_dim or head_dim)
            heads = model.global_kv_heads or model.num_kv_heads
            layers = self._own(self.full_layers - (model.cross_attention_layers or 0))
            yield Cache("attention", Keeps.EVERYTHING, layers, heads, elements)
        if self.sliding_layers:
            yield Cache(
                "sliding window",
                Keeps.WINDOW,
                self._own(self.sliding_layers),
                model.num_kv_heads,
                model.head_dim + values,
                window=model.sliding_window or 0,
            )
        if self.linear_layers:
            yield self._state()

    def _own(self, layers: int) -> int:
        """Layers of a kind that keep a cache of their own: shared ones are spread evenly over the kinds."""
        shared = self.model.kv_shared_layers or 0
        return layers - shared * layers // (self.full_layers + self.sliding_layers)

    def _state(self) -> Cache:
        model = self.model
        size = 4 if (model.ssm_dtype or "float32").startswith("float32") else 2
        if self.family.short_conv:
            conv, state = model.hidden_size, 0
        elif self.family.mamba:
            heads, width = model.mamba_num_heads or 0, model.mamba_head_dim or 0
            conv = heads * width + 2 * (model.mamba_groups or 0) * (model.mamba_state_size or 0)
            state = heads * width * (model.mamba_state_size or 0)
        else:
            keys = (model.linear_num_key_heads or 0) * (model.linear_key_head_dim or 0)
            values = (model.linear_num_value_heads or 0) * (model.linear_value_head_dim or 0)
            conv, state = 2 * keys + values, values * (model.linear_key_head_dim or 0)
        return Cache(
            "state",
            Keeps.STATE,
            self.linear_layers,
            conv_elements=((model.linear_conv_kernel or 1) - 1) * conv,
            state_elements=state,
            state_bytes=size,
        )


def _vector(name: str, width: int, count: int, split: Split = Split.REPLICATED, *, role: Role = Role.NORM) -> Part:
    return Part(name, role, 1, width, count, split)


def _index_bytes(model: Model) -> int:
    """Index keys in fp8 with one 4-byte scale per 128 (vLLM 0.33.0, models/deepseek_v2.py, DeepseekV32IndexerCache)."""
    if not model.index_head_dim:
        return 0
    return model.index_head_dim + 4 * -(-model.index_head_dim // 128)
