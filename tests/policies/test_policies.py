"""The pack as the engine meets it: unknown values, secrets, floats, kinds, and errors inside."""

import ast
import subprocess
import sys
from typing import Any

import pytest
from pulumi.runtime.proto import analyzer_pb2

from modelberth.observed import UNKNOWN
from modelberth.rules import ALL
from modelberth.rules.base import Profile
from policies import facts
from policies.analyzer import Analyzer
from tests.policies.servicer import (
    DEPLOYMENT,
    UNKNOWN_ARRAY,
    UNKNOWN_NUMBER,
    UNKNOWN_OBJECT,
    UNKNOWN_STRING,
    analyze,
    names,
    request,
    secret,
    stopping,
)
from tests.rules import pods
from tests.rules.samples import CANARY, LLAMA_8B, ROOT, deployment, guide, llamacpp, vllm
from tests.rules.stacks import COMMIT, DIGEST, GPU_TAINT


def server(*args: Any, **more: Any) -> dict[str, Any]:
    return deployment(vllm("--model", LLAMA_8B, *args, **more))


def hardened() -> dict[str, Any]:
    """A server of someone else's with everything that rules about single objects ask for."""
    container = pods.server("--model", LLAMA_8B, "--max-model-len", "8192", "--shutdown-timeout", "90")
    container["args"] += ["--revision", COMMIT]
    container |= {"image": f"{container['image']}{DIGEST}", "lifecycle": {"preStop": {"sleep": {"seconds": 15.0}}}}
    return pods.workload(container, tolerations=[GPU_TAINT], terminationGracePeriodSeconds=120.0)


def test_a_deployment_that_fits_is_not_stopped_and_a_hardened_one_is_met_with_silence() -> None:
    assert stopping(analyze(server("--max-model-len", "8192", gpus=1.0))) == []
    assert analyze(hardened()) == []


def test_the_guides_manifest_is_stopped_twice_and_advised() -> None:
    found = analyze(guide())
    assert stopping(found) == ["SZ-01", "WH-21"]
    assert ("ADVISORY", "WH-06") in names(found)
    assert "one request of 131,072 tokens needs 40.00 GiB of KV cache" in found[0][2]
    assert "the largest context that fits is 30,864 tokens" in found[0][2]


@pytest.mark.parametrize("kind", ["apps/v1:StatefulSet", "apps/v1:DaemonSet", "batch/v1:Job", "core/v1:Pod"])
def test_every_kind_is_judged_under_its_type(kind: str) -> None:
    properties = server()
    if kind.endswith("Pod"):
        properties["spec"] = properties["spec"]["template"]["spec"]
    elif kind.endswith("Job"):
        properties["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    del properties["kind"]
    assert stopping(analyze(properties, f"kubernetes:{kind}")) == ["SZ-01"]


def test_groups_of_pods_are_judged_as_custom_resources() -> None:
    worker = server(gpus=1)["spec"]["template"]
    properties = {"spec": {"leaderWorkerTemplate": {"size": 1.0, "workerTemplate": worker}}}
    found = analyze(properties, "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet")
    assert stopping(found) == ["SZ-01"]


@pytest.mark.parametrize("type_", ["kubernetes:core/v1:Service", "aws:ecs/service:Deployment", "pulumi:pulumi:Stack"])
def test_other_resources_are_left_alone(type_: str) -> None:
    assert analyze(server(), type_) == []


# --- unknown at preview: a mandatory rule never turns quiet


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"args": ["--model", LLAMA_8B, "--max-model-len", UNKNOWN_STRING]}, ".args"),
        ({"args": UNKNOWN_ARRAY}, ".args"),
        ({"args": [UNKNOWN_STRING]}, ".args"),
        ({"image": UNKNOWN_STRING}, ".image"),
        ({"resources": {"limits": {"nvidia.com/gpu": UNKNOWN_NUMBER}}}, '.resources.limits["nvidia.com/gpu"]'),
        ({"resources": {"limits": UNKNOWN_OBJECT}}, ".resources.limits"),
        ({"resources": UNKNOWN_OBJECT}, ".resources"),
    ],
)
def test_an_unknown_value_that_sizing_needs_stops_the_preview(change: dict[str, Any], path: str) -> None:
    found = analyze(deployment(vllm() | change))
    there = f"spec.template.spec.containers[0]{path}"
    told = [message for level, _, message in found if level == "MANDATORY"]
    assert [each for each in told if each.startswith("SZ-21") and f"{there}: cannot decide " in each]
    assert [each for each in told if there not in each or ": cannot decide " not in each] == []


@pytest.mark.parametrize("where", ["containers", "spec", "template"])
def test_an_unknown_pod_stops_the_preview(where: str) -> None:
    properties = server()
    place = {"template": properties["spec"], "spec": properties}.get(where, properties["spec"]["template"]["spec"])
    place[where] = UNKNOWN_OBJECT
    found = analyze(properties)
    assert "SZ-21" in stopping(found)
    assert [message for level, _, message in found if level == "MANDATORY" and ": cannot decide " not in message] == []


def test_an_unknown_element_does_not_disable_the_rules_for_its_siblings() -> None:
    broken = vllm("--model", LLAMA_8B, env=[UNKNOWN_STRING, {"name": "A", "value": UNKNOWN_STRING}])
    sidecar = {"name": "sidecar", "image": UNKNOWN_STRING}
    assert stopping(analyze(deployment(sidecar, broken))) == ["SZ-01", "WH-15"]


def test_an_unknown_value_elsewhere_is_no_matter() -> None:
    properties = server("--max-model-len", "8192")
    properties["metadata"] = {"name": UNKNOWN_STRING, "labels": UNKNOWN_OBJECT}
    properties["spec"]["replicas"] = UNKNOWN_NUMBER
    properties["spec"]["selector"] = UNKNOWN_OBJECT
    properties["spec"]["template"]["metadata"] = UNKNOWN_OBJECT
    assert stopping(analyze(properties)) == []


def test_nothing_is_ever_reported_as_impossible_to_run() -> None:
    for unknown in (UNKNOWN_STRING, UNKNOWN_OBJECT):
        for properties in ({"spec": unknown}, {"metadata": unknown, "spec": {"template": unknown}}):
            assert not [message for _, _, message in analyze(properties) if "can't run policy" in message]


def test_what_the_engine_sends_becomes_plain_data_with_markers() -> None:
    properties = {"a": [1.0, UNKNOWN_STRING, {"b": UNKNOWN_NUMBER, "c": "d"}], "e": UNKNOWN_ARRAY}
    assert facts.plain(request(properties).properties) == {
        "a": [1.0, UNKNOWN, {"b": UNKNOWN, "c": "d"}],
        "e": UNKNOWN,
    }


def test_whole_numbers_are_whole_and_others_are_as_they_are() -> None:
    found = facts.plain(request({"a": 2.0, "b": 2.5, "c": 2.0**60, "d": -1.0}).properties)
    assert [(name, type(value)) for name, value in sorted(found.items())] == [
        ("a", int),
        ("b", float),
        ("c", float),
        ("d", int),
    ]


# --- secrets


@pytest.mark.parametrize(
    "container",
    [
        vllm("--model", LLAMA_8B, "--max-model-len", secret(CANARY)),
        vllm("--model", secret(CANARY), "--max-model-len", "8192"),
        vllm("--model", LLAMA_8B, "--hf-token", secret(CANARY)),
        vllm("--model", LLAMA_8B, "--api-key", CANARY, "--quantization", secret(CANARY)),
        vllm("--model", LLAMA_8B, env=[{"name": "HF_TOKEN", "value": secret(CANARY)}]),
        vllm(image=secret(f"registry/vllm-openai:{CANARY}"), gpus=secret(CANARY)),
        llamacpp("--model", secret(f"/{CANARY}.gguf"), "--alias", secret(f"a/{CANARY}")),
    ],
)
def test_a_secret_never_reaches_a_message(container: dict[str, Any]) -> None:
    found = analyze(deployment(container))
    assert found
    assert CANARY not in str(found)


def test_a_secret_number_is_judged_like_any_other() -> None:
    assert stopping(analyze(server("--max-model-len", secret("131072")))) == ["SZ-01"]
    assert analyze(server("--max-model-len", secret("8192"))) == analyze(server("--max-model-len", "8192"))


# --- the pack itself


def test_every_rule_is_one_policy_with_its_own_words() -> None:
    policies = Analyzer().GetAnalyzerInfo(None, None).policies
    assert [policy.name for policy in policies] == ["settings", *(rule.policy_name for rule in ALL)]
    for rule, policy in zip(ALL, policies[1:], strict=True):
        level = analyzer_pb2.EnforcementLevel.Name(policy.enforcementLevel)
        assert level == rule.level(Profile.PROD, ours=True).name
        assert policy.description == f"{rule.id} {rule.title}."
        assert rule.remediation in policy.remediation_steps


def test_a_manifest_that_breaks_the_reader_is_one_finding_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(asked: Any) -> Any:
        raise RecursionError(CANARY)

    monkeypatch.setattr(facts, "resource", broken)
    found = analyze(guide(), DEPLOYMENT)
    assert names(found) == [("MANDATORY", "SETTINGS")]
    assert "internal error of the pack (RecursionError)" in found[0][2]
    assert CANARY not in str(found)


def test_two_broken_containers_of_one_pod_share_one_finding_about_the_pod() -> None:
    properties = deployment(vllm(), vllm("--model", LLAMA_8B, "--port", "8001") | {"name": "second"})
    del properties["spec"]["selector"]
    assert stopping(analyze(properties)).count("WH-21") == 1


def test_the_pack_imports_the_pure_half_and_never_the_components() -> None:
    code = "import sys, policies.pack; print(sorted(m for m in sys.modules if m.startswith('modelberth.components')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_file_that_starts_the_pack_does_nothing_else() -> None:
    text = (ROOT / "policies" / "__main__.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 15
    statements = [type(node).__name__ for node in ast.parse(text).body]
    assert statements == ["Expr", "Import", "ImportFrom", "Expr", "ImportFrom", "Expr"]
