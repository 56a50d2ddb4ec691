"""Bad input gets one clear refusal: all problems at once, each with its place and the way out, no secret in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelberth import parse
from modelberth.catalog import Catalog, catalog
from modelberth.documents import DocumentError, mapping
from modelberth.fields import LONGEST_SERVICE, LONGEST_WITH_ADAPTER
from modelberth.findings import Finding, Refused
from modelberth.lock import settle
from modelberth.queries import pods
from modelberth.spec import ServiceSpec
from tests.modelberth.samples import (
    CPU_POOL,
    L4_POOL,
    LLAMA_70B,
    by_path,
    document,
    plan_of,
    refusal,
    stack_document,
)

TOKEN = "hf_" + "QwErTyUiOpAsDfGhJkLzXcVbNm12345678"


def refused(**fields: Any) -> Finding:
    """The only finding for one bad service."""
    (finding,) = refusal(lambda: parse.service(document(**fields), "chat"))
    return finding


def unplanned(*, keys: dict[str, Any] | None = None, **fields: Any) -> Finding:
    """The only finding for one service that is well formed and cannot be planned."""
    (finding,) = refusal(lambda: plan_of(keys=keys, **fields))
    return finding


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "must be at least 1"),
        (-8192, "must be at least 1"),
        ("32k", "must be a number, not text"),
        ("8192", "must be a number, not text"),
        (True, "must be a number, not a boolean"),
        (1.5, "must be a whole number"),
        (None, "must be a number, not nothing"),
        ([8192], "must be a number, not a list"),
        (float("nan"), "must be a finite number"),
        (float("inf"), "must be a finite number"),
        (10**400, "must be at most 1000000000000"),
        (1e300, "must be at most 1000000000000"),
    ],
)
def test_a_context_that_is_no_sane_number_is_refused(value: object, message: str) -> None:
    finding = refused(context=value)
    assert (finding.path, finding.message) == ("services.chat.context", message)


def test_a_number_written_as_text_is_told_how_to_write_it() -> None:
    assert refused(context="32k").remedy == "write a plain number, such as 8192"


def test_a_budget_beyond_all_floats_is_too_large() -> None:
    finding = refused(budget={"usd_per_hour": 10**400})
    assert (finding.path, finding.message) == ("services.chat.budget.usd_per_hour", "is too large")


def test_ninety_is_no_share_of_memory() -> None:
    finding = refused(gpu_memory_utilization=90)
    assert finding.message == "must be at most 0.97"
    assert finding.remedy == "0.90 means 90 percent"


@pytest.mark.parametrize("value", ["90%", "0.9", float("nan"), 0, -0.5])
def test_a_share_of_memory_is_a_number_above_zero(value: object) -> None:
    assert refused(gpu_memory_utilization=value).path == "services.chat.gpu_memory_utilization"


@pytest.mark.parametrize(
    ("key", "meant"), [("concurency", "concurrency"), ("quantisation", "quantization"), ("modell", "model")]
)
def test_an_unknown_key_is_answered_with_the_key_that_was_meant(key: str, meant: str) -> None:
    finding = refused(**{key: 4})
    assert finding.path == f"services.chat.{key}"
    assert finding.message == f"unknown key; did you mean {meant!r}?"


def test_an_unknown_key_that_resembles_nothing_lists_the_keys_there_are() -> None:
    finding = refused(wibble=1)
    assert finding.message == "unknown key"
    assert set(finding.remedy.removeprefix("keys here: ").split(", ")) == set(ServiceSpec.model_fields)


@pytest.mark.parametrize("key", ["service", "modelberth:servces"])
def test_a_misspelled_key_of_the_stack_is_answered_too(key: str) -> None:
    content = {f"modelberth:{name}": value for name, value in stack_document().items()}
    finding = refusal(lambda: parse.stack(content | {f"modelberth:{key.removeprefix('modelberth:')}": {}}))[0]
    assert finding.message == "unknown key; did you mean 'services'?"


def test_a_stack_without_services_is_refused() -> None:
    assert by_path(refusal(lambda: parse.stack({"target": {"kind": "existing"}})))["services"].message == "is required"
    assert refusal(lambda: parse.stack({"target": {"kind": "existing"}, "services": {}}))[0].path == "services"


@pytest.mark.parametrize(
    ("field", "value", "meant"),
    [
        ("quantization", "q4_k_n", "q4_k_"),
        ("quantization", "Q4_K_M", ""),
        ("engine", "vlm", "vllm"),
        ("kv_cache_dtype", "fp9", "fp8"),
        ("profile", "prodd", "prod"),
    ],
)
def test_an_unknown_choice_is_answered_with_the_choices(field: str, value: str, meant: str) -> None:
    finding = refused(**{field: value})
    assert finding.path == f"services.chat.{field}"
    assert finding.message.startswith(f"{value!r} is not one of the choices")
    assert f"did you mean '{meant}" in finding.message or not meant
    assert finding.remedy.startswith("one of: ")


def test_a_choice_in_a_list_is_explained_in_its_place() -> None:
    findings = refusal(lambda: parse.stack(stack_document(pools={"l4": L4_POOL | {"capacity": ["spott"]}})))
    assert [finding.path for finding in findings] == ["pools.l4.capacity[0]"]
    assert "did you mean 'spot'?" in findings[0].message


@pytest.mark.parametrize(
    "name", ["Chat", "chat_one", "-chat", "chat.", "", "x" * 33, "чат", "chat\n", "チャット", "a b", "🦙"]
)
def test_a_service_name_that_is_no_dns_label_is_refused(name: str) -> None:
    (finding,) = refusal(lambda: parse.stack(stack_document({name: document()})))
    assert finding.message.startswith("must be lower-case letters, digits and '-'")
    assert "\n" not in finding.path


def test_everything_that_is_named_after_a_service_fits_the_longest_name() -> None:
    name, suffix = "x" * LONGEST_SERVICE, "-0a1b2c3d"
    parse.stack(stack_document({name: document()}))
    server = f"{name}-server{suffix}"
    of_deployment = f"{server}-5d8f9c7b64-"[:58] + "abcde"  # as names of pods are generated
    assert re.fullmatch(pods(name), of_deployment)
    of_workers = f"{server}-999-5d8f9c7b64"  # controller-revision-hash of a group's StatefulSet
    assert len(of_workers) <= 63
    adapter = "y" * (LONGEST_WITH_ADAPTER - len(name))
    assert len(f"{name}-fetch-adapter-{adapter}{suffix}") <= 63


def test_a_name_that_is_nearly_a_dns_label_is_shown_tidied() -> None:
    assert "'my-pool' would do" in refused(pool="My Pool").message


@pytest.mark.parametrize("field", ["context", "model", "tensor_parallel", "token", "accelerators", "budget", "image"])
def test_an_output_cannot_shape_a_plan(field: str) -> None:
    finding = refused(**{field: pulumi.Output.from_input(2)})
    assert finding.path == f"services.chat.{field}"
    assert finding.message.startswith("is an Output, known only after something is created")
    assert finding.remedy


def test_an_output_inside_a_list_or_a_secret_reference_is_found_in_its_place() -> None:
    assert refused(accelerators=[pulumi.Output.from_input("x")]).path == "services.chat.accelerators[0]"
    finding = refused(token={"secret": pulumi.Output.from_input("x")})
    assert finding.path == "services.chat.token.secret"
    assert "is an Output" in finding.message


def test_an_output_instead_of_the_whole_document_is_refused() -> None:
    assert refusal(lambda: parse.service(pulumi.Output.from_input({})))[0].message == "must be a mapping, not Output"


@pytest.mark.parametrize("field", ["token", "api_key"])
@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        {"secret": TOKEN},
        {"secret": "hub", "key": TOKEN + "\n"},
        {TOKEN: None},
        {"secret": "hub", TOKEN: TOKEN},
        {"value": TOKEN},
        {"secret": {"value": TOKEN}},
        [TOKEN],
    ],
)
def test_a_plain_secret_is_refused_and_never_shown(field: str, value: object) -> None:
    with pytest.raises(Refused) as caught:
        parse.service(document(**{field: value}), "chat")
    message = str(caught.value)
    assert f"services.chat.{field}" in message
    assert "secret: NAME, key: KEY" in message or "must be a mapping" in message
    assert not leaks(message, TOKEN)


@pytest.mark.parametrize("field", ["quantization", "engine", "context", "pool", "image_digest", "replicas", "profile"])
def test_a_secret_in_the_wrong_field_is_not_shown_either(field: str) -> None:
    with pytest.raises(Refused) as caught:
        parse.service(document(**{field: TOKEN}), "chat")
    assert TOKEN not in str(caught.value)


def leaks(message: str, secret: str) -> bool:
    """Whether a message holds a secret in any spelling that our own tidying could give it."""

    def letters(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    return letters(secret) in letters(message)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("budget", [1], "must be a mapping, not a list"),
        ("accelerators", "nvidia-l4", "must be a list, not text"),
        ("model", 7, "must be a mapping, not a number"),
        ("model", None, "must be a mapping, not nothing"),
        ("engine_version", 0.33, "must be text, not a number"),
        ("extra_args", [1], "must be text, not a number"),
        ("image", "a\x1b[31mb", "must not contain control characters"),
        ("image", "x" * 10**6, "must be at most 1000 characters"),
        ("image", "", "must not be empty"),
        ("image_digest", "latest", "must be 'sha256:' and 64 hexadecimal digits"),
    ],
)
def test_the_wrong_kind_of_value_is_named_in_plain_words(field: str, value: object, message: str) -> None:
    assert refused(**{field: value}).message == message


def test_a_revision_is_a_commit_never_a_branch() -> None:
    finding = refused(model={"id": "a/b", "revision": "main"})
    assert finding.path == "services.chat.model.revision"
    assert "branches and tags move" in finding.message


def test_more_typical_tokens_than_context_are_refused() -> None:
    assert refused(typical_tokens=8193).message == "typical_tokens 8193 is more than context 8192"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity", ["spot"]),
        ("slo", {"ttft_ms": 200}),
        ("model", {"id": "a/b", "architecture": {"hidden_size": 1}}),
    ],
)
def test_a_field_that_nothing_implements_is_refused_never_ignored(field: str, value: object) -> None:
    finding = refused(**{field: value})
    assert finding.path.startswith(f"services.chat.{field}")
    assert finding.message.endswith("is not supported yet")


def test_a_version_belongs_to_an_engine() -> None:
    (finding,) = refusal(lambda: parse.stack(stack_document(defaults={"engine_versions": {"auto": "0.33.0"}})))
    assert finding.path == "defaults.engine_versions.auto"
    assert finding.message == "names no engine; a version belongs to one"


@pytest.mark.parametrize("path", ["/models", "..", "../other", "a/../../b", "a/.."])
def test_a_folder_of_weights_never_leaves_its_volume(path: str) -> None:
    store = {"kind": "existing-claim", "claim": "models", "path": path}
    (finding,) = refusal(lambda: parse.stack(stack_document(weights={"w": store})))
    assert (finding.path, finding.message) == ("weights.w.path", "must be a relative path without '..'")


@pytest.mark.parametrize("path", ["llama", "meta/llama-3.1", "a..b/.c", "./llama"])
def test_a_folder_inside_the_volume_is_taken_as_written(path: str) -> None:
    store = {"kind": "existing-claim", "claim": "models", "path": path}
    assert parse.stack(stack_document(weights={"w": store})).weights["w"].path == path


def test_a_cloud_without_its_part_is_refused() -> None:
    (finding,) = refusal(lambda: parse.stack(stack_document(target={"kind": "gke"})))
    assert (finding.path, finding.message) == ("target.gke", "is required for kind gke")


def test_problems_of_all_parts_appear_together() -> None:
    content = {
        "target": {"kind": "exsting"},
        "pools": {"L4": L4_POOL, "cpu": CPU_POOL | {"max_nodes": 0}},
        "weights": {"w": {"kind": "existing-claim"}},
        "services": {
            "chat": document(context="32k", concurency=1, token=TOKEN),
            "draft": document(quantization="q4", gpu_memory_utilization=90),
        },
    }
    assert set(by_path(refusal(lambda: parse.stack(content)))) == {
        "target.kind",
        "pools.L4",
        "pools.cpu.max_nodes",
        "weights.w",
        "services.chat.context",
        "services.chat.concurency",
        "services.chat.token",
        "services.draft.quantization",
        "services.draft.gpu_memory_utilization",
    }


def test_problems_of_all_services_appear_together_when_they_are_planned() -> None:
    services = {
        "chat": document(model="meta-llama/Llama-3.1-8B-Instrct"),
        "draft": document(tensor_parallel=3),
        "large": document(model=LLAMA_70B, accelerators=["nvidia-t4"]),
    }
    spec = parse.stack(stack_document(services))
    paths = {finding.path.split(".")[1] for finding in refusal(lambda: settle(spec, {}))}
    assert paths == {"chat", "draft", "large"}


def test_an_unknown_version_of_an_engine_that_nothing_uses_is_one_problem_of_the_stack() -> None:
    versions = {"sglang": "9.9.9", "vllm": "9.9.9"}
    services = {"chat": document(engine="vllm"), "draft": document(engine="vllm")}
    spec = parse.stack(stack_document(services, defaults={"engine_versions": versions}))
    found = refusal(lambda: settle(spec, {}))
    assert [each.path for each in found] == ["defaults.engine_versions.sglang", "defaults.engine_versions.vllm"]
    assert all(each.remedy.startswith("one of ") for each in found)


def test_several_unknown_names_of_one_service_appear_together() -> None:
    findings = refusal(lambda: plan_of(model="acme/none", pool="l5", weights="w", accelerators=["nvidia-l5"]))
    assert [finding.path.split(".")[-1] for finding in findings] == ["pool", "weights", "accelerators", "model"]


def test_an_unknown_model_is_refused_with_the_way_to_list_models() -> None:
    finding = unplanned(model="acme/does-not-exist")
    assert finding.path == "services.chat.model"
    assert "modelberth models" in finding.remedy


def test_a_near_miss_of_a_model_is_answered_with_the_model() -> None:
    finding = unplanned(model="meta-llama/Llama-3.1-8B-Instrct")
    assert "did you mean 'meta-llama/Llama-3.1-8B-Instruct'" in finding.message


@pytest.mark.parametrize(
    "model", ["../../etc/passwd", "a" * 200 + "/b", "a" * 400, "/", "модель/имя", "meta-llama/", ".."]
)
def test_a_model_id_that_no_file_could_hold_is_an_unknown_model(model: str) -> None:
    assert unplanned(model=model).message.startswith(f"unknown model {model!r}")


def test_a_model_that_cannot_be_sized_is_unknown_never_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = catalog().model(LLAMA_70B).model_copy(update={"architecture": "NobodyKnowsForCausalLM"})
    monkeypatch.setattr(Catalog, "model", lambda self, name: strange)
    finding = unplanned(model=LLAMA_70B)
    assert finding.message.startswith("verdict unknown: the parts of architecture NobodyKnowsForCausalLM")


@pytest.mark.parametrize("objective", ["cost_per_token", "latency"])
def test_an_objective_that_follows_from_speed_needs_the_traffic(objective: str) -> None:
    finding = unplanned(objective=objective)
    assert (finding.path, finding.code) == ("services.chat.traffic", "traffic")
    assert "objective: cost_per_hour" in finding.remedy


def test_prompts_and_answers_longer_than_the_context_are_refused() -> None:
    finding = unplanned(context=8192, traffic={"input_tokens": 8000, "output_tokens": 193})
    assert finding.message == "8000 + 193 tokens are more than the context 8192"


def test_an_objective_that_ranks_nothing_allowed_names_the_way_out() -> None:
    traffic = {"input_tokens": 1000, "output_tokens": 300}
    finding = unplanned(objective="latency", traffic=traffic, accelerators=["nvidia-l40s"])
    assert finding.path == "services.chat.objective"
    assert "no measured row of a GPU like NVIDIA L40S" in finding.message
    assert finding.remedy == "objective: cost_per_hour needs no speed"


@pytest.mark.parametrize("field", ["requests_per_second", "tokens_per_month"])
def test_rates_of_traffic_are_refused_never_ignored(field: str) -> None:
    asked = document(traffic={"input_tokens": 1, "output_tokens": 1, field: 5})
    (finding,) = refusal(lambda: parse.stack(stack_document({"chat": asked})))
    assert (finding.code, finding.path) == ("not-yet", f"services.chat.traffic.{field}")


def test_a_context_beyond_the_models_own_is_refused_with_its_maximum() -> None:
    finding = unplanned(context=131_073)
    assert (finding.path, finding.remedy) == ("services.chat.context", "at most 131072")


@pytest.mark.parametrize(
    ("model", "size", "valid"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 3, "one of 1, 2, 4, 8, 16"),
        ("Qwen/Qwen2.5-7B-Instruct", 8, "one of 1, 2, 4"),
        ("meta-llama/Llama-3.2-3B", 3, "one of 1, 2, 4, 8"),
    ],
)
def test_a_tensor_parallel_size_that_does_not_divide_the_heads_is_told_which_do(
    model: str, size: int, valid: str
) -> None:
    finding = unplanned(model=model, tensor_parallel=size)
    assert finding.path == "services.chat.tensor_parallel"
    assert finding.message.startswith(f"{size} does not divide the ")
    assert valid in finding.remedy


def test_a_model_that_fits_nothing_allowed_is_told_the_nearest_that_would_do() -> None:
    finding = unplanned(model=LLAMA_70B, accelerators=["nvidia-t4"], quantization="fp16")
    assert finding.message.startswith("fits nothing that is allowed: ")
    assert "NVIDIA T4" in finding.message
    assert re.search(r"the nearest that would do: \S+ \(\d+ x [^)]+\), [\d.]+ USD per hour", finding.remedy)


def test_a_wish_that_no_machine_grants_says_so() -> None:
    finding = unplanned(concurrency=10**12)
    assert finding.remedy.startswith("no machine type of the catalog would hold it")
    assert len(finding.message) < 2000


@pytest.mark.parametrize(
    ("field", "value", "keys", "message"),
    [
        ("pool", "l5", {"pools": {"l4": L4_POOL}}, "no pool is called 'l5'"),
        ("pool", "l4", {}, "no pool is called 'l4'"),
        ("weights", "qwem", {"weights": {"qwen": {"kind": "claim"}}}, "did you mean 'qwen'?"),
        ("accelerators", ["nvidia-l5"], {}, "did you mean 'nvidia-l4'?"),
    ],
)
def test_a_name_that_is_defined_nowhere_is_refused(field: str, value: object, keys: Any, message: str) -> None:
    finding = unplanned(keys=keys, **{field: value})
    assert finding.path == f"services.chat.{field}"
    assert message in finding.message
    assert finding.remedy


@pytest.mark.parametrize(
    ("pool", "path", "message"),
    [
        ({"machine_types": []}, "pools.l4.machine_types", "is required"),
        ({"machine_types": ["g2-standard-9"]}, "pools.l4.machine_types", "did you mean 'g2-standard-"),
        ({"machine_types": ["c3-standard-8"]}, "pools.l4.machine_types", "c3-standard-8 has no GPU"),
        ({"accelerators": ["nvidia-l4", "nvidia-l5"]}, "pools.l4.accelerators", "did you mean 'nvidia-l4'?"),
    ],
)
def test_a_pool_that_contradicts_itself_or_the_catalog_is_refused(pool: Any, path: str, message: str) -> None:
    finding = unplanned(keys={"pools": {"l4": L4_POOL | pool}})
    assert finding.path == path
    assert message in finding.message


@pytest.mark.parametrize(
    ("args", "flags"),
    [
        (["--max-model-len", "5"], ["--max-model-len"]),
        (["--tensor-parallel-size=2", "-tp", "2"], ["--tensor-parallel-size", "-tp"]),
        (["--max-model=7", "--gpu_memory_utilization=0.5"], ["--max-model", "--gpu_memory_utilization"]),
        (["--api-key", TOKEN, f"--hf-token={TOKEN}"], ["--api-key", "--hf-token"]),
    ],
)
def test_an_extra_argument_that_the_spec_already_sets_is_refused(args: list[str], flags: list[str]) -> None:
    findings = refusal(lambda: plan_of(extra_args=args))
    assert [finding.message.split()[0] for finding in findings] == flags
    assert {finding.path for finding in findings} == {"services.chat.extra_args"}
    assert TOKEN not in str(Refused(findings))


def test_an_extra_argument_of_llama_cpp_is_checked_by_its_own_spellings() -> None:
    findings = refusal(lambda: plan_of(quantization="q4_k_m", extra_args=["-c", "5", "-ngl", "3", "--hf-token", TOKEN]))
    assert [finding.message.split()[0] for finding in findings] == ["-c", "-ngl", "--hf-token"]


@pytest.mark.parametrize(
    ("engine", "args", "why"),
    [
        ("llamacpp", ["--api-prefix", "/x"], "its port and paths"),
        ("llamacpp", ["--ssl-key-file", "k", "--ssl-cert-file", "c"], "its port and paths"),
        ("llamacpp", ["--tools", "all"], "read files of the pod"),
        ("llamacpp", ["--models-dir", "/weights"], "beside the one that is planned"),
        ("vllm", ["--uds", "/tmp/s"], "its port and paths"),
        ("vllm", ["--ssl-keyfile=k", "--ssl-certfile", "c"], "its port and paths"),
        ("vllm", ["--grpc"], "its port and paths"),
        ("sglang", ["--grpc-mode"], "its port and paths"),
        ("sglang", ["--ssl-keyfile", "k"], "its port and paths"),
    ],
)
def test_an_extra_argument_that_moves_the_server_or_opens_the_pod_is_refused(
    engine: str, args: list[str], why: str
) -> None:
    gguf = {"quantization": "q4_k_m"} if engine == "llamacpp" else {}
    findings = refusal(lambda: plan_of(engine=engine, extra_args=args, **gguf))
    flags = {word.partition("=")[0] for word in args if word.startswith("--")}
    assert {finding.message.split()[0] for finding in findings} == flags
    assert all("is not handed through: " in each.message and why in each.message for each in findings)


def test_a_switch_that_turns_it_off_passes() -> None:
    made = plan_of(quantization="q4_k_m", extra_args=["--no-agent"])
    assert made.launch.args[-1] == "--no-agent"


@pytest.mark.parametrize(
    ("engine", "args"),
    [("vllm", ["other/model"]), ("vllm", ["--seed", "7", "8"]), ("sglang", ["x"]), ("tensorrt_llm", ["other/model"])],
)
def test_an_extra_argument_that_belongs_to_no_flag_is_refused_and_not_echoed(engine: str, args: list[str]) -> None:
    gpu = {"accelerators": ["nvidia-h100-80gb"]}
    (finding,) = refusal(lambda: plan_of(engine=engine, extra_args=args, **gpu))
    assert finding.path == "services.chat.extra_args"
    assert finding.message.endswith("does not take a word that belongs to no flag")


@pytest.mark.parametrize(
    ("fields", "args", "flag"),
    [
        ({}, ["--compilation-config.mode", "3"], "--compilation-config"),
        ({}, ["--max-cudagraph-capture-size", "8"], "--max-cudagraph-capture-size"),
        ({}, ["--block-size", "16"], "--block-size"),
        ({}, ["--kv-transfer-config", "{}"], "--kv-transfer-config"),
        ({}, ["--mm-processor-cache-gb", "8"], "--mm-processor-cache-gb"),
        ({}, ["--enable-expert-parallel"], "--enable-expert-parallel"),
        ({"engine": "sglang"}, ["--hicache-size", "8"], "--hicache-size"),
        ({"engine": "sglang"}, ["--enable-hierarchical-cache"], "--enable-hierarchical-cache"),
        ({"quantization": "q4_k_m"}, ["-ub", "2048"], "--ubatch-size"),
        ({"quantization": "q4_k_m"}, ["--swa-full"], "--swa-full"),
        ({"quantization": "q4_k_m"}, ["-kvu"], "--kv-unified"),
        ({"quantization": "q4_k_m"}, ["-nkvo"], "--no-kv-offload"),
        ({"quantization": "q4_k_m"}, ["-ot", "exps=CPU"], "--override-tensor"),
        ({}, ["--cpu-offload-gb", "4"], "--cpu-offload-gb"),
        ({}, ["--cpu-offload-g", "4"], "--cpu-offload-gb"),
        ({}, ["--data-parallel-size", "2"], "--data-parallel-size"),
        ({}, ["--seed=7", "--config=server.yaml"], "--config"),
        ({"quantization": "q4_k_m"}, ["--mmproj", "vision.gguf"], "--mmproj"),
    ],
)
def test_an_extra_argument_that_changes_memory_beyond_the_sum_is_refused(
    fields: dict[str, Any], args: list[str], flag: str
) -> None:
    stack = parse.stack(stack_document({"chat": document(extra_args=args, **fields)}))
    (finding,) = refusal(lambda: settle(stack, {}))
    assert finding.path == "services.chat.extra_args"
    assert finding.message.startswith(f"{flag} cannot be planned: ")
    assert finding.remedy == "leave it out"


def test_an_extra_argument_that_a_secret_would_fill_in_is_refused() -> None:
    service = document(extra_args=["$(VLLM_API_KEY)"], api_key={"secret": "clients", "key": "key"})
    findings = refusal(lambda: settle(parse.stack(stack_document({"chat": service})), {}))
    assert {finding.path for finding in findings} == {"services.chat.extra_args"}
    assert all("comes from a Secret" in finding.message for finding in findings)


@pytest.mark.parametrize(
    ("quantization", "args"),
    [
        ("auto", ["--enable-log-requests"]),
        ("auto", ["--seed", "7", "--enforce-eager"]),
        ("auto", ["--data-parallel-size", "1"]),
        ("q4_k_m", ["--seed", "7"]),
        ("q4_k_m", ["--kv-offload", "--no-kv-unified"]),
    ],
)
def test_an_extra_argument_that_leaves_memory_as_it_is_passes(quantization: str, args: list[str]) -> None:
    stack = parse.stack(stack_document({"chat": document(quantization=quantization, extra_args=args)}))
    assert settle(stack, {}).plans[0].launch.args[-len(args) :] == tuple(args)


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0", "int8"])
def test_a_kv_cache_type_of_another_engine_is_refused(dtype: str) -> None:
    assert unplanned(kv_cache_dtype=dtype).message.startswith(f"vLLM has no {dtype} KV cache: ")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"engine": "vllm", "quantization": "q4_k_m"}, "quantization"),
        ({"engine": "llamacpp", "quantization": "awq"}, "quantization"),
        ({"engine": "llamacpp", "quantization": "q4_k_m", "tensor_parallel": 2}, "tensor_parallel"),
        ({"engine": "llamacpp", "quantization": "q4_k_m", "kv_cache_dtype": "fp8"}, "kv_cache_dtype"),
        ({"engine_version": "0.1"}, "engine_version"),
        ({"accelerators": ["nvidia-t4"]}, "quantization"),
        ({"replicas": 2}, "weights"),
    ],
)
def test_what_an_engine_cannot_do_is_an_error_of_the_field_that_asks_for_it(fields: Any, path: str) -> None:
    assert unplanned(**fields).path == f"services.chat.{path}"


def test_the_whole_message_is_a_few_lines_without_a_trace() -> None:
    with pytest.raises(Refused) as caught:
        parse.service(document(context=0, wibble=1), "chat")
    first, *rest = str(caught.value).splitlines()
    assert first == "2 problems, nothing was created"
    assert [line.strip() for line in rest] == [
        "services.chat.context: must be at least 1",
        "services.chat.wibble: unknown key",
        rest[-1].strip(),
    ]
    assert rest[-1].strip().startswith("way out: keys here: ")
    assert "Traceback" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def nested(depth: int) -> Any:
    content: Any = 1
    for _ in range(depth):
        content = {"a": [content]}
    return content


@pytest.mark.parametrize("field", ["model", "context", "extra_args", "budget", "token", "accelerators"])
@pytest.mark.parametrize(
    "value", [nested(1000), "x" * 10**6, {"k" * 10**6: 1}], ids=["1000 levels", "1 MB of text", "1 MB in a key"]
)
def test_nothing_is_too_deep_or_too_long_to_be_refused_in_a_few_lines(field: str, value: object) -> None:
    with pytest.raises(Refused) as caught:
        parse.service(document(**{field: value}), "chat")
    assert len(str(caught.value)) < 20_000


def test_control_characters_of_a_key_never_reach_the_terminal() -> None:
    assert refused(**{"\x1b[31mred": 1}).path == r"services.chat.\x1b[31mred"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("context: 1\ncontext: 2\n", "spec.yaml, line 2: a key appears twice"),
        ("services:\n  chat: 1\n  chat: 2\n", "spec.yaml, line 3: a key appears twice"),
        ("- 1\n", "spec.yaml: expected a mapping"),
        ("", "spec.yaml: expected a mapping"),
        ("a: \0", "spec.yaml: not valid YAML"),
        ("a: [1", "spec.yaml, line 2: "),
        ("a: !!python/object:os.system x", "spec.yaml, line 1: could not determine a constructor"),
        ("a: " + "9" * 5000, "spec.yaml: not valid YAML"),
        ("a: 2026-13-45", "spec.yaml: not valid YAML"),
        ("a: " + "[" * 200_000, "spec.yaml: more than 20,000 brackets"),
        ("? [a]\n: b", "spec.yaml, line 1: found unhashable key"),
        ("a: 1\n---\nb: 2", "spec.yaml, line 2: but found another document"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_its_name_and_line(text: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        mapping(text, "spec.yaml")
    assert str(caught.value).startswith(message)


def test_a_key_may_override_one_that_is_merged_in() -> None:
    merged = mapping("base: &base {context: 1, seed: 2}\nchat: {<<: *base, context: 3}\n", "spec.yaml")
    assert merged["chat"] == {"context": 3, "seed": 2}


def test_a_mapping_that_others_merge_is_compared_as_it_was_written() -> None:
    text = "a: {deep: &inner {<<: &base {context: 1}, context: 2}}\nb: {<<: *inner, context: 3}\n"
    assert mapping(text, "spec.yaml") == {"a": {"deep": {"context": 2}}, "b": {"context": 3}}


def test_a_key_that_appears_twice_beside_a_merge_is_still_refused() -> None:
    text = "base: &base {context: 1}\nchat:\n  <<: *base\n  seed: 1\n  seed: 2\n"
    with pytest.raises(DocumentError, match="line 5: a key appears twice"):
        mapping(text, "spec.yaml")


def test_a_thousand_levels_of_nesting_in_a_file_end_in_a_refusal() -> None:
    content = mapping("model: " + "[" * 1000 + "]" * 1000 + "\ncontext: 1\nconcurrency: 1\n", "spec.yaml")
    assert refusal(lambda: parse.service(content))[0].path == "model"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["32k", "auto"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(sorted(ServiceSpec.model_fields)) | st.text(max_size=12)


def refusal_of(call: Callable[[], object]) -> str:
    """What ``call`` is refused with, nothing when it is not; any other exception is a failure."""
    try:
        call()
    except Refused as refused:
        return str(refused)
    return ""


@given(st.dictionaries(FIELDS, JSON, max_size=8) | JSON)
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_document_is_a_service_or_is_refused(content: object) -> None:
    message = refusal_of(lambda: parse.service(content, "chat"))
    assert all(line.isprintable() for line in message.split("\n"))


SMALL = st.integers(-1, 9) | st.sampled_from([True, "32k", None, 2.0, 1.5, 10**15])
SERVICE = st.fixed_dictionaries(
    {"model": st.sampled_from([LLAMA_70B, "Qwen/Qwen2.5-7B-Instruct", "acme/x", "google/gemma-3-27b-it", 7])},
    optional={
        "context": SMALL | st.sampled_from([4096, 131072]),
        "concurrency": SMALL,
        "engine": st.sampled_from(["auto", "vllm", "llamacpp", "ollama", "x"]),
        "quantization": st.sampled_from(["auto", "bf16", "awq", "q4_k_m", "nf4", "x"]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8", "q8_0", "int8"]),
        "tensor_parallel": SMALL,
        "replicas": SMALL,
        "accelerators": st.lists(st.sampled_from(["cpu", "nvidia-l4", "amd-mi300x", "x"]), max_size=2),
        "pool": st.sampled_from(["l4", "cpu", "none"]),
        "weights": st.sampled_from(["hub", "claim", "none"]),
        "budget": st.just({"usd_per_hour": 1}) | JSON,
        "token": st.just({"secret": "hub"}) | st.just(TOKEN),
        "extra_args": st.lists(st.sampled_from(["--max-model-len", "-c", "--seed", "1"]), max_size=3),
        "gpu_memory_utilization": st.floats(),
    },
)


@given(SERVICE, st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_stack_is_planned_or_is_refused(service: dict[str, Any], with_pools: bool) -> None:
    keys: dict[str, Any] = {"weights": {"hub": {"kind": "hub"}, "claim": {"kind": "claim"}}}
    if with_pools:
        keys["pools"] = {"l4": L4_POOL, "cpu": CPU_POOL}
    message = refusal_of(lambda: settle(parse.stack(stack_document({"chat": service}, **keys)), {}))
    assert not leaks(message, TOKEN)


def test_a_service_whose_name_begins_with_a_digit_is_refused_before_the_api_server_does() -> None:
    (finding,) = refusal(lambda: parse.stack(stack_document({"7b": document()})))
    assert (finding.path, finding.message.partition(":")[0]) == ("services.7b", "must begin with a letter")
