"""A real llama-server, started as rendered, asked on the rendered probes, and left as a kubelet leaves a pod.

The model is a tiny one made on the spot. Of what is rendered only its path, the address and the number of threads
differ.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from modelberth.engines import lifecycle
from tests.judges.tiny_models import LLAMA, make
from tests.live.kubelet import (
    REFUSED,
    Answer,
    Container,
    Load,
    Server,
    ask,
    at_once,
    container,
    rendered,
    running,
)
from tests.modelberth.samples import QWEN_7B, plan_of
from tests.ports import free_port
from tests.proofs import SERVER, claims
from toolchain import judges

pytestmark = pytest.mark.engine
proves = claims("llamacpp", "b10434", SERVER)

KEY = "planted-key"
WORD = 300
"""A token of the tiny model, made certain: its weights are zeros, which make every token as likely as any."""

Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny-Q8_0.gguf"
    make(LLAMA, path)
    return path


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    _, found = next(rendered("Deployment", "ggml-org/llama.cpp"))
    return found["template"]["spec"]


@pytest.fixture
def start(model: Path, pod: dict[str, Any], tmp_path: Path) -> Start:
    def started(*, pace: float = 1.0, env: dict[str, str] | None = None) -> AbstractContextManager[Server]:
        port = free_port()
        here = ("--model", str(model)), ("--host", "127.0.0.1"), ("--port", str(port)), ("--threads", cores())
        command = [str(judges.llama_server())]
        return running(command, container(pod).told(*here), tmp_path, env=env or {}, port=port, pace=pace)

    return started


def cores() -> str:
    return str(len(os.sched_getaffinity(0)))


def chat(url: str, tokens: int = 4, *, key: str = "") -> Answer:
    body = {
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "logit_bias": {str(WORD): 100},
        "cache_prompt": False,
    }
    return ask(f"{url}/v1/chat/completions", body, key=key)


def lasting(server: Server, tokens: int) -> float:
    """Seconds that requests on all of its slots take."""
    began = time.monotonic()
    answers = at_once(*[lambda: chat(server.url, tokens)] * slots(server.container))()
    assert [answer.status for answer in answers] == [200] * slots(server.container)
    return time.monotonic() - began


def slots(container: Container) -> int:
    return int(container.words[container.words.index("--parallel") + 1])


def complete(answer: Answer, tokens: int) -> bool:
    return answer.status == 200 and answer.body["usage"]["completion_tokens"] == tokens


@proves("fails the startup probe while the model loads; a chat is answered as soon as it passes")
def test_the_startup_probe_fails_while_the_model_loads_and_a_completion_works_when_it_passes(start: Start) -> None:
    with start() as server:
        path = server.container.probes["startup"]["httpGet"]["path"]
        seen = [REFUSED]
        while seen[-1] != 200:
            seen.append(ask(server.url + path, timeout_s=5).status)
            assert server.process.poll() is None, server.said()
        assert set(seen) == {REFUSED, 503, 200}
        answer = chat(server.url)
        assert answer.status == 200, answer
        assert answer.body["model"] == QWEN_7B
        assert answer.body["choices"][0]["message"]["content"]


@proves("with an API key: probes pass without it, requests and metrics need it")
def test_probes_pass_without_the_key_that_requests_need(start: Start) -> None:
    keyed = plan_of(model=QWEN_7B, accelerators=["cpu"], concurrency=4, api_key={"secret": "keys", "key": "chat"})
    (secret,) = keyed.launch.secret_env
    with start(env={secret.name: KEY}) as server:
        server.started()
        assert all(server.passes(kind) for kind in server.container.probes)
        assert chat(server.url).status == 401
        assert chat(server.url, key="another").status == 401
        assert chat(server.url, key=KEY).status == 200
        assert ask(f"{server.url}/metrics").status == 401
        assert ask(f"{server.url}/metrics", key=KEY).status == 200


@proves("ready and alive while every slot is busy and requests wait")
def test_a_server_whose_slots_are_all_busy_stays_ready_and_alive(start: Start) -> None:
    with start() as server:
        server.started()
        busy = at_once(*[lambda: chat(server.url, 100)] * (2 * slots(server.container)))
        assert [server.passes(kind) for kind in ("readiness", "liveness")] == [True, True]
        assert all(complete(answer, 100) for answer in busy())


@pytest.fixture
def paced(start: Start) -> Iterator[tuple[Server, int]]:
    """A server whose sleep lasts six times as long as requests of so many tokens on all its slots."""
    tokens = 25
    with start() as server:
        server.started()
        chat(server.url)  # the first one is slower
        server.pace = max(3, 6 * lasting(server, tokens)) / server.container.sleep_s
        yield server, tokens


@proves("a rollout under load loses no request: the sleep before the signal outlasts them")
def test_a_rollout_under_load_loses_no_request(paced: tuple[Server, int], start: Start) -> None:
    """Requests arrive until the endpoints are gone, and the sleep outlasts all of them."""
    old, tokens = paced
    with start(pace=old.pace) as new:
        new.started()
        with Load([old, new], lambda url: chat(url, tokens)).of(2 * slots(old.container)) as load:
            while len(load.answers) < 2 * slots(old.container):
                time.sleep(0.05)
            began = len(load.answers)
            left = old.leave()
        assert (left.code, left.killed) == (0, False)
        assert len(load.answers) > began
        assert [answer for answer in load.answers if not complete(answer, tokens)] == []


@proves("control: without the sleep every request in flight is lost, and the server has to be killed")
def test_without_the_sleep_the_same_requests_are_lost(paced: tuple[Server, int]) -> None:
    """The control: a busy llama-server answers nothing after the signal and has to be killed."""
    server, tokens = paced
    underway = at_once(*[lambda: chat(server.url, 20 * tokens)] * slots(server.container))
    time.sleep(0.5)
    assert server.leave(sleeping=False).killed
    assert {answer.status for answer in underway()} == {REFUSED}


@proves("a request that runs longer than the sleep is cut off at the end of the grace period")
def test_what_runs_longer_than_the_sleep_is_cut_off_at_the_end_of_the_grace_period(paced: tuple[Server, int]) -> None:
    server, tokens = paced
    short, long = lambda: chat(server.url, tokens), lambda: chat(server.url, 100 * tokens)
    underway = at_once(short, long)
    assert server.leave().killed
    finished, cut = underway()
    assert complete(finished, tokens)
    assert cut.status == REFUSED


@proves("an idle server ends at the signal, with code 0")
def test_an_idle_server_ends_at_the_signal(start: Start) -> None:
    with start(pace=1 / 100) as server:
        server.started()
        left = server.leave()
        assert (left.code, left.killed) == (0, False)


def test_the_sleep_and_the_grace_period_are_those_of_the_plan_and_no_shell_is_needed(pod: dict[str, Any]) -> None:
    found, planned = container(pod), plan_of(model=QWEN_7B, accelerators=["cpu"], concurrency=4).launch
    assert (found.sleep_s, found.grace_s) == (planned.leave_s, planned.grace_s)
    assert found.sleep_s > lifecycle.LEAVE_ENDPOINTS_S
    assert found.grace_s == found.sleep_s + lifecycle.EXIT_S
    assert not found.service_links
