"""Kubernetes objects for tests: the smallest that serve a model, with everything about them replaceable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from modelberth.findings import Finding
from modelberth.manifests import Workload, workloads
from modelberth.resources import Resource
from modelberth.rules import ALL
from modelberth.rules.base import Rule, Settings

ROOT = Path(__file__).resolve().parents[2]
LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
QWEN_7B = "Qwen/Qwen2.5-7B-Instruct"
GKE = "cloud.google.com/gke-accelerator"
L4 = {"nodeSelector": {GKE: "nvidia-l4"}}
CONTAINER = "spec.template.spec.containers[0]"
ARGS = f"{CONTAINER}.args"
GPUS = f'{CONTAINER}.resources.limits["nvidia.com/gpu"]'
CANARY = "hf_CANARYcanary0123456789"


def guide() -> dict[str, Any]:
    """The example manifest of a deployment guide."""
    text = (ROOT / "examples" / "guide" / "deployment.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def vllm(*args: Any, gpus: Any = 1, image: Any = "vllm/vllm-openai:v0.33.0", **more: Any) -> dict[str, Any]:
    """A vLLM container; without arguments it serves Llama 3.1 8B at 8,192 tokens."""
    words = list(args) or ["--model", LLAMA_8B, "--max-model-len", "8192"]
    limits = {"resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return {"name": "server", "image": image, "args": words} | limits | more


def sglang(*args: Any, gpus: Any = 1, image: Any = "lmsysorg/sglang:v0.5.23", **more: Any) -> dict[str, Any]:
    """An SGLang container; without arguments it serves Llama 3.1 8B at 8,192 tokens in most of an L4."""
    words = list(args) or ["--model-path", LLAMA_8B, "--context-length", "8192", "--mem-fraction-static", "0.85"]
    command = {"command": ["python3", "-m", "sglang.launch_server"], "args": words}
    return {"name": "server", "image": image, "resources": {"limits": {"nvidia.com/gpu": gpus}}} | command | more


def tgi(*args: Any, gpus: Any = 1, env: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A TGI container, told by arguments or by variables; it serves Llama 3.1 8B at 8,192 tokens."""
    told = {"MODEL_ID": LLAMA_8B, "MAX_TOTAL_TOKENS": "8192", "MAX_BATCH_PREFILL_TOKENS": "4096"} | (env or {})
    named = [{"name": name, "value": value} for name, value in told.items()]
    image = "ghcr.io/huggingface/text-generation-inference:3.3.7"
    limits = {"resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return {"name": "server", "image": image, "args": list(args), "env": named} | limits | more


def llamacpp(*args: Any, memory: Any = "8Gi", gpus: Any = None, **more: Any) -> dict[str, Any]:
    """A llama-server container; without arguments it serves Qwen2.5 7B in 4 bit, two slots of 4,096 tokens."""
    words = list(args) or [*gguf(), "--ctx-size", "8192", "--parallel", "2"]
    limits = {"memory": memory, "nvidia.com/gpu": gpus}
    limits = {name: value for name, value in limits.items() if value is not None}
    image = "ghcr.io/ggml-org/llama.cpp:server-b11434"
    return {"name": "server", "image": image, "args": words, "resources": {"limits": limits}} | more


def ollama(memory: Any = "8Gi", gpus: Any = None, **variables: Any) -> dict[str, Any]:
    """An Ollama container that says by its hook which file of Qwen2.5 7B it serves."""
    limits = {name: value for name, value in {"memory": memory, "nvidia.com/gpu": gpus}.items() if value is not None}
    pull = ["ollama", "pull", "hf.co/bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M"]
    return {
        "name": "server",
        "image": "ollama/ollama:0.34.0",
        "env": [{"name": name, "value": str(value)} for name, value in variables.items()],
        "lifecycle": {"postStart": {"exec": {"command": pull}}},
        "resources": {"limits": limits},
    }


def gguf(name: str = "Qwen2.5-7B-Instruct-Q4_K_M.gguf") -> list[str]:
    return ["--model", f"/weights/{name}", "--alias", QWEN_7B]


def deployment(*containers: Any, kind: str = "Deployment", pod: dict[str, Any] | None = None) -> dict[str, Any]:
    """A Deployment of these containers on L4 nodes."""
    labels = {"app": "server"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": list(containers), **(L4 if pod is None else pod)},
    }
    selector = {"matchLabels": dict(labels)}
    return {"kind": kind, "metadata": {"name": "server"}, "spec": {"selector": selector, "template": template}}


def only(manifest: Any) -> Workload:
    """The one serving container of a manifest."""
    (workload,) = workloads(manifest)
    return workload


SIZED = frozenset({"SZ-01", "SZ-02", "SZ-03", "SZ-04", "SZ-08", "SZ-09", "SZ-10", "SZ-11", "SZ-20", "SZ-21"})
"""Rules that a bare sample is written for; the others have samples of their own."""
_VERSIONS = {"LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1", "Job": "batch/v1", "Pod": "core/v1"}


def resource(manifest: Any) -> Resource:
    """A manifest as a resource of a stack."""
    kind = manifest.get("kind", "") if isinstance(manifest, dict) else ""
    kind = kind if isinstance(kind, str) else ""
    type_ = f"kubernetes:{_VERSIONS.get(kind, 'apps/v1')}:{kind}"
    return Resource(type_, "server", manifest if isinstance(manifest, dict) else {})


def rule(rule_id: str) -> Rule:
    """A rule by its id."""
    return next(each for each in ALL if each.id == rule_id)


def judged(manifest: Any, *rules: str) -> list[Finding]:
    """What rules say about a manifest, by default those about its size, in their order."""
    asked = [each for each in ALL if each.id in (rules or SIZED)]
    about = resource(manifest)
    return [finding for each in asked for finding in each.about(about, Settings(values=each.defaults))]


def findings(manifest: Any, rule: str) -> list[Finding]:
    """What one rule says about a manifest."""
    return judged(manifest, rule)


def codes(manifest: Any) -> list[str]:
    """The rules that speak about a manifest, in their order."""
    return [finding.code for finding in judged(manifest)]
