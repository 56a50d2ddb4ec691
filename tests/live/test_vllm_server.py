"""A real vLLM server on the CPU, started as rendered and left as a kubelet leaves a pod: `make test-engines`.

Its version is 0.32.0, the newest that there is for CPUs. The model is a tiny one made on the spot. What differs from
the rendered arguments is in :func:`on_cpu`, its environment, and the
folders that :class:`Container` mounts.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from modelberth.engines import Launch
from tests.live.kubelet import (
    REFUSED,
    Answer,
    Container,
    Left,
    Load,
    Server,
    ask,
    at_once,
    container,
    of_launch,
    rendered,
    running,
)
from tests.modelberth.samples import LLAMA_8B, plan_of
from tests.ports import free_port
from tests.proofs import SERVER, claims
from toolchain import inference, judges

pytestmark = pytest.mark.inference
proves = claims("vllm", inference.VLLM_SERVER, SERVER)

KEY = "planted-key"
START_S = 500
"""Until a server on a busy machine is ready; half a minute on an idle one."""

SLEEP_S = 3
"""How long the rendered sleep is made to last where a server leaves."""

TRACED = ["--compilation-config", '{"mode": 2, "backend": "eager"}']
"""For pipeline stages: on CPUs only the warm-up makes the later ones ready for their input, and eager mode skips it
(0.32.0, ``CPUModelRunner.warming_up_model``).
"""

CPU_ENV = {
    "GLOO_SOCKET_IFNAME": "lo",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_HOST_IP": "127.0.0.1",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    path.mkdir()
    done = judges.run(str(inference.server_python()), str(Path(__file__).with_name("tiny_hf.py")), str(path))
    assert done.returncode == 0, done.stderr
    return path


def on_cpu(container: Container, model: Path, port: int) -> Container:
    """The rendered container on a machine without GPUs: its model, address and share of memory; nothing is compiled."""
    here = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--gpu-memory-utilization": "0.1",
        "--tensor-parallel-size": "1",
    }
    told = container.told(*here.items())
    eager = TRACED if "--nnodes" in told.words else ["--enforce-eager"]
    return replace(told, words=(str(model), *told.words[1:], *eager))


@contextmanager
def serving(container: Container, model: Path, directory: Path, **env: str) -> Iterator[Server]:
    """A started server, mounts and all."""
    port = free_port()
    here = on_cpu(container.mounted(directory), model, port)
    with running(inference.server(), here, directory, env=CPU_ENV | env, port=port) as server:
        yield server


def launched(**fields: Any) -> Launch:
    return plan_of(engine_version=inference.VLLM_SERVER, typical_tokens=3000, concurrency=2, **fields).launch


def chat(url: str, tokens: int = 4, *, model: str = LLAMA_8B, key: str = "") -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": tokens}
    return ask(f"{url}/v1/chat/completions", body | {"ignore_eos": True, "temperature": 0}, key=key)


def complete(answer: Answer, tokens: int) -> bool:
    return answer.status == 200 and answer.body["usage"]["completion_tokens"] == tokens


def tokens_lasting(server: Server, model: str, seconds: float) -> int:
    """Tokens of one request that lasts about so long; at least 100."""
    chat(server.url, 50, model=model)
    began = time.monotonic()
    assert complete(chat(server.url, 100, model=model), 100)
    return min(7000, max(100, int(100 * seconds / (time.monotonic() - began))))


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for what can be asked of one: a key, an adapter, a short queue."""
    adapter = {"name": "tuned", "source": "example-org/tuned-lora", "revision": "0" * 40, "rank": 8}
    key_and_queue = {"api_key": {"secret": "keys", "key": "chat"}, "extra_args": ["--max-num-queued-reqs", "2"]}
    found = of_launch(launched(adapters=[adapter], **key_and_queue))
    found = found.told(("--lora-modules", f"tuned={model}/adapter"))
    (key,) = found.secret_env
    with serving(found, model, tmp_path_factory.mktemp("server"), **{key: KEY}) as server:
        seen = {REFUSED}
        until = time.monotonic() + START_S
        while not server.probe("startup"):
            assert server.process.poll() is None, server.said()
            assert time.monotonic() < until, server.said()
            seen.add(ask(f"{server.url}/v1/models", key=KEY).status)
            time.sleep(0.2)
        assert seen <= {REFUSED, 200}
        yield server


@proves("takes no connection before its model is loaded; a chat is answered as soon as the startup probe passes")
def test_a_chat_is_answered_as_soon_as_the_startup_probe_passes(server: Server) -> None:
    answer = chat(server.url, key=KEY)
    assert answer.status == 200, answer
    assert answer.body["model"] == LLAMA_8B
    assert answer.body["choices"][0]["message"]["content"]


@proves("with an API key: requests need it, probes and metrics do not")
def test_requests_need_the_key_and_probes_and_metrics_do_not(server: Server) -> None:
    assert chat(server.url).status == 401
    assert chat(server.url, key="another").status == 401
    assert all(server.passes(kind) for kind in server.container.probes)
    assert "vllm:num_requests_waiting" in ask(f"{server.url}/metrics").text


@proves("a LoRA adapter is a model of its own and changes the answer")
def test_an_adapter_is_a_model_of_its_own_that_answers_differently(server: Server) -> None:
    names = [each["id"] for each in ask(f"{server.url}/v1/models", key=KEY).body["data"]]
    assert names == [LLAMA_8B, "tuned"]
    plain, tuned = (chat(server.url, 24, model=name, key=KEY) for name in names)
    assert complete(plain, 24)
    assert complete(tuned, 24)
    said = [answer.body["choices"][0]["message"]["content"] for answer in (plain, tuned)]
    assert said[0] != said[1]


@proves("requests beyond the queue limit get 503, the others their answer; ready and alive meanwhile")
def test_requests_beyond_the_queue_limit_are_refused_at_once_and_the_server_stays_alive(server: Server) -> None:
    asked = at_once(*[lambda: chat(server.url, 300, key=KEY)] * 10)
    time.sleep(0.2)
    assert [server.passes(kind) for kind in ("readiness", "liveness")] == [True, True]
    statuses = [answer.status for answer in asked()]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 2
    assert chat(server.url, key=KEY).status == 200


@dataclass(frozen=True)
class Drained:
    """What became of the requests of a server that left: long ones in flight, short ones until it was out of reach."""

    left: Left
    long: list[int]
    short: list[int]


def first_pod(kind: str) -> Container:
    """The first golden that vLLM serves."""
    _, found = next(rendered(kind, "vllm/vllm-openai:"))
    return container(found["template"]["spec"])


def drained(server: Server, model: str, *others: Server) -> Drained:
    """Let a server leave that has two requests in flight which outlast the sleep, and gets others meanwhile.

    The sleep is shortened, the engine's time to finish is not: it ends when the requests do. ``others`` leave with it,
    in their own time.
    """
    server.pace, server.pace_after = SLEEP_S / server.container.sleep_s, 1
    asking: Callable[[str, int], Answer] = lambda url, tokens: chat(url, tokens, model=model)  # noqa: E731
    long = tokens_lasting(server, model, 5 * SLEEP_S)
    underway = at_once(*[lambda: asking(server.url, long)] * 2)
    with Load([server], lambda url: asking(url, 2)).of(1) as load:
        time.sleep(0.3)
        for other in others:
            Thread(target=other.leave, daemon=True).start()
        left = server.leave()
    return Drained(left, [answer.status for answer in underway()], [answer.status for answer in load.answers])


@proves("leaving under load: requests in flight outlast the signal and finish, none is lost")
def test_requests_in_flight_outlast_the_signal_and_none_is_lost(model: Path, tmp_path: Path) -> None:
    pod = first_pod("Deployment")
    with serving(pod, model, tmp_path) as server:
        server.started(START_S)
        found = drained(server, pod.value("--served-model-name"))
    assert (found.left.code, found.left.killed) == (0, False)
    assert found.long == [200, 200]
    assert found.short
    assert set(found.short) == {200}


@proves("control: without --shutdown-timeout the same requests are aborted at the signal")
def test_without_a_time_to_finish_the_same_requests_are_lost(model: Path, tmp_path: Path) -> None:
    """The control: vLLM aborts what it does when it is told to stop."""
    pod = first_pod("Deployment")
    with serving(pod.told(("--shutdown-timeout", None)), model, tmp_path) as server:
        server.started(START_S)
        found = drained(server, pod.value("--served-model-name"))
    assert 200 not in found.long
    assert set(found.short) == {200}


@proves("a dead engine process: readiness fails, and the pod ends by itself before liveness would restart it")
def test_a_dead_engine_process_makes_the_pod_unready_and_ends_it_before_liveness_would(
    model: Path, tmp_path: Path
) -> None:
    with serving(of_launch(launched()), model, tmp_path) as server:
        server.started(START_S)
        asked = server.container.probes["liveness"]
        until = time.monotonic() + asked["periodSeconds"] * asked["failureThreshold"]
        os.kill(engine_process(server), signal.SIGKILL)
        while server.probe("readiness"):
            assert time.monotonic() < until, server.said()
        server.process.wait(until - time.monotonic())


def engine_process(server: Server) -> int:
    """The process that holds the model: vLLM names it so."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) == server.process.pid and b"EngineCore" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except (ProcessLookupError, FileNotFoundError):
            continue
    raise AssertionError("no engine process")


@proves("with a Service's VLLM_PORT in its environment it does not start: our pods have no service links")
def test_a_service_called_vllm_would_stop_every_pod_that_has_service_links(model: Path, tmp_path: Path) -> None:
    assert not first_pod("Deployment").service_links
    with serving(of_launch(launched()), model, tmp_path, VLLM_PORT="tcp://10.0.0.1:8000") as server:
        assert server.process.wait(START_S) != 0
        assert "VLLM_PORT" in server.said(100_000)


@proves("leader and headless worker as rendered for LeaderWorkerSet answer as one and lose nothing when they leave")
def test_two_nodes_of_a_group_answer_as_one_and_drain_as_one(model: Path, tmp_path: Path) -> None:
    """Leader and headless worker as rendered for LeaderWorkerSet, with the variables that it would give them."""
    _, found = next(rendered("LeaderWorkerSet", "vllm/vllm-openai:"))
    template = found["leaderWorkerTemplate"]
    leader, worker = (container(template[f"{role}Template"]["spec"]) for role in ("leader", "worker"))
    assert not worker.probes
    assert worker.sleep_s >= leader.grace_s
    port = ("--master-port", str(free_port()))
    leader, worker = (each.told(port) for each in (leader, worker))
    with (
        serving(worker, model, folder(tmp_path, "1"), **group_variables(1)) as second,
        serving(leader, model, folder(tmp_path, "0"), **group_variables(0)) as first,
    ):
        first.started(START_S)
        assert ask(f"{second.url}/health", timeout_s=5).status == REFUSED
        drain = drained(first, leader.value("--served-model-name"), second)
    assert (drain.left.code, drain.left.killed) == (0, False)
    assert drain.long == [200, 200]
    assert set(drain.short) == {200}


def group_variables(index: int) -> dict[str, str]:
    return {"LWS_LEADER_ADDRESS": "127.0.0.1", "LWS_WORKER_INDEX": str(index), "LWS_GROUP_SIZE": "2"}


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
