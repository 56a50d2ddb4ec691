"""A real Ollama, with a real llama-server beside it, on the store that our download makes and with our variables.

The volume is read-only while it serves, as in the pod.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelberth.engines import Fetch, Probe
from modelberth.engines.base import WEIGHTS_MOUNT
from modelberth.plan import Plan
from tests.hub import Hub, serving
from tests.judges.tiny_models import LLAMA, make
from tests.modelberth.samples import QWEN_7B, plan_of
from tests.ports import free_port
from tests.proofs import SERVER, claims
from toolchain import build, judges

pytestmark = pytest.mark.engine
proves = claims("ollama", build.PARTS["ollama"].version, SERVER)

PLAN: dict[str, Any] = {
    "model": QWEN_7B,
    "engine": "ollama",
    "accelerators": ["cpu"],
    "context": 2048,
    "concurrency": 2,
    "kv_cache_dtype": "q8_0",
}
LIMIT_S = 120


@dataclass(frozen=True)
class Served:
    """A running server: its plan, address, environment and log."""

    plan: Plan
    address: str
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes]

    def probe(self, asked: Probe, **env: str) -> subprocess.CompletedProcess[str]:
        """A probe's command as the kubelet would run it in the container."""
        return subprocess.run(
            list(asked.command), env=self.env | env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip

    def loaded(self) -> str:
        """What `ollama ps` lists."""
        return subprocess.run(["ollama", "ps"], env=self.env, capture_output=True, text=True, check=True).stdout

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer to a request."""
        request = urllib.request.Request(f"http://{self.address}{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return json.load(answer)


def filled(fetch: Fetch, volume: Path, work: Path) -> None:
    """Run a download script against a hub on loopback."""
    env = dict(fetch.env)
    made = work / "hub" / env["FILE"]
    made.parent.mkdir(parents=True)
    make(LLAMA, made)
    script = fetch.script.replace(WEIGHTS_MOUNT, str(volume))
    held = Hub(repository=env["REPOSITORY"], commit=env["REVISION"], files={env["FILE"]: made.read_bytes()})
    with serving(held) as hub:
        moved = env | {"HF_ENDPOINT": hub.address, "HOME": str(work), "PATH": os.environ["PATH"]}
        subprocess.run(["sh", "-c", script], env=moved, check=True, timeout=LIMIT_S, capture_output=True)


def read_only(folder: Path, mode: int) -> None:
    for each in (folder, *folder.rglob("*")):
        each.chmod(mode if each.is_dir() else mode & 0o666)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    work, volume = tmp_path_factory.mktemp("ollama"), tmp_path_factory.mktemp("weights")
    plan = plan_of(**PLAN)
    filled(plan.launch.fetch[0], volume, work)
    # Ollama looks for llama-server in lib/ollama beside bin.
    (work / "bin").mkdir()
    (work / "lib").mkdir()
    shutil.copy(build.binary("ollama", "ollama"), work / "bin" / "ollama")
    (work / "lib" / "ollama").symlink_to(judges.llama_server().parent)
    address = f"127.0.0.1:{free_port()}"
    env = dict(plan.launch.env)
    env |= {"OLLAMA_MODELS": env["OLLAMA_MODELS"].replace(WEIGHTS_MOUNT, str(volume)), "OLLAMA_HOST": address}
    env |= {"HOME": str(work), "PATH": f"{work / 'bin'}:{os.environ['PATH']}"}
    read_only(volume, 0o555)
    log = work / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            ["ollama", *plan.launch.args], env=env, stdout=written, stderr=written, start_new_session=True
        )
    try:
        yield Served(plan, address, env, log, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the llama-server that it started too
        process.wait(LIMIT_S)
        read_only(volume, 0o755)


@proves("the download's store is served read-only; the startup probe loads the model, and then it is ready")
def test_the_startup_probe_loads_the_model_and_then_it_is_ready(served: Served) -> None:
    probes = served.plan.launch.probes
    started = served.probe(probes.startup)
    assert started.returncode == 0, started.stderr + served.log.read_text()[-2000:]
    assert f"{QWEN_7B}:latest" in served.loaded()
    assert served.probe(probes.readiness).returncode == 0


@proves("the context, slots and cache type that were sized reach the server that it starts")
def test_the_llama_server_that_ollama_starts_gets_what_was_sized(served: Served) -> None:
    served.probe(served.plan.launch.probes.startup)
    command = next(line for line in served.log.read_text().splitlines() if "starting llama-server" in line)
    decision = served.plan.decision
    assert f" -c {decision.context * decision.concurrency} -np {decision.concurrency} " in command
    assert " --cache-type-k q8_0 --cache-type-v q8_0 " in command
    assert " --flash-attn on " in command
    threads = dict(served.plan.launch.env)["LLAMA_ARG_THREADS"]
    assert f"n_threads = {threads} " in served.log.read_text()


def test_it_answers_by_the_name_of_the_model_without_being_pulled(served: Served) -> None:
    messages = [{"role": "user", "content": "hi"}]
    answer = served.ask("/v1/chat/completions", model=QWEN_7B, messages=messages, max_tokens=8)
    assert answer["model"] == QWEN_7B
    assert answer["choices"]


def test_a_request_that_unloads_the_model_does_not_leave_the_pod_without_one(served: Served) -> None:
    served.probe(served.plan.launch.probes.startup)
    assert served.ask("/api/generate", model=QWEN_7B, keep_alive=0, stream=False)["done_reason"] == "unload"
    while QWEN_7B in served.loaded():
        assert served.process.poll() is None
    assert served.probe(served.plan.launch.probes.readiness).returncode == 0
    assert QWEN_7B in served.loaded()


def test_a_model_that_is_not_there_is_never_pulled(served: Served) -> None:
    asked = served.probe(served.plan.launch.probes.startup, MODEL="nobody/nothing")
    assert asked.returncode != 0
    assert "not found" in asked.stderr
    assert 'POST     "/api/pull"' not in served.log.read_text()


def test_a_signal_to_stop_ends_it_at_once(served: Served) -> None:
    served.process.terminate()
    assert served.process.wait(15) == 0
