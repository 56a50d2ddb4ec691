"""What holds for every rule: words, levels, no value of a manifest in a message, no trace."""

from typing import Any

import pytest

from modelberth.manifests import Workload
from modelberth.rules import ALL, Enforcement, judge
from modelberth.rules.base import Rule, Severity
from tests.rules.samples import (
    CANARY,
    CONTAINER,
    GKE,
    LLAMA_8B,
    deployment,
    gguf,
    guide,
    judged,
    llamacpp,
    only,
    vllm,
)


@pytest.mark.parametrize(
    "planted",
    [
        vllm("--model", CANARY),
        vllm("--model", LLAMA_8B, "--max-model-len", CANARY),
        vllm("--model", LLAMA_8B, "--quantization", CANARY, "--kv-cache-dtype", CANARY, "--dtype", CANARY),
        vllm("--model", LLAMA_8B, f"--{CANARY}", CANARY, f"--tensor-parallel-size={CANARY}"),
        vllm("--model", f"https://user:{CANARY}@hub/{LLAMA_8B}"),
        vllm(gpus=CANARY),
        vllm(image=f"registry/{CANARY}/vllm-openai:{CANARY}"),
        vllm(env=[{"name": "HF_TOKEN", "value": CANARY}], name=CANARY),
        llamacpp("--model", f"/{CANARY}.gguf", "--ctx-size", CANARY, "--alias", f"{CANARY}/{CANARY}"),
        llamacpp(*gguf(), "--cache-type-k", CANARY, memory=CANARY, gpus=CANARY),
    ],
)
def test_no_message_ever_holds_a_value_of_the_manifest(planted: dict[str, Any]) -> None:
    found = judged(deployment(planted, pod={"nodeSelector": {GKE: CANARY}}))
    assert found
    assert not [finding for finding in found if CANARY in str(finding)]


def test_rules_have_distinct_ids_and_names_and_say_why() -> None:
    assert [rule.id for rule in ALL] == [
        "SZ-01",
        "SZ-02",
        "SZ-03",
        "SZ-04",
        "SZ-08",
        "SZ-21",
        "SZ-20",
        "WH-06",
        "WH-21",
    ]
    assert len({rule.name for rule in ALL}) == len(ALL)
    assert all(rule.title and rule.why and rule.remediation and rule.question.startswith("whether") for rule in ALL)


def test_only_a_close_fit_and_the_pinned_image_are_advice() -> None:
    assert [rule.id for rule in ALL if rule.level is Enforcement.ADVISORY] == ["SZ-02", "WH-06"]


def test_every_finding_carries_a_path_and_the_code_of_its_rule() -> None:
    for rule, finding in judge(only(guide())):
        assert finding.code == rule.id
        assert finding.path
        assert finding.remedy


def test_a_broken_rule_stops_with_its_name_and_no_trace() -> None:
    def broken(workload: Workload) -> list[Any]:
        raise KeyError(CANARY)

    rule = Rule("SZ-99", "x", "x", "whether", "x", "x", Severity.LOW, Enforcement.MANDATORY, broken)
    (finding,) = rule.findings(only(guide()))
    assert finding.message == "internal error in rule SZ-99 (KeyError)"
    assert finding.path == CONTAINER
    assert CANARY not in str(finding)
