"""Pages of vLLM's KV cache against integers derived from its source and against its own start-up logs."""

from __future__ import annotations

import pytest

from modelberth.memory.pages import (
    Kind,
    PageSettings,
    PageSpec,
    StateMode,
    in_flight_tokens,
    latent_bytes_per_token,
    plan,
    state_mode,
)
from modelberth.memory.terms import Unsized
from modelberth.units import GIB

LLAMA_8B = [PageSpec("full", Kind.FULL, 32, bytes_per_token=4096)]
GPT_OSS = [
    PageSpec("full", Kind.FULL, 18, bytes_per_token=2048),
    PageSpec("sliding", Kind.SLIDING, 18, bytes_per_token=2048, window=128),
]


def qwen_gdn(full: int, linear: int, value_heads: int, kv_heads: int, ranks: int, kv_bytes: int, drafts: int = 0):
    """Gated DeltaNet: 16 key heads of 128, a convolution of 4 in 16 bit, a state in fp32, KV heads of 256."""
    conv = (2 * 16 * 128 + value_heads * 128) * (3 + drafts) * 2
    state = value_heads * 128 * 128 * 4
    per_token = max(1, kv_heads // ranks) * 512 * kv_bytes
    return [
        PageSpec("full", Kind.FULL, full, bytes_per_token=per_token),
        PageSpec("linear", Kind.STATE, linear, state_bytes=(conv + state) // ranks),
    ]


def deepseek_v4(kv_bytes: int = 584):
    """DeepSeek-V4-Flash: 21 layers that compress 4 tokens and index them, 20 that compress 128, 43 windows."""
    compressed = {"kind": Kind.LATENT, "alignment_bytes": 576}
    return [
        PageSpec("c4", layers=21, bytes_per_token=kv_bytes, tokens_per_entry=4, **compressed),
        PageSpec("index", layers=21, bytes_per_token=132, tokens_per_entry=4, **compressed),
        PageSpec("c128", layers=20, bytes_per_token=kv_bytes, tokens_per_entry=128, **compressed),
        PageSpec("window", layers=43, bytes_per_token=kv_bytes, window=128, block_tokens=64, **compressed),
        PageSpec("c4 state", layers=21, bytes_per_token=8192, window=8, block_tokens=4, **compressed),
        PageSpec("index state", layers=21, bytes_per_token=2048, window=8, block_tokens=4, **compressed),
        PageSpec("c128 state", layers=20, bytes_per_token=4096, window=128, block_tokens=8, **compressed),
    ]


def settings(version: str, max_model_len: int, in_flight: int = 8192, **more) -> PageSettings:
    return PageSettings(version, max_model_len, in_flight, **more)


def test_a_uniform_model_has_one_group_and_one_page_per_layer_and_block():
    pages = plan(LLAMA_8B, settings("0.33.0", 131_072), 10 * GIB)
    assert (pages.block_bytes, pages.blocks, len(pages.groups)) == (32 * 4096 * 16, 5120, 1)
    assert pages.tokens == 5120 * 16
    assert pages.bytes_per_request(17) == 2 * pages.block_bytes
    assert pages.needed_bytes == 131_072 * 131_072
    assert not pages.admitted


@pytest.mark.parametrize(("tokens", "available_gib", "max_model_len"), [(31_232, 3.81, 20_000), (23_648, 2.89, 29_000)])
def test_a_first_generation_engine_prints_blocks_times_sixteen(tokens, available_gib, max_model_len):
    pages = plan(LLAMA_8B, settings("0.6.6", max_model_len), int(available_gib * GIB))
    assert pages.tokens == pytest.approx(tokens, rel=0.002)
    assert pages.concurrency == pytest.approx(tokens / max_model_len, rel=0.002)
    assert pages.admitted is (tokens >= max_model_len)


@pytest.mark.parametrize(
    ("specs", "context", "available_gib", "needed_gib"),
    [
        ([PageSpec("full", Kind.FULL, 62, bytes_per_token=2 * 2 * 128 * 2)], 196_608, 9.38, 11.62),
        ([PageSpec("full", Kind.FULL, 94, bytes_per_token=1 * 2 * 128 * 2)], 262_144, 8.03, 11.75),
        ([PageSpec("full", Kind.FULL, 40, bytes_per_token=4096)], 32_768, 3.77, 5.0),
    ],
)
def test_the_memory_one_request_needs_is_what_the_error_says(specs, context, available_gib, needed_gib):
    pages = plan(specs, settings("0.19.0", context), int(available_gib * GIB))
    assert round(pages.needed_bytes / GIB, 2) == needed_gib
    assert not pages.admitted


def test_the_estimated_longest_context_is_what_the_error_says():
    pages = plan([PageSpec("full", Kind.FULL, 62, bytes_per_token=1024)], settings("0.11.0", 196_608), int(9.38 * GIB))
    assert pages.longest_request_tokens == pytest.approx(158_560, abs=160)


@pytest.mark.parametrize(
    ("version", "specs", "context", "available_gib", "tokens"),
    [
        ("0.26.0", qwen_gdn(16, 48, 48, 4, 2, 1), 131_072, 4.99, 302_921),
        ("0.24.0", qwen_gdn(10, 30, 32, 2, 1, 1), 131_072, 6.01, 569_878),
        ("0.17.0", qwen_gdn(12, 36, 64, 2, 1, 1), 131_072, 21.43, 467_712),
        ("0.17.0", qwen_gdn(13, 36, 64, 2, 1, 1, drafts=1), 262_144, 24.05, 482_080),
    ],
)
def test_hybrids_hold_the_tokens_that_the_logs_print(version, specs, context, available_gib, tokens):
    drafts = 1 if specs[0].layers == 13 else 0
    pages = plan(
        specs, settings(version, context, state_mode=StateMode.ALIGN, draft_tokens=drafts), int(available_gib * GIB)
    )
    assert pages.tokens == tokens


@pytest.mark.parametrize(
    ("version", "context", "drafts", "printed"), [("0.17.0", 131_072, 0, 11.79), ("0.17.0", 262_144, 1, 6.42)]
)
def test_concurrency_is_printed_apart_from_the_old_token_count(version, context, drafts, printed):
    specs = qwen_gdn(12 + drafts, 36, 64, 2, 1, 1, drafts)
    available = int((24.05 if drafts else 21.43) * GIB)
    pages = plan(specs, settings(version, context, state_mode=StateMode.ALIGN, draft_tokens=drafts), available)
    assert round(pages.concurrency, 2) == printed


@pytest.mark.parametrize(
    ("ranks", "kv_bytes", "context", "drafts", "blocks", "tokens"),
    [
        (2, 2, 262_144, 0, 491, 377_456),
        (2, 2, 262_144, 0, 580, 445_875),
        (2, 1, 262_144, 0, 611, 920_517),
        (1, 1, 32_768, 0, 75, 91_022),
        (1, 1, 32_768, 0, 112, 135_926),
        (1, 1, 32_768, 0, 126, 152_917),
        (1, 2, 32_768, 0, 112, 76_458),
        (1, 1, 131_072, 0, 153, 222_822),
        (2, 1, 262_144, 5, 425, 605_495),
        (2, 1, 262_144, 2, 650, 968_145),
    ],
)
def test_printed_tokens_of_qwen_27b_are_whole_blocks_over_what_one_request_takes(
    ranks, kv_bytes, context, drafts, blocks, tokens
):
    specs = qwen_gdn(16 + (drafts > 0), 48, 48, 4, ranks, kv_bytes, drafts)
    asked = settings("0.26.0", context, state_mode=StateMode.ALIGN, draft_tokens=drafts)
    block_bytes = plan(specs, asked, GIB).block_bytes
    assert plan(specs, asked, blocks * block_bytes).tokens == tokens


def test_the_attention_block_grows_until_its_page_holds_a_state():
    pages = plan(qwen_gdn(16, 48, 48, 4, 1, 1), settings("0.26.0", 32_768, state_mode=StateMode.ALIGN), 4 * GIB)
    assert pages.groups[0].block_tokens == 1568
    assert pages.block_bytes == 16 * 1568 * 2048
    assert [group.layers for group in pages.groups] == [16, 16, 16, 16]
    assert pages.blocks_per_request(32_768) == 21 + 3 * 2


def test_a_state_costs_one_page_without_prefix_caching_and_three_where_prefills_are_checkpointed():
    specs = qwen_gdn(16, 48, 48, 4, 1, 1)
    none = plan(specs, settings("0.26.0", 32_768), GIB)
    checkpointed = plan(
        specs,
        settings("0.33.0", 32_768, state_mode=StateMode.ALIGN, kernel_block_tokens=64, checkpoint_blocks=1),
        GIB,
    )
    assert none.blocks_per_request(32_768) == 21 + 3
    assert checkpointed.groups[0].block_tokens == 1600
    assert checkpointed.blocks_per_request(32_768) == 21 + 3 * 3


def test_a_recurrent_kernel_with_its_own_chunk_rounds_the_block_to_it():
    specs = [
        PageSpec("full", Kind.FULL, 4, bytes_per_token=2048),
        PageSpec("mamba", Kind.STATE, 24, state_bytes=788 * 1024),
    ]
    pages = plan(specs, settings("0.19.0", 4096, state_mode=StateMode.ALL), GIB)
    assert pages.groups[0].block_tokens == 512
    assert pages.blocks_per_request(4096) == 8 + 6 * 8


def test_draft_tokens_cost_pages_of_states_kept_for_every_block_since_0_22():
    specs = [PageSpec("full", Kind.FULL, 4, bytes_per_token=2048), PageSpec("mamba", Kind.STATE, 4, state_bytes=4096)]
    old, new = (
        plan(specs, settings(version, 4096, state_mode=StateMode.ALL, draft_tokens=3), GIB).blocks_per_request(4096)
        for version in ("0.21.0", "0.22.0")
    )
    assert (old, new) == (16 + 16, 16 + 16 + 3)


def test_a_stated_block_size_becomes_the_step_of_hybrids_since_0_20():
    specs = qwen_gdn(16, 48, 48, 4, 1, 1)
    old, new = (plan(specs, settings(version, 32_768, block_tokens=128), GIB) for version in ("0.19.0", "0.20.0"))
    assert (old.groups[0].block_tokens, new.groups[0].block_tokens) == (1568, 1664)


def test_sliding_windows_hold_the_window_and_what_is_in_flight():
    pages = plan(GPT_OSS, settings("0.11.0", 131_072), 10 * GIB)
    assert [group.layers for group in pages.groups] == [18, 18]
    assert pages.blocks_per_request(131_072) == 8192 + 521
    assert pages.blocks_per_request(100) == 7 + 8


def test_windows_count_two_batches_in_flight_since_scheduling_is_asynchronous():
    assert in_flight_tokens("0.25.1", 8192) == 8192
    assert in_flight_tokens("0.26.0", 8192) == 16_384
    assert in_flight_tokens("0.26.0", 8192, pipeline_parallel=4) == 32_768
    assert in_flight_tokens("0.33.0", 8192, asynchronous=False) == 8192


def test_without_the_hybrid_manager_windows_store_every_token():
    apart = plan(GPT_OSS, settings("0.11.0", 131_072), 10 * GIB)
    alike = plan(GPT_OSS, settings("0.11.0", 131_072, hybrid_manager=False), 10 * GIB)
    assert len(alike.groups) == 1
    assert alike.tokens == 10 * GIB // (36 * 2048 * 16) * 16
    assert alike.concurrency < apart.concurrency


def test_before_there_was_a_hybrid_manager_windows_store_every_token():
    assert len(plan(GPT_OSS, settings("0.9.0", 8192), GIB).groups) == 1
    assert len(plan(GPT_OSS, settings("0.9.2", 8192), GIB).groups) == 2


def test_a_recurrent_model_does_not_start_without_the_hybrid_manager():
    with pytest.raises(Unsized, match="hybrid KV cache manager"):
        plan(qwen_gdn(16, 48, 48, 4, 1, 1), settings("0.26.0", 8192, hybrid_manager=False), GIB)


def test_types_of_different_head_sizes_share_pages_by_larger_blocks():
    gemma_4_e4b = [
        PageSpec("full", Kind.FULL, 4, bytes_per_token=2 * 2 * 512 * 2),
        PageSpec("sliding", Kind.SLIDING, 20, bytes_per_token=2 * 2 * 256 * 2, window=512),
    ]
    pages = plan(gemma_4_e4b, settings("0.19.0", 131_072), int(2.7437 * GIB))
    assert {group.block_tokens for group in pages.groups} == {16, 32}
    assert (pages.block_bytes, len(pages.groups)) == (4 * 65_536, 6)
    assert pages.tokens == 29_968


def test_pages_that_do_not_divide_are_refused_until_they_are_padded():
    specs = [
        PageSpec("full", Kind.FULL, 4, bytes_per_token=1000),
        PageSpec("sliding", Kind.SLIDING, 4, bytes_per_token=300, window=512),
    ]
    with pytest.raises(Unsized, match="no common pool"):
        plan(specs, settings("0.22.0", 8192), GIB)
    assert plan(specs, settings("0.24.0", 8192), GIB).block_bytes == 4 * 16_000


@pytest.mark.parametrize(
    ("version", "sliding", "group_layers"),
    [
        ("0.11.0", 13, 12),
        ("0.12.0", 13, 13),
        ("0.17.0", 16, 12),
        ("0.18.0", 16, 16),
        ("0.18.0", 17, 17),
        ("0.33.0", 18, 12),
    ],
)
def test_groups_take_the_larger_count_when_types_are_nearly_as_many(version, sliding, group_layers):
    specs = [
        PageSpec("full", Kind.FULL, 12, bytes_per_token=2048),
        PageSpec("sliding", Kind.SLIDING, sliding, bytes_per_token=2048, window=128),
    ]
    assert plan(specs, settings(version, 8192), GIB).block_bytes == group_layers * 2048 * 16


def test_a_sparse_index_shares_the_block_of_its_latent_cache():
    deepseek_v32 = [
        PageSpec("latent", Kind.LATENT, 61, bytes_per_token=656),
        PageSpec("index", Kind.LATENT, 61, bytes_per_token=132),
    ]
    pages = plan(deepseek_v32, settings("0.13.0", 163_840, block_tokens=64), 40 * GIB)
    assert (len(pages.groups), pages.block_bytes) == (1, 61 * 64 * (656 + 132))
    assert pages.tokens == 40 * GIB // (61 * 64 * 788) * 64


def test_compressed_attention_needs_what_the_log_of_deepseek_v4_says():
    pages = plan(deepseek_v4(), settings("0.22.0", 30_000, 16_384, block_tokens=256), int(5.44 * GIB))
    assert pages.block_bytes == 22 * (37_440 + 8_640 + 1_728)
    assert pages.blocks_per_request(30_000) == 118 + 2 * 259 + 4099 + 2065
    assert round(pages.needed_bytes / GIB, 2) == 6.66
    assert pages.longest_request_tokens == pytest.approx(13_528, abs=16)


@pytest.mark.parametrize(
    ("version", "context", "in_flight", "available_gib", "tokens", "within"),
    [("0.26.0", 121_344, 16_384, 7.7, 150_000, 0.01), ("0.22.0", 600_000, 8192, 50.57, 5_791_869, 0.01)],
)
def test_compressed_attention_holds_the_tokens_that_the_logs_print(
    version, context, in_flight, available_gib, tokens, within
):
    pages = plan(deepseek_v4(), settings(version, context, in_flight, block_tokens=256), int(available_gib * GIB))
    assert pages.tokens == pytest.approx(tokens, rel=within)


def test_a_block_of_compressed_attention_gets_narrower_by_version():
    blocks = {
        version: plan(deepseek_v4(), settings(version, 8192, block_tokens=256), GIB).block_bytes
        for version in ("0.22.0", "0.23.0", "0.27.0", "0.29.0")
    }
    assert blocks == {"0.22.0": 1_051_776, "0.23.0": 1_039_680, "0.27.0": 1_002_240, "0.29.0": 1_002_240}


def test_compressed_attention_is_refused_before_vllm_had_it():
    with pytest.raises(Unsized, match=r"0\.19\.1"):
        plan(deepseek_v4(), settings("0.19.1", 8192, block_tokens=256), GIB)


def test_rings_and_states_take_what_a_packed_block_leaves_room_for():
    specs = [
        PageSpec("latent", Kind.LATENT, 8, bytes_per_token=656),
        PageSpec("index", Kind.LATENT, 8, bytes_per_token=132, tokens_per_entry=4),
        PageSpec("ring", Kind.RING, 8, bytes_per_token=512, block_tokens=8),
    ]
    pages = plan(specs, settings("0.33.0", 8192, block_tokens=64), GIB)
    assert pages.block_bytes == 8 * 64 * 656 + 8 * 16 * 132
    assert pages.blocks_per_request(8192) == 128 + 1


def test_rings_wider_than_the_block_are_split_into_more_groups():
    specs = [
        PageSpec("latent", Kind.LATENT, 2, bytes_per_token=64),
        PageSpec("ring", Kind.RING, 9, bytes_per_token=1024, block_tokens=4),
    ]
    pages = plan(specs, settings("0.33.0", 8192, block_tokens=64), GIB)
    assert pages.block_bytes == 2 * 64 * 64
    assert [group.layers for group in pages.groups] == [2, 2, 2, 2, 2, 1]


def test_windows_are_split_to_the_larger_of_two_sizes_that_waste_the_same():
    specs = [
        PageSpec("compressed", Kind.LATENT, 3, bytes_per_token=64, tokens_per_entry=4),
        PageSpec("window", Kind.LATENT, 7, bytes_per_token=64, window=128, block_tokens=16),
    ]
    pages = plan(specs, settings("0.22.0", 8192, block_tokens=64), GIB)
    assert [group.layers for group in pages.groups] == [3, 4, 3]


def test_since_0_29_the_block_that_the_pool_holds_back_is_not_counted():
    specs = [PageSpec("full", Kind.FULL, 1, bytes_per_token=64)]
    assert plan(specs, settings("0.28.0", 160), 10 * 1024).admitted
    assert not plan(specs, settings("0.29.0", 160), 10 * 1024).admitted
    assert plan(specs, settings("0.29.0", 160), 11 * 1024).admitted


def test_up_to_0_13_the_padding_of_groups_is_not_asked_for():
    specs = [
        PageSpec("full", Kind.FULL, 2, bytes_per_token=64),
        PageSpec("sliding", Kind.SLIDING, 3, bytes_per_token=64, window=16),
    ]
    old, new = (plan(specs, settings(version, 160, 16), GIB) for version in ("0.13.0", "0.14.0"))
    assert old.needed_bytes == (2 * 10 + 3 * 3) * 1024
    assert new.needed_bytes == (10 + 2 * 3) * 2 * 1024


def test_prefix_caching_of_hybrids_is_the_default_since_0_28():
    assert state_mode("0.26.0") is StateMode.NONE
    assert state_mode("0.26.0", prefix_caching=True) is StateMode.ALIGN
    assert state_mode("0.28.0") is StateMode.ALIGN
    assert state_mode("0.28.0", caches_all=True) is StateMode.ALL
    assert state_mode("0.33.0", caches_all=True) is StateMode.ALIGN
    assert state_mode("0.33.0", prefix_caching=False) is StateMode.NONE


def test_latent_entries_are_padded_in_0_7_and_packed_in_their_own_layouts():
    assert latent_bytes_per_token("0.7.3", 576, 2) == 1280
    assert latent_bytes_per_token("0.11.0", 576, 2) == 1152
    assert latent_bytes_per_token("0.22.0", 576, 1, "fp8_ds_mla") == 656
    assert latent_bytes_per_token("0.33.0", 576, 1, "nvfp4_ds_mla") == 352


def test_a_draft_model_with_the_same_cache_joins_the_layers_it_equals():
    draft = PageSpec("draft", Kind.FULL, 1, bytes_per_token=4096)
    pages = plan([*LLAMA_8B, draft], settings("0.22.0", 4096), GIB)
    assert (len(pages.groups), pages.block_bytes) == (1, 33 * 4096 * 16)


def test_a_model_that_caches_nothing_has_no_pages():
    with pytest.raises(Unsized, match="has no pages"):
        plan([], settings("0.33.0", 4096), GIB)
