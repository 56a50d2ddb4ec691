"""Stacks on EKS for tests: what their programs register, by a recorder in place of the engine."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LONG = "a-name-that-is-as-long-as-may-be"
DEPLOYER = "arn:aws:iam::123456789012:role/deployer"

EKS = {
    "account": "123456789012",
    "region": "us-east-1",
    "zones": ["us-east-1a", "us-east-1b"],
    "administrators": [DEPLOYER],
    "callers": ["198.51.100.0/24"],
}
SERVICE = {
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "context": 4096,
    "concurrency": 2,
    "replicas": 3,
    "pool": "l40s",
    "weights": "files",
}
L40S = {"accelerators": ["nvidia-l40s"], "machine_types": ["g6e.xlarge"], "max_nodes": 4}
LARGE = {
    "model": "meta-llama/Llama-3.1-405B-Instruct",
    "quantization": "bf16",
    "context": 8192,
    "concurrency": 4,
    "tensor_parallel": 8,
    "pipeline_parallel": 2,
    "weights": "files",
    "pool": "h100",
}
H100 = {"accelerators": ["nvidia-h100-80gb"], "max_nodes": 2, "zones": ["us-east-1a"]}
BLOCK = {"name": "cr-0123456789abcdef0", "machine_type": "p5.48xlarge", "zones": ["us-east-1a"], "block": True}
NETWORK = {
    "vpc": "vpc-0123456789abcdef0",
    "subnets": {"us-east-1a": "subnet-0123456789abcdef0", "us-east-1b": "subnet-0123456789abcdef1"},
}

WEIGHTS = {"files": {"kind": "bucket"}, "hub": {"kind": "hub"}}


def stack(
    pools: Mapping[str, Any], services: Mapping[str, Any], cluster: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    used = {each["weights"] for each in services.values()}
    return {
        "target": {"kind": "eks", "namespace": "models", "eks": {**EKS, **(cluster or {})}},
        "defaults": {"owner": "platform", "billing": {"cost-center": "research"}},
        "pools": dict(pools),
        "weights": {name: each for name, each in WEIGHTS.items() if name in used},
        "services": dict(services),
    }


def found_one() -> dict[str, Any]:
    made = stack({"l40s": L40S}, {"chat": SERVICE})
    kept = {key: EKS[key] for key in ("account", "region", "zones")}
    made["target"]["eks"] = {**kept, "cluster": "theirs", "network": NETWORK, "device_plugin": False}
    return made


SPOT = {**L40S, "capacity": ["on-demand", "spot"], "floor": 1}
CASES = {
    "spot": stack({"l40s": SPOT}, {LONG: SERVICE}),
    "together": stack({"h100": {**H100, "capacity": ["on-demand"]}}, {"large": LARGE}),
    "nodes-by-karpenter": stack(
        {"h100": {**H100, "capacity": ["on-demand"]}},
        {"large": LARGE},
        {"provisioner": "karpenter", "network": NETWORK},
    ),
    "plugin-of-others": stack({"h100": {**H100, "capacity": ["on-demand"]}}, {"large": LARGE}, {"efa_plugin": False}),
    "block": stack({"h100": {**H100, "capacity": ["reservation"], "reservation": BLOCK}}, {"large": LARGE}),
    "karpenter": stack({"l40s": SPOT}, {"chat": SERVICE}, {"provisioner": "karpenter", "network": NETWORK}),
    "scaled": stack({LONG: SPOT}, {"chat": {**SERVICE, "pool": LONG}}, {"provisioner": "cluster-autoscaler"}),
    "theirs": found_one(),
}


class Recorded:
    """Registrations of one program."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries

    def all(self, type_: str) -> dict[str, dict[str, Any]]:
        """Those of a type, by name."""
        return {each["name"]: each for each in self._entries if each["type"] == type_}

    @property
    def types(self) -> list[str]:
        """Every type, as often as it is registered."""
        return [each["type"] for each in self._entries]

    def inputs(self, type_: str, name: str) -> dict[str, Any]:
        return self.all(type_)[name]["inputs"]


def record(folder: Path, *names: str) -> dict[str, Recorded]:
    """Registrations of cases, by name; their stack files are written to a folder."""
    return recorded(folder, {name: CASES[name] for name in names})


def recorded(folder: Path, stacks: Mapping[str, Mapping[str, Any]]) -> dict[str, Recorded]:
    """The same of any stacks."""
    files: list[str] = []
    for name, keys in stacks.items():
        config = {f"modelberth:{key}": copy.deepcopy(value) for key, value in keys.items()}
        files.append(str(folder / f"Pulumi.{name}.yaml"))
        Path(files[-1]).write_text(yaml.safe_dump({"config": config}))
    program = Path(__file__).with_name("record.py")
    done = subprocess.run([sys.executable, str(program), *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(stacks, map(Recorded, json.loads(done.stdout)), strict=True))
