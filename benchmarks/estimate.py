"""How long `modelberth estimate --jsonl` takes for 1,000 rows, as a whole process. Prints the figure and its target."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from itertools import cycle, islice, product
from pathlib import Path

from modelberth.catalog import catalog

ROWS = 1000
RUNS = 5
TARGET_S = 2.0
SERVED = {"context": 8192, "batch": 16, "input_tokens": 1024, "output_tokens": 512}


def lines() -> str:
    """Rows over every model of the catalog, on three cards and two engines, with memory and speed asked for."""
    servers = product(("nvidia-h100-80gb", "nvidia-b200", "nvidia-l40s"), ("vllm", "sglang"), (1, 2, 4, 8))
    rows = zip(range(ROWS), cycle(catalog().models()), cycle(servers), strict=False)
    return "".join(
        json.dumps({"id": place, "model": model.id, "gpu": gpu, "engine": engine, "tensor_parallel": tp, **SERVED})
        + "\n"
        for place, model, (gpu, engine, tp) in islice(rows, ROWS)
    )


def run(rows: str) -> float:
    """Seconds of one process, with compiled modules as an installation has them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = Path(sys.executable).with_name("modelberth")
    started = time.perf_counter()
    done = subprocess.run(
        [program, "estimate", "--jsonl"], input=rows, env=environment, capture_output=True, text=True, check=True
    )
    took = time.perf_counter() - started
    if (count := len(done.stdout.splitlines())) != ROWS:
        sys.exit(f"{count} answers to {ROWS} rows")
    return took


def main() -> None:
    """Print best and median of several runs."""
    rows = lines()
    run(rows)
    found = [run(rows) for _ in range(RUNS)]
    best, median = min(found), statistics.median(found)
    print(f"estimate --jsonl, {ROWS:,} rows    best {best:6.2f} s   median {median:6.2f} s   target {TARGET_S:g} s")


if __name__ == "__main__":
    main()
