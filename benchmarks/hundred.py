"""A hundred services on one stack: how long planning takes, and a preview by the engine. Prints figures and targets.

Once on a cluster that exists and once on one of a cloud, which stand-ins play. The previews are left out where the
engine is not built.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from modelberth import report
from modelberth.lock import Locked, settle
from modelberth.parse import stack
from tests.providers import homes
from toolchain import build, cluster, engine

ROOT = Path(__file__).resolve().parents[1]
SERVICES = 100
TARGET_CPU_S = 1.0
RUNS = 5
PREVIEW_TIMEOUT_S = 500
STACK = "hundred"
NODES = ROOT / "toolchain" / "clusters" / "local.yaml"
MODEL = "Qwen/Qwen2.5-7B-Instruct"
ON_GPU: dict[str, Any] = {"model": MODEL, "context": 8192, "concurrency": 8, "typical_tokens": 3000, "pool": "l4"}
ON_CPU: dict[str, Any] = {
    "model": MODEL,
    "engine": "llamacpp",
    "quantization": "q4_k_m",
    "context": 8192,
    "concurrency": 4,
    "pool": "cpu",
}
TARGETS: dict[str, dict[str, Any]] = {
    "existing": {"kind": "existing", "node_labels": "gcp", "storage_class": "simulated", "preflight": False},
    "gke": {
        "kind": "gke",
        "gke": {
            "project": "example-dev",
            "project_number": "123456789012",
            "region": "us-central1",
            "zones": ["us-central1-a", "us-central1-b"],
        },
    },
}
MEASURED = '''"""The program of this project, which writes the most memory that its process had, in KiB."""
import atexit
import resource
from pathlib import Path

atexit.register(lambda: Path({file!r}).write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))
'''


def keys(target: str, services: int) -> dict[str, Any]:
    """The keys of a stack with so many services: nine of ten on L4s, the tenth on CPUs."""
    on_cpu = services // 10
    every = {f"chat-{each:03}": ON_GPU for each in range(services - on_cpu)}
    every |= {f"draft-{each:03}": ON_CPU for each in range(on_cpu)}
    return {
        "target": TARGETS[target] | {"namespace": "hundred"},
        "defaults": {"profile": "dev", "owner": "platform"},
        "pools": {
            "l4": {
                "accelerators": ["nvidia-l4"],
                "machine_types": ["g2-standard-8"],
                "max_nodes": services - on_cpu,
            },
            "cpu": {"accelerators": ["cpu"], "machine_types": ["c3-standard-8"], "max_nodes": max(1, on_cpu)},
        },
        "services": every,
    }


def planned(target: str) -> None:
    """Processor seconds from the keys to the plans of all services, and until they are told."""
    found: list[tuple[float, float]] = []
    for _ in range(RUNS + 1):
        begun = time.process_time()
        settled = settle(stack(keys(target, SERVICES)), Locked({}))
        between = time.process_time()
        report.as_json(settled)
        report.as_text(settled)
        found.append((between - begun, time.process_time() - between))
    first, rest = found[0], found[1:]
    best, told = min(each for each, _ in rest), min(each for _, each in rest)
    figures = f"first {first[0]:5.2f} s   best {best:5.2f} s   told {told:5.2f} s   target {TARGET_CPU_S:g} s"
    print(f"{SERVICES} services on {target:9} plan: {figures} of one processor")


def previewed(target: str, root: Path, kubeconfig: Path) -> None:
    """One preview: resources, URNs, seconds, and the most memory of the program."""
    written, memory = keys(target, SERVICES), root / "memory"
    if target == "existing":
        written["target"]["kubeconfig"] = str(kubeconfig)
    program = MEASURED.format(file=str(memory)) + (ROOT / "__main__.py").read_text(encoding="utf-8")
    (root / "stacks").mkdir(parents=True)
    (root / "__main__.py").write_text(program, encoding="utf-8")
    (root / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (root / ".venv").symlink_to(Path(sys.prefix))
    text = yaml.safe_dump({"config": {f"modelberth:{key}": each for key, each in written.items()}})
    (root / "stacks" / f"Pulumi.{STACK}.yaml").write_text(text, encoding="utf-8")
    state = root / ".state"
    variables = homes.environment(root, state, root / "cloud", kubeconfig) if target != "existing" else None
    begun = time.perf_counter()
    done = engine.run(
        ["preview", "--json", "--stack", STACK],
        root=root,
        state=state,
        check=False,
        capture=True,
        timeout_s=PREVIEW_TIMEOUT_S,
        variables=variables,
    )
    took = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"the preview on {target} ended with {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}")
    urns = [step["urn"] for step in json.loads(done.stdout)["steps"]]
    if len(set(urns)) < len(urns):
        sys.exit(f"{len(urns) - len(set(urns))} URNs are there twice")
    most = int(memory.read_text()) / 1024
    print(
        f"{SERVICES} services on {target:9} preview: {len(urns):,} resources, each URN once   {took:5.1f} s   "
        f"program {most:,.0f} MiB at most"
    )


def main() -> None:
    """Plans, then previews."""
    for target in TARGETS:
        planned(target)
    try:
        build.require("engine", "kubernetes-provider")
    except build.BuildError as error:
        print(f"previews: left out, {error}")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kubeconfig = cluster.up(folder / "cluster", NODES).kubeconfig
        try:
            for target in TARGETS:
                previewed(target, folder / target, kubeconfig)
        finally:
            cluster.down(folder / "cluster", purge=True)


if __name__ == "__main__":
    main()
