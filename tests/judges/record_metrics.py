"""Records pages of metrics from a real llama-server: idle, and with more requests than slots.

python -m tests.judges.record_metrics writes them to tests/data/metrics; they are committed.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.judges.test_llama_memory import BUILD, free_port
from tests.judges.tiny_models import LLAMA, make
from toolchain import judges

PAGES = Path(__file__).resolve().parents[1] / "data" / "metrics"
SLOTS, REQUESTS = 2, 8
START_S, LOAD_S = 60.0, 120.0


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LOAD_S) as answer:
        return answer.read().decode()


def ask(base: str) -> None:
    wanted = {"prompt": "one two three", "n_predict": 200, "ignore_eos": True}
    request = urllib.request.Request(f"{base}/completion", json.dumps(wanted).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=LOAD_S) as answer:
        answer.read()


def record() -> dict[str, str]:
    """Pages by name."""
    with tempfile.TemporaryDirectory() as folder:
        model, port = Path(folder, "tiny.gguf"), free_port()
        make(LLAMA, model)
        base = f"http://127.0.0.1:{port}"
        words = ["--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--metrics", "--threads", "1"]
        words += ["--parallel", str(SLOTS), "--ctx-size", str(1024 * SLOTS), "--cache-ram", "0"]
        server = subprocess.Popen(
            [str(judges.llama_server()), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _ready(base)
            ask(base)
            idle = get(f"{base}/metrics")
            threads = [threading.Thread(target=ask, args=(base,), daemon=True) for _ in range(REQUESTS)]
            for thread in threads:
                thread.start()
            busy = _full(base)
            for thread in threads:
                thread.join(LOAD_S)
        finally:
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
            time.sleep(0.1)
    raise TimeoutError("llama-server was not ready")


def _full(base: str) -> str:
    """The page at a moment when every slot is taken and requests wait."""
    until = time.monotonic() + LOAD_S
    while time.monotonic() < until:
        page = get(f"{base}/metrics")
        waiting = re.search(r"^llamacpp:requests_deferred (\d+)", page, re.MULTILINE)
        if waiting and int(waiting[1]) > SLOTS:
            return page
        time.sleep(0.1)
    raise TimeoutError("no request ever waited")


if __name__ == "__main__":
    for name, page in record().items():
        path = PAGES / f"llamacpp-{BUILD}-{name}.prom"
        path.write_text(f"# recorded from llama-server {BUILD}, a model made for tests, {SLOTS} slots\n{page}")
        print(path.name)
