"""How vLLM cuts the KV cache of one GPU into pages, version by version: blocks, tokens, concurrency.

Every layer type keeps its share in pages; all types of a model share one pool of equal blocks. Read from the releases
0.6.6 to 0.33.0: v1/core/kv_cache_utils.py (since 0.33 v1/core/kv_cache_planning.py) and platforms/interface.py
(``_align_hybrid_block_size``; up to 0.19 model_executor/models/config.py). Integers throughout.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import lcm

from modelberth.memory.page_groups import (
    Group,
    Kind,
    Paged,
    PageSettings,
    PageSpec,
    StateMode,
    ceil_div,
    grouped,
)
from modelberth.memory.terms import Unsized
from modelberth.units import ceil_to
from modelberth.versions import key

__all__ = [
    "Group",
    "Kind",
    "PageSettings",
    "PageSpec",
    "Pages",
    "StateMode",
    "in_flight_tokens",
    "latent_bytes_per_token",
]
__all__ += ["plan", "state_mode"]


@dataclass(frozen=True)
class Pages:
    """The plan for one GPU: ``block_bytes`` is one block of the shared pool, which any group may own."""

    settings: PageSettings
    groups: tuple[Group, ...]
    block_bytes: int
    available_bytes: int

    @property
    def blocks(self) -> int:
        """Blocks in the pool."""
        return max(0, self.available_bytes) // self.block_bytes

    def blocks_per_request(self, tokens: int) -> int:
        """Blocks that one request of ``tokens`` tokens holds, over all groups."""
        return sum(group.pages(tokens, self.settings) for group in self.groups)

    def bytes_per_request(self, tokens: int) -> int:
        """The same in bytes of this GPU."""
        return self.blocks_per_request(tokens) * self.block_bytes

    @cached_property
    def needed_bytes(self) -> int:
        """KV cache that vLLM asks for at start, one request of ``max_model_len`` ("... GiB KV cache is needed").

        Up to 0.13 the padding of groups is not counted (check_enough_kv_cache_memory sums the layers).
        """
        tokens = self.settings.max_model_len
        if self.settings.since("0.14"):
            return self.bytes_per_request(tokens)
        members = [member for group in self.groups for member in group.members]
        return sum(paged.pages(tokens, self.settings) * paged.page_bytes * layers for paged, layers in members)

    @property
    def admitted(self) -> bool:
        """Whether vLLM starts with this cache. Since 0.29 the block that the pool holds back is not counted."""
        held_back = self.block_bytes if self.settings.since("0.29") else 0
        return self.available_bytes > 0 and self.needed_bytes <= self.available_bytes - held_back

    @property
    def longest_request_tokens(self) -> int:
        """Longest request, up to ``max_model_len``, that the pool holds alone; 0 when none."""
        lengths = range(1, self.settings.max_model_len + 1)
        return bisect_right(lengths, self.blocks, key=self.blocks_per_request)

    @property
    def concurrency(self) -> float:
        """Requests of ``max_model_len`` at once, as vLLM prints it ("Maximum concurrency for ...")."""
        return self.blocks / self._blocks_per_longest

    @property
    def tokens(self) -> int:
        """What vLLM prints as "GPU KV cache size": since 0.20.1 concurrency x max_model_len, before it blocks shared
        equally by the groups.
        """
        if self.settings.since("0.20.1"):
            return int(self.concurrency * self.settings.max_model_len)
        return self.blocks // len(self.groups) * min(group.block_tokens for group in self.groups)

    @property
    def _blocks_per_longest(self) -> int:
        tokens = self.settings.max_model_len
        if self.settings.since("0.27"):
            return self.blocks_per_request(tokens)
        # Up to 0.26 the groups' bytes are summed and divided by the first group's block: the same unless groups differ.
        total = sum(group.pages(tokens, self.settings) * group.bytes for group in self.groups)
        if len({member.page_bytes for group in self.groups for member, _ in group.members}) == 1:
            return self.blocks_per_request(tokens)
        return ceil_div(total, self.groups[0].bytes)


def in_flight_tokens(
    version: str, max_num_batched_tokens: int, pipeline_parallel: int = 1, asynchronous: bool = True
) -> int:
    """Tokens scheduled and not yet settled, whose pages a sliding window still holds (config/vllm.py).

    One batch up to 0.25; since 0.26 one per pipeline stage, or two with asynchronous scheduling on one stage.
    """
    if key(version) < key("0.26"):
        return max_num_batched_tokens
    batches = 2 if asynchronous and pipeline_parallel == 1 else pipeline_parallel
    return batches * max_num_batched_tokens


def state_mode(version: str, prefix_caching: bool | None = None, caches_all: bool = False) -> StateMode:
    """``mamba_cache_mode`` of a hybrid model; ``caches_all``: the architecture declares ``SupportsMambaPrefixCaching``.

    Prefix caching of hybrids is on unless refused since 0.28, off unless asked for before (engine/arg_utils.py).
    "align" exists since 0.14; "all" ended as a default with 0.28 (models/config.py, ``MambaModelConfig``).
    """
    asked = key(version) >= key("0.28") if prefix_caching is None else prefix_caching
    if not asked:
        return StateMode.NONE
    if caches_all and key(version) < key("0.29"):
        return StateMode.ALL
    return StateMode.ALIGN if key(version) >= key("0.14") else StateMode.NONE


def latent_bytes_per_token(version: str, elements: int, element_bytes: int, layout: str = "auto") -> int:
    """Bytes per token and layer of a latent (MLA) cache, on every tensor parallel rank.

    The packed layouts hold 512 fp8 values, 4 scales and 64 rotary values in bf16 (fp8_ds_mla, 656 B) or the 4-bit form
    of it (nvfp4_ds_mla, 352 B): model_executor/layers/attention/mla_attention.py. 0.7 engines pad an entry to 256
    bytes (worker/cache_engine.py of 0.7.3, VLLM_MLA_CUDA_MEM_ALIGN_KV_CACHE).
    """
    packed = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}.get(layout)
    if packed is not None:
        return packed
    size = elements * element_bytes
    return ceil_to(size, 256) if key("0.7.2") <= key(version) < key("0.8") else size


def plan(specs: Sequence[PageSpec], settings: PageSettings, available_bytes: int) -> Pages:
    """Pages for these layers in ``available_bytes``. Raises :class:`Unsized` for a mix that this version refuses."""
    specs = [spec for spec in specs if spec.layers]
    if not specs:
        raise Unsized("a model without layers that cache anything has no pages")
    if not (settings.hybrid_manager and settings.since("0.9.2")):
        specs = _promoted(specs)
    paged = _merged(_paged(spec, settings, _block_tokens(specs, settings)) for spec in specs)
    groups, block_bytes = grouped(paged, settings)
    return Pages(settings, tuple(groups), block_bytes, available_bytes)


def _promoted(specs: Sequence[PageSpec]) -> list[PageSpec]:
    """Windows kept as if every token were needed: the hybrid manager is off, or there is none yet (before 0.9.2)."""
    if not any(spec.keeps_everything for spec in specs):
        return list(specs)
    if any(spec.kind is Kind.STATE for spec in specs):
        raise Unsized("vLLM does not start a model with recurrent layers without its hybrid KV cache manager")
    full = {Kind.SLIDING: Kind.FULL, Kind.CHUNKED: Kind.FULL}
    return [replace(spec, kind=full.get(spec.kind, spec.kind), window=0, block_tokens=0) for spec in specs]


def _block_tokens(specs: Sequence[PageSpec], settings: PageSettings) -> int:
    """The attention block, raised until its page holds a recurrent layer's state."""
    state_bytes = max((spec.state_bytes for spec in specs if spec.kind is Kind.STATE), default=0)
    attention = next((spec for spec in specs if spec.keeps_everything or spec.slides), None)
    if not state_bytes or attention is None:
        return settings.block_tokens
    step = settings.kernel_block_tokens
    if settings.since("0.20"):
        step = max(step, settings.block_tokens)
    if settings.state_mode is StateMode.ALL:
        step = lcm(settings.state_chunk_tokens, step)
    per_token = attention.bytes_per_token
    return max(settings.block_tokens, step * ceil_div(state_bytes, step * per_token))


def _paged(spec: PageSpec, settings: PageSettings, block_tokens: int) -> Paged:
    if spec.kind is Kind.STATE:
        block = block_tokens if settings.state_mode is not StateMode.NONE else settings.max_model_len
        return Paged(spec, block, ceil_to(spec.state_bytes, spec.alignment_bytes))
    block = spec.block_tokens or block_tokens
    entries = block // spec.tokens_per_entry
    return Paged(spec, block, ceil_to(entries * spec.bytes_per_token, spec.alignment_bytes))


def _merged(paged: Iterable[Paged]) -> list[Paged]:
    """Equal layers under different names (a draft model's, say) are one type."""
    merged: dict[Paged, int] = defaultdict(int)
    names: dict[Paged, str] = {}
    for member in paged:
        anonymous = replace(member, spec=replace(member.spec, name="", layers=0))
        merged[anonymous] += member.spec.layers
        names.setdefault(anonymous, member.spec.name)
    return [
        replace(member, spec=replace(member.spec, name=names[member], layers=layers))
        for member, layers in merged.items()
    ]
