"""The sizing rules on hand-written manifests: what they stop, what they let pass, where exactly the border is."""

import re
from typing import Any

import pytest

from tests.rules.samples import (
    ARGS,
    GKE,
    GPUS,
    LLAMA_8B,
    QWEN_7B,
    codes,
    deployment,
    findings,
    gguf,
    guide,
    llamacpp,
    vllm,
)


def serving(*args: Any, **more: Any) -> dict[str, Any]:
    return deployment(vllm("--model", LLAMA_8B, *args, **more))


def one(manifest: Any, rule: str) -> tuple[str, str, str]:
    """Path, message and remedy of the one finding of a rule; no other rule but the advisory one may speak."""
    (finding,) = findings(manifest, rule)
    return finding.path, finding.message, finding.remedy


def largest(manifest: Any) -> int:
    """The largest context that the finding about one that is too long proposes."""
    found = re.search(r"largest context that fits is ([\d,]+) tokens", one(manifest, "SZ-01")[1])
    assert found
    return int(found[1].replace(",", ""))


# --- SZ-01 the model fits, SZ-02 it does so with certainty


def test_the_guides_manifest_needs_40_gib_for_one_request_and_has_less() -> None:
    path, message, remedy = one(guide(), "SZ-01")
    assert path == ARGS
    assert message.startswith(
        "does not fit: one request of 131,072 tokens needs 40.00 GiB of KV cache (20.00 GiB on each of 2 GPUs), "
    )
    context = largest(guide())
    assert (
        f"GiB per GPU are left; the largest context that fits is {context:,} tokens, one request at a time\n" in message
    )
    assert 15_000 < context < 32_000
    assert "on each NVIDIA A100 80GB: 79.15 GiB x 0.92 = 72.82 GiB\n" in message
    assert "- weights 65.71 GiB (70.55 billion parameters as bf16" in message
    assert "(160 KiB per token: 80 layers x 4 KV heads x 256 key and value elements x 2 B)\n" in message
    assert message.endswith("the image names no version; the figures assume vLLM 0.33.0")
    shorter, wider, larger = remedy.split("; or ")
    assert (shorter, wider) == (f"--max-model-len {context}", "tensor parallel size 4 on 4 x NVIDIA A100 80GB")
    assert larger.startswith("2 x NVIDIA ")


def test_every_term_of_the_sum_is_stated_and_they_add_up() -> None:
    _, message, _ = one(guide(), "SZ-01")
    lines = message.splitlines()
    terms = [float(line.split(" GiB")[0].split()[-1]) for line in lines if line.strip().startswith("- ")]
    left = next(float(line.split()[1]) for line in lines if line.strip().startswith("= "))
    assert sum(terms) + left == pytest.approx(72.82, abs=0.03)


def test_a_share_that_leaves_no_room_beside_it_may_not_fit_and_a_smaller_one_does() -> None:
    words = ["--model", LLAMA_8B, "--max-model-len", "4096", "--gpu-memory-utilization"]
    _, message, remedy = one(deployment(vllm(*words, "0.99")), "SZ-02")
    assert message.startswith("may not fit: the engine takes about 0.38 GiB beside its budget, 0.22 GiB of the card")
    assert remedy == "a memory fraction of at most 0.98"
    better = deployment(vllm(*words, "0.98"))
    assert findings(better, "SZ-01") == findings(better, "SZ-02") == []


def test_with_the_context_it_proposes_the_guides_manifest_fits() -> None:
    manifest = guide()
    manifest["spec"]["template"]["spec"]["containers"][0]["args"] += ["--max-model-len", str(largest(guide()))]
    assert findings(manifest, "SZ-01") == findings(manifest, "SZ-02") == []


def test_the_largest_context_fits_one_token_more_may_not_and_many_more_do_not() -> None:
    sure = largest(serving())
    assert codes(serving("--max-model-len", str(sure))) == []
    assert codes(serving("--max-model-len", str(sure + 16))) == ["SZ-02"]
    _, _, remedy = one(serving("--max-model-len", str(2 * sure)), "SZ-01")
    assert remedy.startswith(f"--max-model-len {sure}; or ")


def test_what_may_not_fit_says_between_which_figures_and_the_way_out() -> None:
    sure = largest(serving())
    path, message, remedy = one(serving("--max-model-len", str(sure + 16)), "SZ-02")
    assert path == ARGS
    head, figure = message.splitlines()[0], r"\d\.\d\d GiB"
    asked = f"may not fit: {figure} of KV cache are needed for a full-length request"
    assert re.fullmatch(f"{asked}, {figure} to {figure} are left", head)
    assert remedy.startswith(f"--max-model-len {sure}; or ")


def test_what_is_proposed_instead_does_fit() -> None:
    _, _, remedy = one(serving(), "SZ-01")
    assert "tensor parallel size 2 on 2 x NVIDIA L4" in remedy
    assert "1 x NVIDIA A100 40GB" in remedy
    assert codes(serving("--tensor-parallel-size", "2", gpus=2)) == []
    a100 = {"nodeSelector": {GKE: "nvidia-tesla-a100"}}
    assert codes(deployment(vllm("--model", LLAMA_8B), pod=a100)) == []


def test_concurrency_is_never_multiplied_with_the_context_where_requests_share_pages() -> None:
    sure = largest(serving("--max-num-seqs", "256"))
    assert codes(serving("--max-model-len", str(sure), "--max-num-seqs", "256")) == []


def test_more_sequences_leave_less_room_all_the_same() -> None:
    assert largest(serving("--max-num-seqs", "512")) < largest(serving("--max-num-seqs", "256"))


@pytest.mark.parametrize(
    "spelled",
    [
        ["--max-model-len=131072"],
        ["--max_model_len", "131072"],
        ["--max-model-l", "128K"],
        ["--max-model-len", "8192", "--max-model-len", "131072"],
    ],
)
def test_every_spelling_of_the_context_is_read(spelled: list[str]) -> None:
    assert "one request of 131,072 tokens" in one(serving(*spelled), "SZ-01")[1]


def test_a_shell_wrapper_hides_nothing() -> None:
    script = {"command": ["sh", "-c"], "args": [f"exec vllm serve {LLAMA_8B} --max-model-len 131072"]}
    assert "one request of 131,072 tokens" in one(deployment(vllm() | script), "SZ-01")[1]


def test_a_model_larger_than_the_card_is_refused_before_any_kv_cache() -> None:
    manifest = deployment(vllm("--model", "meta-llama/Llama-3.1-70B-Instruct", "--max-model-len", "1024"))
    _, message, remedy = one(manifest, "SZ-01")
    assert "before any KV cache 132." in message
    assert "per GPU are needed, 20.27 GiB may be used" in message
    assert remedy == "tensor parallel size 8 on 8 x NVIDIA L4; or 1 x NVIDIA B200"


def test_a_card_without_bfloat16_is_refused_with_the_engines_own_reason() -> None:
    t4 = {"nodeSelector": {GKE: "nvidia-tesla-t4"}}
    words = ["--model", QWEN_7B, "--max-model-len", "2048", "--dtype"]
    _, message, _ = one(deployment(vllm(*words, "bfloat16"), pod=t4), "SZ-09")
    assert message == "does not start: vLLM does not load bf16 on NVIDIA T4: bfloat16 needs compute capability 8.0"
    assert codes(deployment(vllm(*words, "bfloat16"), pod=t4)) == ["SZ-09"]
    assert codes(deployment(vllm(*words, "half"), pod=t4)) == ["SZ-01"]


@pytest.mark.parametrize("share", ["90", "1.01", "0"])
def test_a_memory_share_outside_its_range_does_not_start(share: str) -> None:
    manifest = serving("--max-model-len", "8192", "--gpu-memory-utilization", share)
    _, message, _ = one(manifest, "SZ-11")
    assert message == f"does not start: --gpu-memory-utilization {share} is not a share between 0 and 1"
    assert codes(manifest) == ["SZ-11"]


def test_a_quantized_checkpoint_is_sized_as_it_is_stored() -> None:
    t4 = {"nodeSelector": {GKE: "nvidia-tesla-t4"}}
    awq = vllm("--model", "Qwen/Qwen2.5-7B-Instruct-AWQ", "--max-model-len", "8192")
    assert codes(deployment(awq, pod=t4)) == []


def test_a_gguf_file_in_a_weights_volume_is_known_by_its_folder() -> None:
    file = "/weights/bartowski--Qwen2.5-7B-Instruct-GGUF/default/Qwen2.5-7B-Instruct-Q4_K_M.gguf"
    assert codes(deployment(llamacpp("--model", file, "-c", "4096"), pod={})) == []
    assert codes(deployment(llamacpp("--model", file, "-c", "4096", memory="4Gi"), pod={})) == ["SZ-01"]


def slots(total: int, count: int, **more: Any) -> dict[str, Any]:
    return deployment(llamacpp(*gguf(), "--ctx-size", str(total), "--parallel", str(count), **more), pod={})


def test_on_cpus_the_memory_limit_is_the_capacity() -> None:
    assert codes(slots(8192, 2)) == []
    path, message, remedy = one(slots(8192, 2, memory="4Gi"), "SZ-01")
    assert path == ARGS
    assert "of memory are needed, 4.00 GiB may be used" in message
    assert "memory: 4.00 GiB\n" in message
    assert remedy == "a memory limit of 6Gi"
    assert codes(slots(8192, 2, memory="6Gi")) == []


def test_slots_hold_full_contexts_all_of_them() -> None:
    _, message, remedy = one(slots(2 * 32_768, 2, memory="7Gi"), "SZ-01")
    assert message.startswith("does not fit: 2 slots of 32,768 tokens need ")
    sure = largest(slots(2 * 32_768, 2, memory="7Gi"))
    assert f"the largest context that fits is {sure:,} tokens, in 2 slots\n" in message
    assert remedy.startswith(f"--ctx-size {2 * sure}; or ")
    assert codes(slots(2 * sure, 2, memory="7Gi")) == []
    assert codes(slots(2 * (sure + 2048), 2, memory="7Gi")) == ["SZ-02"]


def test_more_slots_than_tokens_do_not_start() -> None:
    assert one(slots(4, 5), "SZ-01")[1] == "does not start: 4 tokens over 5 slots leave none for each"


@pytest.mark.parametrize("flag", ["--max-model-len", "--tensor-parallel-size", "--max-num-seqs"])
def test_zero_is_no_size(flag: str) -> None:
    found = findings(serving(flag, "0"), "SZ-21")
    assert [f"because {flag} is not a positive number" in finding.message for finding in found] == [True]


def test_llama_cpp_on_a_gpu_is_sized_by_the_card() -> None:
    full = ["--ctx-size", "32768", "--n-gpu-layers", "all"]
    t4 = {"nodeSelector": {GKE: "nvidia-tesla-t4"}}
    assert codes(deployment(llamacpp(*gguf(), *full, gpus=1), pod=t4)) == []
    manifest = deployment(llamacpp(*gguf("Qwen2.5-7B-Instruct-F16.gguf"), *full, gpus=1), pod=t4)
    assert "on each NVIDIA T4: 14.56 GiB\n" in one(manifest, "SZ-01")[1]


# --- SZ-03 the tensor parallel size divides the heads


@pytest.mark.parametrize("size", [3, 5, 6])
def test_a_size_that_does_not_divide_the_heads_is_refused(size: int) -> None:
    path, message, remedy = one(serving("-tp", str(size), gpus=size), "SZ-03")
    assert path == ARGS
    assert message == f"tensor parallel size {size} does not divide the 32 attention heads of {LLAMA_8B}"
    assert remedy == "--tensor-parallel-size 1 or 2 or 4 or 8 or 16 or 32"


@pytest.mark.parametrize("size", [1, 2, 32])
def test_a_size_that_divides_the_heads_passes(size: int) -> None:
    assert findings(serving("-tp", str(size), gpus=size), "SZ-03") == []


def test_heads_are_checked_even_where_the_memory_cannot_be_computed() -> None:
    manifest = deployment(vllm("--model", LLAMA_8B, "-tp", "3", "--cpu-offload-gb", "4", gpus=3))
    assert {"SZ-03", "SZ-21"} <= set(codes(manifest))


def test_adapter_slots_and_drafts_of_a_hand_written_line_are_part_of_the_sum() -> None:
    many = ("--enable-lora", "--max-loras", "64", "--max-lora-rank", "256")
    _, message, _ = one(serving("--max-model-len", "8192", *many), "SZ-01")
    assert "- LoRA slots " in message
    drafted = '{"method": "draft_model", "model": "Qwen/Qwen3-8B", "num_speculative_tokens": 3}'
    _, message, _ = one(serving("--max-model-len", "8192", "--speculative-config", drafted), "SZ-01")
    assert "- draft model " in message
    assert codes(serving("--max-model-len", "8192", *many[:1])) == []


# --- SZ-04 the parallel size equals the GPUs requested


@pytest.mark.parametrize(
    ("args", "gpus", "sum_"),
    [
        (["--tensor-parallel-size", "2"], 1, "tensor parallel size 2 x pipeline parallel size 1 = 2 GPUs"),
        (["-tp", "2", "-pp", "2"], 2, "tensor parallel size 2 x pipeline parallel size 2 = 4 GPUs"),
        ([], 4.0, "tensor parallel size 1 x pipeline parallel size 1 = 1 GPU"),
        ([], 0, "tensor parallel size 1 x pipeline parallel size 1 = 1 GPU"),
    ],
)
def test_more_or_fewer_gpus_than_ranks_are_refused(args: list[str], gpus: Any, sum_: str) -> None:
    path, message, _ = one(serving("--max-model-len", "4096", *args, gpus=gpus), "SZ-04")
    assert path == GPUS
    assert message == f"{sum_}, the container requests {int(gpus)}"


def test_the_way_out_of_a_mismatch_names_both_sides() -> None:
    assert one(serving("-tp", "2", "--max-model-len", "4096"), "SZ-04")[2] == (
        "nvidia.com/gpu: 2, or --tensor-parallel-size 1"
    )


@pytest.mark.parametrize("gpus", [2, "2", 2.0])
def test_as_many_gpus_as_ranks_pass_in_every_spelling(gpus: Any) -> None:
    assert codes(serving("--max-model-len", "4096", "--tensor-parallel=2", gpus=gpus)) == []


def test_a_group_of_pods_is_counted_together() -> None:
    worker = {
        "spec": {"containers": [{"name": "ray", "image": "x/ray:1", "resources": {"limits": {"nvidia.com/gpu": 8}}}]}
    }
    leader = {"spec": {"containers": [vllm("--model", LLAMA_8B, "-tp", "8", "-pp", "2", gpus=8)]}}
    parts = {"size": 2, "leaderTemplate": leader, "workerTemplate": worker}
    manifest = {"kind": "LeaderWorkerSet", "spec": {"leaderWorkerTemplate": parts}}
    assert findings(manifest, "SZ-04") == []
    parts["size"] = 3
    assert "the 3 pods of a group request 24" in findings(manifest, "SZ-04")[0].message


def test_llama_cpp_without_a_gpu_asks_for_none() -> None:
    assert findings(deployment(llamacpp(), pod={}), "SZ-04") == []


# --- SZ-08 the context is within the model's maximum


def test_a_context_beyond_the_maximum_is_refused_and_the_maximum_passes() -> None:
    path, message, remedy = one(serving("--max-model-len", "131073", "-tp", "2", gpus=2), "SZ-08")
    assert path == ARGS
    assert message == f"a context of 131,073 tokens is more than the 131,072 that {LLAMA_8B} was made for"
    assert remedy == "a context of at most 131,072 tokens"
    assert codes(serving("--max-model-len", "131072", "-tp", "2", gpus=2)) == []


def test_an_unstated_context_is_the_models_own_and_passes() -> None:
    assert findings(serving(), "SZ-08") == []


def test_both_the_maximum_and_the_memory_are_reported_at_once() -> None:
    assert codes(serving("--max-model-len", "200k")) == ["SZ-01", "SZ-08"]
    assert "one request of 131,072 tokens" in one(serving("--max-model-len", "200k"), "SZ-01")[1]


def test_each_slot_counts_not_their_sum() -> None:
    assert findings(slots(4 * 32768, 4, memory="16Gi"), "SZ-08") == []
    assert "a context of 32,769 tokens" in one(slots(2 * 32769, 2, memory="16Gi"), "SZ-08")[1]
