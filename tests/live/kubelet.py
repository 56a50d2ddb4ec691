"""What a kubelet does with one server container, without Kubernetes: starts it, probes it, and lets it leave.

The order and the lengths of time are the rendered ones; a pace makes all of them shorter alike. Loopback only.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from modelberth.engines import Launch, lifecycle

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SCRATCH = ("/cache", "/tmp")
"""Where pods have volumes of their own."""
LAG = 0.8
"""Share of the time to leave the endpoints after which a pod really has: that time is to be enough."""
REFUSED = 0
"""The status of a request that got no answer."""


@dataclass(frozen=True)
class Container:
    """What a pod's template says about its server; lengths of time in seconds."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    secret_env: tuple[str, ...]
    port: int | None
    probes: Mapping[str, Mapping[str, Any]]
    sleep_s: int
    grace_s: int
    service_links: bool

    def told(self, *changes: tuple[str, str | None]) -> Container:
        """With flags set to other values, or with None left out with their value."""
        words = list(self.words)
        for flag, value in changes:
            at = words.index(flag)
            words[at : at + 2] = [] if value is None else [flag, value]
        return replace(self, words=tuple(words))

    def value(self, flag: str) -> str:
        """What a flag is set to."""
        return self.words[self.words.index(flag) + 1]

    def mounted(self, directory: Path) -> Container:
        """With folders of ``directory`` where the pod has its scratch volumes."""
        env = dict(self.env)
        for name, value in env.items():
            if value.startswith(SCRATCH):
                env[name] = f"{directory}{value}"
                Path(env[name]).mkdir(parents=True, exist_ok=True)
        return replace(self, env=env)


def container(pod: Mapping[str, Any]) -> Container:
    """The server of a pod's spec."""
    server = next(each for each in pod["containers"] if each["name"] == "server")
    named = server.get("env", [])
    ports = {port["name"]: port["containerPort"] for port in server.get("ports", [])}
    return Container(
        words=(*server.get("command", []), *server["args"]),
        env={each["name"]: each["value"] for each in named if "value" in each},
        secret_env=tuple(each["name"] for each in named if "secretKeyRef" in each.get("valueFrom", {})),
        port=ports.get("http"),
        probes={
            kind: server[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness") if f"{kind}Probe" in server
        },
        sleep_s=server["lifecycle"]["preStop"]["sleep"]["seconds"],
        grace_s=pod["terminationGracePeriodSeconds"],
        service_links=pod.get("enableServiceLinks", True),
    )


def of_launch(launch: Launch) -> Container:
    """The same of what an engine says; that components render it so is tested elsewhere."""
    asked = {"startup": launch.probes.startup, "readiness": launch.probes.readiness, "liveness": launch.probes.liveness}
    return Container(
        words=(*launch.command, *launch.args),
        env=dict(launch.env),
        secret_env=tuple(each.name for each in launch.secret_env),
        port=launch.port,
        probes={
            kind: {
                "httpGet": {"path": probe.path},
                "periodSeconds": probe.period_s,
                "timeoutSeconds": probe.timeout_s,
                "failureThreshold": probe.failures,
            }
            for kind, probe in asked.items()
        },
        sleep_s=launch.leave_s,
        grace_s=launch.grace_s,
        service_links=False,
    )


def rendered(kind: str, image: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a kind in the goldens that runs an image: golden and name, and what it is."""
    for path in sorted(GOLDEN.glob("*/resources.yaml")):
        for registration in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if registration["type"].endswith(f":{kind}") and image in str(registration["inputs"]):
                yield f"{path.parent.name}/{registration['name']}", registration["inputs"]["spec"]


@dataclass(frozen=True)
class Answer:
    """The status, REFUSED for none, and what was said."""

    status: int
    text: str

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.text)


def ask(url: str, body: object = None, *, key: str = "", timeout_s: float = 120) -> Answer:
    """One request on a connection of its own."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=timeout_s) as answer:
            return Answer(answer.status, answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode(errors="replace"))
    except (OSError, ValueError) as error:  # cut off, refused, or half an answer
        return Answer(REFUSED, repr(error))
    except Exception as error:
        if type(error).__module__ != "http.client":
            raise
        return Answer(REFUSED, repr(error))


@dataclass(frozen=True)
class Left:
    """How a server ended: exit code, negative for a signal, and whether it had to be killed."""

    code: int
    killed: bool


@dataclass
class Server:
    """A running server under a kubelet's eyes."""

    container: Container
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    pace: float = 1.0
    """How many of these seconds a rendered one lasts, until the signal."""
    pace_after: float | None = None
    """The same from the signal to the kill; None for the same."""
    in_endpoints: bool = True

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def probe(self, kind: str) -> bool:
        """Ask once, as rendered: without any key, any answer from 200 to 399 passes."""
        asked = self.container.probes[kind]
        found = ask(self.url + asked["httpGet"]["path"], timeout_s=asked["timeoutSeconds"])
        return 200 <= found.status < 400

    def passes(self, kind: str) -> bool:
        """What the kubelet makes of a probe: failed after so many failures in a row as it is rendered with."""
        return any(self.probe(kind) for _ in range(self.container.probes[kind]["failureThreshold"]))

    def started(self, limit_s: float = 300) -> None:
        """Wait until the startup probe passes."""
        until = time.monotonic() + limit_s
        while not self.probe("startup"):
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            assert time.monotonic() < until, f"it never passes its startup probe:\n{self.said()}"
            time.sleep(0.2)

    def said(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:]

    def leave(self, *, sleeping: bool = True) -> Left:
        """Delete the pod: it stays in somebody's endpoints for a while, sleeps, is told to stop, and is killed at last.

        ``sleeping=False`` leaves the preStop out, as the control of what it is good for.
        """
        sleep_s = self.container.sleep_s * self.pace
        rest_s = (self.container.grace_s - self.container.sleep_s) * (self.pace_after or self.pace)
        killed_at = time.monotonic() + sleep_s + rest_s
        lag = threading.Timer(LAG * lifecycle.LEAVE_ENDPOINTS_S * self.pace, self._out_of_endpoints)
        lag.start()
        if sleeping:
            time.sleep(sleep_s)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(max(0.1, killed_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            return Left(self.process.wait(), killed=True)
        finally:
            lag.join()
        return Left(code, killed=False)

    def _out_of_endpoints(self) -> None:
        self.in_endpoints = False

    def kill(self) -> None:
        """End it and all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@contextmanager
def running(
    command: Sequence[str],
    container: Container,
    directory: Path,
    *,
    env: Mapping[str, str],
    port: int,
    pace: float = 1.0,
) -> Iterator[Server]:
    """Start a container's server: ``command`` is what its image's entrypoint is, ``env`` comes before the rendered one.

    References to variables in arguments are expanded as Kubernetes does.
    """
    given = {**env, **container.env}
    words = [re.sub(r"\$\((\w+)\)", lambda found: given.get(found[1], found[0]), word) for word in container.words]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VLLM_", "LLAMA_"))}
    log = directory / f"server-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *words], stdout=out, stderr=subprocess.STDOUT, env=kept | given, start_new_session=True
        )
    server = Server(container, port, process, log, pace)
    try:
        yield server
    finally:
        server.kill()
        process.wait()


@dataclass
class Load:
    """Clients that keep asking whoever is in the endpoints, one connection a request, as through a Service."""

    servers: Sequence[Server]
    request: Callable[[str], Answer]
    answers: list[Answer] = field(default_factory=list[Answer])
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def of(self, clients: int) -> Iterator[Load]:
        """So many of them for as long as the block lasts; what they have begun is awaited."""
        threads = [threading.Thread(target=self._client, args=(index,)) for index in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _client(self, turn: int) -> None:
        while not self._stop.is_set():
            there = [server for server in self.servers if server.in_endpoints]
            if not there:
                return
            self.answers.append(self.request(there[turn % len(there)].url))
            turn += 1


def at_once(*calls: Callable[[], Answer]) -> Callable[[], list[Answer]]:
    """Start all calls together; the result waits for their answers."""
    answers: list[Answer | None] = [None] * len(calls)

    def run(index: int) -> None:
        answers[index] = calls[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()

    def awaited() -> list[Answer]:
        for thread in threads:
            thread.join()
        return [answer for answer in answers if answer is not None]

    return awaited
