"""What holds for every rule: words, levels, no value of a manifest in a message, no trace."""

from dataclasses import replace
from typing import Any

import pytest

from modelberth.findings import Nature
from modelberth.inventory import Inventory
from modelberth.rules import ALL
from modelberth.rules.base import Settings
from tests.rules.samples import (
    CANARY,
    GKE,
    LLAMA_8B,
    deployment,
    gguf,
    guide,
    judged,
    llamacpp,
    resource,
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
    assert len({rule.id for rule in ALL}) == len(ALL)
    assert len({rule.name for rule in ALL}) == len(ALL)
    assert all(
        rule.title and rule.why and rule.remediation and rule.source and rule.question.startswith("whether")
        for rule in ALL
    )


def test_every_finding_carries_a_path_a_way_out_and_the_code_of_its_rule() -> None:
    for rule in ALL:
        for finding in judged(guide(), rule.id):
            assert finding.code == rule.id
            assert finding.path
            assert finding.remedy


def test_a_broken_rule_stops_with_its_name_and_no_trace() -> None:
    def broken(*_: Any) -> list[Any]:
        raise KeyError(CANARY)

    rule = replace(ALL[0], id="SZ-99", check=broken, across=broken)
    about = resource(guide())
    ((_, across),) = rule.over(Inventory((about,)), Settings())
    for finding in (*rule.about(about, Settings()), across):
        assert finding.message == "internal error in rule SZ-99 (KeyError)"
        assert finding.nature is Nature.INTERNAL
        assert CANARY not in str(finding)
