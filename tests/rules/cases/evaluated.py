"""Examples of the rules about sizing, of our own record, and of what cannot be sized."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import yaml

from modelberth.decision import SIZING_ANNOTATION
from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import LLAMA_8B, ROOT, codes, deployment, guide, llamacpp, vllm

LONGEST = 131_072
"""The context that Llama 3.1 was made for."""
RELEASE = "kubernetes:helm.sh/v3:Release"


def apps(*containers: Any, **more: Any) -> dict[str, Any]:
    """A Deployment of these containers, on L4 nodes."""
    return {"apiVersion": "apps/v1"} | deployment(*containers, **more)


def serving(context: Any, *args: Any, **more: Any) -> dict[str, Any]:
    """Llama 3.1 8B on one L4, by vLLM."""
    return apps(vllm("--model", LLAMA_8B, "--max-model-len", context, *args, **more))


def longest_without(*rules: str) -> int:
    """The longest context of which none of the rules speaks."""
    low, high = 1024, LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if not set(codes(serving(str(middle)))) & set(rules) else (low, middle)
    return low


FITS, SURE = longest_without("SZ-01"), longest_without("SZ-01", "SZ-02")


@cache
def planned() -> str:
    """A workload of our own, with its record."""
    rendered = yaml.safe_load_all((ROOT / "tests" / "golden" / "local" / "resources.yaml").read_text(encoding="utf-8"))
    return json.dumps(next(each["inputs"] for each in rendered if each["name"] == "chat-server"))


def ours(**changes: Any) -> dict[str, Any]:
    """The same, with other values after its flags or in its record."""
    manifest = json.loads(planned())
    arguments = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    for name, value in changes.items():
        if name == "record":
            manifest["metadata"]["annotations"][SIZING_ANNOTATION] = value
        else:
            arguments[arguments.index(f"--{name.replace('_', '-')}") + 1] = value
    return manifest


def group(size: Any, gpus: int = 8) -> dict[str, Any]:
    """Llama 3.1 8B over 16 ranks in a group of pods."""
    worker = {"name": "ray", "image": "x/ray:1", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    leader = vllm("--model", LLAMA_8B, "-tp", "8", "-pp", "2", gpus=gpus)
    templates = {"leaderTemplate": leader, "workerTemplate": worker}
    pods = {name: {"spec": {"containers": [container]}} for name, container in templates.items()}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "large"},
        "spec": {"leaderWorkerTemplate": {"size": size, **pods}},
    }


def bare_pod() -> dict[str, Any]:
    """A pod of its own whose context is too long."""
    spec = copy.deepcopy(serving(str(LONGEST))["spec"]["template"]["spec"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "server"}, "spec": spec}


CASES = (
    Case("SZ-01", "the guide's manifest does not fit", ({"apiVersion": "apps/v1"} | guide(),), "does not fit"),
    Case("SZ-01", "a model on a card that holds it passes", (serving("8192"),)),
    Case("SZ-01", "the longest context that may fit passes", (serving(str(FITS)),), boundary=True),
    Case("SZ-01", "one token more does not fit", (serving(str(FITS + 1)),), "does not fit", boundary=True),
    Case(
        "SZ-01",
        "a stateful set is held to the same",
        (serving(str(LONGEST)) | {"kind": "StatefulSet"},),
        "does not fit",
    ),
    Case("SZ-01", "a bare pod is held to the same", (bare_pod(),), "does not fit"),
    Case(
        "SZ-01",
        "a sidecar in front changes nothing",
        (apps({"name": "proxy", "image": "envoyproxy/envoy:v1.34"}, vllm("--model", LLAMA_8B)),),
        "does not fit",
    ),
    Case(
        "SZ-01", "two slots that a memory limit does not hold", (apps(llamacpp(memory="4Gi"), pod={}),), "does not fit"
    ),
    Case("SZ-02", "the longest context that surely fits passes", (serving(str(SURE)),), boundary=True),
    Case("SZ-02", "one token more may not fit", (serving(str(SURE + 1)),), "may not fit", advice=True, boundary=True),
    Case("SZ-03", "three ranks do not divide 32 heads", (serving("8192", "-tp", "3", gpus=3),), "32 attention heads"),
    Case("SZ-03", "four ranks divide 32 heads", (serving("8192", "-tp", "4", gpus=4),)),
    Case("SZ-04", "two ranks on one GPU", (serving("4096", "-tp", "2"),), "tensor parallel size 2", boundary=True),
    Case("SZ-04", "two ranks on two GPUs pass", (serving("4096", "-tp", "2", gpus="2"),), boundary=True),
    Case("SZ-04", "one rank leaves a second GPU idle", (serving("4096", gpus=2.0),), "requests 2"),
    Case("SZ-04", "a group of pods counts together", (group(2),)),
    Case("SZ-04", "a group of pods that is too large", (group(3),), "the 3 pods of a group request 24"),
    Case("SZ-08", "the model's own maximum passes", (serving(str(LONGEST), "-tp", "2", gpus=2),), boundary=True),
    Case(
        "SZ-08",
        "a token beyond the model's maximum",
        (serving(str(LONGEST + 1), "-tp", "2", gpus=2),),
        "131,073 tokens is more than the 131,072",
        boundary=True,
    ),
    Case("SZ-20", "what was planned passes", (ours(),)),
    Case("SZ-20", "an argument edited by hand", (ours(max_model_len="4096"),), "the record says context_tokens 8192"),
    Case("SZ-20", "a record that is not legible", (ours(record="{"),), "is not legible"),
    Case(
        "SZ-20", "a record that is only known later", (ours(record=UNKNOWN),), "only known after apply", undecided=True
    ),
    Case("SZ-21", "what is plain and known is sized", (serving("8192"),)),
    Case("SZ-21", "a context that is only known later", (serving(UNKNOWN),), "only known after apply", undecided=True),
    Case("SZ-21", "GPUs that are only known later", (serving("8192", gpus=UNKNOWN),), "the GPU count", undecided=True),
    Case(
        "SZ-21",
        "a pod that is only known later",
        (apps(vllm()) | {"spec": {"selector": {"matchLabels": {"app": "server"}}, "template": UNKNOWN}},),
        "only known after apply",
        undecided=True,
    ),
    Case(
        "SZ-21",
        "a release whose chart is named after an engine",
        ((RELEASE, {"chart": "oci://registry.example.com/charts/vllm-stack"}),),
        "no policy sees them",
        undecided=True,
        advice=True,
    ),
    Case(
        "SZ-21",
        "a release whose values name the image of an engine",
        (
            (
                RELEASE,
                {"chart": "./app", "values": {"servers": [{"image": {"repository": "ghcr.io/ggml-org/llama.cpp"}}]}},
            ),
        ),
        "no policy sees them",
        undecided=True,
        advice=True,
    ),
    Case(
        "SZ-21", "a release of something else", ((RELEASE, {"chart": "redis", "values": {"image": "redis/redis:8"}}),)
    ),
)
