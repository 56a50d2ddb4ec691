"""Every refusal that an engine is known for is predicted by the rule that owns it, and stops."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from modelberth.policyfile import PolicyFile
from modelberth.rules.base import Enforcement
from modelberth.verdicts import judge
from tests.rules.samples import GKE, ROOT, deployment, llamacpp, resource, sglang, tgi, vllm

REFUSALS: list[dict[str, Any]] = yaml.safe_load(
    (ROOT / "tests" / "rules" / "refusals.yaml").read_text(encoding="utf-8")
)
IMAGES = {
    "llamacpp": "ghcr.io/ggml-org/llama.cpp:server-{}",
    "sglang": "lmsysorg/sglang:v{}",
    "tgi": "ghcr.io/huggingface/text-generation-inference:{}",
    "vllm": "vllm/vllm-openai:v{}",
}
CONTAINERS = {"llamacpp": llamacpp, "sglang": sglang, "tgi": tgi, "vllm": vllm}


def manifest(refusal: dict[str, Any]) -> dict[str, Any]:
    """The Deployment whose engine would say so."""
    engine = refusal["engine"]
    more: dict[str, Any] = {} if engine == "llamacpp" else {"gpus": refusal.get("gpus", 1)}
    container = CONTAINERS[engine](*refusal["arguments"], **more)
    image = IMAGES[engine].format(refusal["version"])
    pod = {} if engine == "llamacpp" else {"nodeSelector": {GKE: refusal.get("gpu", "nvidia-l4")}}
    return deployment(container | {"image": image}, pod=pod)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: f"{each['engine']}-{each['message'][:60]}")
def test_it_is_predicted_by_its_rule(refusal: dict[str, Any]) -> None:
    verdicts = judge(resource(manifest(refusal)), PolicyFile())
    about = [verdict for verdict in verdicts if verdict.rule.id == refusal["rule"]]
    said = [verdict for verdict in about if refusal["says"] in str(verdict.finding)]
    assert said, [str(verdict.finding) for verdict in verdicts]
    assert said[0].enforcement is Enforcement.MANDATORY


def test_every_refusal_says_where_it_comes_from() -> None:
    required = {"engine", "version", "message", "source", "arguments", "rule", "says"}
    for refusal in REFUSALS:
        assert required <= refusal.keys() <= required | {"gpu", "gpus", "judge"}, refusal["message"]
        assert refusal.get("judge") in (None, "parser", "server")
    assert len({(each["engine"], each["message"]) for each in REFUSALS}) == len(REFUSALS)
