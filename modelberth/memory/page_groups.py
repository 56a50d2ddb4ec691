"""Layers that share a block table in vLLM's KV cache, and how wide one block of the shared pool gets, by version.

Source: v1/core/kv_cache_utils.py of the releases 0.9.2 to 0.32, v1/core/kv_cache_planning.py of 0.33, and
v1/kv_cache_interface.py (pages that one request of a length takes). Integers throughout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from modelberth.memory.terms import Unsized
from modelberth.versions import key


def ceil_div(amount: int, step: int) -> int:
    """``amount / step``, rounded up, in integers."""
    return -(-amount // step)


class Kind(StrEnum):
    """What a layer keeps: every token, a window of them, a chunk, one latent vector each, a ring, or a fixed state."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    LATENT = "latent"
    RING = "ring"
    STATE = "state"


class StateMode(StrEnum):
    """vLLM's ``mamba_cache_mode``: what recurrent layers keep for prefix caching."""

    NONE = "none"
    ALIGN = "align"
    ALL = "all"


@dataclass(frozen=True)
class PageSpec:
    """``layers`` equal layers of one GPU (of its pipeline stage).

    ``bytes_per_token``: of one layer on one tensor parallel rank; with ``tokens_per_entry`` above 1 (compressed
    attention) the bytes of one entry, which covers that many tokens. ``state_bytes``: of one layer's state on one rank.
    ``window``: tokens of a sliding window or chunk; a latent spec with a window slides. ``block_tokens``: a block size
    that the model fixes itself, 0 for the engine's. ``alignment_bytes``: pages are padded to a multiple of it.
    """

    name: str
    kind: Kind
    layers: int
    bytes_per_token: int = 0
    state_bytes: int = 0
    window: int = 0
    block_tokens: int = 0
    tokens_per_entry: int = 1
    alignment_bytes: int = 1

    @property
    def slides(self) -> bool:
        """Whether only a window of tokens is kept."""
        return self.kind is Kind.SLIDING or (self.kind is Kind.LATENT and self.window > 0)

    @property
    def keeps_everything(self) -> bool:
        """Whether every token is kept."""
        return self.kind is Kind.FULL or (self.kind is Kind.LATENT and self.window == 0)


@dataclass(frozen=True)
class PageSettings:
    """What pages depend on. ``in_flight_tokens``: see :func:`in_flight_tokens`; ``kernel_block_tokens``: the smallest
    block of the attention kernel (16; MLA 64 or 128); ``state_chunk_tokens``: the recurrent kernel's chunk, used by the
    mode "all"; ``checkpoint_blocks``: 1 where the recurrent kernel exports states inside a prefill (mode "align").
    """

    version: str
    max_model_len: int
    in_flight_tokens: int
    block_tokens: int = 16
    kernel_block_tokens: int = 16
    state_mode: StateMode = StateMode.NONE
    state_chunk_tokens: int = 256
    draft_tokens: int = 0
    checkpoint_blocks: int = 0
    hybrid_manager: bool = True

    def since(self, version: str) -> bool:
        """Whether the engine is at least this version."""
        return key(self.version) >= key(version)


@dataclass(frozen=True)
class Paged:
    """Layers whose block and page are decided: ``page_bytes`` is one layer's page of ``block_tokens`` tokens."""

    spec: PageSpec
    block_tokens: int
    page_bytes: int

    def pages(self, tokens: int, settings: PageSettings) -> int:
        """Pages that one request of ``tokens`` tokens holds at most in one layer."""
        if self.spec.kind is Kind.RING:
            return 1
        if self.spec.kind is Kind.STATE:
            return self._state_pages(tokens, settings)
        if self.spec.slides:
            return ceil_div(min(self.spec.window - 1 + settings.in_flight_tokens, tokens), self.block_tokens) + 1
        if self.spec.kind is Kind.CHUNKED:
            tokens = min(self.spec.window + settings.in_flight_tokens, tokens)
        return ceil_div(tokens, self.block_tokens)

    def _state_pages(self, tokens: int, settings: PageSettings) -> int:
        if settings.state_mode is StateMode.ALL:
            drafts = settings.draft_tokens if settings.since("0.22") else 0
            return ceil_div(tokens, self.block_tokens) + drafts
        if settings.state_mode is StateMode.ALIGN:
            return 2 + settings.draft_tokens + settings.checkpoint_blocks
        return 1 + settings.draft_tokens


@dataclass(frozen=True)
class Group:
    """Layers with one block table: ``members`` are (layer type, its number of layers in this group)."""

    members: tuple[tuple[Paged, int], ...]

    @property
    def layers(self) -> int:
        """Layers in the group, padding not counted."""
        return sum(layers for _, layers in self.members)

    @property
    def bytes(self) -> int:
        """Bytes of one block's pages over the layers of this group."""
        return sum(paged.page_bytes * layers for paged, layers in self.members)

    @property
    def block_tokens(self) -> int:
        """Tokens in one block."""
        return self.members[0][0].block_tokens

    def pages(self, tokens: int, settings: PageSettings) -> int:
        """Blocks that one request of ``tokens`` tokens takes from the pool for this group."""
        return max(paged.pages(tokens, settings) for paged, _ in self.members)


def grouped(paged: Sequence[Paged], settings: PageSettings) -> tuple[list[Group], int]:
    """The groups, and the bytes of one block of the pool they share. Raises :class:`Unsized` for what is refused."""
    if len({_type(member) for member in paged}) == 1:
        group = Group(tuple((member, member.spec.layers) for member in paged))
        return [group], group.bytes
    if not any(_packs(member.spec) for member in paged):
        return _equal_groups(_unified(paged, settings), settings)
    if settings.since("0.29"):
        return _packed(paged)
    if settings.since("0.20") and all(member.spec.kind is Kind.LATENT for member in paged):
        return _tuples(paged, settings)
    raise Unsized(f"vLLM {settings.version} has no KV cache for layers that compress tokens beside others")


def _type(member: Paged) -> tuple[object, ...]:
    """Layers of one type may share a block table (``UniformTypeKVCacheSpecs.is_uniform_type``)."""
    if member.spec.keeps_everything:
        return ("everything", member.block_tokens)
    state = member.page_bytes if member.spec.kind is Kind.STATE else 0
    return (member.spec.kind, member.block_tokens, member.spec.window, state)


def _packs(spec: PageSpec) -> bool:
    """Whether the model's own cache lays layers of different page sizes side by side in one block."""
    return spec.kind is Kind.RING or (spec.kind is Kind.LATENT and (spec.window > 0 or spec.tokens_per_entry > 1))


def _unified(paged: Sequence[Paged], settings: PageSettings) -> list[Paged]:
    """One page size for all types: blocks of smaller pages are multiplied, what does not divide is padded."""
    page_bytes = max(member.page_bytes for member in paged)
    unified: list[Paged] = []
    for member in paged:
        ratio, rest = divmod(page_bytes, member.page_bytes)
        state = member.spec.kind is Kind.STATE
        if member.page_bytes == page_bytes:
            unified.append(member)
        elif state or (rest and settings.since("0.24") and member.spec.kind is not Kind.LATENT):
            unified.append(replace(member, page_bytes=page_bytes))
        elif rest == 0 and settings.since("0.12"):
            unified.append(replace(member, page_bytes=page_bytes, block_tokens=member.block_tokens * ratio))
        else:
            raise Unsized(
                f"vLLM {settings.version} has no common pool for pages of {member.page_bytes:,} and {page_bytes:,} B"
            )
    return unified


def _equal_groups(paged: Sequence[Paged], settings: PageSettings) -> tuple[list[Group], int]:
    """Types are split into groups of equally many layers: the fewest of any type, the most if that is close."""
    counts = [member.spec.layers for member in paged]
    close = 1.5 if settings.since("0.18") else 1.25 if settings.since("0.12") else 0
    size = max(counts) if max(counts) < min(counts) * close else min(counts)
    groups: list[Group] = []
    for member in paged:
        number = ceil_div(member.spec.layers, size)
        groups += [Group(((member, len(range(i, member.spec.layers, number))),)) for i in range(number)]
    return groups, paged[0].page_bytes * size


def _buckets(paged: Sequence[Paged]) -> list[list[Paged]]:
    buckets: dict[tuple[object, ...], list[Paged]] = defaultdict(list)
    for member in paged:
        buckets[_type(member)].append(member)
    return sorted(buckets.values(), key=lambda bucket: not bucket[0].spec.keeps_everything)


def _repeats(bucket: Sequence[Paged]) -> int:
    """Layers that share a page size, at most."""
    counts: dict[int, int] = defaultdict(int)
    for member in bucket:
        counts[member.page_bytes] += member.spec.layers
    return max(counts.values())


def _least_padding(counts: Sequence[int], at_least: int) -> int:
    """The size at which rounding every count up wastes least; the largest of equals (``_approximate_gcd``)."""
    sizes = range(at_least, max([*counts, at_least]) + 1)
    return min(reversed(sizes), key=lambda size: sum(-count % size for count in counts))


def _split(bucket: Sequence[Paged], number: int) -> list[Group]:
    return [
        Group(tuple((member, len(range(i, member.spec.layers, number))) for member in bucket)) for i in range(number)
    ]


def _tuples(paged: Sequence[Paged], settings: PageSettings) -> tuple[list[Group], int]:
    """0.20 to 0.28: windows are padded to the pages of the compressed layers and split to as many layers."""
    buckets = _buckets(paged)
    pages = sorted({member.page_bytes for member in buckets[0]})
    padded = [buckets[0]]
    for bucket in buckets[1:]:
        padded.append([replace(m, page_bytes=min(p for p in pages if p >= m.page_bytes)) for m in bucket])
    repeats = _least_padding([_repeats(bucket) for bucket in padded], _repeats(buckets[0]))
    groups = [Group(tuple((member, member.spec.layers) for member in padded[0]))]
    for bucket in padded[1:]:
        groups += _split(bucket, ceil_div(_repeats(bucket), repeats))
    if settings.since("0.27"):
        return groups, max(group.bytes for group in groups)
    most = {page: max(_layers_of(group, page) for group in groups) for page in pages}
    if settings.since("0.23"):
        return groups, sum(page * layers for page, layers in most.items())
    return groups, sum(pages) * max(most.values())


def _layers_of(group: Group, page_bytes: int) -> int:
    return sum(layers for member, layers in group.members if member.page_bytes == page_bytes)


def _packed(paged: Sequence[Paged]) -> tuple[list[Group], int]:
    """Since 0.29 (``_get_packed_kv_cache_groups``): pages are not padded, a block is as wide as its widest group."""
    buckets = _buckets(paged)
    balanced = [len({member.spec.layers for member in bucket}) == 1 for bucket in buckets]
    mixed = [_repeats(bucket) for bucket, even in zip(buckets, balanced, strict=True) if even and len(bucket) > 1]
    repeats = 0
    if mixed:
        counts = [_repeats(bucket) for bucket, even in zip(buckets, balanced, strict=True) if even]
        repeats = _least_padding(counts, max(mixed))
    numbers = [
        ceil_div(_repeats(b), repeats) if even and repeats else 1 for b, even in zip(buckets, balanced, strict=True)
    ]
    fixed = [_is_state(bucket[0].spec, repeats) for bucket in buckets]
    anchor = max(
        _split(bucket, sum(member.spec.layers for member in bucket) if state else number)[0].bytes
        for bucket, number, state in zip(buckets, numbers, fixed, strict=True)
    )
    groups: list[Group] = []
    for bucket, number, state in zip(buckets, numbers, fixed, strict=True):
        if state:
            layers = sum(member.spec.layers for member in bucket)
            number = max(number, ceil_div(layers, max(anchor // bucket[0].page_bytes, 1)))
        groups += _split(bucket, number)
    return groups, max(group.bytes for group in groups)


def _is_state(spec: PageSpec, repeats: int) -> bool:
    return spec.kind in (Kind.STATE, Kind.RING) or (spec.slides and not repeats)
