"""What the package launches itself passes its own rules, and a single changed value does not."""

from functools import cache
from typing import Any

import pytest

from modelberth import plan as planning
from modelberth import stackfiles
from modelberth.clouds import accelerator_labels
from modelberth.spec import ServiceSpec, StackSpec, Target
from tests.rules.samples import LLAMA_8B, QWEN_7B, ROOT, codes, deployment

SERVICES: dict[str, dict[str, Any]] = {
    "16 bit on one GPU": {"model": LLAMA_8B, "accelerators": ["nvidia-l4"], "concurrency": 2},
    "16 bit on two GPUs": {"model": LLAMA_8B, "accelerators": ["nvidia-l4"], "tensor_parallel": 2},
    "fp8 made when loading": {"model": LLAMA_8B, "accelerators": ["nvidia-l4"], "quantization": "fp8"},
    "awq from a repository of its own": {"model": QWEN_7B, "accelerators": ["nvidia-t4"], "quantization": "awq"},
    "an fp8 cache": {"model": LLAMA_8B, "accelerators": ["nvidia-l4"], "kv_cache_dtype": "fp8"},
    "GGUF on CPUs": {"model": QWEN_7B, "accelerators": ["cpu"], "quantization": "q4_k_m"},
    "GGUF on a GPU": {"model": QWEN_7B, "accelerators": ["nvidia-t4"], "quantization": "q4_k_m"},
    "GGUF with a small cache": {
        "model": QWEN_7B,
        "accelerators": ["cpu"],
        "quantization": "q4_k_m",
        "kv_cache_dtype": "q8_0",
    },
    "SGLang on two GPUs": {"model": LLAMA_8B, "engine": "sglang", "accelerators": ["nvidia-l4"], "tensor_parallel": 2},
    "SGLang with fp8 made when loading": {
        "model": LLAMA_8B,
        "engine": "sglang",
        "accelerators": ["nvidia-l4"],
        "quantization": "fp8",
    },
    "TGI on two GPUs": {"model": LLAMA_8B, "engine": "tgi", "accelerators": ["nvidia-a10g"], "tensor_parallel": 2},
    "TGI with awq": {"model": QWEN_7B, "engine": "tgi", "accelerators": ["nvidia-l4"], "quantization": "awq"},
    "70B on 80 GB cards": {"model": "meta-llama/Llama-3.1-70B-Instruct", "accelerators": ["nvidia-a100-80gb"]},
}


def rendered(plan: planning.Plan) -> dict[str, Any]:
    """The parts of the workload that rules read, as the component renders them."""
    decision, launch = plan.decision, plan.launch
    limits: dict[str, Any] = {"memory": f"{decision.host.memory_mib}Mi"}
    labels: dict[str, str] = {"node.kubernetes.io/instance-type": decision.machine_type}
    if decision.on_gpu:
        limits["nvidia.com/gpu"] = float(decision.gpus_per_replica)
        labels = accelerator_labels(decision.accelerator, "gcp") or labels
    container = {
        "name": "server",
        "image": launch.image,
        "command": list(launch.command),
        "args": list(launch.args),
        "env": [{"name": name, "value": value} for name, value in launch.env],
        "resources": {"limits": limits},
    }
    return deployment(container, pod={"nodeSelector": labels})


@cache
def planned(case: str) -> planning.Plan:
    spec = ServiceSpec.model_validate({"context": 8192, "concurrency": 4} | SERVICES[case])
    return planning.plan("chat", StackSpec(target=Target(kind="existing"), services={"chat": spec}))


@pytest.mark.parametrize("case", SERVICES)
def test_what_was_planned_passes(case: str) -> None:
    assert codes(rendered(planned(case))) == []


def test_the_services_of_the_default_stack_pass() -> None:
    stack = stackfiles.read(ROOT / "stacks" / "Pulumi.local.yaml").spec
    assert [codes(rendered(planning.plan(name, stack))) for name in stack.services] == [[] for _ in stack.services]


def changed(manifest: dict[str, Any], flag: str, value: str) -> dict[str, Any]:
    args = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    args[args.index(flag) + 1] = value
    return manifest


@pytest.mark.parametrize(
    ("flag", "value", "caught_by"),
    [
        ("--max-model-len", "131072", ["SZ-01"]),
        ("--max-model-len", "131073", ["SZ-01", "SZ-08"]),
        ("--tensor-parallel-size", "2", ["SZ-04"]),
        ("--tensor-parallel-size", "3", ["SZ-03", "SZ-04"]),
        ("--gpu-memory-utilization", "0.7", ["SZ-01"]),
        ("--max-num-seqs", "100000", ["SZ-01"]),
    ],
)
def test_one_changed_argument_is_caught_by_exactly_the_rules_it_breaks(
    flag: str, value: str, caught_by: list[str]
) -> None:
    assert codes(changed(rendered(planned("16 bit on one GPU")), flag, value)) == caught_by


def test_a_smaller_card_is_caught() -> None:
    manifest = rendered(planned("16 bit on one GPU"))
    manifest["spec"]["template"]["spec"]["nodeSelector"] = accelerator_labels("nvidia-t4", "gcp")
    assert codes(manifest) == ["SZ-09"]


@pytest.mark.parametrize(("less_mib", "caught_by"), [(0, []), (257, ["SZ-02"]), (4096, ["SZ-01"])])
def test_a_smaller_memory_limit_is_advised_against_and_a_much_smaller_one_is_caught(
    less_mib: int, caught_by: list[str]
) -> None:
    manifest = rendered(planned("GGUF on CPUs"))
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    megabytes = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    container["resources"]["limits"]["memory"] = f"{megabytes - less_mib}Mi"
    assert codes(manifest) == caught_by
