"""How long a plan takes: `plan()` by itself, and the whole command as a process. Prints figures and targets."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from modelberth import stackfiles
from modelberth.parse import stack
from modelberth.plan import plan

ROOT = Path(__file__).resolve().parents[1]
STACK = ROOT / "stacks" / "Pulumi.local.yaml"
TRAFFIC = {"input_tokens": 1000, "output_tokens": 300}
WIDE: dict[str, dict[str, object]] = {
    "70B dense": {"model": "meta-llama/Llama-3.1-70B-Instruct"},
    "70B dense, by token": {
        "model": "meta-llama/Llama-3.1-70B-Instruct",
        "objective": "cost_per_token",
        "traffic": TRAFFIC,
    },
    "671B experts": {"model": "deepseek-ai/DeepSeek-V3"},
    "397B hybrid": {"model": "Qwen/Qwen3.5-397B-A17B"},
    "7B GGUF, CPUs too": {"model": "Qwen/Qwen2.5-7B-Instruct", "quantization": "q4_k_m"},
}
"""No pool, no accelerator named: every machine of the catalog is tried."""

LOCAL_TARGET_MS = 5.0
CATALOG_TARGET_MS = 50.0
PROCESS_TARGET_S = 0.5


def seconds(call: Callable[[], object], times: int) -> list[float]:
    """Wall-clock seconds of each of ``times`` calls, after one that warms up."""
    call()
    found: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found


def command() -> None:
    """`modelberth plan STACK --json` as a process of its own, with compiled modules as an installation has them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = Path(sys.executable).with_name("modelberth")
    subprocess.run([program, "plan", STACK, "--json"], env=environment, stdout=subprocess.DEVNULL, check=True)


def show(title: str, found: list[float], unit: str, target: float) -> None:
    """One line: best, median, target."""
    best, median = min(found), statistics.median(found)
    print(f"{title:32}  best {best:6.2f} {unit}  median {median:6.2f} {unit}  target {target:g} {unit}")


def main() -> None:
    """Print best and median of each figure."""
    local = stackfiles.read(STACK).spec
    for name in local.services:
        took = seconds(partial(plan, name, local), 200)
        show(f"plan() of {name}, local stack", [1000 * each for each in took], "ms", LOCAL_TARGET_MS)
    for title, fields in WIDE.items():
        service = {"context": 8192, "concurrency": 8} | fields
        spec = stack({"target": {"kind": "existing"}, "services": {"chat": service}})
        took = seconds(partial(plan, "chat", spec), 50)
        show(f"catalog: {title}", [1000 * each for each in took], "ms", CATALOG_TARGET_MS)
    show("modelberth plan STACK --json", seconds(command, 5), "s ", PROCESS_TARGET_S)


if __name__ == "__main__":
    main()
