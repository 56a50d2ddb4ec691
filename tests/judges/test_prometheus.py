"""The real Prometheus on our alert rules, dashboards and autoscaling queries, over recorded and written pages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.components import monitoring
from modelberth.dashboards import dashboard
from modelberth.names import Measure, Signal
from modelberth.plan import Plan
from modelberth.queries import metrics_of, total, where
from tests.judges import prometheus
from tests.modelberth.samples import plan_of

pytestmark = pytest.mark.engine

NAMESPACE = "models"
BUSY = {
    ("vllm", "0.32.0"): {"QueueGrows"},
    ("vllm", "0.33.0"): {"QueueGrows", "KvCacheFull", "Preemptions", "RequestsFail"},
    ("sglang", "0.5.23"): {"QueueGrows", "KvCacheFull", "Preemptions"},
    ("tgi", "3.3.7"): {"QueueGrows", "RequestsFail"},
    ("llamacpp", "b10434"): {"QueueGrows"},
    ("tensorrt_llm", "1.3.0"): {"QueueGrows", "KvCacheFull"},
}
"""(engine, version) of a page -> alerts that it fires when busy. On recorded pages only the queue is full."""
VLLM = ("vllm", "0.33.0")
Of = tuple[str, str]


def pod(service: str, number: int = 0) -> str:
    return f"{service}-server-0a1b2c3d-7c9f8d6b5{number}-abcde"


def service(of: Of) -> str:
    """Name of the service of a page."""
    return f"{of[0]}-{of[1]}".replace("_", "-").replace(".", "-")


def plan(of: Of) -> Plan:
    """A plan of one service called chat; what its rules say follows from the engine's name and version alone."""
    made = plan_of(concurrency=2)
    decision = made.decision.model_copy(update={"engine": of[0], "engine_version": of[1]})
    return replace(made, decision=decision)


def pods_of(service: str, up: int = 1, ready: int = 1, restarts: float = 0.0) -> list[dict[str, str]]:
    """What Prometheus and kube-state-metrics tell about a pod in an hour."""
    labels = {"namespace": NAMESPACE, "pod": pod(service)}
    return [
        prometheus.series("up", labels, up),
        prometheus.series("kube_pod_status_ready", {**labels, "condition": "true"}, ready),
        prometheus.series(
            "kube_pod_container_status_restarts_total", {**labels, "container": "server"}, 0, restarts / 240
        ),
    ]


def fired(of: Of, given: list[dict[str, str]], folder: Path) -> set[str]:
    return prometheus.firing(monitoring.rules(plan(of), NAMESPACE), given, folder)


@pytest.mark.parametrize("of", BUSY)
def test_a_healthy_engine_fires_no_alert(of: Of, tmp_path: Path) -> None:
    healthy = prometheus.hour(of, "idle", {"namespace": NAMESPACE, "pod": pod("chat")})
    assert fired(of, [*healthy, *pods_of("chat")], tmp_path) == set()


@pytest.mark.parametrize("of", BUSY)
def test_an_overloaded_engine_fires_what_its_metrics_allow(of: Of, tmp_path: Path) -> None:
    busy = prometheus.hour(of, "busy", {"namespace": NAMESPACE, "pod": pod("chat")})
    assert fired(of, [*busy, *pods_of("chat")], tmp_path) == BUSY[of]


def test_another_service_of_a_similar_name_fires_nothing(tmp_path: Path) -> None:
    busy = prometheus.hour(VLLM, "busy", {"namespace": NAMESPACE, "pod": pod("chat-server")})
    elsewhere = prometheus.hour(VLLM, "busy", {"namespace": "others", "pod": pod("chat")})
    assert fired(VLLM, [*busy, *elsewhere, *pods_of("chat")], tmp_path) == set()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pods_of("chat", up=0, ready=0), {"StartTakesTooLong", "NothingServes"}),
        (pods_of("chat", restarts=5), {"RestartsOften"}),
        ([], {"NothingServes"}),
    ],
)
def test_pods_that_do_not_serve_fire(given: list[dict[str, str]], expected: set[str], tmp_path: Path) -> None:
    assert fired(VLLM, given, tmp_path) == expected


def test_a_misspelt_metric_fires_nothing_and_so_would_be_noticed(tmp_path: Path) -> None:
    rules = monitoring.rules(plan(VLLM), NAMESPACE)
    for rule in rules["rules"]:
        rule["expr"] = rule["expr"].replace("num_requests_waiting", "num_request_waiting")
    busy = prometheus.hour(VLLM, "busy", {"namespace": NAMESPACE, "pod": pod("chat")})
    assert prometheus.firing(rules, [*busy, *pods_of("chat")], tmp_path) == BUSY[VLLM] - {"QueueGrows"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prometheus.Server]:
    """One Prometheus that scrapes a pod for each page; its service is called after engine and version."""
    pods = {pod(service(of)): of for of in BUSY}
    with prometheus.scraping(pods, NAMESPACE, tmp_path_factory.mktemp("prometheus")) as found:
        yield found


def asked(made: dict[str, Any], service: str) -> Iterator[tuple[str, str]]:
    """Title and query of every graph of a dashboard, its variables filled in."""
    for panel in made["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$namespace", NAMESPACE).replace("$service", service)


@pytest.mark.parametrize("of", BUSY)
def test_every_graph_of_a_dashboard_shows_something(of: Of, server: prometheus.Server) -> None:
    made = dashboard(of[0], [of[1]])
    assert len(made["panels"]) >= 4
    for title, query in asked(made, service(of)):
        values = server.ask(query)
        assert values, f"{title}: {query}"
        assert not any(math.isnan(value) for value in values), f"{title}: {query}"


def signals() -> Iterator[tuple[Of, Signal]]:
    for of in BUSY:
        yield from ((of, each) for each in Signal if each.value in metrics_of(*of))


@pytest.mark.parametrize(("of", "signal"), list(signals()))
def test_every_signal_is_one_number_and_that_of_the_page(of: Of, signal: Signal, server: prometheus.Server) -> None:
    metric = metrics_of(*of)[Measure(signal)]
    page = prometheus.samples(prometheus.page(of, "busy"))
    expected = sum(value for (name, _), value in page.items() if name == metric.name)
    assert server.ask(total(metric, where(NAMESPACE, service(of)))) == [pytest.approx(expected)]


def test_a_misspelt_metric_returns_nothing(server: prometheus.Server) -> None:
    metric = metrics_of(*VLLM)[Measure.QUEUE]
    wrong = metric.model_copy(update={"name": "vllm:num_request_waiting"})
    assert server.ask(total(wrong, where(NAMESPACE, service(VLLM)))) == []


def test_every_engine_with_metrics_is_among_the_pages() -> None:
    assert {row.engine for row in catalog().metrics} == {engine for engine, _ in BUSY}
