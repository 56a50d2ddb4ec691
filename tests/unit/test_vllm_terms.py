"""The terms beside the KV cache against vLLM's own start-up logs and against integers derived from its source."""

from __future__ import annotations

from fractions import Fraction

import pytest

from modelberth.memory.vllm_terms import (
    LoraTarget,
    absorbed_latent_elements,
    budget_bytes,
    cublas_workspace_bytes,
    dense_peak_bytes,
    latent_copies_bytes,
    lora_bytes,
    mla_context_bytes,
    moe_peak_bytes,
    moe_workspace_bytes,
    mxfp4_expert_bytes,
    penalty_bytes,
    sampled_sequences,
    sampler_buffer_bytes,
    sampler_copies,
    sampler_peak_bytes,
    second_runner,
)
from modelberth.units import GIB, MIB


@pytest.mark.parametrize(
    ("version", "sequences", "vocabulary", "tokens", "hidden", "capability", "printed_gib"),
    [
        ("0.11.0", 1024, 128_256, 8192, 4096, 9.0, 4.76),
        ("0.11.0", 1024, 151_936, 8192, 1024, 9.0, 5.56),
        ("0.11.0", 1024, 201_088, 8192, 2880, 9.0, 7.38),
        ("0.6.4", 256, 128_256, 8192, 4096, 9.0, 1.26),
        ("0.6.6", 256, 128_256, 2048, 4096, 8.0, 1.19),
        ("0.8.5", 256, 151_936, 8192, 4096, 8.6, 1.45),
    ],
)
def test_the_profile_run_peaks_in_the_sampler_as_the_logs_print(
    version, sequences, vocabulary, tokens, hidden, capability, printed_gib
):
    peak = sampler_peak_bytes(version, sequences, vocabulary, tokens, hidden) + cublas_workspace_bytes(capability)
    assert peak / GIB == pytest.approx(printed_gib, abs=0.007)


def test_an_unchunked_prefill_peaks_in_the_mlp_as_the_log_prints():
    peak = dense_peak_bytes(20_000, 4096, 14_336) + cublas_workspace_bytes(8.6)
    assert peak / GIB == pytest.approx(17.06 - 14.9888, abs=0.005)
    assert dense_peak_bytes(1, 4096, 14_336) == 2 * (3 * 14_336 + 3 * 4096)


def test_the_mlp_is_split_by_ranks_and_the_hidden_states_are_not():
    assert dense_peak_bytes(10, 4096, 14_336, tensor_parallel=4) == 10 * 2 * (3 * 3584 + 3 * 4096)


def test_sampling_holds_fewer_copies_of_the_logits_since_nothing_is_sorted():
    assert sampler_copies("0.16.0", 256) == Fraction(19, 2)
    assert sampler_copies("0.16.0", 64) == Fraction(25, 2)
    assert sampler_copies("0.16.0", 1) == Fraction(19, 2)
    assert sampler_copies("0.17.0", 256) == Fraction(7, 2)
    assert sampler_copies("0.17.0", 4) == Fraction(25, 2)
    assert sampler_copies("0.21.0", 4) == Fraction(7, 2)


def test_the_second_runner_profiles_its_sampler_in_full_since_0_33():
    assert sampler_copies("0.32.0", 1024, v2_runner=True) == Fraction(1, 2)
    assert sampler_copies("0.33.0", 1024, v2_runner=True) == Fraction(7, 2)


def test_hidden_states_are_kept_while_the_sampler_runs():
    less, more = (sampler_peak_bytes("0.33.0", 16, 1000, tokens, 64) for tokens in (2048, 4096))
    assert more - less == 2048 * 64 * 2
    second = sampler_peak_bytes("0.33.0", 16, 1000, 2048, 64, v2_runner=True)
    assert less - second == 16 * 64 * 2


def test_the_masking_kernel_keeps_a_row_per_multiprocessor_until_0_20():
    assert sampler_buffer_bytes("0.19.0", 256, 1000, 132) == 132 * 1000 * 4
    assert sampler_buffer_bytes("0.19.0", 64, 1000, 132) == 64 * 1000 * 4
    assert sampler_buffer_bytes("0.16.0", 256, 1000, 132) == 0
    assert sampler_buffer_bytes("0.21.0", 256, 1000, 132) == 0


def test_no_more_sequences_are_sampled_than_tokens_are_batched():
    assert sampled_sequences(1024, 512) == 512
    assert sampled_sequences(256, 8192) == 256


def test_the_second_runner_came_for_dense_models_before_the_others():
    assert not second_runner("0.25.1", moe=False, hybrid=False)
    assert second_runner("0.25.1", moe=False, hybrid=False, named=True)
    assert second_runner("0.26.0", moe=False, hybrid=False)
    assert not second_runner("0.28.0", moe=True, hybrid=False)
    assert not second_runner("0.28.0", moe=False, hybrid=True)
    assert second_runner("0.29.0", moe=True, hybrid=True)
    assert not second_runner("0.21.0", moe=False, hybrid=False, named=True)


def test_the_second_runner_counts_tokens_of_every_sequence_for_penalties():
    assert penalty_bytes("0.29.0", 1024, 128_256, v2_runner=True) == 1024 * (128_256 + 4008) * 4
    assert penalty_bytes("0.26.0", 1024, 128_256, v2_runner=True) == 0
    assert penalty_bytes("0.29.0", 1024, 128_256, v2_runner=False) == 0


def test_the_budget_is_rounded_up_since_0_14():
    assert budget_bytes("0.13.0", 1001, 0.9) == 900
    assert budget_bytes("0.14.0", 1001, 0.9) == 901


def test_the_cublas_workspace_is_larger_on_hopper_and_data_center_blackwell():
    assert cublas_workspace_bytes(9.0) == cublas_workspace_bytes(10.3) == 32 * MIB
    assert cublas_workspace_bytes(8.9) == cublas_workspace_bytes(12.0) == 8_519_680


def test_experts_give_every_token_a_row_per_active_expert():
    assert moe_workspace_bytes("0.13.0", 100, 2048, 768, 8) == 100 * 8 * (2048 + 768) * 2
    assert moe_workspace_bytes("0.14.0", 100, 2048, 768, 8) == 100 * 8 * (2048 + 2048) * 2
    assert moe_workspace_bytes("0.13.0", 100, 2048, 2048, 8) == 100 * 8 * (4096 + 2048) * 2
    assert moe_peak_bytes(100, 2048, 128) == 3 * 100 * 2048 * 2 + 100 * 128 * 4


def test_experts_ran_in_chunks_of_32768_tokens_until_0_13():
    assert moe_workspace_bytes("0.13.0", 65_536, 64, 128, 2) == 32_768 * 2 * (256 + 128) * 2
    assert moe_workspace_bytes("0.33.0", 65_536, 64, 128, 2) == 65_536 * 2 * (256 + 128) * 2


def test_latent_attention_profiles_a_context_of_at_most_65536_tokens():
    assert mla_context_bytes("0.11.0", 163_840, 1024, 64, 16, 256) == 65_536 * 16 * 256 * 2
    assert mla_context_bytes("0.11.0", 4096, 16, 64, 16, 256) == 32_768 * 16 * 256 * 2
    assert mla_context_bytes("0.11.0", 4096, 2048, 64, 16, 256) == 131_072 * 16 * 256 * 2
    assert mla_context_bytes("0.10.2", 163_840, 1024, 64, 16, 256) == 0


def test_adapter_slots_hold_an_a_and_a_b_for_every_fused_projection():
    qkv = LoraTarget(4096, (4096, 1024, 1024), 32)
    down = LoraTarget(14_336, (4096,), 32)
    expected = 32 * (3 * 4096 + 6144) + 32 * (14_336 + 4096)
    assert lora_bytes(4, 16, [qkv, down]) == 4 * 16 * expected * 2


def test_only_a_quantized_latent_projection_has_copies():
    assert latent_copies_bytes(61, 128, 256, 512, quantized=True) == 61 * 128 * 256 * 512 * 2
    assert latent_copies_bytes(61, 128, 256, 512, quantized=False) == 0


def test_absorbed_projections_are_as_wide_as_their_inputs_and_outputs():
    assert absorbed_latent_elements(61, 16, 512, 1536, 7168) == 61 * 16 * 512 * (1536 + 7168)


def test_mxfp4_experts_of_gpt_oss_close_the_logs_of_both_kernels():
    experts = 36 * 128
    beside = 36 * (2880 * 5120 + 4096 * 2880) * 2 + 2 * 201_088 * 2880 * 2
    biases = experts * (2 * 2880 + 2880)
    triton = experts * mxfp4_expert_bytes("0.11.0", "triton", 2880, 2880) + beside + 4 * biases
    marlin = experts * mxfp4_expert_bytes("0.10.2", "marlin", 2880, 2880) + beside + 2 * biases
    assert triton / GIB == pytest.approx(64.38, rel=0.001)
    assert marlin / GIB == pytest.approx(65.97, rel=0.002)


def test_mxfp4_widths_are_padded_by_kernel_and_version():
    assert mxfp4_expert_bytes("0.11.0", "flashinfer_trtllm", 2880, 2880) == 3 * 3072 * 3072 * 17 // 32
    assert mxfp4_expert_bytes("0.33.0", "flashinfer_trtllm", 2880, 2880) == 3 * 2944 * 3072 * 17 // 32
    assert mxfp4_expert_bytes("0.11.0", "flashinfer_cutlass", 2880, 2880) == 3 * 2944 * 2944 * 17 // 32
    with pytest.raises(KeyError):
        mxfp4_expert_bytes("0.11.0", "unheard of", 2880, 2880)
