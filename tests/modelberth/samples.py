"""Small documents and stacks that tests start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelberth import parse
from modelberth.catalog import catalog
from modelberth.engines import Accelerator, Launch, Sizing
from modelberth.findings import Finding, Refused
from modelberth.plan import Plan, plan
from modelberth.spec import StackSpec
from modelberth.units import GIB

ROOT = Path(__file__).resolve().parents[2]
LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
QWEN_7B = "Qwen/Qwen2.5-7B-Instruct"

EKS = {
    "kind": "eks",
    "eks": {
        "region": "eu-central-1",
        "account": "123456789012",
        "zones": ["eu-central-1a", "eu-central-1b"],
        "administrators": ["arn:aws:iam::123456789012:role/deployer"],
    },
}
L4_POOL = {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 2}
CPU_POOL = {"accelerators": ["cpu"], "machine_types": ["c3-standard-8"], "max_nodes": 1}


def document(**fields: Any) -> dict[str, Any]:
    """A bare spec that is good as it stands, with ``fields`` on top."""
    return {"model": LLAMA_8B, "context": 8192, "concurrency": 8} | fields


def stack_document(services: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """The five keys of a stack file, with ``keys`` on top."""
    return {"target": {"kind": "existing"}, "services": services or {"chat": document()}} | keys


def stack_of(*, keys: dict[str, Any] | None = None, **fields: Any) -> StackSpec:
    """A stack with one service called chat."""
    return parse.stack(stack_document({"chat": document(**fields)}, **(keys or {})))


def plan_of(*, keys: dict[str, Any] | None = None, **fields: Any) -> Plan:
    """The plan of one service called chat."""
    return plan("chat", stack_of(keys=keys, **fields))


def refusal(call: Callable[[], object]) -> tuple[Finding, ...]:
    """The findings that ``call`` is refused with."""
    try:
        call()
    except Refused as refused:
        return refused.findings
    raise AssertionError("nothing was refused")


def by_path(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    """The findings by the field that each is about."""
    return {finding.path: finding for finding in findings}


def sizing_on(gpu: str, model: str = LLAMA_8B, **fields: Any) -> Sizing:
    """A memory question to vLLM about a model of the catalog on one GPU."""
    card = catalog().gpu(gpu)
    row = catalog().model(model)
    known: dict[str, Any] = {
        "model": row,
        "engine_version": catalog().engine("vllm").default_version,
        "quantization": row.quantization.value if row.quantization else "bf16",
        "accelerator": Accelerator(card, int(card.visible_memory_gib * GIB)),
        "context": 8192,
        "concurrency": 8,
    }
    return Sizing(**known | fields)


def stack_with(services: dict[str, Any], **keys: Any) -> StackSpec:
    """A stack of several services."""
    return parse.stack(stack_document(services, **keys))


def container(launch: Launch, *, member: bool = False) -> dict[str, Any]:
    """A launch as Kubernetes is given it; ``member`` for the pods of a group that are not its first."""
    named = [{"name": name, "value": value} for name, value in launch.env]
    secret = [
        {"name": each.name, "valueFrom": {"secretKeyRef": {"name": each.ref.secret, "key": each.ref.key}}}
        for each in launch.secret_env
    ]
    started = launch.group if member and launch.group else launch
    made: dict[str, Any] = {"image": launch.image, "args": list(started.args), "env": named + secret}
    return made | ({"command": list(started.command)} if started.command else {})
