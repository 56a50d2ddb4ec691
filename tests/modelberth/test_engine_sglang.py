"""SGLang as a codec: what `launch` writes exists in every version and is read back; what is written by hand is read."""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, Launch, read
from modelberth.engines.base import setup_of
from modelberth.engines.flags import parse, table
from modelberth.findings import Level, Refused, errors
from modelberth.lock import settle
from modelberth.memory.sglang import settled
from modelberth.observed import UNKNOWN, Observed
from modelberth.placement import accelerator_of
from modelberth.plan import Plan, sizing_of
from modelberth.upgrade import consequences
from tests.modelberth.lines import CLAIM, CLOSED, HUB, SECRETS
from tests.modelberth.samples import (
    LLAMA_8B,
    LLAMA_70B,
    container,
    plan_of,
    refusal,
    sizing_on,
    stack_with,
)

VERSIONS = catalog().engine("sglang").versions
CASES: dict[str, dict[str, Any]] = {
    "from a claim of its own": {"typical_tokens": 3000},
    "with secrets": {"typical_tokens": 3000, **SECRETS},
    "from the hub": {"typical_tokens": 3000, "keys": HUB, "weights": "w", **SECRETS},
    "from an existing claim": {"typical_tokens": 3000, "keys": CLAIM, "weights": "w"},
    "in a closed network": {"typical_tokens": 3000, "keys": CLOSED | HUB, "weights": "w"},
    "on several large GPUs": {"model": LLAMA_70B, "accelerators": ["nvidia-h100-80gb"], "kv_cache_dtype": "fp8"},
    "with a fraction of one's own": {"typical_tokens": 3000, "gpu_memory_utilization": 0.855, "concurrency": 4},
    "with awq": {"quantization": "awq", "concurrency": 2},
    "with fp8 made while loading": {"model": "Qwen/Qwen2.5-32B", "quantization": "fp8"},
    "with an fp8 checkpoint": {"model": "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8"},
    "with a mixture of experts": {"model": "openai/gpt-oss-20b", "accelerators": ["nvidia-h100-80gb"]},
    "with arguments of one's own": {"typical_tokens": 3000, "extra_args": ["--random-seed", "7"]},
}


@pytest.fixture(params=[(case, version) for case in CASES for version in VERSIONS], ids=" ".join, scope="module")
def plan(request: pytest.FixtureRequest) -> Plan:
    case, version = request.param
    return plan_of(engine="sglang", engine_version=version, **CASES[case])


def seen(plan: Plan) -> Observed:
    observed = read(container(plan.launch))
    assert observed is not None
    return observed


def value_of(launch: Launch, flag: str) -> str:
    return launch.args[launch.args.index(flag) + 1]


def test_what_was_decided_is_read_back(plan: Plan) -> None:
    decision, observed = plan.decision, seen(plan)
    assert observed.undecided == ()
    assert (observed.engine, observed.engine_version, observed.version_assumed) == (
        "sglang",
        decision.engine_version,
        False,
    )
    assert (observed.tensor_parallel, observed.pipeline_parallel) == (decision.tensor_parallel, 1)
    assert (observed.context, observed.max_num_seqs) == (decision.context, decision.concurrency)
    assert observed.gpu_memory_utilization == decision.gpu_memory_utilization
    assert observed.max_num_batched_tokens == decision.max_num_batched_tokens
    assert observed.kv_cache_dtype == decision.kv_cache_dtype
    assert observed.model in (decision.source.repository, decision.model)


def test_the_memory_that_was_planned_is_the_memory_that_is_read(plan: Plan) -> None:
    engine = ENGINES["sglang"]
    planned = sizing_of(plan.decision, plan.model)
    again = engine.sizing(seen(plan), plan.model, accelerator_of(catalog().machine(plan.decision.machine_type)))
    one, other = settled(setup_of(planned)), settled(setup_of(again))
    assert one == other


def test_every_flag_that_is_written_exists_and_takes_what_it_is_given(plan: Plan) -> None:
    for version in VERSIONS:
        spelled, args = table("sglang", version).flags, list(plan.launch.args)
        for index, word in enumerate(args):
            if word.startswith("--"):
                followed = index + 1 < len(args) and not args[index + 1].startswith("--")
                assert followed == (spelled[word][1] != "none"), (version, word)
        parsed = parse(args, table("sglang", version), abbreviations=True)
        assert (parsed.unknown_flags, parsed.positional, parsed.repeated) == ([], [], [])


def test_nothing_that_sizing_depends_on_is_left_to_the_engine(plan: Plan) -> None:
    stated = {
        "--tp-size",
        "--pp-size",
        "--context-length",
        "--max-running-requests",
        "--chunked-prefill-size",
        "--mem-fraction-static",
        "--cuda-graph-max-bs-decode",
        "--kv-cache-dtype",
        "--dtype",
    }
    assert stated <= set(plan.launch.args)


def test_graphs_are_captured_for_as_many_requests_as_the_version_would() -> None:
    new, old = (
        plan_of(engine="sglang", engine_version=version, typical_tokens=3000, accelerators=["nvidia-h100-80gb"]).launch
        for version in ("0.5.23", "0.5.20")
    )
    assert value_of(new, "--cuda-graph-max-bs-decode") == "8"
    assert value_of(old, "--cuda-graph-max-bs-decode") == "256"


def test_a_key_for_clients_is_a_reference_and_the_arguments_are_not_logged() -> None:
    launch = plan_of(engine="sglang", **CASES["with secrets"]).launch
    assert value_of(launch, "--api-key") == "$(SGLANG_API_KEY)"
    assert [(each.name, each.ref.secret, each.ref.key) for each in launch.secret_env] == [
        ("SGLANG_API_KEY", "keys", "chat")
    ]
    assert value_of(launch, "--log-level") == "warning"
    open_to_all = plan_of(engine="sglang", typical_tokens=3000).launch
    assert "--api-key" not in open_to_all.args
    assert "--log-level" not in open_to_all.args


def test_only_a_server_that_downloads_gets_the_hub_token_and_a_revision() -> None:
    hub = plan_of(engine="sglang", **CASES["from the hub"]).launch
    claim = plan_of(engine="sglang", **CASES["with secrets"]).launch
    assert {each.name for each in hub.secret_env} == {"SGLANG_API_KEY", "HF_TOKEN"}
    assert "--revision" in hub.args
    assert "--revision" not in claim.args
    assert (dict(hub.env)["HF_HUB_OFFLINE"], dict(claim.env)["HF_HUB_OFFLINE"]) == ("0", "1")
    assert (len(hub.fetch), len(claim.fetch)) == (0, 1)


def test_a_closed_network_changes_where_images_and_weights_come_from() -> None:
    launch = plan_of(engine="sglang", **CASES["in a closed network"]).launch
    assert launch.image == "registry.local/mirror/lmsysorg/sglang:v0.5.23"
    assert dict(launch.env)["HF_ENDPOINT"] == "https://hub.local"


def test_everything_that_is_written_at_run_time_lies_on_a_writable_volume() -> None:
    env = dict(plan_of(engine="sglang", typical_tokens=3000).launch.env)
    folders = {name: value for name, value in env.items() if value.startswith("/")}
    assert {"HOME", "SGLANG_CACHE_DIR", "FLASHINFER_WORKSPACE_BASE", "TRITON_CACHE_DIR", "XDG_CACHE_HOME"} <= set(
        folders
    )
    assert all(value == "/tmp" or value.startswith("/cache") for value in folders.values())


def test_health_is_answered_without_generating_and_requests_in_flight_get_their_time() -> None:
    launch = plan_of(engine="sglang", typical_tokens=3000).launch
    assert dict(launch.env)["SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"] == "false"
    assert {probe.path for probe in (launch.probes.startup, launch.probes.readiness, launch.probes.liveness)} == {
        "/health"
    }
    assert launch.grace_s >= launch.leave_s + 120 + 5 + 5 + 15


def test_fp8_is_only_asked_for_when_16_bit_weights_are_loaded() -> None:
    made, stored = (
        plan_of(engine="sglang", **CASES[case]).launch
        for case in ("with fp8 made while loading", "with an fp8 checkpoint")
    )
    assert value_of(made, "--quantization") == "fp8"
    assert "--quantization" not in stored.args


def test_the_next_version_keeps_every_flag() -> None:
    spelled = [set(table("sglang", version).flags) for version in VERSIONS]
    written = {word for word in plan_of(engine="sglang", **CASES["from the hub"]).launch.args if word.startswith("--")}
    assert all(written <= known for known in spelled)
    assert len({frozenset(known) for known in spelled}) == len(VERSIONS)


@pytest.mark.parametrize(("old", "new"), list(pairwise(VERSIONS)))
def test_rolling_to_the_next_version_changes_the_image_and_says_what_else(old: str, new: str) -> None:
    services = {"chat": {"model": LLAMA_8B, "engine": "sglang", "context": 8192, "concurrency": 8}}
    before, after = (stack_with(services, defaults={"engine_versions": {"sglang": version}}) for version in (old, new))
    locked = settle(before, {}).lock
    lines = list(consequences(after, locked, settle(after, locked, update=True).plans))
    assert f"chat: image lmsysorg/sglang:v{old} -> lmsysorg/sglang:v{new}" in lines
    since_then_bounded_by_requests = any("--cuda-graph-max-bs-decode" in line for line in lines)
    assert since_then_bounded_by_requests is (new == "0.5.22")


@pytest.fixture(scope="module")
def shared() -> Plan:
    """A model that two nodes share, with a key for clients."""
    gpus = {"accelerators": ["nvidia-h100-80gb"], "machine_types": ["p5.48xlarge"], "max_nodes": 2}
    return plan_of(
        keys={
            "pools": {"gpus": gpus},
            "weights": {"w": {"kind": "claim", "size_gib": 1600, "access_mode": "ReadWriteMany"}},
        },
        engine="sglang",
        model="meta-llama/Llama-3.1-405B-Instruct",
        concurrency=4,
        weights="w",
        pipeline_parallel=2,
        **SECRETS,
    )


def test_nodes_that_share_a_copy_meet_the_first_one_which_alone_has_the_key(shared: Plan) -> None:
    launch, group = shared.launch, shared.launch.group
    assert group is not None
    assert group.size == 2
    for args, rank in ((launch.args, "0"), (group.args, "$(LWS_WORKER_INDEX)")):
        at = args.index("--nnodes")
        assert args[at : at + 6] == (
            *("--nnodes", "2", "--node-rank", rank),
            *("--dist-init-addr", f"$(LWS_LEADER_ADDRESS):{group.port}"),
        )
        assert parse(args, table("sglang", "0.5.20"), abbreviations=True).unknown_flags == []
    assert "--api-key" in launch.args
    assert "--api-key" not in group.args
    assert group.secret_env == ()
    assert dict(launch.pod_env) == {"SGLANG_HOST_IP": "status.podIP"}
    sized = launch.args[: launch.args.index("--host")]
    assert group.args[: len(sized)] == sized


def test_a_group_is_read_as_one_copy_of_which_the_others_only_help(shared: Plan) -> None:
    group = shared.launch.group
    assert group is not None
    first = seen(shared)
    other = read(container(shared.launch) | {"args": list(group.args)})
    assert other is not None
    assert (first.nodes, first.helper, other.nodes, other.helper) == (2, False, 2, True)
    assert (first.tensor_parallel, first.pipeline_parallel) == (8, 2)
    assert first.undecided == ()


SERVE = ["--model-path", LLAMA_8B, "--context-length", "8192", "--tp-size", "2"]
MODULE = ["python3", "-m", "sglang.launch_server"]
IMAGE = "lmsysorg/sglang:v0.5.23"


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "command": MODULE, "args": SERVE},
        {"image": IMAGE, "args": [*MODULE, *SERVE]},
        {"image": "lmsysorg/sglang:v0.5.23-cu129", "command": ["python", *MODULE[1:]], "args": SERVE},
        {"image": IMAGE, "command": ["/opt/venv/bin/python3", "/sgl-workspace/sglang/launch_server.py"], "args": SERVE},
        {"image": IMAGE, "command": ["sglang", "serve"], "args": SERVE},
        {"image": IMAGE, "command": ["/usr/local/bin/sglang", "serve", LLAMA_8B, *SERVE[2:]]},
        {"image": IMAGE, "command": ["sglang", "serve", "--model-type", "llm", *SERVE]},
        {"image": IMAGE, "command": ["sglang", "serve", *SERVE, "--model-type=llm"]},
        {"image": IMAGE, "command": MODULE, "args": [f"--model={LLAMA_8B}", "--context-length=8192", "--tp=2"]},
        {
            "image": IMAGE,
            "command": MODULE,
            "args": [*SERVE[:2], "--context-len", "8192", "--tensor-parallel-size", "2"],
        },
        {"image": IMAGE, "command": MODULE, "args": ["--context-length", "4096", *SERVE]},
        {"image": IMAGE, "command": ["bash", "-c"], "args": [f"exec {' '.join(MODULE)} {' '.join(SERVE)} 2>&1"]},
        {"image": IMAGE, "command": ["sh", "-c", f"set -e\nsglang serve {' '.join(SERVE)} || exit 1"]},
        {
            "image": IMAGE,
            "command": MODULE,
            "args": [*SERVE, "--api-key", "$(KEY)"],
            "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}],
        },
        {
            "image": IMAGE,
            "command": ["sh", "-c", f'sglang serve --model-path "$MODEL" {" ".join(SERVE[2:])}'],
            "env": [{"name": "MODEL", "value": LLAMA_8B}],
        },
    ],
)
def test_a_server_is_recognised_however_it_is_started(hand_written: dict[str, Any]) -> None:
    observed = read(hand_written)
    assert observed is not None
    assert (observed.engine, observed.engine_version) == ("sglang", "0.5.23")
    assert (observed.model, observed.context, observed.tensor_parallel) == (LLAMA_8B, 8192, 2)
    assert observed.undecided == ()


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "args": SERVE},  # the image starts nothing by itself
        {"image": IMAGE},
        {"image": IMAGE, "command": ["sglang", "generate", *SERVE]},
        {"image": IMAGE, "command": ["python3", "-m", "sglang_router.launch_router"]},
        {"image": IMAGE, "command": UNKNOWN, "args": SERVE},
        {"image": "acme/own:1", "command": ["python3", "launch_server.py", *SERVE]},
    ],
)
def test_what_starts_no_server_is_none(hand_written: dict[str, Any]) -> None:
    assert read(hand_written) is None


@pytest.mark.parametrize(
    ("args", "fact"),
    [
        (["--context-length", "$(LEN)"], "context_length"),
        (["--context-length", UNKNOWN], "context_length"),
        (["--context-length", "8K"], "context_length"),
        (["--context-length", "8.5Ki"], "context_length"),
        (["--max-running-requests", "1k"], "max_running_requests"),
        (["--mem-fraction-static", "most"], "mem_fraction_static"),
        (["--quantization", "modelslim"], "quantization"),
        (["--kv-cache-dtype", "nvfp4"], "kv_cache_dtype"),
        (["--chunked-prefill-size", "-1"], "chunked_prefill_size"),
        (["--dp-size", "2"], "dp_size"),
        (["--dp", "2"], "dp_size"),
        (["--speculative-algorithm", "EAGLE3"], "speculative_algorithm"),
        (["--lora-paths", "a=b", "c=d"], "lora_paths"),
        (["--disaggregation-mode", "prefill"], "disaggregation_mode"),
        (["--config", "server.yaml"], "config"),
        (["--max_running_requests", "4"], "--max_running_requests"),
        (["--no-such-flag"], "--no-such-flag"),
        ([UNKNOWN], "context_length"),
    ],
)
def test_what_cannot_be_known_or_sized_is_undecided_never_assumed(args: list[Any], fact: str) -> None:
    from_secret = {"name": "LEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    observed = read(
        {"image": IMAGE, "command": [*MODULE, "--model-path", LLAMA_8B], "args": args, "env": [from_secret]}
    )
    assert observed is not None
    assert fact in dict(observed.undecided)


def test_weights_at_a_path_are_told_by_the_folder_or_the_served_name() -> None:
    told = read({"image": IMAGE, "command": [*MODULE, "--model-path", "/weights/Qwen--Qwen3-8B/main"]})
    named = read({"image": IMAGE, "command": [*MODULE, "--model-path", "/w", "--served-model-name", LLAMA_8B]})
    assert told is not None
    assert named is not None
    assert (told.model, told.anonymous_path) == ("Qwen/Qwen3-8B", False)
    assert (named.model, named.anonymous_path) == (LLAMA_8B, True)


def test_graphs_that_are_switched_off_or_bounded_change_the_sum() -> None:
    plain, bounded, off = (
        read({"image": IMAGE, "command": [*MODULE, *SERVE[:4], *more]})
        for more in ([], ["--cuda-graph-max-bs-decode", "16"], ["--disable-cuda-graph"])
    )
    accelerator = sizing_on("nvidia-h100-80gb").accelerator
    sums = []
    for observed in (plain, bounded, off):
        assert observed is not None
        sizing = ENGINES["sglang"].sizing(observed, catalog().model(LLAMA_8B), accelerator)
        graphs = next(term for term in ENGINES["sglang"].memory(sizing).outside if term.name == "CUDA graphs")
        sums.append(graphs.amount_bytes)
    assert sums[0] > sums[1] > sums[2] == 0


@pytest.mark.parametrize(
    ("spelled", "tokens"), [("8k", 8000), ("8Ki", 8192), ("25.6k", 25_600), ("1M", 1_000_000), ("8192", 8192)]
)
def test_a_context_is_read_as_sglang_reads_it(spelled: str, tokens: int) -> None:
    observed = read({"image": IMAGE, "command": [*MODULE, "--model-path", LLAMA_8B, "--context-length", spelled]})
    assert observed is not None
    assert (observed.context, observed.undecided) == (tokens, ())


def test_an_image_without_a_version_says_which_one_is_assumed() -> None:
    observed = read({"image": "lmsysorg/sglang:latest", "command": MODULE, "args": SERVE})
    assert observed is not None
    assert (observed.version_assumed, observed.engine_version) == (True, catalog().engine("sglang").default_version)


@pytest.mark.parametrize(
    ("gpu", "fields", "says"),
    [
        ("nvidia-l4", {"tensor_parallel": 3}, "3 does not divide the 32 attention heads"),
        ("nvidia-t4", {"quantization": "bf16"}, "the GPU has no bfloat16"),
        ("nvidia-t4", {"quantization": "fp8"}, "fp8 needs compute capability 8.0"),
        ("nvidia-l4", {"quantization": "nf4"}, "the bitsandbytes package"),
        ("nvidia-l4", {"kv_cache_dtype": "int8"}, "SGLang has no int8 KV cache"),
        ("nvidia-l4", {"context": 200_000}, "is more than the 131072 tokens"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_cannot_do_is_an_objection_in_words(version: str, gpu: str, fields: dict[str, Any], says: str) -> None:
    objections = ENGINES["sglang"].objections(sizing_on(gpu, engine_version=version, **fields))
    assert any(says in finding.message for finding in errors(objections))


def test_it_is_planned_on_gpus_only() -> None:
    (finding,) = refusal(lambda: plan_of(engine="sglang", accelerators=["cpu"]))
    assert "sglang" in finding.message


def test_an_argument_that_the_spec_states_or_that_does_not_exist_is_refused() -> None:
    for word, says in (("--tensor-parallel-size", "is set from the spec itself"), ("--turbo", "does not take --turbo")):
        (finding,) = refusal(lambda word=word: plan_of(engine="sglang", extra_args=[word, "2"]))
        assert says in finding.message


@pytest.mark.parametrize("word", ["--log-level", "--admin-api-key", "--ssl-keyfile-password"])
def test_no_argument_of_ones_own_writes_a_key_into_logs_or_arguments(word: str) -> None:
    (finding,) = refusal(lambda: plan_of(engine="sglang", extra_args=[word, "info"]))
    assert finding.message == f"{word} is set from the spec itself"


def test_an_argument_that_changes_the_sum_is_a_finding_of_the_plan() -> None:
    made = plan_of(engine="sglang", typical_tokens=3000, extra_args=["--cpu-offload-gb", "4"])
    (finding,) = [each for each in made.findings if each.code == "extra-args"]
    assert finding.level is Level.ERROR
    assert finding.message.startswith("--cpu-offload-gb cannot be planned")


def test_abbreviations_mean_what_argparse_makes_of_them() -> None:
    """The real argparse over the options of the dump, against our reading of the same words."""
    for version in VERSIONS:
        parser = argparse.ArgumentParser(exit_on_error=False)
        for flag, (name, takes) in table("sglang", version).flags.items():
            if flag not in ("-h", "--help") and not flag.startswith("--no-"):
                nargs = {"one": None, "optional": "?", "many": "*"}.get(takes)
                kind: dict[str, Any] = {"action": "store_true"} if takes == "none" else {"nargs": nargs}
                parser.add_argument(flag, dest=name, **kind)
        for words in (["--mem", "0.8"], ["--context-l", "10"], ["--max-run", "3"], ["--tensor", "2"], ["--served=x"]):
            theirs = {k: v for k, v in vars(parser.parse_args(words)).items() if v not in (None, False)}
            ours = parse(words, table("sglang", version), abbreviations=True)
            assert (theirs, ours.unknown_flags) == (ours.values, []), (version, words)
    assert parse(["--context", "10"], table("sglang", "0.5.23"), abbreviations=True).not_taken == ["--context"]


def test_a_version_that_nobody_read_is_refused() -> None:
    with pytest.raises(Refused, match=r"flags and defaults of SGLang '0.5.5' are not known"):
        plan_of(engine="sglang", engine_version="0.5.5")
