"""What `modelberth laptop` prints, run: the whole script with real programs, and Compose's own loader on the file.

Instead of the hub there is a folder on the loopback, whose model is a tiny one; of the script only the port differs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelberth.laptop import commands, compose
from modelberth.plan import Plan
from tests.judges.tiny_models import LLAMA, make
from tests.live.kubelet import Answer, ask
from tests.modelberth.samples import QWEN_7B, plan_of, stack_of
from tests.ports import free_port
from toolchain import build, judges

pytestmark = pytest.mark.engine

ON_CPU: dict[str, Any] = {"model": QWEN_7B, "accelerators": ["cpu"], "context": 1024, "concurrency": 2}
CANARY = "planted-secret"
LIMIT_S = 120


class Hub(SimpleHTTPRequestHandler):
    """A folder; every request's header of authorization is kept."""

    asked: list[str | None] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization"))
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """An address that has the plan's file at the plan's commit."""
    source = plan_of(**ON_CPU).decision.source
    file = tmp_path / "hub" / source.repository / "resolve" / str(source.revision) / str(source.file)
    file.parent.mkdir(parents=True)
    make(LLAMA, file)
    Hub.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path / "hub"))) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


class Laptop:
    """A folder that a printed script runs in, with programs of ours first on the PATH."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs, self.port = folder, programs, free_port()
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, hub: str, env: dict[str, str] | None = None, **fields: Any) -> None:
        keys = {"defaults": {"hub_endpoint": hub}}
        plan, stack = plan_of(keys=keys, **ON_CPU, **fields), stack_of(keys=keys, **ON_CPU, **fields)
        text = commands(plan, stack)
        for before, after in (
            (f"--port {plan.launch.port}", f"--port {self.port}"),
            (f":{plan.launch.port}", f":{self.port}"),
        ):
            text = text.replace(before, after)
        path = f"{self.programs}:{os.environ['PATH']}"
        with self.log.open("wb") as said:
            self.process = subprocess.Popen(
                ["sh", "-c", text],
                cwd=self.folder, env={"PATH": path, "HOME": str(self.folder), **(env or {})},
                stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    def until(self, path: str, status: int = 200) -> None:
        assert self.process
        until = time.monotonic() + LIMIT_S
        while ask(f"http://127.0.0.1:{self.port}{path}", timeout_s=5).status != status:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.2)

    def chat(self, key: str = "") -> Answer:
        body = {"model": QWEN_7B, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
        return ask(f"http://127.0.0.1:{self.port}/v1/chat/completions", body, key=key)

    def stop(self) -> None:
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(LIMIT_S)


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """With llama-server, and Ollama beside it, installed."""
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    server = home / "bin" / "llama-server"
    server.write_text(f'#!/bin/sh\nexec {judges.llama_server()} "$@"\n')
    server.chmod(0o755)
    shutil.copy(build.binary("ollama", "ollama"), home / "bin" / "ollama")
    libraries = home / "lib" / "ollama"
    libraries.mkdir()
    for each in judges.llama_server().parent.iterdir():
        (libraries / each.name).symlink_to(each)
    # `ollama create` copies the file with llama-quantize, which comes with Ollama and not with the judges.
    copies = libraries / "llama-quantize"
    copies.write_text('#!/bin/sh\n[ "$1 $4" = "--allow-requantize COPY" ] && cp "$2" "$3"\n')
    copies.chmod(0o755)
    made = Laptop(home, home / "bin")
    yield made
    made.stop()


def test_the_printed_script_downloads_starts_a_real_llama_server_and_it_answers(laptop: Laptop, hub: str) -> None:
    laptop.start(hub)
    laptop.until("/health")
    answer = laptop.chat()
    assert answer.status == 200, answer
    assert answer.body["model"] == QWEN_7B
    assert Hub.asked == [None]
    assert "error: invalid argument" not in laptop.log.read_text()
    laptop.stop()
    laptop.start(hub)
    laptop.until("/health")
    assert Hub.asked == [None], "the file was there already"


def test_the_key_and_the_token_come_from_the_environment(laptop: Laptop, hub: str) -> None:
    keyed = {"api_key": {"secret": "api", "key": "key"}, "token": {"secret": "hub", "key": "token"}}
    laptop.start(hub, env={"LLAMA_API_KEY": "key-of-mine", "HF_TOKEN": CANARY}, **keyed)
    laptop.until("/health")
    assert Hub.asked == [f"Bearer {CANARY}"]
    assert laptop.chat().status == 401
    assert laptop.chat(key="key-of-mine").status == 200
    assert CANARY not in laptop.log.read_text()


def test_without_the_token_nothing_is_downloaded_and_it_is_named(laptop: Laptop, hub: str) -> None:
    laptop.start(hub, token={"secret": "hub", "key": "token"})
    assert laptop.process
    assert laptop.process.wait(LIMIT_S) != 0
    assert "HF_TOKEN: a token of the hub" in laptop.log.read_text()


def test_the_printed_script_for_ollama_loads_the_model_and_it_answers_by_its_name(laptop: Laptop, hub: str) -> None:
    laptop.start(hub, engine="ollama")
    laptop.until("/v1/models")
    while QWEN_7B not in ask(f"http://127.0.0.1:{laptop.port}/api/ps").text:
        assert laptop.process
        assert laptop.process.poll() is None, laptop.log.read_text()[-3000:]
        time.sleep(0.2)
    answer = laptop.chat()
    assert answer.status == 200, answer
    assert answer.body["model"] == QWEN_7B
    command = next(line for line in laptop.log.read_text().splitlines() if "starting llama-server" in line)
    assert " -c 2048 -np 2 " in command
    assert laptop.process
    laptop.process.terminate()
    laptop.process.wait(LIMIT_S)
    until = time.monotonic() + 30
    while ask(f"http://127.0.0.1:{laptop.port}/api/version", timeout_s=5).status:
        assert time.monotonic() < until, "the server outlived its script"
        time.sleep(0.2)


def test_an_ollama_that_runs_already_is_not_taken_for_the_plans(laptop: Laptop, hub: str) -> None:
    laptop.start(hub, engine="ollama")
    laptop.until("/v1/models")
    second = Laptop(laptop.folder, laptop.programs)
    second.port, second.log = laptop.port, laptop.folder / "second"
    second.start(hub, engine="ollama")
    assert second.process
    assert second.process.wait(LIMIT_S) == 1
    assert f"listens on 127.0.0.1:{laptop.port}: stop it first" in second.log.read_text()


def loaded(plan: Plan, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` makes of a file: its loader is the same, schema and interpolation included."""
    file = folder / "compose.yaml"
    file.write_text(compose(plan), encoding="utf-8")
    program = str(build.binary("compose", "compose-spec"))
    return judges.run(program, str(file), env={"PATH": os.environ["PATH"], "HOME": str(folder), **env})


KEYED = {"api_key": {"secret": "api", "key": "key"}, "token": {"secret": "hub", "key": "token"}}
CASES = {
    "llama.cpp": ON_CPU,
    "llama.cpp with secrets": ON_CPU | KEYED,
    "llama.cpp on a GPU": ON_CPU | {"engine": "llamacpp", "accelerators": ["nvidia-l4"]},
    "ollama": ON_CPU | {"engine": "ollama"},
    "vllm": {"model": QWEN_7B, "accelerators": ["nvidia-l4"], "concurrency": 4, **KEYED},
}


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_composes_own_loader_takes_the_file_and_reads_what_is_planned(fields: dict[str, Any], tmp_path: Path) -> None:
    plan = plan_of(**fields)
    env = {each.name: CANARY for each in plan.launch.secret_env} | {"HF_TOKEN": CANARY}
    done = loaded(plan, tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert "variable is not set" not in done.stderr
    services = json.loads(done.stdout)["services"]
    server = services["server"]
    assert [each["host_ip"] for each in server["ports"]] == ["127.0.0.1"]
    assert server["environment"].items() >= {each.name: CANARY for each in plan.launch.secret_env}.items()
    for index, step in enumerate(plan.launch.fetch):
        assert services[f"fetch-{index}"]["command"] == [step.script]


def test_a_secret_that_is_not_set_stops_compose_and_is_named(tmp_path: Path) -> None:
    done = loaded(plan_of(**ON_CPU, **KEYED), tmp_path, HF_TOKEN=CANARY)
    assert done.returncode != 0
    assert "LLAMA_API_KEY" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_the_loader_would_notice_a_misspelt_key(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(compose(plan_of(**ON_CPU)).replace("healthcheck:", "healthchecks:"))
    done = judges.run(str(build.binary("compose", "compose-spec")), str(file))
    assert done.returncode != 0
    assert "healthchecks" in done.stderr
