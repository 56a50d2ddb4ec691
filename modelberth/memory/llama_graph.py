"""The compute buffer of llama.cpp: the largest set of intermediate tensors that its graph holds at once.

Derived from the graphs of ggml-org/llama.cpp@b11434:src/llama-graph.cpp (build_attn_mha, build_ffn, build_moe_ffn),
src/models/deepseek2.cpp and src/models/delta-net-base.cpp, and the allocator ggml/src/ggml-alloc.c, which reuses what
is no longer read. Intermediates are float32, one micro-batch wide; the attention mask is 16 bit with flash attention.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelberth.memory.shapes import Keeps, Part, Shape

SCHEDULER_COPIES = 4
"""Copies of every graph input when layers are spread over several GPUs (ggml/src/ggml-backend.cpp,
GGML_SCHED_MAX_COPIES; src/llama-context.cpp, pipeline_parallel)."""

EMBEDDINGS_SINCE = 11434
"""Build whose graph also has an input for tokens mixed with embeddings (src/llama-graph.cpp, build_inp_embd): it is in
b11434 and not in b10434; which build between them has it first is not known."""

UNMIXED = frozenset({"CogVLMForCausalLM", "DeepseekV4ForCausalLM"})
"""Architectures without that input (src/llama-arch.cpp, llm_arch_supports_mixed_batch)."""

STATE_COPIES = 3.1
"""Copies of a delta net's convolution channels alive at once (src/models/delta-net-base.cpp)."""


@dataclass(frozen=True)
class Step:
    """One micro-batch: its tokens, the KV cells of one sequence's attention, outputs whose logits are computed.

    ``f16_streams`` are the sequences' caches of which flash attention keeps a copy in f16, none where it reads them as
    they are. ``mixed`` steps have an input for embeddings among the tokens.
    """

    tokens: int
    cells: int
    window_cells: int
    outputs: int
    flash_attention: bool = True
    f16_streams: int = 0
    mixed: bool = False

    @property
    def mask_bytes(self) -> int:
        """Attention masks of the full and of the sliding window layers."""
        return (self.cells + self.window_cells) * self.tokens * (2 if self.flash_attention else 4)


def compute_bytes(shape: Shape, step: Step, gpus: int = 1) -> int:
    """Bytes of the compute buffer of one GPU (or of the CPU), weights and KV cache not counted."""
    row = 4 * step.tokens
    hidden = shape.hidden * row
    inputs = step.mask_bytes + hidden * (2 if step.mixed else 1)
    peak = max(
        _feed_forward(shape, row) + inputs,
        _attention(shape, step) + inputs,
        _state(shape, row) + inputs,
        step.outputs * (shape.vocab + shape.hidden) * 4,
    )
    return peak + (SCHEDULER_COPIES - 1) * inputs * (gpus > 1)


def host_bytes(shape: Shape, step: Step, slots: int) -> int:
    """What stays in host memory with every layer on a GPU: embeddings of a batch, masks, the logits of all slots."""
    rows = 4 if step.mixed else 2
    return rows * shape.hidden * 4 * step.tokens + step.mask_bytes + slots * shape.vocab * 4


def _widest(shape: Shape, name: str, of: str = "rows") -> int:
    return max((getattr(part, of) for part in _named(shape, name)), default=0)


def _named(shape: Shape, name: str) -> list[Part]:
    return [part for part in shape.parts if part.name == name]


def _feed_forward(shape: Shape, row: int) -> int:
    """Gate, up and their product, and the layer's input and norm; experts once per active expert.

    The experts' outputs go where gate and up were, when they fit there.
    """
    hidden, queries = shape.hidden * row, _widest(shape, "attn_output", "columns") * row
    dense = 3 * shape.intermediate * row if _named(shape, "ffn_up") else 0
    experts = 3 * shape.active_experts * shape.expert_intermediate * row
    outputs = shape.active_experts * hidden
    if outputs > 2 * experts // 3:
        experts += outputs
    return max(dense, experts) + hidden + max(hidden, queries)


def _attention(shape: Shape, step: Step) -> int:
    row = 4 * step.tokens
    hidden = shape.hidden * row
    if shape.latent:
        return _latent_attention(shape, step) + hidden + _f16_copies(shape, step)
    queries = _widest(shape, "attn_output", "columns") * row
    keys = 2 * _widest(shape, "attn_k") * row
    if step.flash_attention:
        # A gated query projection is twice as wide and copied apart.
        gated = _widest(shape, "attn_q") * row > queries
        return (4 if gated else 2) * queries + keys + hidden + _f16_copies(shape, step)
    scores = shape.heads * max(step.cells, step.window_cells) * row
    return scores + 2 * queries + keys + hidden


def _f16_copies(shape: Shape, step: Step) -> int:
    """Keys and values of the widest layer in f16, of every cell of every stream, behind the attention's result.

    ggml/src/ggml-cuda/fattn.cu (ggml_cuda_flash_attn_ext_get_alloc_size), since pull request 23907 of May 2026; builds
    before it took the same from their pool, for the cells in use.
    """
    cells = {Keeps.EVERYTHING: step.cells, Keeps.WINDOW: step.window_cells}
    rows = (cells.get(cache.keeps, 0) * cache.heads * cache.elements for cache in shape.caches)
    return 2 * step.f16_streams * max(rows, default=0)


def _latent_attention(shape: Shape, step: Step) -> int:
    """Queries, queries in latent space with their rotary part, and the output in latent space, for every head."""
    latent = next(cache.elements for cache in shape.caches if cache.latent)
    rank = _widest(shape, "attn_kv_b", "columns") or latent
    output = _widest(shape, "attn_output", "columns")
    queries = max(_widest(shape, "attn_q_b"), _widest(shape, "attn_q"))
    elements = queries + shape.heads * (latent + rank) + output
    scores = 0 if step.flash_attention else shape.heads * step.cells
    return (elements + scores) * 4 * step.tokens


def _state(shape: Shape, row: int) -> int:
    if not any(cache.keeps is Keeps.STATE for cache in shape.caches):
        return 0
    channels = _widest(shape, "ssm_conv1d")
    return int(max(STATE_COPIES * channels, _widest(shape, "ssm_in") + 2 * channels) * row) + shape.hidden * row
