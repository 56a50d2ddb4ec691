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
WIDE = {
    "target": {"kind": "existing"},
    "services": {"chat": {"model": "meta-llama/Llama-3.1-70B-Instruct", "context": 8192, "concurrency": 8}},
}
"""No pool, no accelerator named: every GPU machine of the catalog is tried."""

CALL_TARGET_MS = 5.0
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
    local, wide = stackfiles.read(STACK).spec, stack(WIDE)
    for title, name, spec in (
        ("plan() of chat, local stack", "chat", local),
        ("plan() of draft, local stack", "draft", local),
        ("plan() over every GPU machine", "chat", wide),
    ):
        took = seconds(partial(plan, name, spec), 200)
        show(title, [1000 * each for each in took], "ms", CALL_TARGET_MS)
    show("modelberth plan STACK --json", seconds(command, 5), "s ", PROCESS_TARGET_S)


if __name__ == "__main__":
    main()
