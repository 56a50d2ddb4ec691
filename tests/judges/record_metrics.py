"""Records pages of metrics from real servers: idle, and with more requests than they hold at once.

python -m tests.judges.record_metrics [llamacpp] [vllm] writes them to tests/data/metrics; they are committed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.judges.test_llama_memory import BUILD
from tests.judges.tiny_models import LLAMA, make
from tests.ports import free_port
from toolchain import inference, judges

PAGES = Path(__file__).resolve().parents[1] / "data" / "metrics"
TINY = Path(__file__).resolve().parents[1] / "live" / "tiny_hf.py"
SLOTS, REQUESTS = 2, 12
START_S, LOAD_S = 300.0, 120.0


@dataclass(frozen=True)
class Recorded:
    """One engine: how it is started over a model in ``folder``, what it is asked, and where requests that wait show."""

    version: str
    command: Callable[[Path, int], list[str]]
    environment: dict[str, str]
    path: str
    body: dict[str, object]
    waiting: str


def _llama(folder: Path, port: int) -> list[str]:
    make(LLAMA, folder / "tiny.gguf")
    words = ["--model", str(folder / "tiny.gguf"), "--host", "127.0.0.1", "--port", str(port), "--metrics"]
    words += ["--threads", "1", "--parallel", str(SLOTS), "--ctx-size", str(1024 * SLOTS), "--cache-ram", "0"]
    return [str(judges.llama_server()), *words]


def _vllm(folder: Path, port: int) -> list[str]:
    done = judges.run(str(inference.server_python()), str(TINY), str(folder))
    assert done.returncode == 0, done.stderr
    words = [str(folder), "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--max-num-seqs", str(SLOTS), "--max-model-len", "2048", "--enforce-eager"]
    return [*inference.server(), *words, "--gpu-memory-utilization", "0.1"]


ENGINES = {
    "llamacpp": Recorded(
        version=BUILD,
        command=_llama,
        environment={},
        path="/completion",
        body={"prompt": "one two three", "n_predict": 200, "ignore_eos": True},
        waiting="llamacpp:requests_deferred",
    ),
    "vllm": Recorded(
        version=inference.VLLM_SERVER,
        command=_vllm,
        environment={
            "GLOO_SOCKET_IFNAME": "lo",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_HOST_IP": "127.0.0.1",
            "VLLM_NO_USAGE_STATS": "1",
        },
        path="/v1/completions",
        body={"model": "tiny", "prompt": "one two three", "max_tokens": 500, "ignore_eos": True},
        waiting="vllm:num_requests_waiting",
    ),
}


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LOAD_S) as answer:
        return answer.read().decode()


def ask(base: str, engine: Recorded) -> None:
    request = urllib.request.Request(f"{base}{engine.path}", json.dumps(engine.body).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=LOAD_S) as answer:
        answer.read()


def record(engine: Recorded) -> dict[str, str]:
    """Pages by state."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        server = subprocess.Popen(
            engine.command(Path(folder), port),
            env=kept | engine.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _ready(base)
            ask(base, engine)
            idle = get(f"{base}/metrics")
            threads = [threading.Thread(target=ask, args=(base, engine), daemon=True) for _ in range(REQUESTS)]
            for thread in threads:
                thread.start()
            busy = _full(base, engine.waiting, threads)
            for thread in threads:
                thread.join(LOAD_S)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    return {"idle": idle, "busy": busy}


def _ready(base: str) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            get(f"{base}/health")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise TimeoutError("the server was not ready")


def _full(base: str, waiting: str, requests: Sequence[threading.Thread]) -> str:
    """The page at a moment when some requests are finished and more wait than are served."""
    until = time.monotonic() + LOAD_S
    while time.monotonic() < until:
        page = get(f"{base}/metrics")
        found = re.search(rf"^{waiting}(?:{{.*}})? ([0-9.]+)$", page, re.MULTILINE)
        finished = sum(not each.is_alive() for each in requests)
        if finished >= SLOTS and found and float(found[1]) > SLOTS:
            return page
        time.sleep(0.1)
    raise TimeoutError("no request ever waited")


if __name__ == "__main__":
    for name in sys.argv[1:] or list(ENGINES):
        version = ENGINES[name].version
        for state, text in record(ENGINES[name]).items():
            path = PAGES / f"{name}-{version}-{state}.prom"
            path.write_text(
                f"# recorded from {name} {version}, a model made for tests, {SLOTS} requests at once\n{text}"
            )
            print(path.name)
