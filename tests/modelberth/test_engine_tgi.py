"""TGI as a codec: it is told everything by variables, and read by variables and arguments; archived, and saying so."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, Launch, read
from modelberth.engines.flags import table
from modelberth.findings import Level, errors
from modelberth.memory import tgi
from modelberth.observed import UNKNOWN, Observed
from modelberth.placement import accelerator_of
from modelberth.plan import Plan, sizing_of
from tests.modelberth.lines import CLOSED, HUB, SECRETS
from tests.modelberth.samples import LLAMA_8B, LLAMA_70B, QWEN_7B, container, plan_of, refusal, sizing_on

CLAIM = {"weights": {"w": {"kind": "existing-claim", "claim": "models", "path": "org--llama"}}}
CASES: dict[str, dict[str, Any]] = {
    "from a claim of its own": {"typical_tokens": 3000},
    "with secrets": {"typical_tokens": 3000, **SECRETS},
    "from the hub": {"typical_tokens": 3000, "keys": HUB, "weights": "w", **SECRETS},
    "from an existing claim": {"typical_tokens": 3000, "keys": CLAIM, "weights": "w"},
    "in a closed network": {"typical_tokens": 3000, "keys": CLOSED | HUB, "weights": "w"},
    "with an image of one's own": {"typical_tokens": 3000, "image": "acme/text-generation-inference:3.3.7"},
    "on several GPUs": {"model": LLAMA_70B, "accelerators": ["nvidia-h100-80gb"], "kv_cache_dtype": "fp8"},
    "with a fraction of one's own": {"typical_tokens": 3000, "gpu_memory_utilization": 0.95},
    "with awq": {"quantization": "awq", "concurrency": 2, "model": QWEN_7B},
    "with fp8 made while loading": {"model": "Qwen/Qwen2.5-32B", "quantization": "fp8"},
    "with nf4 made while loading": {"quantization": "nf4", "concurrency": 2},
    "on a card without bfloat16": {"quantization": "fp16", "accelerators": ["nvidia-t4"], "concurrency": 1},
    "with arguments of one's own": {"typical_tokens": 3000, "extra_args": ["--max-best-of", "1"]},
}


@pytest.fixture(params=CASES, scope="module")
def plan(request: pytest.FixtureRequest) -> Plan:
    return plan_of(engine="tgi", **CASES[request.param])


def launch_of(case: str) -> Launch:
    return plan_of(engine="tgi", **CASES[case]).launch


def seen(plan: Plan) -> Observed:
    observed = read(container(plan.launch))
    assert observed is not None
    return observed


def test_what_was_decided_is_read_back(plan: Plan) -> None:
    decision, observed = plan.decision, seen(plan)
    assert observed.undecided == ()
    assert (observed.engine, observed.engine_version, observed.version_assumed) == ("tgi", "3.3.7", False)
    assert (observed.tensor_parallel, observed.pipeline_parallel) == (decision.tensor_parallel, 1)
    assert (observed.context, observed.max_num_seqs) == (decision.context, decision.concurrency)
    assert observed.gpu_memory_utilization == decision.gpu_memory_utilization
    assert observed.max_num_batched_tokens == decision.max_num_batched_tokens
    assert (observed.kv_cache_dtype or "auto") == decision.kv_cache_dtype
    assert observed.model in (decision.source.repository, decision.model, "org/llama")


def test_the_memory_that_was_planned_is_the_memory_that_is_read(plan: Plan) -> None:
    engine, decision = ENGINES["tgi"], plan.decision
    planned = sizing_of(decision, plan.model)
    again = engine.sizing(seen(plan), plan.model, accelerator_of(catalog().machine(decision.machine_type)))
    assert (again.context, again.concurrency, again.tensor_parallel, again.max_num_batched_tokens) == (
        planned.context,
        planned.concurrency,
        planned.tensor_parallel,
        planned.max_num_batched_tokens,
    )
    assert (again.engine_version, again.accelerator) == (planned.engine_version, planned.accelerator)


def test_every_option_is_a_variable_that_the_launcher_or_its_server_knows(plan: Plan) -> None:
    beside = {"ATTENTION", "PREFIX_CACHING", "LOG_LEVEL"}
    ours = {name for name, _ in plan.launch.env} - {name for name, _ in vllm_like(plan)}
    assert ours - beside <= set(table("tgi", "3.3.7").env)
    assert list(plan.launch.args) == list(plan.spec.extra_args)


def vllm_like(plan: Plan) -> list[tuple[str, str]]:
    """Variables that every server on PyTorch gets."""
    common = ("HF_", "TORCHINDUCTOR_", "TRITON_", "FLASHINFER_", "CUDA_CACHE_", "XDG_", "DO_NOT_TRACK", "HOME", "USER")
    return [each for each in plan.launch.env if each[0].startswith(common) and each[0] != "USAGE_STATS"]


def test_nothing_that_sizing_depends_on_is_left_to_the_engine(plan: Plan) -> None:
    env = dict(plan.launch.env)
    assert env["MAX_TOTAL_TOKENS"] == str(plan.decision.context)
    assert int(env["MAX_INPUT_TOKENS"]) < int(env["MAX_TOTAL_TOKENS"])
    assert env["MAX_BATCH_SIZE"] == str(plan.decision.concurrency)
    assert int(env["MAX_CONCURRENT_REQUESTS"]) >= 2 * plan.decision.concurrency
    assert env["NUM_SHARD"] == str(plan.decision.tensor_parallel)
    assert env["CUDA_GRAPHS"] == ",".join(map(str, tgi.GRAPH_BATCHES))
    assert {"CUDA_MEMORY_FRACTION", "MAX_BATCH_PREFILL_TOKENS"} <= set(env)


def test_variables_that_kubernetes_or_the_image_set_wrongly_are_set_again() -> None:
    env = dict(launch_of("from a claim of its own").env)
    assert ip_address(env["HOSTNAME"]).is_unspecified
    assert env["PORT"] == "8080"
    assert launch_of("from a claim of its own").port == 8080


def test_a_key_for_clients_comes_from_its_secret_and_is_not_logged() -> None:
    launch = launch_of("with secrets")
    assert [(each.name, each.ref.secret, each.ref.key) for each in launch.secret_env] == [("API_KEY", "keys", "chat")]
    assert dict(launch.env)["LOG_LEVEL"] == "warn"
    assert "LOG_LEVEL" not in dict(launch_of("from a claim of its own").env)


def test_only_a_server_that_downloads_gets_the_hub_token_and_a_revision() -> None:
    hub, claim = launch_of("from the hub"), launch_of("with secrets")
    assert {each.name for each in hub.secret_env} == {"API_KEY", "HF_TOKEN"}
    assert "REVISION" in dict(hub.env)
    assert "REVISION" not in dict(claim.env)
    assert dict(claim.env)["HF_HUB_OFFLINE"] == "1"
    assert (len(hub.fetch), len(claim.fetch)) == (0, 1)


def test_a_closed_network_changes_where_images_and_weights_come_from() -> None:
    launch = launch_of("in a closed network")
    assert launch.image == "registry.local/mirror/ghcr.io/huggingface/text-generation-inference:3.3.7"
    assert dict(launch.env)["HF_ENDPOINT"] == "https://hub.local"


def test_requests_in_flight_get_the_time_that_the_launcher_gives_them() -> None:
    launch = launch_of("from a claim of its own")
    assert launch.grace_s > launch.leave_s + int(dict(launch.env)["GRACEFUL_TERMINATION_TIMEOUT"])


@pytest.mark.parametrize(
    ("model", "gpu", "stated"),
    [
        (LLAMA_8B, "nvidia-l4", ("flashinfer", "1")),
        (LLAMA_8B, "nvidia-t4", ("paged", "0")),
        ("microsoft/Phi-3-mini-4k-instruct", "nvidia-l4", ("flashdecoding", "0")),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "nvidia-a100-80gb", ("flashinfer", "0")),
    ],
)
def test_kernels_and_prefix_cache_are_stated_as_the_model_and_the_card_allow(
    model: str, gpu: str, stated: tuple[str, str]
) -> None:
    words = {"quantization": "fp16"} if gpu == "nvidia-t4" else {}
    made = plan_of(engine="tgi", model=model, accelerators=[gpu], context=2048, concurrency=1, **words)
    env = dict(made.launch.env)
    assert (env["ATTENTION"], env["PREFIX_CACHING"]) == stated


def test_a_whole_prompt_passes_at_once_where_prefill_is_not_cut() -> None:
    env = dict(launch_of("on a card without bfloat16").env)
    assert int(env["MAX_BATCH_PREFILL_TOKENS"]) >= int(env["MAX_INPUT_TOKENS"])
    short = sizing_on("nvidia-t4", engine_version="3.3.7", quantization="fp16", max_num_batched_tokens=4096)
    assert any("does not pass in 4096" in finding.message for finding in errors(ENGINES["tgi"].objections(short)))


@pytest.mark.parametrize(
    ("case", "quantize", "dtype"),
    [
        ("with fp8 made while loading", "fp8", None),
        ("with nf4 made while loading", "bitsandbytes-nf4", None),
        ("with awq", None, None),
        ("on a card without bfloat16", None, "float16"),
        ("from a claim of its own", None, "bfloat16"),
    ],
)
def test_a_format_is_only_asked_for_when_16_bit_weights_are_loaded(
    case: str, quantize: str | None, dtype: str | None
) -> None:
    env = dict(launch_of(case).env)
    assert (env.get("QUANTIZE"), env.get("DTYPE")) == (quantize, dtype)


IMAGE = "ghcr.io/huggingface/text-generation-inference:3.3.7"
SERVE = ["--model-id", LLAMA_8B, "--max-total-tokens", "8192", "--num-shard", "2"]
ENV = [
    {"name": "MODEL_ID", "value": LLAMA_8B},
    {"name": "MAX_TOTAL_TOKENS", "value": "8192"},
    {"name": "NUM_SHARD", "value": "2"},
]


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "args": SERVE},
        {"image": f"mirror.local/{IMAGE}", "args": SERVE},
        {"image": IMAGE, "env": ENV},
        {"image": IMAGE, "args": SERVE[:2], "env": ENV[1:]},
        {"image": IMAGE, "args": SERVE, "env": [ENV[0], {"name": "MAX_TOTAL_TOKENS", "value": "4096"}]},
        {"image": IMAGE, "args": [f"--model-id={LLAMA_8B}", "--max-total-tokens=8192", "--num-shard=2"]},
        {"image": IMAGE, "args": [f"--model-id {LLAMA_8B}", "--max-total-tokens 8192 --num-shard 2"]},
        {"image": IMAGE, "command": ["text-generation-launcher"], "args": SERVE},
        {"image": "acme/own:3.3.7", "command": ["/usr/local/bin/text-generation-launcher", *SERVE]},
        {"image": "acme/own:3.3.7", "command": ["/tgi-entrypoint.sh"], "args": SERVE},
        {"image": IMAGE, "command": ["sh", "-c"], "args": [f"exec text-generation-launcher {' '.join(SERVE)}"]},
        {"image": IMAGE, "command": ["bash", "-c", f"set -e\n/tgi-entrypoint.sh {' '.join(SERVE)} | tee log"]},
        {
            "image": IMAGE,
            "command": ["sh", "-c", f'text-generation-launcher --model-id "$MODEL" {" ".join(SERVE[2:])}'],
            "env": [{"name": "MODEL", "value": LLAMA_8B}],
        },
        {"image": IMAGE, "args": [*SERVE[:4]], "resources": {"limits": {"nvidia.com/gpu": "2"}}},
        {"image": IMAGE, "args": [*SERVE[:4], "--sharded", "true"], "resources": {"limits": {"nvidia.com/gpu": 2}}},
    ],
)
def test_a_server_is_recognised_however_it_is_started(hand_written: dict[str, Any]) -> None:
    observed = read(hand_written)
    assert observed is not None
    assert (observed.engine, observed.engine_version) == ("tgi", "3.3.7")
    assert (observed.model, observed.context, observed.tensor_parallel) == (LLAMA_8B, 8192, 2)
    assert observed.undecided == ()


@pytest.mark.parametrize(
    "hand_written",
    [
        {"image": IMAGE, "command": ["text-generation-benchmark", "--tokenizer-name", LLAMA_8B]},
        {"image": IMAGE, "command": ["sh", "-c", "sleep 60"]},
        {"image": "acme/text-generation-inference-exporter:1"},
        {"image": UNKNOWN, "args": SERVE},
    ],
)
def test_what_starts_no_server_is_none(hand_written: dict[str, Any]) -> None:
    assert read(hand_written) is None


@pytest.mark.parametrize(
    ("args", "env", "fact"),
    [
        ([], {}, "max_total_tokens"),
        (["--max-total-tokens", UNKNOWN], {}, "max_total_tokens"),
        (["--max-total-tokens", "8k"], {}, "max_total_tokens"),
        ([], {"MAX_TOTAL_TOKENS": UNKNOWN}, "max_total_tokens"),
        ([UNKNOWN], {"MAX_TOTAL_TOKENS": "8192"}, "max_total_tokens"),
        (["--max-total-tokens", "8192"], {"CUDA_MEMORY_FRACTION": "most"}, "cuda_memory_fraction"),
        (["--quantize", "exl2"], {}, "quantize"),
        ([], {"KV_CACHE_DTYPE": "newest"}, "kv_cache_dtype"),
        (["--lora-adapters", "a/b"], {}, "lora_adapters"),
        ([], {"SPECULATE": "2"}, "speculate"),
        (["--cuda-graphs", "1,2"], {}, "cuda_graphs"),
        ([], {"TGI_WIGGLE_ROOM": "0.8"}, "TGI_WIGGLE_ROOM"),
        (["--max-total", "8192"], {}, "--max-total"),
        (["--max_total_tokens", "8192"], {}, "--max_total_tokens"),
    ],
)
def test_what_cannot_be_known_or_sized_is_undecided_never_assumed(
    args: list[Any], env: dict[str, Any], fact: str
) -> None:
    named = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
        if value is UNKNOWN
        else {"name": name, "value": value}
        for name, value in env.items()
    ]
    observed = read({"image": IMAGE, "args": ["--model-id", LLAMA_8B, *args], "env": named})
    assert observed is not None
    assert fact in dict(observed.undecided)


def test_variables_of_a_config_map_leave_open_whatever_is_not_stated_beside_them() -> None:
    config = {"envFrom": [{"configMapRef": {"name": "tgi"}}]}
    bare, stated = read({"image": IMAGE} | config), read({"image": IMAGE, "env": ENV} | config)
    assert bare is not None
    assert stated is not None
    assert {"model_id", "max_total_tokens", "num_shard"} <= set(dict(bare.undecided))
    assert not {"model_id", "max_total_tokens", "num_shard"} & set(dict(stated.undecided))
    assert (stated.model, stated.context, stated.tensor_parallel) == (LLAMA_8B, 8192, 2)
    assert "cuda_memory_fraction" in dict(stated.undecided)


def test_variables_that_a_script_sets_are_read() -> None:
    script = f"export MAX_TOTAL_TOKENS=8192\nNUM_SHARD=2 exec text-generation-launcher --model-id {LLAMA_8B}"
    observed = read({"image": IMAGE, "command": ["sh", "-c", script]})
    assert observed is not None
    assert (observed.context, observed.tensor_parallel, observed.undecided) == (8192, 2, ())


def test_without_a_number_of_shards_every_gpu_is_one() -> None:
    def shards(gpus: Any, *args: str) -> tuple[int, bool]:
        limits = {"resources": {"limits": {"nvidia.com/gpu": gpus}}}
        observed = read({"image": IMAGE, "args": [*SERVE[:4], *args]} | limits)
        assert observed is not None
        return observed.tensor_parallel, "num_shard" in dict(observed.undecided)

    assert shards(4) == (4, False)
    assert shards(4, "--sharded", "false") == (1, False)
    assert shards(4, "--num-shard", "2") == (2, False)
    assert shards(UNKNOWN) == (1, True)
    assert shards(None) == (1, False)


def test_graphs_that_are_switched_off_change_the_sum() -> None:
    accelerator = sizing_on("nvidia-l4").accelerator
    sums = []
    for more in ([], ["--cuda-graphs", "0"]):
        observed = read({"image": IMAGE, "args": [*SERVE, *more]})
        assert observed is not None
        memory = ENGINES["tgi"].memory(ENGINES["tgi"].sizing(observed, catalog().model(LLAMA_8B), accelerator))
        sums.append(sum(term.amount_bytes for term in memory.outside))
    assert sums[0] > sums[1] == 0


@pytest.mark.parametrize(
    ("gpu", "fields", "says"),
    [
        ("nvidia-l4", {"tensor_parallel": 3}, "3 does not divide the 32 attention heads"),
        ("nvidia-l4", {"tensor_parallel": 16}, "16 does not divide the 8 KV heads"),
        ("nvidia-l4", {"pipeline_parallel": 2}, "no pipeline stages"),
        ("nvidia-l4", {"quantization": "q4_k_m"}, "does not load q4_k_m"),
        ("nvidia-l4", {"kv_cache_dtype": "bf16"}, "has no bf16 KV cache"),
        ("nvidia-t4", {"quantization": "bf16"}, "the GPU has no bfloat16"),
        ("nvidia-l4", {"model": "microsoft/Phi-3-mini-4k-instruct", "kv_cache_dtype": "fp8"}, "no heads of 96"),
        ("nvidia-l4", {"context": 1}, "a token of a prompt and one of an answer at least"),
        ("nvidia-l4", {"context": 200_000}, "is more than the 131072 tokens"),
    ],
)
def test_what_it_cannot_do_is_an_objection_in_words(gpu: str, fields: dict[str, Any], says: str) -> None:
    objections = ENGINES["tgi"].objections(sizing_on(gpu, engine_version="3.3.7", **{"context": 2048} | fields))
    assert any(says in finding.message for finding in errors(objections))


def test_gguf_is_refused_before_anything_is_planned() -> None:
    findings = refusal(lambda: plan_of(engine="tgi", quantization="q4_k_m"))
    assert any("q4_k_m" in finding.message for finding in findings)


def test_a_plan_says_that_it_is_archived_and_what_comes_after_it() -> None:
    (finding,) = [each for each in plan_of(engine="tgi", typical_tokens=3000).findings if each.code == "archived"]
    assert finding.level is Level.WARNING
    assert finding.message == "Text Generation Inference is archived upstream: it gets no fixes any more"
    assert finding.remedy == "engine: vllm or sglang or llamacpp"
    others = (plan_of(engine=engine, typical_tokens=3000).findings for engine in ("vllm", "sglang"))
    assert not [each for findings in others for each in findings if each.code in ("archived", "image")]


def test_a_plan_says_that_the_stock_image_needs_root_and_stops_where_it_must_work() -> None:
    stock = {each.code: each for each in plan_of(engine="tgi", typical_tokens=3000).findings}
    assert stock["image"].level is Level.WARNING
    assert "does not start without root rights" in stock["image"].message
    assert "chmod a+rx /root" in stock["image"].remedy
    prod = plan_of(engine="tgi", typical_tokens=3000, profile="prod").findings
    assert [each.level for each in prod if each.code == "image"] == [Level.ERROR]
    own = plan_of(engine="tgi", **CASES["with an image of one's own"])
    assert "image" not in {each.code for each in own.findings}
    assert own.launch.command == ("/tgi-entrypoint.sh",)


def test_an_argument_that_the_spec_states_or_that_does_not_exist_is_refused() -> None:
    for word, says in (("--num-shard", "is set from the spec itself"), ("--turbo", "does not take --turbo")):
        (finding,) = refusal(lambda word=word: plan_of(engine="tgi", extra_args=[word, "2"]))
        assert says in finding.message


def test_speed_is_unknown_rather_than_guessed() -> None:
    traffic = {"input_tokens": 1000, "output_tokens": 300}
    made = plan_of(engine="tgi", accelerators=["nvidia-h100-80gb"], traffic=traffic)
    assert made.speed is not None
    assert (made.speed.tpot_ms, made.speed.output_tokens_per_s) == (None, None)
    known = plan_of(engine="sglang", accelerators=["nvidia-h100-80gb"], traffic=traffic).speed
    assert known is not None
    assert known.tpot_ms is not None
