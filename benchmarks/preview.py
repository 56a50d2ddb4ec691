"""How long a preview of a cloud's stack takes, beside that of the same resources written by hand.

The plain program is written from what the stack registers: every resource by its SDK's class, with plain values and no
component. Both run in turn, in the same folder of stand-ins, and print the same number of resources to create.

python benchmarks/preview.py [STACK] [TIMES]
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.providers import homes  # noqa: E402 (the folder is found first)
from toolchain import engine  # noqa: E402

TARGET = 1.1
SUPPORTED = ("gcp:", "aws:", "kubernetes:")
MADE = re.compile(r"\+ (\d+) to create")
HEAD = """import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

Options = pulumi.ResourceOptions
google = gcp.Provider("google", project="example-dev", region="us-central1")
amazon = aws.Provider("amazon", region="us-east-1")
cluster = kubernetes.Provider("cluster", kubeconfig="{}", enable_server_side_apply=True)
"""
PROVIDERS = {"gcp": "google", "aws": "amazon", "kubernetes": "cluster"}


def recorded(stack_file: Path) -> list[dict[str, Any]]:
    """Every resource that a stack registers, components and providers left out."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "components" / "record.py", stack_file],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    (found,) = json.loads(done.stdout)
    return [each for each in found if each["type"].startswith(SUPPORTED)]


def program(registrations: list[dict[str, Any]]) -> str:
    """The plain program."""
    used = {each["type"].partition(":")[0] for each in registrations}
    head = [line for line in HEAD.splitlines() if not (word := _package(line)) or word in used]
    return "\n".join([*head, "", *map(_call, registrations)]) + "\n"


def _package(line: str) -> str:
    found = re.search(r"pulumi_(\w+)|= (gcp|aws|kubernetes)\.Provider", line)
    return (found[1] or found[2]) if found else ""


def _call(each: dict[str, Any]) -> str:
    package, module, name = each["type"].split(":")
    inputs = dict(each["inputs"])
    api = f"{inputs.pop('apiVersion', '')}:{inputs.pop('kind', '')}" if package == "kubernetes" else ""
    path = f"{package}.{_module(package, module)}.{name}"
    given = [f"{_snake(key)}={value!r}" for key, value in sorted(inputs.items())]
    if package == "kubernetes" and not hasattr_path(path):
        version, _, kind = api.rpartition(":")
        path, given = "kubernetes.apiextensions.CustomResource", [f"api_version={version!r}", f"kind={kind!r}", *given]
    return f"{path}({each['name']!r}, {', '.join([*given, f'opts=Options(provider={PROVIDERS[package]})'])})"


def _module(package: str, module: str) -> str:
    if package == "kubernetes":
        group, _, version = module.partition("/")
        return f"{group.removesuffix('.k8s.io').split('.')[0]}.{version}"
    return module.partition("/")[0]


def hasattr_path(path: str) -> bool:
    """Whether the installed SDK has a class."""
    import pulumi_kubernetes

    found: Any = pulumi_kubernetes
    for word in path.split(".")[1:]:
        found = getattr(found, word, None)
    return found is not None


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def projects(stack: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Both programs, each a project of its own."""
    stack_file = ROOT / "stacks" / f"Pulumi.{stack}.yaml"
    for name in ("components", "by hand"):
        root = folder / name.replace(" ", "-")
        (root / "stacks").mkdir(parents=True)
        shutil.copy(ROOT / "Pulumi.yaml", root)
        (root / ".venv").symlink_to(Path(sys.executable).parent.parent)
        if name == "components":
            shutil.copy(ROOT / "__main__.py", root)
            shutil.copy(stack_file, root / "stacks")
            shutil.copy(stack_file.with_name(f"{stack}.plan.yaml"), root / "stacks")
            shutil.copy(stack_file.with_name("base.yaml"), root / "stacks")
        else:
            (root / "__main__.py").write_text(program(recorded(stack_file)))
            (root / "stacks" / stack_file.name).write_text("config: {}\n")
        yield name, root


def preview(stack: str, root: Path) -> tuple[float, int]:
    """Seconds of one preview, and how many resources it would create."""
    state = root / "state"
    variables = homes.environment(root, state, root / "cloud")
    started = time.perf_counter()
    done = engine.run(
        ["preview", "--stack", stack, "--suppress-progress"],
        root=root,
        state=state,
        check=False,
        capture=True,
        variables=variables,
    )
    took = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    made = MADE.search(done.stdout)
    return took, int(made[1]) if made else 0


def main(stack: str = "dev", times: str = "5") -> None:
    """Print both, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        both = dict(projects(stack, Path(folder)))
        counts = {name: preview(stack, root)[1] for name, root in both.items()}  # warms up, and compiles
        found: dict[str, list[float]] = {name: [] for name in both}
        for _ in range(int(times)):
            for name, root in both.items():
                found[name].append(preview(stack, root)[0])
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"{stack}, {name:10}  {counts[name]:3} resources  best {min(seconds):6.2f} s  median {middle:6.2f} s")
    pairs = zip(found["components"], found["by hand"], strict=True)
    ratio = statistics.median(ours / plain for ours, plain in pairs)
    print(f"{stack}, components over by hand, median of {times} pairs: {ratio:.2f}, target {TARGET}")


if __name__ == "__main__":
    main(*sys.argv[1:])
